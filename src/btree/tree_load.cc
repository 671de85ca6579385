#include "btree/tree_load.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/check.h"
#include "base/try.h"
#include "btree/key_text.h"
#include "btree/structure_parts.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Log space of one leaf: a full page, an empty one, a root over two children, a separator, bitmap bits.
constexpr std::uint64_t kLeafLogBytes = log_bytes_for(kPageBytes + 2 * kNodeHeadsOffset + 6 * kKeyBytesMax + 512);

std::size_t shared_bytes(Bytes a, Bytes b) noexcept {
  const std::size_t most = std::min(a.size(), b.size());
  std::size_t shared = 0;
  for (; shared + 8 <= most; shared += 8) {
    const auto differing = load_little<std::uint64_t>(&a[shared]) ^ load_little<std::uint64_t>(&b[shared]);
    if (differing != 0) return shared + static_cast<unsigned>(std::countr_zero(differing)) / 8;
  }
  while (shared < most && a[shared] == b[shared]) ++shared;
  return shared;
}

}  // namespace

TreeLoad::TreeLoad(const Tree& tree, unsigned fill_percent) noexcept
    : tree_(tree),
      leaf_bytes_max_(NodeView::capacity_bytes() * std::clamp(fill_percent, 10u, 100u) / 100),
      last_leaf_(tree.root()) {}

Status TreeLoad::add(Bytes key, Bytes value, std::uint8_t flags) {
  VG_TRY(take(key, value, flags));
  return write_full_leaves();
}

Error TreeLoad::out_of_order(Bytes last, Bytes key) const {
  return Error(ErrorCode::kInvalidArgument, "a bulk load got as entry " + std::to_string(entries_) + " the key " +
                                                key_text(key) + ", which is not above the one before, " +
                                                key_text(last));
}

Status TreeLoad::check_order(Bytes key) const {
  if (gathered_.empty()) return {};
  const Bytes last = key_of(gathered_.back());
  return as_text(last) < as_text(key) ? Status() : out_of_order(last, key);
}

Status TreeLoad::take(Bytes key, Bytes value, std::uint8_t flags) {
  VG_CHECK(!finished_, "an entry is added to a finished bulk load");
  if (key.size() > kKeyBytesMax || value.size() > inline_value_max(key.size())) {
    return Error(ErrorCode::kTooLarge, "a bulk load got a key of " + std::to_string(key.size()) +
                                           " bytes with a value of " + std::to_string(value.size()) +
                                           " bytes, which no leaf takes");
  }
  if ((flags & ~unsigned{kSlotOverflow}) != 0) {
    return Error(ErrorCode::kInvalidArgument, "a bulk load got an entry with flags " + std::to_string(flags));
  }
  std::size_t shared = 0;
  if (!gathered_.empty()) {
    const Bytes last = key_of(gathered_.back());
    shared = shared_bytes(last, key);
    const bool above = shared < key.size() && (shared == last.size() || last[shared] < key[shared]);
    if (!above) return out_of_order(last, key);
  }
  // The bytes first: without memory for the rest they belong to no entry and do no harm.
  const auto offset = static_cast<std::uint32_t>(bytes_.size());
  bytes_.insert(bytes_.end(), key.begin(), key.end());
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  gathered_.push_back({offset, static_cast<std::uint16_t>(key.size()), static_cast<std::uint16_t>(value.size()),
                       static_cast<std::uint16_t>(shared), flags});
  ++entries_;
  return {};
}

Status TreeLoad::finish() {
  VG_TRY(write_full_leaves());
  // The last leaf has no high fence. What fits under a prefix may need one leaf more without it; all but one entry
  // are known to fit before a separator, and one entry fits anywhere.
  if (!fit_without_prefix()) VG_TRY(write_leaf(gathered_.size() - 1));
  if (!gathered_.empty()) VG_TRY(write_last_leaf());
  finished_ = true;
  return {};
}

// --- Where a leaf ends

/// The separator that would stand between the entries `index` - 1 and `index`.
std::size_t TreeLoad::separator_bytes_before(std::size_t index) const noexcept {
  const Entry& next = gathered_[index];
  return separator_bytes(next.shared_bytes, gathered_[index - 1].key_bytes, next.key_bytes);
}

/// Counts what is not counted yet. An entry that begins behind a full leaf ends that leaf.
Status TreeLoad::write_full_leaves() {
  while (counted_ < gathered_.size()) {
    const Entry& next = gathered_[counted_];
    if (counted_ > 0) {
      // Keys ascend: what the low fence shares with this key is what each key from the first on shares with the one
      // before it.
      fill_.limit_prefix(next.shared_bytes);
      if (fill_.bytes(low_bytes_ + separator_bytes_before(counted_)) > leaf_bytes_max_) {
        VG_TRY(write_leaf(best_cut()));
        continue;
      }
    }
    fill_.add(next.key_bytes, next.value_bytes);
    ++counted_;
  }
  return {};
}

/// How many of the counted entries make the leaf: as a split after ascending inserts chooses, all that fit but a few
/// if that shortens the separator. All of them would not fit before the entry that follows; but one does, even beyond
/// the wished-for fill (see kEntryBytesMax).
std::size_t TreeLoad::best_cut() const noexcept {
  const std::size_t last = std::max<std::size_t>(counted_ - 1, 1);
  const std::size_t first = std::max<std::size_t>(last - std::min(last, counted_ / 32), 1);
  std::size_t best = last;
  for (std::size_t cut = last; cut-- > first;) {
    if (separator_bytes_before(cut) < separator_bytes_before(best)) best = cut;
  }
  return best;
}

