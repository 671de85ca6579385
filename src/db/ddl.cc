// Creating, dropping, renaming and pinning objects: each a transaction of its own over the catalog and `retired`.
// One at a time (ddl_mutex_).
#include <thread>

#include "base/try.h"
#include "catalog/catalog_entry.h"
#include "db/catalog_rows.h"
#include "db/core.h"

namespace vaultgres::internal {

Status Core::put_catalog_row(Txn& txn, std::string_view name, const CatalogEntry& entry, PutMode mode) {
  const std::string value = encode_catalog_entry(entry);
  return put_entry(*engine_, *txns_, txn, catalog_tree(*engine_), as_bytes(name), as_bytes(value), mode);
}

Status Core::erase_catalog_row(Txn& txn, std::string_view name) {
  VG_ASSIGN(const bool erased, erase_entry(*engine_, *txns_, txn, catalog_tree(*engine_), as_bytes(name)));
  if (erased) return {};
  return Error(ErrorCode::kCorruption, "the catalog lost the row of \"" + std::string(name) + "\"");
}

namespace {

CatalogEntry entry_of(const ObjectState& state) {
  CatalogEntry entry;
  entry.kind = state.kind;
  entry.object = state.object;
  entry.root = state.root;
  entry.pinned = state.pinned.load();
  if (state.kind == ObjectKind::kTable) entry.schema = static_cast<const TableState&>(state).schema();
  if (state.kind == ObjectKind::kIndex) entry.index = static_cast<const IndexState&>(state).definition;
  return entry;
}

RetiredKind retired_kind_of(ObjectKind kind) {
  return kind == ObjectKind::kTable ? RetiredKind::kTable : RetiredKind::kTree;
}

}  // namespace

// --- Creating

Result<std::shared_ptr<MapState>> Core::create_map(std::string_view name) {
  VG_TRY(check_writable());
  const std::lock_guard ddl(ddl_mutex_);
  VG_TRY(check_name_free(name));
  CatalogEntry entry;
  entry.kind = ObjectKind::kMap;
  VG_ASSIGN(entry.object, next_object());
  DdlTxn txn(*this, *txns_);
  VG_ASSIGN(const NewObject made, create_object(*engine_, *txn, RetiredKind::kTree, entry.object));
  entry.root = made.root;
  VG_TRY(publish_object(*engine_, *txns_, *txn, made));
  VG_TRY(put_catalog_row(*txn, name, entry, PutMode::kInsertUnique));
  auto state = std::make_shared<MapState>(std::string(name), entry);
  VG_TRY(txn.commit());
  add_object(name, state);
  return state;
}

Result<std::shared_ptr<TableState>> Core::create_table(std::string_view name, Schema schema) {
  VG_TRY(check_writable());
  const std::lock_guard ddl(ddl_mutex_);
  VG_TRY(check_name_free(name));
  CatalogEntry entry;
  entry.kind = ObjectKind::kTable;
  entry.schema = std::move(schema);
  VG_ASSIGN(entry.object, next_object());
  DdlTxn txn(*this, *txns_);
  VG_ASSIGN(const NewObject made, create_object(*engine_, *txn, RetiredKind::kTable, entry.object));
  entry.root = made.root;
  VG_TRY(publish_object(*engine_, *txns_, *txn, made));
  VG_TRY(put_catalog_row(*txn, name, entry, PutMode::kInsertUnique));
  auto state = std::make_shared<TableState>(std::string(name), entry);
  VG_TRY(txn.commit());
  add_object(name, state);
  return state;
}

Status Core::publish(OpenTransaction& open, std::string_view name, const CatalogEntry& entry, const NewObject& made,
                     const std::shared_ptr<ObjectState>& state) {
  const std::lock_guard ddl(ddl_mutex_);
  VG_TRY(check_name_free(name));
  {
    const SharedGate::Pass pass = enter_writing();
    if (!pass || open.txn == nullptr) return closed_error();
    Txn& txn = *open.txn;
    const Lsn last = txn.last();
    const std::size_t written = txn.written().size();
    const Status named = [&]() -> Status {
      try {
        VG_TRY(publish_object(*engine_, *txns_, txn, made));
        return put_catalog_row(txn, name, entry, PutMode::kInsertUnique);
      } catch (const std::bad_alloc&) {
        return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
      }
    }();
    if (!named) {  // the caller may try again
      if (txn.last() != last) VG_TRY(txns_->rollback_to(txn, last, written));
      return named.error();
    }
  }
  VG_TRY(end(open, CommitMode::kDurable));
  add_object(name, state);
  return {};
}

Status Core::wait_for_end(const TxnStatus& holder, std::chrono::steady_clock::time_point deadline) const {
  constexpr std::chrono::milliseconds kSlice{20};  // close() waits for this call, and ends the holder only then
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (holder.wait_finished(std::min(deadline, now + kSlice))) return {};
    if (is_closed()) return closed_error();
    if (now >= deadline) return waited_too_long(*engine_, holder);
  }
}

// --- Dropping

