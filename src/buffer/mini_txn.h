// A mini-transaction: the changes of one or more latched pages together with the one log record that says
// them. It is atomic: after a crash all of its changes are there or none.
//
//   MiniTxn mini(pool, log, RecordKind::kSystem);
//   mini.add(left, PageOp::kNodeTruncate, payload);
//   ExclusiveGuard& right = mini.own(pool.create(id, ticket));
//   mini.add(right, PageOp::kImage, image);
//   Lsn lsn = mini.commit();            // owned guards are released; others stay with the caller
//
// commit(): recLSN of each page is set (log end read first), the operations are applied to the pages by the
// functions of the RedoTable, the record is reserved, page LSNs are set, the record is copied, pages are
// dirty. Nothing in it can fail: memory is taken by add(), disk space by Log::reserve() before any latch.
// A MiniTxn that is destroyed without commit() changes nothing.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "base/function_ref.h"
#include "buffer/buffer_pool.h"
#include "buffer/guards.h"
#include "format/log.h"
#include "format/page_op.h"
#include "wal/log.h"

namespace vaultgres {

/// How many bytes of log a record with these parts takes, block headers included, rounded up: for
/// Log::reserve().
constexpr std::uint64_t log_bytes_for(std::uint64_t payload_bytes) noexcept {
  return payload_bytes + payload_bytes / 64 + 512;
}

class MiniTxn {
 public:
  MiniTxn(BufferPool& pool, Log& log, RecordKind kind, TxnId txn = kNoTxn, Lsn prev = kNoLsn);
  MiniTxn(const MiniTxn&) = delete;
  MiniTxn& operator=(const MiniTxn&) = delete;
  ~MiniTxn();

  /// For RecordKind::kCompensation, before any add().
  void set_undo_next(Lsn address);
  /// The page of `guard` changes by `op`. The guard must live, latched, until commit(). Several operations
  /// on one page are applied in the order of add().
  void add(ExclusiveGuard& guard, PageOp op, Bytes payload);
  /// The record's undo part, at most one.
  void set_undo(UndoOp op, ObjectId object, Bytes key, Bytes value);
  /// Keeps a guard until commit() or destruction. The reference stays valid until then.
  ExclusiveGuard& own(ExclusiveGuard&& guard);

  /// Applies, logs, marks dirty; see above. `on_reserved` as in Log::append.
  Log::Appended commit(FunctionRef<void(const Log::Appended&)> on_reserved);
  Log::Appended commit();

 private:
  struct Change {
    ExclusiveGuard* guard;
    PageOp op;
    std::uint32_t payload_offset;  // into record_
    std::uint16_t payload_bytes;
  };
#ifdef VG_TEST_HOOKS
  void tell_observer(Lsn lsn) const;
#endif

  BufferPool& pool_;
  Log& log_;
  std::vector<std::byte> record_;
  std::vector<Change> changes_;
  std::vector<std::byte> undo_;
  std::list<ExclusiveGuard> owned_;  // takes no memory while it is empty
};

}  // namespace vaultgres
