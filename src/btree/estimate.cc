// Tree::estimate: about how much stands in a range, from a few pages.
//
//                     [ . a  x x x  b . . ]            the node where the ways to both ends part
//              [ . s  y y y ]        [ y y  t . ]      y: whole nodes right of one way, left of the other
//          [ . . e e ]                    [ e . . ]    the leaves at the ends: their entries are counted
//
// The entries of the range are those counted at both ends and those below the whole nodes between the two ways. The
// nodes are counted, too; what stands below one of them is the mean of what stands below a few, spread over them; below
// each of these one way is read down to a leaf, each node's count standing for that of its siblings.
//
// Both ways are read under shared latches, from the parent to the child, that of the node where they part held until
// both ends are reached: so no structure change comes between them, and every entry of the range is either at an end or
// below one of the whole nodes, once. The samples are read after that, without the nodes that lead to them: one that is
// no node of this tree and level any more is left out.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <numeric>
#include <optional>
#include <vector>

#include "base/try.h"
#include "btree/tree.h"
#include "buffer/page_visits.h"
#include "format/overflow.h"

namespace vaultgres {

class TreeEstimate {
 public:
  using Estimate = Tree::Estimate;

  TreeEstimate(const Tree& tree, Bytes from, std::optional<Bytes> to) : tree_(tree), from_(from), to_(to) {}

  Result<Estimate> run() {
    for (unsigned attempt = 0;; ++attempt) {
      damage_.reset();
      VG_TRY(read_ends());
      VG_ASSIGN(const bool sampled, sample());
      // Nothing of a group is where it was a moment ago: next to impossible once, and not worth a wait.
      if (sampled) return total_;
      if (attempt == kAttempts) return *damage_;
    }
  }

 private:
  /// No tree is deeper; a longer path means a cycle among damaged pages.
  static constexpr unsigned kLevelsMax = 32;
  /// Nodes looked at of each group of whole nodes: as good as all of a small one.
  static constexpr unsigned kSamples = 6;
  static constexpr unsigned kAttempts = 4;
  /// Of pages that had to be loaded, within what each thread may count on.
  static constexpr std::size_t kPinsMax = 8;
  static constexpr unsigned kLoadsMax = 1000;

  /// Neighbouring whole nodes under one parent.
  struct Group {
    unsigned level;
    unsigned nodes;
    unsigned samples;
    std::array<PageId, kSamples> pages;
  };

  // --- The ends

  Status read_ends() {
    for (unsigned loads = 0;; ++loads) {
      total_ = {};
      groups_.clear();
      missing_ = kNoPage;
      VG_TRY(try_read_ends());
      if (missing_ == kNoPage) return {};
      auto pin = tree_.context_->pool.load(missing_, missing_hint_);
      if (pin) {
        if (pins_.size() == kPinsMax) pins_.pop_front();
        pins_.push_back(*std::move(pin));
      } else if (pin.error().code() != ErrorCode::kCorruption || loads == kLoadsMax) {
        return pin.error();
      } else {
        // Damage only if the tree still leads there: a descent says so.
        VG_TRY(tree_.read_leaf(
            {Tree::Target::Kind::kCovering, from_}, [](const NodeView&) {}, tree_.hint_));
        VG_TRY(tree_.read_leaf(
            to_ ? Tree::Target{Tree::Target::Kind::kBelow, *to_} : Tree::Target{Tree::Target::Kind::kLast, {}},
            [](const NodeView&) {}, tree_.hint_));
      }
      if (loads == kLoadsMax) {
        return Error(ErrorCode::kConflict,
                     "the pages at the ends of the range do not stay in the cache for as long as "
                     "it takes to read them; try again, or with a larger cache");
      }
    }
  }

  /// Without what a missing page leads to; missing_ then says which.
  Status try_read_ends() {
    VG_ASSIGN(SharedGuard node, tree_.context_->pool.shared(tree_.root_, Hint::kNormal));
    unsigned level = NodeView(node.page()).level();
    top_ = kNoPage;
    if (level >= kLevelsMax) return tree_.damaged(tree_.root_, "deeper than any tree");
    VG_TRY(tree_.check_child(NodeView(node.page()), level, tree_.root_));
    tree_.context_->pool.count_visits(page_visits.tree, 1);
    unsigned first = 0;
    unsigned last = 0;
    for (; level > 0; --level) {
      const NodeView view(node.page());
      VG_TRY(check_children(view, node.id()));
      first = first_slot(view);
      last = last_slot(view);
      if (first < last) break;
      VG_ASSIGN(SharedGuard child, latch_child(view, node.id(), first));
      if (!child) return {};
      node = std::move(child);
    }
    const NodeView view(node.page());
    if (level == 0) {
      VG_TRY(check_end(view, node.id(), true, true));
      add_entries(view, view.lower_bound(from_).slot, end_of(view));
      return {};
    }
    add_group(view, first + 1, last);
    top_ = node.id();
    VG_TRY(read_end(view, first, true));
    return missing_ == kNoPage ? read_end(view, last, false) : Status();
  }

