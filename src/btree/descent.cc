// Descent: optimistic lock coupling, and after a few lost races shared latches, so that nobody starves.
#include <array>
#include <string>

#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "btree/touch.h"
#include "btree/tree.h"
#include "buffer/page_visits.h"
#include "format/node.h"

namespace vaultgres {

namespace {

/// Lost races before a descent takes latches.
constexpr unsigned kOptimisticAttempts = 8;
/// No tree is deeper; a longer path means a cycle among damaged pages.
constexpr unsigned kLevelsMax = 32;

/// The child of an internal node that leads towards the target; kNoPage when the node has none.
NodeView::Child child_towards(const NodeView& node, const Tree::Target& target) {
  if (target.kind == Tree::Target::Kind::kCovering) return node.child_towards(target.key);
  const unsigned after = target.kind == Tree::Target::Kind::kLast
                             ? node.count()
                             : node.lower_bound(target.key).slot;  // the first separator >= key
  const unsigned slot = after == 0 ? 0 : after - 1;
  return {slot, node.child(slot)};
}

constexpr char kItsOwnChild[] = "leads back to itself";
constexpr char kWrongFences[] = "its fences do not cover a key that its parent leads there";

/// What the fences say against what the parents said: a stale page shows here.
bool leaf_fits(const NodeView& leaf, const Tree::Target& target) {
  if (VG_SEEDED_BUG(kNoFenceCheck)) return true;
  switch (target.kind) {
    case Tree::Target::Kind::kCovering:
      return leaf.covers(target.key);
    case Tree::Target::Kind::kBelow:  // low < key <= high
      return as_text(leaf.low_fence()) < as_text(target.key) &&
             (!leaf.has_high_fence() || as_text(target.key) <= as_text(leaf.high_fence()));
    case Tree::Target::Kind::kLast:
      return !leaf.has_high_fence();
  }
  return false;
}

/// Asks for the lines of a node that every look at it needs, header, hints and fences, so that it waits for them once.
void touch_node(Bytes page) {
  node::touch(page.data());
  node::touch(page.data() + kNodeHintsOffset);
  node::touch(page.data() + kPageBytes - 1);
}

bool is_still_of(unsigned level, Bytes root) {
  return NodeView(root).level() == level || VG_SEEDED_BUG(kRootGrewUnnoticed);
}

/// The node is what it was when its child was found, now that the child's version has been read.
bool is_still_current(const OptimisticGuard& node) {
  return node.validate() || VG_SEEDED_BUG(kStaleChild);
}

/// Pages that a latched descent had to load, the last few: they stay resident until it has arrived. Fewer than the
/// frames on which each thread may count, however the tree changes meanwhile.
class Pins {
 public:
  void add(LoadPin pin) { pins_[next_++ % pins_.size()] = std::move(pin); }

 private:
  std::array<LoadPin, 6> pins_;
  std::size_t next_ = 0;
};

}  // namespace

Error Tree::damaged(PageId id, const char* what) const {
  return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(id)) + " of object " +
                                           std::to_string(raw(object_)) + ": " + what +
                                           "; run `vaultgres check` on the database");
}

/// Not the header's bounds: they were checked when the page was loaded, every change keeps them, and who reads
/// optimistically bounds whatever it follows anyway.
const char* Tree::child_problem(const NodeView& child, unsigned level) const noexcept {
  if (!child.is_node()) return "reached as a tree node, but it is none";
  if (child.object() != object_ && !VG_SEEDED_BUG(kNoOwnerCheck)) {
    return "belongs to another object than the node that leads to it";
  }
  if (child.level() != level) return "its level is not one below that of the node that leads to it";
  return nullptr;
}

Status Tree::check_child(const NodeView& child, unsigned level, PageId id) const {
  if (const char* problem = child_problem(child, level)) return damaged(id, problem);
  return {};
}

// --- Reading

