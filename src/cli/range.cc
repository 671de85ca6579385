// vaultgres range: entries of a map or rows of a table in order, as they come.
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/escape.h"
#include "cli/explain.h"
#include "cli/line_printer.h"
#include "cli/named_object.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/row_answer.h"
#include "cli/row_text.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kRangeDetails[] = R"(
Of a map: its entries in the order of the keys, which compare as bytes. Of an index: the rows of its table in the
order of the index; --equal gives values of its first columns, and --from, --to and --prefix are about the column
behind these. Of a table: all rows, in the order of their places.

--where filters rows: COLUMN OP VALUE, OP being = != < <= > >=; of several conditions all must hold. Values compare
as in an index: text as bytes, false before true, NaN behind all numbers. NULL (or \N) stands with = and != only,
and a NULL in a row fulfils nothing but = NULL. In --escaped values the text NULL itself is \x4eULL.

On a terminal the answer stands in columns; in a pipe each line is fields separated by tabs, with the escapes
\t \n \r \0 \\ \xHH, NULL being \N. CSV has a header; NULL is an empty field, an empty text is "". JSON is one array
of objects, {"key", "value"} or one member per column.

Examples:
  vaultgres range shop.vg sessions                               a map: all of it
  vaultgres range shop.vg sessions --from b --to d               b included, d not
  vaultgres range shop.vg sessions --prefix user: --limit 10
  vaultgres range shop.vg sessions --reverse --limit 1           the greatest key
  vaultgres range shop.vg users_age --from 30 --to 40            an index: rows by age
  vaultgres range shop.vg users_city_age --equal Rome --from 30 --explain
  vaultgres range shop.vg users_name --prefix Mc --select id,name
  vaultgres range shop.vg users                                  a table: all of it
  vaultgres range shop.vg users --where "age >= 30" --where "city != NULL" --count
  vaultgres range shop.vg users --csv > users.csv)";

struct Range {
  std::string directory;
  std::string name;
  std::vector<std::string> equal;
  std::optional<std::string> from;
  std::optional<std::string> to;
  std::optional<std::string> prefix;
  bool from_exclusive = false;
  bool to_inclusive = false;
  bool reverse = false;
  RowOptions rows;
};

/// One step of a cursor over entries or rows.
template <class Cursor>
Result<bool> step(Cursor& cursor, bool reverse, bool& started) {
  const bool first_step = !std::exchange(started, true);
  return !reverse ? cursor.next() : first_step ? cursor.last() : cursor.prev();
}

// --- Maps

Result<KeyRange> key_range(const Range& range) {
  const bool escaped = range.rows.escaped;
  if (range.prefix) {
    VG_ASSIGN(const std::string prefix, field_of(*range.prefix, escaped, "--prefix"));
    return KeyRange::prefix(prefix);
  }
  KeyRange keys;
  keys.from_inclusive = !range.from_exclusive;
  keys.to_inclusive = range.to_inclusive;
  if (range.from) {
    VG_ASSIGN(keys.from, field_of(*range.from, escaped, "--from"));
  }
  if (range.to) {
    VG_ASSIGN(keys.to, field_of(*range.to, escaped, "--to"));
  }
  return keys;
}

std::string entry_field(std::string_view bytes, Format format) {
  if (format == Format::kJson) return json_of(bytes).dump();
  return format == Format::kCsv ? csv_field(bytes) : escape(bytes);
}

Status print_entries(const Map& map, const KeyRange& keys, const Range& range, LinePrinter& printer, Explain& costs) {
  VG_ASSIGN(const Format format, format_of(range.rows.json, range.rows.csv));
  const std::uint64_t limit = range.rows.limit;
  Cursor cursor = map.cursor(keys);
  for (bool started = false; (limit == 0 || costs.rows_returned < limit) && !output_failed();) {
    VG_ASSIGN(const bool more, step(cursor, range.reverse, started));
    if (!more) break;
    costs.rows_looked_at = ++costs.rows_returned;
    if (range.rows.count) continue;
    printer.line({entry_field(cursor.key(), format), entry_field(cursor.value(), format)});
  }
  return {};
}

Result<ExitCode> run_on(const Map& map, const Range& range) {
  if (!range.equal.empty() || !range.rows.where.empty() || range.rows.select || range.rows.place) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("--equal, --where, --select and --place are for tables and indexes, and {} is neither",
                             named(map)));
  }
  VG_ASSIGN(const Format format, format_of(range.rows.json, range.rows.csv));
  VG_ASSIGN(const KeyRange keys, key_range(range));
  LinePrinter printer({{"key"}, {"value"}}, format, LinePrinter::Header::kNone);
  Explain costs;
  const Status printed = print_entries(map, keys, range, printer, costs);
  printer.print_held();
  if (!printed) return printed.error();
  if (range.rows.count) {
    print_count(costs.rows_returned, format);
  } else {
    printer.finish();
  }
  if (range.rows.explain) costs.print(range.rows.json);
  return ExitCode::kOk;
}

// --- Tables and indexes

