#include "cli/open_database.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/try.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

struct Opened {
  Database database;
  std::optional<Error> read_only;  ///< why it is not open for writing
};

/// Errors of opening for writing that reading may get around: a place that cannot be written, or other readers.
bool may_be_readable(const Error& error) {
  return error.os_error() == EACCES || error.os_error() == EPERM || error.os_error() == EROFS ||
         error.code() == ErrorCode::kLocked;
}

/// For writing where that is possible, so that after a crash the database is recovered for good.
Result<Opened> open_database(const std::string& directory, Missing missing, Durability durability) {
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
  Result<Database> opened = Database::open(directory, options);
  if (opened) return Opened{*std::move(opened), std::nullopt};
  const Error& why = opened.error();
  if (missing == Missing::kIsCreated) return why;
  if (why.code() == ErrorCode::kNotFound) {
    return Error(ErrorCode::kNotFound,
                 fmt::format("{}; `vaultgres create-map {} NAME` makes one", why.message(), directory));
  }
  if (!may_be_readable(why)) return why;
  // Another command that only looks something up is through in a moment.
  for (int attempt = 0; why.code() == ErrorCode::kLocked && attempt < 20; ++attempt) {
    options.read_only = attempt % 2 == 0;
    Result<Database> again = Database::open(directory, options);
    if (again) return Opened{*std::move(again), options.read_only ? std::optional<Error>(why) : std::nullopt};
    if (again.error().code() != ErrorCode::kLocked) return again.error();
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  options.read_only = true;
  Result<Database> readable = Database::open(directory, std::move(options));
  if (readable) return Opened{*std::move(readable), why};
  return why.code() == ErrorCode::kLocked ? why : readable.error();
}

}  // namespace

Result<ExitCode> with_database(const std::string& directory, Missing missing, Durability durability,
                               const std::function<Result<ExitCode>(Database&)>& use) {
  VG_ASSIGN(Opened opened, open_database(directory, missing, durability));
  Result<ExitCode> done = use(opened.database);
  Status closed = opened.database.close();
  if (!done && done.error().code() == ErrorCode::kReadOnly && opened.read_only) return *opened.read_only;
  if (!done) return done;
  if (!closed) return closed.error().with_context("closing " + directory);
  return done;
}

Result<std::string> field_of(const std::string& text, bool escaped, const char* what) {
  if (!escaped) return text;
  Result<std::string> field = unescape(text);
  if (!field) return field.error().with_context(what);
  return field;
}

}  // namespace vaultgres::cli
