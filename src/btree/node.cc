#include "btree/node.h"

#include "btree/node_find.h"
#include "btree/touch.h"

namespace vaultgres {

using node::Entry;
using node::Growth;
using node::Layout;

namespace {

constexpr unsigned kLine = 64;

/// Asks for the entries of an interval, or for their slots, whichever of them the search will want, at the same time as
/// for the heads: who finds its head there does not wait for memory once more. Large entries would be too many lines.
void touch_entries(const std::byte* page, const Layout& l, node::Interval interval) noexcept {
  constexpr unsigned kBytesMax = 8 * kLine;
  if (interval.length == 0) return;
  unsigned offset = l.slots_offset() + 2 * interval.begin;
  unsigned bytes = 2 * interval.length;
  if (l.fixed) {
    offset = node::record_offset(l, interval.begin + interval.length - 1);
    bytes = interval.length * l.stride();
    if (offset == 0 || bytes > kBytesMax) return;
  }
  for (unsigned i = 0; i < bytes; i += kLine) node::touch(page + offset + i);
  node::touch(page + offset + bytes - 1);
}

NodeView::Position search(const std::byte* page, const Layout& l, Bytes key) noexcept {
  const int prefix_order = node::compare_prefix(page, l, key);
  if (prefix_order < 0) return {0, false};
  if (prefix_order > 0) return {l.count, false};
  const Bytes suffix = key.subspan(l.prefix_bytes);
  const std::uint32_t head = node::head_of(suffix);
  const node::HeadSearch& heads = node::head_search();
  const node::Interval interval = heads.interval(page, l.count, head);
  touch_entries(page, l, interval);
  const unsigned slot = heads.within(page, interval, head);
  if (!node::has_head(page, l, slot, head)) return {slot, false};
  return node::position_among_equal_heads(page, l, slot, head, suffix);
}

}  // namespace

bool NodeView::is_node() const noexcept {
  return page_header(page_).type.get() == raw(level() == 0 ? PageType::kLeaf : PageType::kInternal);
}
bool NodeView::plausible() const noexcept {
  return is_node() && node::header_problem(page_.data()) == nullptr;
}

ObjectId NodeView::object() const noexcept {
  return ObjectId{page_header(page_).object.get()};
}
bool NodeView::is_leaf() const noexcept {
  return level() == 0;
}
bool NodeView::is_root() const noexcept {
  return (page_header(page_).flags.get() & kPageFlagRoot) != 0;
}
bool NodeView::has_ghosts() const noexcept {
  return (page_header(page_).flags.get() & kPageFlagHasGhosts) != 0;
}
unsigned NodeView::level() const noexcept {
  return node::header_of(page_.data()).level.get();
}
unsigned NodeView::count() const noexcept {
  return Layout::load(page_.data()).count;
}
PageId NodeView::right() const noexcept {
  return PageId{node::header_of(page_.data()).right.get()};
}

Bytes NodeView::low_fence() const noexcept {
  return node::low_fence(page_.data(), Layout::load(page_.data()));
}
Bytes NodeView::high_fence() const noexcept {
  return node::high_fence(page_.data(), Layout::load(page_.data()));
}
bool NodeView::has_high_fence() const noexcept {
  return Layout::load(page_.data()).has_high;
}

bool NodeView::covers(Bytes key) const noexcept {
  return node::covers(page_.data(), Layout::load(page_.data()), key);
}

NodeView::Position NodeView::lower_bound(Bytes key) const noexcept {
  return search(page_.data(), Layout::load(page_.data()), key);
}

NodeView::Found NodeView::find(Bytes key) const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  return node::found_at(page, l, search(page, l, key));
}

std::size_t NodeView::copy_key(unsigned slot, MutableBytes out) const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  if (slot >= l.count) return 0;
  const Entry entry = node::entry_of(page, l, slot);
  std::byte head[4];
  store_big(head, node::head_at(page, slot));
  // prefix_bytes + suffix_bytes <= kKeyBytesMax, whatever the page says.
  std::byte* to = out.data();
  if (l.prefix_bytes > 0) std::memcpy(to, page + kPageBytes - l.low_bytes, l.prefix_bytes);
  to += l.prefix_bytes;
  std::memcpy(to, head, std::min(entry.suffix_bytes, 4u));
  if (const unsigned rest = node::rest_of(entry.suffix_bytes); rest > 0) std::memcpy(to + 4, entry.rest, rest);
  return l.prefix_bytes + entry.suffix_bytes;
}

