// The rows of a table without their places: what a copy of the table has in common with it.
#pragma once

#include <algorithm>
#include <vector>

#include "support/table.h"

namespace vaultgres {

inline std::vector<Row> sorted_rows(const Rows& rows) {
  std::vector<Row> sorted;
  for (const auto& [id, row] : rows) sorted.push_back(row);
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace vaultgres
