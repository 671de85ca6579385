// Goal: pages that have become empty enough are merged away, whichever neighbour has room for what is left, and no page
// is merged that the next insert would split again; a page that nobody has room for gets entries of a neighbour.
//
// Method: the leaves of a loaded tree are thinned out one by one; trees of the longest keys, whose inner nodes have few
// children, are emptied in random order.
#include <set>

#include "btree/tree_support.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class MergeTest : public ::testing::Test {
 protected:
  /// Leaves that are full, as ascending inserts leave them.
  void fill() {
    for (std::uint64_t i = 0; i < 400; ++i) space_.insert(tree_, number_key(i), std::string(kPageBytes / 64, 'v'));
    const TreeContent content = space_.content(tree_);
    ASSERT_GT(content.leaves.size(), 4u);
    ASSERT_EQ(content.root_level, 1u);
  }
  /// The keys of each leaf, from the left.
  std::vector<std::vector<std::string>> keys() {
    std::vector<std::vector<std::string>> keys;
    for (const PageId leaf : space_.content(tree_).leaves) {
      const TestPage image = space_.image_of(leaf);
      const NodeView view(image.bytes());
      keys.emplace_back();
      for (unsigned i = 0; i < view.count(); ++i) keys.back().push_back(key_of(view, i));
    }
    return keys;
  }
  void remove(const std::vector<std::string>& keys, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) space_.remove(tree_, keys.at(i));
  }
  /// All but two entries of `leaf` are removed: `giver` has no room for these, and gives some of its own.
  void expect_shared(const std::vector<std::vector<std::string>>& before, std::size_t leaf, std::size_t giver) {
    remove(before[leaf], 2, before[leaf].size());
    must(tree_.merge_at(as_bytes(before[leaf][0])));
    const auto after = keys();
    ASSERT_EQ(after.size(), before.size());
    EXPECT_GT(after[leaf].size(), before[giver].size() / 3);
    EXPECT_GT(after[giver].size(), before[giver].size() / 3);
    EXPECT_EQ(after[leaf].size() + after[giver].size(), before[giver].size() + 2);
    std::vector<std::string> all;
    for (const auto& one : after) all.insert(all.end(), one.begin(), one.end());
    EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  }
  std::size_t leaves() { return space_.content(tree_).leaves.size(); }

  TreeSpace space_;
  Tree tree_ = space_.create_tree();
};

TEST_F(MergeTest, TheLeftNeighbourTakesWhatTheRightOneHasNoRoomFor) {
  fill();
  const auto before = keys();
  remove(before[1], 0, before[1].size() / 2);
  remove(before[2], 2, before[2].size());
  must(tree_.merge_at(as_bytes(before[2][0])));
  const auto after = keys();
  ASSERT_EQ(after.size(), before.size() - 1);
  EXPECT_EQ(after[1].size(), before[1].size() - before[1].size() / 2 + 2);
  EXPECT_EQ(after[1].back(), before[2][1]);
  EXPECT_EQ(after[2], before[3]);
}

TEST_F(MergeTest, AMergedLeafHasRoomForInserts) {
  fill();
  const auto before = keys();
  // Together they would just fill one leaf, as the first one does now.
  const std::size_t rest = before[2].size() / 6;
  remove(before[1], 0, rest);
  remove(before[2], rest, before[2].size());
  must(tree_.merge_at(as_bytes(before[2][0])));
  EXPECT_EQ(leaves(), before.size());
  // But an empty leaf is not kept for that.
  remove(before[3], 0, before[3].size());
  must(tree_.merge_at(as_bytes(before[3][0])));
  EXPECT_EQ(leaves(), before.size() - 1);
}

// They may have been busy when they became empty, or have had no room for both prefixes.
TEST_F(MergeTest, EmptyLeavesOnBothSidesGoWithTheOneBetween) {
  fill();
  const auto before = keys();
  const std::size_t last = before.size() - 1;
  for (std::size_t leaf = last - 2; leaf <= last; ++leaf) remove(before[leaf], 0, before[leaf].size());
  must(tree_.merge_at(as_bytes(before[last - 1][0])));
  EXPECT_EQ(keys(), std::vector(before.begin(), before.end() - 3));
}

TEST_F(MergeTest, AnAlmostEmptyLeafBetweenFullOnesGetsEntriesOfTheRightOne) {
  fill();
  const auto before = keys();
  expect_shared(before, 1, 2);
}

TEST_F(MergeTest, TheLastLeafGetsEntriesOfItsLeftNeighbour) {
  fill();
  const auto before = keys();
  expect_shared(before, before.size() - 1, before.size() - 2);
}

/// Trees of 300 of the longest keys. Those of a group differ in their last bytes only, so that separators are as long
/// as keys; groups in their first one, so that they have no common prefix. So inner nodes have few children, and one
/// may be left with a single child, whose only neighbours are those of its parent.
class LongKeyMergeTest : public MergeTest {
 protected:
  void insert_keys() {
    std::set<std::string> taken;
    while (taken.size() < 300) {
      std::string key(1, static_cast<char>('a' + random_.uniform(8)));
      key += std::string(kKeyBytesMax - 3, 'k') + random_.bytes(2);
      if (taken.insert(key).second) space_.insert(tree_, key, "value");
    }
    ASSERT_GE(space_.content(tree_).root_level, 2u);
  }

  TestRandom random_;
};

TEST_F(LongKeyMergeTest, NothingIsLeftOfATreeWhoseKeysGoOneByOne) {
  const std::uint64_t rounds = 2 + scaled(18);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    insert_keys();
    std::vector<std::string> left;
    for (const std::vector<std::string>& leaf : keys()) left.insert(left.end(), leaf.begin(), leaf.end());
    while (!left.empty()) {
      std::swap(left[random_.uniform(left.size())], left.back());
      space_.remove(tree_, left.back());
      must(tree_.merge_at(as_bytes(left.back())));
      left.pop_back();
    }
    ASSERT_EQ(space_.content(tree_).pages, 1u) << "round " << round;
  }
}

// As the collector takes what a transaction has erased.
TEST_F(LongKeyMergeTest, NothingIsLeftOfATreeWhoseKeysGoByTheLeaf) {
  const std::uint64_t rounds = 2 + scaled(18);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    insert_keys();
    std::vector<std::vector<std::string>> leaves = keys();
    while (!leaves.empty()) {
      std::swap(leaves[random_.uniform(leaves.size())], leaves.back());
      const std::vector<std::string>& leaf = leaves.back();
      remove(leaf, 0, leaf.size());
      if (!leaf.empty()) must(tree_.merge_at(as_bytes(leaf.back())));
      leaves.pop_back();
    }
    ASSERT_EQ(space_.content(tree_).pages, 1u) << "round " << round;
  }
}

}  // namespace
}  // namespace vaultgres
