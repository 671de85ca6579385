// Tree::read_leaves: many descents side by side. Each follows the protocol of read_leaf(), cut where it would wait for
// memory (README.md, "Many descents"); in between come those of the others.
#include <algorithm>
#include <array>

#include "base/try.h"
#include "btree/node_probe.h"
#include "btree/tree.h"
#include "buffer/page_visits.h"

namespace vaultgres {

/// As many descents as there are lanes. A lane waits for nobody and reports nothing: one that loses a race, finds a
/// page busy or meets something strange is given up, and its key is left to read_leaf().
class MultiDescent {
 public:
  static constexpr std::size_t kLanes = 32;

  /// Of keys[first] and `count` - 1 more.
  MultiDescent(const Tree& tree, std::span<const Bytes> keys, std::size_t first, std::size_t count,
               Tree::VisitFound visit) noexcept
      : tree_(tree), pool_(tree.context_->pool), keys_(keys), visit_(visit) {
    for (std::size_t i = 0; i < count; ++i) {
      lanes_[i].index = first + i;
      lanes_[i].child = tree.root_;
      going_.add(i);
    }
  }

  Status run() {
    enter_children();
    while (going_.count > 0 || load_children()) {
      look_at_hints();
      look_at_heads();
      find_children();
      enter_children();
    }
    pool_.count_visits(page_visits.tree, visits_);
    pins_ = {};  // whoever goes alone may need as many
    for (std::size_t i = 0; i < left_.count; ++i) {
      const std::size_t index = lanes_[left_.lanes[i]].index;
      const Bytes key = keys_[index];
      VG_TRY(tree_.read_leaf(key, [&](const NodeView& leaf) { visit_(index, leaf, leaf.find(key)); }));
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
    std::size_t index = 0;  ///< of its key
    NodeProbe probe;        ///< its search in the node
  };
  /// Some lanes, by their numbers.
  struct Group {
    std::array<std::uint8_t, kLanes> lanes;
    std::size_t count = 0;
    void add(std::size_t lane) noexcept { lanes[count++] = static_cast<std::uint8_t>(lane); }
  };

  Bytes key_of(const Lane& lane) const noexcept { return keys_[lane.index]; }
  Hint hint_of_child(const Lane& lane) const noexcept { return lane.level == 1 ? tree_.hint_ : Hint::kNormal; }

  /// Does a step of each lane of the group: `step(lane)` says whether it stays in the group.
  template <class Step>
  void each(Group& group, Step step) {
    std::size_t staying = 0;
    for (std::size_t i = 0; i < group.count; ++i) {
      const std::uint8_t lane = group.lanes[i];
      group.lanes[staying] = lane;
      staying += step(lanes_[lane]) ? 1 : 0;
    }
    group.count = staying;
  }
  bool move_to(Group& group, const Lane& lane) noexcept {
    group.add(static_cast<std::size_t>(&lane - lanes_.data()));
    return false;
  }
  /// The lane goes no further.
  bool give_up(const Lane& lane) noexcept { return move_to(left_, lane); }

  /// Every lane whose child is there goes into it; the others wait until those are at their ends.
  void enter_children() {
    each(going_, [this](Lane& lane) {
      OptimisticGuard child = pool_.optimistic_if_ready(lane.child, hint_of_child(lane));
      return child ? enter(lane, std::move(child)) : move_to(waiting_, lane);
    });
  }

  /// The lane stands on its child if that was the right one when its version was read: if the node that leads to it had
  /// not changed by then.
  bool enter(Lane& lane, OptimisticGuard&& child) noexcept {
    if (lane.node) {
      if (!lane.node.validate()) return give_up(lane);
      --lane.level;
    }
    lane.node = std::move(child);
    NodeProbe::ask_for_header(lane.node.page());
    return true;
  }

  /// Loads as many children as may be pinned, from that of the lane that has waited longest on, and their lanes go on
  /// or, where a page could not be had, are given up. The pins stay until the next ones are loaded: these lanes are
  /// then at their ends, or wait again. False: no lane waits.
  bool load_children() {
    if (waiting_.count == 0) return false;
    const Hint hint = hint_of_child(lanes_[waiting_.lanes[0]]);
    std::array<PageId, BufferPool::kLoadsMax> ids;
    std::size_t count = 0;
    const auto is_loaded = [&](PageId id) {
      return std::find(ids.begin(), ids.begin() + count, id) != ids.begin() + count;
    };
    for (std::size_t i = 0; i < waiting_.count && count < ids.size(); ++i) {
      const Lane& lane = lanes_[waiting_.lanes[i]];
      if (hint_of_child(lane) == hint && !is_loaded(lane.child)) ids[count++] = lane.child;
    }
    pins_ = {};
    pins_ = pool_.load_absent(std::span(ids).first(count), hint);
    each(waiting_, [&](Lane& lane) {
      if (!is_loaded(lane.child)) return true;
      OptimisticGuard child = pool_.optimistic_if_ready(lane.child, hint_of_child(lane));
      if (!child) return give_up(lane);
      return enter(lane, std::move(child)) && move_to(going_, lane);
    });
    return true;
  }

  /// The header has been asked for: now the node is judged, and what a search in it reads next is asked for.
  void look_at_hints() {
    each(going_, [this](Lane& lane) {
      const NodeView view(lane.node.page());
      if (lane.level == kUnknown) lane.level = view.level();
      if (tree_.child_problem(view, lane.level) != nullptr) return give_up(lane);
      lane.probe.look_at_hints(view.page(), key_of(lane));
      ++lane.visits;
      return true;
    });
  }

  void look_at_heads() {
    for (std::size_t i = 0; i < going_.count; ++i) lanes_[going_.lanes[i]].probe.look_at_heads();
  }

  /// At a leaf the lane is at its end; else it knows its child, and that the node said so.
  void find_children() {
    each(going_, [this](Lane& lane) {
      if (lane.level > 0) {
        lane.child = lane.probe.child();
        if (!lane.node.validate()) return give_up(lane);
        pool_.prefetch_entry(lane.child);
        return true;
      }
      visit_(lane.index, NodeView(lane.node.page()), lane.probe.find());
      const bool fits = lane.probe.covers();
      if (!lane.node.validate() || !fits) return give_up(lane);
      visits_ += lane.visits;
      return false;
    });
  }

  const Tree& tree_;
  BufferPool& pool_;
  const std::span<const Bytes> keys_;
  const Tree::VisitFound visit_;
  std::array<Lane, kLanes> lanes_;
  Group going_;    ///< each of them as far as the others, but for those that have waited
  Group waiting_;  ///< for their children to be loaded
  Group left_;     ///< given up
  std::uint64_t visits_ = 0;
  BufferPool::LoadPins pins_;
};

Status Tree::read_leaves(std::span<const Bytes> keys, VisitFound visit) const {
  for (std::size_t first = 0; first < keys.size(); first += MultiDescent::kLanes) {
    const std::size_t count = std::min(keys.size() - first, MultiDescent::kLanes);
    VG_TRY(MultiDescent(*this, keys, first, count, visit).run());
  }
  return {};
}

}  // namespace vaultgres
