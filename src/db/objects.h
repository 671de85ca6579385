// What stands behind the handles of maps, tables and indexes. One state per object, shared by all its handles.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/gate.h"
#include "catalog/catalog_entry.h"
#include "catalog/row_encoding.h"
#include "txn/engine.h"
#include "vaultgres/table.h"

namespace vaultgres::internal {

class Core;

struct ObjectState {
  ObjectState(ObjectKind k, std::string n, const CatalogEntry& entry)
      : kind(k), name(std::move(n)), object(entry.object), root(entry.root), pinned(entry.pinned) {}
  ObjectState(const ObjectState&) = delete;
  ObjectState& operator=(const ObjectState&) = delete;
  virtual ~ObjectState() = default;

  const ObjectKind kind;
  const std::string name;  ///< as it was when first opened; renames are the catalog's matter
  const ObjectId object;
  const PageId root;
  std::atomic<bool> pinned;
  std::atomic<bool> dropped{false};
  std::atomic<int> open_writers{0};  ///< transactions that have written to it and are open

  Hint hint() const noexcept { return pinned.load(std::memory_order_relaxed) ? Hint::kPinned : Hint::kNormal; }
  Error dropped_error() const;
};

struct MapState : ObjectState {
  MapState(std::string n, const CatalogEntry& entry) : ObjectState(ObjectKind::kMap, std::move(n), entry) {}
  Tree tree(const Engine& engine) const noexcept { return Tree(engine.trees, object, root, hint()); }
};

struct IndexState : ObjectState {
  IndexState(std::string n, const CatalogEntry& entry, KeyCodec key_codec)
      : ObjectState(ObjectKind::kIndex, std::move(n), entry), definition(*entry.index), codec(std::move(key_codec)) {}
  Tree tree(const Engine& engine) const noexcept { return Tree(engine.trees, object, root, hint()); }

  const IndexDefinition definition;
  const KeyCodec codec;
};

struct TableState : ObjectState {
  TableState(std::string n, const CatalogEntry& entry)
      : ObjectState(ObjectKind::kTable, std::move(n), entry), codec(*entry.schema) {}
  Heap heap(const Engine& engine) const noexcept { return Heap(engine.heaps, object, root, hint()); }
  const Schema& schema() const noexcept { return codec.schema(); }

  const RowCodec codec;
  /// Every statement that writes to the table passes; who adds or removes an index holds it.
  SharedGate gate;
  std::vector<std::shared_ptr<IndexState>> indexes;  ///< changed under the gate's hold, read behind it
};

/// Behind a public Map: keeps the core alive.
struct MapHandle {
  std::shared_ptr<Core> core;
  std::shared_ptr<MapState> map;
  std::string name;  ///< by which it was opened
};

struct TableHandle {
  std::shared_ptr<Core> core;
  std::shared_ptr<TableState> table;
  std::string name;
};

struct IndexHandle {
  std::shared_ptr<Core> core;
  std::shared_ptr<TableState> table;
  std::shared_ptr<IndexState> index;
  std::string name;
  std::string table_name;
  IndexSpec spec;
};

/// The definition in terms of column names. Precondition: it fits the schema.
IndexSpec spec_of(const Schema& schema, const IndexDefinition& definition);

/// The TID that an entry of an index leads to. kCorruption: there is none.
Result<Tid> tid_of_entry(const IndexState& index, Bytes key, Bytes value);
/// What stands in an index for a row: key and value.
Status index_entry_of(const IndexState& index, std::span<const Value> row, Tid tid, std::string& key,
                      std::string& value);

}  // namespace vaultgres::internal
