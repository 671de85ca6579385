// Goal: Map::size_estimate means the range that it is given and counts keys, values and large values; it sees what the
// pages hold now, beside writers too, and ends as every call does when the map or the database is gone.
// How close it comes: btree/estimate_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "io/memory_file_system.h"
#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

std::string wide_key(std::uint64_t i) {
  char text[32];
  std::snprintf(text, sizeof text, "key %09llu", static_cast<unsigned long long>(i));
  return text;
}

class SizeEstimateTest : public ::testing::Test {
 protected:
  SizeEstimateTest() : db_(*open_on(*files_)), map_(*db_.create_map("m")) {}

  SizeEstimate estimate(KeyRange range = {}) {
    const Result<SizeEstimate> size = map_.size_estimate(std::move(range));
    EXPECT_TRUE(size) << (size ? "" : size.error().message());
    return size ? *size : SizeEstimate{};
  }

  std::unique_ptr<FileSystem> files_ = make_memory_file_system();
  Database db_;
  Map map_;
};

TEST_F(SizeEstimateTest, TheEndsOfTheRange) {
  EXPECT_EQ(estimate().entries, 0u);
  EXPECT_EQ(estimate().bytes, 0u);
  for (int i = 1; i <= 9; ++i) ASSERT_OK(map_.put(std::to_string(i), "value"));
  EXPECT_EQ(estimate().entries, 9u);
  EXPECT_EQ(estimate().bytes, 9u * 6);
  EXPECT_EQ(estimate({.from = "3", .to = "5"}).entries, 2u);
  EXPECT_EQ(estimate({.from = "3", .to = "5"}).bytes, 12u);
  EXPECT_EQ(estimate({.from = "3", .from_inclusive = false, .to = "5"}).entries, 1u);
  EXPECT_EQ(estimate({.from = "3", .to = "5", .to_inclusive = true}).entries, 3u);
  EXPECT_EQ(estimate({.from = "3", .from_inclusive = false, .to = "4"}).entries, 0u);
  EXPECT_EQ(estimate({.from = "5", .to = "3"}).entries, 0u);
  EXPECT_EQ(estimate({.from = "5", .to = "5"}).entries, 0u);
  EXPECT_EQ(estimate({.from = "5", .to = "5", .to_inclusive = true}).entries, 1u);
  EXPECT_EQ(estimate({.from = "95", .to = {}}).entries, 0u);
  EXPECT_EQ(estimate({.from = {}, .to = "1"}).entries, 0u);
  EXPECT_EQ(estimate({.from = {}, .to = "", .to_inclusive = true}).entries, 0u);
  EXPECT_EQ(estimate(KeyRange::prefix("4")).entries, 1u);
  EXPECT_EQ(estimate({.from = std::string(5000, '4'), .to = std::string(5000, '5')}).entries, 1u);
}

