// Page ids, one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace vaultgres {

inline std::vector<PageId> ids_from(std::uint32_t first, std::uint32_t count) {
  std::vector<PageId> ids;
  for (std::uint32_t i = 0; i < count; ++i) ids.push_back(PageId{first + i});
  return ids;
}

}  // namespace vaultgres
