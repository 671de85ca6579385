// Goal: a scan that goes on from the leaf it read last sees what a scan that descends sees, whatever became of that
// leaf and its neighbours in between.
#include <thread>

#include "btree/tree_support.h"
#include "buffer/page_visits.h"

namespace vaultgres {
namespace {

/// The keys of one leaf from a position on, and where the next one begins.
struct Step {
  std::vector<std::string> keys;
  std::string low;
  std::optional<std::string> high;
};

class TrailTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint64_t i = 0; i < kKeys; ++i) put(4 * i);
  }
  void put(std::uint64_t number) {
    space_.insert(tree_, number_key(number), std::string(inline_value_max(kKeyBytesMax), 'v'));
    model_.insert(number_key(number));
  }
  /// Out it goes, with a merge where the leaf has become empty enough.
  void erase(std::uint64_t number) {
    const std::string key = number_key(number);
    if (model_.erase(key) == 0) return;
    space_.remove(tree_, key);
    must(tree_.merge_at(as_bytes(key)));
  }
  void erase_between(const std::string& low, const std::string& high) {
    const std::vector<std::string> keys(model_.lower_bound(low), model_.lower_bound(high));
    for (const std::string& key : keys) erase(load_big<std::uint64_t>(key.data()));
  }
  /// Another tree takes pages that are free.
  void reuse_pages(ObjectId object) {
    const Tree other = space_.create_tree(object);
    for (std::uint64_t i = 0; i < 300; ++i) {
      space_.insert(other, number_key(i), std::string(inline_value_max(kKeyBytesMax), 'f'));
    }
  }

  Step step(const std::string& from, Tree::Trail& trail) {
    Step step;
    must(tree_.read_leaf(
        {Tree::Target::Kind::kCovering, as_bytes(from)},
        [&](const NodeView& leaf) {
          step = {};
          step.low = as_text(leaf.low_fence());
          if (leaf.has_high_fence()) step.high = as_text(leaf.high_fence());
          for (unsigned i = leaf.lower_bound(as_bytes(from)).slot; i < leaf.count(); ++i) {
            step.keys.push_back(key_of(leaf, i));
          }
        },
        Hint::kScan, trail));
    return step;
  }
  /// Every key of the tree from `from` on is found.
  void expect_rest(std::string from, Tree::Trail& trail) {
    std::vector<std::string> seen;
    for (;;) {
      const Step next = step(from, trail);
      seen.insert(seen.end(), next.keys.begin(), next.keys.end());
      if (!next.high) break;
      ASSERT_GT(*next.high, from);
      seen_leaves_ += 1;
      from = *next.high;
      if (seen.size() > model_.size()) break;
    }
    const std::vector<std::string> expected(model_.lower_bound(expected_from_), model_.end());
    ASSERT_EQ(seen.size(), expected.size());
    ASSERT_EQ(seen, expected);
  }

  static constexpr std::uint64_t kKeys = 400;
  TreeSpace space_;
  Tree tree_ = space_.create_tree();
  std::set<std::string> model_;
  std::string expected_from_;
  std::size_t seen_leaves_ = 0;
};

TEST_F(TrailTest, OneDescentIsEnoughForAllLeaves) {
  Tree::Trail trail;
  const Step first = step("", trail);
  ASSERT_TRUE(first.high);
  const std::uint64_t before = page_visits.tree;
  expected_from_ = *first.high;
  expect_rest(*first.high, trail);
  EXPECT_EQ(page_visits.tree - before, seen_leaves_ + 1) << "a page for each leaf, no more";
}

TEST_F(TrailTest, TheSameLeafIsReadAgainWithoutADescent) {
  Tree::Trail trail;
  const Step whole = step("", trail);
  const std::uint64_t before = page_visits.tree;
  const Step part = step(whole.keys[1], trail);
  EXPECT_EQ(page_visits.tree - before, 1u);
  EXPECT_EQ(part.keys, std::vector<std::string>(whole.keys.begin() + 1, whole.keys.end()));
}