  /// From the child in `slot` of the node where the ways part down to the leaf at one end.
  Status read_end(const NodeView& top, unsigned slot, bool left) {
    VG_ASSIGN(SharedGuard node, latch_child(top, top_, slot));
    if (!node) return {};
    while (NodeView(node.page()).level() > 0) {
      const NodeView view(node.page());
      VG_TRY(check_children(view, node.id()));
      const unsigned at = left ? first_slot(view) : last_slot(view);
      if (left) {
        add_group(view, at + 1, view.count());
      } else {
        add_group(view, 0, at);
      }
      VG_ASSIGN(SharedGuard child, latch_child(view, node.id(), at));
      if (!child) return {};
      node = std::move(child);
    }
    const NodeView leaf(node.page());
    VG_TRY(check_end(leaf, node.id(), left, !left));
    add_entries(leaf, left ? leaf.lower_bound(from_).slot : 0, left ? leaf.count() : end_of(leaf));
    return {};
  }

  /// Also of a tree that is being freed, which nobody asks about any more.
  Status check_children(const NodeView& node, PageId id) const {
    return node.count() > 0 ? Status() : tree_.damaged(id, "an inner node without children");
  }

  /// Empty when the page must be loaded first, without latches.
  Result<SharedGuard> latch_child(const NodeView& parent, PageId parent_id, unsigned slot) {
    const PageId id = parent.child(slot);
    if (id == parent_id || id == top_)
      return tree_.damaged(parent_id, "leads back to itself");  // a latch is taken once
    auto child = tree_.context_->pool.shared_if_resident(id);
    if (!child) {
      missing_ = id;
      missing_hint_ = parent.level() == 1 ? tree_.hint_ : Hint::kNormal;
      return SharedGuard();
    }
    VG_TRY(tree_.check_child(NodeView(child->page()), parent.level() - 1, id));
    tree_.context_->pool.count_visits(page_visits.tree, 1);
    return *std::move(child);
  }

  unsigned first_slot(const NodeView& node) const noexcept {
    return std::min(node.child_slot(from_), node.count() - 1);
  }
  /// Of the child with the last key of the range.
  unsigned last_slot(const NodeView& node) const noexcept {
    if (!to_) return node.count() - 1;
    const unsigned slot = node.lower_bound(*to_).slot;  // first separator >= to
    return slot == 0 ? 0 : slot - 1;
  }
  unsigned end_of(const NodeView& leaf) const noexcept { return to_ ? leaf.lower_bound(*to_).slot : leaf.count(); }

  /// What the fences say against what the parents said: a stale page shows here.
  Status check_end(const NodeView& leaf, PageId id, bool left, bool right) const {
    const bool reaches = !leaf.has_high_fence() || (to_ && as_text(*to_) <= as_text(leaf.high_fence()));
    if ((left && !leaf.covers(from_)) || (right && !reaches)) {
      return tree_.damaged(id, "its fences do not cover a key that its parent leads there");
    }
    return {};
  }

  /// The children in the slots [begin, end).
  void add_group(const NodeView& parent, unsigned begin, unsigned end) {
    if (begin >= end) return;
    Group group{parent.level() - 1, end - begin, std::min(end - begin, kSamples), {}};
    for (unsigned i = 0; i < group.samples; ++i) group.pages[i] = parent.child(begin + spread(i, group));
    groups_.push_back(group);
  }
  /// Where sample `i` stands among the group's nodes: the middle of an equal part of them.
  static unsigned spread(unsigned i, const Group& group) noexcept {
    return (2 * i + 1) * group.nodes / (2 * group.samples);
  }

  // --- What stands between them

