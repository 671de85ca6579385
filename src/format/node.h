// A B+Tree node: what stands on a page of type leaf or internal. Drawing in btree/README.md.
//
//   0     24       56             64      128
//   | page | node   | first bytes  | 16    | heads …  [slots …]   -> free <-   cells or records … | high | low |
//   | hdr  | header | of the prefix| hints |                                                     fences, end
//
// All multi-byte fields are little-endian; a head is little-endian too, although its value is the big-endian
// reading of key bytes: it compares as an integer in key order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/page.h"

namespace vaultgres {

enum NodeFlags : std::uint8_t {
  kNodeFixed = 1,    ///< all entries have one key length and one value length: records, no slots
  kNodeHasHigh = 2,  ///< the node ends at its high fence; without it, it reaches to plus infinity
};

struct NodeHeader {
  LittleU8 level;             ///< 0: leaf
  LittleU8 flags;             ///< NodeFlags
  LittleU16 count;            ///< entries
  LittleU32 right;            ///< right sibling of the same level, kNoPage at the end
  LittleU16 prefix_bytes;     ///< the low fence's first bytes, which every key of the node starts with
  LittleU16 low_bytes;        ///< low fence: the page's last bytes
  LittleU16 high_bytes;       ///< high fence: just before the low fence
  LittleU16 capacity;         ///< slotted: heads there is room for before the slots; a multiple of 4
  LittleU16 heap_begin;       ///< offset of the lowest cell or record
  LittleU16 dead_bytes;       ///< slotted: bytes between heap_begin and the fences that no cell uses
  LittleU16 key_bytes;        ///< fixed: length of every key, prefix and head included
  LittleU16 value_bytes;      ///< fixed: length of every value
  LittleU64 reserved;         ///< zero
  std::byte prefix_start[8];  ///< copy of the prefix's first bytes, zero-padded: spares the fence's cache line
};
static_assert(sizeof(NodeHeader) == 40 && alignof(NodeHeader) == 1);
static_assert(offsetof(NodeHeader, flags) == 1 && offsetof(NodeHeader, count) == 2);
static_assert(offsetof(NodeHeader, right) == 4 && offsetof(NodeHeader, prefix_bytes) == 8);
static_assert(offsetof(NodeHeader, low_bytes) == 10 && offsetof(NodeHeader, high_bytes) == 12);
static_assert(offsetof(NodeHeader, capacity) == 14 && offsetof(NodeHeader, heap_begin) == 16);
static_assert(offsetof(NodeHeader, dead_bytes) == 18 && offsetof(NodeHeader, key_bytes) == 20);
static_assert(offsetof(NodeHeader, value_bytes) == 22 && offsetof(NodeHeader, reserved) == 24);
static_assert(offsetof(NodeHeader, prefix_start) == 32);

/// Samples of the head array. Hint i is head (i + 1) * spacing, spacing being the smallest power of two from
/// 16 on with 17 * spacing >= count; all ones where there is no such head.
inline constexpr std::size_t kNodeHintsOffset = 64;
inline constexpr unsigned kNodeHints = 16;
/// u32 per entry: the first four key bytes after the prefix, zero-padded.
inline constexpr std::size_t kNodeHeadsOffset = 128;
static_assert(kPageHeaderBytes + sizeof(NodeHeader) == kNodeHintsOffset);
static_assert(kNodeHintsOffset + kNodeHints * 4 == kNodeHeadsOffset);

// Slotted: `capacity` heads, then one u16 per entry: bits 0-12 the cell's offset, bits 13-15 SlotFlags. Heads
// and slots from `count` on are zero.
inline constexpr unsigned kSlotOffsetBits = 13;
inline constexpr unsigned kSlotOffsetMask = (1u << kSlotOffsetBits) - 1;
static_assert(kPageBytes <= 1u << kSlotOffsetBits);

/// A cell: this, then the key's rest (what follows prefix and head), then the value, then room that is kept.
struct CellHeader {
  LittleU16 suffix_bytes;  ///< length of the key after the prefix: tells "a" from "a\0"
  LittleU16 value;         ///< bits 0-13 length of the value, bits 14-15 CellRoom
};
static_assert(sizeof(CellHeader) == 4 && offsetof(CellHeader, value) == 2);
inline constexpr unsigned kCellRoomShift = 14;
inline constexpr unsigned kCellValueMask = (1u << kCellRoomShift) - 1;
static_assert(kPageBytes <= kCellValueMask + 1);

/// Leaves: whether a cell keeps room for the longest value that undo may put back into it. A node with a kept cell is
/// slotted, whatever its entries' lengths. As stored.
enum class CellRoom : std::uint8_t {
  kTight = 0,      ///< nothing is kept: the cell ends with its value
  kKeptNone = 1,   ///< kept: the value fills the room
  kKeptOne = 2,    ///< kept: one byte, zero, lies behind the value
  kKeptBytes = 3,  ///< kept: behind the value their number (u16, itself counted, 2 or more), then zeros
};

// Fixed: record i is the `stride` bytes that end i * stride bytes before the fences: one byte of SlotFlags, the
// key's rest, the value. So records of greater keys lie lower, and both arrays grow towards each other.
inline constexpr std::size_t kRecordFlagBytes = 1;

// Internal nodes: values are child ids (u32). Entry 0's key is the low fence and is not stored again: its head
// is that of the low fence, its cell has suffix_bytes 0, its record zeros instead of a rest. So an empty low
// fence does not cost the leftmost node its fixed stride.
inline constexpr std::size_t kChildBytes = 4;

}  // namespace vaultgres
