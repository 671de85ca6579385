// vaultgres insert: one entry or row, durable when the command returns.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/try.h"
#include "cli/escape.h"
#include "cli/named_object.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/row_text.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kInsertDetails[] = R"(
Into a map: one entry. A key that is there is left as it is, with exit code 5, unless --replace is given; the value -
means all of standard input. Into a table: one row, a value for each column, \N being NULL; prints the row's place,
PAGE:SLOT. Exit code 5 when a unique index has such a row already. Durable when the command returns.

Values of rows: numbers as usual, also inf and nan; true or false; text as it is; bytes \x and hexadecimal digits;
dates 2021-04-30; timestamps 2021-04-30T12:34:56.789Z, UTC.

Examples:
  vaultgres insert shop.vg sessions alice 42
  vaultgres insert shop.vg sessions alice 43 --replace
  vaultgres insert shop.vg files logo.png - --create < logo.png
  vaultgres insert shop.vg by-number '\x00\x2a' answer --escaped
  vaultgres insert shop.vg sessions -- -alice 42
  vaultgres insert shop.vg users 42 Ada 1815-12-10 '\N'
  vaultgres insert shop.vg users 42 Ada 1815-12-10 '' --null '')";

struct Insert {
  std::string directory;
  std::string name;
  std::vector<std::string> values;
  std::optional<std::string> null;
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

Result<ExitCode> run_on(Map& map, const Insert& insert) {
  if (insert.null) return Error(ErrorCode::kInvalidArgument, "--null is for tables: a map has no NULL");
  if (insert.values.size() != 2) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("{} takes a key and a value, but {} {} given", named(map), insert.values.size(),
                             insert.values.size() == 1 ? "is" : "are"));
  }
  VG_ASSIGN(const std::string key, field_of(insert.values[0], insert.escaped, "KEY"));
  VG_ASSIGN(const std::string value,
            insert.values[1] == "-" ? read_standard_input() : field_of(insert.values[1], insert.escaped, "VALUE"));
  const Status done = insert.replace ? map.put(key, value) : map.insert(key, value);
  if (done) return ExitCode::kOk;
  if (done.error().code() != ErrorCode::kDuplicateKey) return done.error();
  return Error(ErrorCode::kDuplicateKey,
               fmt::format("the key \"{}\" is in {} already; --replace replaces it", escape(key), named(map)));
}

Result<ExitCode> run_on(Table& table, const Insert& insert) {
  if (insert.replace || insert.create) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("--replace and --create are for maps, and {} is none", named(table)));
  }
  ValueSyntax syntax{.escaped = insert.escaped};
  if (insert.null) syntax.null = *insert.null;
  VG_ASSIGN(const Row row, row_of_texts(table, insert.values, syntax));
  VG_ASSIGN(const RowId id, table.insert(row));
  print(text_of_place(id) + "\n");
  return ExitCode::kOk;
}

Result<ExitCode> run_on(Index& index, const Insert& /*insert*/) {
  return Error(ErrorCode::kInvalidArgument, fmt::format("rows are inserted into tables: {} is over the table \"{}\"",
                                                        named(index), escape(index.table_name())));
}

Result<ExitCode> run(const Insert& insert) {
  const Missing missing = insert.create ? Missing::kIsCreated : Missing::kIsError;
  return with_database(insert.directory, missing, Durability::kDurable, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(NamedObject object,
              insert.create ? open_or_create(database, insert.name) : open_named(database, insert.name));
    return std::visit([&](auto& opened) { return run_on(opened, insert); }, object);
  });
}

Action declare_insert(Arguments& arguments) {
  auto insert = std::make_shared<Insert>();
  arguments.positional("DIR", insert->directory, kDirectoryHelp);
  arguments.positional("NAME", insert->name, "Name of a map or table");
  arguments.positional("VALUE", insert->values,
                       "Key and value, or a value per column; `--` before one that begins with a dash");
  arguments.option("--null", insert->null, "TEXT", "What stands for NULL, instead of \\N");
  arguments.flag("--replace", insert->replace, "Replace the value of a key that is there");
  arguments.flag("--create", insert->create, "Make the database and the map when they are missing");
  arguments.flag("--escaped", insert->escaped, kEscapedHelp);
  return [insert] { return run(*insert); };
}

}  // namespace

const Verb kInsertVerb = {"insert", "Entries and rows", "Insert an entry or a row", kInsertDetails, declare_insert};

}  // namespace vaultgres::cli