  /// False: there is a group of which no sample was to be had, and nothing else tells how large its nodes are.
  Result<bool> sample() {
    std::array<Estimate, kLevelsMax> sums{};  // of all samples of this level, and of how many
    std::array<unsigned, kLevelsMax> counts{};
    // Groups of higher levels first: where they have many nodes, their samples tell enough about the few beside them.
    std::stable_sort(groups_.begin(), groups_.end(), [](const Group& a, const Group& b) { return a.level > b.level; });
    std::array<std::uint64_t, kLevelsMax> nodes{};
    for (const Group& group : groups_) {
      Estimate sum;
      unsigned count = 0;
      const auto higher = std::accumulate(nodes.begin() + group.level + 1, nodes.end(), std::uint64_t{0});
      nodes[group.level] += group.nodes;
      if (higher < 2 * kSamples || counts[group.level] == 0) {
        // Of a few inner nodes several ways down each: one leaf would tell little.
        const unsigned rounds = group.level == 0 ? 1 : (kSamples + group.samples - 1) / group.samples;
        for (unsigned i = 0; i < rounds * group.samples; ++i) {
          std::array<Estimate, kLevelsMax> sizes{};
          VG_ASSIGN(const bool read, read_sample(group, i, rounds * group.samples, sizes));
          if (!read) continue;
          for (unsigned level = 0; level <= group.level; ++level) {
            add(sums[level], sizes[level], 1);
            ++counts[level];
          }
          add(sum, sizes[group.level], 1);
          ++count;
        }
      }
      if (count == 0) {
        sum = sums[group.level];
        count = counts[group.level];
      }
      if (count == 0) return false;
      add(total_, sum, static_cast<double>(group.nodes) / count);
    }
    return true;
  }

  /// How much stands below a sample, and below the nodes on one way down from it, by level: way `i` of `ways`. False:
  /// it is gone.
  Result<bool> read_sample(const Group& group, unsigned i, unsigned ways, std::array<Estimate, kLevelsMax>& sizes) {
    std::array<unsigned, kLevelsMax> children{};
    PageId id = group.pages[i % group.samples];
    for (unsigned level = group.level;; --level) {
      auto node = tree_.context_->pool.shared(id, level == 0 ? Hint::kScan : Hint::kNormal);
      if (!node && node.error().code() != ErrorCode::kCorruption) return node.error();
      Status sound = node ? tree_.check_child(NodeView(node->page()), level, id) : node.error();
      if (sound && level > 0) sound = check_children(NodeView(node->page()), id);
      if (!sound) {
        // Whether the page is still part of the tree is not known, so neither whether it is damaged.
        damage_ = sound.error();
        return false;
      }
      const NodeView view(node->page());
      tree_.context_->pool.count_visits(page_visits.tree, 1);
      children[level] = view.count();
      if (level == 0) {
        sizes[0] = size_of(view, 0, view.count());
        break;
      }
      // Another place in each of the samples, so that they do not all meet the same kind of node.
      id = view.child((2 * i + 1) * view.count() / (2 * ways));
    }
    for (unsigned level = 1; level <= group.level; ++level) add(sizes[level], sizes[level - 1], children[level]);
    return true;
  }

  static void add(Estimate& to, const Estimate& what, double times) noexcept {
    to.entries += what.entries * times;
    to.bytes += what.bytes * times;
  }

  // --- Leaves

  void add_entries(const NodeView& leaf, unsigned begin, unsigned end) { add(total_, size_of(leaf, begin, end), 1); }

  /// Of the entries in the slots [begin, end).
  Estimate size_of(const NodeView& leaf, unsigned begin, unsigned end) const {
    Estimate size;
    // A length that no file can hold is damage, which is found when the value is read.
    const double bytes_max = static_cast<double>(tree_.context_->pool.page_count()) * kPageBytes;
    leaf.visit_up(begin, [&](unsigned slot, Bytes key, Bytes value, std::uint8_t flags) {
      if (slot >= end) return false;
      if ((flags & kSlotGhost) != 0) return true;
      double bytes = static_cast<double>(value.size());
      if ((flags & kSlotOverflow) != 0 && value.size() == sizeof(OverflowRef)) {
        OverflowRef ref;
        std::memcpy(&ref, value.data(), sizeof ref);
        bytes = std::min(static_cast<double>(ref.bytes.get()), bytes_max);
      }
      size.entries += 1;
      size.bytes += static_cast<double>(key.size()) + bytes;
      return true;
    });
    return size;
  }

  const Tree& tree_;
  const Bytes from_;
  const std::optional<Bytes> to_;
  Estimate total_;
  std::vector<Group> groups_;
  std::optional<Error> damage_;  ///< of a page that was led to a moment before
  PageId top_ = kNoPage;         ///< where the ways part, latched until both ends are reached
  PageId missing_ = kNoPage;
  Hint missing_hint_ = Hint::kNormal;
  std::deque<LoadPin> pins_;
};

Result<Tree::Estimate> Tree::estimate(Bytes from, std::optional<Bytes> to) const {
  if (to && as_text(*to) <= as_text(from)) return Estimate{};
  return TreeEstimate(*this, from, to).run();
}

}  // namespace vaultgres
