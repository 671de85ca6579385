// vaultgres create-index: an index over columns of a table.
#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/column_types.h"
#include "cli/exit_code.h"
#include "cli/hint.h"
#include "cli/open_database.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kCreateIndexDetails[] = R"(
COLUMN is the name of a column, with `:desc` behind it if greater values shall come first: rating:desc. (A column
whose own name ends so is written with `:asc` behind it.) The order of the columns counts: an index on event and
player finds the rows of an event, and those of a player in an event. Nobody can write to the table meanwhile.

With --unique no two rows may be equal in all the columns, exit code 5 if two are; rows with a NULL in one of
them are equal to none. Exit code 5 also when the name is taken, 6 when there is no such table.

Examples:
  vaultgres create-index shop.vg users users_id id --unique
  vaultgres create-index shop.vg ratings by_period period elo:desc
  vaultgres get shop.vg users_id 42                         finds rows by it, as range does)";

struct CreateIndex {
  std::string directory;
  std::string table;
  std::string index;
  std::vector<std::string> columns;
  bool unique = false;
  bool json = false;
};

IndexSpec::Part parse_part(std::string_view text) {
  constexpr std::string_view kDescending = ":desc";
  constexpr std::string_view kAscending = ":asc";
  const bool descending = text.ends_with(kDescending);
  if (descending)
    text.remove_suffix(kDescending.size());
  else if (text.ends_with(kAscending))
    text.remove_suffix(kAscending.size());
  return {std::string(text), descending};
}

Result<ExitCode> run_on(Database& database, const CreateIndex& request) {
  IndexSpec spec;
  spec.unique = request.unique;
  for (const std::string& column : request.columns) spec.columns.push_back(parse_part(column));
  const auto start = std::chrono::steady_clock::now();
  if (const Result<Index> made = database.create_index(request.index, request.table, spec); !made) {
    return with_hint_if(ErrorCode::kNotFound, made.error(), "`vaultgres tables` lists the tables");
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  const Result<MapStats> stats = database.index_stats(request.index);
  Json answer = {{"index", json_of(request.index)},
                 {"table", json_of(request.table)},
                 {"columns", index_columns_text(spec)},
                 {"unique", spec.unique}};
  if (stats) {
    answer["rows"] = stats->entries;
    answer["height"] = stats->height;
    answer["pages"] = stats->leaf_pages + stats->internal_pages;
  } else {
    // The index is made, and stays: who is told of a failure would make it again.
    report_note(fmt::format("the index is made, but its figures cannot be read: {}", stats.error().message()));
  }
  answer["seconds"] = taken.count();
  print_answer(answer, request.json ? Format::kJson : Format::kText);
  return ExitCode::kOk;
}

Result<ExitCode> run(const CreateIndex& request) {
  return with_database(request.directory, Missing::kIsError, Durability::kDurable,
                       [&](Database& database) { return run_on(database, request); });
}

Action declare_create_index(Arguments& arguments) {
  auto request = std::make_shared<CreateIndex>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("TABLE", request->table, "Name of the table");
  arguments.positional("INDEX", request->index, "Name of the new index");
  arguments.positional("COLUMN", request->columns, "Columns, the most important one first");
  arguments.flag("--unique", request->unique, "No two rows may be equal in these columns");
  arguments.flag("--json", request->json, kJsonHelp);
  return [request] { return run(*request); };
}

}  // namespace

const Verb kCreateIndexVerb = {"create-index", "Tables", "Make an index on columns of a table", kCreateIndexDetails,
                               declare_create_index};

}  // namespace vaultgres::cli
