// Search in a node's array of heads: by hints, then by vector compares where the processor has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/node.h"

namespace vaultgres::node {

/// Distance of the heads that the hints are copies of.
constexpr unsigned hint_spacing(unsigned count) noexcept {
  unsigned spacing = 16;
  while (17 * spacing < count) spacing *= 2;
  return spacing;
}

/// The first of `count` heads that is >= `head`; `count` if none. Safe on any bytes if the heads lie within
/// the page; exact when heads ascend and hints are right.
unsigned search_heads(const std::byte* page, unsigned count, std::uint32_t head) noexcept;

/// The implementations, which must agree: for tests. Null where the processor lacks it.
using SearchHeads = unsigned (*)(const std::byte* page, unsigned count, std::uint32_t head);
SearchHeads search_heads_scalar() noexcept;
SearchHeads search_heads_avx2() noexcept;
SearchHeads search_heads_avx512() noexcept;

/// Sets the hints for `count` heads, those that a change at slot `from` on may have touched. `count_before`
/// tells whether the spacing is still the same.
void update_hints(std::byte* page, unsigned from, unsigned count_before, unsigned count) noexcept;
/// What hint `index` has to be.
std::uint32_t hint_of(const std::byte* page, unsigned index, unsigned count) noexcept;

}  // namespace vaultgres::node
