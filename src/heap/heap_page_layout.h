// Where things lie on a heap page: the header decoded, cells located. Within heap/heap_page*.cc only.
//
// Everything here is safe on any bytes: fields are loaded once and bounded, and whatever is located lies within
// the page. On a sound page the bounds change nothing.
#pragma once

#include <algorithm>

#include "heap/heap_page.h"

namespace vaultgres::heap_page {

inline constexpr unsigned kEnd = kPageBytes;
inline constexpr unsigned kSlotBytes = sizeof(HeapSlotWord);
inline constexpr unsigned kCellHeaderBytes = sizeof(HeapCellHeader);
inline constexpr unsigned kSlotsMax = (kPageBytes - kHeapSlotsOffset) / sizeof(HeapSlotWord);

inline const HeapHeader& header_of(const std::byte* page) noexcept {
  return *reinterpret_cast<const HeapHeader*>(page + kPageHeaderBytes);
}
inline HeapHeader& header_of(std::byte* page) noexcept {
  return *reinterpret_cast<HeapHeader*>(page + kPageHeaderBytes);
}
/// Precondition: slot < kSlotsMax.
inline const HeapSlotWord& slot_word(const std::byte* page, unsigned slot) noexcept {
  return *reinterpret_cast<const HeapSlotWord*>(page + kHeapSlotsOffset + std::size_t{slot} * kSlotBytes);
}
inline HeapSlotWord& slot_word(std::byte* page, unsigned slot) noexcept {
  return *reinterpret_cast<HeapSlotWord*>(page + kHeapSlotsOffset + std::size_t{slot} * kSlotBytes);
}

constexpr unsigned slots_end(unsigned slots) noexcept {
  return static_cast<unsigned>(kHeapSlotsOffset) + slots * kSlotBytes;
}
/// Room that a cell gets for this much content.
constexpr unsigned capacity_for(std::size_t content_bytes) noexcept {
  return static_cast<unsigned>(std::max(content_bytes, kHeapCapacityMin));
}

/// The header.
struct Layout {
  unsigned slots;
  unsigned unused;
  unsigned ghosts;
  unsigned cell_begin;
  unsigned dead;
  const char* problem;  ///< what is wrong with it; null: arrays and cells do not overlap

  static Layout load(const std::byte* page) noexcept {
    const HeapHeader& header = header_of(page);
    Layout l{header.slots.get(),      header.unused.get(),     header.ghosts.get(),
             header.cell_begin.get(), header.dead_bytes.get(), nullptr};
    if (l.slots > kSlotsMax) {
      l.problem = "more slots than a page has room for";
      l.slots = kSlotsMax;
    } else if (l.unused > l.slots || l.ghosts > l.slots - l.unused) {
      l.problem = "more unused or ghost slots than slots";
    } else if (l.cell_begin < slots_end(l.slots) || l.cell_begin > kEnd) {
      l.problem = "cells out of bounds";
    } else if (l.dead > kEnd - l.cell_begin) {
      l.problem = "more dead bytes than bytes";
    }
    return l;
  }
  /// Bytes that no slot and no cell uses.
  unsigned free() const noexcept { return problem == nullptr ? cell_begin - slots_end(slots) + dead : 0; }
  unsigned gap() const noexcept { return cell_begin - slots_end(slots); }
};

/// A used slot's cell.
struct Cell {
  unsigned offset = 0;  ///< 0: the slot is unused, or its cell is not within the page
  unsigned capacity = 0;
  unsigned length = 0;
  unsigned bytes() const noexcept { return kCellHeaderBytes + capacity; }
  unsigned content() const noexcept { return offset + kCellHeaderBytes; }
};

/// Precondition: slot < l.slots.
inline Cell cell_of(const std::byte* page, unsigned slot) noexcept {
  const HeapSlotWord& word = slot_word(page, slot);
  const unsigned offset = word.place.get() & kHeapOffsetMask;
  const unsigned length = word.length.get() & kHeapLengthMask;
  if (offset < kHeapSlotsOffset || offset + kCellHeaderBytes > kEnd) return {};
  const unsigned capacity = reinterpret_cast<const HeapCellHeader*>(page + offset)->capacity.get();
  if (capacity < length || offset + kCellHeaderBytes + capacity > kEnd) return {};
  return {offset, capacity, length};
}

inline HeapKind kind_of(unsigned place) noexcept {
  return static_cast<HeapKind>(place >> kHeapKindShift & kHeapKindMask);
}
inline bool used(const std::byte* page, unsigned slot) noexcept {
  return kind_of(slot_word(page, slot).place.get()) != HeapKind::kUnused;
}

/// What a slot of this state may contain; null: this.
const char* content_problem(HeapSlotState state, std::size_t content_bytes) noexcept;

}  // namespace vaultgres::heap_page
