#include "btree/node_change.h"

#include <array>

#include "base/check.h"
#include "base/seeded_bug.h"
#include "btree/node_search.h"

namespace vaultgres::node {

namespace {

constexpr unsigned kCellHeaderBytes = sizeof(CellHeader);
constexpr unsigned kHeads = kNodeHeadsOffset;

/// Heads and slots of a slotted node in its tightest form.
constexpr unsigned arrays_end(unsigned capacity) noexcept {
  return kHeads + 6 * capacity;
}
constexpr unsigned tight_capacity(unsigned count) noexcept {
  return round_up(count, 4);
}

/// Bytes of all cells of the node in slotted form.
unsigned cells_bytes(const Layout& l) noexcept {
  if (!l.fixed) return l.fence_begin() - l.heap_begin - l.dead_bytes;
  const unsigned rest = rest_of(l.suffix_of(l.key_bytes));
  return l.count * (kCellHeaderBytes + l.value_bytes) + l.own_keys() * rest;
}

bool fits_slotted(const Layout& l, unsigned count, unsigned cells) noexcept {
  return arrays_end(tight_capacity(count)) + cells <= l.fence_begin();
}
bool fits_fixed(const Layout& l, unsigned count, unsigned stride) noexcept {
  return kHeads + count * (4 + stride) <= l.fence_begin();
}

void set_slot(std::byte* page, const Layout& l, unsigned slot, unsigned offset, unsigned flags) noexcept {
  store_little(page + l.slots_offset() + 2 * slot, static_cast<std::uint16_t>(offset | flags << kSlotOffsetBits));
}

/// What a cell is made of.
struct CellContent {
  unsigned suffix_bytes = 0;
  Bytes rest;
  Bytes value;
  Room room{};
  unsigned bytes() const noexcept {
    return kCellHeaderBytes + static_cast<unsigned>(rest.size() + value.size()) + room.surplus_bytes;
  }
};

/// The entry as a cell; its value is null where the page says something impossible about it.
CellContent content_of(const std::byte* page, const Layout& l, unsigned slot) noexcept {
  const Entry entry = entry_of(page, l, slot);
  CellContent content;
  content.value = entry.value;
  if (!l.key_is_low_fence(slot)) {
    content.suffix_bytes = entry.suffix_bytes;
    content.rest = {entry.rest, rest_of(entry.suffix_bytes)};
  }
  if (!l.fixed) content.room = cell_of(page, l, slot).room;
  return content;
}

/// The value and what lies behind it.
void write_value(std::byte* page, unsigned cell_offset, unsigned value_offset, Bytes value, Room room) noexcept {
  const auto value_bytes = static_cast<unsigned>(VG_SEEDED_BUG(kLengthWraps) ? value.size() % 512 : value.size());
  const CellRoom code = !room.kept               ? CellRoom::kTight
                        : room.surplus_bytes > 1 ? CellRoom::kKeptBytes
                        : room.surplus_bytes > 0 ? CellRoom::kKeptOne
                                                 : CellRoom::kKeptNone;
  auto& header = *reinterpret_cast<CellHeader*>(page + cell_offset);
  header.value.set(static_cast<std::uint16_t>(value_bytes | unsigned{raw(code)} << kCellRoomShift));
  if (!value.empty()) std::memcpy(page + value_offset, value.data(), value.size());
  if (room.surplus_bytes == 0) return;
  std::byte* surplus = page + value_offset + value.size();
  std::memset(surplus, 0, room.surplus_bytes);
  if (code == CellRoom::kKeptBytes) store_little(surplus, static_cast<std::uint16_t>(room.surplus_bytes));
}

void write_cell(std::byte* page, unsigned offset, const CellContent& content) noexcept {
  reinterpret_cast<CellHeader*>(page + offset)->suffix_bytes.set(static_cast<std::uint16_t>(content.suffix_bytes));
  const unsigned rest_offset = offset + kCellHeaderBytes;
  if (!content.rest.empty()) std::memcpy(page + rest_offset, content.rest.data(), content.rest.size());
  write_value(page, offset, rest_offset + static_cast<unsigned>(content.rest.size()), content.value, content.room);
}

void write_record(std::byte* page, unsigned offset, std::uint8_t flags, Bytes rest, unsigned rest_bytes,
                  Bytes value) noexcept {
  page[offset] = std::byte{flags};
  std::byte* to = page + offset + kRecordFlagBytes;
  if (rest.empty()) {  // also the implied key of entry 0 of an internal node
    std::memset(to, 0, rest_bytes);
  } else {
    std::memcpy(to, rest.data(), rest.size());
  }
  if (!value.empty()) std::memcpy(to + rest_bytes, value.data(), value.size());
}

/// A node without entries has the fixed form, and no lengths yet.
void make_empty(std::byte* page, const Layout& l) noexcept {
  NodeHeader& header = header_of(page);
  header.flags.set(static_cast<std::uint8_t>(kNodeFixed | (l.has_high ? kNodeHasHigh : 0)));
  header.count.set(0);
  header.capacity.set(0);
  header.dead_bytes.set(0);
  header.heap_begin.set(static_cast<std::uint16_t>(l.fence_begin()));
  header.key_bytes.set(static_cast<std::uint16_t>(l.prefix_bytes));
  header.value_bytes.set(l.level > 0 ? kChildBytes : 0);
  std::memset(page + kNodeHintsOffset, 0xFF, 4 * kNodeHints);
  std::memset(page + kHeads, 0, l.fence_begin() - kHeads);
}

void open_head(std::byte* page, const Layout& l, unsigned slot, std::uint32_t head) noexcept {
  std::byte* at = page + kHeads + 4 * slot;
  std::memmove(at + 4, at, 4 * (l.count - slot));
  store_little(at, head);
}

void close_head(std::byte* page, const Layout& l, unsigned slot) noexcept {
  std::byte* at = page + kHeads + 4 * slot;
  std::memmove(at, at + 4, 4 * (l.count - slot - 1));
  store_little(page + kHeads + 4 * (l.count - 1), std::uint32_t{0});
}

// --- The slotted form

/// One entry whose value is replaced while the cells are laid out afresh.
struct Replaced {
  unsigned slot = kEntriesMax;
  Bytes value;
  Room room{};
};

/// Lays the node out as slotted, without holes, with room for `extra` more entries of `extra_bytes` of cell.
/// The room has been checked; only a page whose cells contradict its header can fail.
const char* lay_out_slotted(MutableBytes page, const Layout& old, unsigned extra, unsigned extra_bytes,
                            const Replaced& replaced) noexcept {
  std::array<std::byte, kPageBytes> fresh;  // NOLINT: every byte that is copied back is written
  const std::byte* from = page.data();
  const unsigned fences = old.fence_begin();
  const auto new_content = [&](unsigned slot) {
    CellContent content = content_of(from, old, slot);
    if (slot != replaced.slot) return content;
    content.value = replaced.value;
    content.room = replaced.room;
    return content;
  };
  unsigned cells = 0;
  for (unsigned slot = 0; slot < old.count; ++slot) {
    if (entry_of(from, old, slot).value.data() == nullptr) return "an entry lies outside the page";
    cells += new_content(slot).bytes();
  }
  Layout now = old;
  now.fixed = false;
  now.capacity = round_up(old.count + extra, 16);
  if (arrays_end(now.capacity) + cells + extra_bytes > fences) now.capacity = tight_capacity(old.count + extra);
  if (arrays_end(now.capacity) + cells + extra_bytes > fences) return "its cells take more room than its header says";

  std::byte* to = fresh.data();
  std::memcpy(to, from, kHeads + 4 * old.count);
  std::memset(to + kHeads + 4 * old.count, 0, fences - kHeads - 4 * old.count);
  std::memcpy(to + fences, from + fences, kPageBytes - fences);
  unsigned begin = fences;
  for (unsigned slot = 0; slot < old.count; ++slot) {
    const CellContent content = new_content(slot);
    begin -= content.bytes();
    write_cell(to, begin, content);
    set_slot(to, now, slot, begin, NodeView(page).flags(slot));
  }
  NodeHeader& header = header_of(to);
  header.flags.set(static_cast<std::uint8_t>(header.flags.get() & ~unsigned{kNodeFixed}));
  header.capacity.set(static_cast<std::uint16_t>(now.capacity));
  header.heap_begin.set(static_cast<std::uint16_t>(begin));
  header.dead_bytes.set(0);
  header.key_bytes.set(0);
  header.value_bytes.set(0);
  std::memcpy(page.data(), to, kPageBytes);
  return nullptr;
}

/// Moves the slots up by `step` heads. The room is free.
void grow_arrays(std::byte* page, const Layout& l, unsigned step) noexcept {
  std::byte* slots = page + l.slots_offset();
  std::memmove(slots + 4 * step, slots, 2 * l.count);
  std::memset(slots, 0, 4 * step);
  // Free slots are zero; what lies behind the old ones may be the rest of a removed cell.
  std::memset(slots + 4 * step + 2 * l.count, 0, 2 * (l.capacity + step - l.count));
  header_of(page).capacity.set(static_cast<std::uint16_t>(l.capacity + step));
}

/// Makes the node slotted with room for one more slot and `cell_bytes` in one piece.
const char* prepare_slotted(MutableBytes page, const Layout& l, unsigned cell_bytes) noexcept {
  if (!l.fixed) {
    if (l.count < l.capacity) {
      if (arrays_end(l.capacity) + cell_bytes <= l.heap_begin) return nullptr;
    } else {
      for (const unsigned step : {16u, 4u}) {
        if (arrays_end(l.capacity + step) + cell_bytes > l.heap_begin) continue;
        grow_arrays(page.data(), l, step);
        return nullptr;
      }
    }
  }
  return lay_out_slotted(page, l, 1, cell_bytes, Replaced{});
}

void insert_slotted(std::byte* page, unsigned slot, std::uint8_t flags, std::uint32_t head,
                    const CellContent& content) noexcept {
  const Layout l = Layout::load(page);
  const unsigned offset = l.heap_begin - content.bytes();
  write_cell(page, offset, content);
  std::byte* slots = page + l.slots_offset();
  std::memmove(slots + 2 * slot + 2, slots + 2 * slot, 2 * (l.count - slot));
  set_slot(page, l, slot, offset, flags);
  open_head(page, l, slot, head);
  NodeHeader& header = header_of(page);
  header.heap_begin.set(static_cast<std::uint16_t>(offset));
  header.count.set(static_cast<std::uint16_t>(l.count + 1));
  update_hints(page, slot, l.count, l.count + 1);
}

const char* remove_slotted(std::byte* page, const Layout& l, unsigned slot) noexcept {
  const Cell cell = cell_of(page, l, slot);
  if (cell.offset < l.heap_begin || cell.offset + cell.bytes() > l.fence_begin()) return "a cell lies outside the heap";
  NodeHeader& header = header_of(page);
  if (cell.offset == l.heap_begin) {
    header.heap_begin.set(static_cast<std::uint16_t>(l.heap_begin + cell.bytes()));
  } else {
    header.dead_bytes.set(static_cast<std::uint16_t>(l.dead_bytes + cell.bytes()));
  }
  std::byte* slots = page + l.slots_offset();
  std::memmove(slots + 2 * slot, slots + 2 * slot + 2, 2 * (l.count - slot - 1));
  store_little(slots + 2 * (l.count - 1), std::uint16_t{0});
  return nullptr;
}

const char* replace_slotted(MutableBytes page, const Layout& l, unsigned slot, Bytes value, OldRoom old_room) noexcept {
  std::byte* bytes = page.data();
  const Cell cell = cell_of(bytes, l, slot);
  if (cell.offset < l.heap_begin || cell.offset + cell.bytes() > l.fence_begin()) return "a cell lies outside the heap";
  if (!fits_replaced(l, cell.bytes(), cell.suffix_bytes, value.size(), old_room)) return "no room for the value";
  NodeHeader& header = header_of(bytes);
  const auto value_bytes = static_cast<unsigned>(value.size());
  Room room{old_room == OldRoom::kKept && (cell.room.kept || value_bytes != cell.value_bytes)};
  if (value_bytes <= cell.value_bytes_max()) {
    const unsigned left_bytes = cell.value_bytes_max() - value_bytes;
    if (room.kept) room.surplus_bytes = left_bytes;
    write_value(bytes, cell.offset, cell.value_offset(), value, room);
    header.dead_bytes.set(static_cast<std::uint16_t>(l.dead_bytes + left_bytes - room.surplus_bytes));
    return nullptr;
  }
  const CellContent content{
      cell.suffix_bytes, {bytes + cell.offset + kCellHeaderBytes, rest_of(cell.suffix_bytes)}, value, room};
  if (arrays_end(l.capacity) + content.bytes() > l.heap_begin) {
    return lay_out_slotted(page, l, 0, 0, Replaced{slot, value, room});
  }
  const unsigned offset = l.heap_begin - content.bytes();
  write_cell(bytes, offset, content);
  set_slot(bytes, l, slot, offset, slot_word(bytes, l, slot) >> kSlotOffsetBits);
  header.heap_begin.set(static_cast<std::uint16_t>(offset));
  header.dead_bytes.set(static_cast<std::uint16_t>(l.dead_bytes + cell.bytes()));
  return nullptr;
}

// --- The fixed form

/// Gives a node whose entries store no key yet (none, or an internal node's first) another stride.
void reshape(std::byte* page, const Layout& l, unsigned key_bytes, unsigned value_bytes) noexcept {
  NodeHeader& header = header_of(page);
  header.key_bytes.set(static_cast<std::uint16_t>(key_bytes));
  header.value_bytes.set(static_cast<std::uint16_t>(value_bytes));
  if (l.count == 0) return;
  // The first record of an internal node is zeros and, at its end, the child: only its length changes.
  Layout now = l;
  now.key_bytes = key_bytes;
  const unsigned offset = l.fence_begin() - now.stride();
  std::memset(page + offset, 0, now.stride() - kChildBytes);
  header.heap_begin.set(static_cast<std::uint16_t>(offset));
}

void insert_fixed(std::byte* page, unsigned slot, std::uint8_t flags, std::uint32_t head, Bytes rest,
                  Bytes value) noexcept {
  const Layout l = Layout::load(page);
  const unsigned stride = l.stride();
  const unsigned begin = l.fence_begin() - l.count * stride;
  std::memmove(page + begin - stride, page + begin, (l.count - slot) * stride);
  write_record(page, l.fence_begin() - (slot + 1) * stride, flags, rest, rest_of(l.suffix_of(l.key_bytes)), value);
  open_head(page, l, slot, head);
  NodeHeader& header = header_of(page);
  header.heap_begin.set(static_cast<std::uint16_t>(begin - stride));
  header.count.set(static_cast<std::uint16_t>(l.count + 1));
  update_hints(page, slot, l.count, l.count + 1);
}

void remove_fixed(std::byte* page, const Layout& l, unsigned slot) noexcept {
  const unsigned stride = l.stride();
  const unsigned begin = l.fence_begin() - l.count * stride;
  std::memmove(page + begin + stride, page + begin, (l.count - slot - 1) * stride);
  std::memset(page + begin, 0, stride);
  header_of(page).heap_begin.set(static_cast<std::uint16_t>(begin + stride));
}

const char* replace_fixed(MutableBytes page, const Layout& l, unsigned slot, Bytes value, OldRoom old_room) noexcept {
  std::byte* bytes = page.data();
  const unsigned suffix = l.suffix_of(l.key_bytes);
  if (!fits_replaced(l, 0, suffix, value.size(), old_room)) return "no room for the value";
  if (value.size() == l.value_bytes) {
    std::byte* to = bytes + record_offset(l, slot) + kRecordFlagBytes + rest_of(suffix);
    if (!value.empty()) std::memcpy(to, value.data(), value.size());
    return nullptr;
  }
  if (old_room == OldRoom::kKept) {
    const auto value_bytes = static_cast<unsigned>(value.size());
    const Room room{true, std::max(l.value_bytes, value_bytes) - value_bytes};
    return lay_out_slotted(page, l, 0, 0, Replaced{slot, value, room});
  }
  if (l.count > 1) return lay_out_slotted(page, l, 0, 0, Replaced{slot, value});
  std::array<std::byte, kKeyBytesMax> rest;
  const std::byte* record = bytes + l.heap_begin;
  const std::uint8_t flags = std::to_integer<std::uint8_t>(record[0]);
  std::memcpy(rest.data(), record + kRecordFlagBytes, rest_of(suffix));
  std::memset(bytes + l.heap_begin, 0, l.fence_begin() - l.heap_begin);
  const unsigned offset = l.fence_begin() - l.stride_for(l.key_bytes, static_cast<unsigned>(value.size()));
  write_record(bytes, offset, flags, Bytes(rest).first(rest_of(suffix)), rest_of(suffix), value);
  header_of(bytes).value_bytes.set(static_cast<std::uint16_t>(value.size()));
  header_of(bytes).heap_begin.set(static_cast<std::uint16_t>(offset));
  return nullptr;
}

// --- What a change must satisfy

const char* value_problem(const Layout& l, std::uint8_t flags, Bytes value) noexcept {
  if (l.level == 0) {
    if ((flags & ~unsigned{kAllFlags}) != 0) return "unknown slot flags";
    // Too long beside its key: growth_of() and fits_replaced() find that out.
    return value.size() > kEntryBytesMax ? "a value longer than any inline value" : nullptr;
  }
  if (flags != 0) return "slot flags in an internal node";
  return value.size() != kChildBytes ? "an internal node's value is not a child id" : nullptr;
}

const char* insert_problem(const std::byte* page, const Layout& l, unsigned slot, Bytes key) noexcept {
  if (slot > l.count) return "the slot is beyond the last";
  if (key.size() > kKeyBytesMax) return "a key longer than any key";
  const Bytes low = low_fence(page, l);
  if (key.size() < l.prefix_bytes || compare_bytes(key.data(), low.data(), l.prefix_bytes) != 0) {
    return "the key does not start with the node's prefix";
  }
  if (l.key_is_low_fence(slot)) {
    if (l.count > 0) return "an entry before the first of an internal node";
    if (compare_keys(key, low) != 0) return "the first key of an internal node is not its low fence";
  }
  return nullptr;
}

void mark_ghosts(std::byte* page, std::uint8_t flags) noexcept {
  if ((flags & kSlotGhost) == 0) return;
  PageHeader& header = *reinterpret_cast<PageHeader*>(page);
  header.flags.set(static_cast<std::uint8_t>(header.flags.get() | kPageFlagHasGhosts));
}

// --- Appending many entries of a node of the same form and prefix: a few copies instead of an insert for each

void append_records(std::byte* to, const Layout& l, const std::byte* from, const Layout& from_layout, unsigned first,
                    unsigned last) noexcept {
  const unsigned count = last - first;
  const unsigned stride = l.stride();
  const unsigned begin = l.heap_begin - count * stride;
  std::memcpy(to + begin, from + record_offset(from_layout, last - 1), count * stride);
  header_of(to).heap_begin.set(static_cast<std::uint16_t>(begin));
}

bool append_cells(std::byte* to, const Layout& l, const std::byte* from, const Layout& from_layout, unsigned first,
                  unsigned last) noexcept {
  unsigned cells = 0;
  for (unsigned slot = first; slot < last; ++slot) {
    const Cell cell = cell_of(from, from_layout, slot);
    if (cell.offset == 0) return false;
    cells += cell.bytes();
  }
  const unsigned capacity = std::max(l.capacity, tight_capacity(l.count + last - first));
  if (arrays_end(capacity) + cells > l.heap_begin) return false;
  if (capacity > l.capacity) grow_arrays(to, l, capacity - l.capacity);
  const Layout now = Layout::load(to);
  unsigned begin = now.heap_begin;
  for (unsigned slot = first; slot < last; ++slot) {
    const Cell cell = cell_of(from, from_layout, slot);
    begin -= cell.bytes();
    std::memcpy(to + begin, from + cell.offset, cell.bytes());
    set_slot(to, now, l.count + slot - first, begin, slot_word(from, from_layout, slot) >> kSlotOffsetBits);
  }
  header_of(to).heap_begin.set(static_cast<std::uint16_t>(begin));
  return true;
}

/// Appends [first, last) of `from` at once, if both nodes store entries alike and there is room. Entry 0 of an
/// internal node is unlike the others.
bool append_alike(std::byte* to, const std::byte* from, unsigned first, unsigned last) noexcept {
  const Layout l = Layout::load(to);
  const Layout from_layout = Layout::load(from);
  if (header_problem(from) != nullptr || last > from_layout.count) return false;
  if (l.fixed != from_layout.fixed || l.prefix_bytes != from_layout.prefix_bytes || l.level != from_layout.level) {
    return false;
  }
  if (l.own_keys() == 0 || from_layout.key_is_low_fence(first)) return false;
  const unsigned count = last - first;
  if (l.fixed) {
    if (l.key_bytes != from_layout.key_bytes || l.value_bytes != from_layout.value_bytes) return false;
    if (!fits_fixed(l, l.count + count, l.stride())) return false;
    append_records(to, l, from, from_layout, first, last);
  } else if (!append_cells(to, l, from, from_layout, first, last)) {
    return false;
  }
  std::memcpy(to + kHeads + 4 * l.count, from + kHeads + 4 * first, 4 * count);
  header_of(to).count.set(static_cast<std::uint16_t>(l.count + count));
  update_hints(to, l.count, l.count, l.count + count);
  std::uint8_t flags = 0;
  for (unsigned slot = 0; slot < count && l.level == 0; ++slot) {
    flags |= NodeView(Bytes(from, kPageBytes)).flags(first + slot);
  }
  mark_ghosts(to, flags);
  return true;
}

const char* insert_with_room(MutableBytes page, unsigned slot, std::uint8_t flags, Bytes key, Bytes value,
                             Room room) noexcept {
  std::byte* bytes = page.data();
  if (const char* problem = header_problem(bytes)) return problem;
  const Layout l = Layout::load(bytes);
  if (const char* problem = value_problem(l, flags, value)) return problem;
  if (const char* problem = insert_problem(bytes, l, slot, key)) return problem;
  const bool implied = l.key_is_low_fence(slot);
  const Bytes suffix = key.subspan(l.prefix_bytes);
  const std::uint32_t head = head_of(suffix);
  const Bytes rest = suffix.size() > 4 && !implied ? suffix.subspan(4) : Bytes{};
  switch (growth_of(l, key.size(), value.size(), room)) {
    case Growth::kNoRoom:
      return "no room for the entry";
    case Growth::kReshape:
      reshape(bytes, l, static_cast<unsigned>(key.size()), static_cast<unsigned>(value.size()));
      [[fallthrough]];
    case Growth::kFixed:
      insert_fixed(bytes, slot, flags, head, rest, value);
      break;
    case Growth::kSlotted: {
      const CellContent content{implied ? 0 : static_cast<unsigned>(suffix.size()), rest, value, room};
      if (const char* problem = prepare_slotted(page, l, content.bytes())) return problem;
      insert_slotted(bytes, slot, flags, head, content);
      break;
    }
  }
  mark_ghosts(bytes, flags);
  return nullptr;
}

const char* append_with_room(MutableBytes page, const NodeView& from, unsigned slot, Room room) noexcept {
  std::array<std::byte, kKeyBytesMax> key;
  const std::size_t key_bytes = from.copy_key(slot, key);
  const unsigned count = Layout::load(page.data()).count;
  return insert_with_room(page, count, from.flags(slot), Bytes(key).first(key_bytes), from.value(slot), room);
}

}  // namespace

Growth growth_of(const Layout& l, std::size_t key_bytes, std::size_t value_bytes, Room room) noexcept {
  if (key_bytes > kKeyBytesMax) return Growth::kNoRoom;
  if (l.level == 0 && value_bytes + room.surplus_bytes > inline_value_max(key_bytes)) return Growth::kNoRoom;
  if (l.level > 0 && (value_bytes != kChildBytes || room.kept)) return Growth::kNoRoom;
  const auto key = static_cast<unsigned>(key_bytes);
  const auto value = static_cast<unsigned>(value_bytes);
  const bool implied = l.key_is_low_fence(l.count);
  if (l.fixed && !room.kept) {
    if ((implied || key == l.key_bytes) && value == l.value_bytes) {
      if (fits_fixed(l, l.count + 1, l.stride())) return Growth::kFixed;
    } else if (l.own_keys() == 0) {
      if (fits_fixed(l, l.count + 1, l.stride_for(key, value))) return Growth::kReshape;
    }
    // A few long keys in an internal node take less when slotted: a fixed record 0 has room for a key that it does
    // not store. Without this, half of a slotted node could be too large in the fixed form that it would begin with.
  }
  const unsigned cell = kCellHeaderBytes + (implied ? 0 : rest_of(l.suffix_of(key))) + value + room.surplus_bytes;
  return fits_slotted(l, l.count + 1, cells_bytes(l) + cell) ? Growth::kSlotted : Growth::kNoRoom;
}

bool fits_replaced(const Layout& l, unsigned old_cell_bytes, unsigned suffix_bytes, std::size_t value_bytes,
                   OldRoom old_room) noexcept {
  if (l.level > 0) return value_bytes == kChildBytes;
  if (value_bytes > inline_value_max(l.prefix_bytes + suffix_bytes)) return false;
  const auto value = static_cast<unsigned>(value_bytes);
  if (l.fixed) {
    if (value == l.value_bytes) return true;
    if (old_room == OldRoom::kKept) {
      return fits_slotted(l, l.count, cells_bytes(l) + std::max(value, l.value_bytes) - l.value_bytes);
    }
    if (l.count == 1) return fits_fixed(l, 1, l.stride_for(l.key_bytes, value));
    return fits_slotted(l, l.count, cells_bytes(l) + value - l.value_bytes);
  }
  const unsigned new_cell_bytes = kCellHeaderBytes + rest_of(suffix_bytes) + value;
  if (new_cell_bytes <= old_cell_bytes) return true;
  return fits_slotted(l, l.count, cells_bytes(l) + new_cell_bytes - old_cell_bytes);
}

const char* header_problem(const std::byte* page) noexcept {
  const NodeHeader& header = header_of(page);
  const Layout l = Layout::load(page);
  if (header.low_bytes.get() > l.low_bytes || header.high_bytes.get() > l.high_bytes) return "a fence is too long";
  if (header.prefix_bytes.get() > l.prefix_bytes) return "the prefix is longer than the low fence";
  if (header.count.get() > l.count) return "more entries than there is room for";
  if (header.capacity.get() > l.capacity) return "more slots than there is room for";
  if (!l.fixed) {
    if (l.capacity % 4 != 0) return "the capacity is no multiple of four";
    if (l.count == 0) return "slots without an entry";
    if (l.heap_begin < arrays_end(l.capacity) || l.heap_begin > l.fence_begin()) return "heap out of bounds";
    return l.dead_bytes > l.fence_begin() - l.heap_begin ? "more dead bytes than heap" : nullptr;
  }
  if (header.key_bytes.get() > l.key_bytes || header.value_bytes.get() > l.value_bytes) return "entries too long";
  if (l.key_bytes < l.prefix_bytes) return "keys shorter than their prefix";
  if (l.level > 0 && l.value_bytes != kChildBytes) return "an internal node's values are not child ids";
  if (l.capacity != 0 || l.dead_bytes != 0) return "slots in a node of fixed stride";
  if (!fits_fixed(l, l.count, l.stride())) return "records out of bounds";
  return l.heap_begin != l.fence_begin() - l.count * l.stride() ? "records are not where the heap begins" : nullptr;
}

void init(MutableBytes page, ObjectId object, unsigned level, std::uint8_t page_flags, const NodeFences& fences,
          PageId right) noexcept {
  VG_CHECK(fences.low.size() <= kKeyBytesMax && fences.high.size() <= kKeyBytesMax, "a fence longer than any key");
  VG_CHECK(level < 256, "a tree deeper than any");
  const Bytes high = fences.has_high ? fences.high : Bytes{};
  std::byte* bytes = page.data();
  std::memset(bytes, 0, kNodeHeadsOffset);
  PageHeader& page_head = page_header(page);
  page_head.object.set(raw(object));
  page_head.type.set(raw(level == 0 ? PageType::kLeaf : PageType::kInternal));
  page_head.flags.set(page_flags);
  std::size_t prefix = 0;
  while (prefix < std::min(fences.low.size(), high.size()) && fences.low[prefix] == high[prefix]) ++prefix;
  NodeHeader& header = header_of(bytes);
  header.level.set(static_cast<std::uint8_t>(level));
  header.right.set(raw(right));
  header.flags.set(static_cast<std::uint8_t>(fences.has_high ? kNodeHasHigh : 0));
  header.prefix_bytes.set(static_cast<std::uint16_t>(prefix));
  header.low_bytes.set(static_cast<std::uint16_t>(fences.low.size()));
  header.high_bytes.set(static_cast<std::uint16_t>(high.size()));
  if (prefix > 0) std::memcpy(header.prefix_start, fences.low.data(), std::min<std::size_t>(prefix, 8));
  const Layout l = Layout::load(bytes);
  if (l.low_bytes > 0) std::memcpy(bytes + kPageBytes - l.low_bytes, fences.low.data(), l.low_bytes);
  if (l.high_bytes > 0) std::memcpy(bytes + l.fence_begin(), high.data(), l.high_bytes);
  make_empty(bytes, l);
}

const char* insert(MutableBytes page, unsigned slot, std::uint8_t flags, Bytes key, Bytes value) noexcept {
  return insert_with_room(page, slot, flags, key, value, Room{});
}

const char* remove(MutableBytes page, unsigned slot) noexcept {
  std::byte* bytes = page.data();
  if (const char* problem = header_problem(bytes)) return problem;
  const Layout l = Layout::load(bytes);
  if (slot >= l.count) return "there is no such slot";
  if (l.key_is_low_fence(slot) && l.count > 1) return "an internal node's first entry goes before the others";
  if (l.count == 1) {
    make_empty(bytes, l);
    return nullptr;
  }
  if (l.fixed) {
    remove_fixed(bytes, l, slot);
  } else if (const char* problem = remove_slotted(bytes, l, slot)) {
    return problem;
  }
  close_head(bytes, l, slot);
  header_of(bytes).count.set(static_cast<std::uint16_t>(l.count - 1));
  update_hints(bytes, slot, l.count, l.count - 1);
  return nullptr;
}

const char* replace(MutableBytes page, unsigned slot, std::uint8_t flags, Bytes value, OldRoom old_room) noexcept {
  std::byte* bytes = page.data();
  if (const char* problem = header_problem(bytes)) return problem;
  const Layout l = Layout::load(bytes);
  if (slot >= l.count) return "there is no such slot";
  if (const char* problem = value_problem(l, flags, value)) return problem;
  if (l.level > 0 && old_room == OldRoom::kKept) return "an internal node's entry is to keep room";
  const char* problem =
      l.fixed ? replace_fixed(page, l, slot, value, old_room) : replace_slotted(page, l, slot, value, old_room);
  if (problem != nullptr) return problem;
  return set_flags(page, slot, kLoggedFlags, flags);
}

const char* set_flags(MutableBytes page, unsigned slot, std::uint8_t mask, std::uint8_t flags) noexcept {
  std::byte* bytes = page.data();
  if (const char* problem = header_problem(bytes)) return problem;
  const Layout l = Layout::load(bytes);
  if (slot >= l.count) return "there is no such slot";
  if (l.level > 0 && flags != 0) return "slot flags in an internal node";
  const unsigned now = (NodeView(page).flags(slot) & ~unsigned{mask}) | (flags & mask);
  if (l.fixed) {
    bytes[record_offset(l, slot)] = static_cast<std::byte>(now);
  } else {
    set_slot(bytes, l, slot, slot_word(bytes, l, slot) & kSlotOffsetMask, now);
  }
  mark_ghosts(bytes, flags);
  return nullptr;
}

const char* append_range(MutableBytes page, const NodeView& from, unsigned first, unsigned last) noexcept {
  const std::byte* from_page = from.page().data();
  const Layout from_layout = Layout::load(from_page);
  for (unsigned slot = first; slot < last; ++slot) {
    if (append_alike(page.data(), from_page, slot, last)) return nullptr;
    const bool may_keep = !from_layout.fixed && slot < from_layout.count;
    const Room room = may_keep ? cell_of(from_page, from_layout, slot).room : Room{};
    if (const char* problem = append_with_room(page, from, slot, room)) return problem;
  }
  return nullptr;
}

const char* append_released(MutableBytes page, const NodeView& from, unsigned slot) noexcept {
  return append_with_room(page, from, slot, Room{});
}

}  // namespace vaultgres::node
