// Whole pages: empty nodes, halves of a split, merged neighbours, a new root.
#include "base/check.h"
#include "btree/node_change.h"

namespace vaultgres {

namespace {

/// A page over [first, last) of `node`. What the right neighbour of a split or the left one gets always fits:
/// choose_split() saw to it.
void build_half(MutableBytes out, const NodeView& node, unsigned first, unsigned last, const NodeFences& fences,
                PageId right) {
  node::init(out, node.object(), node.level(), 0, fences, right);
  const char* problem = node::append_range(out, node, first, last);
  VG_CHECK(problem == nullptr, problem);
}

Bytes separator_of(const SplitPoint& split) {
  return {split.separator, split.separator_bytes};
}

}  // namespace

void build_node(MutableBytes out, ObjectId object, unsigned level, bool root, const NodeFences& fences, PageId right) {
  node::init(out, object, level, root ? kPageFlagRoot : 0, fences, right);
}

bool append_entry(MutableBytes page, std::uint8_t flags, Bytes key, Bytes value) {
  const NodeView node(page);
  if (!node.has_room(key.size(), value.size())) return false;
  VG_DCHECK(node.covers(key), "an entry outside the node's fences");
  VG_DCHECK(node.count() == 0 || node.compare_key(node.count() - 1, key) < 0, "entries must ascend");
  const char* problem = node::insert(page, node.count(), flags, key, value);
  VG_CHECK(problem == nullptr, problem);
  return true;
}

void build_right_half(MutableBytes out, const NodeView& node, const SplitPoint& split) {
  build_half(out, node, split.slot, node.count(), {separator_of(split), node.high_fence(), node.has_high_fence()},
             node.right());
}

void build_left_half(MutableBytes out, const NodeView& node, const SplitPoint& split, PageId right) {
  build_half(out, node, 0, split.slot, {node.low_fence(), separator_of(split), true}, right);
}

void build_new_root(MutableBytes out, ObjectId object, unsigned level, PageId left, Bytes separator, PageId right) {
  node::init(out, object, level, kPageFlagRoot, NodeFences{}, kNoPage);
  std::byte child[kChildBytes];
  store_little(child, raw(left));
  VG_CHECK(append_entry(out, 0, {}, child), "a root has room for two children");
  store_little(child, raw(right));
  VG_CHECK(append_entry(out, 0, separator, child), "a root has room for two children");
}

bool build_merged(MutableBytes out, const NodeView& left, const NodeView& right) {
  const NodeFences fences{left.low_fence(), right.high_fence(), right.has_high_fence()};
  const std::uint8_t page_flags = left.is_root() ? kPageFlagRoot : 0;
  node::init(out, left.object(), left.level(), page_flags, fences, right.right());
  return node::append_range(out, left, 0, left.count()) == nullptr &&
         node::append_range(out, right, 0, right.count()) == nullptr;
}

bool build_shifted(MutableBytes left_out, MutableBytes right_out, const NodeView& left, const NodeView& right,
                   const SplitPoint& cut, bool cut_in_left) {
  const Bytes separator = separator_of(cut);
  const unsigned left_end = cut_in_left ? cut.slot : left.count();
  const unsigned right_begin = cut_in_left ? 0 : cut.slot;
  node::init(left_out, left.object(), left.level(), 0, {left.low_fence(), separator, true}, left.right());
  node::init(right_out, left.object(), left.level(), 0, {separator, right.high_fence(), right.has_high_fence()},
             right.right());
  return node::append_range(left_out, left, 0, left_end) == nullptr &&
         node::append_range(left_out, right, 0, right_begin) == nullptr &&
         node::append_range(right_out, left, left_end, left.count()) == nullptr &&
         node::append_range(right_out, right, right_begin, right.count()) == nullptr;
}

}  // namespace vaultgres
