// Transactions: identity, what was written, commit, rollback, the list of the open ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/try.h"
#include "buffer/mini_txn.h"
#include "format/log.h"
#include "txn/engine.h"
#include "wal/record.h"

namespace vaultgres {

class TxnManager;

/// An open transaction's share of the record of a checkpoint, which lists it; blocks' headers included.
inline constexpr std::uint64_t kListedLogBytes = sizeof(CheckpointTxn) + sizeof(CheckpointTxn) / 3;
/// Log space of a commit's record, or of the record at the end of a rollback, and of what checkpoints until then write
/// of the transaction.
inline constexpr std::uint64_t kEndRecordLogBytes =
    log_bytes_for(sizeof(RecordHeader)) + kLogBlockBytes + kListedLogBytes;

/// So many transactions at once may have changed something: as many as a checkpoint can list. The next recovery has to
/// write one before it undoes what they did.
#ifdef VG_TEST_HOOKS
inline constexpr std::size_t kChangingTxnsMax = 1000;
#else
inline constexpr std::size_t kChangingTxnsMax = RecordBuilder::kCheckpointTxnsMax;
#endif

/// One transaction. Used by one thread at a time. Ends by TxnManager::commit or rollback.
class Txn {
 public:
  TxnId id() const noexcept { return status_->id(); }
  const std::shared_ptr<TxnStatus>& status() const noexcept { return status_; }

  /// Address of its newest record: `prev` of the next one. kNoLsn: none yet.
  Lsn last() const noexcept { return Lsn{last_.load(std::memory_order_acquire)}; }
  /// In Log::append's on_reserved, under the page's latch: a checkpoint that no longer finds the page dirty
  /// then finds the address here.
  void logged(Lsn address) noexcept {
    if (first_.load(std::memory_order_relaxed) == 0) first_.store(raw(address), std::memory_order_release);
    last_.store(raw(address), std::memory_order_release);
  }

  /// The same of a compensation, which has used up log space that was kept for it: nobody counts it twice.
  void compensated(const Log::Appended& appended) noexcept;

  struct Written {
    ObjectId object;
    std::string key;
    bool ghost;  ///< it leaves a ghost when it commits
  };
  ~Txn();
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;

  /// Memory for one more entry of written().
  void make_room_to_note() {
    if (written_.size() == written_.capacity()) written_.reserve(2 * written_.size() + 8);
  }
  /// Keys it has claimed, in the order of the first claims.
  std::vector<Written>& written() noexcept { return written_; }
  /// Number for the next row of `retired`.
  std::uint32_t next_retired() noexcept { return retired_count_++; }
  /// Log space kept for compensations and the end record, until the transaction ends: no commit and no rollback meets a
  /// full disk. `end_log_bytes()`: the end record's part, as long as nothing is kept.
  std::uint64_t end_log_bytes() const noexcept { return keeps_log_space() ? 0 : kEndRecordLogBytes; }
  void keep_log_space(std::uint64_t bytes) noexcept { log_space_ += bytes; }
  bool keeps_log_space() const noexcept { return log_space_ > 0; }

 private:
  friend class TxnManager;
  Txn(TxnManager& manager, TxnId id) : manager_(manager), status_(std::make_shared<TxnStatus>(id)) {}
  TxnManager& manager_;
  std::shared_ptr<TxnStatus> status_;
  std::atomic<std::uint64_t> first_{0};
  std::atomic<std::uint64_t> last_{0};
  std::atomic<bool> rolled_back_{false};  // its last compensation is logged
  bool may_change_ = false;               // is among TxnManager::changing_
  std::vector<Written> written_;
  std::uint32_t retired_count_ = 0;
  std::uint64_t log_space_ = 0;
};

/// An open transaction as a checkpoint lists it.
struct OpenTxn {
  TxnId id;
  Lsn first;
  Lsn last;
};

/// Thread-safe.
class TxnManager {
 public:
  TxnManager(Engine& engine, TxnId next) : engine_(engine), next_(raw(next)) {}

  std::unique_ptr<Txn> begin();
  /// A transaction that was open at the crash, for undo by rollback().
  std::unique_ptr<Txn> adopt(const OpenTxn& loser);
  /// A number for a change that is its own transaction.
  TxnId next_id() noexcept { return TxnId{next_.fetch_add(1, std::memory_order_relaxed)}; }
  TxnId next_unused() const noexcept { return TxnId{next_.load(std::memory_order_relaxed)}; }

  /// On an error the transaction is neither acknowledged nor rolled back: the database is poisoned, and
  /// what it did is decided by the next recovery.
  Status commit(std::unique_ptr<Txn> txn, CommitMode mode);
  /// Undoes everything. An error poisons the database.
  Status rollback(std::unique_ptr<Txn> txn);
  /// Undoes what a call within the transaction did; it stays open. `last` and `written`: Txn::last() and the size of
  /// Txn::written() before the call. What the call locked stays locked. An error poisons the database.
  Status rollback_to(Txn& txn, Lsn last, std::size_t written);