Status Tree::read_leaf(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint) const {
  for (unsigned attempt = 0; attempt < kOptimisticAttempts; ++attempt) {
    VG_ASSIGN(const Attempt outcome, try_read_leaf(target, visit, hint));
    if (outcome == Attempt::kDone) return {};
  }
  return read_leaf_latched(target, visit, hint);
}

Status Tree::read_leaf(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint, Trail& trail) const {
  if (target.kind == Target::Kind::kCovering && try_follow(trail, target.key, visit, hint)) return {};
  trail.clear();
  for (unsigned attempt = 0; attempt < kOptimisticAttempts; ++attempt) {
    VG_ASSIGN(const Attempt outcome, try_read_leaf(target, visit, hint, &trail));
    if (outcome == Attempt::kDone) return {};
  }
  return read_leaf_latched(target, visit, hint);
}

/// Reads the leaf that covers `key` if that is the trail's leaf or its right sibling. False, whatever the reason:
/// descend.
bool Tree::try_follow(Trail& trail, Bytes key, FunctionRef<void(const NodeView&)> visit, Hint hint) const {
  OptimisticGuard& here = trail.leaf_;
  if (!here) return false;
  const NodeView same(here.page());
  if (!same.has_high_fence() || as_text(key) < as_text(same.high_fence())) {
    // An unchanged leaf is still the one that the tree leads to.
    if (same.object() != object_ || !same.covers(key)) return false;
    visit(same);
    if (!here.validate()) return false;
    context_->pool.count_visits(page_visits.tree, 1);
    return true;
  }
  const auto leads_on = [&here] { return here.validate() || VG_SEEDED_BUG(kParkedLinkBelieved); };
  if (!leads_on()) return false;  // before a page is loaded for it
  VG_NOISE(kTrailLinkRead);
  auto next = context_->pool.optimistic(trail.right_, hint);
  // The link is current as long as the leaf that holds it is unchanged; so the sibling was in the tree when its
  // version was read, and an error on it is worth reporting by the descent only.
  if (!leads_on() || !next) return false;
  VG_NOISE(kTrailSiblingRead);
  touch_node(next->page());
  const NodeView sibling(next->page());
  const bool fits = check_child(sibling, 0, trail.right_) && sibling.covers(key);
  if (!fits && !VG_SEEDED_BUG(kParkedLinkBelieved)) return false;
  visit(sibling);
  const PageId right = sibling.right();
  if (!next->validate()) return false;
  context_->pool.count_visits(page_visits.tree, 1);
  trail.leaf_ = *std::move(next);
  trail.right_ = right;
  return true;
}

/// The root, looked at. Empty: a lost race.
inline Result<OptimisticGuard> Tree::read_root() const {
  VG_ASSIGN(OptimisticGuard root, context_->pool.optimistic(root_, Hint::kNormal));
  const NodeView view(root.page());
  const unsigned level = view.level();
  if (Status sound = check_child(view, level, root_); !sound || level >= kLevelsMax) {
    if (!root.validate()) return OptimisticGuard();
    return sound ? damaged(root_, "deeper than any tree") : sound.error();
  }
  return root;
}

/// The child of a node that was validated after it said so, looked at. Empty: a lost race.
inline Result<OptimisticGuard> Tree::read_child(const OptimisticGuard& node, PageId child, unsigned level,
                                                Hint hint) const {
  VG_NOISE(kDescentChildFound);
  auto next = context_->pool.optimistic(child, hint);
  VG_NOISE(kDescentChildRead);
  // The child was the right one when its version was read only if the parent had not changed by then; an
  // error on a page that the parent no longer leads to is no damage.
  if (!is_still_current(node)) return OptimisticGuard();
  if (!next) return next.error();
  touch_node(next->page());
  if (Status sound = check_child(NodeView(next->page()), level, child); !sound) {
    if (!next->validate() || !node.validate()) return OptimisticGuard();
    return sound.error();
  }
  return next;
}

