// vaultgres create-map: a new map, and the database around it if there is none.
#include <memory>

#include "base/try.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kCreateMapDetails[] = R"(
Makes the database, too, when the directory is missing or empty. Exit code 5 when the name is taken.

Examples:
  vaultgres create-map shop.vg sessions)";

struct CreateMap {
  std::string directory;
  std::string map;
};

Result<ExitCode> run(const CreateMap& request) {
  return with_database(request.directory, Missing::kIsCreated, Durability::kDurable,
                       [&](Database& database) -> Result<ExitCode> {
                         VG_TRY(database.create_map(request.map));
                         return ExitCode::kOk;
                       });
}

Action declare_create_map(Arguments& arguments) {
  auto request = std::make_shared<CreateMap>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("MAP", request->map, "Name of the new map");
  return [request] { return run(*request); };
}

}  // namespace

const Verb kCreateMapVerb = {"create-map", "Maps", "Make a map, and the database if need be", kCreateMapDetails,
                             declare_create_map};

}  // namespace vaultgres::cli
