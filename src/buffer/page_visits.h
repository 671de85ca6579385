// How many pages this thread's reads have visited, by layer: what a lookup costs, whatever the cache holds. Counted by
// BufferPool::count_visits().
#pragma once

#include <cstdint>

namespace vaultgres {

struct PageVisits {
  std::uint64_t tree = 0;
  std::uint64_t heap = 0;
  std::uint64_t overflow = 0;
  std::uint64_t loads = 0;  ///< pages, of whatever kind, that this thread had to read from the disk
};
inline constinit thread_local PageVisits page_visits;

}  // namespace vaultgres
