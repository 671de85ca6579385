// vaultgres get: one value.
#include <fmt/format.h>

#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
The value is written as one line, with the escapes \t \n \r \0 \\ \xHH; --raw writes its bytes as they are.
Exit code 6 when the key is not there.

Examples:
  vaultgres get shop.vg sessions alice
  vaultgres get shop.vg files logo.png --raw > logo.png
  vaultgres get shop.vg by-number '\x00\x2a' --escaped
  vaultgres get shop.vg sessions alice --json | jq .value)";

struct Get {
  std::string directory;
  std::string map;
  std::string key;
  bool escaped = false;
  bool raw = false;
  bool json = false;
};

void print_value(const Get& get, std::string_view key, std::string_view value) {
  if (get.json) return print_answer(Json{{"key", json_of(key)}, {"value", json_of(value)}}, Format::kJson);
  if (get.raw) return print(value);
  print(escape(value) + "\n");
}

Result<ExitCode> run(const Get& get) {
  if (get.raw && get.json) {
    return Error(ErrorCode::kInvalidArgument, "--raw and --json exclude each other; give one");
  }
  VG_ASSIGN(const std::string key, field_of(get.key, get.escaped, "KEY"));
  return with_map(get.directory, get.map, [&](Map& map) -> Result<ExitCode> {
    VG_ASSIGN(const std::optional<std::string> value, map.get(key));
    if (!value) {
      return Error(ErrorCode::kNotFound, fmt::format("there is no key \"{}\" in the map \"{}\"", escape(key), get.map));
    }
    print_value(get, key, *value);
    return ExitCode::kOk;
  });
}

Action declare(Arguments& arguments) {
  auto get = std::make_shared<Get>();
  arguments.positional("DIR", get->directory, kDirectoryHelp);
  arguments.positional("MAP", get->map, "Name of the map");
  arguments.positional("KEY", get->key, "The key; `--` before one that begins with a dash");
  arguments.flag("--escaped", get->escaped, kEscapedHelp);
  arguments.flag("--raw", get->raw, "Write the value's bytes, nothing else");
  arguments.flag("--json", get->json, kJsonHelp);
  return [get] { return run(*get); };
}

}  // namespace

const Verb kGetVerb = {"get", "Entries", "Print the value of a key", kDetails, declare};

}  // namespace vaultgres::cli
