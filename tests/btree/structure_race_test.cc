// Goal: the ways in which structure changes and whoever comes between their steps have gone wrong in other B+Trees do
// not happen here. Each test is named after what goes wrong. (More, with whole databases: tests/stress.)
//
// Method: a thread is stopped at one point of its protocol (NoiseStop) while another one changes the tree beneath it;
// then it goes on. This is done at several points, and at many places of a tree whose inner nodes have few children.
#include <atomic>
#include <functional>
#include <thread>

#include "base/schedule_noise.h"
#include "btree/tree_support.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

/// Ascending with the number. Thirty-two have a beginning in common as long as a key can be, so that separators are as
/// long; others differ in their first byte, so that nodes above them have no prefix and few children.
std::string race_key(std::uint64_t number) {
  std::string key(1, static_cast<char>(1 + number / 32));
  key += std::string(kKeyBytesMax - 3, 'k');
  key += static_cast<char>('a' + number / 8 % 4);
  return key + static_cast<char>('a' + number % 8);
}

std::uint64_t race_number(std::string_view key) {
  const auto digit = [&](std::size_t from_end) { return std::uint64_t(key[key.size() - from_end] - 'a'); };
  return 32 * std::uint64_t(static_cast<unsigned char>(key[0]) - 1) + 8 * digit(2) + digit(1);
}

class StructureRaceTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kNumbers = 1280;
  static constexpr ObjectId kOtherTree{41};

  /// Every other key.
  void SetUp() override {
    for (std::uint64_t i = 0; i < kNumbers; i += 2) put(i);
    ASSERT_GE(space_.content(tree_).root_level, 2u);
  }

  static std::string value_of(std::uint64_t number) {
    return std::string(inline_value_max(kKeyBytesMax) / 2, static_cast<char>('a' + number % 26));
  }
  void put(std::uint64_t number) {
    if (there_.insert(number).second) space_.insert(tree_, race_key(number), value_of(number));
  }
  void take_out(std::uint64_t number) {
    if (there_.erase(number) != 0) space_.remove(tree_, race_key(number));
  }
  void erase(std::uint64_t number) {
    take_out(number);
    must(tree_.merge_at(as_bytes(race_key(number))));
  }

  static std::uint64_t from_of(std::uint64_t middle) { return middle - std::min<std::uint64_t>(middle, 80); }
  static std::uint64_t to_of(std::uint64_t middle) { return std::min(middle + 80, kNumbers); }
  /// All around, leaves are split, and inner nodes above them.
  void fill_around(std::uint64_t middle) {
    for (std::uint64_t i = from_of(middle); i < to_of(middle); ++i) put(i);
  }
  /// All around goes but what is `kept`: leaves are merged, and inner nodes above them.
  void thin_out_around(std::uint64_t middle, std::uint64_t kept) {
    for (std::uint64_t i = from_of(middle); i < to_of(middle); ++i) {
      if (i != kept) erase(i);
    }
  }
  void restore_around(std::uint64_t middle) {
    for (std::uint64_t i = from_of(middle); i < to_of(middle); ++i) {
      if (i % 2 == 0) {
        put(i);
      } else {
        erase(i);
      }
    }
  }
  /// Another tree takes pages that are free, and keeps them.
  void reuse_pages() {
    if (!other_) other_.emplace(space_.create_tree(kOtherTree));
    for (int i = 0; i < 20; ++i, ++other_entries_) space_.insert(*other_, race_key(other_entries_), "other");
  }

  static void elsewhere(const std::function<void()>& body) { std::thread(body).join(); }

  std::size_t inner_nodes() {
    const TreeContent content = space_.content(tree_);
    return content.pages - content.leaves.size();
  }
  /// The tree is sound and holds what it should; so is the other one.
  void expect_content() {
    const TreeContent content = space_.content(tree_);
    auto expected = there_.begin();
    ASSERT_EQ(content.entries.size(), there_.size());
    for (const auto& [key, entry] : content.entries) {
      ASSERT_EQ(key, race_key(*expected));
      ASSERT_EQ(entry.value, value_of(*expected));
      ++expected;
    }
    if (other_) {
      ASSERT_EQ(space_.content(*other_).entries.size(), other_entries_);
    }
  }
  /// One that is there, from `from` on, whose leaf the next insert splits.
  std::optional<std::uint64_t> number_in_a_full_leaf(std::uint64_t from) {
    for (std::uint64_t i = from; i + 160 < kNumbers; i += 2) {
      bool full = false;
      must(tree_.read_leaf(as_bytes(race_key(i)), [&](const NodeView& leaf) {
        full = !leaf.has_room(kKeyBytesMax, inline_value_max(kKeyBytesMax));
      }));
      if (full) return i;
    }
    return std::nullopt;
  }
  std::string key_before(std::uint64_t number) {
    const auto at = there_.lower_bound(number);
    return at == there_.begin() ? "" : race_key(*std::prev(at));
  }

  const Watchdog watchdog_{"changes of a tree beneath who is stopped", std::chrono::seconds(300)};
  TreeSpace space_{1024};
  const Tree tree_ = space_.create_tree();
  std::set<std::uint64_t> there_;
  std::optional<Tree> other_;
  std::uint64_t other_entries_ = 0;
};

