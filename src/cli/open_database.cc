#include "cli/open_database.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/try.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

Result<Database> open_database(const std::string& directory, Missing missing, Durability durability) {
  std::error_code ignored;
  const auto kind = std::filesystem::status(directory, ignored).type();
  if (kind != std::filesystem::file_type::not_found && kind != std::filesystem::file_type::none &&
      kind != std::filesystem::file_type::directory) {
    return Error(ErrorCode::kInvalidArgument, directory + " is not a directory; a database is one");
  }
  Options options;
  options.create_if_missing = missing == Missing::kIsCreated;
  options.durability = durability;
  options.on_log = [](std::string_view line) { report_note(line); };
  Result<Database> opened = Database::open(directory, std::move(options));
  if (!opened && opened.error().code() == ErrorCode::kNotFound && missing == Missing::kIsError) {
    return Error(ErrorCode::kNotFound,
                 fmt::format("{}; `vaultgres create-map {} NAME` makes one", opened.error().message(), directory));
  }
  return opened;
}

}  // namespace

Result<ExitCode> with_database(const std::string& directory, Missing missing, Durability durability,
                               const std::function<Result<ExitCode>(Database&)>& use) {
  VG_ASSIGN(Database database, open_database(directory, missing, durability));
  Result<ExitCode> done = use(database);
  Status closed = database.close();
  if (!done) return done;
  if (!closed) return closed.error().with_context("closing " + directory);
  return done;
}

Result<ExitCode> with_map(const std::string& directory, const std::string& map,
                          const std::function<Result<ExitCode>(Map&)>& use) {
  return with_database(directory, Missing::kIsError, Durability::kDurable, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(Map opened, open_map(database, directory, map));
    return use(opened);
  });
}

Result<Map> open_map(Database& database, const std::string& directory, const std::string& name) {
  Result<Map> opened = database.open_map(name);
  if (opened || opened.error().code() != ErrorCode::kNotFound) return opened;
  return Error(ErrorCode::kNotFound,
               fmt::format("{}; `vaultgres maps {}` lists the maps", opened.error().message(), directory));
}

Result<std::string> field_of(const std::string& text, bool escaped, const char* what) {
  if (!escaped) return text;
  Result<std::string> field = unescape(text);
  if (!field) return field.error().with_context(what);
  return field;
}

}  // namespace vaultgres::cli
