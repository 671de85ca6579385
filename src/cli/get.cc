// vaultgres get: the value of a key, or rows by their values or place.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/escape.h"
#include "cli/explain.h"
#include "cli/named_object.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/row_answer.h"
#include "cli/row_text.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kGetDetails[] = R"(
Of a map: the value of one key, as one line with the escapes \t \n \r \0 \\ \xHH; --raw writes its bytes as they are.
Of an index: all rows whose index columns equal the values, which may be fewer than the index has columns; \N is
NULL. Of a table: the row at a place, PAGE:SLOT. Rows look as `vaultgres range` shows them. Exit code 6 when there
is nothing.

Examples:
  vaultgres get shop.vg sessions alice                     a map
  vaultgres get shop.vg files logo.png --raw > logo.png
  vaultgres get shop.vg by-number '\x00\x2a' --escaped
  vaultgres get shop.vg sessions alice --json | jq .value
  vaultgres get shop.vg users_id 42                        an index
  vaultgres get shop.vg users_city_age Rome 30 --explain
  vaultgres get shop.vg users 5:0                          a table)";

struct Get {
  std::string directory;
  std::string name;
  std::vector<std::string> values;
  bool raw = false;
  RowOptions rows;
};

Error not_for(const NamedObject& object, const char* what) {
  return Error(ErrorCode::kInvalidArgument, fmt::format("{}, which {} is not", what, named(object)));
}

void print_value(const Get& get, Format format, std::string_view key, std::string_view value) {
  if (get.raw) return print(value);
  if (format == Format::kText) return print(escape(value) + "\n");
  print_answer(Json{{"key", json_of(key)}, {"value", json_of(value)}}, format);
}

Result<ExitCode> run_on(const Map& map, const Get& get) {
  VG_ASSIGN(const Format format, format_of(get.rows.json, get.rows.csv));
  if (get.rows.select || get.rows.place) return not_for(map, "--select and --place are for a table or an index");
  VG_ASSIGN(const std::string key, only_key(map, get.values, get.rows.escaped));
  Explain costs;
  VG_ASSIGN(const std::optional<std::string> value, map.get(key));
  costs.rows_looked_at = costs.rows_returned = value ? 1 : 0;
  if (value) print_value(get, format, key, *value);
  if (get.rows.explain) costs.print(get.rows.json);
  if (value) return ExitCode::kOk;
  return Error(ErrorCode::kNotFound, fmt::format("there is no key \"{}\" in {}", escape(key), named(map)));
}

/// A lookup, once.
template <class Lookup>
NextRow only_row(std::optional<TableRow>& found, const Lookup& lookup) {
  return [&found, lookup, done = false]() mutable -> Result<FoundRow> {
    if (std::exchange(done, true)) return FoundRow{};
    VG_ASSIGN(found, lookup());
    return found ? FoundRow{found->id, &found->values} : FoundRow{};
  };
}

bool identifies_one_row(const Index& index, const Row& values) {
  return index.spec().unique && values.size() == index.spec().columns.size() &&
         std::none_of(values.begin(), values.end(), [](const Value& value) { return value.is_null(); });
}

Result<ExitCode> run_on(const Index& index, const Get& get) {
  if (get.raw) return not_for(index, "--raw is for the value of a map");
  IndexRange range;
  VG_ASSIGN(range.equal, index_values(index, get.values, {.escaped = get.rows.escaped}));
  std::optional<TableRow> row;
  RowCursor cursor = index.range(range);
  NextRow next = [&]() -> Result<FoundRow> {
    VG_ASSIGN(const bool more, cursor.next());
    return more ? FoundRow{cursor.id(), &cursor.row()} : FoundRow{};
  };
  if (identifies_one_row(index, range.equal)) next = only_row(row, [&] { return index.find(range.equal); });
  VG_TRY(answer_rows(index.schema(), get.rows, next,
                     Error(ErrorCode::kNotFound, fmt::format("{} has no row with these values", named(index)))));
  return ExitCode::kOk;
}

Result<ExitCode> run_on(const Table& table, const Get& get) {
  if (get.raw) return not_for(table, "--raw is for the value of a map");
  VG_ASSIGN(const RowId id, only_place(table, get.values, "get shows", "find"));
  std::optional<TableRow> row;
  const NextRow next = only_row(row, [&]() -> Result<std::optional<TableRow>> {
    VG_ASSIGN(std::optional<Row> values, table.get(id));
    if (!values) return std::optional<TableRow>();
    return std::optional<TableRow>({id, *std::move(values)});
  });
  VG_TRY(answer_rows(table.schema(), get.rows, next,
                     Error(ErrorCode::kNotFound, fmt::format("{} has no row at {}", named(table), get.values[0]))));
  return ExitCode::kOk;
}

Result<ExitCode> run(const Get& get) {
  if (get.raw && (get.rows.json || get.rows.csv)) {
    return Error(ErrorCode::kInvalidArgument, "--raw excludes --json and --csv; give one");
  }
  VG_TRY(format_of(get.rows.json, get.rows.csv));
  return with_named_to_read(get.directory, get.name, [&](Database&, NamedObject& object) {
    return std::visit([&](const auto& opened) { return run_on(opened, get); }, object);
  });
}

Action declare_get(Arguments& arguments) {
  auto get = std::make_shared<Get>();
  arguments.positional("DIR", get->directory, kDirectoryHelp);
  arguments.positional("NAME", get->name, kNameHelp);
  arguments.positional("VALUE", get->values,
                       "The key, the index columns' values, or the row's place; `--` before one with a dash");
  arguments.option("--select", get->rows.select, "LIST", kSelectHelp);
  arguments.flag("--place", get->rows.place, kPlaceHelp);
  arguments.flag("--explain", get->rows.explain, kExplainHelp);
  arguments.flag("--escaped", get->rows.escaped, kEscapedHelp);
  arguments.flag("--raw", get->raw, "Write the bytes of a map's value, nothing else");
  arguments.flag("--json", get->rows.json, kJsonHelp);
  arguments.flag("--csv", get->rows.csv, kRowCsvHelp);
  return [get] { return run(*get); };
}

}  // namespace

const Verb kGetVerb = {"get", "Entries and rows", "Print the value of a key, or rows", kGetDetails, declare_get};

}  // namespace vaultgres::cli
