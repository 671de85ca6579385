// Goal: nodes that are sound by themselves, but not what their parents say of them, as stale or forged pages are, are
// damage to whoever meets them: kCorruption, never a wrong answer, and no structure change that builds on them.
//
// Method: pages of a tree get another image, as if they had been read from a damaged file.
#include "btree/tree_support.h"

namespace vaultgres {
namespace {

class HostileTreeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint64_t i = 1; i <= kKeys; ++i) space_.insert(tree_, number_key(i * 1000), value());
    leaves_ = space_.content(tree_).leaves;
    ASSERT_GT(leaves_.size(), 6u);
    ASSERT_EQ(space_.content(tree_).root_level, 1u);
  }
  static std::string value() { return std::string(kPageBytes / 64, 'v'); }

  std::string first_key(PageId leaf) {
    const TestPage image = space_.image_of(leaf);
    return std::string(as_text(NodeView(image.bytes()).low_fence()));
  }
  Status read(Tree::Target target) {
    return tree_.read_leaf(
        target, [](const NodeView&) {}, Hint::kNormal);
  }
  template <class T>
  static void expect_damage(const char* what, const Result<T>& result) {
    if (result) {
      ADD_FAILURE() << what << " succeeded";
    } else {
      EXPECT_EQ(result.error().code(), ErrorCode::kCorruption) << what << ": " << result.error().message();
    }
  }

  static constexpr std::uint64_t kKeys = 400;
  TreeSpace space_;
  Tree tree_ = space_.create_tree();
  std::vector<PageId> leaves_;
};

using Kind = Tree::Target::Kind;

// A leaf stands where another one belongs, so that what it does not hold would be taken for absent.
TEST_F(HostileTreeTest, ALeafThatDoesNotCoverTheKeyIsNotRead) {
  const std::size_t last = leaves_.size() - 1;
  const std::string in_second = first_key(leaves_[2]);
  const std::string in_last = first_key(leaves_[last]);
  space_.replace_node(leaves_[2], space_.image_of(leaves_[4]).bytes());
  space_.replace_node(leaves_[last], space_.image_of(leaves_[5]).bytes());
  for (const std::string& damaged : {in_second, in_last}) {
    expect_damage("read_leaf", read({Kind::kCovering, as_bytes(damaged)}));
    expect_damage("write_leaf", tree_.write_leaf(as_bytes(damaged)));
    Tree::Trail trail;
    expect_damage("read_leaf along a trail",
                  tree_.read_leaf(
                      {Kind::kCovering, as_bytes(damaged)}, [](const NodeView&) {}, Hint::kScan, trail));
  }
  expect_damage("read_leaf below", read({Kind::kBelow, as_bytes(in_second + "x")}));
  expect_damage("read_leaf of the last", read({Kind::kLast, {}}));
  EXPECT_TRUE(read({Kind::kCovering, as_bytes(first_key(leaves_[1]))})) << "the others are as before";
}

// A leaf as it was before it was split still covers the key, but reaches further than its parent says. A split or merge
// that believed it would put the keys behind that place into the tree a second time.
TEST_F(HostileTreeTest, ALeafFromBeforeItsSplitIsNeitherSplitNorMerged) {
  const std::string low = first_key(leaves_[2]);
  const auto number = load_big<std::uint64_t>(low.data());
  const TestPage before = space_.image_of(leaves_[2]);
  const std::size_t pages = space_.content(tree_).pages;
  for (std::uint64_t i = 1; space_.content(tree_).pages == pages; ++i)
    space_.insert(tree_, number_key(number + i), value());
  space_.replace_node(leaves_[2], before.bytes());
  expect_damage("make_room", tree_.make_room(as_bytes(low), kPageBytes / 4));
  // Nearly empty, with the fences that it had.
  TestPage empty = before;
  RedoTable ops;
  register_node_ops(ops);
  PayloadBuffer payload;
  encode_node_remove(payload, 1);
  while (NodeView(empty.bytes()).count() > 1) {
    ASSERT_TRUE(ops.find(raw(PageOp::kNodeRemove)).apply(empty.bytes(), payload.bytes()));
  }
  space_.replace_node(leaves_[2], empty.bytes());
  expect_damage("merge_at", tree_.merge_at(as_bytes(low)));
}

// The neighbour that a merge would join is not the one that its parent means.
TEST_F(HostileTreeTest, ALeafIsNotMergedWithAForgedNeighbour) {
  const TestPage leaf = space_.image_of(leaves_[2]);
  const std::string low = first_key(leaves_[2]);
  space_.replace_node(leaves_[3], space_.image_of(leaves_[5]).bytes());
  std::vector<std::string> keys;
  NodeView(leaf.bytes()).visit_up(0, [&](unsigned, Bytes each, Bytes, std::uint8_t) {
    keys.emplace_back(as_text(each));
    return true;
  });
  for (std::size_t i = 1; i < keys.size(); ++i) space_.remove(tree_, keys[i]);
  expect_damage("merge_at", tree_.merge_at(as_bytes(low)));
}

// A forged parent: the neighbour that it names is the leaf itself, or the parent.
TEST_F(HostileTreeTest, ALeafIsNotMergedWithItselfOrItsParent) {
  const TestPage sound = space_.image_of(tree_.root());
  const std::size_t last = leaves_.size() - 1;
  const auto expect_no_merge = [&](std::size_t leaf, std::size_t neighbour) {
    const std::string low = first_key(leaves_[leaf]);
    for (const PageId named : {leaves_[leaf], tree_.root()}) {
      TestPage forged = sound;
      const Bytes child = NodeView(forged.bytes()).value(static_cast<unsigned>(neighbour));
      const auto at = static_cast<std::size_t>(child.data() - Bytes(forged.bytes()).data());
      store_little(forged.bytes().data() + at, raw(named));
      ASSERT_EQ(NodeView(forged.bytes()).child(static_cast<unsigned>(neighbour)), named);
      ASSERT_NO_FATAL_FAILURE(space_.replace_node(tree_.root(), forged.bytes()));
      const auto merged = tree_.merge_at(as_bytes(low));
      ASSERT_FALSE(merged);
      EXPECT_NE(merged.error().message().find("leads to one page by two separators"), std::string::npos)
          << merged.error().message();
    }
    space_.replace_node(tree_.root(), sound.bytes());
  };
  for (const std::size_t leaf : {std::size_t{2}, last}) {
    const TestPage image = space_.image_of(leaves_[leaf]);
    const NodeView view(image.bytes());
    for (unsigned i = 1; i < view.count(); ++i) space_.remove(tree_, key_of(view, i));
  }
  ASSERT_NO_FATAL_FAILURE(expect_no_merge(2, 3));
  ASSERT_NO_FATAL_FAILURE(expect_no_merge(last, last - 1));
}

}  // namespace
}  // namespace vaultgres
