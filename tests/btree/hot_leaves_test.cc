// Goal: a leaf at whose entries threads wait for each other becomes two, with the boundary between those entries;
// others stay as they are, and nothing else becomes of the tree.
//
// Method: the table of fights by itself, with a clock of the test; splits before a given key, the tree walked after
// each.
#include "btree/hot_leaves.h"

#include <gtest/gtest.h>

#include "btree/tree_support.h"

namespace vaultgres {
namespace {

constexpr PageId kLeaf{7 + 3 * 256};

bool is_same(const ModelMap& a, const ModelMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.value == y.second.value && x.second.flags == y.second.flags;
  });
}

/// How many fights it takes, at slots 3 and 5 in turns, until the leaf is to be split.
unsigned fights_until_split(HotLeaves& hot, std::uint64_t& now, std::uint64_t ms_each) {
  for (unsigned i = 1; i <= 5000; ++i, now += ms_each) {
    if (const auto slot = hot.note(kLeaf, i % 2 == 0 ? 3 : 5, now)) {
      EXPECT_EQ(*slot, 5u);
      return i;
    }
  }
  return 0;
}

TEST(HotLeaves, ManyFightsAtEntriesThatDiffer) {
  constexpr unsigned kMsEach = 4;
  for (std::uint64_t now = 0; now < 2'000'000; now += 99'991) {  // the clock's small numbers begin anew meanwhile
    HotLeaves hot;
    for (unsigned i = 0; i < 3; ++i) {
      const unsigned fights = fights_until_split(hot, now, kMsEach);
      EXPECT_GE(fights, 2 * HotLeaves::kFightsMax) << "at " << now << ", time " << i;
      EXPECT_LE(fights, 2 * HotLeaves::kFightsMax + 2) << "at " << now << ", time " << i;
    }
  }
}

TEST(HotLeaves, FightsThatAreSoonOver) {
  for (std::uint64_t begin = 0; begin < 300; begin += 7) {
    HotLeaves hot;
    for (std::uint64_t i = 0; i < 10000; ++i) {
      const std::uint64_t now = begin + i * HotLeaves::kAtLeastMs / 10000;
      ASSERT_EQ(hot.note(kLeaf, static_cast<unsigned>(i % 7), now), std::nullopt) << "fight " << i;
    }
  }
}

/// It stays for long, but each entry has its time.
TEST(HotLeaves, ACrowdThatPassesThrough) {
  HotLeaves hot;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto front = static_cast<unsigned>(i / 100);
    ASSERT_EQ(hot.note(kLeaf, front + static_cast<unsigned>(i % 3), i / 4), std::nullopt) << "fight " << i;
  }
}

TEST(HotLeaves, OneEntryCannotBeHelped) {
  HotLeaves hot;
  for (std::uint64_t i = 0; i < 10000; ++i) EXPECT_EQ(hot.note(kLeaf, 4, i / 10), std::nullopt);
}

/// Its slot is another one after each insert before it.
TEST(HotLeaves, OneEntryThatMoves) {
  HotLeaves hot;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    ASSERT_EQ(hot.note(kLeaf, static_cast<unsigned>(i / 7), i / 10), std::nullopt);
  }
}

TEST(HotLeaves, SeldomIsNotOften) {
  HotLeaves hot;
  std::uint64_t now = 0;
  EXPECT_EQ(fights_until_split(hot, now, HotLeaves::kWindowMs / HotLeaves::kFightsMax), 0u);
}

TEST(HotLeaves, PagesOfOnePlaceForgetEachOther) {
  HotLeaves hot;
  for (unsigned i = 0; i < 1000; ++i) {
    EXPECT_EQ(hot.note(kLeaf, i % 2, i), std::nullopt);
    EXPECT_EQ(hot.note(PageId{raw(kLeaf) + 256}, i % 2, i), std::nullopt);
  }
}

/// What is not much is not made less.
TEST(HotLeaves, ALeafWithLittleIsNotSplit) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  for (unsigned i = 0; i < 300; ++i) space.insert(tree, number_key(i), "value");
  for (unsigned i = 0; i < 300; ++i) must(tree.split_at(as_bytes(number_key(i))));
  unsigned leaves = 0;
  must(tree.walk(
      [&](const NodeView& node, PageId) {
        if (node.level() > 0) return;
        ++leaves;
        EXPECT_GE(node.count(), std::min<std::size_t>(8, NodeView::capacity_bytes() / 16 / 13));
      },
      [](PageId, const std::string& what) { ADD_FAILURE() << what; }));
  EXPECT_GE(leaves, 300u / 16);
}

