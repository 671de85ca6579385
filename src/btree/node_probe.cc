#include "btree/node_probe.h"

#include "btree/node_find.h"
#include "btree/touch.h"

namespace vaultgres {

namespace {

void ask_for(const std::byte* page, unsigned offset, unsigned bytes) noexcept {
  constexpr unsigned kLineBytes = 64;
  for (unsigned at = 0; at < bytes; at += kLineBytes) node::prefetch(page + offset + at);
  if (bytes > 0) node::prefetch(page + offset + bytes - 1);
}

}  // namespace

void NodeProbe::ask_for_header(Bytes page) noexcept {
  node::prefetch(page.data());
  node::prefetch(page.data() + kNodeHintsOffset);
  node::prefetch(page.data() + kPageBytes - 1);
}

void NodeProbe::look_at_hints(Bytes page, Bytes key) noexcept {
  page_ = page.data();
  key_ = key;
  layout_.read(page_);
  const int order = node::compare_prefix(page_, layout_, key);
  within_prefix_ = order == 0;
  if (!within_prefix_) {
    slot_ = order < 0 ? 0 : layout_.count;
    return;
  }
  head_ = node::head_of(key.subspan(layout_.prefix_bytes));
  interval_ = node::head_search().interval(page_, layout_.count, head_);
  // The head behind an interval is rarely wanted: not asked for.
  ask_for(page_, static_cast<unsigned>(kNodeHeadsOffset) + 4 * interval_.begin, 4 * interval_.length);
  if (!layout_.fixed) ask_for(page_, layout_.slots_offset() + 2 * interval_.begin, 2 * interval_.length);
}

void NodeProbe::look_at_heads() noexcept {
  head_is_there_ = false;
  if (within_prefix_) {
    slot_ = node::head_search().within(page_, interval_, head_);
    head_is_there_ = node::has_head(page_, layout_, slot_, head_);
  }
  if (head_is_there_) ask_for_entry(slot_);
  // In an internal node the child is that of the entry before, unless the keys are equal.
  if (layout_.level > 0) ask_for_entry(slot_ > 0 ? slot_ - 1 : 0);
}

void NodeProbe::ask_for_entry(unsigned slot) const noexcept {
  if (slot >= layout_.count) return;
  // Entries are mostly short: what is longer comes in part.
  constexpr unsigned kBytesMax = 128;
  unsigned offset = 0;
  unsigned bytes = 64;
  if (layout_.fixed) {
    offset = node::record_offset(layout_, slot);
    bytes = std::min(layout_.stride(), kBytesMax);
  } else {
    offset = node::slot_word(page_, layout_, slot) & kSlotOffsetMask;
  }
  node::prefetch(page_ + offset);
  node::prefetch(page_ + std::min<std::size_t>(offset + bytes, kPageBytes) - 1);
}

NodeView::Position NodeProbe::position() const noexcept {
  if (!head_is_there_) return {slot_, false};
  return node::position_among_equal_heads(page_, layout_, slot_, head_, key_.subspan(layout_.prefix_bytes));
}

NodeView::Found NodeProbe::find() const noexcept {
  return node::found_at(page_, layout_, position());
}

PageId NodeProbe::child() const noexcept {
  return node::child_at(page_, layout_, position()).id;
}

bool NodeProbe::covers() const noexcept {
  return node::covers(page_, layout_, key_);
}

}  // namespace vaultgres
