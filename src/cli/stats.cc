// vaultgres stats: sizes and counters of a database, or of what a name stands for.
#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/column_types.h"
#include "cli/named_object.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kStatsDetails[] = R"(
Without NAME: pages, cache and log of the database as just opened. Of a map or an index: height, pages, fill and
entries of its tree. Of a table: rows and pages of its heap, and below that its indexes. Every page is read. CSV has
no nested lists: of a table it says nothing about the indexes, which have lines of their own by their names.

Examples:
  vaultgres stats shop.vg
  vaultgres stats shop.vg sessions
  vaultgres stats shop.vg users
  vaultgres stats shop.vg users --json | jq '.indexes[] | {name, height}')";

struct Stats {
  std::string directory;
  std::optional<std::string> name;
  bool json = false;
  bool csv = false;
};

Json answer_of(const DatabaseStats& stats) {
  return Json{{"pages", stats.pages},
              {"pages_free", stats.pages_free},
              {"cache_pages", stats.cache_pages},
              {"cache_pages_free", stats.cache_pages_free},
              {"cache_pages_dirty", stats.cache_pages_dirty},
              {"page_visits", stats.page_visits},
              {"page_loads", stats.page_loads},
              {"page_evictions", stats.page_evictions},
              {"pages_written", stats.pages_written},
              {"write_batches", stats.write_batches},
              {"log_end", stats.log_end},
              {"log_durable", stats.log_durable},
              {"checkpoints", stats.checkpoints},
              {"redo_start", stats.redo_start}};
}

Json answer_of(const MapStats& stats) {
  return Json{{"name", json_of(stats.name)},
              {"height", stats.height},
              {"entries", stats.entries},
              {"ghosts", stats.ghosts},
              {"leaf_pages", stats.leaf_pages},
              {"internal_pages", stats.internal_pages},
              {"overflow_pages", stats.overflow_pages},
              {"fan_out", stats.fan_out},
              {"bytes_per_entry", stats.bytes_per_entry},
              {"leaf_fill", stats.leaf_fill},
              {"internal_fill", stats.internal_fill}};
}

Json answer_of(const TableStats& stats) {
  return Json{{"name", json_of(stats.name)},
              {"rows", stats.rows},
              {"ghosts", stats.ghosts},
              {"moved_rows", stats.moved_rows},
              {"heap_pages", stats.heap_pages},
              {"map_pages", stats.map_pages},
              {"overflow_pages", stats.overflow_pages},
              {"bytes_per_row", stats.bytes_per_row},
              {"heap_fill", stats.heap_fill}};
}

Result<Json> answer_of_index(Database& database, const std::string& name, const std::string& table,
                             const IndexSpec& spec, Format format) {
  VG_ASSIGN(const MapStats stats, database.index_stats(name));
  const Json tree = answer_of(stats);
  Json answer{{"name", tree["name"]},
              {"table", json_of(table)},
              {"columns", format == Format::kJson ? index_columns_json(spec) : json_of(index_columns_text(spec))},
              {"unique", spec.unique}};
  answer.update(tree);
  return answer;
}

Result<Json> answer(Database& database, const Map& map, Format /*format*/) {
  VG_ASSIGN(const MapStats stats, database.map_stats(map.name()));
  return answer_of(stats);
}

Result<Json> answer(Database& database, const Index& index, Format format) {
  return answer_of_index(database, index.name(), index.table_name(), index.spec(), format);
}

Result<Json> answer(Database& database, const Table& table, Format format) {
  VG_ASSIGN(const TableStats stats, database.table_stats(table.name()));
  VG_ASSIGN(const std::vector<IndexInfo> indexes, database.indexes(table.name()));
  Json answer = answer_of(stats);
  answer["indexes"] = Json::array();
  for (const IndexInfo& index : indexes) {
    VG_ASSIGN(Json described, answer_of_index(database, index.name, index.table, index.spec, format));
    answer["indexes"].push_back(std::move(described));
  }
  return answer;
}

Result<Json> answer(Database& database, const Stats& stats, Format format) {
  if (!stats.name) {
    VG_ASSIGN(const DatabaseStats found, database.stats());
    return answer_of(found);
  }
  VG_ASSIGN(const NamedObject object, open_named(database, *stats.name));
  return std::visit([&](const auto& opened) { return answer(database, opened, format); }, object);
}

/// A table's indexes, if it is a table, stand below it.
void show(Json found, Format format) {
  if (format == Format::kJson) return print_answer(found, format);
  const Json indexes = found.value("indexes", Json::array());
  found.erase("indexes");
  print_answer(found, format);
  if (format == Format::kCsv) return;
  for (const Json& index : indexes) print("\nindex\n" + align_object(index, "  ", 0));
}

Result<ExitCode> run(const Stats& stats) {
  VG_ASSIGN(const Format format, format_of(stats.json, stats.csv));
  return with_database_to_read(stats.directory, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(Json found, answer(database, stats, format));
    show(std::move(found), format);
    return ExitCode::kOk;
  });
}

Action declare_stats(Arguments& arguments) {
  auto stats = std::make_shared<Stats>();
  arguments.positional("DIR", stats->directory, kDirectoryHelp);
  arguments.positional("NAME", stats->name, kNameHelp);
  arguments.flag("--json", stats->json, kJsonHelp);
  arguments.flag("--csv", stats->csv, kCsvHelp);
  return [stats] { return run(*stats); };
}

}  // namespace

const Verb kStatsVerb = {"stats", "Health", "Sizes and counters of the database, or of one map, table or index",
                         kStatsDetails, declare_stats};

}  // namespace vaultgres::cli