Result<Tree::Attempt> Tree::try_read_leaf(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint,
                                          Trail* trail) const {
  VG_ASSIGN(OptimisticGuard node, read_root());
  if (!node) return Attempt::kLostRace;
  const unsigned root_level = NodeView(node.page()).level();
  VG_NOISE(kDescentRootRead);
  for (unsigned level = root_level;; --level) {
    const NodeView view(node.page());
    if (level <= target.level) {
      visit(view);  // first: while it waits for the lines of an entry, the fences are looked at
      const bool fits = leaf_fits(view, target);
      const PageId right = view.right();
      VG_NOISE(kDescentLeafVisited);
      if (!node.validate()) return Attempt::kLostRace;
      context_->pool.count_visits(page_visits.tree, root_level + 1);
      if (!fits) return damaged(node.id(), kWrongFences);
      if (trail != nullptr) {
        trail->leaf_ = std::move(node);
        trail->right_ = right;
      }
      return Attempt::kDone;
    }
    const PageId child = child_towards(view, target).id;
    if (!node.validate()) return Attempt::kLostRace;
    VG_ASSIGN(node, read_child(node, child, level - 1, level == 1 ? hint : Hint::kNormal));
    if (!node) return Attempt::kLostRace;
  }
}

Status Tree::read_leaf_latched(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint) const {
  Pins pins;
  for (;;) {
    VG_ASSIGN(SharedGuard node, context_->pool.shared(root_, Hint::kNormal));
    unsigned level = NodeView(node.page()).level();
    if (level >= kLevelsMax) return damaged(root_, "deeper than any tree");
    VG_TRY(check_child(NodeView(node.page()), level, root_));
    PageId missing = kNoPage;
    while (level > target.level) {
      const NodeView view(node.page());
      const PageId child = child_towards(view, target).id;
      if (child == node.id()) return damaged(child, kItsOwnChild);  // a latch is taken once
      auto next = context_->pool.shared_if_resident(child);
      if (!next) {
        missing = child;
        break;
      }
      --level;
      VG_NOISE(kLatchedChildTaken);
      VG_TRY(check_child(NodeView(next->page()), level, child));
      node = *std::move(next);
    }
    if (missing == kNoPage) {
      if (!leaf_fits(NodeView(node.page()), target)) return damaged(node.id(), kWrongFences);
      visit(NodeView(node.page()));
      return {};
    }
    node.release();
    VG_NOISE(kLatchedBeforeLoad);
    auto pin = context_->pool.load(missing, level == 1 ? hint : Hint::kNormal);
    // The page may have been freed since the latch was given up; if it still is where the tree leads, the
    // next round meets the error again through shared(), which reports it.
    if (pin) {
      pins.add(*std::move(pin));
    } else {
      VG_ASSIGN(const Attempt outcome, try_read_leaf(target, visit, hint));
      if (outcome == Attempt::kDone) return {};
    }
  }
}

// --- Latching for a change

Result<ExclusiveGuard> Tree::write_leaf(Bytes key, const WriteTrail* trail) const {
  if (trail != nullptr) {
    if (auto leaf = try_write_again(key, *trail)) return *std::move(leaf);
  }
  for (unsigned attempt = 0; attempt < kOptimisticAttempts; ++attempt) {
    ExclusiveGuard leaf;
    VG_ASSIGN(const Attempt outcome, try_write_leaf(key, leaf));
    if (outcome == Attempt::kDone) return leaf;
  }
  VG_ASSIGN(WritePath path, latch_path_latched(key, 0, Parent::kNo));
  return std::move(path.node);
}

/// A leaf that has not changed since is still the one that the tree leads to.
std::optional<ExclusiveGuard> Tree::try_write_again(Bytes key, const WriteTrail& trail) const {
  if (trail.page_ == kNoPage) return std::nullopt;
  OptimisticGuard leaf = context_->pool.optimistic_if_ready(trail.page_, hint_);
  if (!leaf || leaf.version() != trail.version_ || !NodeView(leaf.page()).covers(key)) return std::nullopt;
  VG_NOISE(kPathBeforeLatch);
  return context_->pool.try_upgrade(std::move(leaf));
}

