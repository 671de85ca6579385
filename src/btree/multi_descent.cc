// Tree::read_leaves: many descents side by side. Each follows the protocol of read_leaf(), cut where it would wait for
// memory (README.md, "Many descents"); in between come those of the others.
#include <algorithm>
#include <array>

#include "base/try.h"
#include "btree/tree.h"
#include "buffer/page_visits.h"

namespace vaultgres {

/// As many descents as there are lanes. A lane waits for nobody and reports nothing: one that loses a race, finds a
/// page busy or meets something strange is given up, and its key is left to read_leaf().
class MultiDescent {
 public:
  static constexpr std::size_t kLanes = 16;
  using Visit = FunctionRef<void(std::size_t i, const NodeView& leaf)>;

  /// Of keys[first] and `count` - 1 more.
  MultiDescent(const Tree& tree, std::span<const Bytes> keys, std::size_t first, std::size_t count,
               Visit visit) noexcept
      : tree_(tree), pool_(tree.context_->pool), keys_(keys), visit_(visit), count_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      lanes_[i].index = first + i;
      lanes_[i].child = tree.root_;
    }
  }

  Status run() {
    for (enter_children(); count_ > 0; enter_children()) {
      look_at_hints();
      look_at_heads();
      find_children();
    }
    pool_.count_visits(page_visits.tree, visits_);
    pins_ = {};  // whoever goes alone may need as many
    for (std::size_t i = 0; i < left_count_; ++i) {
      const std::size_t index = left_[i];
      VG_TRY(tree_.read_leaf(keys_[index], [&](const NodeView& leaf) { visit_(index, leaf); }));
    }
    return {};
  }

 private:
  static constexpr unsigned kUnknown = ~0u;

  struct Lane {
    OptimisticGuard node;       ///< where it stands; empty above the root
    PageId child = kNoPage;     ///< where it goes next
    unsigned level = kUnknown;  ///< of the node
    unsigned visits = 0;
    bool waits = false;        ///< for the child to be loaded
    bool knows_entry = false;  ///< the entry that its search will want has been asked for
    std::size_t index = 0;     ///< of its key
  };

  Bytes key_of(const Lane& lane) const noexcept { return keys_[lane.index]; }
  Hint hint_of_child(const Lane& lane) const noexcept { return lane.level == 1 ? tree_.hint_ : Hint::kNormal; }

  /// Does a step of each lane: `step(lane)` says whether it goes on.
  template <class Step>
  void each(Step step) {
    std::size_t going_on = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (!step(lanes_[i])) continue;
      if (going_on != i) lanes_[going_on] = std::move(lanes_[i]);
      ++going_on;
    }
    count_ = going_on;
  }

  /// The lane goes no further.
  bool give_up(const Lane& lane) noexcept {
    left_[left_count_++] = lane.index;
    return false;
  }

  /// Every lane whose child is there goes into it; those whose children are not resident load them together.
  void enter_children() {
    std::size_t waiting = 0;
    each([&](Lane& lane) {
      OptimisticGuard child = pool_.optimistic_if_ready(lane.child, hint_of_child(lane));
      lane.waits = !child;
      waiting += lane.waits;
      return lane.waits || enter(lane, std::move(child));
    });
    while (waiting > 0) {
      const auto loaded = load_children();
      each([&](Lane& lane) {
        if (!lane.waits || std::find(loaded.begin(), loaded.end(), lane.child) == loaded.end()) return true;
        lane.waits = false;
        --waiting;
        OptimisticGuard child = pool_.optimistic_if_ready(lane.child, hint_of_child(lane));
        return child ? enter(lane, std::move(child)) : give_up(lane);
      });
    }
  }

  /// The lane stands on its child if that was the right one when its version was read: if the node that leads to it had
  /// not changed by then.
  bool enter(Lane& lane, OptimisticGuard child) noexcept {
    if (lane.node) {
      if (!lane.node.validate()) return give_up(lane);
      --lane.level;
    }
    lane.node = std::move(child);
    NodeView(lane.node.page()).prefetch_header();
    return true;
  }

  /// As many as may be pinned, from the first lane that waits on: loaded, or left as they are. The last ones' pins go:
  /// their lanes have tried.
  std::array<PageId, BufferPool::kLoadsMax> load_children() {
    std::array<PageId, BufferPool::kLoadsMax> ids;
    ids.fill(kNoPage);
    std::size_t count = 0;
    Hint hint = Hint::kNormal;  // of all, as they are of one level, but for a root that grows meanwhile
    for (std::size_t i = 0; i < count_ && count < ids.size(); ++i) {
      const Lane& lane = lanes_[i];
      if (!lane.waits || std::find(ids.begin(), ids.end(), lane.child) != ids.end()) continue;
      ids[count++] = lane.child;
      hint = hint_of_child(lane);
    }
    pins_ = {};
    pins_ = pool_.load_absent(std::span(ids).first(count), hint);
    return ids;
  }

  /// The header has been asked for: now the node is judged, and what a search in it reads next is asked for.
  void look_at_hints() {
    each([this](Lane& lane) {
      const NodeView view(lane.node.page());
      if (lane.level == kUnknown) lane.level = view.level();
      if (tree_.child_problem(view, lane.level) != nullptr) return give_up(lane);
      lane.knows_entry = view.prefetch_search(key_of(lane));
      ++lane.visits;
      return true;
    });
  }

  void look_at_heads() {
    for (std::size_t i = 0; i < count_; ++i) {
      if (!lanes_[i].knows_entry) NodeView(lanes_[i].node.page()).prefetch_entry(key_of(lanes_[i]));
    }
  }

  /// At a leaf the lane is at its end; else it knows its child, and that the node said so.
  void find_children() {
    each([this](Lane& lane) {
      const NodeView view(lane.node.page());
      if (lane.level > 0) {
        lane.child = view.child_towards(key_of(lane)).id;
        if (!lane.node.validate()) return give_up(lane);
        pool_.prefetch_entry(lane.child);
        return true;
      }
      visit_(lane.index, view);
      const bool fits = view.covers(key_of(lane));
      if (!lane.node.validate() || !fits) return give_up(lane);
      visits_ += lane.visits;
      return false;
    });
  }

  const Tree& tree_;
  BufferPool& pool_;
  const std::span<const Bytes> keys_;
  const Visit visit_;
  std::array<Lane, kLanes> lanes_;
  std::size_t count_;                     ///< lanes on their way, the first ones
  std::array<std::size_t, kLanes> left_;  ///< keys of those that were given up
  std::size_t left_count_ = 0;
  std::uint64_t visits_ = 0;
  BufferPool::LoadPins pins_;
};

Status Tree::read_leaves(std::span<const Bytes> keys, FunctionRef<void(std::size_t, const NodeView&)> visit) const {
  for (std::size_t first = 0; first < keys.size(); first += MultiDescent::kLanes) {
    const std::size_t count = std::min(keys.size() - first, MultiDescent::kLanes);
    VG_TRY(MultiDescent(*this, keys, first, count, visit).run());
  }
  return {};
}

}  // namespace vaultgres
