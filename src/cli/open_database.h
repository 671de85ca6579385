// What the verbs on maps share: opening and closing, fields of the command line.
#pragma once

#include <functional>
#include <string>

#include "cli/exit_code.h"
#include "vaultgres/database.h"

namespace vaultgres::cli {

enum class Missing : std::uint8_t { kIsError, kIsCreated };

/// Opens, runs `use`, closes. The first error of the three.
Result<ExitCode> with_database(const std::string& directory, Missing missing, Durability durability,
                               const std::function<Result<ExitCode>(Database&)>& use);

/// As with_database(), on a map that must be there; changes are durable.
Result<ExitCode> with_map(const std::string& directory, const std::string& map,
                          const std::function<Result<ExitCode>(Map&)>& use);

/// A map that must be there; the error says how to find the right one.
Result<Map> open_map(Database& database, const std::string& directory, const std::string& name);

/// A key or value as it stands on the command line; `what` names it in the error.
Result<std::string> field_of(const std::string& text, bool escaped, const char* what);

inline constexpr char kDirectoryHelp[] = "Directory of the database";
inline constexpr char kEscapedHelp[] = "Keys and values are written with the escapes \\t \\n \\r \\0 \\\\ \\xHH";

}  // namespace vaultgres::cli
