// Changes of one node's page, in place. Within btree/node*.cc only: everybody else logs page operations.
//
// Each returns null when done, else what is wrong; then the page is as it was. All are safe on any page and
// any arguments, and deterministic: equal pages (history bits aside) become equal pages, and no byte outside
// the slots' own flags depends on a history bit. LSN and checksum are not touched.
#pragma once

#include "btree/node_layout.h"

namespace vaultgres::node {

/// Flags that are logged.
inline constexpr std::uint8_t kLoggedFlags = kSlotGhost | kSlotOverflow;
inline constexpr std::uint8_t kAllFlags = kLoggedFlags | kSlotHistory;

/// An empty page of this node: fixed form, prefix from the fences. Clears everything, LSN included.
void init(MutableBytes page, ObjectId object, unsigned level, std::uint8_t page_flags, const NodeFences& fences,
          PageId right) noexcept;

const char* insert(MutableBytes page, unsigned slot, std::uint8_t flags, Bytes key, Bytes value) noexcept;
const char* remove(MutableBytes page, unsigned slot) noexcept;
/// Sets value and flags; the history flag stays.
const char* replace(MutableBytes page, unsigned slot, std::uint8_t flags, Bytes value, OldRoom old_room) noexcept;
/// Sets the flags in `mask` to those in `flags`.
const char* set_flags(MutableBytes page, unsigned slot, std::uint8_t mask, std::uint8_t flags) noexcept;

/// Appends the entries [first, last) of another node, with the room that they keep. What was appended before a problem
/// stays.
const char* append_range(MutableBytes page, const NodeView& from, unsigned first, unsigned last) noexcept;
/// One of them, without such room.
const char* append_released(MutableBytes page, const NodeView& from, unsigned slot) noexcept;

}  // namespace vaultgres::node