/// Until no open transaction has written to the object; no new one can begin to. kConflict after the lock timeout.
Status Core::wait_for_writers(const ObjectState& object) const {
  const auto deadline = std::chrono::steady_clock::now() + engine_->lock_timeout;
  while (object.open_writers.load() != 0) {
    if (is_closed()) return closed_error();
    if (std::chrono::steady_clock::now() > deadline) {
      return Error(ErrorCode::kConflict,
                   "open transactions have changed \"" + object.name + "\"; try again when they have ended");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return {};
}

/// Takes the objects' rows out of the catalog and gives their pages to the collector. `gone` are marked as dropped: no
/// call reaches them any more, unless this fails.
Status Core::drop_marked(std::span<const std::shared_ptr<ObjectState>> gone) {
  std::vector<std::string> names;
  bool removed = false;
  const auto drop = [&]() -> Status {
    try {
      for (const std::shared_ptr<ObjectState>& object : gone) names.push_back(name_of(*object));
      DdlTxn txn(*this, *txns_);
      // Before the collector may free a page of it, nobody finds it any more.
      for (const std::shared_ptr<ObjectState>& object : gone) remove_object(*object);
      removed = true;
      for (std::size_t i = 0; i < gone.size(); ++i) {
        const ObjectState& object = *gone[i];
        VG_TRY(retire_object(*engine_, *txns_, *txn, retired_kind_of(object.kind), object.object, object.root));
        VG_TRY(erase_catalog_row(*txn, names[i]));
      }
      return txn.commit();
    } catch (const std::bad_alloc&) {
      return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
    }
  };
  const Status dropped = drop();
  if (dropped) return dropped;
  for (std::size_t i = 0; i < gone.size(); ++i) {
    if (removed) add_object(names[i], gone[i]);
    gone[i]->dropped.store(false);
  }
  return dropped;
}

Status Core::drop_index(const std::shared_ptr<IndexState>& index) {
  std::string table_name;
  const std::shared_ptr<TableState> table = find_table(index->definition.table, table_name);
  if (table == nullptr) return index->dropped_error();
  // Statements on the table wait, so that each of them changes all of its indexes or none.
  const SharedGate::Hold hold = table->gate.hold();
  VG_TRY(wait_for_writers(*table));
  index->dropped.store(true);
  const std::shared_ptr<ObjectState> gone = index;
  VG_TRY(drop_marked(std::span(&gone, 1)));
  std::erase(table->indexes, index);
  return {};
}

Status Core::drop(ObjectKind kind, std::string_view name) {
  VG_TRY(check_writable());
  const std::lock_guard ddl(ddl_mutex_);
  VG_ASSIGN(const std::shared_ptr<ObjectState> state, find_object(kind, name));
  if (kind == ObjectKind::kIndex) return drop_index(std::static_pointer_cast<IndexState>(state));
  std::vector<std::shared_ptr<ObjectState>> gone{state};
  {
    // With all writers outside, the count of open transactions that wrote to it stands still.
    const SharedGate::Hold hold = writers_.hold();
    if (!hold) return closed_error();
    if (state->open_writers.load() != 0) {
      std::string text = "open transactions have changed \"";
      return Error(ErrorCode::kConflict, text.append(name).append("\"; drop it when they have ended"));
    }
    if (kind == ObjectKind::kTable) {
      for (const auto& index : static_cast<TableState&>(*state).indexes) gone.push_back(index);
    }
    for (const auto& object : gone) object->dropped.store(true);
  }
  return drop_marked(gone);
}

// --- Renaming and pinning

Status Core::rename(ObjectKind kind, std::string_view from, std::string_view to) {
  VG_TRY(check_writable());
  const std::lock_guard ddl(ddl_mutex_);
  VG_ASSIGN(const std::shared_ptr<ObjectState> state, find_object(kind, from));
  if (from == to) return {};
  VG_TRY(check_name_free(to));
  std::string new_name(to);
  DdlTxn txn(*this, *txns_);
  // The new row first: at any point of a crash some row says where the object is, for the undo of others.
  VG_TRY(put_catalog_row(*txn, to, entry_of(*state), PutMode::kInsertUnique));
  VG_TRY(erase_catalog_row(*txn, from));
  VG_TRY(txn.commit());
  const std::lock_guard lock(catalog_mutex_);
  auto node = objects_.extract(objects_.find(from));  // needs no memory: the new name is committed
  node.key() = std::move(new_name);
  objects_.insert(std::move(node));
  return {};
}

Status Core::set_pinned(std::string_view name, bool pinned) {
  VG_TRY(check_writable());
  const std::lock_guard ddl(ddl_mutex_);
  VG_ASSIGN(const std::shared_ptr<ObjectState> state, find_object(name));
  if (state->pinned.load() == pinned) return {};
  CatalogEntry entry = entry_of(*state);
  entry.pinned = pinned;
  DdlTxn txn(*this, *txns_);
  VG_TRY(put_catalog_row(*txn, name, entry, PutMode::kUpdate));
  VG_TRY(txn.commit());
  state->pinned.store(pinned);
  return {};
}

}  // namespace vaultgres::internal
