// vaultgres delete: one entry goes.
#include <fmt/format.h>

#include <memory>

#include "base/try.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
Durable when the command returns. Exit code 6 when the key is not there.

Examples:
  vaultgres delete shop.vg sessions alice
  vaultgres delete shop.vg by-number '\x00\x2a' --escaped)";

struct Delete {
  std::string directory;
  std::string map;
  std::string key;
  bool escaped = false;
};

Result<ExitCode> run(const Delete& request) {
  VG_ASSIGN(const std::string key, field_of(request.key, request.escaped, "KEY"));
  return with_map(request.directory, request.map, [&](Map& map) -> Result<ExitCode> {
    VG_ASSIGN(const bool there, map.erase(key));
    if (there) return ExitCode::kOk;
    return Error(ErrorCode::kNotFound,
                 fmt::format("there is no key \"{}\" in the map \"{}\"", escape(key), request.map));
  });
}

Action declare(Arguments& arguments) {
  auto request = std::make_shared<Delete>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("MAP", request->map, "Name of the map");
  arguments.positional("KEY", request->key, "The key; `--` before one that begins with a dash");
  arguments.flag("--escaped", request->escaped, kEscapedHelp);
  return [request] { return run(*request); };
}

}  // namespace

const Verb kDeleteVerb = {"delete", "Entries", "Delete one entry", kDetails, declare};

}  // namespace vaultgres::cli
