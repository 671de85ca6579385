// What users do with a database, all of it, whatever the calls answer. What must hold even so: walks end, and give
// their keys in order.
#pragma once

#include "input_reader.h"
#include "vaultgres/database.h"

namespace vaultgres::fuzz {

void read_everything(Database& db, InputReader& script);
void change_some(Database& db, InputReader& script);

}  // namespace vaultgres::fuzz