/// Waits for the leaf's latch, with no other in hand, instead of beginning anew when somebody has it: a leaf whose
/// parent has not changed since it led there is the right one, whatever was done to it meanwhile.
Result<Tree::Attempt> Tree::try_write_leaf(Bytes key, ExclusiveGuard& leaf) const {
  VG_ASSIGN(OptimisticGuard node, read_root());
  if (!node) return Attempt::kLostRace;
  const unsigned root_level = NodeView(node.page()).level();
  PageId id = root_;
  for (unsigned level = root_level; level > 0; --level) {
    id = NodeView(node.page()).child_towards(key).id;
    if (!node.validate()) return Attempt::kLostRace;
    if (level == 1) break;
    VG_ASSIGN(node, read_child(node, id, level - 1, Hint::kNormal));
    if (!node) return Attempt::kLostRace;
  }
  VG_NOISE(kPathBeforeLatch);
  auto latched = context_->pool.exclusive(id, hint_);
  if (root_level > 0 && !is_still_current(node)) return Attempt::kLostRace;
  if (!latched) return latched.error();
  touch_node(latched->page());
  if (root_level == 0 && !is_still_of(0, latched->page())) return Attempt::kLostRace;
  VG_TRY(check_child(NodeView(latched->page()), 0, id));
  if (!NodeView(latched->page()).covers(key)) return damaged(id, kWrongFences);
  leaf = *std::move(latched);
  return Attempt::kDone;
}

Result<Tree::WritePath> Tree::latch_path(Bytes key, unsigned level) const {
  for (unsigned attempt = 0; attempt < kOptimisticAttempts; ++attempt) {
    WritePath path;
    VG_ASSIGN(const Attempt outcome, try_latch_path(key, level, path));
    if (outcome == Attempt::kDone) return path;
  }
  return latch_path_latched(key, level, Parent::kYes);
}

/// The node of `level` that covers `key` (the root, if the tree is lower than that) and its parent, both latched by
/// upgrade, parent first.
Result<Tree::Attempt> Tree::try_latch_path(Bytes key, unsigned level, WritePath& path) const {
  VG_ASSIGN(OptimisticGuard node, read_root());
  if (!node) return Attempt::kLostRace;
  OptimisticGuard above;
  unsigned slot = 0;
  for (unsigned at = NodeView(node.page()).level(); at > level; --at) {
    const NodeView::Child child = NodeView(node.page()).child_towards(key);
    if (!node.validate()) return Attempt::kLostRace;
    VG_ASSIGN(OptimisticGuard next, read_child(node, child.id, at - 1, at == 1 ? hint_ : Hint::kNormal));
    if (!next) return Attempt::kLostRace;
    above = std::move(node);
    node = std::move(next);
    slot = child.slot;
  }
  VG_NOISE(kPathBeforeLatch);
  if (above) {
    auto latched = context_->pool.try_upgrade(std::move(above));
    if (!latched) return Attempt::kLostRace;
    path.parent = *std::move(latched);
    VG_NOISE(kPathParentTaken);
  }
  auto latched = context_->pool.try_upgrade(std::move(node));
  if (!latched) {
    path.parent.release();
    return Attempt::kLostRace;
  }
  path.node = *std::move(latched);
  path.slot = slot;
  // The upgrade proves that the node did not change since it was read under a valid parent; its fences say
  // the same without the parent.
  if (!NodeView(path.node.page()).covers(key)) return damaged(path.node.id(), kWrongFences);
  return Attempt::kDone;
}

