// Goal: what is known to go wrong in trees when they change their shape does not, whatever the lengths of keys, and
// whatever fails or dies meanwhile. One test for each.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "btree/node.h"
#include "db/allocation_support.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "txn/overflow.h"

namespace vaultgres {
namespace {

using MakeKey = std::function<std::string(TestRandom&)>;

std::string group(TestRandom& random) {
  return std::string(1, static_cast<char>('a' + random.uniform(8)));
}
/// Keys of a group differ in their last bytes only, so that separators are as long as keys; groups in their first one,
/// so that these have no common prefix. So a node has few children.
std::string longest_key(TestRandom& random) {
  return group(random) + std::string(kKeyBytesMax - 3, 'k') + random.bytes(2);
}

/// A cursor that stands somewhere, or before the first entry. It may see what was changed since then, or not.
struct Standing {
  Cursor cursor;
  std::optional<std::string> key;
  std::set<std::string> changed;
};

/// Puts and erases, a time more of the one, then more of the other, beside cursors whose every step is compared.
class ShapeTest : public ::testing::Test {
 protected:
  void run(const MakeKey& make_key, std::size_t value_bytes_max) {
    for (int i = 0; i < 4; ++i) standing_.push_back({map_.cursor(), std::nullopt, {}});
    const std::uint64_t operations = 400 + scaled(3000);
    unsigned highest = 0;
    // Puts have the upper hand in every other stretch: one of them makes the tree high enough.
    for (std::uint64_t i = 0; (i < operations || (highest < 3 && i < 10 * operations)) && !HasFailure(); ++i) {
      const bool erases = i / 400 % 2 == 1;
      if (random_.one_in(8) != erases && !content_.empty()) {
        erase(std::next(content_.begin(), static_cast<long>(random_.uniform(content_.size())))->first);
      } else {
        put(make_key(random_), std::string(random_.uniform(value_bytes_max + 1), 'v'));
      }
      step(standing_[i % standing_.size()]);
      if (i % 50 == 0) expect_sound(db_);
      if (i % 50 == 0) highest = std::max(highest, db_.map_stats("m")->height);
    }
    EXPECT_TRUE(content_of(map_) == content_);
    EXPECT_GE(highest, 3u);
    while (!content_.empty() && !HasFailure()) {
      erase(content_.begin()->first);
      step(standing_[content_.size() % standing_.size()]);
    }
    expect_sound(db_);
  }

 private:
  void put(const std::string& key, const std::string& value) {
    ASSERT_OK(map_.put(key, value));
    content_[key] = value;
    note(key);
  }
  void erase(const std::string key) {
    const Result<bool> erased = map_.erase(key);
    ASSERT_OK(erased);
    EXPECT_TRUE(*erased);
    content_.erase(key);
    note(key);
  }
  void note(const std::string& key) {
    for (Standing& standing : standing_) standing.changed.insert(key);
  }
  /// It goes on to the next entry, and skips none that was there all along.
  void step(Standing& standing) {
    auto next = standing.key ? content_.upper_bound(*standing.key) : content_.begin();
    const Result<bool> more = standing.cursor.next();
    ASSERT_OK(more);
    for (; next != content_.end() && (!*more || next->first < standing.cursor.key()); ++next) {
      ASSERT_TRUE(standing.changed.contains(next->first)) << "skipped";
    }
    if (!*more || random_.one_in(50)) {
      standing = {map_.cursor(), std::nullopt, {}};
      return;
    }
    const std::string key(standing.cursor.key());
    ASSERT_TRUE(!standing.key || key > *standing.key) << "turned back";
    ASSERT_TRUE(content_.contains(key) || standing.changed.contains(key)) << "never there";
    standing.key = key;
  }

