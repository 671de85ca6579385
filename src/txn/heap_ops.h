// Reading and changing the rows of a table under transactions: visibility, locking, moved rows, large rows.
//
// Protocol. The version table knows a row by (table, TID): its entry is the row's lock and history. An entry is made
// under the exclusive latch of the row's home page, in the order of version_table.h; who holds the entry may rely on
// where the row's body is. A change is one record over at most three pages, latched in ascending order:
//
//   insert       home: the row                                            undo: home becomes a ghost
//   erase        home: ghost                                              undo: home is none any more
//   update       the row's slot gets the new content                      undo: home and body as they were
//   update,      new body: the row; home: stub for it;                    undo: the same, and the new body goes
//    no room      old body: ghost
//
// A row that is too long for a page stands, as a reference to its chain, in its home: every cell has room for one. So
// only home slots lead to chains. Slots are given back, and room that rows no longer need, by purge_row(), when the
// version table has no entry: then neither undo nor a reader wants what was there.
#pragma once

#include <optional>
#include <string>

#include "txn/engine.h"
#include "txn/txn.h"
#include "wal/record.h"

namespace vaultgres {

/// Inserts a row within `txn`. [no latch held]
Result<Tid> insert_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Bytes row);
/// Replaces a row; the one before goes to `before`. False when there is none. Waits for another writer of the row.
/// [no latch held]
Result<bool> update_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Tid tid, Bytes row,
                        std::string& before);
/// Erases a row, likewise.
Result<bool> erase_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Tid tid,
                       std::string& before);
/// The row as `snapshot` sees it, or false. `row` is overwritten. The caller has the snapshot registered. `self`: the
/// reader's own transaction. kCorruption when `tid` leads out of the table. [no latch held]
Result<bool> get_row(const Engine& engine, const Heap& heap, Tid tid, TxnId self, Lsn snapshot, std::string& row);

/// Rows copied out of one heap page, visible ones only, in one buffer.
struct RowBatch {
  struct Entry {
    Tid tid;
    std::size_t offset;
    std::size_t bytes;
  };
  std::vector<Entry> entries;
  std::string bytes;
  /// Where the scan goes on in this page; none: the page is through.
  std::optional<std::uint16_t> next_slot;

  Bytes row(std::size_t i) const noexcept { return as_bytes(bytes).subspan(entries[i].offset, entries[i].bytes); }
  void clear() noexcept {
    entries.clear();
    bytes.clear();
    next_slot.reset();
  }
};
/// The visible rows of one heap page from `from_slot` on; stops early when it has more than `bytes_max` bytes.
Status scan_heap_page(const Engine& engine, const Heap& heap, PageId page, std::uint16_t from_slot, TxnId self,
                      Lsn snapshot, std::size_t bytes_max, RowBatch& batch);

/// Undoes one record of a table's row: its undo part is one of UndoOp's for rows. [no latch held]
Status undo_row(const Engine& engine, Txn& txn, const Heap& heap, const RecordView& record);

}  // namespace vaultgres