TEST_F(SizeEstimateTest, LargeValuesAndErasedOnes) {
  ASSERT_OK(map_.put("large", std::string(50'000, 'v')));
  ASSERT_OK(map_.put("small", std::string(10, 'v')));
  EXPECT_EQ(estimate().entries, 2u);
  EXPECT_EQ(estimate().bytes, 50'000u + 10 + 10);
  ASSERT_TRUE(*map_.erase("large"));
  EXPECT_EQ(estimate().entries, 1u);
  EXPECT_EQ(estimate().bytes, 15u);
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "later", "v"));
  EXPECT_EQ(estimate().entries, 2u) << "open transactions count";
  ASSERT_OK(txn.rollback());
  EXPECT_EQ(estimate().entries, 1u);
}

// Random ranges of a map that is filled, thinned out and filled again at random, against counts.
TEST_F(SizeEstimateTest, RandomRanges) {
  TestRandom random;
  const std::uint64_t keys = scaled(20'000) + 100;
  const auto change = [&](std::uint64_t times, unsigned erase_one_in) {
    for (std::uint64_t i = 0; i < times; ++i) {
      const std::string key = wide_key(random.uniform(keys));
      if (random.one_in(erase_one_in)) {
        ASSERT_OK(map_.erase(key));
      } else {
        ASSERT_OK(map_.put(key, random.word(random.one_in(50) ? 2 * kPageBytes : random.uniform(60))));
      }
    }
  };
  const auto check = [&] {
    for (std::uint64_t i = 0; i < scaled(60); ++i) {
      const std::uint64_t first = random.uniform(keys);
      KeyRange range{.from = wide_key(first),
                     .from_inclusive = random.one_in(2),
                     .to = wide_key(first + random.zipf(keys)),
                     .to_inclusive = random.one_in(2)};
      if (random.one_in(10)) range.from.reset();
      if (random.one_in(10)) range.to.reset();
      if (random.one_in(20)) std::swap(range.from, range.to);
      std::uint64_t entries = 0;
      std::uint64_t bytes = 0;
      Cursor cursor = map_.cursor(range);
      for (;;) {
        const Result<bool> more = cursor.next();
        ASSERT_OK(more);
        if (!*more) break;
        ++entries;
        bytes += cursor.key().size() + cursor.value().size();
      }
      const SizeEstimate size = estimate(range);
      EXPECT_LE(size.entries, 2 * entries + 2) << "of " << entries;
      EXPECT_GE(2 * size.entries + 2, entries);
      if (entries > 5000) {  // with enough large values that their share is not chance
        EXPECT_LE(size.bytes, 4 * bytes);
        EXPECT_GE(4 * size.bytes, bytes);
      }
    }
  };
  change(keys, 1000);
  check();
  change(keys, 2);
  check();
  change(keys / 2, 4);
  check();
  expect_sound(db_);
}

TEST_F(SizeEstimateTest, BesideWriters) {
  const std::uint64_t keys = scaled(10'000) + 500;
  {
    MapLoad load = *db_.load_map("loaded");
    for (std::uint64_t i = 0; i < keys; ++i) ASSERT_OK(load.add(wide_key(10 * i), "loaded"));
    map_ = *load.finish();
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (std::uint64_t t = 0; t < 2; ++t) {
    writers.emplace_back([&, t] {
      TestRandom random(t + 1);
      while (!stop.load()) {
        const std::uint64_t place = random.uniform(keys);
        Result<Transaction> txn = db_.begin();
        ASSERT_OK(txn);
        // Keys between those that stand, and back again.
        for (std::uint64_t i = 0; i < 50; ++i) ASSERT_OK(map_.put(*txn, wide_key(10 * (place + i) + 1 + t), "comes"));
        if (random.one_in(2)) {
          ASSERT_OK(txn->rollback());
          continue;
        }
        ASSERT_OK(txn->commit(Durability::kRelaxed));
        for (std::uint64_t i = 0; i < 50; ++i) ASSERT_OK(map_.erase(wide_key(10 * (place + i) + 1 + t)));
      }
    });
  }
  TestRandom random;
  for (std::uint64_t i = 0; i < scaled(4000) && !HasFailure(); ++i) {
    const std::uint64_t first = random.uniform(keys);
    const std::uint64_t some = std::min<std::uint64_t>(1 + random.zipf(keys), keys - first);
    const SizeEstimate size = estimate({.from = wide_key(10 * first), .to = wide_key(10 * (first + some))});
    EXPECT_LE(size.entries, 10 * (some + 200));
    EXPECT_GE(size.entries, 1u) << "the first key of the range stands all the time, in the leaf at its end";
  }
  stop.store(true);
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(*map_.count(), keys);
  expect_sound(db_);
}

TEST_F(SizeEstimateTest, OfWhatIsGone) {
  for (std::uint64_t i = 0; i < 2000; ++i) ASSERT_OK(map_.put(wide_key(i), "value"));
  Map other = *db_.create_map("other");
  ASSERT_OK(db_.drop_map("m"));
  EXPECT_ERROR(kNotFound, map_.size_estimate());
  ASSERT_OK(db_.close());
  EXPECT_ERROR(kClosed, other.size_estimate());
}

// Goal: estimates while the map is dropped and its pages are given back are estimates or say that it is gone.
TEST_F(SizeEstimateTest, WhileItIsDropped) {
  for (int round = 0; round < 5; ++round) {
    MapLoad load = *db_.load_map("gone");
    for (std::uint64_t i = 0; i < scaled(20'000); ++i) ASSERT_OK(load.add(wide_key(i), "value"));
    const Map gone = *load.finish();
    std::atomic<bool> stop{false};
    std::thread reader([&] {
      while (!stop.load()) {
        const Result<SizeEstimate> size = gone.size_estimate();
        if (size) continue;
        EXPECT_EQ(size.error().code(), ErrorCode::kNotFound) << size.error().message();
      }
    });
    ASSERT_OK(db_.drop_map("gone"));
    for (int i = 0; i < 1000 && db_.stats()->pages_free < 20; ++i) std::this_thread::yield();
    stop.store(true);
    reader.join();
  }
}

}  // namespace
}  // namespace vaultgres
