// vaultgres stats: sizes and counters of a database or a map.
#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
Without MAP: pages, cache and log of the database as just opened. With MAP: height, pages, fill and entries of
its tree, for which every page of the map is read.

Examples:
  vaultgres stats shop.vg
  vaultgres stats shop.vg sessions
  vaultgres stats shop.vg sessions --json | jq .height)";

struct Stats {
  std::string directory;
  std::optional<std::string> map;
  bool json = false;
  bool csv = false;
};

Json answer_of(const DatabaseStats& stats) {
  return Json{{"pages", stats.pages},
              {"pages_free", stats.pages_free},
              {"cache_pages", stats.cache_pages},
              {"cache_pages_free", stats.cache_pages_free},
              {"cache_pages_dirty", stats.cache_pages_dirty},
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

Result<Json> answer(Database& database, const Stats& stats) {
  if (!stats.map) {
    VG_ASSIGN(const DatabaseStats found, database.stats());
    return answer_of(found);
  }
  VG_TRY(open_map(database, stats.directory, *stats.map));
  VG_ASSIGN(const MapStats found, database.map_stats(*stats.map));
  return answer_of(found);
}

Result<ExitCode> run(const Stats& stats) {
  VG_ASSIGN(const Format format, format_of(stats.json, stats.csv));
  return with_database(stats.directory, Missing::kIsError, Durability::kDurable,
                       [&](Database& database) -> Result<ExitCode> {
                         VG_ASSIGN(const Json found, answer(database, stats));
                         print_answer(found, format);
                         return ExitCode::kOk;
                       });
}

Action declare(Arguments& arguments) {
  auto stats = std::make_shared<Stats>();
  arguments.positional("DIR", stats->directory, kDirectoryHelp);
  arguments.positional("MAP", stats->map, "Name of a map");
  arguments.flag("--json", stats->json, kJsonHelp);
  arguments.flag("--csv", stats->csv, kCsvHelp);
  return [stats] { return run(*stats); };
}

}  // namespace

const Verb kStatsVerb = {"stats", "Health", "Sizes and counters of the database or of a map", kDetails, declare};

}  // namespace vaultgres::cli
