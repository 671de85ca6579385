// The table of the crash workload: one row for each key, its other columns
// follow from the value, so that a table's content is a std::map like that of a
// map.
#pragma once

#include <optional>
#include <string>

#include "support/table.h"

namespace vaultgres {

/// The table that all threads use, its index that finds a row by its key, and
/// the one by groups. Other tables of the workload begin with the same letter;
/// no map does.
inline constexpr char kWorkloadTable[] = "t";
inline constexpr char kWorkloadKeyIndex[] = "t_key";
inline constexpr char kWorkloadGroupIndex[] = "t_group";
inline bool is_workload_table(const std::string& name) {
  return name.starts_with(kWorkloadTable);
}

inline Schema workload_schema() {
  return *Schema::create(
      {{"key", ColumnType::kText}, {"group", ColumnType::kInt32, true}, {"value", ColumnType::kBytes}});
}
inline IndexSpec workload_key_spec() {
  return {.columns = {{"key"}}, .unique = true};
}
inline IndexSpec workload_group_spec() {
  return {.columns = {{"group", true}}, .unique = false};
}

inline Row workload_row(const std::string& key, const std::string& value) {
  std::uint32_t hash = 2166136261u;
  for (const char c : value) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  Row row{key, Value(), Value::bytes(value)};
  if (hash % 7 != 0) row[1] = static_cast<std::int32_t>(hash / 7 % 40) - 20;
  return row;
}

inline std::string text_of(const IndexSpec& spec) {
  std::string text = spec.unique ? "unique" : "";
  for (const IndexSpec::Part& part : spec.columns) text += " " + part.column + (part.descending ? " down" : " up");
  return text;
}

namespace workload_internal {

inline Error wrong_row(const std::string& table, const std::string& what) {
  return wrong_answer("table " + table + ": " + what);
}

/// The row of a key: by the index where there is one, else by a scan.
inline Result<std::optional<TableRow>> find_row(Database& db, const Table& table, const Transaction* txn,
                                                const std::string& key) {
  if (table.name() == kWorkloadTable) {
    const Result<Index> index = db.open_index(kWorkloadKeyIndex);
    if (!index) return index.error();
    return txn != nullptr ? index->find(*txn, {key}) : index->find({key});
  }
  TableScan scan = txn != nullptr ? table.scan(*txn) : table.scan();
  for (;;) {
    const Result<bool> more = scan.next();
    if (!more) return more.error();
    if (!*more) return std::optional<TableRow>();
    if (scan.row()[0].text() == key) return std::optional<TableRow>({scan.id(), scan.row()});
  }
}

/// Makes the row of `key` that of `value`, or none.
inline Status change_row(Database& db, Transaction* txn, const std::string& name, const std::string& key,
                         const std::optional<std::string>& value, bool was_there) {
  Result<Table> table = db.open_table(name);
  if (!table) return table.error();
  const auto found = find_row(db, *table, txn, key);
  if (!found) return found.error();
  if (found->has_value() != was_there) return wrong_row(name, key + (was_there ? " is not found" : " is there"));
  if (!value) {
    if (!was_there) return {};
    const Result<bool> erased = txn != nullptr ? table->erase(*txn, (*found)->id) : table->erase((*found)->id);
    if (!erased) return erased.error();
    return *erased ? Status() : wrong_row(name, "erase of " + key + " says false");
  }
  const Row row = workload_row(key, *value);
  if (was_there) return txn != nullptr ? table->update(*txn, (*found)->id, row) : table->update((*found)->id, row);
  const Result<RowId> inserted = txn != nullptr ? table->insert(*txn, row) : table->insert(row);
  return inserted ? Status() : Status(inserted.error());
}

/// The value of a key as the index and a get by place say. Now and then tries a
/// second row of the same key, which must be refused and leave nothing.
inline Result<std::optional<std::string>> read_row(Database& db, Transaction* txn, const std::string& name,
                                                   const std::string& key) {
  Result<Table> table = db.open_table(name);
  if (!table) return table.error();
  const auto found = find_row(db, *table, txn, key);
  if (!found) return found.error();
  if (!*found) return std::optional<std::string>();
  const TableRow& row = **found;
  const auto by_id = txn != nullptr ? table->get(*txn, row.id) : table->get(row.id);
  if (!by_id) return by_id.error();
  if (*by_id != row.values) return wrong_row(name, "get of " + key + " gives another row than the index");
  if (name == kWorkloadTable && row.id.slot % 4 == 0) {
    const auto twin = txn != nullptr ? table->insert(*txn, row.values) : table->insert(row.values);
    if (twin) return wrong_row(name, "a second row of " + key + " is taken");
    if (twin.error().code() != ErrorCode::kDuplicateKey) return twin.error();
  }
  return std::optional<std::string>(row.values[2].bytes());
}

}  // namespace workload_internal

/// All rows of a table by their keys, if they and all indexes agree.
inline Result<Content> read_workload_table(Database& db, const std::string& name) {
  using workload_internal::wrong_row;
  const Result<Table> table = db.open_table(name);
  if (!table) return table.error();
  const Result<Rows> rows = read_rows(table->scan());
  if (!rows) return rows.error().with_context("table " + name);
  Content content;
  for (const auto& [id, row] : *rows) {
    const std::string key(row[0].text());
    const std::string value(row[2].bytes());
    if (row != workload_row(key, value)) return wrong_row(name, "the row of " + key + " is not whole");
    if (!content.emplace(key, value).second) return wrong_row(name, "two rows of " + key);
  }
  const auto indexes = db.indexes(name);
  if (!indexes) return indexes.error();
  for (const IndexInfo& info : *indexes) {
    const Result<Index> index = db.open_index(info.name);
    if (!index) return index.error();
    if (Status agrees = check_index(*index, *rows); !agrees) return agrees.error().with_context("table " + name);
  }
  return content;
}

}  // namespace vaultgres