TEST(HotLeaves, ASplitWithoutSpaceIsLeft) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  constexpr unsigned kEntries = 3000;
  for (unsigned i = 0; i < kEntries; ++i) space.insert(tree, number_key(i), "value");
  const ModelMap before = space.content(tree).entries;
  space.disk.limit_space(space.disk.used_bytes());
  Status split;
  for (unsigned i = 1; i < kEntries && split; ++i) split = tree.split_at(as_bytes(number_key(i)));
  ASSERT_FALSE(split) << "so many pages fit into no file of that size";
  EXPECT_EQ(split.error().code(), ErrorCode::kNoSpace) << split.error().message();
  EXPECT_TRUE(is_same(space.content(tree).entries, before));
}

TEST(HotLeaves, ASplitStandsBeforeItsKey) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < 300; ++i) {
    keys.push_back(number_key(10 * i));
    space.insert(tree, keys.back(), std::string(i % 40, 'v'));
  }
  const ModelMap before = space.content(tree).entries;
  TestRandom random;
  unsigned splits = 0;
  for (unsigned i = 0; i < 200; ++i) {
    const bool is_there = !random.one_in(4);
    const std::string key = is_there ? keys[random.uniform(keys.size())] : number_key(10 * random.uniform(300) + 3);
    const std::size_t leaves = space.content(tree).leaves.size();
    bool first = false;
    must(tree.read_leaf(as_bytes(key),
                        [&](const NodeView& leaf) { first = leaf.lower_bound(as_bytes(key)).slot == 0; }));
    must(tree.split_at(as_bytes(key)));
    const TreeContent after = space.content(tree);
    ASSERT_TRUE(is_same(after.entries, before));
    if (after.leaves.size() == leaves) continue;
    ASSERT_TRUE(is_there && !first) << "key " << i;
    ASSERT_EQ(after.leaves.size(), leaves + 1) << "key " << i;
    must(tree.read_leaf(as_bytes(key),
                        [&](const NodeView& leaf) { first = leaf.lower_bound(as_bytes(key)).slot == 0; }));
    ASSERT_TRUE(first);
    ++splits;
  }
  EXPECT_GT(splits, 3u);
}

TEST(HotLeaves, ASplitFitsBetweenLongFences) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  LongKeys keys;
  space.fill_with_long_keys(tree, 2, keys);
  const ModelMap before = space.content(tree).entries;
  for (const std::string& key : keys.given()) must(tree.split_at(as_bytes(key)));
  EXPECT_TRUE(is_same(space.content(tree).entries, before));
}

/// A key that begins with the one before it, which has no value: the right half's fence takes a byte more than the
/// entry that is gone from it. The leaf is full to the last byte.
TEST(HotLeaves, AHalfThatWouldNotFitIsNotMade) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  const std::string first(kPageBytes / 10, 'a');
  const std::string second = first + "a";
  space.insert(tree, first, "");
  space.insert(tree, second, "value");
  const auto used = [&] {
    std::size_t bytes = 0;
    must(tree.read_leaf(as_bytes(first), [&](const NodeView& leaf) { bytes = leaf.used_bytes(); }));
    return bytes;
  };
  std::size_t left = 0;  // of the page, with six entries more that have no value yet: eight in all, so no room is lost
  const std::string keys[] = {"b", "c", "d", "e", "f", "g"};
  const std::size_t before = used();
  space.insert(tree, keys[0], "");
  const std::size_t each = used() - before;
  left = NodeView::capacity_bytes() - used() - 5 * each;
  for (unsigned i = 1; i < 6; ++i) {
    const std::size_t value = i < 5 ? std::min(left, inline_value_max(1)) : left;
    space.insert(tree, keys[i], std::string(value, 'v'));
    left -= value;
  }
  ASSERT_EQ(space.content(tree).leaves.size(), 1u);
  ASSERT_EQ(used(), NodeView::capacity_bytes());
  must(tree.split_at(as_bytes(second)));
  const TreeContent after = space.content(tree);
  EXPECT_EQ(after.entries.size(), 8u);
  EXPECT_EQ(after.leaves.size(), 1u);
}

}  // namespace
}  // namespace vaultgres
