// Maps by name: the catalog tree, its copy in memory, and the changes of it.
//
// Every change is a transaction of its own over the catalog and `retired`. One at a time (ddl_mutex_).
#include <array>

#include "base/try.h"
#include "catalog/catalog_entry.h"
#include "db/core.h"
#include "txn/retired.h"

namespace vaultgres::internal {

namespace {

Tree catalog_tree(const Engine& engine) {
  return Tree(engine.trees, kCatalogObject, kCatalogRootPage);
}

Error no_such_map(std::string_view name) {
  return Error(ErrorCode::kNotFound, "there is no map \"" + std::string(name) + "\"");
}

/// Rolls back unless committed.
class DdlTxn {
 public:
  DdlTxn(Core& core, TxnManager& manager) : pass_(core.enter_writing()), manager_(manager), txn_(manager.begin()) {}
  DdlTxn(const DdlTxn&) = delete;
  DdlTxn& operator=(const DdlTxn&) = delete;
  ~DdlTxn() {
    // A rollback that fails has poisoned the database: the next call says so.
    if (txn_ != nullptr) static_cast<void>(manager_.rollback(std::move(txn_)).has_value());
  }
  Txn& operator*() noexcept { return *txn_; }
  Status commit() { return manager_.commit(std::move(txn_), CommitMode::kDurable); }

