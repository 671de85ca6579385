// What the verbs on maps share: opening and closing, fields of the command line.
#pragma once

#include <functional>
#include <string>

#include "cli/exit_code.h"
#include "vaultgres/database.h"

namespace vaultgres::cli {

enum class Missing : std::uint8_t { kIsError, kIsCreated };

/// Opens for writing, runs `use`, closes. The first error of the three. Waits a moment for another command that has the
/// database open.
Result<ExitCode> with_database(const std::string& directory, Missing missing, Durability durability,
                               const std::function<Result<ExitCode>(Database&)>& use);

/// The same for a command that only reads: it shares the database with others of its kind, and its place need not be
/// writable. One that was not closed cleanly is opened for writing where that is possible, so that it is recovered for
/// good, and recovered in memory where it is not.
Result<ExitCode> with_database_to_read(const std::string& directory,
                                       const std::function<Result<ExitCode>(Database&)>& use);

/// A key or value as it stands on the command line; `what` names it in the error.
Result<std::string> field_of(const std::string& text, bool escaped, const char* what);

inline constexpr char kDirectoryHelp[] = "Directory of the database";
inline constexpr char kEscapedHelp[] = "Keys and values are written with the escapes \\t \\n \\r \\0 \\\\ \\xHH";

}  // namespace vaultgres::cli
