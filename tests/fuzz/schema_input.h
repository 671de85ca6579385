// A schema out of an input: the number of columns, then a byte for each.
#pragma once

#include "input_reader.h"
#include "vaultgres/value.h"

namespace vaultgres::fuzz {

inline constexpr unsigned kSchemaColumnsMax = 16;
inline constexpr unsigned kColumnTypes = 9;

/// 1 to kSchemaColumnsMax columns.
inline Schema take_schema(InputReader& reader) {
  std::vector<Column> columns;
  const unsigned count = 1 + reader.byte() % kSchemaColumnsMax;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned what = reader.byte();
    columns.push_back({"c" + std::to_string(i), static_cast<ColumnType>(1 + what % kColumnTypes), what >= 128});
  }
  return *Schema::create(std::move(columns));
}
/// The other way round: what take_schema() makes this schema of, apart from names.
inline std::string schema_input(const Schema& schema) {
  std::string input(1, static_cast<char>(schema.size() - 1));
  for (const Column& column : schema.columns()) {
    const unsigned type = static_cast<unsigned>(column.type) - 1;
    // 135 and 0 are multiples of kColumnTypes on the two sides of 128.
    input.push_back(static_cast<char>(column.nullable ? 135 + type : type));
  }
  return input;
}

}  // namespace vaultgres::fuzz
