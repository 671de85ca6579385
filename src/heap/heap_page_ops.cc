// The heap page's operations: payloads and their apply functions, twins side by side.
//
//   kHeapInsert    u16 slot | u8 state | content (to the end)
//   kHeapUpdate    u16 slot | u8 state | content (to the end)
//   kHeapRemove    u16 slot, ascending, repeated to the end
//   kHeapSetGhost  u16 slot | u8 ghost (0 or 1)
//   kHeapRelease   u16 slot, ascending, repeated to the end
//
// State: bits 0-1 HeapKind, bit 2 ghost, bit 3 overflow. The history flag is never logged, and nothing but a slot's
// own flag depends on one. An operation that is refused leaves the page as it was.
#include <array>
#include <cstring>
#include <string>

#include "base/payload_buffer.h"
#include "heap/heap_page_layout.h"

namespace vaultgres {

using heap_page::Cell;
using heap_page::Layout;

namespace {

constexpr unsigned kStateGhost = 4;
constexpr unsigned kStateOverflow = 8;
constexpr unsigned kStateMask = kHeapKindMask | kStateGhost | kStateOverflow;
constexpr std::size_t kSlotStateBytes = 3;
constexpr const char* kMalformed = "the operation is malformed";
constexpr const char* kNoSlot = "there is no such slot";
constexpr const char* kNoRoom = "there is no room";
constexpr const char* kBadCell = "a cell lies outside the page";

std::uint8_t encode_state(HeapSlotState state) noexcept {
  return static_cast<std::uint8_t>(raw(state.kind) | (state.ghost ? kStateGhost : 0) |
                                   (state.overflow ? kStateOverflow : 0));
}
HeapSlotState decode_state(unsigned byte) noexcept {
  return {static_cast<HeapKind>(byte & kHeapKindMask), (byte & kStateGhost) != 0, (byte & kStateOverflow) != 0};
}

/// Slot, state and content of an insert or update.
struct Change {
  unsigned slot = 0;
  HeapSlotState state{};
  Bytes content{};
  const char* problem = kMalformed;

