// Goal: the ways in which concurrent B+Trees have gone wrong elsewhere do not happen here. Each test is named after
// what goes wrong. Most matter with 1-KiB pages, whose trees are deep and whose leaves split and merge all the time.
// Scans beside many writers: scan_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

#include "stress/stress_support.h"
#include "support/database.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

class ConcurrencyTest : public ::testing::Test {
 protected:
  ConcurrencyTest() : db_(*Database::open_in_memory(options())), map_(*db_.create_map("m")) {}
  static Options options() {
    Options options = small_options();
    options.durability = Durability::kRelaxed;
    return options;
  }

  void put(std::uint64_t i, std::size_t bytes = 60) { ASSERT_OK(map_.put(number_key(i), std::string(bytes, 'v'))); }
  void erase(std::uint64_t i) { ASSERT_OK(map_.erase(number_key(i))); }

  /// While others change what lies between the keys that stay.
  void while_neighbours_change(unsigned threads, std::uint64_t keys, std::uint64_t kept_every,
                               const std::function<void()>& reading) {
    vaultgres::while_neighbours_change(map_, {threads, keys, kept_every, nullptr}, reading);
  }

  Watchdog watchdog_{"a test of concurrency", std::chrono::seconds(120)};
  Database db_;
  Map map_;
};

