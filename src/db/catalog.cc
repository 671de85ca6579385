// Objects by name: the catalog tree and its copy in memory.
#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "base/try.h"
#include "catalog/catalog_entry.h"
#include "db/catalog_rows.h"
#include "db/core.h"
#include "txn/overflow.h"

namespace vaultgres::internal {

namespace {

std::string_view kind_name(ObjectKind kind) {
  return kind == ObjectKind::kMap ? "map" : kind == ObjectKind::kTable ? "table" : "index";
}

std::string_view article_of(ObjectKind kind) {
  return kind == ObjectKind::kIndex ? "an" : "a";
}

Error no_such_object(ObjectKind wanted, std::string_view name, const ObjectState* other) {
  std::string text = "there is no ";
  text.append(kind_name(wanted)).append(" \"").append(name).append("\"");
  if (other != nullptr) text.append("; the name is that of ").append(article_of(other->kind)).append(" ");
  if (other != nullptr) text.append(kind_name(other->kind));
  return Error(ErrorCode::kNotFound, text);
}

/// One row of the catalog as it stands in a leaf.
struct CatalogRow {
  std::string name;
  std::string value;
  bool ghost;
  bool overflow;
};

Status read_rows(const Tree& catalog, Bytes from, std::vector<CatalogRow>& rows, std::string& bound, bool& at_end) {
  return catalog.read_leaf(from, [&](const NodeView& leaf) {
    rows.clear();
    std::array<std::byte, kKeyBytesMax> key;
    for (unsigned slot = leaf.lower_bound(from).slot; slot < leaf.count(); ++slot) {
      const std::uint8_t flags = leaf.flags(slot);
      rows.push_back({std::string(as_text(Bytes(key).first(leaf.copy_key(slot, key)))),
                      std::string(as_text(leaf.value(slot))), (flags & kSlotGhost) != 0, (flags & kSlotOverflow) != 0});
    }
    bound.assign(as_text(leaf.high_fence()));
    at_end = !leaf.has_high_fence();
  });
}

}  // namespace

Tree catalog_tree(const Engine& engine) {
  return Tree(engine.trees, kCatalogObject, kCatalogRootPage);
}

Error ObjectState::dropped_error() const {
  std::string text = "the ";
  text.append(kind_name(kind)).append(" \"").append(name).append("\" was dropped");
  return Error(ErrorCode::kNotFound, text);
}

IndexSpec spec_of(const Schema& schema, const IndexDefinition& definition) {
  IndexSpec spec{.columns = {}, .unique = definition.unique};
  for (const IndexColumn& part : definition.columns) {
    spec.columns.push_back({schema[part.column].name, part.descending});
  }
  return spec;
}

std::optional<Tree> Core::find_tree(ObjectId object) const {
  if (object == kCatalogObject) return catalog_tree(*engine_);
  if (object == kRetiredObject) return engine_->retired();
  const std::lock_guard lock(catalog_mutex_);
  const auto found = trees_.find(object);
  if (found == trees_.end()) return std::nullopt;
  return Tree(engine_->trees, object, found->second);
}

std::optional<Heap> Core::find_heap(ObjectId object) const {
  const std::lock_guard lock(catalog_mutex_);
  const auto found = tables_.find(object);
  if (found == tables_.end()) return std::nullopt;
  return Heap(engine_->heaps, object, found->second);
}

// --- Loading

namespace {

/// What load_catalog() finds, before it is made known.
struct Loaded {
  std::map<std::string, std::shared_ptr<ObjectState>, std::less<>> objects;
  std::set<ObjectId> ids;
  std::map<ObjectId, PageId> trees;
  std::map<ObjectId, PageId> tables;
  std::map<ObjectId, std::shared_ptr<TableState>> table_states;
  std::vector<std::pair<std::string, CatalogEntry>> indexes;  ///< when all tables are known

