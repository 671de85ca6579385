#include "heap/heap_page.h"

#include <cstring>
#include <string>

#include "base/try.h"
#include "format/overflow.h"
#include "heap/heap_page_layout.h"

namespace vaultgres {

using heap_page::Cell;
using heap_page::Layout;

static_assert(sizeof(OverflowRef) <= kInlineRowBytesMax, "a reference to an overflow chain must fit");
static_assert(kHeapContentBytesMax <= kHeapLengthMask);

bool HeapPageView::plausible() const noexcept {
  return page_header(page_).type.get() == raw(PageType::kHeap) && Layout::load(page_.data()).problem == nullptr;
}
std::uint32_t HeapPageView::number() const noexcept {
  return heap_page::header_of(page_.data()).number.get();
}
unsigned HeapPageView::slots() const noexcept {
  return Layout::load(page_.data()).slots;
}
unsigned HeapPageView::ghosts() const noexcept {
  return Layout::load(page_.data()).ghosts;
}

HeapSlot HeapPageView::slot(unsigned slot) const noexcept {
  HeapSlot result;
  const std::byte* page = page_.data();
  if (slot >= Layout::load(page).slots) return result;
  const HeapSlotWord& word = heap_page::slot_word(page, slot);
  const unsigned place = word.place.get();
  const unsigned length = word.length.get();
  result.state = {heap_page::kind_of(place), (place & kHeapSlotGhost) != 0, (length & kHeapSlotOverflow) != 0};
  result.history = (length & kHeapSlotHistory) != 0;
  const unsigned begin = (place & kHeapOffsetMask) + heap_page::kCellHeaderBytes;
  const unsigned bytes = length & kHeapLengthMask;
  if (result.used() && begin + bytes <= kPageBytes) result.content = page_.subspan(begin, bytes);
  return result;
}

unsigned HeapPageView::capacity(unsigned slot) const noexcept {
  const std::byte* page = page_.data();
  if (slot >= Layout::load(page).slots || !heap_page::used(page, slot)) return 0;
  return heap_page::cell_of(page, slot).capacity;
}

unsigned HeapPageView::surplus_bytes(unsigned slot) const noexcept {
  const unsigned room = capacity(slot);
  return room == 0 ? 0 : room - std::min(room, heap_page::capacity_for(this->slot(slot).content.size()));
}

unsigned HeapPageView::free_slot() const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  if (l.unused == 0) return l.slots;
  unsigned slot = 0;
  while (slot < l.slots && heap_page::used(page, slot)) ++slot;
  return slot;
}

std::size_t HeapPageView::free_bytes() const noexcept {
  const Layout l = Layout::load(page_.data());
  const unsigned overhead = heap_page::kCellHeaderBytes + (l.unused == 0 ? heap_page::kSlotBytes : 0);
  const unsigned free = l.free();
  return free < overhead + kHeapCapacityMin ? 0 : free - overhead;
}

bool HeapPageView::has_room(std::size_t content_bytes) const noexcept {
  return content_bytes <= kHeapContentBytesMax && heap_page::capacity_for(content_bytes) <= free_bytes();
}

bool HeapPageView::has_room_to_update(unsigned slot, std::size_t content_bytes) const noexcept {
  if (content_bytes > kHeapContentBytesMax) return false;
  const unsigned room = capacity(slot);
  return room != 0 && content_bytes <= room + Layout::load(page_.data()).free();
}

// --- Verification

namespace {

Status wrong(const std::string& what) {
  return Error(ErrorCode::kCorruption, "heap page: " + what);
}
Status wrong_slot(unsigned slot, const std::string& what) {
  return wrong("slot " + std::to_string(slot) + ": " + what);
}

Status verify_slot(Bytes page, const Layout& l, unsigned slot, std::span<std::uint8_t, kPageBytes> taken) {
  const HeapSlotWord& word = heap_page::slot_word(page.data(), slot);
  if (!heap_page::used(page.data(), slot)) {
    if (word.place.get() != 0 || word.length.get() != 0) return wrong_slot(slot, "it is unused but not zero");
    if (slot + 1 == l.slots) return wrong_slot(slot, "the last slot is unused");
    return {};
  }
  if ((word.length.get() & ~(kHeapLengthMask | kHeapSlotOverflow | kHeapSlotHistory)) != 0) {
    return wrong_slot(slot, "unknown flags");
  }
  const HeapSlot content = HeapPageView(page).slot(slot);
  const Cell cell = heap_page::cell_of(page.data(), slot);
  if (cell.offset < l.cell_begin) return wrong_slot(slot, "its cell lies outside the room for cells");
  if (cell.capacity < kHeapCapacityMin || cell.capacity > kHeapContentBytesMax) {
    return wrong_slot(slot, "a cell of " + std::to_string(cell.capacity) + " bytes");
  }
  if (const char* problem = heap_page::content_problem(content.state, cell.length)) return wrong_slot(slot, problem);
  for (unsigned i = 0; i < cell.bytes(); ++i) {
    if (taken[cell.offset + i]++ != 0) return wrong_slot(slot, "its cell overlaps another");
    if (i >= heap_page::kCellHeaderBytes + cell.length && page[cell.offset + i] != std::byte{0}) {
      return wrong_slot(slot, "the room behind its content is not zero");
    }
  }
  return {};
}

}  // namespace

const char* heap_page::content_problem(HeapSlotState state, std::size_t content_bytes) noexcept {
  const std::size_t before = state.kind == HeapKind::kBody ? kTidBytes : 0;
  if (content_bytes > (state.kind == HeapKind::kBody ? kHeapContentBytesMax : kInlineRowBytesMax)) {
    return "its content is too long";
  }
  if (content_bytes < before) return "a moved row without its home";
  switch (state.kind) {
    case HeapKind::kUnused:
      return "a change to an unused slot";
    case HeapKind::kStub:
      if (state.overflow) return "a stub with an overflow chain";
      return content_bytes == kTidBytes ? nullptr : "a stub that is no TID";
    case HeapKind::kBody:
      return state.overflow ? "a moved row with an overflow chain" : nullptr;
    case HeapKind::kRow:
      return state.overflow && content_bytes != sizeof(OverflowRef) ? "a bad overflow reference" : nullptr;
  }
  return "an unknown kind";
}

Status verify_heap_page(Bytes page) {
  const PageHeader& head = page_header(page);
  if (head.type.get() != raw(PageType::kHeap)) return wrong("page type " + std::to_string(head.type.get()));
  if (head.flags.get() != 0) return wrong("unknown page flags");
  if (head.reserved.get() != 0 || heap_page::header_of(page.data()).reserved.get() != 0) {
    return wrong("reserved bytes are not zero");
  }
  const Layout l = Layout::load(page.data());
  if (l.problem != nullptr) return wrong(l.problem);
  std::array<std::uint8_t, kPageBytes> taken{};
  unsigned cells = 0;
  unsigned unused = 0;
  unsigned ghosts = 0;
  for (unsigned slot = 0; slot < l.slots; ++slot) {
    VG_TRY(verify_slot(page, l, slot, taken));
    const HeapSlot content = HeapPageView(page).slot(slot);
    if (!content.used()) ++unused;
    if (content.state.ghost) ++ghosts;
    if (content.used()) cells += heap_page::cell_of(page.data(), slot).bytes();
  }
  if (unused != l.unused) return wrong("unused slots do not add up");
  if (ghosts != l.ghosts) return wrong("ghosts do not add up");
  if (cells + l.dead != heap_page::kEnd - l.cell_begin) return wrong("dead bytes do not add up");
  return {};
}

}  // namespace vaultgres