 private:
  SharedGate::Pass pass_;
  TxnManager& manager_;
  std::unique_ptr<Txn> txn_;
};

std::string map_value(ObjectId object, PageId root) {
  CatalogEntry entry;
  entry.kind = ObjectKind::kMap;
  entry.object = object;
  entry.root = root;
  return encode_catalog_entry(entry);
}

}  // namespace

std::optional<Tree> Core::find_tree(ObjectId object) const {
  if (object == kCatalogObject) return catalog_tree(*engine_);
  if (object == kRetiredObject) return engine_->retired();
  const std::lock_guard lock(catalog_mutex_);
  const auto found = trees_.find(object);
  if (found == trees_.end()) return std::nullopt;
  return Tree(engine_->trees, object, found->second);
}

/// Reads the catalog as it stands, rows of transactions that a crash left open included: undo needs their
/// trees. Nobody else is at work.
Status Core::load_catalog() {
  std::map<std::string, std::shared_ptr<MapState>, std::less<>> maps;
  std::map<ObjectId, PageId> trees;
  struct Row {
    std::string name;
    std::string value;
    bool ghost;
  };
  std::string from;
  for (bool at_end = false; !at_end;) {
    std::vector<Row> rows;
    std::string bound;
    VG_TRY(catalog_tree(*engine_).read_leaf(as_bytes(from), [&](const NodeView& leaf) {
      rows.clear();
      std::array<std::byte, kKeyBytesMax> key;
      for (unsigned slot = leaf.lower_bound(as_bytes(from)).slot; slot < leaf.count(); ++slot) {
        rows.push_back({std::string(as_text(Bytes(key).first(leaf.copy_key(slot, key)))),
                        std::string(as_text(leaf.value(slot))), (leaf.flags(slot) & kSlotGhost) != 0});
      }
      bound.assign(as_text(leaf.high_fence()));
      at_end = !leaf.has_high_fence();
    }));
    for (const Row& row : rows) {
      auto entry = decode_catalog_entry(as_bytes(row.value));
      if (!entry) return entry.error().with_context("catalog row \"" + row.name + "\"");
      trees.emplace(entry->object, entry->root);
      if (row.ghost || entry->kind != ObjectKind::kMap) continue;
      auto state = std::make_shared<MapState>();
      state->name = row.name;
      state->object = entry->object;
      state->root = entry->root;
      maps.emplace(row.name, std::move(state));
    }
    from = std::move(bound);
  }
  const std::lock_guard lock(catalog_mutex_);
  maps_ = std::move(maps);
  trees_ = std::move(trees);
  return {};
}

Result<std::shared_ptr<MapState>> Core::find_map(std::string_view name) {
  VG_TRY(check_name(name));
  const std::lock_guard lock(catalog_mutex_);
  const auto found = maps_.find(name);
  if (found == maps_.end()) return no_such_map(name);
  return found->second;
}

Result<std::shared_ptr<MapState>> Core::create_map(std::string_view name) {
  VG_TRY(check_name(name));
  const std::lock_guard ddl(ddl_mutex_);
  if (find_map(name)) {
    return Error(ErrorCode::kAlreadyExists, "there is a map \"" + std::string(name) + "\" already");
  }
  VG_ASSIGN(const ObjectId object, next_object());
  DdlTxn txn(*this, *txns_);
  VG_ASSIGN(const NewTree tree, create_tree(*engine_, *txn, object));
  VG_ASSIGN(const bool erased, erase_entry(*engine_, *txns_, *txn, engine_->retired(), as_bytes(tree.retired_row)));
  if (!erased) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
  VG_TRY(put_entry(*engine_, *txns_, *txn, catalog_tree(*engine_), as_bytes(name),
                   as_bytes(map_value(object, tree.root)), PutMode::kInsertUnique));
  auto state = std::make_shared<MapState>();
  state->name = name;
  state->object = object;
  state->root = tree.root;
  VG_TRY(txn.commit());
  const std::lock_guard lock(catalog_mutex_);
  maps_.emplace(state->name, state);
  trees_.emplace(object, tree.root);
  return state;
}

Status Core::drop_map(std::string_view name) {
  const std::lock_guard ddl(ddl_mutex_);
  VG_ASSIGN(const std::shared_ptr<MapState> state, find_map(name));
  {
    // With all writers outside, the count of open transactions that wrote to it stands still.
    const SharedGate::Hold hold = writers_.hold();
    if (!hold) return closed_error();
    if (state->open_writers.load() != 0) {
      return Error(ErrorCode::kConflict, "open transactions have changed the map \"" + std::string(name) +
                                             "\"; drop it when they have ended");
    }
    state->dropped.store(true);
  }
  const auto drop = [&]() -> Status {
    DdlTxn txn(*this, *txns_);
    VG_TRY(retire_tree(*engine_, *txns_, *txn, state->object, state->root));
    VG_ASSIGN(const bool erased, erase_entry(*engine_, *txns_, *txn, catalog_tree(*engine_), as_bytes(name)));
    if (!erased) return Error(ErrorCode::kCorruption, "the catalog lost the row of map \"" + std::string(name) + "\"");
    return txn.commit();
  };
  if (Status dropped = drop(); !dropped) {
    state->dropped.store(false);
    return dropped;
  }
  const std::lock_guard lock(catalog_mutex_);
  maps_.erase(maps_.find(name));  // not by state->name: it may have been renamed since
  trees_.erase(state->object);
  return {};
}

Status Core::rename_map(std::string_view from, std::string_view to) {
  VG_TRY(check_name(to));
  const std::lock_guard ddl(ddl_mutex_);
  VG_ASSIGN(const std::shared_ptr<MapState> state, find_map(from));
  if (from == to) return {};
  if (find_map(to)) {
    return Error(ErrorCode::kAlreadyExists, "there is a map \"" + std::string(to) + "\" already");
  }
  DdlTxn txn(*this, *txns_);
  VG_ASSIGN(const bool erased, erase_entry(*engine_, *txns_, *txn, catalog_tree(*engine_), as_bytes(from)));
  if (!erased) return Error(ErrorCode::kCorruption, "the catalog lost the row of map \"" + std::string(from) + "\"");
  VG_TRY(put_entry(*engine_, *txns_, *txn, catalog_tree(*engine_), as_bytes(to),
                   as_bytes(map_value(state->object, state->root)), PutMode::kInsertUnique));
  VG_TRY(txn.commit());
  const std::lock_guard lock(catalog_mutex_);
  maps_.erase(maps_.find(from));
  maps_.emplace(std::string(to), state);
  return {};
}

Result<std::vector<MapInfo>> Core::list_maps() {
  const std::lock_guard lock(catalog_mutex_);
  std::vector<MapInfo> list;
  for (const auto& [name, state] : maps_) list.push_back({name, raw(state->object)});
  return list;
}

}  // namespace vaultgres::internal