TEST_F(ConcurrencyTest, AParkedScannerLosesRowsWhenItsLeavesAreMergedAndReused) {
  constexpr std::uint64_t kKeys = 4000;
  TestRandom random;
  Map other = *db_.create_map("other");
  for (std::uint64_t round = 0; round < scaled(20); ++round) {
    for (std::uint64_t i = 0; i < kKeys; ++i) put(i);
    const std::uint64_t parked = random.uniform(kKeys);
    for (const bool forward : {true, false}) {
      Cursor cursor = map_.cursor();
      ASSERT_TRUE(*cursor.seek(number_key(parked)));
      // All around it goes, except every 50th; the freed pages are taken by another map; then some come back.
      for (std::uint64_t i = 0; i < kKeys; ++i) {
        if (i % 50 != 0) erase(i);
      }
      for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_OK(other.put("foreign" + number_key(i), std::string(80, 'f')));
      for (std::uint64_t i = 1; i < kKeys; i += 50) put(i, 90);
      std::uint64_t indelible = 0;
      std::string last(cursor.key());
      for (;;) {
        const Result<bool> more = forward ? cursor.next() : cursor.prev();
        ASSERT_OK(more);
        if (!*more) break;
        ASSERT_TRUE(forward ? cursor.key() > last : cursor.key() < last) << last << ", then " << cursor.key();
        ASSERT_EQ(cursor.key().size(), 8u) << "a foreign row";
        last = cursor.key();
        if (std::stoull(last) % 50 == 0) ++indelible;
      }
      const std::uint64_t at_or_below = parked / 50 + 1;
      const std::uint64_t below = (parked + 49) / 50;
      EXPECT_EQ(indelible, forward ? kKeys / 50 - at_or_below : below) << "parked at " << parked;
      for (std::uint64_t i = 0; i < kKeys; ++i) put(i);
      for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_OK(other.erase("foreign" + number_key(i)));
    }
  }
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, DisjointInsertsLoseAKey) {
  for (std::uint64_t round = 0; round < scaled(15); ++round) {
    Map map = *db_.create_map("disjoint" + std::to_string(round));
    constexpr std::uint64_t kEach = 250;
    // Odd rounds interleave the ranges, so that all threads split the same leaves.
    const auto key = [&](unsigned t, std::uint64_t i) {
      return number_key(round % 2 == 0 ? t * kEach + i : i * 8 + t);
    };
    on_threads(8, [&](unsigned t) {
      for (std::uint64_t i = 0; i < kEach; ++i) ASSERT_OK(map.insert(key(t, i), std::string(i % 90, 'v')));
    });
    for (unsigned t = 0; t < 8; ++t) {
      for (std::uint64_t i = 0; i < kEach; ++i) ASSERT_TRUE(*map.contains(key(t, i))) << "thread " << t << ", " << i;
    }
    ASSERT_EQ(*map.count(), 8 * kEach);
  }
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, APointReadMissesAKeyWhoseNeighboursSplitAndMerge) {
  constexpr std::uint64_t kKeys = 3000;
  for (std::uint64_t i = 0; i < kKeys; i += 10) put(i, i % 150);
  while_neighbours_change(3, kKeys, 10, [&] {
    TestRandom random;
    for (std::uint64_t read = 0; read < scaled(60000); ++read) {
      const std::uint64_t i = random.uniform(kKeys / 10) * 10;
      const auto value = map_.get(number_key(i));
      ASSERT_OK(value);
      ASSERT_TRUE(value->has_value()) << "key " << i << " was not found";
      ASSERT_EQ(**value, std::string(i % 150, 'v'));
    }
  });
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, AReaderIsGivenAnotherPagesBytesDuringEvictions) {
  constexpr std::uint64_t kKeys = 12000;
  const auto value = [](std::uint64_t i) { return std::string(300 + i % 200, static_cast<char>('a' + i % 26)); };
  for (std::uint64_t i = 0; i < kKeys; ++i) ASSERT_OK(map_.put(number_key(i), value(i)));
  const std::uint64_t before = db_.stats()->page_evictions;
  on_threads(4, [&](unsigned t) {
    TestRandom random(t);
    for (std::uint64_t read = 0; read < scaled(10000); ++read) {
      const std::uint64_t i = random.uniform(kKeys);
      if (t == 0) {
        ASSERT_OK(map_.put(number_key(i), value(i)));
      } else {
        const auto found = map_.get(number_key(i));
        ASSERT_OK(found);
        ASSERT_EQ(*found, value(i)) << i;
      }
    }
  });
  EXPECT_GT(db_.stats()->page_evictions, before);
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, AReverseScanOfAnEmptiedRangeNeverEnds) {
  constexpr std::uint64_t kKeys = 5000;
  std::atomic<bool> done{false};
  put(0);
  put(kKeys);
  std::thread writer([&] {
    for (std::uint64_t round = 0; round < scaled(6); ++round) {
      for (std::uint64_t i = 1; i < kKeys; ++i) put(i);
      for (std::uint64_t i = 1; i < kKeys; ++i) erase(i);
    }
    done.store(true);
  });
  on_threads(2, [&](unsigned t) {
    while (!done.load()) {
      Cursor cursor = map_.cursor();
      std::string last;
      for (Result<bool> more = t == 0 ? cursor.last() : cursor.floor(number_key(kKeys / 2));; more = cursor.prev()) {
        ASSERT_OK(more);
        if (!*more) break;
        ASSERT_TRUE(last.empty() || cursor.key() < last);
        last = cursor.key();
      }
      ASSERT_EQ(last, number_key(0)) << "a scan downwards did not reach the first key";
    }
  });
  writer.join();
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, CursorsAreWrongAfterTheRootSplitOrCollapsed) {
  TestRandom random;
  Content model;
  std::vector<std::pair<Cursor, std::string>> cursors;  // with the key that each stands on or stood on
  for (std::uint64_t step = 0; step < scaled(6000); ++step) {
    const bool grow = step / 1000 % 2 == 0;  // root splits, then collapses
    const std::string key = number_key(random.uniform(2000));
    if (random.uniform(10) < (grow ? 8u : 1u)) {
      model[key] = std::string(random.uniform(100), 'v');
      ASSERT_OK(map_.put(key, model[key]));
    } else {
      auto victim = model.lower_bound(key);
      if (victim == model.end()) continue;
      ASSERT_TRUE(*map_.erase(victim->first));
      model.erase(victim);
    }
    if (model.empty()) continue;
    if (cursors.size() < 8) {
      cursors.emplace_back(map_.cursor(), "");
      ASSERT_TRUE(*cursors.back().first.first());
      cursors.back().second = cursors.back().first.key();
      continue;
    }
    // A cursor may give what its leaf held when it read it; a seek sees the newest state.
    auto& [cursor, at] = cursors[random.uniform(cursors.size())];
    ASSERT_EQ(*cursor.seek(at), model.lower_bound(at) != model.end());
    const bool forward = random.one_in(2);
    const auto here = cursor.valid() ? model.lower_bound(at) : model.end();
    if (here == model.end()) {
      at = number_key(random.uniform(2000));
      continue;
    }
    ASSERT_EQ(cursor.key(), here->first);
    ASSERT_EQ(cursor.value(), here->second);
    const Result<bool> moved = forward ? cursor.next() : cursor.prev();
    ASSERT_OK(moved);
    const auto next = std::next(here);
    ASSERT_EQ(*moved, forward ? next != model.end() : here != model.begin());
    if (*moved) {
      ASSERT_EQ(cursor.key(), forward ? next->first : std::prev(here)->first);
    }
    at = *moved ? std::string(cursor.key()) : number_key(random.uniform(2000));
  }
  EXPECT_EQ(content_of(map_), model);
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, ACursorOnTheLastEntryOfALeafSkipsWhatComesAfterIt) {
  constexpr std::uint64_t kKeys = 600;
  for (std::uint64_t i = 0; i < kKeys; ++i) put(i * 4);
  // Parked at every entry, read upwards or downwards, one goes in just behind it and the entry itself goes. The
  // cursor may still give what its leaf held before; turning round it looks again.
  for (std::uint64_t i = 0; i + 1 < kKeys; ++i) {
    Cursor cursor = map_.cursor();
    ASSERT_TRUE(*(i % 2 == 0 ? cursor.seek(number_key(i * 4)) : cursor.floor(number_key(i * 4))));
    ASSERT_EQ(cursor.key(), number_key(i * 4));
    erase(i * 4);
    put(i * 4 + 1, 100);
    ASSERT_TRUE(*cursor.next());
    if (cursor.key() == number_key(i * 4 + 1)) continue;
    ASSERT_EQ(cursor.key(), number_key((i + 1) * 4)) << "from " << i * 4;
    ASSERT_TRUE(*cursor.prev());
    ASSERT_EQ(cursor.key(), number_key(i * 4 + 1)) << "from " << i * 4;
  }
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, AKeyIsSeenByScanAndNotBySeek) {
  for (std::uint64_t round = 0; round < scaled(10); ++round) {
    on_threads(4, [&](unsigned t) {
      TestRandom random(round * 4 + t);
      for (int i = 0; i < 400; ++i) {
        const std::uint64_t key = random.uniform(500) * 4 + t;
        random.one_in(2) ? put(key, random.uniform(120)) : erase(key);
      }
    });
    const Content scanned = content_of(map_);
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::string key = number_key(i);
      const auto found = map_.get(key);
      ASSERT_OK(found);
      ASSERT_EQ(found->has_value(), scanned.contains(key)) << key;
      Cursor cursor = map_.cursor();
      ASSERT_EQ(*cursor.seek(key) && cursor.key() == key, scanned.contains(key)) << key;
    }
  }
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, DeletingEverythingUnderACursorSkipsEntries) {
  for (const bool forward : {true, false}) {
    constexpr std::uint64_t kKeys = 3000;
    for (std::uint64_t i = 0; i < kKeys; ++i) put(i);
    Cursor cursor = map_.cursor();
    std::uint64_t seen = 0;
    for (Result<bool> more = forward ? cursor.first() : cursor.last();;
         more = forward ? cursor.next() : cursor.prev()) {
      ASSERT_OK(more);
      if (!*more) break;
      ASSERT_EQ(cursor.key(), number_key(forward ? seen : kKeys - 1 - seen));
      ASSERT_TRUE(*map_.erase(cursor.key()));
      ++seen;
    }
    EXPECT_EQ(seen, kKeys);
    EXPECT_EQ(*map_.count(), 0u);
  }
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, TheEndsOfATreeWithEmptiedLeavesAreNotFound) {
  constexpr std::uint64_t kKeys = 3000;
  for (std::uint64_t i = 0; i < kKeys; ++i) put(i);
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    if (i < 1000 || i >= 2000) erase(i);
  }
  Cursor cursor = map_.cursor();
  ASSERT_TRUE(*cursor.first());
  EXPECT_EQ(cursor.key(), number_key(1000));
  EXPECT_FALSE(*cursor.prev());
  EXPECT_FALSE(*cursor.prev());
  ASSERT_TRUE(*cursor.next());
  EXPECT_EQ(cursor.key(), number_key(1000));
  ASSERT_TRUE(*cursor.last());
  EXPECT_EQ(cursor.key(), number_key(1999));
  EXPECT_FALSE(*cursor.next());
  ASSERT_TRUE(*cursor.prev());
  EXPECT_EQ(cursor.key(), number_key(1999));
  for (std::uint64_t i = 1000; i < 2000; ++i) erase(i);
  EXPECT_FALSE(*cursor.first());
  EXPECT_FALSE(*cursor.last());
  expect_sound(db_);
}

