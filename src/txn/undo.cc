#include "txn/undo.h"

#include <optional>
#include <string>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "txn/heap_ops.h"
#include "wal/log_space.h"
#include "wal/record.h"

namespace vaultgres {

namespace {

/// One try under the leaf's latch; false: room had to be made first.
Result<bool> try_undo(const Engine& engine, Txn& txn, const Tree& tree, const RecordView& record) {
  const RecordUndo undo = *record.undo();
  VG_ASSIGN(ExclusiveGuard leaf, tree.write_leaf(undo.key));
  const NodeView view(leaf.page());
  const NodeView::Position position = view.lower_bound(undo.key);

  MiniTxn mini(engine.pool, engine.log, RecordKind::kCompensation, txn.id(), txn.last());
  mini.set_undo_next(record.prev());
  PayloadBuffer payload;
  if (undo.op == UndoOp::kEraseInserted) {
    if (position.exact) {
      encode_node_set_ghost(payload, position.slot, true);
      mini.add(leaf, PageOp::kNodeSetGhost, payload.bytes());
    }
  } else {
    const auto flags = std::to_integer<std::uint8_t>(undo.value[0]);
    const Bytes value = undo.value.subspan(1);
    const bool room = position.exact ? view.has_room_to_replace(position.slot, value.size())
                                     : view.has_room(undo.key.size(), value.size());
    if (!room) {
      leaf.release();
      VG_TRY(tree.make_room(undo.key, value.size()));
      return false;
    }
    if (position.exact) {
      encode_node_replace(payload, position.slot, flags, value);
      mini.add(leaf, PageOp::kNodeReplace, payload.bytes());
    } else {
      encode_node_insert(payload, position.slot, flags, undo.key, value);
      mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
    }
  }
  mini.commit([&](const Log::Appended& appended) { txn.logged(appended.address); });
  return true;
}

Error unknown_object(const RecordView& record) {
  return Error(ErrorCode::kCorruption, "transaction " + std::to_string(raw(record.txn())) + " changed object " +
                                           std::to_string(raw(record.undo()->object)) +
                                           ", which the catalog does not know");
}

}  // namespace

Result<Lsn> undo_record(const Engine& engine, Txn& txn, Bytes bytes) {
  VG_ASSIGN(const RecordView record, RecordView::parse(bytes));
  if (record.kind() == RecordKind::kCompensation) return record.undo_next();
  if (record.kind() != RecordKind::kUpdate || !record.undo()) return record.prev();
  const RecordUndo undo = *record.undo();
  if (undo.op != UndoOp::kEraseInserted && undo.op != UndoOp::kRestoreValue) {
    const std::optional<Heap> heap = engine.find_heap(undo.object);
    if (!heap) return unknown_object(record);
    VG_TRY(undo_row(engine, txn, *heap, record));
    return record.prev();
  }
  if (undo.key.size() > kKeyBytesMax ||
      (undo.op == UndoOp::kRestoreValue &&
       (undo.value.empty() || undo.value.size() > inline_value_max(undo.key.size()) + 1))) {
    return Error(ErrorCode::kCorruption, "a log record of transaction " + std::to_string(raw(record.txn())) +
                                             " says something impossible about how to undo it");
  }
  const std::optional<Tree> tree = engine.find_tree(undo.object);
  if (!tree) return unknown_object(record);
  for (;;) {
    LogSpace log_space(engine.log);
    if (!txn.keeps_log_space()) {  // a loser of a crash
      VG_TRY(log_space.reserve(Tree::log_bytes_of_change(undo.key.size(), undo.value.size())));
    }
    VG_ASSIGN(const bool done, try_undo(engine, txn, *tree, record));
    if (done) return record.prev();
  }
}

}  // namespace vaultgres
