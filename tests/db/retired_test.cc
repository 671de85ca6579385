// Goal: the pages of large values are given back exactly once, whatever becomes of the values and their map: they are
// neither leaked nor freed a second time when another value has them.
#include <gtest/gtest.h>

#include "support/database.h"
#include "support/random.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

class RetiredTest : public ::testing::Test {
 protected:
  RetiredTest() { reopen(); }
  void reopen() {
    db_.reset();
    db_.emplace(*open_on(disk_));
  }
  /// Until the collector has given back all but `pages`, or ten seconds have gone.
  void expect_given_back(std::uint64_t pages) {
    for (int i = 0; i < 10000 && in_use() > pages; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_LE(in_use(), pages) << "pages were not given back";
    expect_sound(*db_);
  }
  std::uint64_t in_use() {
    const Result<DatabaseStats> stats = db_->stats();
    EXPECT_TRUE(stats);
    return stats ? stats->pages - stats->pages_free : 0;
  }

  SimFileSystem disk_;
  std::optional<Database> db_;
  const std::string large_ = std::string(10 * kPageBytes, 'v');
};

TEST_F(RetiredTest, ErasedLargeValuesOfADroppedMapAreFreedOnce) {
  Map map = *db_->create_map("m");
  for (int i = 0; i < 20; ++i) ASSERT_OK(map.put(std::to_string(i), large_));
  for (int i = 0; i < 20; i += 2) ASSERT_TRUE(*map.erase(std::to_string(i)));
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(20);
}

TEST_F(RetiredTest, ErasedLargeValuesOfAMapDroppedAfterReopeningAreFreedOnce) {
  Map map = *db_->create_map("m");
  for (int i = 0; i < 20; ++i) ASSERT_OK(map.put(std::to_string(i), large_));
  for (int i = 0; i < 20; i += 2) ASSERT_TRUE(*map.erase(std::to_string(i)));
  reopen();
  // Pages of the values erased go to others of the same map.
  map = *db_->open_map("m");
  for (int i = 100; i < 105; ++i) ASSERT_OK(map.put(std::to_string(i), large_));
  expect_sound(*db_);
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(20);
}

TEST_F(RetiredTest, RolledBackLargeValuesOfADroppedMapAreFreedOnce) {
  Map map = *db_->create_map("m");
  {
    Transaction txn = *db_->begin();
    for (int i = 0; i < 10; ++i) ASSERT_OK(map.put(txn, std::to_string(i), large_));
    ASSERT_OK(txn.rollback());
  }
  ASSERT_OK(map.put("stays", large_));
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(20);
}

TEST_F(RetiredTest, ACrashWhileADroppedMapIsFreedLeaksNothing) {
  Map map = *db_->create_map("m");
  for (int i = 0; i < 300; ++i) ASSERT_OK(map.put(std::to_string(i), std::string(2 * kPageBytes, 'v')));
  Map other = *db_->create_map("other");
  const std::size_t from = disk_.position();
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(20);
  db_.reset();
  TestRandom random;
  for (int round = 0; round < 30; ++round) {
    const auto after = disk_.power_cut(random.between(from, disk_.position()), PowerCut::kRandom, random.next());
    Database db = *open_on(*after);
    Map survivor = *db.open_map("other");
    // New transactions whose numbers may be those of the dead ones retire chains of their own.
    for (int i = 0; i < 5; ++i) {
      ASSERT_OK(survivor.put("k", large_));
      expect_sound(db);
    }
    if (db.open_map("m")) continue;
    for (int i = 0; i < 10000 && db.stats()->pages - db.stats()->pages_free > 40; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_LE(db.stats()->pages - db.stats()->pages_free, 40u) << "round " << round;
    expect_sound(db);
  }
}

}  // namespace
}  // namespace vaultgres
