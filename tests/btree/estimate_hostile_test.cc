// Goal: an estimate over nodes that are sound by themselves, but not what leads to them says, as stale or forged pages
// are, is damage: no look out of bounds, and never a smaller number instead.
//
// Method: pages of a tree get another image, as if they had been read from a damaged file.
#include <span>

#include "btree/tree_support.h"

namespace vaultgres {
namespace {

class HostileEstimateTest : public ::testing::Test {
 protected:
  using Image = std::array<std::byte, kPageBytes>;

  void SetUp() override {
    for (std::uint64_t i = 1; i <= 2500; ++i) {
      space_.insert(tree_, number_key(i * 1000), std::string(kPageBytes / 64, 'v'));
    }
    leaves_ = space_.content(tree_).leaves;
    ASSERT_GT(leaves_.size(), 40u);
  }
  /// A node over all keys.
  static Image node(unsigned level, bool root, std::span<const PageId> children, ObjectId object) {
    Image image;
    build_node(image, object, level, root, NodeFences{}, kNoPage);
    for (std::size_t i = 0; i < children.size(); ++i) {
      std::byte child[kChildBytes];
      store_little(child, raw(children[i]));
      const std::string key = i == 0 ? "" : number_key(i);
      EXPECT_TRUE(append_entry(image, 0, as_bytes(key), child));
    }
    return image;
  }
  Image node(unsigned level, bool root, std::span<const PageId> children) const {
    return node(level, root, children, tree_.object());
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
  void expect_damage() {
    const auto size = tree_.estimate({}, std::nullopt);
    ASSERT_FALSE(size) << size->entries << " entries, an answer all the same";
    EXPECT_EQ(size.error().code(), ErrorCode::kCorruption) << size.error().message();
  }

  TreeSpace space_;
  Tree tree_ = space_.create_tree();
  std::vector<PageId> leaves_;
};

// What is counted by level has room for the levels of any tree that there can be.
TEST_F(HostileEstimateTest, ATreeDeeperThanAnyIsNotFollowed) {
  constexpr unsigned kLevels = 40;
  replace(leaves_[0], node(0, false, {}));
  for (unsigned level = 1; level <= kLevels; ++level) {
    const std::array<PageId, 3> below = {leaves_[level - 1], leaves_[level - 1], leaves_[level - 1]};
    replace(level < kLevels ? leaves_[level] : tree_.root(), node(level, level == kLevels, below));
  }
  expect_damage();
}

// Readable pages with good checksums that belong to another tree: nothing tells how much stands there.
TEST_F(HostileEstimateTest, WhatCannotBeSampledIsNotLeftOut) {
  const auto whole = must(tree_.estimate({}, std::nullopt));
  EXPECT_GT(whole.entries, 2000);
  for (std::size_t i = 1; i + 1 < leaves_.size(); ++i) replace(leaves_[i], node(0, false, {}, ObjectId{41}));
  expect_damage();
  const std::string end = number_key(1001);
  EXPECT_EQ(must(tree_.estimate({}, as_bytes(end))).entries, 1) << "one leaf, as it was";
}

// An inner node without children is part of no tree but one that is taken apart.
TEST_F(HostileEstimateTest, ANodeWithoutChildrenIsNotAnEmptyRange) {
  replace(leaves_[0], node(0, false, {}));
  replace(leaves_[1], node(1, false, std::span(leaves_).first(1)));
  replace(leaves_[2], node(1, false, {}));
  const std::array<PageId, 3> between = {leaves_[1], leaves_[2], leaves_[1]};
  replace(tree_.root(), node(2, true, between));
  expect_damage();
  const std::array<PageId, 3> at_the_end = {leaves_[1], leaves_[1], leaves_[2]};
  replace(tree_.root(), node(2, true, at_the_end));
  expect_damage();
  replace(tree_.root(), node(2, true, {}));
  expect_damage();
}

}  // namespace
}  // namespace vaultgres
