// Goal: the pages of large values are given back exactly once, whatever becomes of the values and their map: they are
// neither leaked nor freed a second time when another value has them.
#include <gtest/gtest.h>

#include "support/disk_fixture.h"
#include "support/random.h"

namespace vaultgres {
namespace {

class RetiredTest : public DatabaseOnDiskTest {
 protected:
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
    EXPECT_TRUE(comes_true([&] { return pages_in_use(db) <= 40; })) << pages_in_use(db) << " pages, round " << round;
    expect_sound(db);
  }
}

// A heap page of nothing but references to large values leads to more chains than one page of `retired` lists, and
// there are not the two free pages that its split takes.
TEST_F(RetiredTest, ATableOfLongRowsIsFreedOnAFullDisk) {
  Schema schema = *Schema::create({{"data", ColumnType::kBytes}});
  const Row row{Value::bytes(std::string(kPageBytes / 2, 'l'))};
  TableLoad load = *db_->load_table("long", std::move(schema));
  for (std::size_t i = 0; i < kPageBytes / 16; ++i) ASSERT_OK(load.add(row));
  ASSERT_OK(load.finish());
  Map full = *db_->create_map("full");
  disk_.limit_space(disk_.used_bytes());
  Status put;
  for (int i = 0; put; ++i) put = full.put(std::to_string(i), std::string(kPageBytes / 2, 'f'));  // a page each
  EXPECT_ERROR(kNoSpace, put);
  ASSERT_LT(db_->stats()->pages_free, 2u);
  const std::uint64_t others = pages_in_use(*db_) - kPageBytes / 16;
  ASSERT_OK(db_->drop_table("long"));
  expect_given_back(others + 20);
}

}  // namespace
}  // namespace vaultgres
