// vaultgres range: entries in key order, as they come.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
Keys compare as bytes. On a terminal keys and values stand in two columns; in a pipe each entry is a line
KEY<tab>VALUE, with the escapes \t \n \r \0 \\ \xHH. JSON is one array of {"key", "value"}.

Examples:
  vaultgres range shop.vg sessions                               all of it
  vaultgres range shop.vg sessions --from b --to d               b included, d not
  vaultgres range shop.vg sessions --prefix user: --limit 10
  vaultgres range shop.vg sessions --reverse --limit 1           the greatest key
  vaultgres range shop.vg sessions --csv > sessions.csv)";

struct Range {
  std::string directory;
  std::string map;
  std::optional<std::string> from;
  std::optional<std::string> to;
  std::optional<std::string> prefix;
  bool from_exclusive = false;
  bool to_inclusive = false;
  bool reverse = false;
  std::uint64_t limit = 0;  // 0: none
  bool escaped = false;
  bool json = false;
  bool csv = false;
};

/// Prints entries one by one. print_rows() always comes last but for finish(), which is for the way that ends
/// well: a JSON array that is not closed tells its reader that something is missing.
class EntryPrinter {
 public:
  EntryPrinter(Format format, bool columns) : format_(format), columns_(columns && format == Format::kText) {
    if (format_ == Format::kCsv) print("key,value\n");
  }

  void entry(std::string_view key, std::string_view value) {
    switch (format_) {
      case Format::kJson:
        print(count_++ == 0 ? "[\n  " : ",\n  ");
        return print(Json{{"key", json_of(key)}, {"value", json_of(value)}}.dump());
      case Format::kCsv:
        return print(fmt::format("{},{}\n", csv_field(key), csv_field(value)));
      case Format::kText:
        if (columns_) return row(key, value);
        return print(fmt::format("{}\t{}\n", escape(key), escape(value)));
    }
  }

  void print_rows() {
    for (const auto& [key, value] : rows_) {
      print(fmt::format("{}{}  {}\n", key, std::string(width_ - display_width(key), ' '), value));
    }
    rows_.clear();
  }

  void finish() {
    if (format_ == Format::kJson) print(count_ == 0 ? "[]\n" : "\n]\n");
  }

 private:
  /// Rows wait for some others, so that their columns line up.
  void row(std::string_view key, std::string_view value) {
    constexpr std::size_t kRowsTogether = 256;
    rows_.emplace_back(escape(key), escape(value));
    width_ = std::max(width_, display_width(rows_.back().first));
    if (rows_.size() == kRowsTogether) print_rows();
  }

  const Format format_;
  const bool columns_;
  std::size_t width_ = 0;
  std::uint64_t count_ = 0;
  std::vector<std::pair<std::string, std::string>> rows_;
};

Result<KeyRange> key_range(const Range& range) {
  if (range.prefix) {
    if (range.from || range.to) {
      return Error(ErrorCode::kInvalidArgument, "--prefix does not go with --from and --to; give one or the other");
    }
    VG_ASSIGN(const std::string prefix, field_of(*range.prefix, range.escaped, "--prefix"));
    return KeyRange::prefix(prefix);
  }
  KeyRange keys;
  keys.from_inclusive = !range.from_exclusive;
  keys.to_inclusive = range.to_inclusive;
  if (range.from) {
    VG_ASSIGN(keys.from, field_of(*range.from, range.escaped, "--from"));
  }
  if (range.to) {
    VG_ASSIGN(keys.to, field_of(*range.to, range.escaped, "--to"));
  }
  return keys;
}

Status print_range(const Map& map, const KeyRange& keys, const Range& range, EntryPrinter& printer) {
  Cursor cursor = map.cursor(keys);
  for (std::uint64_t count = 0; (range.limit == 0 || count < range.limit) && !output_failed(); ++count) {
    VG_ASSIGN(const bool more, !range.reverse ? cursor.next() : count == 0 ? cursor.last() : cursor.prev());
    if (!more) break;
    printer.entry(cursor.key(), cursor.value());
  }
  return {};
}

Result<ExitCode> run(const Range& range) {
  VG_ASSIGN(const Format format, format_of(range.json, range.csv));
  VG_ASSIGN(const KeyRange keys, key_range(range));
  return with_map(range.directory, range.map, [&](Map& map) -> Result<ExitCode> {
    EntryPrinter printer(format, output_is_terminal());
    const Status printed = print_range(map, keys, range, printer);
    printer.print_rows();
    if (!printed) return printed.error();
    printer.finish();
    return ExitCode::kOk;
  });
}

Action declare(Arguments& arguments) {
  auto range = std::make_shared<Range>();
  arguments.positional("DIR", range->directory, kDirectoryHelp);
  arguments.positional("MAP", range->map, "Name of the map");
  arguments.option("--from", range->from, "KEY", "First key");
  arguments.option("--to", range->to, "KEY", "End of the range, itself not in it");
  arguments.flag("--from-exclusive", range->from_exclusive, "The key of --from is not in it");
  arguments.flag("--to-inclusive", range->to_inclusive, "The key of --to is in it");
  arguments.option("--prefix", range->prefix, "BYTES", "Only keys that begin so");
  arguments.flag("--reverse", range->reverse, "From the greatest key down");
  arguments.count("--limit", range->limit, "N", "At most so many entries; 0: all");
  arguments.flag("--escaped", range->escaped, kEscapedHelp);
  arguments.flag("--json", range->json, kJsonHelp);
  arguments.flag("--csv", range->csv, kCsvHelp);
  return [range] { return run(*range); };
}

}  // namespace

const Verb kRangeVerb = {"range", "Entries", "Print entries in key order", kDetails, declare};

}  // namespace vaultgres::cli