Result<std::optional<ValueBound>> bound_of(const Column& column, const std::optional<std::string>& text, bool inclusive,
                                           bool escaped) {
  if (!text) return std::optional<ValueBound>();
  VG_ASSIGN(Value value, value_of_text(column, *text, {.escaped = escaped}));
  return std::optional<ValueBound>(ValueBound{std::move(value), inclusive});
}

Result<std::string> prefix_of(const Column& column, const std::string& text, bool escaped) {
  if (column.type != ColumnType::kText && column.type != ColumnType::kBytes) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("--prefix is for text and bytes, but the column \"{}\" is {}; use --from and --to",
                             escape(column.name), column_type_name(column.type)));
  }
  VG_ASSIGN(const Value value, value_of_text(column, text, {.escaped = escaped}));
  if (value.is_null()) return Error(ErrorCode::kInvalidArgument, "--prefix: NULL begins no value");
  return std::string(column.type == ColumnType::kText ? value.text() : value.bytes());
}

Result<IndexRange> index_range(const Index& index, const Range& range) {
  const bool escaped = range.rows.escaped;
  IndexRange rows;
  VG_ASSIGN(rows.equal, index_values(index, range.equal, {.escaped = escaped}));
  if (!range.from && !range.to && !range.prefix) return rows;
  if (rows.equal.size() == index.spec().columns.size()) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("--equal gives a value for every column of {}: none is left for --from, --to or --prefix",
                             named(index)));
  }
  const Column& next = index_column(index, rows.equal.size());
  VG_ASSIGN(rows.from, bound_of(next, range.from, !range.from_exclusive, escaped));
  VG_ASSIGN(rows.to, bound_of(next, range.to, range.to_inclusive, escaped));
  if (range.prefix) {
    VG_ASSIGN(rows.prefix, prefix_of(next, *range.prefix, escaped));
  }
  return rows;
}

Result<ExitCode> run_on(const Index& index, const Range& range) {
  VG_ASSIGN(const IndexRange rows, index_range(index, range));
  RowCursor cursor = index.range(rows);
  bool started = false;
  VG_TRY(answer_rows(index.schema(), range.rows, [&]() -> Result<FoundRow> {
    VG_ASSIGN(const bool more, step(cursor, range.reverse, started));
    return more ? FoundRow{cursor.id(), &cursor.row()} : FoundRow{};
  }));
  return ExitCode::kOk;
}

Result<ExitCode> run_on(const Table& table, const Range& range) {
  if (!range.equal.empty() || range.from || range.to || range.prefix || range.reverse) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("--equal, --from, --to, --prefix and --reverse are about the order of an index, and {} has "
                    "none; name an index of it, or filter with --where",
                    named(table)));
  }
  TableScan scan = table.scan();
  VG_TRY(answer_rows(table.schema(), range.rows, [&]() -> Result<FoundRow> {
    VG_ASSIGN(const bool more, scan.next());
    return more ? FoundRow{scan.id(), &scan.row()} : FoundRow{};
  }));
  return ExitCode::kOk;
}

Result<ExitCode> run(const Range& range) {
  VG_TRY(format_of(range.rows.json, range.rows.csv));
  if (range.prefix && (range.from || range.to)) {
    return Error(ErrorCode::kInvalidArgument, "--prefix does not go with --from and --to; give one or the other");
  }
  return with_named_to_read(range.directory, range.name, [&](Database&, NamedObject& object) {
    return std::visit([&](const auto& opened) { return run_on(opened, range); }, object);
  });
}

Action declare_range(Arguments& arguments) {
  auto range = std::make_shared<Range>();
  arguments.positional("DIR", range->directory, kDirectoryHelp);
  arguments.positional("NAME", range->name, kNameHelp);
  arguments.option("--equal", range->equal, "VALUE", "Value of the index's first column, next one, …");
  arguments.option("--from", range->from, "VALUE", "First key, or least value");
  arguments.option("--to", range->to, "VALUE", "End of the range, itself not in it");
  arguments.flag("--from-exclusive", range->from_exclusive, "The key or value of --from is not in it");
  arguments.flag("--to-inclusive", range->to_inclusive, "The key or value of --to is in it");
  arguments.option("--prefix", range->prefix, "BYTES", "Only keys, texts or bytes that begin so");
  arguments.flag("--reverse", range->reverse, "From the last down");
  arguments.option("--where", range->rows.where, "CONDITION", "Only rows that fulfil \"COLUMN OP VALUE\"");
  arguments.option("--select", range->rows.select, "LIST", kSelectHelp);
  arguments.count("--limit", range->rows.limit, "N", "At most so many; 0: all");
  arguments.flag("--count", range->rows.count, "Only how many there are");
  arguments.flag("--place", range->rows.place, kPlaceHelp);
  arguments.flag("--explain", range->rows.explain, kExplainHelp);
  arguments.flag("--escaped", range->rows.escaped, kEscapedHelp);
  arguments.flag("--json", range->rows.json, kJsonHelp);
  arguments.flag("--csv", range->rows.csv, kRowCsvHelp);
  return [range] { return run(*range); };
}

}  // namespace

const Verb kRangeVerb = {"range", "Entries and rows", "Print entries or rows in order", kRangeDetails, declare_range};

}  // namespace vaultgres::cli
