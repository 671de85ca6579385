// Reading and changing the entries of a tree under transactions: visibility, locking, large values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// What a change does when the key is there, or is not.
enum class PutMode : std::uint8_t {
  kUpsert,        ///< insert or replace
  kInsertUnique,  ///< kDuplicateKey when the key is there
  kUpdate,        ///< kNotFound when it is not
};

/// Puts one entry within `txn`. Waits for another writer of the key. [no latch held]
Status put_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key, Bytes value,
                 PutMode mode = PutMode::kUpsert);
/// Erases one entry within `txn`; false when there was none.
Result<bool> erase_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key);

/// The same as transactions of their own, committed when they return: one log record each where the value
/// is inline.
Status put_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, Bytes value, PutMode mode,
                  CommitMode commit);
Result<bool> erase_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, CommitMode commit);

/// The visible value of `key`, or false. `value` is overwritten. `self`: the reader's own transaction.
Result<bool> get_entry(const Engine& engine, const Tree& tree, Bytes key, TxnId self, std::string& value);

/// Entries copied out of one leaf, visible ones only, in one buffer.
class LeafBatch {
 public:
  struct Entry {
    std::uint32_t key_offset;  ///< the value stands behind the key
    std::uint32_t value_bytes;
    std::uint16_t key_bytes;
    std::uint8_t flags;  ///< kSlotOverflow: the value is an OverflowRef
  };
  std::size_t size() const noexcept { return entries_.size(); }
  Bytes key(std::size_t i) const noexcept { return {bytes_.get() + entries_[i].key_offset, entries_[i].key_bytes}; }
  Bytes value(std::size_t i) const noexcept {
    return {bytes_.get() + entries_[i].key_offset + entries_[i].key_bytes, entries_[i].value_bytes};
  }
  bool overflow(std::size_t i) const noexcept { return (entries_[i].flags & kSlotOverflow) != 0; }
  /// Where the scan goes on: forward the first key not looked at, backward the last key looked at.
  Bytes bound() const noexcept { return as_bytes(bound_); }
  /// Nothing lies beyond.
  bool at_end() const noexcept { return at_end_; }

  void clear() noexcept {
    bytes_used_ = 0;
    entries_.clear();
    bound_.clear();
    at_end_ = false;
  }
  void add(Bytes key, Bytes value, std::uint8_t flags);
  void set_bound(Bytes bound, bool at_end) {
    bound_.assign(as_text(bound));
    at_end_ = at_end;
  }

 private:
  void grow(std::size_t bytes);

  std::unique_ptr<std::byte[]> bytes_;
  std::size_t bytes_used_ = 0;
  std::size_t bytes_max_ = 0;
  std::vector<Entry> entries_;
  std::string bound_;
  bool at_end_ = false;
};
enum class ScanOrder : std::uint8_t { kForward, kBackward };
/// The visible entries of the first leaf from `from` on: forward key >= from, backward key < from (or from
/// the very end with `unbounded`). Stops early at `entries_max`. Large values stay references: resolve them
/// with read_chain() while `snapshot` is still registered.
Status scan_leaf(const Engine& engine, const Tree& tree, Bytes from, bool unbounded, ScanOrder order, TxnId self,
                 Lsn snapshot, unsigned entries_max, LeafBatch& batch);

/// The newest snapshot that a reader of this database is shown.
Lsn newest_snapshot(const Engine& engine) noexcept;

}  // namespace vaultgres
