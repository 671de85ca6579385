// What a name stands for: maps, tables and indexes share one space of names.
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "cli/exit_code.h"
#include "vaultgres/database.h"

namespace vaultgres::cli {

using NamedObject = std::variant<Map, Table, Index>;

/// kNotFound: there is nothing of this name; says how to find the right one.
Result<NamedObject> open_named(Database& database, const std::string& name);

/// The same, but when there is nothing of this name, a new map.
Result<NamedObject> open_or_create(Database& database, const std::string& name);

/// Opens the database and what the name stands for, and goes on with that; changes are durable.
Result<ExitCode> with_named(const std::string& directory, const std::string& name,
                            const std::function<Result<ExitCode>(Database&, NamedObject&)>& use);
/// The same to read only.
Result<ExitCode> with_named_to_read(const std::string& directory, const std::string& name,
                                    const std::function<Result<ExitCode>(Database&, NamedObject&)>& use);

/// "the table \"users\"".
std::string named(const NamedObject& object);

/// The key that a command on one entry was given.
Result<std::string> only_key(const Map& map, const std::vector<std::string>& values, bool escaped);
/// The place that a command on one row was given. "of the table, `takes` the row at one place, but …; to `purpose` rows
/// by values, name an index of it".
Result<RowId> only_place(const Table& table, const std::vector<std::string>& values, const char* takes,
                         const char* purpose);

inline constexpr char kNameHelp[] = "Name of a map, table or index";

}  // namespace vaultgres::cli