  /// Old rows of a renamed object are ghosts once that is committed or undone: then two others with one id are damage.
  Status add(const std::string& name, const CatalogEntry& entry, bool ghost, bool undone) {
    (entry.kind == ObjectKind::kTable ? tables : trees).emplace(entry.object, entry.root);
    if (ghost) return {};
    const bool known = !ids.insert(entry.object).second;
    if (entry.object < kFirstUserObject || (known && undone)) {
      return Error(ErrorCode::kCorruption, "the catalog gives \"" + name + "\" the object id " +
                                               std::to_string(raw(entry.object)) + ", which another object has");
    }
    if (entry.kind == ObjectKind::kMap) objects.emplace(name, std::make_shared<MapState>(name, entry));
    if (entry.kind == ObjectKind::kIndex) indexes.emplace_back(name, entry);
    if (entry.kind != ObjectKind::kTable) return {};
    auto table = std::make_shared<TableState>(name, entry);
    table_states.emplace(entry.object, table);
    objects.emplace(name, std::move(table));
    return {};
  }

  /// An index whose table is missing belongs to a transaction that undo will end; it is looked at again afterwards.
  Status add_indexes(bool undone) {
    for (const auto& [name, entry] : indexes) {
      const auto table = table_states.find(entry.index->table);
      if (table == table_states.end()) {
        if (!undone) continue;
        return Error(ErrorCode::kCorruption, "the catalog has an index \"" + name + "\" without its table");
      }
      auto codec = KeyCodec::create(table->second->schema(), entry.index->columns);
      if (!codec) {
        return Error(ErrorCode::kCorruption, "the catalog's index \"" + name +
                                                 "\" does not fit its table: " + std::string(codec.error().message()));
      }
      auto index = std::make_shared<IndexState>(name, entry, *std::move(codec));
      table->second->indexes.push_back(index);
      objects.emplace(name, std::move(index));
    }
    return {};
  }
};

}  // namespace

/// Reads the catalog as it stands, rows of transactions that a crash left open included: undo needs their objects.
/// Nobody else is at work. `undone`: no such transactions are left.
Status Core::load_catalog(bool undone) {
  const Tree catalog = catalog_tree(*engine_);
  Loaded loaded;
  std::string from;
  for (bool at_end = false; !at_end;) {
    std::vector<CatalogRow> rows;
    std::string bound;
    VG_TRY(read_rows(catalog, as_bytes(from), rows, bound, at_end));
    for (CatalogRow& row : rows) {
      if (row.overflow) {
        // The chain of a ghost may be freed. Who else needs the object finds it by the row of its new name.
        if (row.ghost) continue;
        const std::string ref = std::move(row.value);
        VG_TRY(read_chain(*engine_, kCatalogObject, as_bytes(ref), row.value));
      }
      auto entry = decode_catalog_entry(as_bytes(row.value));
      if (!entry) return entry.error().with_context("catalog row \"" + row.name + "\"");
      VG_TRY(loaded.add(row.name, *entry, row.ghost, undone));
    }
    from = std::move(bound);
  }
  VG_TRY(loaded.add_indexes(undone));
  const std::lock_guard lock(catalog_mutex_);
  objects_ = std::move(loaded.objects);
  trees_ = std::move(loaded.trees);
  tables_ = std::move(loaded.tables);
  return {};
}

// --- Finding

template <class State>
Result<std::shared_ptr<State>> Core::find(ObjectKind kind, std::string_view name) const {
  VG_TRY(check_name(name));
  const std::lock_guard lock(catalog_mutex_);
  const auto found = objects_.find(name);
  if (found == objects_.end()) return no_such_object(kind, name, nullptr);
  if (found->second->kind != kind) return no_such_object(kind, name, found->second.get());
  return std::static_pointer_cast<State>(found->second);
}

Result<std::shared_ptr<MapState>> Core::find_map(std::string_view name) const {
  return find<MapState>(ObjectKind::kMap, name);
}
Result<std::shared_ptr<TableState>> Core::find_table(std::string_view name) const {
  return find<TableState>(ObjectKind::kTable, name);
}
Result<std::shared_ptr<IndexState>> Core::find_index(std::string_view name) const {
  return find<IndexState>(ObjectKind::kIndex, name);
}
Result<std::shared_ptr<ObjectState>> Core::find_object(ObjectKind kind, std::string_view name) const {
  return find<ObjectState>(kind, name);
}

Result<std::shared_ptr<ObjectState>> Core::find_object(std::string_view name) const {
  VG_TRY(check_name(name));
  const std::lock_guard lock(catalog_mutex_);
  const auto found = objects_.find(name);
  if (found != objects_.end()) return found->second;
  return Error(ErrorCode::kNotFound, "there is no map, table or index \"" + std::string(name) + "\"");
}

std::string Core::name_of(const ObjectState& state) const {
  const std::lock_guard lock(catalog_mutex_);
  for (const auto& [name, other] : objects_) {
    if (other.get() == &state) return name;
  }
  return state.name;
}

std::shared_ptr<TableState> Core::find_table(ObjectId object, std::string& name) const {
  const std::lock_guard lock(catalog_mutex_);
  for (const auto& [key, state] : objects_) {
    if (state->object != object || state->kind != ObjectKind::kTable) continue;
    name = key;
    return std::static_pointer_cast<TableState>(state);
  }
  return nullptr;
}

bool Core::has_name(ObjectId object) const {
  const std::lock_guard lock(catalog_mutex_);
  return std::any_of(objects_.begin(), objects_.end(),
                     [&](const auto& entry) { return entry.second->object == object; });
}

Status Core::check_name_free(std::string_view name) const {
  VG_TRY(check_name(name));
  const std::lock_guard lock(catalog_mutex_);
  const auto found = objects_.find(name);
  if (found == objects_.end()) return {};
  std::string text = "there is ";
  text.append(article_of(found->second->kind)).append(" ").append(kind_name(found->second->kind)).append(" \"");
  return Error(ErrorCode::kAlreadyExists, text.append(name).append("\" already"));
}

std::vector<MapInfo> Core::list_maps() const {
  const std::lock_guard lock(catalog_mutex_);
  std::vector<MapInfo> list;
  for (const auto& [name, state] : objects_) {
    if (state->kind == ObjectKind::kMap) list.push_back({name, raw(state->object)});
  }
  return list;
}

std::vector<TableInfo> Core::list_tables() const {
  const std::lock_guard lock(catalog_mutex_);
  std::vector<TableInfo> list;
  for (const auto& [name, state] : objects_) {
    if (state->kind != ObjectKind::kTable) continue;
    list.push_back({name, raw(state->object), static_cast<const TableState&>(*state).schema()});
  }
  return list;
}

std::vector<IndexInfo> Core::list_indexes(const TableState* of) const {
  const std::lock_guard lock(catalog_mutex_);
  std::map<ObjectId, std::pair<std::string_view, const TableState*>> tables;
  for (const auto& [name, state] : objects_) {
    if (state->kind != ObjectKind::kTable) continue;
    tables.emplace(state->object, std::pair(std::string_view(name), static_cast<const TableState*>(state.get())));
  }
  std::vector<IndexInfo> list;
  for (const auto& [name, state] : objects_) {
    if (state->kind != ObjectKind::kIndex) continue;
    const auto& index = static_cast<const IndexState&>(*state);
    const auto table = tables.find(index.definition.table);
    if (table == tables.end() || (of != nullptr && table->second.second != of)) continue;
    list.push_back({name, raw(index.object), std::string(table->second.first),
                    spec_of(table->second.second->schema(), index.definition)});
  }
  return list;
}

void Core::add_object(std::string_view name, const std::shared_ptr<ObjectState>& state) {
  const std::lock_guard lock(catalog_mutex_);
  try {
    objects_.insert_or_assign(std::string(name), state);
    (state->kind == ObjectKind::kTable ? tables_ : trees_).insert_or_assign(state->object, state->root);
  } catch (const std::bad_alloc&) {
    // Its row is committed, and nobody finds it before the database is opened again.
    poison_.set(Error(ErrorCode::kOutOfMemory, "no memory for a new object of the catalog"));
    throw;
  }
}

void Core::remove_object(const ObjectState& state) {
  const std::lock_guard lock(catalog_mutex_);
  // Not by its name: it may have been renamed.
  std::erase_if(objects_, [&](const auto& named) { return named.second.get() == &state; });
  (state.kind == ObjectKind::kTable ? tables_ : trees_).erase(state.object);
}

}  // namespace vaultgres::internal
