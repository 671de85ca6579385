// Goal: a range in pieces is the range, whatever it is and however the tree changes; the pieces are about as large as
// each other; a scan of them side by side gives every entry once, stops when it is told to, and keeps no error to
// itself.
//
// Method: pieces of random ranges against one cursor over the whole; counts of the pieces of a large map; scans beside
// threads that insert and erase between entries that stay; reads that fail.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "support/random.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

Entries entries_of(const Map& map, const KeyRange& range) {
  Entries entries;
  Cursor cursor = map.cursor(range);
  for (;;) {
    const Result<bool> more = cursor.next();
    EXPECT_TRUE(more) << test_text(more);
    if (!more || !*more) return entries;
    entries.emplace_back(cursor.key(), cursor.value());
  }
}

class ParallelScanTest : public ::testing::Test {
 protected:
  void fill(int count) {
    MapLoad load = *db_.load_map("m");
    for (int i = 0; i < count; ++i) ASSERT_OK(load.add(numbered_key(i), "value " + std::to_string(i)));
    ASSERT_OK(load.finish());
    map_.emplace(*db_.open_map("m"));
  }
  KeyRange random_range(int count) {
    const auto end = [&](std::optional<std::string>& key) {
      if (random_.one_in(5)) return;
      key = numbered_key(static_cast<int>(random_.uniform(static_cast<std::uint64_t>(count))));
      if (random_.one_in(3)) *key += 'x';
    };
    KeyRange range;
    end(range.from);
    end(range.to);
    range.from_inclusive = random_.one_in(2);
    range.to_inclusive = random_.one_in(2);
    return range;
  }

  Database db_ = *Database::open_in_memory(small_options());
  std::optional<Map> map_;
  TestRandom random_;
};

TEST_F(ParallelScanTest, PiecesLeaveOutOrRepeatEntries) {
  constexpr int kEntries = 20000;
  fill(kEntries);
  for (std::uint64_t round = 0; round < 2 + scaled(30); ++round) {
    const KeyRange range = random_range(kEntries);
    const auto pieces = static_cast<unsigned>(1 + random_.uniform(20));
    const auto parts = map_->partition(range, pieces);
    ASSERT_OK(parts);
    ASSERT_GE(parts->size(), 1u);
    ASSERT_LE(parts->size(), pieces);
    Entries all;
    for (const KeyRange& part : *parts) {
      const Entries some = entries_of(*map_, part);
      all.insert(all.end(), some.begin(), some.end());
    }
    ASSERT_EQ(all, entries_of(*map_, range));
  }
}

TEST_F(ParallelScanTest, OnePieceHoldsMostOfTheRange) {
  constexpr int kEntries = 60000;
  fill(kEntries);
  for (const unsigned pieces : {2u, 3u, 8u, 16u}) {
    const auto parts = map_->partition(KeyRange::all(), pieces);
    ASSERT_OK(parts);
    ASSERT_EQ(parts->size(), pieces);
    for (const KeyRange& part : *parts) {
      const std::uint64_t count = *map_->count(part);
      EXPECT_GT(count, kEntries / pieces / 3);
      EXPECT_LT(count, kEntries / pieces * 3);
    }
  }
}

TEST_F(ParallelScanTest, AMapOfOneLeafIsCut) {
  fill(3);
  KeyRange range;
  range.from = numbered_key(1);
  const auto parts = map_->partition(range, 4);
  ASSERT_OK(parts);
  ASSERT_EQ(parts->size(), 1u);
  EXPECT_EQ(entries_of(*map_, parts->front()).size(), 2u);
  EXPECT_EQ(parts->front().from, range.from);
  EXPECT_FALSE(parts->front().to);
}

TEST_F(ParallelScanTest, ThreadsMissRepeatOrMixUpEntries) {
  constexpr int kEntries = 20000;
  fill(kEntries);
  for (const unsigned threads : {1u, 2u, 5u, 16u}) {
    const KeyRange range = random_range(kEntries);
    std::vector<Entries> found(threads);
    ASSERT_OK(map_->parallel_scan(range, threads, [&](unsigned piece, std::string_view key, std::string_view value) {
      found.at(piece).emplace_back(key, value);
      return true;
    }));
    Entries all;
    for (const Entries& some : found) all.insert(all.end(), some.begin(), some.end());
    ASSERT_EQ(all, entries_of(*map_, range));
  }
}