// --- Readers

/// The greatest key below `to`.
std::string step_back(const Tree& tree, std::string to) {
  for (std::string found;;) {
    std::string low;
    must(tree.read_leaf(
        {Tree::Target::Kind::kBelow, as_bytes(to)},
        [&](const NodeView& leaf) {
          const unsigned slot = leaf.lower_bound(as_bytes(to)).slot;
          found = slot == 0 ? "" : key_of(leaf, slot - 1);
          low = as_text(leaf.low_fence());
        },
        Hint::kNormal));
    if (!found.empty() || low.empty()) return found;
    to = low;
  }
}

TEST_F(StructureRaceTest, AStepBackLandsElsewhereWhenAnInnerNodeIsSplitDuringTheDescent) {
  std::size_t inner_splits = 0;
  std::uint64_t at = 101;
  for (const NoisePoint point : {NoisePoint::kDescentChildFound, NoisePoint::kDescentChildRead}) {
    for (const unsigned level : {1u, 2u}) {  // from above
      for (const bool merges : {false, true}) {
        SCOPED_TRACE(std::string(kNoiseNames[static_cast<std::size_t>(point)]) + (merges ? ", merges" : ", splits"));
        const std::size_t before = inner_nodes();
        const NoiseStop stop(
            point, [&] { elsewhere([&] { merges ? thin_out_around(at, at - 1) : fill_around(at); }); }, level);
        const std::string found = step_back(tree_, race_key(at));
        ASSERT_TRUE(stop.reached());
        EXPECT_EQ(found, key_before(at));
        inner_splits += inner_nodes() > before;
        expect_content();
        restore_around(at);
        at += 140;
      }
    }
  }
  EXPECT_GE(inner_splits, 1u) << "the tree is too low to tell anything";
}

TEST_F(StructureRaceTest, ASearchUsesThePrefixThatItsLeafHadBeforeASplitOrMerge) {
  for (std::uint64_t at = 96; at + 96 < kNumbers; at += 220) {
    for (const bool merges : {false, true}) {
      const std::string key = race_key(at);
      unsigned visits = 0;
      std::string found;
      std::string value;
      must(tree_.read_leaf(as_bytes(key), [&](const NodeView& leaf) {
        // The place by the leaf as it is, the key and its value by what becomes of it meanwhile.
        const unsigned slot = leaf.lower_bound(as_bytes(key)).slot;
        if (visits++ == 0) elsewhere([&] { merges ? thin_out_around(at, at) : fill_around(at); });
        found = key_of(leaf, slot);
        value = as_text(leaf.value(slot));
      }));
      EXPECT_GE(visits, 2u) << "what had changed was believed";
      EXPECT_EQ(found, key);
      EXPECT_EQ(value, value_of(at));
      expect_content();
      restore_around(at);
    }
  }
}

