// vaultgres rename-map, rename-table, rename-index: another name.
#include <memory>

#include "cli/hint.h"
#include "cli/object_kind.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

struct Rename {
  std::string directory;
  std::string from;
  std::string to;
};

Result<ExitCode> run(const ObjectKind& kind, const Rename& request) {
  return with_database(request.directory, Missing::kIsError, Durability::kDurable,
                       [&](Database& database) -> Result<ExitCode> {
                         const Status done = (database.*kind.rename)(request.from, request.to);
                         if (done) return ExitCode::kOk;
                         return with_hint_if(ErrorCode::kNotFound, done.error(), kind.list_hint);
                       });
}

template <const ObjectKind& kKind>
Action declare_rename(Arguments& arguments) {
  auto request = std::make_shared<Rename>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("FROM", request->from, kKind.name_help);
  arguments.positional("TO", request->to, "Its new name");
  return [request] { return run(kKind, *request); };
}

constexpr char kRenameMapDetails[] = R"(
Exit code 6 when there is no map FROM, 5 when the name TO is taken.

Examples:
  vaultgres rename-map shop.vg sessions old-sessions)";

constexpr char kRenameTableDetails[] = R"(
Its indexes keep their names. Exit code 6 when there is no table FROM, 5 when the name TO is taken.

Examples:
  vaultgres rename-table shop.vg ratings ratings_2021)";

constexpr char kRenameIndexDetails[] = R"(
Exit code 6 when there is no index FROM, 5 when the name TO is taken.

Examples:
  vaultgres rename-index shop.vg by_period ratings_period)";

}  // namespace

const Verb kRenameMapVerb = {"rename-map", "Maps", "Give a map another name", kRenameMapDetails,
                             declare_rename<kMapKind>};
const Verb kRenameTableVerb = {"rename-table", "Tables", "Give a table another name", kRenameTableDetails,
                               declare_rename<kTableKind>};
const Verb kRenameIndexVerb = {"rename-index", "Tables", "Give an index another name", kRenameIndexDetails,
                               declare_rename<kIndexKind>};

}  // namespace vaultgres::cli