TEST_F(ConcurrencyTest, TwoScansInOppositeDirectionsHinderEachOther) {
  constexpr std::uint64_t kKeys = 2000;
  for (std::uint64_t i = 0; i < kKeys; ++i) put(i);
  Cursor up = map_.cursor();
  Cursor down = map_.cursor();
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    ASSERT_TRUE(*up.next());
    ASSERT_TRUE(*(i == 0 ? down.last() : down.prev()));
    ASSERT_EQ(up.key(), number_key(i));
    ASSERT_EQ(down.key(), number_key(kKeys - 1 - i));
  }
  EXPECT_FALSE(*up.next());
  EXPECT_FALSE(*down.prev());
}

TEST(CursorErrorTest, AScanGoesOnAfterAnErrorAndOmitsEntries) {
  SimFileSystem disk;
  Options options = small_options();
  options.durability = Durability::kRelaxed;
  Database db = *open_on(disk, options);
  Map map = *db.create_map("m");
  for (std::uint64_t i = 0; i < 8000; ++i) ASSERT_OK(map.put(number_key(i), std::string(500, 'v')));
  ASSERT_OK(db.checkpoint());
  disk.inject({.call = IoCall::kRead, .at = 20, .os_error = EIO, .sticky = true, .path_contains = "data.vg"});
  Cursor cursor = map.cursor();
  std::uint64_t seen = 0;
  Result<bool> more = cursor.next();
  for (; more && *more; more = cursor.next()) ASSERT_EQ(cursor.key(), number_key(seen++));
  ASSERT_FALSE(more) << "the scan ended after " << seen << " entries without meeting the error";
  EXPECT_EQ(more.error().code(), ErrorCode::kIo) << more.error().message();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(cursor.next());
    EXPECT_FALSE(cursor.prev());
    EXPECT_FALSE(cursor.valid());
  }
  disk.clear_faults();
  ASSERT_TRUE(*cursor.seek(number_key(seen))) << "a seek begins anew";
  EXPECT_EQ(cursor.key(), number_key(seen));
  EXPECT_EQ(content_of(map).size(), 8000u);
}

}  // namespace
}  // namespace vaultgres
