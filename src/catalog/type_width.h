// How many bytes a value of each type has, in keys and rows.
#pragma once

#include <cstddef>

#include "vaultgres/value.h"

namespace vaultgres {

/// Bytes of a value of fixed width; 0 for text and bytes.
constexpr std::size_t type_width(ColumnType type) noexcept {
  switch (type) {
    case ColumnType::kBool:
      return 1;
    case ColumnType::kInt16:
      return 2;
    case ColumnType::kInt32:
    case ColumnType::kDate:
      return 4;
    case ColumnType::kInt64:
    case ColumnType::kTimestamp:
    case ColumnType::kDouble:
      return 8;
    case ColumnType::kText:
    case ColumnType::kBytes:
      break;
  }
  return 0;
}

}  // namespace vaultgres