  TestRandom random_;
  Database db_ = *Database::open_in_memory([] {
    Options options = small_options();
    options.durability = Durability::kRelaxed;
    return options;
  }());
  Map map_ = *db_.create_map("m");
  Content content_;
  std::vector<Standing> standing_;
};

// A separator that moves up may be longer than the one it replaces, and have no room there.
TEST_F(ShapeTest, DeletingMakesTheTreeDeeperAndACursorLosesItsPlace) {
  run(
      [](TestRandom& random) {
        if (random.one_in(3)) return random.bytes(random.between(1, 8));
        return group(random) + std::string(random.uniform(kKeyBytesMax - 2), 'k') + random.bytes(2);
      },
      kPageBytes / 16);
}

TEST_F(ShapeTest, LongSeparatorsHaveNoRoomInSplitsAndMerges) {
  run(longest_key, kPageBytes / 8);
}

TEST_F(ShapeTest, LargeBlankKeysAreMixedUp) {
  run(
      [](TestRandom& random) {
        const char blank = random.one_in(3) ? '\0' : random.one_in(2) ? ' ' : '\xFF';
        return std::string(random.between(0, kKeyBytesMax), blank);
      },
      kPageBytes / 8);
}

TEST(MergeCasesTest, EmptyNodesWithTheLongestFencesAreNeverMerged) {
  Database db = *Database::open_in_memory(small_options());
  Map map = *db.create_map("m");
  TestRandom random;
  std::vector<std::string> keys;
  for (int i = 0; i < 300; ++i) {
    keys.push_back(longest_key(random));
    ASSERT_OK(map.put(keys.back(), "value"));
  }
  ASSERT_GE(db.map_stats("m")->height, 3u);
  while (!keys.empty()) {
    std::swap(keys[random.uniform(keys.size())], keys.back());
    ASSERT_OK(map.erase(keys.back()));
    keys.pop_back();
  }
  // In the background, the root last.
  EXPECT_TRUE(comes_true([&] { return db.map_stats("m")->leaf_pages == 1 && db.map_stats("m")->height == 1; }));
  expect_sound(db);
}

TEST(SplitCasesTest, ASplitThatFindsNoSpaceLosesTheWayToALeaf) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  Map map = *db.create_map("m");
  TestRandom random;
  Content content;
  const auto put = [&] {
    const std::string key = random.bytes(random.between(1, kKeyBytesMax));
    const std::string value(random.uniform(kPageBytes / 8), 'v');
    const Status done = map.put(key, value);
    if (done) content[key] = value;
    return done;
  };
  for (int i = 0; i < 200; ++i) ASSERT_OK(put());
  for (int round = 0; round < 4; ++round) {
    disk.limit_space(disk.used_bytes());
    const std::uint64_t failures = 20 + scaled(80);
    std::uint64_t failed = 0;
    for (std::uint64_t i = 0; failed < failures && i < 1000 * failures; ++i) {
      const Status done = put();
      if (done) continue;
      ASSERT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
      ++failed;
    }
    EXPECT_EQ(failed, failures);
    EXPECT_TRUE(content_of(map) == content);
    expect_sound(db);
    disk.limit_space(std::nullopt);
    for (int i = 0; i < 50; ++i) ASSERT_OK(put());
    EXPECT_TRUE(content_of(map) == content);
    expect_sound(db);
  }
}

TEST(SplitCasesTest, ASplitThatFindsNoMemoryLosesTheWayToALeaf) {
  const AllocationsFail spared(false);
  SimFileSystem disk;
  const auto files = spare_allocations_of(disk);
  Database db = *open_on(*files);
  Map map = *db.create_map("m");
  TestRandom random;
  Content content;
  std::uint64_t failed = 0;
  const std::uint64_t puts = 40 + scaled(100);
  for (std::uint64_t i = 0; i < puts && !::testing::Test::HasFailure(); ++i) {
    const std::string key = random.bytes(kKeyBytesMax);
    const std::string value(kPageBytes / 8, 'v');
    for (std::uint64_t at = 1;; ++at) {
      AllocationFault fault(at);
      const Status done = expose("put", [&] { return map.put(key, value); });
      fault.stop();
      if (done) break;
      ASSERT_EQ(done.error().code(), ErrorCode::kOutOfMemory) << done.error().message();
      ++failed;
      if (i % 10 != 0) continue;
      EXPECT_FALSE(*map.contains(key));
      expect_sound(db);
    }
    content[key] = value;
  }
  EXPECT_GT(failed, 0u);
  EXPECT_GE(db.map_stats("m")->height, 2u);
  EXPECT_TRUE(content_of(map) == content);
  expect_sound(db);
}

/// A map's content after each step, and how much of the trace there was when the step was acknowledged.
struct AckedStep {
  std::size_t position;
  Content content;
};

TEST(RootCasesTest, ACrashAroundARootSplitOrCollapseLosesTheRoot) {
  SimFileSystem disk;
  std::vector<AckedStep> steps;
  std::vector<std::size_t> changes;  // of the height: numbers of steps
  {
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    steps.push_back({disk.position(), {}});
    unsigned height = 1;
    const auto acknowledged = [&](Content content) {
      steps.push_back({disk.position(), std::move(content)});
      const unsigned now = db.map_stats("m")->height;
      if (now != height) changes.push_back(steps.size() - 1);
      height = now;
    };
    TestRandom random;
    while (height < 3) {
      Content content = steps.back().content;
      const std::string key = longest_key(random);
      ASSERT_OK(map.put(key, content[key] = std::string(kPageBytes / 8, 'v')));
      acknowledged(std::move(content));
    }
    while (!steps.back().content.empty()) {
      Content content = steps.back().content;
      ASSERT_TRUE(*map.erase(content.begin()->first));
      content.erase(content.begin());
      acknowledged(std::move(content));
    }
    // At the latest in the background.
    ASSERT_TRUE(comes_true([&] { return db.map_stats("m")->height < 3; }));
    acknowledged({});
  }
  ASSERT_GE(changes.size(), 3u) << "it grew twice, and shrank";
  std::uint64_t seed = 0;
  for (const std::size_t change : changes) {
    const std::size_t from = steps[change < 3 ? 0 : change - 3].position;
    const std::size_t to = steps[std::min(change + 1, steps.size() - 1)].position;
    for (std::size_t at = from; at <= to && !::testing::Test::HasFailure(); ++at, ++seed) {
      const auto after = disk.power_cut(at, kPowerCuts[seed % std::size(kPowerCuts)], seed);
      Database db = *open_on(*after);
      const Content found = content_of(*db.open_map("m"));
      std::size_t acked = 0;
      while (acked + 1 < steps.size() && steps[acked + 1].position <= at) ++acked;
      const bool right =
          found == steps[acked].content || (acked + 1 < steps.size() && found == steps[acked + 1].content);
      EXPECT_TRUE(right) << "cut at " << at << ", " << acked << " steps acknowledged";
      expect_sound(db);
    }
  }
}

TEST(LargeValueCasesTest, AForgedLengthTakesMemory) {
  SimFileSystem disk;
  const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
  Database db = internal::make_database(core);
  for (const std::uint64_t bytes :
       {std::uint64_t{kMaxValueBytes}, std::uint64_t{kMaxValueBytes} + 1, ~std::uint64_t{0}, std::uint64_t{1} << 32}) {
    OverflowRef ref{};
    ref.bytes.set(bytes);
    ref.head.set(5);
    std::string value;
    reset_allocated_bytes_peak();
    const std::size_t before = allocated_bytes();
    EXPECT_ERROR(kCorruption, read_chain(core->engine(), ObjectId{20}, std::as_bytes(std::span(&ref, 1)), value));
    EXPECT_LT(allocated_bytes_peak() - before, std::size_t{1} << 20);
  }
  ASSERT_OK(db.close());
}

}  // namespace
}  // namespace vaultgres
