// Goal: nodes that are sound by themselves, but not what their parents say of them, as stale or forged pages are, are
// damage to whoever meets them: kCorruption, never a wrong answer, and no structure change that builds on them.
//
// Method: pages of a tree get another image, as if they had been read from a damaged file.
#include "btree/tree_support.h"

namespace vaultgres {
namespace {

class HostileTreeTest : public ::testing::Test {
 protected:
  using Image = std::array<std::byte, kPageBytes>;

  static std::string key(std::uint64_t number) {
    std::string text(8, '\0');
    store_big(text.data(), number);
    return text;
  }
  void SetUp() override {
    for (std::uint64_t i = 1; i <= kKeys; ++i) space_.insert(tree_, key(i * 1000), value());
    leaves_ = space_.content(tree_).leaves;
    ASSERT_GT(leaves_.size(), 6u);
    ASSERT_EQ(space_.content(tree_).root_level, 1u);
  }
  static std::string value() { return std::string(kPageBytes / 64, 'v'); }

  Image image_of(PageId page) {
    Image image;
    const SharedGuard guard = must(space_.pool->shared(page, Hint::kNormal));
    std::copy(guard.page().begin(), guard.page().end(), image.begin());
    return image;
  }
  void replace(PageId page, const Image& image) {
    ASSERT_TRUE(verify_node(image)) << "would be found at load";
    LogSpace log_space(*space_.log);
    must(log_space.reserve(log_bytes_for(kPageBytes + 512)));
    ExclusiveGuard guard = must(space_.pool->exclusive(page, Hint::kNormal));
    MiniTxn mini(*space_.pool, *space_.log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_page_image(payload, image);
    mini.add(guard, PageOp::kImage, payload.bytes());
    mini.commit();
  }
  std::string first_key(PageId leaf) {
    const Image image = image_of(leaf);
    std::string low(as_text(NodeView(image).low_fence()));
    return low;
  }
  Status read(Tree::Target target) {
    return tree_.read_leaf(
        target, [](const NodeView&) {}, Hint::kNormal);
  }
  void remove(const std::string& text) {
    LogSpace log_space(*space_.log);
    must(log_space.reserve(Tree::log_bytes_of_change(text.size(), value().size())));
    ExclusiveGuard leaf = must(tree_.write_leaf(as_bytes(text)));
    PayloadBuffer payload;
    const NodeView::Position at = NodeView(leaf.page()).lower_bound(as_bytes(text));
    ASSERT_TRUE(at.exact);
    encode_node_remove(payload, at.slot);
    MiniTxn mini(*space_.pool, *space_.log, RecordKind::kSystem);
    mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
    mini.commit();
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
  replace(leaves_[2], image_of(leaves_[4]));
  replace(leaves_[last], image_of(leaves_[5]));
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
  const Image before = image_of(leaves_[2]);
  const std::size_t pages = space_.content(tree_).pages;
  for (std::uint64_t i = 1; space_.content(tree_).pages == pages; ++i) space_.insert(tree_, key(number + i), value());
  replace(leaves_[2], before);
  expect_damage("make_room", tree_.make_room(as_bytes(low), kPageBytes / 4));
  // Nearly empty, with the fences that it had.
  Image empty = before;
  RedoTable ops;
  register_node_ops(ops);
  PayloadBuffer payload;
  encode_node_remove(payload, 1);
  while (NodeView(empty).count() > 1) {
    ASSERT_TRUE(ops.find(raw(PageOp::kNodeRemove)).apply(empty, payload.bytes()));
  }
  replace(leaves_[2], empty);
  expect_damage("merge_at", tree_.merge_at(as_bytes(low)));
}

// The neighbour that a merge would join is not the one that its parent means.
TEST_F(HostileTreeTest, ALeafIsNotMergedWithAForgedNeighbour) {
  const Image leaf = image_of(leaves_[2]);
  const std::string low = first_key(leaves_[2]);
  replace(leaves_[3], image_of(leaves_[5]));
  std::vector<std::string> keys;
  NodeView(leaf).visit_up(0, [&](unsigned, Bytes each, Bytes, std::uint8_t) {
    keys.emplace_back(as_text(each));
    return true;
  });
  for (std::size_t i = 1; i < keys.size(); ++i) remove(keys[i]);
  expect_damage("merge_at", tree_.merge_at(as_bytes(low)));
}

}  // namespace
}  // namespace vaultgres
