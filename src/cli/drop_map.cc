// vaultgres drop-map: a map and all its entries go.
#include <memory>

#include "base/try.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
There is no way back. Exit code 6 when there is no such map.

Examples:
  vaultgres drop-map shop.vg sessions)";

struct DropMap {
  std::string directory;
  std::string map;
};

Result<ExitCode> run(const DropMap& request) {
  return with_database(request.directory, Missing::kIsError, Durability::kDurable,
                       [&](Database& database) -> Result<ExitCode> {
                         VG_TRY(open_map(database, request.directory, request.map));
                         VG_TRY(database.drop_map(request.map));
                         return ExitCode::kOk;
                       });
}

Action declare(Arguments& arguments) {
  auto request = std::make_shared<DropMap>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("MAP", request->map, "Name of the map");
  return [request] { return run(*request); };
}

}  // namespace

const Verb kDropMapVerb = {"drop-map", "Maps", "Drop a map with all its entries", kDetails, declare};

}  // namespace vaultgres::cli