TEST_F(ParallelScanTest, ItGoesOnAfterItWasToldToStop) {
  constexpr int kEntries = 60000;
  fill(kEntries);
  std::atomic<int> visits{0};
  ASSERT_OK(map_->parallel_scan(KeyRange::all(), 4, [&](unsigned piece, std::string_view, std::string_view) {
    ++visits;
    return piece != 1;
  }));
  EXPECT_LT(visits.load(), kEntries);
}

TEST_F(ParallelScanTest, MistakesOfTheCallerAreNotTold) {
  fill(10);
  const auto nothing = [](unsigned, std::string_view, std::string_view) { return true; };
  EXPECT_ERROR(kInvalidArgument, map_->partition(KeyRange::all(), 0));
  EXPECT_ERROR(kInvalidArgument, map_->partition(KeyRange::all(), Map::kMaxPieces + 1));
  EXPECT_ERROR(kInvalidArgument, map_->parallel_scan(KeyRange::all(), 0, nothing));
  EXPECT_ERROR(kInvalidArgument, map_->parallel_scan(KeyRange::all(), Map::kMaxScanThreads + 1, nothing));
  ASSERT_OK(db_.drop_map("m"));
  EXPECT_FALSE(map_->partition(KeyRange::all(), 2));
  EXPECT_FALSE(map_->parallel_scan(KeyRange::all(), 2, nothing));
}

TEST(ParallelScanErrorTest, AFailedReadOfOneThreadIsTakenForItsEnd) {
  constexpr int kEntries = 40000;  // more than the cache holds
  SimFileSystem disk;
  Database db = *open_on(disk);
  MapLoad load = *db.load_map("m");
  for (int i = 0; i < kEntries; ++i) ASSERT_OK(load.add(numbered_key(i), std::string(100, 'v')));
  Map map = *load.finish();
  disk.inject({.call = IoCall::kRead, .at = 100, .os_error = EIO, .sticky = true, .path_contains = "data.vg"});
  std::atomic<int> visits{0};
  const Status done = map.parallel_scan(KeyRange::all(), 4, [&](unsigned, std::string_view, std::string_view) {
    ++visits;
    return true;
  });
  EXPECT_FALSE(done);
  EXPECT_LT(visits.load(), kEntries);
}

/// Every second key stays; the others come and go.
TEST_F(ParallelScanTest, AnEntryIsMissedOrRepeatedBesideSplitsAndMerges) {
  constexpr int kEntries = 8000;
  Map map = *db_.create_map("m");
  for (int i = 0; i < kEntries; i += 2) ASSERT_OK(map.put(numbered_key(i), std::string(60, 's')));
  std::atomic<bool> over{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([&, w] {
      // All between two that stay, in waves: leaves split and merge.
      for (bool insert = true; !over.load(); insert = !insert) {
        for (int i = 1 + 2 * w; i < kEntries && !over.load(); i += 4) {
          const bool done = insert ? map.put(numbered_key(i), std::string(200, 'g')).has_value()
                                   : map.erase(numbered_key(i)).has_value();
          ASSERT_TRUE(done);
        }
      }
    });
  }
  for (std::uint64_t round = 0; round < 2 + scaled(20) && !HasFailure(); ++round) {
    std::vector<std::vector<std::string>> found(3);
    const Status done =
        map.parallel_scan(KeyRange::all(), 3, [&](unsigned piece, std::string_view key, std::string_view value) {
          if (value.front() == 's') found.at(piece).emplace_back(key);
          return true;
        });
    EXPECT_TRUE(done);
    std::vector<std::string> all;
    for (const auto& some : found) all.insert(all.end(), some.begin(), some.end());
    EXPECT_EQ(all.size(), std::size_t{kEntries / 2});
    for (std::size_t i = 0; i < all.size() && !HasFailure(); ++i)
      EXPECT_EQ(all[i], numbered_key(static_cast<int>(2 * i)));
  }
  over.store(true);
  for (std::thread& writer : writers) writer.join();
  expect_sound(db_);
}

}  // namespace
}  // namespace vaultgres
