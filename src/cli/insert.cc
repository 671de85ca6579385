// vaultgres insert: one entry, durable when the command returns.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/try.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDetails[] = R"(
A key that is there is left as it is, with exit code 5, unless --replace is given.

Examples:
  vaultgres insert shop.vg sessions alice 42
  vaultgres insert shop.vg sessions alice 43 --replace
  vaultgres insert shop.vg files logo.png - --create < logo.png
  vaultgres insert shop.vg by-number '\x00\x2a' answer --escaped
  vaultgres insert shop.vg sessions -- -alice 42)";

struct Insert {
  std::string directory;
  std::string map;
  std::string key;
  std::string value;
  bool replace = false;
  bool create = false;
  bool escaped = false;
};

/// All of standard input, as it is.
Result<std::string> read_standard_input() {
  std::string bytes;
  char chunk[64 * 1024];
  while (const std::size_t got = std::fread(chunk, 1, sizeof chunk, stdin)) {
    bytes.append(chunk, got);
    if (bytes.size() > kMaxValueBytes) {
      return Error(ErrorCode::kTooLarge, "standard input has more bytes than a value may have");
    }
  }
  if (std::ferror(stdin) != 0) return Error(ErrorCode::kIo, "standard input: read failed");
  return bytes;
}

Result<ExitCode> run_on(Map& map, const Insert& insert, std::string_view key, std::string_view value) {
  Status done = insert.replace ? map.put(key, value) : map.insert(key, value);
  if (done) return ExitCode::kOk;
  if (done.error().code() != ErrorCode::kDuplicateKey) return done.error();
  return Error(
      ErrorCode::kDuplicateKey,
      fmt::format("the key \"{}\" is in the map \"{}\" already; --replace replaces it", escape(key), insert.map));
}

Result<ExitCode> run(const Insert& insert) {
  VG_ASSIGN(const std::string key, field_of(insert.key, insert.escaped, "KEY"));
  VG_ASSIGN(const std::string value,
            insert.value == "-" ? read_standard_input() : field_of(insert.value, insert.escaped, "VALUE"));
  const Missing missing = insert.create ? Missing::kIsCreated : Missing::kIsError;
  return with_database(insert.directory, missing, Durability::kDurable, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(Map map, insert.create ? database.open_or_create_map(insert.map)
                                     : open_map(database, insert.directory, insert.map));
    return run_on(map, insert, key, value);
  });
}

Action declare(Arguments& arguments) {
  auto insert = std::make_shared<Insert>();
  arguments.positional("DIR", insert->directory, kDirectoryHelp);
  arguments.positional("MAP", insert->map, "Name of the map");
  arguments.positional("KEY", insert->key, "The key; `--` before one that begins with a dash");
  arguments.positional("VALUE", insert->value, "The value, or - for all of standard input");
  arguments.flag("--replace", insert->replace, "Replace the value of a key that is there");
  arguments.flag("--create", insert->create, "Make the database and the map when they are missing");
  arguments.flag("--escaped", insert->escaped, kEscapedHelp);
  return [insert] { return run(*insert); };
}

}  // namespace

const Verb kInsertVerb = {"insert", "Entries", "Insert or replace one entry", kDetails, declare};

}  // namespace vaultgres::cli
