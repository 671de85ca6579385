// The version table: who wrote a key recently, and what stood there before.
//
// Pages hold the newest version of each row and no transaction ids. This in-memory table, keyed by (object,
// key), holds an entry only for recently written keys: the transaction that wrote the page's state (open,
// or committed at some LSN) and the older versions. An entry is lock and history. Nothing of it is on disk.
//
// Order (DESIGN section 8). Writer, under the leaf's exclusive latch: entry in, then page changed; on
// rollback page restored, then entry out. Reader: copy the slot, look in here, then validate the leaf. A
// slot whose history bit is clear has no entry and needs no look. A shard's latch comes after all page
// latches and before the log reservation, and is held for a few dozen instructions.
//
// Timestamps are commit LSNs. A state is visible in snapshot S iff it was committed at an LSN <= S, or is
// the reader's own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// A transaction as the table's entries see it. Shared by the transaction and its entries.
class TxnStatus {
 public:
  explicit TxnStatus(TxnId id) noexcept : id_(id) {}
  TxnId id() const noexcept { return id_; }
  /// Raw LSN of its commit record; 0 while open. Stored before the commit record counts as filled.
  std::uint64_t commit_lsn() const noexcept { return commit_.load(std::memory_order_acquire); }
  void set_committed(Lsn lsn) noexcept { commit_.store(raw(lsn), std::memory_order_release); }

  /// Wakes everyone who waits for this transaction: after commit, and after rollback took its entries out.
  void finish() noexcept;
  bool finished() const noexcept { return stage_.load(std::memory_order_acquire) == Stage::kFinished; }
  /// Waits for finish(); false at the deadline. The caller holds no latch.
  bool wait_finished(std::chrono::steady_clock::time_point deadline) const;

 private:
  enum class Stage : std::uint8_t { kOpen, kAwaited /* open, and somebody waits */, kFinished };
  TxnId id_;
  std::atomic<std::uint64_t> commit_{0};
  mutable std::atomic<Stage> stage_{Stage::kOpen};
};

/// The state of a key: absent, or a value with its slot flags.
struct KeyState {
  bool present = false;
  std::uint8_t flags = 0;  ///< kSlotOverflow
  std::string value;
};

class VersionTable {
 public:
  explicit VersionTable(std::size_t bytes_max);
  ~VersionTable();

  enum class Claim : std::uint8_t {
    kGranted,  ///< the entry is in and names `writer`
    kHeld,     ///< another open transaction holds the key: wait for `holder` without latches, try again
    kFull,     ///< the table's memory is used up
    kNoMemory  ///< the system has none
  };
  struct ClaimResult {
    Claim claim;
    std::shared_ptr<TxnStatus> holder;  ///< for kHeld
    bool first = false;                 ///< kGranted: `writer` had not written this key before
    std::uint64_t newest_commit = 0;    ///< raw commit LSN of the state that the writer found, 0 if unknown/old
  };
  /// `before` is the state on the page, about to be overwritten; it becomes the newest older version if the
  /// page's state is not already the writer's own. Never throws.
  ClaimResult claim(ObjectId object, Bytes key, const std::shared_ptr<TxnStatus>& writer, const KeyState& before);

  enum class Found : std::uint8_t {
    kPage,    ///< the page's state is the visible one (also: no entry)
    kOlder,   ///< `state` is the visible one
    kTooOld,  ///< the version that `snapshot` needs was dropped: take a new snapshot
  };
  struct LookupResult {
    Found found = Found::kPage;
    KeyState state;
  };
  /// `self`: the reader's own transaction, or kNoTxn. Throws std::bad_alloc when there is no memory for the copy.
  LookupResult find(ObjectId object, Bytes key, Lsn snapshot, TxnId self) const;

  struct Peek {
    bool exists = false;
    std::shared_ptr<TxnStatus> writer;  ///< of the page's state; null when there is no entry
  };
  Peek peek(ObjectId object, Bytes key) const;
  bool has_entry(ObjectId object, Bytes key) const;

  /// Rollback has restored the page's state: `writer`'s claim goes, the version below it is current again.
  void withdraw(ObjectId object, Bytes key, TxnId writer) noexcept;
  /// Drops every version of this key that no snapshot at or above `floor` needs; the whole entry when its
  /// newest state is committed at or below `floor`. No snapshot below `floor` is, or ever will be, registered:
  /// from now on claim() and withdraw() drop what lies below it, too.
  void prune(ObjectId object, Bytes key, Lsn floor) noexcept;

  std::size_t bytes_used() const noexcept;
  std::size_t entry_count() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vaultgres
