// Where things lie on a node's page: the header decoded, entries located. Within btree/node*.cc only
// (and in the private part of a probe).
//
// Everything here is safe on any bytes: header fields are loaded once and bounded, and whatever is located
// lies within the page. On a sound page the bounds change nothing.
#pragma once

#include <algorithm>
#include <cstring>

#include "btree/node.h"
#include "format/node.h"

namespace vaultgres::node {

/// No node has more entries: a head and a byte of flags each.
inline constexpr unsigned kEntriesMax = (kPageBytes - kNodeHeadsOffset) / (4 + kRecordFlagBytes);
/// No slotted node has room for more heads and slots.
inline constexpr unsigned kCapacityMax = (kPageBytes - kNodeHeadsOffset) / 6;

inline const NodeHeader& header_of(const std::byte* page) noexcept {
  return *reinterpret_cast<const NodeHeader*>(page + kPageHeaderBytes);
}
inline NodeHeader& header_of(std::byte* page) noexcept {
  return *reinterpret_cast<NodeHeader*>(page + kPageHeaderBytes);
}

/// Length of the part of a key that is neither prefix nor head.
constexpr unsigned rest_of(unsigned suffix_bytes) noexcept {
  return suffix_bytes > 4 ? suffix_bytes - 4 : 0;
}
constexpr unsigned round_up(unsigned value, unsigned multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}

/// The first four bytes as a number that compares in key order.
inline std::uint32_t head_of(Bytes suffix) noexcept {
  if (suffix.size() >= 4) return load_big<std::uint32_t>(suffix.data());
  std::uint32_t head = 0;
  for (std::size_t i = 0; i < suffix.size(); ++i) head |= std::to_integer<std::uint32_t>(suffix[i]) << (24 - 8 * i);
  return head;
}
inline std::uint32_t head_at(const std::byte* page, unsigned slot) noexcept {
  return load_little<std::uint32_t>(page + kNodeHeadsOffset + 4 * slot);
}

/// At most eight bytes as a number that compares in their order, among numbers of as many bytes. (Bytes in the middle
/// may be taken twice: that changes nothing, their first copies have decided.)
inline std::uint64_t short_as_number(const std::byte* bytes, std::size_t length) noexcept {
  if (length >= 4) {
    return std::uint64_t{load_big<std::uint32_t>(bytes)} << 32 | load_big<std::uint32_t>(bytes + length - 4);
  }
  if (length >= 2) {
    return std::uint64_t{load_big<std::uint16_t>(bytes)} << 16 | load_big<std::uint16_t>(bytes + length - 2);
  }
  return length == 0 ? 0 : load_little<std::uint8_t>(bytes);
}

/// memcmp that is cheap for short keys and rests of keys.
inline int compare_bytes(const std::byte* a, const std::byte* b, std::size_t length) noexcept {
  if (length > 8) return std::memcmp(a, b, length);
  const std::uint64_t x = short_as_number(a, length);
  const std::uint64_t y = short_as_number(b, length);
  return x < y ? -1 : x > y ? 1 : 0;
}
inline int compare_keys(Bytes a, Bytes b) noexcept {
  const int order = compare_bytes(a.data(), b.data(), std::min(a.size(), b.size()));
  if (order != 0) return order;
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

/// The node header.
struct Layout {
  unsigned level;
  unsigned count;
  unsigned prefix_bytes;
  unsigned low_bytes;
  unsigned high_bytes;
  unsigned capacity;     // slotted
  unsigned heap_begin;   // not bounded: only changes use it, which check the header first
  unsigned dead_bytes;   // likewise
  unsigned key_bytes;    // fixed
  unsigned value_bytes;  // fixed
  bool fixed;
  bool has_high;

  static Layout load(const std::byte* page) noexcept {
    Layout l;
    l.read(page);
    return l;
  }
  /// Where it stands: a copy of what was just written, field by field, would make the processor wait.
  void read(const std::byte* page) noexcept {
    const NodeHeader& header = header_of(page);
    const unsigned flags = header.flags.get();
    fixed = (flags & kNodeFixed) != 0;
    has_high = (flags & kNodeHasHigh) != 0;
    level = header.level.get();
    low_bytes = std::min<unsigned>(header.low_bytes.get(), kKeyBytesMax);
    high_bytes = std::min<unsigned>(header.high_bytes.get(), kKeyBytesMax);
    prefix_bytes = std::min<unsigned>(header.prefix_bytes.get(), low_bytes);
    capacity = std::min<unsigned>(header.capacity.get(), kCapacityMax);
    count = std::min<unsigned>(header.count.get(), fixed ? kEntriesMax : capacity);
    heap_begin = header.heap_begin.get();
    dead_bytes = header.dead_bytes.get();
    key_bytes = std::min<unsigned>(header.key_bytes.get(), kKeyBytesMax);
    value_bytes = std::min<unsigned>(header.value_bytes.get(), kPageBytes);
  }

  /// Where cells or records end and fences begin.
  unsigned fence_begin() const noexcept { return static_cast<unsigned>(kPageBytes) - low_bytes - high_bytes; }
  unsigned suffix_of(unsigned whole_key_bytes) const noexcept {
    return whole_key_bytes > prefix_bytes ? whole_key_bytes - prefix_bytes : 0;
  }
  unsigned stride_for(unsigned whole_key_bytes, unsigned value_length) const noexcept {
    return static_cast<unsigned>(kRecordFlagBytes) + rest_of(suffix_of(whole_key_bytes)) + value_length;
  }
  unsigned stride() const noexcept { return stride_for(key_bytes, value_bytes); }
  unsigned slots_offset() const noexcept { return static_cast<unsigned>(kNodeHeadsOffset) + 4 * capacity; }
  /// The key of entry 0 of an internal node is the low fence.
  bool key_is_low_fence(unsigned slot) const noexcept { return slot == 0 && level > 0; }
  /// Entries that store a key.
  unsigned own_keys() const noexcept { return level > 0 && count > 0 ? count - 1 : count; }
};

inline Bytes low_fence(const std::byte* page, const Layout& l) noexcept {
  return {page + kPageBytes - l.low_bytes, l.low_bytes};
}
inline Bytes high_fence(const std::byte* page, const Layout& l) noexcept {
  return {page + l.fence_begin(), l.high_bytes};
}

/// One entry. Empty parts when the page says something impossible about it.
struct Entry {
  const std::byte* rest = nullptr;  // rest_of(suffix_bytes) bytes
  unsigned suffix_bytes = 0;
  Bytes value;
};

/// The place of record `slot`, or 0 when it would not lie between heads and fences.
inline unsigned record_offset(const Layout& l, unsigned slot) noexcept {
  const unsigned distance = (slot + 1) * l.stride();
  const unsigned fences = l.fence_begin();
  return distance <= fences - kNodeHeadsOffset ? fences - distance : 0;
}

/// The u16 of a slot: offset and flags. Precondition: slot < l.count, slotted.
inline unsigned slot_word(const std::byte* page, const Layout& l, unsigned slot) noexcept {
  return load_little<std::uint16_t>(page + l.slots_offset() + 2 * slot);
}

/// What a cell has behind its value.
struct Room {
  bool kept = false;
  unsigned surplus_bytes = 0;
};

/// A slotted node's cell as it is stored.
struct Cell {
  unsigned offset = 0;  // 0: not within the page
  unsigned suffix_bytes = 0;
  unsigned value_bytes = 0;
  Room room{};
  unsigned value_offset() const noexcept {
    return offset + static_cast<unsigned>(sizeof(CellHeader)) + rest_of(suffix_bytes);
  }
  /// The longest value that the cell can hold.
  unsigned value_bytes_max() const noexcept { return value_bytes + room.surplus_bytes; }
  unsigned bytes() const noexcept {
    return static_cast<unsigned>(sizeof(CellHeader)) + rest_of(suffix_bytes) + value_bytes_max();
  }
};
/// The room of a kept cell; more than a page where the page says something impossible.
inline Room kept_room_of(const std::byte* page, const Cell& cell, CellRoom room) noexcept {
  if (room != CellRoom::kKeptBytes) return {true, room == CellRoom::kKeptOne ? 1u : 0u};
  const unsigned at = cell.value_offset() + cell.value_bytes;
  if (at + sizeof(std::uint16_t) > kPageBytes) return {true, kPageBytes};
  return {true, load_little<std::uint16_t>(page + at)};
}
inline Cell cell_of(const std::byte* page, const Layout& l, unsigned slot) noexcept {
  const unsigned offset = slot_word(page, l, slot) & kSlotOffsetMask;
  if (offset + sizeof(CellHeader) > kPageBytes) return {};
  const auto& header = *reinterpret_cast<const CellHeader*>(page + offset);
  const unsigned value = header.value.get();
  Cell cell{offset, header.suffix_bytes.get(), value & kCellValueMask};
  if (value > kCellValueMask) [[unlikely]]
    cell.room = kept_room_of(page, cell, static_cast<CellRoom>(value >> kCellRoomShift));
  if (offset + cell.bytes() > kPageBytes || cell.suffix_bytes + l.prefix_bytes > kKeyBytesMax) return {};
  return cell;
}

inline Entry entry_of(const std::byte* page, const Layout& l, unsigned slot) noexcept {
  Entry entry;
  if (slot >= l.count) return entry;
  if (l.fixed) {
    const unsigned offset = record_offset(l, slot);
    if (offset == 0) return entry;
    entry.suffix_bytes = l.suffix_of(l.key_bytes);
    entry.rest = page + offset + kRecordFlagBytes;
    entry.value = {entry.rest + rest_of(entry.suffix_bytes), l.value_bytes};
  } else {
    const Cell cell = cell_of(page, l, slot);
    if (cell.offset == 0) return entry;
    entry.suffix_bytes = cell.suffix_bytes;
    entry.rest = page + cell.offset + sizeof(CellHeader);
    entry.value = {entry.rest + rest_of(cell.suffix_bytes), cell.value_bytes};
  }
  if (l.key_is_low_fence(slot)) {
    entry.suffix_bytes = l.low_bytes - l.prefix_bytes;
    entry.rest = page + kPageBytes - rest_of(entry.suffix_bytes);
  }
  return entry;
}

/// SlotFlags of an entry; 0 where there is none.
inline std::uint8_t flags_of(const std::byte* page, const Layout& l, unsigned slot) noexcept {
  if (slot >= l.count) return 0;
  if (!l.fixed) return static_cast<std::uint8_t>(slot_word(page, l, slot) >> kSlotOffsetBits);
  const unsigned offset = record_offset(l, slot);
  return offset == 0 ? std::uint8_t{0} : load_little<std::uint8_t>(page + offset);
}

/// Orders an entry against a key's suffix whose head equals the entry's. Heads are zero-padded, so that of
/// two keys with equal heads and rests the shorter is a prefix of the longer.
inline int compare_rest(const Entry& entry, Bytes suffix) noexcept {
  const unsigned entry_rest = rest_of(entry.suffix_bytes);
  const unsigned key_rest = rest_of(static_cast<unsigned>(suffix.size()));
  if (const unsigned shared = std::min(entry_rest, key_rest); shared > 0) {
    const int order = compare_bytes(entry.rest, suffix.data() + 4, shared);
    if (order != 0) return order;
  }
  return entry.suffix_bytes < suffix.size() ? -1 : entry.suffix_bytes > suffix.size() ? 1 : 0;
}

/// How an insert of an entry of this size would be done.
enum class Growth : std::uint8_t {
  kNoRoom,
  kFixed,    ///< as one more record of the node's stride
  kReshape,  ///< likewise, after the stride is changed: no entry depends on it yet
  kSlotted,  ///< as a cell; a fixed node is converted
};
Growth growth_of(const Layout& l, std::size_t key_bytes, std::size_t value_bytes, Room room = {}) noexcept;
/// Whether the value of an entry may become this long. `old_cell_bytes`: what its cell takes now; slotted only.
bool fits_replaced(const Layout& l, unsigned old_cell_bytes, unsigned suffix_bytes, std::size_t value_bytes,
                   OldRoom old_room) noexcept;

/// What is wrong with the header, null if nothing is: afterwards arrays, heap and fences do not overlap, and
/// Layout::load() changes no field. Cells are not looked at.
const char* header_problem(const std::byte* page) noexcept;

}  // namespace vaultgres::node
