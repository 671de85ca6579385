#include "cli/open_database.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "base/try.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

/// Another command is through in a moment: so often, and so long, one that is in its way waits.
constexpr int kLockAttempts = 20;
constexpr std::chrono::milliseconds kLockPause{25};

Options options_of(bool read_only) {
  Options options;
  options.create_if_missing = false;
  options.read_only = read_only;
  options.on_log = [](std::string_view line) { report_note(line); };
  return options;
}

Status check_directory(const std::string& directory) {
  std::error_code ignored;
  const auto kind = std::filesystem::status(directory, ignored).type();
  if (kind == std::filesystem::file_type::not_found || kind == std::filesystem::file_type::none ||
      kind == std::filesystem::file_type::directory) {
    return {};
  }
  return Error(ErrorCode::kInvalidArgument, directory + " is not a directory; a database is one");
}

/// Opens, and again while it is locked.
Result<Database> open_patiently(const std::string& directory, const Options& options) {
  Result<Database> opened = Database::open(directory, options);
  for (int attempt = 1; !opened && opened.error().code() == ErrorCode::kLocked && attempt < kLockAttempts; ++attempt) {
    std::this_thread::sleep_for(kLockPause);
    opened = Database::open(directory, options);
  }
  return opened;
}

/// Read-only, unless that takes a recovery.
std::optional<Database> open_clean(const std::string& directory) {
  struct State {
    bool open = false;
    bool recovered = false;
  };
  const auto state = std::make_shared<State>();
  Options options = options_of(true);
  options.on_log = [state](std::string_view line) {
    if (state->open) {
      report_note(line);
    } else {
      state->recovered = true;  // opening says nothing else
    }
  };
  Result<Database> opened = Database::open(directory, std::move(options));
  if (!opened || state->recovered) return std::nullopt;
  state->open = true;
  return *std::move(opened);
}

/// Errors of opening for writing that reading may get around: a place that cannot be written, a full one, or other
/// readers.
bool may_be_readable(const Error& error) {
  return error.os_error() == EACCES || error.os_error() == EPERM || error.os_error() == EROFS ||
         error.code() == ErrorCode::kLocked || error.code() == ErrorCode::kNoSpace;
}

Result<Database> open_to_read(const std::string& directory) {
  if (std::optional<Database> clean = open_clean(directory)) return *std::move(clean);
  // In memory each command would have to recover it again.
  Result<Database> recovered = Database::open(directory, options_of(false));
  if (recovered || !may_be_readable(recovered.error())) return recovered;
  return open_patiently(directory, options_of(true));
}

/// Runs `use` on what was opened, and closes it. `missing`: what it was to be if there is none.
Result<ExitCode> use_and_close(Result<Database> opened, const std::string& directory, Missing missing,
                               const std::function<Result<ExitCode>(Database&)>& use) {
  if (!opened && opened.error().code() == ErrorCode::kNotFound && missing == Missing::kIsError) {
    return Error(ErrorCode::kNotFound,
                 fmt::format("{}; `vaultgres create-map {} NAME` makes one", opened.error().message(), directory));
  }
  if (!opened) return opened.error();
  Result<ExitCode> done = use(*opened);
  Status closed = opened->close();
  if (!done) return done;
  if (!closed) return closed.error().with_context("closing " + directory);
  return done;
}

}  // namespace

Result<ExitCode> with_database(const std::string& directory, Missing missing, Durability durability,
                               const std::function<Result<ExitCode>(Database&)>& use) {
  VG_TRY(check_directory(directory));
  Options options = options_of(false);
  options.create_if_missing = missing == Missing::kIsCreated;
  options.durability = durability;
  return use_and_close(open_patiently(directory, options), directory, missing, use);
}

Result<ExitCode> with_database_to_read(const std::string& directory,
                                       const std::function<Result<ExitCode>(Database&)>& use) {
  VG_TRY(check_directory(directory));
  return use_and_close(open_to_read(directory), directory, Missing::kIsError, use);
}

Result<std::string> field_of(const std::string& text, bool escaped, const char* what) {
  if (!escaped) return text;
  Result<std::string> field = unescape(text);
  if (!field) return field.error().with_context(what);
  return field;
}

}  // namespace vaultgres::cli
