// Goal: after a failed write or sync the database is poisoned and says so with the first cause; a full disk is an error
// that passes. Whichever call fails: fault_sweep_test.cc; syncs: failed_sync_test.cc.
#include <gtest/gtest.h>

#include <cerrno>

#include "btree/node.h"
#include "support/cases.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

// --- Poison

class PoisonedDatabaseTest : public ::testing::Test {
 protected:
  PoisonedDatabaseTest() : db_(*open_on(disk_)), map_(*db_.create_map("m")) {}
  SimFileSystem disk_;
  Database db_;
  Map map_;
};

TEST_F(PoisonedDatabaseTest, AFailedLogSyncIsToldToEveryLaterCallAndNothingIsRetried) {
  ASSERT_OK(map_.put("before", "1"));
  disk_.inject({.call = IoCall::kSync, .os_error = EIO, .path_contains = "/log/"});
  const Status failed = map_.put("lost", "1");
  ASSERT_FALSE(failed);
  const std::uint64_t syncs = disk_.calls(IoCall::kSync);
  disk_.clear_faults();
  EXPECT_ERROR(kPoisoned, map_.put("after", "1"));
  EXPECT_ERROR(kPoisoned, map_.erase("before"));
  EXPECT_ERROR(kPoisoned, db_.checkpoint());
  EXPECT_ERROR(kPoisoned, db_.sync());
  EXPECT_ERROR(kPoisoned, db_.create_map("n"));
  const Status again = map_.put("again", "1");
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message().find("sync"), std::string::npos)
      << "the cause is missing: " << again.error().message();
  EXPECT_FALSE(db_.close());
  EXPECT_EQ(disk_.calls(IoCall::kSync), syncs) << "a sync was tried again";
  Database reopened = *open_on(disk_);
  Map map = *reopened.open_map("m");
  EXPECT_EQ(**map.get("before"), "1");
  EXPECT_EQ(*map.get("after"), std::nullopt);
  expect_sound(reopened);
}

// Goal: what fails while the log is durable to its end is told, too, by a call that would have nothing to do.
TEST_F(PoisonedDatabaseTest, ASyncThatHasNothingToDoTellsTheCauseToo) {
  ASSERT_OK(map_.put("before", "1"));
  disk_.inject({.call = IoCall::kSync, .os_error = EIO, .sticky = true, .path_contains = "doublewrite.vg"});
  ASSERT_FALSE(db_.checkpoint());
  EXPECT_ERROR(kPoisoned, db_.sync());
}

TEST_F(PoisonedDatabaseTest, WhatAFailedSyncDroppedIsNeverShown) {
  disk_.inject({.call = IoCall::kSync, .os_error = EIO, .sticky = true, .path_contains = "/log/"});
  ASSERT_FALSE(map_.put("k", "1"));
  const auto read = map_.get("k");
  if (read) {
    EXPECT_EQ(*read, std::nullopt) << "a reader was shown a commit that is not durable";
  }
}

TEST_F(PoisonedDatabaseTest, OpenTransactionsEndWithAnError) {
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "k", "1"));
  disk_.inject({.call = IoCall::kSync, .os_error = EIO, .sticky = true});
  ASSERT_FALSE(map_.put("other", "1"));
  EXPECT_FALSE(map_.put(txn, "l", "1"));
  EXPECT_FALSE(txn.commit());
  disk_.clear_faults();
  EXPECT_FALSE(db_.close());
  Database reopened = *open_on(disk_);
  EXPECT_EQ(*reopened.open_map("m")->get("k"), std::nullopt);
  expect_sound(reopened);
}

// --- A full disk