  explicit Change(Bytes payload) noexcept {
    if (payload.size() < kSlotStateBytes) return;
    slot = load_little<std::uint16_t>(payload.data());
    const unsigned byte = load_little<std::uint8_t>(payload.data() + 2);
    if ((byte & ~kStateMask) != 0) return;
    state = decode_state(byte);
    content = payload.subspan(kSlotStateBytes);
    problem = heap_page::content_problem(state, content.size());
  }
};

void encode_change(PayloadBuffer& out, unsigned slot, HeapSlotState state, Bytes content) {
  out.append_int(static_cast<std::uint16_t>(slot));
  out.append_int(encode_state(state));
  out.append(content);
}

template <class Field>
void add_to(Field& field, int difference) noexcept {
  field.set(static_cast<std::uint16_t>(field.get() + difference));
}

void put_slot(std::byte* page, unsigned slot, HeapSlotState state, unsigned offset, std::size_t length,
              unsigned history) noexcept {
  HeapSlotWord& word = heap_page::slot_word(page, slot);
  const unsigned kind = raw(state.kind);
  word.place.set(static_cast<std::uint16_t>(offset | kind << kHeapKindShift | (state.ghost ? kHeapSlotGhost : 0)));
  word.length.set(static_cast<std::uint16_t>(length | (state.overflow ? kHeapSlotOverflow : 0) | history));
}

/// Writes a cell and zeros behind its content.
void put_cell(std::byte* page, unsigned offset, unsigned capacity, Bytes content) noexcept {
  reinterpret_cast<HeapCellHeader*>(page + offset)->capacity.set(static_cast<std::uint16_t>(capacity));
  std::byte* to = page + offset + heap_page::kCellHeaderBytes;
  if (!content.empty()) std::memcpy(to, content.data(), content.size());
  std::memset(to + content.size(), 0, capacity - content.size());
}

/// The cells' bytes are dead from here on.
void drop_bytes(std::byte* page, unsigned offset, unsigned bytes) noexcept {
  std::memset(page + offset, 0, bytes);
  HeapHeader& header = heap_page::header_of(page);
  if (offset == header.cell_begin.get()) {
    header.cell_begin.set(static_cast<std::uint16_t>(offset + bytes));
  } else {
    add_to(header.dead_bytes, static_cast<int>(bytes));
  }
}

/// Moves all cells, but that of the slot `without`, to the page's end, that of slot 0 last. Says when they are not
/// what the header says; then nothing has changed.
const char* compact(MutableBytes page, const Layout& l, unsigned without) noexcept {
  std::array<std::byte, kPageBytes> fresh;                 // NOLINT: written where it is read
  std::array<std::uint16_t, heap_page::kSlotsMax> places;  // NOLINT: likewise
  unsigned begin = heap_page::kEnd;
  for (unsigned slot = 0; slot < l.slots; ++slot) {
    if (slot == without || !heap_page::used(page.data(), slot)) continue;
    const Cell cell = heap_page::cell_of(page.data(), slot);
    if (cell.offset < l.cell_begin) return kBadCell;
    if (cell.bytes() > begin - heap_page::slots_end(l.slots)) return "cells overlap";
    begin -= cell.bytes();
    std::memcpy(fresh.data() + begin, page.data() + cell.offset, cell.bytes());
    places[slot] = static_cast<std::uint16_t>(begin);
  }
  if (begin - heap_page::slots_end(l.slots) < l.free()) return "dead bytes do not add up";
  for (unsigned slot = 0; slot < l.slots; ++slot) {
    if (slot == without || !heap_page::used(page.data(), slot)) continue;
    LittleU16& place = heap_page::slot_word(page.data(), slot).place;
    place.set(static_cast<std::uint16_t>((place.get() & ~kHeapOffsetMask) | places[slot]));
  }
  const unsigned end = heap_page::slots_end(l.slots);
  std::memset(page.data() + end, 0, begin - end);
  std::memcpy(page.data() + begin, fresh.data() + begin, heap_page::kEnd - begin);
  HeapHeader& header = heap_page::header_of(page.data());
  header.cell_begin.set(static_cast<std::uint16_t>(begin));
  header.dead_bytes.set(0);
  return nullptr;
}

const char* insert(MutableBytes page, const Layout& l, const Change& change) noexcept {
  if (change.slot > l.slots || (change.slot < l.slots && heap_page::used(page.data(), change.slot))) {
    return "the slot is in use, or one before it is missing";
  }
  const bool new_slot = change.slot == l.slots;
  const unsigned capacity = heap_page::capacity_for(change.content.size());
  const unsigned bytes = heap_page::kCellHeaderBytes + capacity + (new_slot ? heap_page::kSlotBytes : 0);
  if (bytes > l.free()) return kNoRoom;
  if (!new_slot && l.unused == 0) return "unused slots do not add up";
  if (bytes > l.gap()) {
    if (const char* problem = compact(page, l, l.slots)) return problem;
  }
  HeapHeader& header = heap_page::header_of(page.data());
  const unsigned offset = header.cell_begin.get() - heap_page::kCellHeaderBytes - capacity;
  add_to(new_slot ? header.slots : header.unused, new_slot ? 1 : -1);
  if (change.state.ghost) add_to(header.ghosts, 1);
  header.cell_begin.set(static_cast<std::uint16_t>(offset));
  put_cell(page.data(), offset, capacity, change.content);
  put_slot(page.data(), change.slot, change.state, offset, change.content.size(), 0);
  return nullptr;
}

const char* update(MutableBytes page, const Layout& l, const Change& change) noexcept {
  if (change.slot >= l.slots || !heap_page::used(page.data(), change.slot)) return kNoSlot;
  const Cell cell = heap_page::cell_of(page.data(), change.slot);
  if (cell.offset < l.cell_begin) return kBadCell;
  const unsigned length_word = heap_page::slot_word(page.data(), change.slot).length.get();
  const bool was_ghost = (heap_page::slot_word(page.data(), change.slot).place.get() & kHeapSlotGhost) != 0;
  const auto bytes = static_cast<unsigned>(change.content.size());
  if (was_ghost && l.ghosts == 0) return "ghosts do not add up";
  unsigned offset = cell.offset;
  unsigned capacity = cell.capacity;
  if (bytes > capacity) {
    if (bytes - capacity > l.free()) return kNoRoom;
    capacity = bytes;
    if (heap_page::kCellHeaderBytes + bytes > l.gap()) {
      // Together with the old cell's room there is enough, once everything is in one piece.
      Layout without = l;
      without.dead += cell.bytes();
      if (const char* problem = compact(page, without, change.slot)) return problem;
    } else {
      drop_bytes(page.data(), cell.offset, cell.bytes());
    }
    offset = heap_page::header_of(page.data()).cell_begin.get() - heap_page::kCellHeaderBytes - capacity;
    heap_page::header_of(page.data()).cell_begin.set(static_cast<std::uint16_t>(offset));
  }
  put_cell(page.data(), offset, capacity, change.content);
  put_slot(page.data(), change.slot, change.state, offset, bytes, length_word & kHeapSlotHistory);
  if (change.state.ghost != was_ghost) add_to(heap_page::header_of(page.data()).ghosts, was_ghost ? -1 : 1);
  return nullptr;
}

const char* set_ghost(std::byte* page, const Layout& l, unsigned slot, bool ghost) noexcept {
  if (slot >= l.slots || !heap_page::used(page, slot)) return kNoSlot;
  LittleU16& place = heap_page::slot_word(page, slot).place;
  const bool was_ghost = (place.get() & kHeapSlotGhost) != 0;
  if (was_ghost == ghost) return nullptr;
  if (was_ghost && l.ghosts == 0) return "ghosts do not add up";
  place.set(static_cast<std::uint16_t>(place.get() ^ kHeapSlotGhost));
  add_to(heap_page::header_of(page).ghosts, ghost ? 1 : -1);
  return nullptr;
}

/// The slots of a payload, checked: ascending, used, their cells where they may be.
const char* slots_problem(const std::byte* page, const Layout& l, Bytes payload) noexcept {
  if (payload.empty() || payload.size() % sizeof(std::uint16_t) != 0) return kMalformed;
  unsigned next = 0;
  unsigned ghosts = 0;
  unsigned bytes = 0;
  for (; !payload.empty(); payload = payload.subspan(sizeof(std::uint16_t))) {
    const unsigned slot = load_little<std::uint16_t>(payload.data());
    if (slot < next || slot >= l.slots || !heap_page::used(page, slot)) return kNoSlot;
    const Cell cell = heap_page::cell_of(page, slot);
    if (cell.offset < l.cell_begin || cell.capacity < kHeapCapacityMin) return kBadCell;
    if ((heap_page::slot_word(page, slot).place.get() & kHeapSlotGhost) != 0) ++ghosts;
    bytes += cell.bytes();
    next = slot + 1;
  }
  if (ghosts > l.ghosts) return "ghosts do not add up";
  return bytes > heap_page::kEnd - l.cell_begin - l.dead ? "cells overlap" : nullptr;
}

void remove(std::byte* page, unsigned slot) noexcept {
  HeapHeader& header = heap_page::header_of(page);
  HeapSlotWord& word = heap_page::slot_word(page, slot);
  if ((word.place.get() & kHeapSlotGhost) != 0) add_to(header.ghosts, -1);
  const Cell cell = heap_page::cell_of(page, slot);
  if (cell.offset != 0) drop_bytes(page, cell.offset, cell.bytes());
  word = HeapSlotWord{};
  add_to(header.unused, 1);
}

/// Unused slots at the array's end go.
void trim(std::byte* page) noexcept {
  HeapHeader& header = heap_page::header_of(page);
  while (header.slots.get() > 0 && header.unused.get() > 0 && !heap_page::used(page, header.slots.get() - 1u)) {
    add_to(header.slots, -1);
    add_to(header.unused, -1);
  }
  if (header.slots.get() != header.unused.get()) return;
  header.cell_begin.set(static_cast<std::uint16_t>(heap_page::kEnd));
  header.dead_bytes.set(0);
}

void release(std::byte* page, unsigned slot) noexcept {
  const Cell cell = heap_page::cell_of(page, slot);
  const unsigned capacity = heap_page::capacity_for(cell.length);
  if (cell.offset == 0 || capacity >= cell.capacity) return;
  reinterpret_cast<HeapCellHeader*>(page + cell.offset)->capacity.set(static_cast<std::uint16_t>(capacity));
  const unsigned bytes = cell.capacity - capacity;
  std::memset(page + cell.content() + capacity, 0, bytes);
  add_to(heap_page::header_of(page).dead_bytes, static_cast<int>(bytes));
}

/// Runs `change(layout)` on a heap page with a sound header; its problem becomes the error.
template <class Run>
Status apply(const char* operation, Bytes page, Run change) {
  const Layout l = Layout::load(page.data());
  const bool heap = page_header(page).type.get() == raw(PageType::kHeap);
  const char* problem = !heap ? "the page is none" : l.problem != nullptr ? l.problem : change(l);
  if (problem == nullptr) [[likely]]
    return {};
  return Error(ErrorCode::kCorruption, std::string("cannot apply ") + operation + " to a heap page: " + problem);
}

}  // namespace

// --- Insert

void encode_heap_insert(PayloadBuffer& out, unsigned slot, HeapSlotState state, Bytes content) {
  encode_change(out, slot, state, content);
}
static Status apply_insert(MutableBytes page, Bytes payload) {
  const Change change(payload);
  return apply("an insert", page,
               [&](const Layout& l) { return change.problem != nullptr ? change.problem : insert(page, l, change); });
}

// --- Update

void encode_heap_update(PayloadBuffer& out, unsigned slot, HeapSlotState state, Bytes content) {
  encode_change(out, slot, state, content);
}
static Status apply_update(MutableBytes page, Bytes payload) {
  const Change change(payload);
  return apply("an update", page,
               [&](const Layout& l) { return change.problem != nullptr ? change.problem : update(page, l, change); });
}

// --- Remove

void encode_heap_remove(PayloadBuffer& out, std::span<const std::uint16_t> slots) {
  for (const std::uint16_t slot : slots) out.append_int(slot);
}
static Status apply_remove(MutableBytes page, Bytes payload) {
  return apply("a remove", page, [&](const Layout& l) {
    if (const char* problem = slots_problem(page.data(), l, payload)) return problem;
    for (std::size_t i = 0; i < payload.size(); i += sizeof(std::uint16_t)) {
      remove(page.data(), load_little<std::uint16_t>(payload.data() + i));
    }
    trim(page.data());
    return static_cast<const char*>(nullptr);
  });
}

// --- Set or clear the ghost flag

void encode_heap_set_ghost(PayloadBuffer& out, unsigned slot, bool ghost) {
  out.append_int(static_cast<std::uint16_t>(slot));
  out.append_int(static_cast<std::uint8_t>(ghost ? 1 : 0));
}
static Status apply_set_ghost(MutableBytes page, Bytes payload) {
  return apply("a ghost flag", page, [&](const Layout& l) -> const char* {
    if (payload.size() != kSlotStateBytes || payload[2] > std::byte{1}) return kMalformed;
    return set_ghost(page.data(), l, load_little<std::uint16_t>(payload.data()), payload[2] == std::byte{1});
  });
}

// --- Release

void encode_heap_release(PayloadBuffer& out, std::span<const std::uint16_t> slots) {
  for (const std::uint16_t slot : slots) out.append_int(slot);
}
static Status apply_release(MutableBytes page, Bytes payload) {
  return apply("a release", page, [&](const Layout& l) {
    if (const char* problem = slots_problem(page.data(), l, payload)) return problem;
    for (std::size_t i = 0; i < payload.size(); i += sizeof(std::uint16_t)) {
      release(page.data(), load_little<std::uint16_t>(payload.data() + i));
    }
    return static_cast<const char*>(nullptr);
  });
}

void register_heap_page_ops(RedoTable& table) {
  table.set(PageOp::kHeapInsert, apply_insert);
  table.set(PageOp::kHeapUpdate, apply_update);
  table.set(PageOp::kHeapRemove, apply_remove);
  table.set(PageOp::kHeapSetGhost, apply_set_ghost);
  table.set(PageOp::kHeapRelease, apply_release);
}

// --- What is not logged, and whole pages

void set_heap_history(MutableBytes page, unsigned slot, bool on) {
  // Stale is harmless, and on a page that is no sound heap page there is nothing to say.
  if (slot >= Layout::load(page.data()).slots || !heap_page::used(page.data(), slot)) return;
  LittleU16& length = heap_page::slot_word(page.data(), slot).length;
  const unsigned word = length.get();
  length.set(static_cast<std::uint16_t>(on ? word | kHeapSlotHistory : word & ~kHeapSlotHistory));
}

void clear_heap_history(MutableBytes page) {
  const unsigned slots = HeapPageView(page).slots();
  for (unsigned slot = 0; slot < slots; ++slot) set_heap_history(page, slot, false);
}

void build_heap_page(MutableBytes out, ObjectId object, std::uint32_t number) {
  std::memset(out.data(), 0, kPageBytes);
  PageHeader& head = page_header(out);
  head.object.set(raw(object));
  head.type.set(raw(PageType::kHeap));
  HeapHeader& header = heap_page::header_of(out.data());
  header.cell_begin.set(static_cast<std::uint16_t>(heap_page::kEnd));
  header.number.set(number);
}

}  // namespace vaultgres