TEST_F(TrailTest, ATrailThatLeadsElsewhereIsNotFollowed) {
  for (const std::uint64_t at : {std::uint64_t{0}, 2 * kKeys, 4 * kKeys}) {
    Tree::Trail trail;
    step(number_key(2 * kKeys), trail);
    expected_from_ = number_key(at);
    expect_rest(expected_from_, trail);
  }
  // Of another tree on the same pages' pool.
  Tree::Trail trail;
  step(number_key(2 * kKeys), trail);
  const Tree other = space_.create_tree(ObjectId{41});
  bool empty = false;
  must(other.read_leaf(
      {Tree::Target::Kind::kCovering, as_bytes(number_key(2 * kKeys))},
      [&](const NodeView& leaf) { empty = leaf.count() == 0; }, Hint::kScan, trail));
  EXPECT_TRUE(empty);
}

/// What happens between two steps of a scan.
enum class Between {
  kLeafSplits,
  kLeafMergesWithItsSibling,
  kLeafEmptiesAndGoes,
  kSiblingSplits,
  kSiblingMergesWithItsOwn,
  kAllAroundGoesAndIsReused,
  kTreeShrinksToItsRoot,
};

class ChangedTrailTest : public TrailTest, public ::testing::WithParamInterface<Between> {
 protected:
  void change(const Step& leaf, const Step& sibling) {
    const auto number = [](const std::string& key) { return load_big<std::uint64_t>(key.data()); };
    switch (GetParam()) {
      case Between::kLeafSplits:
      case Between::kSiblingSplits: {
        const std::vector<std::string> keys = GetParam() == Between::kLeafSplits ? leaf.keys : sibling.keys;
        for (const std::string& key : keys) {
          for (std::uint64_t i = 1; i < 4; ++i) put(number(key) + i);
        }
        break;
      }
      case Between::kLeafMergesWithItsSibling:
        for (std::size_t i = 1; i < leaf.keys.size(); ++i) erase(number(leaf.keys[i]));
        for (std::size_t i = 1; i < sibling.keys.size(); ++i) erase(number(sibling.keys[i]));
        break;
      case Between::kLeafEmptiesAndGoes:
        erase_between(leaf.low, *leaf.high);
        reuse_pages(ObjectId{50});
        break;
      case Between::kSiblingMergesWithItsOwn:
        erase_between(*leaf.high, number_key(number(sibling.keys.back()) + 40));
        break;
      case Between::kAllAroundGoesAndIsReused:
        erase_between(number_key(number(leaf.keys[0]) / 2), number_key(number(sibling.keys.back()) + 400));
        reuse_pages(ObjectId{51});
        break;
      case Between::kTreeShrinksToItsRoot:
        erase_between("", number_key(4 * kKeys - 8));
        reuse_pages(ObjectId{52});
        break;
    }
  }
};

TEST_P(ChangedTrailTest, TheScanGoesOnAsIfItHadDescended) {
  TestRandom random;
  Tree::Trail trail;
  // Up to some leaf, then the change, then the rest.
  const std::string start = number_key(random.uniform(kKeys) * 2);
  Step leaf = step(start, trail);
  ASSERT_TRUE(leaf.high);
  Tree::Trail ahead;
  const Step sibling = step(*leaf.high, ahead);
  leaf = step(leaf.low, trail);  // from its beginning, so that it has several keys
  ASSERT_FALSE(leaf.keys.empty());
  change(leaf, sibling);
  expected_from_ = *leaf.high;
  expect_rest(*leaf.high, trail);
  // And from within the leaf.
  expected_from_ = leaf.keys.back();
  expect_rest(leaf.keys.back(), trail);
  // Both trails point at what has changed.
  expected_from_ = *leaf.high;
  expect_rest(*leaf.high, ahead);
}

INSTANTIATE_TEST_SUITE_P(All, ChangedTrailTest,
                         ::testing::Values(Between::kLeafSplits, Between::kLeafMergesWithItsSibling,
                                           Between::kLeafEmptiesAndGoes, Between::kSiblingSplits,
                                           Between::kSiblingMergesWithItsOwn, Between::kAllAroundGoesAndIsReused,
                                           Between::kTreeShrinksToItsRoot));

