// vaultgres rename-map: another name for a map.
#include <memory>

#include "base/try.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
Exit code 6 when there is no map FROM, 5 when the name TO is taken.

Examples:
  vaultgres rename-map shop.vg sessions old-sessions)";

struct RenameMap {
  std::string directory;
  std::string from;
  std::string to;
};

Result<ExitCode> run(const RenameMap& request) {
  return with_database(request.directory, Missing::kIsError, Durability::kDurable,
                       [&](Database& database) -> Result<ExitCode> {
                         VG_TRY(open_map(database, request.directory, request.from));
                         VG_TRY(database.rename_map(request.from, request.to));
                         return ExitCode::kOk;
                       });
}

Action declare(Arguments& arguments) {
  auto request = std::make_shared<RenameMap>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("FROM", request->from, "Name of the map");
  arguments.positional("TO", request->to, "Its new name");
  return [request] { return run(*request); };
}

}  // namespace

const Verb kRenameMapVerb = {"rename-map", "Maps", "Give a map another name", kDetails, declare};

}  // namespace vaultgres::cli
