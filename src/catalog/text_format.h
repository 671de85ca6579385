// Values as text: CSV files, the command line.
//
//   int16 int32 int64  -12
//   double             1.5, 1e-300, inf, -inf, nan; printed in the shortest form that reads back the same
//   bool               true false, read also as t f 1 0 (in any case)
//   text               as it is
//   bytes              \x and two hexadecimal digits per byte
//   date               2021-04-30, years 0000 to 9999; others with a sign: +12021-04-30, -0001-04-30 (astronomical)
//   timestamp          2021-04-30T12:34:56.789Z: UTC; read also with a blank for T and without Z; a fraction has 1 to
//                      6 digits
// How NULL is written is the caller's matter.
#pragma once

#include <string>
#include <string_view>

#include "vaultgres/value.h"

namespace vaultgres {

/// kInvalidArgument: says what is wrong with which text. Text and bytes are owned.
Result<Value> parse_value(ColumnType type, std::string_view text);

/// Appends what parse_value() reads; nothing for NULL.
void append_value_text(const Value& value, std::string& out);

}  // namespace vaultgres
