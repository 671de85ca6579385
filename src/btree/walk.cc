// Tree::walk: visits and checks every page of a tree, online. Under the parent's shared latch its children
// can be neither split nor merged, so what is said about them together holds.
#include <array>
#include <string>
#include <vector>

#include "base/try.h"
#include "btree/key_text.h"
#include "btree/tree.h"

namespace vaultgres {

namespace {

constexpr std::size_t kAheadMax = 16;  // children that are offered to be read ahead

bool equal(Bytes a, Bytes b) {
  return as_text(a) == as_text(b);
}

struct Walker {
  const TreeContext& context;
  ObjectId object;
  FunctionRef<void(const NodeView&, PageId)> visit;
  FunctionRef<void(PageId, const std::string&)> problem;
  ReadAhead read_ahead;

  /// `id` is a child whose parent said: this level, these fences, that right neighbour under the same parent
  /// (kNoPage: the last child, whose neighbour the parent does not know).
  struct Expected {
    unsigned level;
    std::string low;
    std::string high;
    bool has_high;
    PageId right;
  };

  /// Reports what is wrong; false when the walk must not descend into the node.
  bool check(const NodeView& node, PageId id, const Expected& expected) {
    const auto fail = [&](const std::string& what) {
      problem(id, what);
      return false;
    };
    if (Status sound = verify_node(node.page()); !sound) return fail(std::string(sound.error().message()));
    if (node.object() != object) return fail("belongs to object " + std::to_string(raw(node.object())));
    if (node.level() != expected.level) {
      return fail("is of level " + std::to_string(node.level()) + ", its parent expects " +
                  std::to_string(expected.level));
    }
    if (node.is_root()) return fail("is marked as a root below another root");
    if (!equal(node.low_fence(), as_bytes(expected.low))) {
      return fail("its low fence " + key_text(node.low_fence()) + " differs from its parent's separator " +
                  key_text(as_bytes(expected.low)));
    }
    if (node.has_high_fence() != expected.has_high ||
        (expected.has_high && !equal(node.high_fence(), as_bytes(expected.high)))) {
      problem(id, "its high fence differs from its parent's next separator " + key_text(as_bytes(expected.high)));
    }
    if (expected.right != kNoPage && node.right() != expected.right) {
      problem(id, "its right sibling is page " + std::to_string(raw(node.right())) + ", its parent's next child is " +
                      std::to_string(raw(expected.right)));
    }
    return true;
  }

  /// The parent's children, looked at one by one under its shared latch, which is given up only to load a
  /// child; the position is then found again by key.
  Status children_of(PageId id, unsigned level, Bytes low) {
    std::string from(as_text(low));
    LoadPin pin;
    std::vector<PageId> next;  // the children to come
    std::array<std::byte, kKeyBytesMax> key;
    for (;;) {
      VG_ASSIGN(SharedGuard parent, context.pool.shared(id, Hint::kScan));
      const NodeView view(parent.page());
      if (!view.plausible() || view.object() != object || view.level() != level || view.count() == 0 ||
          !view.covers(as_bytes(from))) {
        return {};  // merged away or split meanwhile: whoever covers the key now is visited from above
      }
      const unsigned slot = view.child_slot(as_bytes(from));
      const PageId child = view.child(slot);
      Expected expected{level - 1, {}, {}, true, kNoPage};
      expected.low.assign(as_text(Bytes(key).first(view.copy_key(slot, key))));
      if (slot + 1 < view.count()) {
        expected.high.assign(as_text(Bytes(key).first(view.copy_key(slot + 1, key))));
        expected.right = view.child(slot + 1);
      } else {
        expected.high.assign(as_text(view.high_fence()));
        expected.has_high = view.has_high_fence();
      }
      auto node = child == id ? std::nullopt : context.pool.shared_if_resident(child);
      if (child == id) {
        problem(id, "leads back to itself");
      } else if (!node) {
        next.clear();
        for (unsigned i = slot; i < view.count() && next.size() < kAheadMax; ++i) next.push_back(view.child(i));
        parent.release();
        context.pool.read_ahead(next, read_ahead);
        auto loaded = context.pool.load(child, Hint::kScan);
        if (loaded) {
          pin = *std::move(loaded);
          continue;
        }
        if (loaded.error().code() != ErrorCode::kCorruption) return loaded.error();
        problem(child, std::string(loaded.error().message()));
      } else {
        const NodeView child_view(node->page());
        const bool sound = check(child_view, child, expected);
        visit(child_view, child);
        node->release();
        parent.release();
        if (sound && level > 1) VG_TRY(children_of(child, level - 1, as_bytes(expected.low)));
      }
      if (!expected.has_high || (expected.right == kNoPage)) {
        // The last child of this parent. A split of the parent meanwhile hands the rest to its new sibling,
        // which the grandparent's loop meets next, by key.
        return {};
      }
      from = expected.high;
    }
  }
};

}  // namespace

Status Tree::walk(FunctionRef<void(const NodeView& node, PageId id)> visit,
                  FunctionRef<void(PageId id, const std::string& what)> problem) const {
  unsigned level = 0;
  {
    auto root = context_->pool.shared(root_, Hint::kScan);
    if (!root) {
      if (root.error().code() != ErrorCode::kCorruption) return root.error();
      problem(root_, std::string(root.error().message()));
      return {};
    }
    const NodeView view(root->page());
    visit(view, root_);
    if (Status sound = verify_node(view.page()); !sound) {
      problem(root_, std::string(sound.error().message()));
      return {};
    }
    if (view.object() != object_ || !view.is_root()) {
      problem(root_, "is not the root of object " + std::to_string(raw(object_)));
      return {};
    }
    if (!view.low_fence().empty() || view.has_high_fence() || view.right() != kNoPage) {
      problem(root_, "a root must reach from end to end and have no sibling");
    }
    level = view.level();
  }
  if (level == 0) return {};
  Walker walker{*context_, object_, visit, problem, {}};
  return walker.children_of(root_, level, Bytes{});
}

}  // namespace vaultgres
