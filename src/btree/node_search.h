// Search in a node's array of heads: by hints, then by vector compares where the processor has them.
#pragma once

#include <algorithm>
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

/// Heads [begin, begin + length): those between two hints.
struct Interval {
  unsigned begin;
  unsigned length;
};

/// A search in two steps, so that its caller can load the entries of the interval while it waits for the heads.
/// Safe on any bytes if the heads lie within the page; exact when heads ascend and hints are right.
struct HeadSearch {
  unsigned (*hints_below)(const std::byte* hints, std::uint32_t head) noexcept;
  unsigned (*heads_below)(const std::byte* heads, unsigned length, std::uint32_t head) noexcept;

  /// Hints below `head`, k of them, say that head k * spacing is below it and head (k + 1) * spacing is not: the first
  /// head that is >= `head` lies between.
  Interval interval(const std::byte* page, unsigned count, std::uint32_t head) const noexcept {
    const unsigned spacing = hint_spacing(count);
    const unsigned begin = std::min(hints_below(page + kNodeHintsOffset, head) * spacing, count);
    return {begin, std::min(spacing, count - begin)};
  }
  /// The first head of the interval that is >= `head`; its end if none.
  unsigned within(const std::byte* page, Interval interval, std::uint32_t head) const noexcept {
    return interval.begin + heads_below(page + kNodeHeadsOffset + 4 * interval.begin, interval.length, head);
  }
  /// The first of `count` heads that is >= `head`; `count` if none.
  unsigned search(const std::byte* page, unsigned count, std::uint32_t head) const noexcept {
    return within(page, interval(page, count, head), head);
  }
};

/// The best that the processor has.
const HeadSearch& head_search() noexcept;

/// The implementations, which must agree: for tests. Null where the processor lacks it.
const HeadSearch* head_search_scalar() noexcept;
const HeadSearch* head_search_avx2() noexcept;
const HeadSearch* head_search_avx512() noexcept;

/// Sets the hints for `count` heads, those that a change at slot `from` on may have touched. `count_before`
/// tells whether the spacing is still the same.
void update_hints(std::byte* page, unsigned from, unsigned count_before, unsigned count) noexcept;
/// What hint `index` has to be.
std::uint32_t hint_of(const std::byte* page, unsigned index, unsigned count) noexcept;

}  // namespace vaultgres::node
