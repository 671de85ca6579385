// vaultgres maps: what maps there are.
#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kMapsDetails[] = R"(
The object id is what pages of the map carry in their header (see `vaultgres inspect`).

Examples:
  vaultgres maps shop.vg
  vaultgres maps shop.vg --json | jq -r '.[].name')";

struct Maps {
  std::string directory;
  bool json = false;
  bool csv = false;
};

Result<ExitCode> run(const Maps& maps) {
  VG_ASSIGN(const Format format, format_of(maps.json, maps.csv));
  return with_database_to_read(maps.directory, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(const std::vector<MapInfo> found, database.maps());
    Json answer = Json::array();
    for (const MapInfo& info : found) {
      answer.push_back({{"name", json_of(info.name)}, {"object_id", info.object_id}});
    }
    print_answer(answer, format);
    return ExitCode::kOk;
  });
}

Action declare_maps(Arguments& arguments) {
  auto maps = std::make_shared<Maps>();
  arguments.positional("DIR", maps->directory, kDirectoryHelp);
  arguments.flag("--json", maps->json, kJsonHelp);
  arguments.flag("--csv", maps->csv, kCsvHelp);
  return [maps] { return run(*maps); };
}

}  // namespace

const Verb kMapsVerb = {"maps", "Maps", "List the maps", kMapsDetails, declare_maps};

}  // namespace vaultgres::cli
