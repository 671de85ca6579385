// vaultgres drop-map, drop-table, drop-index: a map, table or index and all that is in it go.
#include <memory>

#include "cli/hint.h"
#include "cli/object_kind.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

struct Drop {
  std::string directory;
  std::string name;
};

Result<ExitCode> run(const ObjectKind& kind, const Drop& request) {
  return with_database(request.directory, Missing::kIsError, Durability::kDurable,
                       [&](Database& database) -> Result<ExitCode> {
                         const Status done = (database.*kind.drop)(request.name);
                         if (done) return ExitCode::kOk;
                         return with_hint_if(ErrorCode::kNotFound, done.error(), kind.list_hint);
                       });
}

template <const ObjectKind& kKind>
Action declare_drop(Arguments& arguments) {
  auto request = std::make_shared<Drop>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional(kKind.placeholder, request->name, kKind.name_help);
  return [request] { return run(kKind, *request); };
}

constexpr char kDropMapDetails[] = R"(
There is no way back. Exit code 6 when there is no such map.

Examples:
  vaultgres drop-map shop.vg sessions)";

constexpr char kDropTableDetails[] = R"(
Its indexes go with it. There is no way back. Exit code 6 when there is no such table.

Examples:
  vaultgres drop-table shop.vg ratings)";

constexpr char kDropIndexDetails[] = R"(
The table stays as it is. Exit code 6 when there is no such index.

Examples:
  vaultgres drop-index shop.vg by_period)";

}  // namespace

const Verb kDropMapVerb = {"drop-map", "Maps", "Drop a map with all its entries", kDropMapDetails,
                           declare_drop<kMapKind>};
const Verb kDropTableVerb = {"drop-table", "Tables", "Drop a table with its indexes", kDropTableDetails,
                             declare_drop<kTableKind>};
const Verb kDropIndexVerb = {"drop-index", "Tables", "Drop an index", kDropIndexDetails, declare_drop<kIndexKind>};

}  // namespace vaultgres::cli