struct FullDiskCase {
  const char* name;
  bool transactions;
  int os_error;
};
class FullDiskTest : public ::testing::TestWithParam<FullDiskCase> {};
INSTANTIATE_TEST_SUITE_P(Limits, FullDiskTest,
                         ::testing::Values(FullDiskCase{"SingleCalls", false, ENOSPC},
                                           FullDiskCase{"InTransactions", true, ENOSPC},
                                           FullDiskCase{"SingleCallsBeyondAQuota", false, EDQUOT},
                                           FullDiskCase{"InTransactionsBeyondAQuota", true, EDQUOT}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(FullDiskTest, WritesFailCleanlyReadsAndErasesGoOnAndSpaceHeals) {
  Watchdog watchdog("full disk", std::chrono::seconds(60));
  SimFileSystem disk;
  Database db = *open_on(disk);
  Map map = *db.create_map("m");
  Content expected;
  TestRandom random;
  const auto put = [&](const std::string& key, const std::string& value) -> Status {
    if (!GetParam().transactions) return map.put(key, value);
    Result<Transaction> txn = db.begin();
    if (!txn) return txn.error();
    if (Status done = map.put(*txn, key, value); !done) {
      static_cast<void>(txn->rollback().has_value());
      return done;
    }
    return txn->commit();
  };
  CaseCount cases("R21");
  disk.limit_space(disk.used_bytes() + (std::uint64_t{6} << 20), GetParam().os_error);
  unsigned refused = 0;
  for (unsigned i = 0; refused < 20; ++i) {
    ASSERT_LT(i, 200000u) << "the disk never fills";
    const std::string key = random.word(8);
    const std::string value = random.bytes(random.one_in(5) ? 2 * kPageBytes : random.uniform(400));
    const Status done = put(key, value);
    if (done) {
      expected[key] = value;
    } else {
      ASSERT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
      ++refused;
    }
  }
  EXPECT_EQ(content_of(map), expected);
  const auto erase = [&](const std::string& key) -> Result<bool> {
    if (!GetParam().transactions) return map.erase(key);
    Result<Transaction> txn = db.begin();
    if (!txn) return txn.error();
    const Result<bool> gone = map.erase(*txn, key);
    if (!gone) {
      EXPECT_TRUE(txn->rollback());
      return gone;
    }
    if (const Status done = txn->commit(); !done) return done.error();
    return gone;
  };
  std::vector<std::string> keys;
  for (const auto& [key, value] : expected) keys.push_back(key);
  random.shuffle(keys);
  unsigned erased = 0;
  for (const std::string& key : keys) {
    const Result<bool> gone = erase(key);
    // A large value leaves a row in `retired`, which may need a page.
    const bool large = expected[key].size() > inline_value_max(key.size());
    if (!gone && large) {
      ASSERT_EQ(gone.error().code(), ErrorCode::kNoSpace) << gone.error().message();
      continue;
    }
    ASSERT_OK(gone) << "after " << erased << " erases";
    EXPECT_TRUE(*gone);
    expected.erase(key);
    erased += !large;
  }
  EXPECT_GE(erased, 50u);
  EXPECT_EQ(content_of(map), expected);
  expect_sound(db);
  disk.limit_space(std::nullopt);
  for (int i = 0; i < 500; ++i) {
    const std::string key = random.word(8);
    ASSERT_OK(put(key, "after"));
    expected[key] = "after";
  }
  EXPECT_EQ(content_of(map), expected);
  expect_sound(db);
  ASSERT_OK(db.close());
  Database reopened = *open_on(disk);
  EXPECT_EQ(content_of(*reopened.open_map("m")), expected);
  expect_sound(reopened);
  ++cases;
}

/// No new log segment can be made; those that are there can be used again.
void stop_the_log_from_growing(SimFileSystem& disk) {
  disk.inject({.call = IoCall::kAllocate, .os_error = ENOSPC, .sticky = true, .path_contains = "/log/"});
}

/// About as much log as a checkpoint leaves free is gone after so many calls that sync a block each.
constexpr int kCallsForSegments = 4 * (256 << 10) / 4096;

TEST(FullDisk, ChangesOfTheCatalogAndTransactionsGoOnInTheLogThatIsThere) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  Table people = *db.create_table("people", people_schema());
  Map map = *db.create_map("m");
  ASSERT_OK(map.put("large", std::string(100 * kPageBytes, 'l')));  // the data file grows, and the log has its spare
  stop_the_log_from_growing(disk);
  std::string name = "m";
  for (int i = 0; i < kCallsForSegments; ++i) {
    const std::string next = "m" + std::to_string(i);
    ASSERT_OK(db.rename_map(name, next));
    name = next;
  }
  for (int i = 0; i < kCallsForSegments / 4; ++i) {
    ASSERT_OK(db.create_map("n"));
    ASSERT_OK(db.set_pinned("n", true));
    ASSERT_OK(db.drop_map("n"));
    ASSERT_OK(db.create_table("t", people_schema()));
    ASSERT_OK(db.drop_table("t"));
  }
  for (int i = 0; i < kCallsForSegments; ++i) {
    Transaction txn = *db.begin();
    ASSERT_OK(map.put(txn, "k", std::to_string(i)));
    ASSERT_OK(people.insert(txn, person(i)));
    if (i % 4 == 0) {
      ASSERT_OK(txn.rollback());
    } else {
      ASSERT_OK(txn.commit());
    }
  }
  EXPECT_EQ(rows_of(people).size(), kCallsForSegments - kCallsForSegments / 4);
  expect_sound(db);
}

TEST(FullDisk, AnIndexIsMadeInTheLogThatIsThere) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  Table people = *db.create_table("people", people_schema());
  {
    TableLoad load = *db.load_table("crowd", people_schema());
    for (int i = 0; i < 30000; ++i) ASSERT_OK(load.add(person(i, 60)));
    ASSERT_OK(load.finish());
  }
  stop_the_log_from_growing(disk);
  ASSERT_OK(db.create_index("by_id", "crowd", {.columns = {{"id"}, {"data"}}, .unique = true}));
  const auto stats = db.index_stats("by_id");
  ASSERT_OK(stats);
  EXPECT_GT((stats->leaf_pages + stats->internal_pages) * kPageBytes, std::uint64_t{1} << 20) << "it would fit anyhow";
  EXPECT_GT(disk.faults_hit(), 0u);
  expect_sound(db);
}