// Goal: where an outdated trail leads is not even looked at: the page may be anybody's, or unreadable.
TEST_F(TrailTest, AnOutdatedTrailLoadsNoPage) {
  Tree::Trail trail;
  Step leaf = step(number_key(2 * kKeys), trail);
  leaf = step(leaf.low, trail);
  PageId right = kNoPage;
  must(tree_.read_leaf(as_bytes(leaf.low), [&](const NodeView& view) { right = view.right(); }));
  ASSERT_NE(right, kNoPage);
  // The sibling merges into the leaf, its page is freed, and leaves the cache when others need room.
  Tree::Trail ahead;
  const Step sibling = step(*leaf.high, ahead);
  for (std::size_t i = 1; i < leaf.keys.size(); ++i) erase(load_big<std::uint64_t>(leaf.keys[i].data()));
  for (std::size_t i = 1; i < sibling.keys.size(); ++i) erase(load_big<std::uint64_t>(sibling.keys[i].data()));
  const std::vector<PageId> leaves = space_.content(tree_).leaves;
  ASSERT_EQ(std::count(leaves.begin(), leaves.end(), right), 0) << "they have not merged";
  for (std::uint32_t object = 60; space_.pool->try_shared(right); ++object) {
    ASSERT_LT(object, 160u);
    reuse_pages(ObjectId{object});
  }
  EXPECT_NE(space_.find(tree_, *leaf.high), "") << "the way to the leaf is in the cache again";
  const std::uint64_t reads = space_.disk.calls(IoCall::kRead);
  expected_from_ = *leaf.high;
  const Step next = step(*leaf.high, trail);
  EXPECT_EQ(space_.disk.calls(IoCall::kRead), reads);
  EXPECT_EQ(next.keys.front(), *model_.lower_bound(*leaf.high));
}

// Goal: pages that are evicted between two steps are no obstacle.
TEST(Trail, EvictedLeavesAreReadAgain) {
  TreeSpace space(64);
  const Tree tree = space.create_tree();
  constexpr std::uint64_t kKeys = 2000;
  for (std::uint64_t i = 0; i < kKeys; ++i)
    space.insert(tree, number_key(i), std::string(inline_value_max(kKeyBytesMax), 'v'));
  const std::uint64_t before = space.pool->stats().evictions;
  Tree::Trail trail;
  std::string from;
  std::uint64_t seen = 0;
  for (bool more = true; more;) {
    must(tree.read_leaf(
        {Tree::Target::Kind::kCovering, as_bytes(std::string(from))},
        [&](const NodeView& leaf) {
          more = leaf.has_high_fence();
          seen += leaf.count();
          from = as_text(leaf.high_fence());
        },
        Hint::kScan, trail));
    if (seen % 3 == 0) {  // others read elsewhere
      for (std::uint64_t i = 0; i < kKeys; i += 7) EXPECT_NE(space.find(tree, number_key(i)), "nothing");
    }
  }
  EXPECT_EQ(seen, kKeys);
  EXPECT_GT(space.pool->stats().evictions, before);
}

/// While somebody has the root latched nobody can descend.
TEST_F(TrailTest, WhoChangesALeafAgainNeedsNoDescent) {
  Tree::WriteTrail trail;
  const std::string first = number_key(4);
  const std::string far = number_key(4 * (kKeys - 1));
  PageId changed = kNoPage;
  {
    const ExclusiveGuard leaf = must(tree_.write_leaf(as_bytes(first), &trail));
    trail.note(leaf);
    changed = leaf.id();
  }
  {
    const ExclusiveGuard root = must(space_.pool->exclusive(tree_.root(), Hint::kNormal));
    PageId again = kNoPage;
    std::thread([&] { again = must(tree_.write_leaf(as_bytes(first), &trail)).id(); }).join();
    EXPECT_EQ(again, changed);
  }
  // It was released as changed, so that trail is over; nor does one lead to a leaf that does not cover the key.
  EXPECT_EQ(must(tree_.write_leaf(as_bytes(first), &trail)).id(), changed);
  {
    const ExclusiveGuard leaf = must(tree_.write_leaf(as_bytes(first), &trail));
    trail.note(leaf);
  }
  EXPECT_NE(must(tree_.write_leaf(as_bytes(far), &trail)).id(), changed);
  // Merged away, or given to another tree.
  {
    const ExclusiveGuard leaf = must(tree_.write_leaf(as_bytes(far), &trail));
    trail.note(leaf);
  }
  erase_between(number_key(0), number_key(UINT64_MAX));
  reuse_pages(ObjectId{99});
  EXPECT_EQ(must(tree_.write_leaf(as_bytes(far), &trail)).id(), tree_.root());
}

}  // namespace
}  // namespace vaultgres
