// A heap page: rows of one table, found by slot number. Drawing in heap/README.md.
//
//   0     24       40                                              kPageBytes
//   | page | heap   | slot 0 | slot 1 | …  -> free <-  cells and holes … |
//   | hdr  | header |
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/overflow.h"
#include "format/page.h"

namespace vaultgres {

struct HeapHeader {
  LittleU16 slots;       ///< slots in the array; the last one is in use
  LittleU16 unused;      ///< of them without a row
  LittleU16 ghosts;      ///< of them with the ghost flag
  LittleU16 cell_begin;  ///< offset of the lowest cell; kPageBytes when there is none
  LittleU16 dead_bytes;  ///< bytes from cell_begin on that no cell uses
  LittleU16 reserved;    ///< zero
  LittleU32 number;      ///< the page's number within its table: where the table's map lists it
};
static_assert(sizeof(HeapHeader) == 16 && alignof(HeapHeader) == 1);
static_assert(offsetof(HeapHeader, unused) == 2 && offsetof(HeapHeader, ghosts) == 4);
static_assert(offsetof(HeapHeader, cell_begin) == 6 && offsetof(HeapHeader, dead_bytes) == 8);
static_assert(offsetof(HeapHeader, reserved) == 10 && offsetof(HeapHeader, number) == 12);

inline constexpr std::size_t kHeapSlotsOffset = kPageHeaderBytes + sizeof(HeapHeader);
static_assert(kHeapSlotsOffset == 40);

/// All zero: not in use.
struct HeapSlotWord {
  LittleU16 place;   ///< bits 0-12 the cell's offset, bits 13-14 HeapKind, bit 15 kHeapSlotGhost
  LittleU16 length;  ///< bits 0-12 bytes of content, bit 13 kHeapSlotOverflow, bit 14 kHeapSlotHistory, bit 15 zero
};
static_assert(sizeof(HeapSlotWord) == 4 && offsetof(HeapSlotWord, length) == 2);
inline constexpr unsigned kHeapOffsetMask = 0x1FFF;
inline constexpr unsigned kHeapKindShift = 13;
inline constexpr unsigned kHeapKindMask = 3;
inline constexpr unsigned kHeapSlotGhost = 0x8000;
inline constexpr unsigned kHeapLengthMask = 0x1FFF;
inline constexpr unsigned kHeapSlotOverflow = 0x2000;
inline constexpr unsigned kHeapSlotHistory = 0x4000;
static_assert(kPageBytes <= kHeapOffsetMask + 1);

/// What a slot holds. As stored.
enum class HeapKind : std::uint8_t {
  kUnused = 0,
  kRow = 1,   ///< the row
  kStub = 2,  ///< the TID of the body: the row was moved, its own TID is still this slot's
  kBody = 3,  ///< the home TID, then the moved row; found through its home only
};

/// A cell: this, then `capacity` bytes, of which the slot's length are content and the rest is zero: room that a
/// shrunken row keeps, so that undo finds place.
struct HeapCellHeader {
  LittleU16 capacity;
};
static_assert(sizeof(HeapCellHeader) == 2);

/// A TID on disk: page number (4 bytes), slot (2 bytes), both big-endian, so that TIDs at the end of index keys
/// are in the order of the heap.
inline constexpr std::size_t kTidBytes = 6;
/// No cell is smaller: the stub of any row, and the reference to its overflow chain, fit where the row was.
inline constexpr std::size_t kHeapCapacityMin = sizeof(OverflowRef);
static_assert(kHeapCapacityMin >= kTidBytes);

}  // namespace vaultgres
