// Goal: checkpoints, recoveries and scans that meet a structure change half-way go wrong in none of the ways in which
// they have in other B+Trees. Each test is named after what goes wrong. (Within a tree: tests/btree.)
//
// Method: a thread is stopped at one point of its protocol (NoiseStop), or at a call of the file system, while another
// one does what does not suit it. What a power cut or a kill there would have left is opened and compared with what had
// been acknowledged.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>

#include "base/schedule_noise.h"
#include "stress/stress_support.h"
#include "support/database.h"
#include "support/hooked_file_system.h"
#include "support/scan_checker.h"
#include "support/sim_file_system.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

/// Keys that differ in their last bytes only, or in their first one: separators are as long as keys, and nodes have few
/// children.
std::string split_key(TestRandom& random) {
  std::string key(1, static_cast<char>('!' + random.uniform(64)));
  return key + std::string(kPageBytes / 10, 'k') + random.word(2);
}

Options race_options(Durability durability) {
  Options options = small_options();
  options.cache_bytes = std::size_t{256} << 10;
  options.durability = durability;
  options.lock_timeout = std::chrono::milliseconds(60000);
  return options;
}

/// What was acknowledged when the disk's record was so long.
struct RaceMoment {
  std::size_t position = 0;
  Content content;
};

/// The keys below `end`, as they come.
std::vector<std::string> keys_by_scan(const Map& map, bool forward, const std::string& end) {
  std::vector<std::string> keys;
  Cursor cursor = map.cursor({.from = std::nullopt, .from_inclusive = true, .to = end, .to_inclusive = false});
  for (Result<bool> more = forward ? cursor.first() : cursor.last();; more = forward ? cursor.next() : cursor.prev()) {
    EXPECT_TRUE(more) << (more ? "" : more.error().message());
    if (!more || !*more) return keys;
    keys.emplace_back(cursor.key());
  }
}

// Nobody reads while pages are redone. As soon as an open returns, scans go both ways over nodes whose neighbours it
// has deleted again, beside a writer who takes their pages.
TEST(ReplayRaceTest, AScanBackwardsIsConfusedByDeletionsThatWereReplayed) {
  const Watchdog watchdog("scans after a replay", std::chrono::seconds(300));
  SimFileSystem disk;
  std::vector<RaceMoment> moments;
  {
    // Then an erase merges leaves itself.
    Database db = *open_on(disk, race_options(Durability::kRelaxed));
    Map map = *db.create_map("m");
    TestRandom random;
    Content content;
    while (content.size() < 200) {
      const std::string key = split_key(random);
      ASSERT_OK(map.put(key, content[key] = random.word(kPageBytes / 32)));
    }
    ASSERT_OK(db.checkpoint());
    // From the middle on, both ways, so that whole neighbourhoods go.
    while (content.size() > 20) {
      auto victim = content.lower_bound("A");
      if (victim == content.end() || (victim != content.begin() && random.one_in(2))) --victim;
      ASSERT_TRUE(*map.erase(victim->first));
      content.erase(victim);
      ASSERT_OK(db.sync());
      moments.push_back({disk.position(), content});
    }
  }
  const std::string foreign = "z";
  const std::size_t cases = std::min<std::size_t>(scaled(12), moments.size());
  for (std::size_t i = 0; i < cases && !HasFailure(); ++i) {
    const RaceMoment& moment = moments[(i + 1) * moments.size() / cases - 1];
    const auto left = disk.killed(moment.position);
    Database db = *open_on(*left, race_options(Durability::kRelaxed));
    const Map map = *db.open_map("m");
    std::vector<std::string> expected;
    for (const auto& [key, value] : moment.content) expected.push_back(key);
    on_threads(3, [&](unsigned t) {
      if (t == 2) {
        Map target = map;
        for (std::uint64_t k = 0; k < 40; ++k) {
          ASSERT_OK(target.put(foreign + number_key(k), std::string(kPageBytes / 8, 'f')));
        }
        return;
      }
      for (int round = 0; round < 5; ++round) {
        std::vector<std::string> keys = keys_by_scan(map, t == 0, foreign);
        if (t == 1) std::reverse(keys.begin(), keys.end());
        ASSERT_TRUE(keys == expected) << (t == 1 ? "backwards: " : "") << keys.size() << " of " << expected.size();
      }
    });
    expect_sound(db);
  }
}