  /// Before a change, which may be its first record: kTooLarge when kChangingTxnsMax others are open.
  Status admit_change(Txn& txn);

  bool is_open(TxnId id) const;
  /// Those with records in the log that are neither committed nor rolled back. Call Log::filled() before.
  std::vector<OpenTxn> open() const;

  // --- What committed transactions leave behind.

  /// A key whose version entry may go once `commit` is durable and no older snapshot is registered, and
  /// whose slot, if it is a ghost, may go then too. Now and then the caller drops what has gathered.
  void retire_version(Lsn commit, Txn::Written written);
  /// The same for a deleted row or entry that somebody has met and that the version table does not have. Nothing when
  /// others are at it, or many such notes wait already: who meets it next says so again.
  void note_ghost(ObjectId object, Bytes key) noexcept;
  /// Drops version entries that nobody needs any more. [no latch held]
  void drop_versions();
  /// For a change that found the version table full for the (tried + 1)-th time: waits a moment for room. kTooLarge
  /// when there will be none. [no latch held]
  Status make_version_room(unsigned tried);
  /// The same, and removes ghosts; a worker calls it, and so do tests. True when something is left that will
  /// become droppable. [no latch held]
  Result<bool> collect();
  /// How many keys wait for collect().
  std::size_t left_behind() const noexcept { return left_count_.load(std::memory_order_relaxed); }

 private:
  friend class Txn;
  Status commit_or_throw(std::unique_ptr<Txn> txn, CommitMode mode);
  Status rollback_or_throw(std::unique_ptr<Txn> txn);
  Error out_of_memory(const char* text);
  Status undo(Txn& txn, Lsn down_to);
  Status end_rollback(Txn& txn);
  Result<bool> purge(const Txn::Written& left);
  void leave(const Txn& txn) noexcept;
  void finish(Txn& txn) noexcept;
  void settle(Lsn commit, std::vector<Txn::Written> written);

  Engine& engine_;
  std::atomic<std::uint64_t> next_;
  mutable std::mutex mutex_;
  std::unordered_set<const Txn*> open_;
  std::size_t changing_ = 0;  // may have records in the log, and no end there
  struct Left {
    Lsn commit;
    Txn::Written written;
  };
  mutable std::mutex left_mutex_;
  std::vector<Left> left_;
  /// Their entries are gone, their slots not yet. A list, to go from hand to hand without memory.
  std::list<Txn::Written> ghosts_;
  std::atomic<std::size_t> left_count_{0};
};

/// Runs `body(Txn&)` as a transaction of its own.
template <class Body>
auto in_transaction(TxnManager& manager, CommitMode mode, Body&& body) -> decltype(body(std::declval<Txn&>())) {
  std::unique_ptr<Txn> txn = manager.begin();
  auto result = [&]() -> decltype(body(*txn)) {
    try {
      return body(*txn);
    } catch (const std::bad_alloc&) {
      return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
    }
  }();
  if (!result) {
    VG_TRY(manager.rollback(std::move(txn)));
    return result.error();
  }
  VG_TRY(manager.commit(std::move(txn), mode));
  return result;
}

/// Waits until readers of a relaxed database are shown the commit: until the records below it are in the log buffer.
/// Whoever has committed then finds his own commit. The caller holds no latch.
Status wait_until_filled(const Engine& engine, Lsn commit);

/// While it lives, changes of this thread do not wait for other transactions: one that would have to gives up with
/// kConflict, and `holder` is the one in its way. For who has something in hand that others wait for, a gate say: he
/// undoes what the change did, lets go of it, waits, and tries again. So nobody waits for somebody who waits for a
/// lock.
class DeferLockWaits {
 public:
  explicit DeferLockWaits(std::shared_ptr<const TxnStatus>& holder) noexcept;
  ~DeferLockWaits();
  DeferLockWaits(const DeferLockWaits&) = delete;
  DeferLockWaits& operator=(const DeferLockWaits&) = delete;

 private:
  std::shared_ptr<const TxnStatus>* outer_;
};

/// Waits until `holder` has ended; kConflict after the engine's lock timeout, or at once (see DeferLockWaits). The
/// caller holds no latch.
Status wait_for_holder(const Engine& engine, const std::shared_ptr<const TxnStatus>& holder);
/// Of a claim without memory.
Error no_memory_for_version() noexcept;
Error waited_too_long(const Engine& engine, const TxnStatus& holder);
/// Waits while another open transaction than `txn` holds the key, for who has much to write before he claims it.
/// [no latch held]
Status wait_while_held(const Engine& engine, const Txn& txn, ObjectId object, Bytes key);

}  // namespace vaultgres
