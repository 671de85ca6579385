// Finding a key's entry in a node, in the parts that a search in one go (node.cc) and one cut in steps (node_probe.cc)
// share. Within btree/node*.cc only.
#pragma once

#include "btree/node_layout.h"
#include "btree/node_search.h"

namespace vaultgres::node {

/// <0, 0, >0 as a key's first bytes are below, equal, above the node's prefix.
inline int compare_prefix(const std::byte* page, const Layout& l, Bytes key) noexcept {
  const unsigned prefix = l.prefix_bytes;
  if (prefix == 0) return 0;
  if (prefix <= 8 && key.size() >= 8) {
    // On the header's own cache line; the fence lies on another.
    const auto mine = load_big<std::uint64_t>(header_of(page).prefix_start);
    const auto theirs = load_big<std::uint64_t>(key.data());
    const unsigned unused_bits = 64 - 8 * prefix;
    const std::uint64_t a = theirs >> unused_bits;
    const std::uint64_t b = mine >> unused_bits;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  const std::size_t shared = std::min<std::size_t>(prefix, key.size());
  const int order = compare_bytes(key.data(), page + kPageBytes - l.low_bytes, shared);
  if (order != 0) return order;
  return key.size() < prefix ? -1 : 0;
}

/// low <= key < high
inline bool covers(const std::byte* page, const Layout& l, Bytes key) noexcept {
  if (compare_keys(key, low_fence(page, l)) < 0) return false;
  return !l.has_high || compare_keys(key, high_fence(page, l)) < 0;
}

/// Whether the entry of `slot` may be that of a key with this head.
inline bool has_head(const std::byte* page, const Layout& l, unsigned slot, std::uint32_t head) noexcept {
  return slot < l.count && head_at(page, slot) == head;
}

/// The key's position, given the first slot whose head equals that of the key's suffix: the rests decide.
inline NodeView::Position position_among_equal_heads(const std::byte* page, const Layout& l, unsigned slot,
                                                     std::uint32_t head, Bytes suffix) noexcept {
  int order = compare_rest(entry_of(page, l, slot), suffix);
  if (order >= 0) return {slot, order == 0};
  if (++slot >= l.count || head_at(page, slot) != head) return {slot, false};
  unsigned end = head == 0xFFFFFFFFu ? l.count : head_search().search(page, l.count, head + 1);
  while (slot < end) {
    const unsigned middle = (slot + end) / 2;
    order = compare_rest(entry_of(page, l, middle), suffix);
    if (order == 0) return {middle, true};
    if (order < 0) {
      slot = middle + 1;
    } else {
      end = middle;
    }
  }
  return {slot, false};
}

inline NodeView::Found found_at(const std::byte* page, const Layout& l, NodeView::Position position) noexcept {
  NodeView::Found found{position, 0, {}};
  if (!position.exact) return found;
  found.value = entry_of(page, l, position.slot).value;
  found.flags = flags_of(page, l, position.slot);
  return found;
}

inline PageId child_of(Bytes value) noexcept {
  return value.size() == kChildBytes ? PageId{load_little<std::uint32_t>(value.data())} : kNoPage;
}

/// The child of an internal node that covers a key of this position.
inline NodeView::Child child_at(const std::byte* page, const Layout& l, NodeView::Position position) noexcept {
  const unsigned slot = position.exact || position.slot == 0 ? position.slot : position.slot - 1;
  return {slot, child_of(entry_of(page, l, slot).value)};
}

}  // namespace vaultgres::node
