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

/// The notes that a transaction made for the collector died with its process: one for keys of one leaf in a row will
/// do.
void note_ghost_leaf(Txn& txn, const Tree& tree, const NodeView& leaf, Bytes key) {
  std::vector<Txn::Written>& written = txn.written();
  const auto is_noted = [&](const Txn::Written& note) {
    return note.object == tree.object() && note.key >= as_text(leaf.low_fence()) &&
           (!leaf.has_high_fence() || note.key < as_text(leaf.high_fence()));
  };
  if (written.empty() || !is_noted(written.back())) {
    written.push_back({tree.object(), std::string(as_text(key)), true});
  }
}

Error damaged_leaf(const ExclusiveGuard& leaf, const Tree& tree, const char* what) {
  return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(leaf.id())) + " of object " +
                                           std::to_string(raw(tree.object())) +
                                           ": a transaction that is undone has changed an entry, but " + what);
}

/// Undoes the change of an entry in its leaf. What this needs is there: an erased entry is a ghost with key and value,
/// and the room of one that was updated is kept (txn/ghosts.h). So undo takes no page and nothing from others.
Status undo_entry(const Engine& engine, Txn& txn, const Tree& tree, const RecordView& record) {
  const RecordUndo undo = *record.undo();
  VG_ASSIGN(ExclusiveGuard leaf, tree.write_leaf(undo.key));
  const NodeView view(leaf.page());
  const NodeView::Position position = view.lower_bound(undo.key);
  if (!position.exact) return damaged_leaf(leaf, tree, "it is not there");

  MiniTxn mini(engine.pool, engine.log, RecordKind::kCompensation, txn.id(), txn.last());
  mini.set_undo_next(record.prev());
  PayloadBuffer payload;
  if (undo.op == UndoOp::kEraseInserted) {
    if (!txn.keeps_log_space()) note_ghost_leaf(txn, tree, view, undo.key);
    encode_node_set_ghost(payload, position.slot, true);
    mini.add(leaf, PageOp::kNodeSetGhost, payload.bytes());
  } else {
    const auto flags = std::to_integer<std::uint8_t>(undo.value[0]);
    const Bytes value = undo.value.subspan(1);
    if (!view.has_room_to_replace(position.slot, value.size(), OldRoom::kKept)) {
      return damaged_leaf(leaf, tree, "there is no room for what was there before");
    }
    encode_node_replace(payload, position.slot, flags, value, OldRoom::kKept);
    mini.add(leaf, PageOp::kNodeReplace, payload.bytes());
  }
  mini.commit([&](const Log::Appended& appended) { txn.compensated(appended); });
  return {};
}

/// Whether a leaf can hold what the record wants back.
bool possible(const RecordUndo& undo) {
  if (undo.key.size() > kKeyBytesMax) return false;
  if (undo.op == UndoOp::kEraseInserted) return true;
  if (undo.value.empty() || undo.value.size() - 1 > inline_value_max(undo.key.size())) return false;
  const auto flags = std::to_integer<std::uint8_t>(undo.value[0]);
  return flags == 0 || (flags == kSlotOverflow && undo.value.size() - 1 == sizeof(OverflowRef));
}

Error unknown_object(const RecordView& record, const char* kind) {
  return Error(ErrorCode::kCorruption, "transaction " + std::to_string(raw(record.txn())) + " changed object " +
                                           std::to_string(raw(record.undo()->object)) +
                                           ", which the catalog does not know as a " + kind);
}

Error impossible_record(const RecordView& record) {
  return Error(ErrorCode::kCorruption, "a log record of transaction " + std::to_string(raw(record.txn())) +
                                           " says something impossible about how to undo it");
}

}  // namespace

Result<Lsn> undo_record(const Engine& engine, Txn& txn, Bytes bytes) {
  VG_ASSIGN(const RecordView record, RecordView::parse(bytes));
  if (record.txn() != txn.id()) {
    return Error(ErrorCode::kCorruption, "undo of transaction " + std::to_string(raw(txn.id())) +
                                             " leads to a log record of transaction " +
                                             std::to_string(raw(record.txn())));
  }
  if (record.kind() == RecordKind::kCompensation) return record.undo_next();
  if (record.kind() != RecordKind::kUpdate || !record.undo()) return impossible_record(record);
  const RecordUndo undo = *record.undo();
  if (undo.op != UndoOp::kEraseInserted && undo.op != UndoOp::kRestoreValue) {
    const std::optional<Heap> heap = engine.find_heap(undo.object);
    if (!heap) return unknown_object(record, "table");
    VG_TRY(undo_row(engine, txn, *heap, record));
    return record.prev();
  }
  if (!possible(undo)) return impossible_record(record);
  const std::optional<Tree> tree = engine.find_tree(undo.object);
  if (!tree) return unknown_object(record, "map or index");
  LogSpace log_space(engine.log);
  if (!txn.keeps_log_space()) {  // a loser of a crash
    VG_TRY(log_space.reserve(Tree::log_bytes_of_change(undo.key.size(), undo.value.size())));
  }
  VG_TRY(undo_entry(engine, txn, *tree, record));
  return record.prev();
}

}  // namespace vaultgres