// A leaf is split, then its parent first, and a checkpoint is written between any two steps of that. Nothing later
// reaches the disk.
TEST(CheckpointRaceTest, ACheckpointDuringASplitOfInnerNodesWritesHalfOfIt) {
  const Watchdog watchdog("checkpoints during splits", std::chrono::seconds(300));
  struct Stop {
    NoisePoint point;
    unsigned nth;
  };
  // Before the leaf's, before its parent's, between the two.
  constexpr Stop kStops[] = {
      {NoisePoint::kSplitReserved, 1}, {NoisePoint::kSplitParentFull, 1}, {NoisePoint::kSplitReserved, 3}};
  const std::size_t wanted = scaled(60);
  SimFileSystem disk;
  std::vector<RaceMoment> moments;
  {
    Database db = *open_on(disk, race_options(Durability::kDurable));
    Map map = *db.create_map("m");
    TestRandom random;
    Content content;
    for (std::uint64_t i = 0; (content.size() < 300 || moments.size() < wanted) && content.size() < 1500; ++i) {
      const Stop& where = kStops[i % std::size(kStops)];
      const NoiseStop stop(
          where.point,
          [&] {
            // Written by another thread: a change must not hold what a checkpoint waits for.
            std::thread([&] { ASSERT_OK(db.checkpoint()); }).join();
            moments.push_back({disk.position(), content});
          },
          where.nth);
      const std::string key = split_key(random);
      const std::string value = random.word(kPageBytes / 32);
      ASSERT_OK(map.put(key, value));
      content[key] = value;
    }
    EXPECT_GE(db.map_stats("m")->height, 3u);
    ASSERT_FALSE(moments.empty());
  }
  const std::size_t cases = std::min(wanted, moments.size());
  for (std::size_t i = 0; i < cases && !HasFailure(); ++i) {
    const RaceMoment& moment = moments[i * moments.size() / cases];
    const PowerCut mode = i % 2 == 0 ? PowerCut::kNone : kPowerCuts[i / 2 % std::size(kPowerCuts)];
    const auto after = disk.power_cut(moment.position, mode, i);
    Database db = *open_on(*after, race_options(Durability::kDurable));
    EXPECT_TRUE(content_of(*db.open_map("m")) == moment.content) << "cut at " << moment.position;
    expect_sound(db);
  }
}

