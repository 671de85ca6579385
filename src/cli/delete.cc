// vaultgres delete: an entry or rows go.
#include <fmt/format.h>

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

constexpr char kDeleteDetails[] = R"(
Of a map: the entry with this key. Of an index: all rows of its table whose index columns equal the values, which may
be fewer than the index has columns (\N is NULL); all of them, or none when something fails. Of a table: the row at a
place, PAGE:SLOT. Says how many rows went. Durable when the command returns. Exit code 6 when there is nothing.

Examples:
  vaultgres delete shop.vg sessions alice
  vaultgres delete shop.vg by-number '\x00\x2a' --escaped
  vaultgres delete shop.vg users_id 42
  vaultgres delete shop.vg users_city_age Rome
  vaultgres delete shop.vg users 5:0)";

struct Delete {
  std::string directory;
  std::string name;
  std::vector<std::string> values;
  bool escaped = false;
};

Error none_there(const std::string& what) {
  return Error(ErrorCode::kNotFound, what);
}

void say_how_many(std::size_t rows) {
  print(fmt::format("{} row{} deleted\n", rows, rows == 1 ? "" : "s"));
}

Result<ExitCode> run_on(Database& /*database*/, Map& map, const Delete& request) {
  VG_ASSIGN(const std::string key, only_key(map, request.values, request.escaped));
  VG_ASSIGN(const bool there, map.erase(key));
  if (there) return ExitCode::kOk;
  return none_there(fmt::format("there is no key \"{}\" in {}", escape(key), named(map)));
}

Result<ExitCode> run_on(Database& /*database*/, Table& table, const Delete& request) {
  VG_ASSIGN(const RowId id, only_place(table, request.values, "delete takes", "delete"));
  VG_ASSIGN(const bool there, table.erase(id));
  if (!there) return none_there(fmt::format("{} has no row at {}", named(table), request.values[0]));
  say_how_many(1);
  return ExitCode::kOk;
}

/// The cursor ends before the first row goes: it shall not walk over what the same transaction changes.
Result<std::vector<RowId>> rows_with(const Index& index, const Transaction& txn, const Row& values) {
  std::vector<RowId> ids;
  IndexRange range;
  range.equal = values;
  RowCursor cursor = index.range(txn, range);
  for (;;) {
    VG_ASSIGN(const bool more, cursor.next());
    if (!more) return ids;
    ids.push_back(cursor.id());
  }
}

Result<ExitCode> run_on(Database& database, Index& index, const Delete& request) {
  VG_ASSIGN(const Row values, index_values(index, request.values, {.escaped = request.escaped}));
  VG_ASSIGN(Table table, database.open_table(index.table_name()));
  VG_ASSIGN(Transaction txn, database.begin());
  VG_ASSIGN(const std::vector<RowId> ids, rows_with(index, txn, values));
  if (ids.empty()) return none_there(fmt::format("{} has no row with these values", named(index)));
  for (const RowId id : ids) VG_TRY(table.erase(txn, id));
  VG_TRY(txn.commit());
  say_how_many(ids.size());
  return ExitCode::kOk;
}

Result<ExitCode> run(const Delete& request) {
  return with_named(request.directory, request.name, [&](Database& database, NamedObject& object) {
    return std::visit([&](auto& opened) { return run_on(database, opened, request); }, object);
  });
}

Action declare_delete(Arguments& arguments) {
  auto request = std::make_shared<Delete>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("NAME", request->name, kNameHelp);
  arguments.positional("VALUE", request->values,
                       "The key, the index columns' values, or the row's place; `--` before one with a dash");
  arguments.flag("--escaped", request->escaped, kEscapedHelp);
  return [request] { return run(*request); };
}

}  // namespace

const Verb kDeleteVerb = {"delete", "Entries and rows", "Delete an entry, or rows", kDeleteDetails, declare_delete};

}  // namespace vaultgres::cli
