// Goal: Tree::estimate is exact where the range lies within a few leaves, close elsewhere, cheap, and never more than
// an answer: it reads damaged trees and changing ones without harm.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "btree/tree_load.h"
#include "btree/tree_support.h"
#include "buffer/page_visits.h"

namespace vaultgres {
namespace {

/// Keys of a tree, in order, each with a value of 12 bytes.
class Counted {
 public:
  explicit Counted(std::vector<std::string> keys) : keys_(std::move(keys)) { std::sort(keys_.begin(), keys_.end()); }

  std::uint64_t between(const std::string& from, const std::optional<std::string>& to) const {
    const auto first = std::lower_bound(keys_.begin(), keys_.end(), from);
    const auto end = to ? std::lower_bound(keys_.begin(), keys_.end(), *to) : keys_.end();
    return end > first ? static_cast<std::uint64_t>(end - first) : 0;
  }
  const std::string& at(std::uint64_t i) const { return keys_[i]; }
  std::uint64_t size() const { return keys_.size(); }

 private:
  std::vector<std::string> keys_;
};

Tree::Estimate estimate(const Tree& tree, const std::string& from, const std::optional<std::string>& to) {
  std::optional<Bytes> end;
  if (to) end = as_bytes(*to);
  return must(tree.estimate(as_bytes(from), end));
}

/// Random ranges of all sizes against the truth.
void check_ranges(const Tree& tree, const Counted& keys, TestRandom& random, const char* what) {
  double worst = 1;
  double sum = 0;
  unsigned large = 0;
  std::uint64_t visits_max = 0;
  for (int i = 0; i < 300; ++i) {
    std::uint64_t first = random.uniform(keys.size());
    const std::uint64_t count = std::min<std::uint64_t>(random.zipf(keys.size()) + 1, keys.size() - first);
    std::string from = keys.at(first);
    std::optional<std::string> to;
    if (first + count < keys.size()) to = keys.at(first + count);
    if (i == 0) {
      from.clear();
      to.reset();
    }
    const auto truth = static_cast<double>(keys.between(from, to));
    const std::uint64_t before = page_visits.tree;
    const Tree::Estimate guess = estimate(tree, from, to);
    visits_max = std::max(visits_max, page_visits.tree - before);
    ASSERT_NEAR(guess.bytes, guess.entries * 20, 0.5) << "all entries have 20 bytes";
    if (truth <= 2) {
      ASSERT_EQ(guess.entries, truth) << "two leaves at most";
    } else if (truth > static_cast<double>(kPageBytes) / 2) {  // many leaves
      const double factor = std::max(guess.entries / truth, truth / guess.entries);
      worst = std::max(worst, factor);
      sum += std::abs(guess.entries / truth - 1);
      ++large;
    }
    ASSERT_LT(guess.entries, 2 * truth + 2);
    ASSERT_GT(guess.entries, truth / 2 - 1);
  }
  std::printf("%s: %u large ranges of %llu keys, mean error %.1f %%, worst factor %.2f, at most %llu pages\n", what,
              large, static_cast<unsigned long long>(keys.size()), 100 * sum / std::max(large, 1u), worst,
              static_cast<unsigned long long>(visits_max));
  EXPECT_LE(visits_max, 80u);
}

TEST(Estimate, RandomRangesOfRandomlyFilledTrees) {
  for (const std::uint64_t count :
       {std::uint64_t{1}, std::uint64_t{10}, std::uint64_t{300}, scaled(3000), scaled(40'000)}) {
    TestRandom random(count);
    TreeSpace space;
    const Tree tree = space.create_tree();
    std::vector<std::string> keys;
    for (std::uint64_t i = 0; i < count; ++i) {
      keys.push_back(number_key(random.next()));
      space.insert(tree, keys.back(), "of 12 bytes!");
    }
    check_ranges(tree, Counted(std::move(keys)), random, "random inserts");
  }
}

TEST(Estimate, RandomRangesOfLoadedTrees) {
  for (const std::uint64_t count : {300u, 3000u, 40'000u}) {
    TestRandom random(count);
    TreeSpace space;
    const Tree tree = space.create_tree();
    TreeLoad load(tree);
    std::vector<std::string> keys;
    for (std::uint64_t i = 0; i < count; ++i) {
      keys.push_back(number_key(i));
      must(load.add(as_bytes(keys.back()), as_bytes("of 12 bytes!")));
    }
    must(load.finish());
    check_ranges(tree, Counted(std::move(keys)), random, "loaded");
  }
}

// Goal: ranges over one leaf or two are counted, not guessed. Method: all ranges between neighbouring fences.
TEST(Estimate, NeighbouringLeavesAreCounted) {
  TestRandom random;
  TreeSpace space;
  const Tree tree = space.create_tree();
  std::vector<std::string> inserted;
  for (std::uint64_t i = 0; i < 8000; ++i) {
    inserted.push_back(number_key(random.next()));
    space.insert(tree, inserted.back(), "of 12 bytes!");
  }
  const Counted keys(std::move(inserted));
  std::vector<std::string> fences{""};
  for (const PageId leaf : space.content(tree).leaves) {
    const SharedGuard guard = must(space.pool->shared(leaf, Hint::kNormal));
    const NodeView view(guard.page());
    if (view.has_high_fence()) fences.emplace_back(as_text(view.high_fence()));
  }
  ASSERT_GT(fences.size(), 10u);
  for (std::size_t i = 0; i < fences.size(); ++i) {
    for (const std::size_t leaves : {1u, 2u}) {
      std::optional<std::string> to;
      if (i + leaves < fences.size()) to = fences[i + leaves];
      if (i + leaves > fences.size()) continue;
      EXPECT_EQ(estimate(tree, fences[i], to).entries, static_cast<double>(keys.between(fences[i], to)))
          << leaves << " leaves from leaf " << i;
      if (!to || leaves == 2) continue;
      // One entry more on the right, none of the first on the left.
      const std::string after = *to + '\0';
      EXPECT_EQ(estimate(tree, fences[i] + '\0', after).entries,
                static_cast<double>(keys.between(fences[i] + '\0', after)));
    }
  }
}

TEST(Estimate, EmptyAndInvertedRanges) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  EXPECT_EQ(estimate(tree, "", std::nullopt).entries, 0);
  EXPECT_EQ(estimate(tree, "a", "z").entries, 0);
  for (std::uint64_t i = 100; i < 2000; ++i) space.insert(tree, number_key(2 * i), "of 12 bytes!");
  EXPECT_EQ(estimate(tree, number_key(500), number_key(500)).entries, 0);
  EXPECT_EQ(estimate(tree, number_key(501), number_key(502)).entries, 0);
  EXPECT_EQ(estimate(tree, number_key(3000), number_key(300)).entries, 0);
  EXPECT_EQ(estimate(tree, "", "").entries, 0);
  EXPECT_EQ(estimate(tree, "", number_key(200)).entries, 0) << "below the first";
  EXPECT_EQ(estimate(tree, number_key(4000), std::nullopt).entries, 0) << "above the last";
  EXPECT_EQ(estimate(tree, std::string(3000, '\xFF'), std::string(3001, '\xFF')).entries, 0) << "longer than any key";
  EXPECT_EQ(estimate(tree, "", number_key(201)).entries, 1);
  EXPECT_EQ(estimate(tree, number_key(3998), std::nullopt).entries, 1);
}

// Goal: ghosts are not counted, large values at their full length, and one that claims more than the file holds not.
TEST(Estimate, GhostsAndLargeValues) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  TreeLoad load(tree);
  const auto reference = [](std::uint64_t bytes) {
    std::string ref(16, '\0');
    store_little(ref.data(), bytes);
    return ref;
  };
  must(load.add(as_bytes("a"), as_bytes("1234")));
  must(load.add(as_bytes("b"), as_bytes(reference(5000)), kSlotOverflow));
  must(load.add(as_bytes("c"), as_bytes(reference(~std::uint64_t{0})), kSlotOverflow));
  must(load.finish());
  EXPECT_EQ(estimate(tree, "", "c").entries, 2);
  EXPECT_EQ(estimate(tree, "", "c").bytes, 1 + 4 + 1 + 5000);
  EXPECT_LE(estimate(tree, "c", std::nullopt).bytes, 1.0 + space.pool->page_count() * double{kPageBytes});
  {
    LogSpace log_space(*space.log);
    must(log_space.reserve(log_bytes_for(1024)));
    ExclusiveGuard leaf = must(tree.write_leaf(as_bytes("b")));
    MiniTxn mini(*space.pool, *space.log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_node_set_ghost(payload, 1, true);
    mini.add(leaf, PageOp::kNodeSetGhost, payload.bytes());
    mini.commit();
  }
  EXPECT_EQ(estimate(tree, "", "c").entries, 1);
  EXPECT_EQ(estimate(tree, "", "c").bytes, 5);
}

// Goal: a cache that holds little more than the ways to both ends is enough.
TEST(Estimate, SmallestCache) {
  TreeSpace space(kFramesMin);
  const Tree tree = space.create_tree();
  TreeLoad load(tree);
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    keys.push_back(number_key(i));
    must(load.add(as_bytes(keys.back()), as_bytes("of 12 bytes!")));
  }
  must(load.finish());
  TestRandom random;
  check_ranges(tree, Counted(std::move(keys)), random, "smallest cache");
  EXPECT_GT(space.pool->stats().evictions, 0u);
}

// Goal: while writers split and merge everywhere, an estimate counts what stands at its ends, and the rest is of the
// right order. Method: some keys stand all the time; others come and go, many in one place at a time, so that leaves of
// very different fill lie side by side.
TEST(Estimate, BesideWriters) {
  TreeSpace space(1024);
  const Tree tree = space.create_tree();
  const std::uint64_t count = 4000;
  for (std::uint64_t i = 0; i < count; ++i) space.insert(tree, number_key(1000 * i), "of 12 bytes!");
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (std::uint64_t t = 0; t < 2; ++t) {
    writers.emplace_back([&, t] {
      TestRandom random(t + 1);
      while (!stop.load()) {
        const std::uint64_t place = 1000 * random.uniform(count);
        for (std::uint64_t i = 1; i <= 200; ++i) space.insert(tree, number_key(place + 2 * i + t), "of 12 bytes!");
        for (std::uint64_t i = 1; i <= 200; ++i) {
          const std::string key = number_key(place + 2 * i + t);
          space.remove(tree, key);
          if (i % 20 == 0) must(tree.merge_at(as_bytes(key)));
        }
      }
    });
  }
  TestRandom random;
  for (std::uint64_t i = 0; i < scaled(3000); ++i) {
    const std::uint64_t first = random.uniform(count);
    const std::uint64_t some = std::min<std::uint64_t>(1 + random.zipf(count), count - first);
    const auto guess = estimate(tree, number_key(1000 * first), number_key(1000 * (first + some)));
    // At most 2 * 200 entries more than those that stand. The first key of the range stands in the leaf at its end.
    EXPECT_LE(guess.entries, 10.0 * (static_cast<double>(some) + 400));
    EXPECT_GE(guess.entries, 1);
    if (HasFailure()) break;
  }
  stop.store(true);
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(space.content(tree).entries.size(), count);
}

}  // namespace
}  // namespace vaultgres
