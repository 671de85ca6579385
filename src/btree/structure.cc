// Structure changes: split, root split, merge, root collapse, freeing a dropped tree. Each is one log record
// over one parent and its children; whatever it needs is reserved before the first latch.
#include <array>
#include <chrono>
#include <memory>

#include "base/check.h"
#include "base/held_latches.h"
#include "base/schedule_noise.h"
#include "base/try.h"
#include "btree/structure_parts.h"
#include "btree/tree.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Log space of a structure change: at most three whole pages, a few small parts, and bitmap bits.
constexpr std::uint64_t kStructureLogBytes = log_bytes_for(3 * (kPageBytes + 64) + 3 * kKeyBytesMax + 512);

/// Does a node say of itself what its parent says of it? A stale page, or a forged one, shows here.
bool fences_match(const NodeView& parent, unsigned slot, const NodeView& node) {
  std::array<std::byte, kKeyBytesMax> key;
  const auto separator = [&](unsigned at) { return as_text(Bytes(key).first(parent.copy_key(at, key))); };
  if (as_text(node.low_fence()) != separator(slot)) return false;
  if (slot + 1 < parent.count()) return node.has_high_fence() && as_text(node.high_fence()) == separator(slot + 1);
  return node.has_high_fence() == parent.has_high_fence() && as_text(node.high_fence()) == as_text(parent.high_fence());
}

/// More than three quarters of the room that its fences leave are taken.
bool is_well_filled(const NodeView& node) {
  const std::size_t fences = node.low_fence().size() + node.high_fence().size();
  return node.used_bytes() - fences > (NodeView::capacity_bytes() - fences) / 4 * 3;
}

constexpr char kNotAsItsParentSays[] = "its fences differ from its parent's separators";

}  // namespace

std::uint64_t Tree::log_bytes_of_change(std::size_t key_bytes, std::size_t value_bytes) noexcept {
  // Record and compensation each carry the key twice and both the old and the new value at most.
  return log_bytes_for(2 * (2 * key_bytes + 2 * value_bytes + 128));
}

void Tree::add_new_root(MiniTxn& mini, ExclusiveGuard& page, ObjectId object) {
  PageBuffer image;
  build_node(image, object, 0, true, NodeFences{}, kNoPage);
  PayloadBuffer payload;
  add_image(mini, page, image, payload);
}

// --- Split

Status Tree::make_room(Bytes key, std::size_t value_bytes) const {
  return split({.key = key, .key_bytes = key.size(), .value_bytes = value_bytes});
}

Status Tree::split_at(Bytes key) const {
  return split({.key = key, .before_key = true});
}

