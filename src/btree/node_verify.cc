// verify_node(): everything about one page that can be checked without others.
#include <array>
#include <string>

#include "base/try.h"
#include "btree/node_change.h"
#include "btree/node_search.h"

namespace vaultgres {

namespace {

using node::Entry;
using node::Layout;

Status wrong(const std::string& what) {
  return Error(ErrorCode::kCorruption, "tree node: " + what);
}
Status wrong_entry(unsigned slot, const std::string& what) {
  return wrong("entry " + std::to_string(slot) + ": " + what);
}

Status verify_header(Bytes page, const Layout& l) {
  const PageHeader& head = page_header(page);
  const NodeHeader& header = node::header_of(page.data());
  if (head.type.get() != raw(l.level == 0 ? PageType::kLeaf : PageType::kInternal)) {
    return wrong("page type " + std::to_string(head.type.get()) + " at level " + std::to_string(l.level));
  }
  if ((head.flags.get() & ~unsigned{kPageFlagRoot | kPageFlagHasGhosts}) != 0) return wrong("unknown page flags");
  if (l.level > 0 && (head.flags.get() & kPageFlagHasGhosts) != 0) return wrong("ghosts in an internal node");
  if ((header.flags.get() & ~unsigned{kNodeFixed | kNodeHasHigh}) != 0) return wrong("unknown node flags");
  if (head.reserved.get() != 0 || header.reserved.get() != 0) return wrong("reserved bytes are not zero");
  if (const char* problem = node::header_problem(page.data())) return wrong(problem);
  if (!l.fixed && (header.key_bytes.get() != 0 || header.value_bytes.get() != 0)) return wrong("a stride with slots");
  if (l.count == 0 && l.level == 0 && l.value_bytes != 0) return wrong("a stride without entries");
  return {};
}

Status verify_fences(Bytes page, const Layout& l) {
  const Bytes low = node::low_fence(page.data(), l);
  const Bytes high = node::high_fence(page.data(), l);
  if (!l.has_high && !high.empty()) return wrong("a high fence without its flag");
  if (l.has_high && node::compare_keys(low, high) >= 0) return wrong("the low fence is not below the high fence");
  std::size_t shared = 0;
  while (shared < std::min(low.size(), high.size()) && low[shared] == high[shared]) ++shared;
  if (shared != l.prefix_bytes) {
    return wrong("a prefix of " + std::to_string(l.prefix_bytes) + " bytes, but the fences share " +
                 std::to_string(shared));
  }
  std::byte start[8] = {};
  if (shared > 0) std::memcpy(start, low.data(), std::min<std::size_t>(shared, sizeof start));
  if (std::memcmp(start, node::header_of(page.data()).prefix_start, sizeof start) != 0) {
    return wrong("the copy of the prefix's start differs from the fence");
  }
  return {};
}

/// Only a leaf's cell keeps room: how much is counted whole, and zeros lie in it.
Status verify_room(Bytes page, const Layout& l, unsigned slot, const node::Cell& cell) {
  const node::Room room = cell.room;
  if (!room.kept) return {};
  if (l.level > 0) return wrong_entry(slot, "an internal node's entry keeps room");
  if (cell.value_bytes_max() > inline_value_max(l.prefix_bytes + cell.suffix_bytes)) {
    return wrong_entry(slot, "it keeps more room than any value takes");
  }
  const auto& header = *reinterpret_cast<const CellHeader*>(page.data() + cell.offset);
  const bool counted = header.value.get() >> kCellRoomShift == raw(CellRoom::kKeptBytes);
  if (counted && room.surplus_bytes < sizeof(std::uint16_t)) return wrong_entry(slot, "its room does not count itself");
  const Bytes surplus = page.subspan(cell.value_offset() + cell.value_bytes, room.surplus_bytes);
  const Bytes zeros = surplus.subspan(counted ? sizeof(std::uint16_t) : 0);
  if (std::any_of(zeros.begin(), zeros.end(), [](std::byte byte) { return byte != std::byte{0}; })) {
    return wrong_entry(slot, "the room that it keeps is not zero");
  }
  return {};
}

/// Slotted: cells lie in the heap, apart from each other, and together with the dead bytes they are all of it.
Status verify_cells(Bytes page, const Layout& l) {
  std::array<std::uint8_t, kPageBytes> used{};
  unsigned total = 0;
  for (unsigned slot = 0; slot < l.count; ++slot) {
    const node::Cell cell = node::cell_of(page.data(), l, slot);
    if (cell.offset < l.heap_begin || cell.offset + cell.bytes() > l.fence_begin()) {
      return wrong_entry(slot, "its cell lies outside the heap");
    }
    if (l.key_is_low_fence(slot) && cell.suffix_bytes != 0) return wrong_entry(slot, "it stores the low fence again");
    VG_TRY(verify_room(page, l, slot, cell));
    for (unsigned i = 0; i < cell.bytes(); ++i) {
      if (used[cell.offset + i]++ != 0) return wrong_entry(slot, "its cell overlaps another");
    }
    total += cell.bytes();
  }
  if (total + l.dead_bytes != l.fence_begin() - l.heap_begin) return wrong("dead bytes do not add up");
  return {};
}

/// Fixed: a rest that is not stored is zeros.
Status verify_first_record(Bytes page, const Layout& l) {
  if (l.level == 0 || l.count == 0) return {};
  const unsigned offset = node::record_offset(l, 0);
  for (unsigned i = 0; i < node::rest_of(l.suffix_of(l.key_bytes)); ++i) {
    if (page[offset + kRecordFlagBytes + i] != std::byte{0}) return wrong_entry(0, "it stores the low fence again");
  }
  return {};
}

Status verify_arrays(Bytes page, const Layout& l) {
  for (unsigned i = 0; i < kNodeHints; ++i) {
    if (load_little<std::uint32_t>(page.data() + kNodeHintsOffset + 4 * i) != node::hint_of(page.data(), i, l.count)) {
      return wrong("hint " + std::to_string(i) + " is not the head that it is a copy of");
    }
  }
  for (unsigned slot = l.count; slot < l.capacity; ++slot) {
    if (node::head_at(page.data(), slot) != 0 || node::slot_word(page.data(), l, slot) != 0) {
      return wrong("a free slot is not zero");
    }
  }
  return {};
}

Status verify_entry(const NodeView& view, const Layout& l, unsigned slot) {
  const Bytes page = view.page();
  const Entry entry = node::entry_of(page.data(), l, slot);
  std::uint32_t used_bits = 0xFFFFFFFFu;
  if (entry.suffix_bytes < 4) used_bits = ~(0xFFFFFFFFu >> (8 * entry.suffix_bytes));
  if ((node::head_at(page.data(), slot) & ~used_bits) != 0) return wrong_entry(slot, "its head is longer than its key");
  const unsigned flags = view.flags(slot);
  if (l.level > 0) {
    if (flags != 0) return wrong_entry(slot, "flags in an internal node");
    if (entry.value.size() != kChildBytes || view.child(slot) == kNoPage) return wrong_entry(slot, "no child");
    return {};
  }
  if ((flags & ~unsigned{node::kAllFlags}) != 0) return wrong_entry(slot, "unknown flags");
  if ((flags & kSlotGhost) != 0 && !view.has_ghosts()) return wrong_entry(slot, "a ghost that the page denies");
  if (entry.value.size() > inline_value_max(l.prefix_bytes + entry.suffix_bytes)) {
    return wrong_entry(slot, "it is too long");
  }
  return {};
}

/// Keys ascend between the fences.
Status verify_order(const NodeView& view, const Layout& l) {
  std::array<std::byte, kKeyBytesMax> buffers[2];
  Bytes before;
  for (unsigned slot = 0; slot < l.count; ++slot) {
    auto& buffer = buffers[slot % 2];
    const Bytes key = Bytes(buffer).first(view.copy_key(slot, buffer));
    if (slot > 0 && node::compare_keys(before, key) >= 0)
      return wrong_entry(slot, "its key is not above the one before");
    if (slot == 0) {
      const int order = node::compare_keys(key, view.low_fence());
      if (order < 0) return wrong_entry(slot, "its key is below the low fence");
      if (order > 0 && l.level > 0) return wrong_entry(slot, "its key is not the low fence");
    }
    if (l.has_high && node::compare_keys(key, view.high_fence()) >= 0) {
      return wrong_entry(slot, "its key is not below the high fence");
    }
    before = key;
  }
  return {};
}

}  // namespace

Status verify_node(Bytes page) {
  const NodeView view(page);
  const Layout l = Layout::load(page.data());
  VG_TRY(verify_header(page, l));
  VG_TRY(verify_fences(page, l));
  VG_TRY(l.fixed ? verify_first_record(page, l) : verify_cells(page, l));
  VG_TRY(verify_arrays(page, l));
  for (unsigned slot = 0; slot < l.count; ++slot) VG_TRY(verify_entry(view, l, slot));
  return verify_order(view, l);
}

}  // namespace vaultgres
