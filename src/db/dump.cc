// Database::dump: objects, one after the other, through their public handles.
#include <algorithm>
#include <set>

#include "base/try.h"
#include "db/core.h"
#include "db/dump_writer.h"

namespace vaultgres {

namespace internal {

namespace {

/// What is dumped: a map or table, and the indexes of a table.
struct Dumped {
  std::string name;
  std::shared_ptr<ObjectState> state;
  std::vector<IndexInfo> indexes;
};

Result<Dumped> find_dumped(Core& core, const std::string& name) {
  Dumped dumped{name, nullptr, {}};
  VG_ASSIGN(dumped.state, core.find_object(name));
  if (dumped.state->kind == ObjectKind::kIndex) {
    return Error(ErrorCode::kInvalidArgument,
                 "\"" + name + "\" is an index; name its table, whose dump has its indexes");
  }
  if (dumped.state->kind == ObjectKind::kTable) {
    dumped.indexes = core.list_indexes(static_cast<const TableState*>(dumped.state.get()));
  }
  return dumped;
}

/// In the order of their names, so that equal content gives equal bytes.
Result<std::vector<Dumped>> find_all(Core& core, const std::vector<std::string>& objects) {
  std::set<std::string> names(objects.begin(), objects.end());
  if (names.empty()) {
    for (const MapInfo& map : core.list_maps()) names.insert(map.name);
    for (const TableInfo& table : core.list_tables()) names.insert(table.name);
  }
  std::vector<Dumped> found;
  for (const std::string& name : names) {
    VG_ASSIGN(Dumped dumped, find_dumped(core, name));
    found.push_back(std::move(dumped));
  }
  return found;
}

CatalogEntry dumped_entry_of(const ObjectState& state) {
  CatalogEntry entry;
  entry.kind = state.kind;
  entry.pinned = state.pinned.load(std::memory_order_relaxed);
  return entry;
}

Status dump_map(const std::shared_ptr<Core>& core, const Dumped& dumped, DumpWriter& writer) {
  VG_TRY(writer.begin_object(dumped.name, dumped_entry_of(*dumped.state)));
  const Map map = make_map({core, std::static_pointer_cast<MapState>(dumped.state), dumped.name});
  Cursor cursor = map.cursor();
  for (;;) {
    VG_ASSIGN(const bool more, cursor.next());
    if (!more) return writer.end_object();
    VG_TRY(writer.add_entry(cursor.key(), cursor.value()));
  }
}

Status dump_rows(const std::shared_ptr<Core>& core, const Dumped& dumped, DumpWriter& writer) {
  const auto state = std::static_pointer_cast<TableState>(dumped.state);
  CatalogEntry entry = dumped_entry_of(*state);
  entry.schema = state->schema();
  VG_TRY(writer.begin_object(dumped.name, entry));
  const Table table = make_table(std::make_shared<TableHandle>(TableHandle{core, state, dumped.name}));
  TableScan scan = table.scan();
  std::string bytes;
  for (;;) {
    VG_ASSIGN(const bool more, scan.next());
    if (!more) return writer.end_object();
    VG_TRY(state->codec.encode(scan.row(), bytes));
    VG_TRY(writer.add_row(bytes));
  }
}

Status dump_index(const std::shared_ptr<Core>& core, const std::string& name, DumpWriter& writer) {
  return run_call(core, [&]() -> Status {
    VG_ASSIGN(const std::shared_ptr<IndexState> state, core->find_index(name));
    CatalogEntry entry = dumped_entry_of(*state);
    entry.index = state->definition;
    return writer.add_index(name, entry);
  });
}

Status dump_object(const std::shared_ptr<Core>& core, const Dumped& dumped, DumpWriter& writer) {
  if (dumped.state->kind == ObjectKind::kMap) return dump_map(core, dumped, writer);
  VG_TRY(dump_rows(core, dumped, writer));
  for (const IndexInfo& index : dumped.indexes) VG_TRY(dump_index(core, index.name, writer));
  return {};
}

Result<DumpSummary> dump_objects(const std::shared_ptr<Core>& core, const std::vector<std::string>& objects,
                                 DumpWriter& writer) {
  VG_ASSIGN(const std::vector<Dumped> all, run_call(core, [&] { return find_all(*core, objects); }));
  VG_TRY(writer.begin());
  for (const Dumped& dumped : all) {
    VG_TRY(writer.add_name(dumped.state->kind, dumped.name));
    for (const IndexInfo& index : dumped.indexes) VG_TRY(writer.add_name(ObjectKind::kIndex, index.name));
  }
  for (const Dumped& dumped : all) {
    if (Status done = dump_object(core, dumped, writer); !done) return done.error().with_context(dumped.name);
  }
  VG_TRY(writer.finish());
  return writer.summary();
}

}  // namespace

}  // namespace internal

Result<DumpSummary> Database::dump(const DumpSink& sink, const std::vector<std::string>& objects) {
  const auto write = [&](Bytes bytes) { return sink(as_text(bytes)); };
  internal::DumpWriter writer(write);
  return internal::catch_bad_alloc([&] { return internal::dump_objects(core_, objects, writer); });
}

}  // namespace vaultgres