// A checkpoint's thread is stopped at each of its file calls, until a writer has acknowledged a few more changes: also
// between its superblock and the segments that it lets go of, which the writer is about to use again.
TEST(CheckpointRaceTest, ACheckpointLetsGoOfLogThatAWriterHasJustFilled) {
  const Watchdog watchdog("checkpoints beside a writer", std::chrono::seconds(300));
  constexpr std::uint64_t kRing = 300;
  const auto key_of_write = [](std::uint64_t write) { return number_key(write % kRing); };
  SimFileSystem disk;
  std::atomic<std::uint64_t> acked{0};
  std::atomic<bool> done{false};
  std::atomic<std::thread::id> checkpointer{};
  std::vector<std::size_t> positions;  // by the checkpointer
  HookedFileSystem files(disk, [&](FileCall, const std::string&) {
    if (checkpointer.load() != std::this_thread::get_id()) return;
    positions.push_back(disk.position());
    const std::uint64_t before = acked.load();
    // The writer may have to wait for this very thread.
    for (int i = 0; i < 20 && acked.load() < before + 3; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    positions.push_back(disk.position());
  });
  {
    Database db = *open_on(files, race_options(Durability::kDurable));
    Map map = *db.create_map("m");
    std::thread writer([&] {
      for (std::uint64_t write = 1; !done.load(); ++write) {
        const std::string key = key_of_write(write);
        ASSERT_OK(map.put(key, stamped_value(key, write)));
        disk.mark(std::to_string(write));
        acked.store(write);
      }
    });
    for (std::uint64_t round = 0; round < 4 + scaled(8); ++round) {
      const std::uint64_t log_end = db.stats()->log_end;
      while (db.stats()->log_end < log_end + 2 * kSegmentBytes && !HasFailure()) std::this_thread::yield();
      checkpointer.store(std::this_thread::get_id());
      const Status written = db.checkpoint();
      checkpointer.store(std::thread::id());
      EXPECT_TRUE(written) << written.error().message();
      positions.push_back(disk.position());
    }
    done.store(true);
    writer.join();
  }
  const std::size_t cases = std::min<std::size_t>(scaled(40), positions.size());
  for (std::size_t i = 0; i < cases && !HasFailure(); ++i) {
    const std::size_t position = positions[(i + 1) * positions.size() / cases - 1];
    const auto after = disk.power_cut(position, kPowerCuts[i % std::size(kPowerCuts)], i);
    Database db = *open_on(*after, race_options(Durability::kDurable));
    const Map map = *db.open_map("m");
    const std::uint64_t last = disk.marks(position).size();
    for (std::uint64_t write = last - std::min(last, kRing - 1); write <= last; ++write) {
      if (write == 0) continue;
      const std::string key = key_of_write(write);
      const auto found = map.get(key);
      ASSERT_OK(found);
      ASSERT_TRUE(found->has_value()) << "write " << write << " of " << last << " is gone, cut at " << position;
      const std::optional<std::uint64_t> stamp = stamp_of(key, **found);
      ASSERT_TRUE(stamp.has_value());
      EXPECT_TRUE(*stamp == write || *stamp == last + 1) << "of " << write << " there is " << *stamp;
    }
    expect_sound(db);
  }
}

/// A map of which one key in three always stays. What begins alike takes many leaves.
class PrefixRaceTest : public ::testing::Test {
 protected:
  PrefixRaceTest() {
    while (keys_.size() < 1500) keys_.insert(word());
    std::size_t number = 0;
    for (const std::string& key : keys_) {
      (number++ % 3 == 0 ? indelible_ : passing_).push_back(key);
      if (number % 3 != 1) continue;
      EXPECT_TRUE(map_.put(key, value_of(key)));
    }
  }
  /// Few letters, so that many keys begin alike.
  std::string word() {
    std::string word(random_.between(1, 9), '\0');
    for (char& c : word) c = static_cast<char>('a' + random_.uniform(3));
    return word;
  }
  static std::string value_of(std::string_view key) {
    return std::string(key) + std::string(kPageBytes / 14 + key.size(), '.');
  }
  /// Of those that pass, a stretch about here comes, or goes.
  void change_around(const std::string& key, bool comes) {
    const auto middle = std::lower_bound(passing_.begin(), passing_.end(), key) - passing_.begin();
    const auto end = std::min<std::ptrdiff_t>(middle + 60, std::ssize(passing_));
    for (std::ptrdiff_t i = std::max<std::ptrdiff_t>(middle - 60, 0); i < end; ++i) {
      const std::string& one = passing_[static_cast<std::size_t>(i)];
      if (comes) {
        ASSERT_OK(map_.put(one, value_of(one)));
      } else {
        ASSERT_OK(map_.erase(one));
      }
    }
  }

  /// All that begins so, or from a key among them on; the tree changes at some point of the way. What is wrong.
  std::string scan(const std::string& prefix, bool forward, bool from_within) {
    const KeyRange range = KeyRange::prefix(prefix);
    ScanChecker checker(indelible_, range, forward,
                        [](std::string_view key, std::string_view value) { return value == value_of(key); });
    const std::string begin = prefix + word();
    if (from_within) checker.seek(begin);
    constexpr NoisePoint kPoints[] = {NoisePoint::kDescentChildFound, NoisePoint::kDescentChildRead,
                                      NoisePoint::kTrailLinkRead, NoisePoint::kTrailSiblingRead,
                                      NoisePoint::kScanBeforeVersions};
    const bool comes = random_.one_in(2);
    const NoiseStop stop(
        kPoints[random_.uniform(std::size(kPoints))], [&] { std::thread([&] { change_around(begin, comes); }).join(); },
        static_cast<unsigned>(random_.between(1, 5)));
    Cursor cursor = map_.cursor(range);
    Result<bool> more =
        from_within ? (forward ? cursor.seek(begin) : cursor.floor(begin)) : (forward ? cursor.first() : cursor.last());
    for (;; more = forward ? cursor.next() : cursor.prev()) {
      if (!more) return std::string(more.error().message());
      const std::string wrong = *more ? checker.entry(cursor.key(), cursor.value()) : checker.end();
      if (!wrong.empty() || !*more) return wrong;
    }
  }

  const Watchdog watchdog_{"scans of prefixes", std::chrono::seconds(300)};
  TestRandom random_;
  Database db_ = *Database::open_in_memory(race_options(Durability::kRelaxed));
  Map map_ = *db_.create_map("m");
  std::set<std::string> keys_;
  std::vector<std::string> indelible_;
  std::vector<std::string> passing_;
};

TEST_F(PrefixRaceTest, ASearchByPrefixIsWrongWhereItsRangeIsSplitMeanwhile) {
  for (std::uint64_t i = 0; i < scaled(1500) && !HasFailure(); ++i) {
    std::string prefix = word();
    prefix.resize(random_.uniform(std::min<std::size_t>(prefix.size(), 4) + 1));
    const bool forward = random_.one_in(2);
    const std::string wrong = scan(prefix, forward, random_.one_in(2));
    EXPECT_EQ(wrong, "") << (forward ? "upwards" : "downwards") << " over what begins with \"" << prefix << '"';
    if (i % 50 != 0) continue;
    const Content content = content_of(map_);
    const auto begins_so = [&](const auto& entry) { return entry.first.starts_with(prefix); };
    EXPECT_EQ(*map_.count(KeyRange::prefix(prefix)),
              std::uint64_t(std::count_if(content.begin(), content.end(), begins_so)));
  }
  expect_sound(db_);
}

}  // namespace
}  // namespace vaultgres