/// The leaf first, as whoever changes it has it, then its parent, if that can be had at once: who waits for a leaf that
/// is fought over keeps nobody from its neighbours. An empty path: it cannot.
Result<Tree::WritePath> Tree::try_latch_leaf_first(Bytes key) const {
  VG_ASSIGN(ExclusiveGuard leaf, write_leaf(key));
  WritePath path;
  if (leaf.id() == root_) {
    path.node = std::move(leaf);
    return path;
  }
  OptimisticGuard node = context_->pool.optimistic_if_ready(root_, Hint::kNormal);
  while (node && NodeView(node.page()).level() > 1) {
    const unsigned level = NodeView(node.page()).level();
    const PageId child = NodeView(node.page()).child_towards(key).id;
    if (!node.validate()) return path;
    OptimisticGuard next = context_->pool.optimistic_if_ready(child, Hint::kNormal);
    if (!next || !is_still_current(node)) return path;
    if (child_problem(NodeView(next.page()), level - 1) != nullptr) return path;  // for who descends to find
    node = std::move(next);
  }
  if (!node) return path;
  const NodeView::Child child = NodeView(node.page()).child_towards(key);
  if (child.id != leaf.id()) return path;
  VG_NOISE(kPathBeforeLatch);
  auto parent = context_->pool.try_upgrade(std::move(node));
  if (parent) path = {*std::move(parent), std::move(leaf), child.slot};
  return path;
}

Result<Tree::WritePath> Tree::latch_path_latched(Bytes key, unsigned level, Parent parent) const {
  const Target target{Target::Kind::kCovering, key};
  Pins pins;
  for (;;) {
    // Look at the root's level first: which of the latches must be exclusive depends on it, and it is looked
    // at again under the latch.
    unsigned root_level = 0;
    {
      VG_ASSIGN(SharedGuard peek, context_->pool.shared(root_, Hint::kNormal));
      root_level = NodeView(peek.page()).level();
      if (root_level >= kLevelsMax) return damaged(root_, "deeper than any tree");
      VG_TRY(check_child(NodeView(peek.page()), root_level, root_));
    }
    const unsigned exclusive_from = level + (parent == Parent::kYes ? 1 : 0);  // this level and below
    WritePath path;
    SharedGuard shared;
    if (root_level <= exclusive_from) {
      VG_ASSIGN(path.node, context_->pool.exclusive(root_, Hint::kNormal));
      if (!is_still_of(root_level, path.node.page())) continue;  // it grew or shrank
    } else {
      VG_ASSIGN(shared, context_->pool.shared(root_, Hint::kNormal));
      if (!is_still_of(root_level, shared.page())) continue;
    }
    unsigned at = root_level;
    PageId missing = kNoPage;
    while (at > level) {
      const NodeView view(shared ? shared.page() : path.node.page());
      const auto [slot, child] = child_towards(view, target);
      const PageId own = shared ? shared.id() : path.node.id();
      if (child == own || (path.parent && child == path.parent.id())) return damaged(own, kItsOwnChild);
      if (at - 1 <= exclusive_from) {
        auto next = context_->pool.exclusive_if_resident(child);
        if (!next) {
          missing = child;
          break;
        }
        VG_NOISE(kLatchedChildTaken);
        VG_TRY(check_child(NodeView(next->page()), at - 1, child));
        path.parent = std::move(path.node);  // empty while the node above is only shared
        path.node = *std::move(next);
        path.slot = slot;
        shared.release();
      } else {
        auto next = context_->pool.shared_if_resident(child);
        if (!next) {
          missing = child;
          break;
        }
        VG_NOISE(kLatchedChildTaken);
        VG_TRY(check_child(NodeView(next->page()), at - 1, child));
        shared = *std::move(next);
      }
      --at;
    }
    if (missing == kNoPage) {
      if (parent == Parent::kNo) path.parent.release();
      if (!NodeView(path.node.page()).covers(key)) {
        return damaged(path.node.id(), kWrongFences);
      }
      return path;
    }
    shared.release();
    path = WritePath{};
    VG_NOISE(kLatchedBeforeLoad);
    auto pin = context_->pool.load(missing, at == 1 ? hint_ : Hint::kNormal);
    if (pin) {
      pins.add(*std::move(pin));
    } else {
      // Damage only if the tree still leads there: an optimistic attempt reports it under validation.
      VG_ASSIGN(const Attempt outcome, try_latch_path(key, level, path));
      if (outcome == Attempt::kDone && parent == Parent::kNo) path.parent.release();
      if (outcome == Attempt::kDone) return path;
    }
  }
}

}  // namespace vaultgres
