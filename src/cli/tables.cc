// vaultgres tables: what tables there are, their columns and indexes.
#include <fmt/format.h>

#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/column_types.h"
#include "cli/hint.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kTablesDetails[] = R"help(
Columns are written as `import --columns` takes them. With TABLE: the table's columns and indexes, one a line. In
JSON columns and indexes are lists, with and without TABLE.

Examples:
  vaultgres tables shop.vg
  vaultgres tables shop.vg users
  vaultgres tables shop.vg --json | jq -r '.[].name'
  vaultgres import shop.vg copy users.csv --columns "$(vaultgres tables shop.vg --json | jq -r '.[0].schema')")help";

struct Tables {
  std::string directory;
  std::optional<std::string> table;
  bool json = false;
  bool csv = false;
};

struct Description {
  TableInfo table;
  std::vector<IndexInfo> indexes;
};

/// "users_id (id) unique".
std::string text_of_index(const IndexInfo& index) {
  return fmt::format("{} ({}){}", index.name, index_columns_text(index.spec), index.spec.unique ? " unique" : "");
}

/// One line of the list.
Json line_of(const Description& described) {
  std::string indexes;
  for (const IndexInfo& index : described.indexes) indexes += (indexes.empty() ? "" : ", ") + text_of_index(index);
  return {{"name", json_of(described.table.name)},
          {"object_id", described.table.object_id},
          {"columns", schema_text(described.table.schema)},
          {"indexes", json_of(indexes)}};
}

Json columns_of(const Schema& schema) {
  Json columns = Json::array();
  for (const Column& column : schema.columns()) {
    columns.push_back(
        {{"name", json_of(column.name)}, {"type", column_type_name(column.type)}, {"nullable", column.nullable}});
  }
  return columns;
}

Json object_of(const Description& described) {
  Json indexes = Json::array();
  for (const IndexInfo& index : described.indexes) {
    indexes.push_back({{"name", json_of(index.name)},
                       {"object_id", index.object_id},
                       {"columns", index_columns_json(index.spec)},
                       {"unique", index.spec.unique}});
  }
  return {{"name", json_of(described.table.name)},
          {"object_id", described.table.object_id},
          {"schema", schema_text(described.table.schema)},
          {"columns", columns_of(described.table.schema)},
          {"indexes", indexes}};
}

void print_drawing(const Description& described) {
  print(fmt::format("{}, object {}\n\n", text_of(json_of(described.table.name)), described.table.object_id));
  std::vector<std::vector<std::string>> columns;
  for (const Column& column : described.table.schema.columns()) {
    columns.push_back({text_of(json_of(column_name_text(column.name))), std::string(column_type_name(column.type)),
                       column.nullable ? "null" : ""});
  }
  print("columns\n" + align(columns, "  "));
  if (described.indexes.empty()) return;
  std::vector<std::vector<std::string>> indexes;
  for (const IndexInfo& index : described.indexes) {
    indexes.push_back({text_of(json_of(index.name)), text_of(json_of(index_columns_text(index.spec))),
                       index.spec.unique ? "unique" : ""});
  }
  print("\nindexes\n" + align(indexes, "  "));
}

Result<std::vector<Description>> describe(Database& database, const std::optional<std::string>& only) {
  VG_ASSIGN(std::vector<TableInfo> tables, database.tables());
  std::vector<Description> found;
  for (TableInfo& table : tables) {
    if (only && table.name != *only) continue;
    VG_ASSIGN(std::vector<IndexInfo> indexes, database.indexes(table.name));
    found.push_back({std::move(table), std::move(indexes)});
  }
  if (only && found.empty()) {
    return Error(ErrorCode::kNotFound,
                 fmt::format("there is no table \"{}\"; `vaultgres tables` lists the tables", *only));
  }
  return found;
}

Result<ExitCode> run_on(Database& database, const Tables& tables, Format format) {
  VG_ASSIGN(const std::vector<Description> found, describe(database, tables.table));
  if (tables.table && format == Format::kText) {
    print_drawing(found.front());
    return ExitCode::kOk;
  }
  Json answer = Json::array();
  for (const Description& described : found) {
    answer.push_back(format == Format::kJson ? object_of(described) : line_of(described));
  }
  print_answer(tables.table ? answer.front() : answer, format);
  return ExitCode::kOk;
}

Result<ExitCode> run(const Tables& tables) {
  VG_ASSIGN(const Format format, format_of(tables.json, tables.csv));
  return with_database_to_read(tables.directory, [&](Database& database) { return run_on(database, tables, format); });
}

Action declare_tables(Arguments& arguments) {
  auto tables = std::make_shared<Tables>();
  arguments.positional("DIR", tables->directory, kDirectoryHelp);
  arguments.positional("TABLE", tables->table, "Only this table");
  arguments.flag("--json", tables->json, kJsonHelp);
  arguments.flag("--csv", tables->csv, kCsvHelp);
  return [tables] { return run(*tables); };
}

}  // namespace

const Verb kTablesVerb = {"tables", "Tables", "List the tables, or draw one", kTablesDetails, declare_tables};

}  // namespace vaultgres::cli
