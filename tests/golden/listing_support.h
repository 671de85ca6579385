// A database as text: all that its catalog names, in the order of names, each with all that is in it. Another program
// that reads the same files, read_vaultgres.py, prints the same, byte for byte.
//
//   map "words", object 1016
//   "key" = "value"
//   table "people", object 1017
//   column "id" int64
//   column "name" text nullable
//   row 12.0: 1, NULL
//   index "by_id", object 1018, of "people", unique: "id", "name" descending
//   1, NULL -> 12.0
//
// Bytes are printed in quotes, those that are not plain characters as \xNN; more than 60 of them as their number and
// their CRC32C. Doubles are printed as their bits.
#pragma once

#include <string>

#include "vaultgres/database.h"

namespace vaultgres {

/// The listing, or the first error.
Result<std::string> list_database(Database& db);

}  // namespace vaultgres