/// A leaf that a scan has read.
struct ScannedLeaf {
  Tree::Trail trail;
  std::string low;
  std::vector<std::string> keys;
};

/// The keys from `from` on in its leaf.
std::vector<std::string> scan_on(const Tree& tree, const std::string& from, Tree::Trail& trail, std::string* low) {
  std::vector<std::string> keys;
  must(tree.read_leaf(
      {Tree::Target::Kind::kCovering, as_bytes(from)},
      [&](const NodeView& leaf) {
        keys.clear();
        if (low != nullptr) *low = as_text(leaf.low_fence());
        for (unsigned i = leaf.lower_bound(as_bytes(from)).slot; i < leaf.count(); ++i) keys.push_back(key_of(leaf, i));
      },
      Hint::kScan, trail));
  return keys;
}

TEST_F(StructureRaceTest, AScanThatGoesOnWhereItStoodFindsHalfOfASplit) {
  for (const NoisePoint point : {NoisePoint::kSplitChecked, NoisePoint::kSplitCreated, NoisePoint::kSplitLogged}) {
    for (std::uint64_t at = 96; at + 96 < kNumbers; at += 300) {
      SCOPED_TRACE(kNoiseNames[static_cast<std::size_t>(point)]);
      ScannedLeaf leaf;
      scan_on(tree_, race_key(at), leaf.trail, &leaf.low);
      leaf.keys = scan_on(tree_, leaf.low, leaf.trail, nullptr);
      if (leaf.keys.size() < 2) continue;
      const std::string last = leaf.keys.back();
      // The other thread looks while the leaf's split is under way; it has to wait, and so cannot be waited for.
      std::thread reader;
      std::vector<std::string> found;
      const NoiseStop stop(point, [&] {
        std::atomic<bool> begun{false};
        reader = std::thread([&, begun_there = &begun] {
          begun_there->store(true);
          found = scan_on(tree_, last, leaf.trail, nullptr);
        });
        while (!begun.load()) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
      must(tree_.make_room(as_bytes(last), kPageBytes));  // no leaf has so much
      ASSERT_TRUE(stop.reached()) << "the leaf was not split";
      reader.join();
      ASSERT_FALSE(found.empty());
      EXPECT_EQ(found.front(), last) << "a key that was there all along was skipped";
      expect_content();
      restore_around(at);
    }
  }
}

// --- Changes

TEST_F(StructureRaceTest, AMergeOfALastChildGoesByAParentThatHasBeenSplitMeanwhile) {
  const std::uint64_t before = space_.pages_allocated();
  for (const NoisePoint point :
       {NoisePoint::kDescentChildFound, NoisePoint::kDescentChildRead, NoisePoint::kPathBeforeLatch}) {
    for (std::uint64_t at = 96; at + 96 < kNumbers; at += 70) {
      SCOPED_TRACE(kNoiseNames[static_cast<std::size_t>(point)]);
      // Of a leaf everything but one goes; then its merge is overtaken by splits around it.
      Tree::Trail trail;
      std::string low;
      scan_on(tree_, race_key(at), trail, &low);
      for (const std::string& key : scan_on(tree_, low, trail, nullptr)) {
        if (race_number(key) != at) take_out(race_number(key));
      }
      const NoiseStop stop(point, [&] {
        elsewhere([&] {
          for (std::uint64_t i = from_of(at); i < to_of(at); ++i) {
            if (i + 12 < at || i > at + 12) put(i);
          }
        });
      });
      must(tree_.merge_at(as_bytes(race_key(at))));
      ASSERT_TRUE(stop.reached());
      expect_content();
      restore_around(at);
    }
  }
  for (std::uint64_t i = 0; i < kNumbers; ++i) erase(i);
  EXPECT_EQ(space_.content(tree_).pages, 1u) << "nodes that cannot go any more";
  EXPECT_LT(space_.pages_allocated(), before);
}

TEST_F(StructureRaceTest, ASplitOfANodeThatHasGoneMeanwhileLosesKeys) {
  for (const NoisePoint point : {NoisePoint::kSplitReserved, NoisePoint::kDescentChildFound,
                                 NoisePoint::kDescentChildRead, NoisePoint::kPathBeforeLatch}) {
    unsigned full_leaves = 0;
    SCOPED_TRACE(kNoiseNames[static_cast<std::size_t>(point)]);
    std::uint64_t begin = 96;
    while (const std::optional<std::uint64_t> full = number_in_a_full_leaf(begin)) {
      begin = *full + 300;
      ++full_leaves;
      const std::uint64_t at = *full;
      Tree::Trail parked;  // of a scan that stands on the node
      scan_on(tree_, race_key(at), parked, nullptr);
      const NoiseStop stop(point, [&] {
        elsewhere([&] {
          thin_out_around(at, at);
          reuse_pages();
        });
      });
      must(tree_.make_room(as_bytes(race_key(at)), inline_value_max(kKeyBytesMax)));
      ASSERT_TRUE(stop.reached());
      const std::vector<std::string> found = scan_on(tree_, race_key(at), parked, nullptr);
      ASSERT_FALSE(found.empty());
      EXPECT_EQ(found.front(), race_key(at));
      expect_content();
      restore_around(at);
    }
    EXPECT_GT(full_leaves, 0u);
  }
}

// Also where frames are short, so that each waits for others to give some back.
TEST_F(StructureRaceTest, SplitsAndMergesOfTheSameNodesMixUpTheirBoundaries) {
  for (const bool short_of_frames : {false, true}) {
    std::vector<FrameTicket> taken;
    if (short_of_frames) {
      space_.evict_all();
      taken = space_.take_frames(space_.pool->stats().frames - kFramesMin - 2 * 8);
    }
    for (const NoisePoint point : {NoisePoint::kSplitParentFull, NoisePoint::kSplitReserved,
                                   NoisePoint::kMergeBeforeFreed, NoisePoint::kPathBeforeLatch}) {
      const bool splits = point != NoisePoint::kMergeBeforeFreed;
      SCOPED_TRACE(std::string(kNoiseNames[static_cast<std::size_t>(point)]) + (short_of_frames ? ", few frames" : ""));
      unsigned stops = 0;
      for (std::uint64_t at = 97; at + 97 < kNumbers; at += 150) {
        {
          const auto change = [&](bool inserts) {
            for (std::uint64_t i = from_of(at); i < to_of(at); ++i) {
              if (inserts && i % 2 == 1) put(i);
              if (!inserts && i % 2 == 0) erase(i);
            }
          };
          const NoiseStop stop(point, [&] { elsewhere([&] { change(!splits); }); });
          change(splits);
          stops += stop.reached();
        }
        expect_content();
        restore_around(at);
      }
      if (point != NoisePoint::kSplitParentFull) {
        EXPECT_GT(stops, 0u);
      }
    }
  }
}

// --- Latches

// Whoever shares a page's latch reads the same bytes for as long as he does.
TEST_F(StructureRaceTest, APageIsChangedUnderASharedLatch) {
  for (std::uint64_t at = 97; at + 97 < kNumbers; at += 150) {
    PageId id = kNoPage;
    {
      const ExclusiveGuard leaf = must(tree_.write_leaf(as_bytes(race_key(at))));
      id = leaf.id();
    }
    std::thread writer;
    {
      const SharedGuard held = must(space_.pool->shared(id, Hint::kNormal));
      const std::string before(as_text(held.page()));
      std::atomic<bool> begun{false};
      writer = std::thread([&, begun_there = &begun] {
        begun_there->store(true);
        put(at);
        fill_around(at);
        thin_out_around(at, at);
      });
      while (!begun.load()) std::this_thread::yield();
      for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        EXPECT_TRUE(as_text(held.page()) == before) << "page " << raw(id);
      }
    }
    writer.join();
    expect_content();
    restore_around(at);
  }
}

}  // namespace
}  // namespace vaultgres