bool TreeLoad::fit_without_prefix() const {
  NodeFill fill;
  fill.start(0);
  for (const Entry& entry : gathered_) fill.add(entry.key_bytes, entry.value_bytes);
  return fill.bytes(low_bytes_) <= NodeView::capacity_bytes();
}

// --- Writing

/// The first `count` entries, not all of them, become the tree's last but one leaf.
Status TreeLoad::write_leaf(std::size_t count) {
  const TreeContext& context = tree_.context();
  const Bytes high = key_of(gathered_[count]).first(separator_bytes_before(count));
  for (;;) {
    LogSpace log_space(context.log);
    VG_TRY(log_space.reserve(kLeafLogBytes));
    const bool in_root = last_leaf_ == tree_.root();
    VG_ASSIGN(PageReservation pages, context.space.reserve(in_root ? 2 : 1, last_leaf_));
    VG_ASSIGN(FrameTicket frames, context.pool.reserve_frames(in_root ? 2 : 1));
    const PageId next = pages.ids().back();
    PageBuffer leaf;
    build(leaf, count, false, {low_fence(), high, true}, next);

    VG_ASSIGN(Tree::WritePath path, latch_last_leaf());
    if (!in_root && !NodeView(path.parent.page()).has_room(high.size(), kChildBytes)) {
      path = Tree::WritePath{};
      pages.release();
      frames.release();  // nobody waits for frames with some in hand
      VG_TRY(tree_.split({.key = high, .level = 1, .key_bytes = high.size(), .value_bytes = kChildBytes}));
      continue;
    }
    MiniTxn mini(context.pool, context.log, RecordKind::kSystem);
    PayloadBuffer payload;
    PageBuffer image;
    if (in_root) {
      add_image(mini, mini.own(context.pool.create(pages[0], frames)), leaf, payload);
      build_new_root(image, tree_.object(), 1, pages[0], high, next);
      add_image(mini, path.node, image, payload);
    } else {
      add_image(mini, path.node, leaf, payload);
      payload.clear();
      encode_node_insert(payload, path.slot + 1, 0, high, child_value(next));
      mini.add(path.parent, PageOp::kNodeInsert, payload.bytes());
    }
    build_node(image, tree_.object(), 0, false, {high, {}, false}, kNoPage);
    add_image(mini, mini.own(context.pool.create(next, frames)), image, payload);
    if (!context.space.add_to(mini, pages.ids(), {})) continue;  // reserve() loads the bitmap again
    mini.commit();
    pages.committed(pages.count());
    last_leaf_ = next;
    break;
  }
  forget(count);
  return {};
}

/// All that is gathered, into the empty leaf at the end.
Status TreeLoad::write_last_leaf() {
  const TreeContext& context = tree_.context();
  LogSpace log_space(context.log);
  VG_TRY(log_space.reserve(kLeafLogBytes));
  PageBuffer image;
  build(image, gathered_.size(), last_leaf_ == tree_.root(), {low_fence(), {}, false}, kNoPage);
  VG_ASSIGN(Tree::WritePath path, latch_last_leaf());
  MiniTxn mini(context.pool, context.log, RecordKind::kSystem);
  PayloadBuffer payload;
  add_image(mini, path.node, image, payload);
  mini.commit();
  gathered_.clear();
  return {};
}

/// The first `count` entries are in the tree; the leaf after them begins with the separator.
void TreeLoad::forget(std::size_t count) noexcept {
  low_bytes_ = separator_bytes_before(count);
  const std::uint32_t begin = gathered_[count].offset;
  gathered_.erase(gathered_.begin(), gathered_.begin() + static_cast<std::ptrdiff_t>(count));
  for (Entry& entry : gathered_) entry.offset -= begin;
  bytes_.erase(bytes_.begin(), bytes_.begin() + begin);
  fill_.start(low_bytes_);
  counted_ = 0;
}

void TreeLoad::build(MutableBytes page, std::size_t count, bool root, const NodeFences& fences, PageId right) const {
  build_node(page, tree_.object(), 0, root, fences, right);
  for (std::size_t i = 0; i < count; ++i) {
    const Entry& entry = gathered_[i];
    VG_CHECK(append_entry(page, entry.flags, key_of(entry), value_of(entry)), "a leaf was counted fuller than it is");
  }
}

/// The empty leaf at the end of the tree, and its parent unless it is the root.
Result<Tree::WritePath> TreeLoad::latch_last_leaf() const {
  VG_ASSIGN(Tree::WritePath path, tree_.latch_path(low_fence(), 0));
  const NodeView leaf(path.node.page());
  const bool as_left = path.node.id() == last_leaf_ && leaf.level() == 0 && leaf.count() == 0 &&
                       !leaf.has_high_fence() && as_text(leaf.low_fence()) == as_text(low_fence());
  if (!as_left) return tree_.damaged(path.node.id(), "is not the empty last leaf that a bulk load goes on with");
  return path;
}

}  // namespace vaultgres