TEST(FullDisk, AnIndexThatDoesNotFitLeavesNothingAndIsMadeOnceThereIsRoom) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  {
    TableLoad load = *db.load_table("crowd", people_schema());
    for (int i = 0; i < 20000; ++i) ASSERT_OK(load.add(person(i, 60)));
    ASSERT_OK(load.finish());
  }
  Table crowd = *db.open_table("crowd");
  ASSERT_OK(db.checkpoint());
  const IndexSpec spec{.columns = {{"id"}, {"data"}}, .unique = true};
  disk.limit_space(disk.used_bytes() + (std::uint64_t{256} << 10));
  for (int i = 0; i < 3; ++i) EXPECT_ERROR(kNoSpace, db.create_index("by_id", "crowd", spec));
  EXPECT_TRUE(db.indexes()->empty());
  expect_sound(db);
  for (const auto& [id, row] : rows_of(crowd)) {
    if (row[0].integer() >= 500) continue;
    ASSERT_TRUE(*crowd.erase(id));
  }
  disk.limit_space(std::nullopt);
  ASSERT_OK(db.create_index("by_id", "crowd", spec));
  expect_sound(db);
}

TEST(FullDiskAtOpen, AnOpenThatFindsNoSpaceSucceedsOnceThereIsSome) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    ASSERT_OK(map.put("k", "v"));
  }
  disk.limit_space(disk.used_bytes());
  if (const Result<Database> tried = open_on(disk); !tried) {
    EXPECT_EQ(tried.error().code(), ErrorCode::kNoSpace) << tried.error().message();
  }
  disk.limit_space(std::nullopt);
  Result<Database> db = open_on(disk);
  ASSERT_OK(db);
  EXPECT_EQ(**db->open_map("m")->get("k"), "v");
}

}  // namespace
}  // namespace vaultgres