std::optional<std::string> Tree::fought_over(const ExclusiveGuard& leaf, unsigned slot) const noexcept {
  if (!leaf.is_waited_for()) return std::nullopt;
  const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(since_boot).count();
  const std::optional<unsigned> boundary = context_->hot_leaves->note(leaf.id(), slot, static_cast<std::uint64_t>(now));
  if (!boundary) return std::nullopt;
  const NodeView view(leaf.page());
  if (!split_before(view, *boundary)) return std::nullopt;
  std::array<std::byte, kKeyBytesMax> key;
  const Bytes bytes = Bytes(key).first(view.copy_key(*boundary, key));
  try {
    return std::string(as_text(bytes));
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

/// None: there is nothing to be done, or no good place.
Result<std::optional<SplitPoint>> Tree::split_point(const SplitWish& wish, const NodeView& node, PageId id) const {
  using MaybePoint = std::optional<SplitPoint>;
  const NodeView::Position position = node.lower_bound(wish.key);
  if (wish.before_key) return position.exact ? split_before(node, position.slot) : MaybePoint();
  if (node.has_room(wish.key_bytes, wish.value_bytes)) return MaybePoint();
  if (node.count() < 2) return damaged(id, "has no room although it holds fewer than two entries");
  return MaybePoint(choose_split(node, position.slot, wish.key_bytes + wish.value_bytes));
}

Status Tree::split(const SplitWish& wish) const {
  for (;;) {
    assert_no_frames_reserved();
    LogSpace log_space(context_->log);
    VG_TRY(log_space.reserve(kStructureLogBytes));
    VG_ASSIGN(PageReservation pages, context_->space.reserve(2, root_));
    VG_ASSIGN(FrameTicket frames, context_->pool.reserve_frames(2));
    VG_NOISE(kSplitReserved);
    VG_ASSIGN(WritePath path, wish.before_key ? try_latch_leaf_first(wish.key) : latch_path(wish.key, wish.level));
    if (!path.node) return {};
    const NodeView node(path.node.page());
    // Looked at again under the latch: somebody else may have made room, or the root may have grown.
    if (node.level() != wish.level) return {};
    VG_ASSIGN(const std::optional<SplitPoint> place, split_point(wish, node, path.node.id()));
    if (!place) return {};
    const SplitPoint& point = *place;
    const Bytes separator(point.separator, point.separator_bytes);
    const bool is_root = path.node.id() == root_;
    if (node.is_root() != is_root) return damaged(path.node.id(), "its root flag is wrong");
    if (!is_root && !fences_match(NodeView(path.parent.page()), path.slot, node)) {
      return damaged(path.node.id(), kNotAsItsParentSays);
    }
    if (!is_root && !NodeView(path.parent.page()).has_room(separator.size(), sizeof(std::uint32_t))) {
      const std::size_t separator_bytes = separator.size();
      path = WritePath{};
      pages.release();
      frames.release();  // nobody waits for frames with some in hand
      VG_NOISE(kSplitParentFull);
      VG_TRY(split({.key = wish.key,
                    .level = wish.level + 1,
                    .key_bytes = separator_bytes,
                    .value_bytes = sizeof(std::uint32_t)}));
      continue;
    }

    for (const PageId id : pages.ids()) {
      const bool latched = id == path.node.id() || (path.parent && id == path.parent.id());
      if (latched) return damaged(id, "its bitmap calls it free");  // create() would wait for it without end
    }
    VG_NOISE(kSplitChecked);
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    PayloadBuffer payload;
    PageBuffer image;
    std::size_t pages_used = 1;
    if (is_root) {
      // The root keeps its page: its content moves down into two new pages, all three carried whole.
      pages_used = 2;
      ExclusiveGuard& left = mini.own(context_->pool.create(pages[0], frames));
      ExclusiveGuard& right = mini.own(context_->pool.create(pages[1], frames));
      build_left_half(image, node, point, pages[1]);
      add_image(mini, left, image, payload);
      build_right_half(image, node, point);
      add_image(mini, right, image, payload);
      build_new_root(image, object_, wish.level + 1, pages[0], separator, pages[1]);
      add_image(mini, path.node, image, payload);
    } else {
      ExclusiveGuard& right = mini.own(context_->pool.create(pages[0], frames));
      build_right_half(image, node, point);
      add_image(mini, right, image, payload);
      payload.clear();
      encode_node_truncate(payload, point.slot, separator, pages[0]);
      mini.add(path.node, PageOp::kNodeTruncate, payload.bytes());
      payload.clear();
      encode_node_insert(payload, path.slot + 1, 0, separator, child_value(pages[0]));
      mini.add(path.parent, PageOp::kNodeInsert, payload.bytes());
    }
    VG_NOISE(kSplitCreated);
    if (!context_->space.add_to(mini, pages.ids().first(pages_used), {})) continue;  // reserve() loads the bitmap again
    mini.commit();
    VG_NOISE(kSplitLogged);
    pages.committed(pages_used);
    return {};
  }
}

// --- Merge

Status Tree::merge_at(Bytes key) const {
  VG_TRY(merge(key, 0));
  return {};
}

/// Whether anything was merged at this level. What is merged above gives an only child, or one between full ones, new
/// neighbours; so it goes on as long as there is such.
Result<bool> Tree::merge(Bytes key, unsigned level) const {
  bool any = false;
  for (;;) {
    VG_ASSIGN(const Merged merged, merge_with_neighbours(key, level, any));
    if (merged != Merged::kOnlyChild && merged != Merged::kDoneAndParentSmall) return any;
    VG_ASSIGN(const bool above, merge(key, level + 1));
    VG_TRY(collapse_root());
    if (!above) return any;
  }
}

/// With one after the other, as long as what is left is little: there may be more that became empty when they had no
/// neighbour with room. Each one frees a page. What is done stays done, whatever the next one meets. Where neither has
/// room, one of them gives some of its entries.
Result<Tree::Merged> Tree::merge_with_neighbours(Bytes key, unsigned level, bool& any) const {
  Merged last_done = Merged::kNo;
  for (Neighbour side = Neighbour::kRight;;) {
    const Result<Merged> merged = merge_with(key, level, side);
    if (!merged && last_done == Merged::kNo) return merged.error();
    if (!merged || *merged == Merged::kNo) return last_done;
    if (*merged == Merged::kOnlyChild) return Merged::kOnlyChild;
    if (*merged != Merged::kNoRoom) {
      last_done = *merged;
      any = true;
    } else if (side == Neighbour::kRight) {
      side = Neighbour::kLeft;
    } else if (last_done != Merged::kNo) {
      return last_done;
    } else {
      return share_with_neighbours(key, level, any);
    }
  }
}

Result<Tree::Merged> Tree::share_with_neighbours(Bytes key, unsigned level, bool& any) const {
  for (const Neighbour side : {Neighbour::kRight, Neighbour::kLeft}) {
    VG_ASSIGN(const Merged shared, share_with(key, level, side));
    any = any || shared == Merged::kDone;
    if (shared != Merged::kNoRoom) return shared;
  }
  return Merged::kNo;
}

/// Latches the node and its neighbour, and their parent, if the node is to be merged and has such a neighbour; else
/// says what is in the way.
Result<std::optional<Tree::Merged>> Tree::latch_pair(Bytes key, unsigned level, Neighbour side, Pair& pair,
                                                     std::vector<LoadPin>& pins) const {
  using Outcome = std::optional<Merged>;
  for (unsigned attempt = 0; attempt < 3; ++attempt) {
    pair = Pair{};
    VG_ASSIGN(WritePath path, latch_path(key, level));
    {
      const NodeView node(path.node.page());
      if (node.level() != level || !path.parent || !node.is_underfull()) return Outcome(Merged::kNo);
    }
    const NodeView parent(path.parent.page());
    if (parent.count() < 2) return Outcome(Merged::kOnlyChild);
    if (!fences_match(parent, path.slot, NodeView(path.node.page()))) {
      return damaged(path.node.id(), kNotAsItsParentSays);
    }
    const unsigned right_slot = side == Neighbour::kRight ? path.slot + 1 : path.slot;
    if (right_slot == 0 || right_slot == parent.count()) return Outcome(Merged::kNoRoom);
    const PageId left_id = parent.child(right_slot - 1);
    const PageId right_id = parent.child(right_slot);
    if (left_id == right_id || left_id == path.parent.id() || right_id == path.parent.id()) {
      return damaged(path.parent.id(), "leads to one page by two separators");
    }
    // Pages are latched left before right. The parent's exclusive latch keeps others from changing which
    // children these are while the node's own latch is given up.
    path.node.release();
    VG_NOISE(kMergeNodeGivenUp);
    auto left = context_->pool.exclusive_if_resident(left_id);
    VG_NOISE(kMergeLeftTaken);
    if (left) VG_TRY(check_child(NodeView(left->page()), level, left_id));  // before another one is waited for
    auto right = left ? context_->pool.exclusive_if_resident(right_id) : std::nullopt;
    if (!right) {
      const PageId missing = left ? right_id : left_id;
      left.reset();
      path = WritePath{};
      VG_ASSIGN(LoadPin pin, context_->pool.load(missing, Hint::kNormal));
      pins.push_back(std::move(pin));
      continue;
    }
    VG_NOISE(kMergeBothTaken);
    const NodeView left_view(left->page());
    const NodeView right_view(right->page());
    VG_TRY(check_child(right_view, level, right_id));
    if (!fences_match(parent, right_slot - 1, left_view) || !fences_match(parent, right_slot, right_view)) {
      return damaged(left_id, kNotAsItsParentSays);
    }
    if (left_view.right() != right_id) return damaged(left_id, "its right sibling is not its parent's next child");
    pair = {std::move(path.parent), *std::move(left), *std::move(right), right_slot};
    return Outcome();
  }
  return Outcome(Merged::kNo);  // busy: a later delete tries again
}

Result<Tree::Merged> Tree::merge_with(Bytes key, unsigned level, Neighbour side) const {
  LogSpace log_space(context_->log);
  VG_TRY(log_space.reserve(kStructureLogBytes));
  std::vector<LoadPin> pins;
  for (unsigned attempt = 0; attempt < 3; ++attempt) {
    Pair pair;
    VG_ASSIGN(const std::optional<Merged> in_the_way, latch_pair(key, level, side, pair, pins));
    if (in_the_way) return *in_the_way;
    const NodeView left(pair.left.page());
    const NodeView right(pair.right.page());
    PageBuffer image;
    if (!build_merged(image, left, right)) return Merged::kNoRoom;
    // Not to be split again by the next insert. But nobody keeps an empty page, or its parent, for that.
    const unsigned nothing = level > 0 ? 1 : 0;
    const bool one_is_empty = left.count() <= nothing || right.count() <= nothing;
    if (!one_is_empty && is_well_filled(NodeView(image))) return Merged::kNoRoom;

    const PageId freed = pair.right.id();
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    PayloadBuffer payload;
    add_image(mini, pair.left, image, payload);
    payload.clear();
    mini.add(pair.right, PageOp::kFree, payload.bytes());
    encode_node_remove(payload, pair.right_slot);
    mini.add(pair.parent, PageOp::kNodeRemove, payload.bytes());
    if (!context_->space.add_to(mini, {}, std::span(&freed, 1))) {
      pair = Pair{};
      VG_ASSIGN(auto bitmap_pins, context_->space.load_bitmaps(std::span(&freed, 1)));
      for (LoadPin& pin : bitmap_pins) pins.push_back(std::move(pin));
      continue;
    }
    mini.commit();
    const bool parent_small = NodeView(pair.parent.page()).is_underfull();  // always, when this is its only child
    pair = Pair{};
    VG_NOISE(kMergeBeforeFreed);
    context_->space.freed(std::span(&freed, 1));
    return parent_small ? Merged::kDoneAndParentSmall : Merged::kDone;
  }
  return Merged::kNo;
}

/// The boundary to the neighbour moves, so that each has about half of what both hold. Neither is left to be merged
/// again.
Result<Tree::Merged> Tree::share_with(Bytes key, unsigned level, Neighbour side) const {
  LogSpace log_space(context_->log);
  VG_TRY(log_space.reserve(kStructureLogBytes));
  std::vector<LoadPin> pins;
  Pair pair;
  VG_ASSIGN(const std::optional<Merged> in_the_way, latch_pair(key, level, side, pair, pins));
  if (in_the_way) return *in_the_way;
  const NodeView left(pair.left.page());
  const NodeView right(pair.right.page());
  const bool from_left = left.used_bytes() > right.used_bytes();
  const NodeView& fuller = from_left ? left : right;
  if (fuller.count() < 2) return Merged::kNoRoom;
  const std::size_t half = (left.used_bytes() + right.used_bytes()) / 2;
  const std::size_t whole = fuller.used_bytes();
  const SplitPoint cut = choose_share(fuller, from_left ? half : whole - half, whole);
  PageBuffer left_image;
  PageBuffer right_image;
  if (!build_shifted(left_image, right_image, left, right, cut, from_left)) return Merged::kNoRoom;
  if (NodeView(left_image).is_underfull() || NodeView(right_image).is_underfull()) return Merged::kNoRoom;
  const Bytes separator(cut.separator, cut.separator_bytes);
  const NodeView parent(pair.parent.page());
  const bool fits = separator.size() == right.low_fence().size() || parent.has_room(separator.size(), kChildBytes);
  if (!fits) return Merged::kNoRoom;

  MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
  PayloadBuffer payload;
  add_image(mini, pair.left, left_image, payload);
  add_image(mini, pair.right, right_image, payload);
  payload.clear();
  encode_node_remove(payload, pair.right_slot);
  mini.add(pair.parent, PageOp::kNodeRemove, payload.bytes());
  payload.clear();
  encode_node_insert(payload, pair.right_slot, 0, separator, child_value(pair.right.id()));
  mini.add(pair.parent, PageOp::kNodeInsert, payload.bytes());
  mini.commit();
  return Merged::kDone;
}

/// A root with a single child takes over the child's content, and the tree is one level lower.
Status Tree::collapse_root() const {
  LogSpace log_space(context_->log);
  VG_TRY(log_space.reserve(kStructureLogBytes));
  std::vector<LoadPin> pins;
  for (unsigned attempt = 0; attempt < 4; ++attempt) {
    VG_ASSIGN(ExclusiveGuard root, context_->pool.exclusive(root_, Hint::kNormal));
    VG_NOISE(kCollapseRootTaken);
    const NodeView view(root.page());
    VG_TRY(check_child(view, view.level(), root_));
    if (view.level() == 0 || view.count() != 1) return {};
    const PageId child_id = view.child(0);
    auto child = context_->pool.exclusive_if_resident(child_id);
    if (!child) {
      root.release();
      VG_ASSIGN(LoadPin pin, context_->pool.load(child_id, Hint::kNormal));
      pins.push_back(std::move(pin));
      continue;
    }
    VG_TRY(check_child(NodeView(child->page()), view.level() - 1, child_id));
    PageBuffer image;
    std::copy(child->page().begin(), child->page().end(), image.begin());
    PageHeader& header = page_header(MutableBytes(image));
    header.flags.set(static_cast<std::uint8_t>(header.flags.get() | kPageFlagRoot));
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    PayloadBuffer payload;
    add_image(mini, root, image, payload);
    payload.clear();
    mini.add(*child, PageOp::kFree, payload.bytes());
    if (!context_->space.add_to(mini, {}, std::span(&child_id, 1))) {
      child->release();
      root.release();
      VG_ASSIGN(auto bitmap_pins, context_->space.load_bitmaps(std::span(&child_id, 1)));
      for (LoadPin& pin : bitmap_pins) pins.push_back(std::move(pin));
      continue;
    }
    mini.commit();
    child->release();
    root.release();
    VG_NOISE(kCollapseBeforeFreed);
    context_->space.freed(std::span(&child_id, 1));
    attempt = 0;  // the new content may be such a root again
    pins.clear();
  }
  return {};
}

// --- Freeing a tree that nobody can reach

namespace {

bool has_overflow(const NodeView& node) {
  if (!node.is_leaf()) return false;
  for (unsigned slot = 0; slot < node.count(); ++slot) {
    if ((node.flags(slot) & kSlotOverflow) != 0) return true;
  }
  return false;
}

}  // namespace

/// Follows last children down to the last page that is a leaf, or has no children.
Result<Tree::LastPage> Tree::last_page() const {
  VG_ASSIGN(SharedGuard node, context_->pool.shared(root_, Hint::kScan));
  VG_TRY(check_child(NodeView(node.page()), NodeView(node.page()).level(), root_));
  for (LastPage last{kNoPage, root_};;) {
    const NodeView view(node.page());
    const unsigned level = view.level();
    if (level == 0 || view.count() == 0) return last;
    last = {last.id, view.child(view.count() - 1)};
    if (level == 1) return last;
    node.release();
    VG_ASSIGN(node, context_->pool.shared(last.id, Hint::kScan));
    VG_TRY(check_child(NodeView(node.page()), level - 1, last.id));
  }
}

Result<bool> Tree::free_some(unsigned pages_max, FunctionRef<Status(Bytes key)> spill) const {
  LogSpace log_space(context_->log);
  VG_TRY(log_space.reserve(kStructureLogBytes));
  // Nobody else changes the tree: a leaf that has been spilled has nothing left, or was not found by its key.
  PageId spilled = kNoPage;
  const auto spill_once = [&](PageId leaf, Bytes key) -> Status {
    if (leaf == spilled) return damaged(leaf, "is not the leaf that its low fence leads to");
    spilled = leaf;
    return spill(key);
  };
  for (unsigned freed_count = 0; freed_count < pages_max;) {
    VG_ASSIGN(const LastPage last, last_page());
    if (last.parent == kNoPage) {
      VG_ASSIGN(SharedGuard root, context_->pool.shared(root_, Hint::kScan));
      const bool spilling = has_overflow(NodeView(root.page()));
      root.release();
      if (!spilling) return true;
      VG_TRY(spill_once(root_, Bytes{}));
      continue;
    }
    VG_NOISE(kFreeStep);
    // What was read there still holds when it is latched again below.
    if (last.id == last.parent) return damaged(last.parent, "leads to itself");
    VG_ASSIGN(LoadPin pin, context_->pool.load(last.id, Hint::kScan));
    VG_ASSIGN(auto bitmap_pins, context_->space.load_bitmaps(std::span(&last.id, 1)));
    VG_ASSIGN(ExclusiveGuard parent, context_->pool.exclusive(last.parent, Hint::kScan));
    auto child = context_->pool.exclusive_if_resident(last.id);
    VG_CHECK(child.has_value(), "a pinned page left the cache");
    VG_TRY(check_child(NodeView(child->page()), NodeView(parent.page()).level() - 1, last.id));
    if (has_overflow(NodeView(child->page()))) {
      const std::string key(as_text(NodeView(child->page()).low_fence()));
      child->release();
      parent.release();
      VG_TRY(spill_once(last.id, as_bytes(key)));
      continue;
    }
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    PayloadBuffer payload;
    mini.add(*child, PageOp::kFree, payload.bytes());
    encode_node_remove(payload, NodeView(parent.page()).count() - 1);
    mini.add(parent, PageOp::kNodeRemove, payload.bytes());
    if (!context_->space.add_to(mini, {}, std::span(&last.id, 1))) continue;
    mini.commit();
    child->release();
    parent.release();
    context_->space.freed(std::span(&last.id, 1));
    ++freed_count;
  }
  return false;
}

}  // namespace vaultgres