namespace {

/// Short pieces of keys, mostly of a few well-known lengths.
inline void copy_short(std::byte* to, const std::byte* from, unsigned bytes) noexcept {
  switch (bytes) {
    case 0:
      return;
    case 2:
      std::memcpy(to, from, 2);
      return;
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    default:
      std::memcpy(to, from, bytes);
  }
}

/// Decodes the header once for all entries.
class EntryReader {
 public:
  explicit EntryReader(const std::byte* page) noexcept : page_(page), layout_(Layout::load(page)) {
    std::memcpy(key_, page + kPageBytes - layout_.low_bytes, layout_.prefix_bytes);
  }
  unsigned count() const noexcept { return layout_.count; }
  bool visit(unsigned slot, NodeView::VisitEntry& visit) {
    const Entry entry = node::entry_of(page_, layout_, slot);
    // prefix_bytes + suffix_bytes <= kKeyBytesMax, whatever the page says; the head may overhang by four.
    std::byte* to = key_ + layout_.prefix_bytes;
    store_big(to, node::head_at(page_, slot));
    copy_short(to + 4, entry.rest, node::rest_of(entry.suffix_bytes));
    return visit(slot, Bytes(key_, layout_.prefix_bytes + entry.suffix_bytes), entry.value, flags(slot, entry));
  }

 private:
  std::uint8_t flags(unsigned slot, const Entry& entry) const noexcept {
    if (!layout_.fixed) return static_cast<std::uint8_t>(node::slot_word(page_, layout_, slot) >> kSlotOffsetBits);
    if (entry.value.data() == nullptr) return 0;
    return load_little<std::uint8_t>(page_ + node::record_offset(layout_, slot));
  }

  const std::byte* page_;
  Layout layout_;
  std::byte key_[kKeyBytesMax + 4];
};

}  // namespace

void NodeView::visit_up(unsigned first, VisitEntry visit) const {
  EntryReader reader(page_.data());
  for (unsigned slot = first; slot < reader.count(); ++slot) {
    if (!reader.visit(slot, visit)) return;
  }
}

int NodeView::compare_key(unsigned slot, Bytes key) const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  if (slot >= l.count) return 1;
  if (const int order = node::compare_prefix(page, l, key); order != 0) return -order;
  const Bytes suffix = key.subspan(l.prefix_bytes);
  const std::uint32_t mine = node::head_at(page, slot);
  const std::uint32_t theirs = node::head_of(suffix);
  if (mine != theirs) return mine < theirs ? -1 : 1;
  return node::compare_rest(node::entry_of(page, l, slot), suffix);
}

Bytes NodeView::value(unsigned slot) const noexcept {
  return node::entry_of(page_.data(), Layout::load(page_.data()), slot).value;
}

std::uint8_t NodeView::flags(unsigned slot) const noexcept {
  return node::flags_of(page_.data(), Layout::load(page_.data()), slot);
}

NodeView::Child NodeView::child_towards(Bytes key) const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  return node::child_at(page, l, search(page, l, key));
}

PageId NodeView::child(unsigned slot) const noexcept {
  return node::child_of(value(slot));
}

bool NodeView::has_room(std::size_t key_bytes, std::size_t value_bytes) const noexcept {
  return node::growth_of(Layout::load(page_.data()), key_bytes, value_bytes) != Growth::kNoRoom;
}

bool NodeView::has_room_to_replace(unsigned slot, std::size_t value_bytes, OldRoom old_room) const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  if (slot >= l.count) return false;
  if (l.fixed) return node::fits_replaced(l, 0, l.suffix_of(l.key_bytes), value_bytes, old_room);
  const node::Cell cell = node::cell_of(page, l, slot);
  return cell.offset != 0 && node::fits_replaced(l, cell.bytes(), cell.suffix_bytes, value_bytes, old_room);
}

bool NodeView::keeps_room(unsigned slot) const noexcept {
  const std::byte* page = page_.data();
  const Layout l = Layout::load(page);
  return slot < l.count && !l.fixed && node::cell_of(page, l, slot).room.kept;
}

bool NodeView::may_keep_room() const noexcept {
  const Layout l = Layout::load(page_.data());
  return !l.fixed && l.level == 0;
}

std::size_t NodeView::used_bytes() const noexcept {
  const Layout l = Layout::load(page_.data());
  const std::size_t fences = l.low_bytes + l.high_bytes;
  if (l.fixed) return fences + std::size_t{l.count} * (4 + l.stride());
  const unsigned begin = std::min(l.heap_begin, l.fence_begin());
  const unsigned heap = l.fence_begin() - begin;
  return fences + 6 * std::size_t{l.count} + heap - std::min(heap, l.dead_bytes);
}

std::size_t NodeView::capacity_bytes() noexcept {
  return kPageBytes - kNodeHeadsOffset;
}

bool NodeView::is_underfull() const noexcept {
  const std::size_t fences = low_fence().size() + high_fence().size();
  return used_bytes() - fences < (capacity_bytes() - fences) / 4;
}

}  // namespace vaultgres
