// The kinds of object, for the verbs that do the same with each of them.
#pragma once

#include "vaultgres/database.h"

namespace vaultgres::cli {

struct ObjectKind {
  const char* placeholder;  ///< in the help
  const char* name_help;
  const char* list_hint;  ///< where to find the right name
  Status (Database::*drop)(std::string_view name);
  Status (Database::*rename)(std::string_view from, std::string_view to);
};

inline constexpr ObjectKind kMapKind = {"MAP", "Name of the map", "`vaultgres maps` lists the maps",
                                        &Database::drop_map, &Database::rename_map};
inline constexpr ObjectKind kTableKind = {"TABLE", "Name of the table", "`vaultgres tables` lists the tables",
                                          &Database::drop_table, &Database::rename_table};
inline constexpr ObjectKind kIndexKind = {"INDEX", "Name of the index", "`vaultgres tables` lists the indexes, too",
                                          &Database::drop_index, &Database::rename_index};

}  // namespace vaultgres::cli
