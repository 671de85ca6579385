// What the verbs on maps share: opening and closing, fields of the command line.
#pragma once

#include <functional>
#include <string>

#include "cli/exit_code.h"
#include "vaultgres/database.h"

namespace vaultgres::cli {

enum class Missing : std::uint8_t { kIsError, kIsCreated };

/// Opens, runs `use`, closes. The first error of the three. A database that must be there, but cannot be opened for
/// writing because its place cannot be written or because readers have it open, is opened read-only; if `use` then
/// wants to change it, the error is that of opening it for writing.
Result<ExitCode> with_database(const std::string& directory, Missing missing, Durability durability,
                               const std::function<Result<ExitCode>(Database&)>& use);

/// A key or value as it stands on the command line; `what` names it in the error.
Result<std::string> field_of(const std::string& text, bool escaped, const char* what);

inline constexpr char kDirectoryHelp[] = "Directory of the database";
inline constexpr char kEscapedHelp[] = "Keys and values are written with the escapes \\t \\n \\r \\0 \\\\ \\xHH";

}  // namespace vaultgres::cli
