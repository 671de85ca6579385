// Goal: where memory ends after the point of no return, a call says what has happened: a commit that is durable is not
// reported as failed, a logged erase is not taken back. A read that lacks memory says so, and ends.
//
// Method: each allocation of one call fails in turn, or all from the k-th on.
#include <gtest/gtest.h>

#include <cerrno>

#include "db/allocation_support.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"
#include "txn/version_table.h"

namespace vaultgres {
namespace {

std::string allocating_key(int i) {
  return "a key that is too long for a string without memory of its own " + std::to_string(100'000 + i);
}

class ShortMemoryTest : public ::testing::Test {
 protected:
  void open(FileSystem& disk, Options options = small_options()) {
    db_.reset();
    files_ = spare_allocations_of(disk);
    db_.emplace(*open_on(*files_, std::move(options)));
  }

  const AllocationsFail spared_{false};
  SimFileSystem disk_;
  std::unique_ptr<FileSystem> files_;
  std::optional<Database> db_;
};

// So many keys that the commit itself drops the versions that nobody needs any more.
TEST_F(ShortMemoryTest, ADurableCommitIsNotReportedAsFailed) {
  constexpr int kKeys = 400;
  Watchdog watchdog("commits", std::chrono::seconds(60));
  open(disk_);
  ASSERT_OK(db_->create_map("m"));
  bool hit = true;
  unsigned failed = 0;
  for (std::uint64_t at = 1; hit; ++at) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    ASSERT_LT(at, 100u);
    const std::string value = std::to_string(at);
    Map map = *db_->open_map("m");
    Transaction txn = *db_->begin();
    for (int i = 0; i < kKeys; ++i) ASSERT_OK(map.put(txn, allocating_key(i), value));
    AllocationFault fault(at);
    const Status committed = expose("commit", [&] { return txn.commit(); });
    fault.stop();
    hit = fault.hit();
    if (committed) {
      ASSERT_EQ(*map.get(allocating_key(0)), value);
      continue;
    }
    ++failed;
    const auto killed = disk_.killed();
    Database after = *open_on(*killed);
    EXPECT_NE(*after.open_map("m")->get(allocating_key(0)), value) << "it is durable";
    db_.reset();
    open(disk_);
    if (HasFailure()) return;
  }
  std::printf("%u failed\n", failed);
  expect_sound(*db_);
}

// Every erase of a leaf that is nearly empty tries to merge it.
TEST_F(ShortMemoryTest, ARelaxedEraseThatWasLoggedSucceedsWithoutItsMerge) {
  constexpr int kKeys = 2000;
  Options options = small_options();
  options.durability = Durability::kRelaxed;
  open(disk_, std::move(options));
  Map map = *db_->create_map("m");
  for (int i = 0; i < kKeys; ++i) ASSERT_OK(map.put(allocating_key(i), std::string(kPageBytes / 40, 'v')));
  unsigned failed = 0;
  for (int i = 0; i < kKeys; ++i) {
    const std::string key = allocating_key(i);
    AllocationFault fault(static_cast<std::uint64_t>(i % 16 + 1));
    const Result<bool> erased = expose("erase", [&] { return map.erase(key); });
    fault.stop();
    failed += !erased;
    if (!erased) {
      ASSERT_EQ(erased.error().code(), ErrorCode::kOutOfMemory);
    }
    ASSERT_EQ(*map.contains(key), !erased) << "key " << i << ", allocation " << i % 16 + 1;
  }
  std::printf("%u failed\n", failed);
  expect_sound(*db_);
}

// A claim without a change is seen by nobody who changes the entry alone, in a database whose readers see the newest
// state. What it says was there before must not be shown once its transaction has changed the entry after all.
TEST_F(ShortMemoryTest, AChangeInATransactionThatFailsHidesNoChangeOfOthers) {
  Options options = small_options();
  options.durability = Durability::kRelaxed;
  open(disk_, std::move(options));
  Map map = *db_->create_map("m");
  const std::string value(200, 'v');
  int keys = 0;
  unsigned failed = 0;
  for (const bool there : {false, true}) {
    bool hit = true;
    for (std::uint64_t at = 1; hit; ++at) {
      SCOPED_TRACE("allocation " + std::to_string(at));
      ASSERT_LT(at, 100u);
      const std::string key = allocating_key(keys++);
      std::optional<std::string> expected;
      if (there) {
        expected = "old";
        ASSERT_OK(map.put(key, *expected));
      }
      Transaction txn = *db_->begin();
      AllocationFault fault(at);
      const Status put = expose("put", [&] { return map.put(txn, key, value); });
      fault.stop();
      hit = fault.hit();
      if (!put) {
        ++failed;
        ASSERT_EQ(put.error().code(), ErrorCode::kOutOfMemory);
        expected = "of another";
        ASSERT_OK(map.put(key, *expected));
        ASSERT_OK(map.put(txn, key, value));
        EXPECT_EQ(*map.get(txn, key), value);
      }
      EXPECT_EQ(*map.get(key), expected);
      ASSERT_OK(txn.rollback());
      EXPECT_EQ(*map.get(key), expected);
    }
  }
  std::printf("%u failed\n", failed);
  EXPECT_GT(failed, 4u);
  expect_sound(*db_);
}

// What a reader is shown stands in the version table, while another transaction has changed it.
TEST_F(ShortMemoryTest, AReadOfAnOlderVersionSaysThatMemoryIsShort) {
  Watchdog watchdog("reads", std::chrono::seconds(60));
  open(disk_);
  Map map = *db_->create_map("m");
  Table people = *db_->create_table("people", people_schema());
  const std::string value(200, 'o');
  ASSERT_OK(map.put("k", value));
  const Row person_1 = person(1, 200);
  const RowId row = *people.insert(person_1);
  Transaction other = *db_->begin();
  ASSERT_OK(map.put(other, "k", "new"));
  ASSERT_TRUE(people.update(other, row, person(2)));
  const auto until_it_succeeds = [&](const char* what, const auto& read) {
    SCOPED_TRACE(what);
    bool hit = true;
    unsigned failed = 0;
    for (std::uint64_t at = 1; hit; ++at) {
      ASSERT_LT(at, 100u);
      AllocationFault fault(at, true);
      const Status done = expose(what, [&]() -> Status { return read(); });
      fault.stop();
      hit = fault.hit();
      failed += !done;
      if (!done) {
        ASSERT_EQ(done.error().code(), ErrorCode::kOutOfMemory)
            << "allocation " << at << ": " << done.error().message();
      }
    }
    EXPECT_GT(failed, 0u);
  };
  until_it_succeeds("get", [&]() -> Status {
    const auto found = map.get("k");
    if (!found) return found.error();
    return *found == value ? Status() : Error(ErrorCode::kCorruption, "a wrong value");
  });
  until_it_succeeds("get of a row", [&]() -> Status {
    const auto found = people.get(row);
    if (!found) return found.error();
    return *found && **found == person_1 ? Status() : Error(ErrorCode::kCorruption, "a wrong row");
  });
  Cursor cursor = map.cursor();
  until_it_succeeds("cursor", [&]() -> Status {
    const Result<bool> found = cursor.first();
    return found ? Status() : Status(found.error());
  });
  until_it_succeeds("count", [&]() -> Status {
    const auto count = people.count();
    return count ? Status() : Status(count.error());
  });
  ASSERT_OK(other.rollback());
}

// A failed read whose error finds no memory for its text leaves the page as it was, neither latched nor half there.
TEST_F(ShortMemoryTest, APageWhoseLoadFailsWithoutMemoryIsLoadedAfterwards) {
  constexpr int kKeys = 6000;
  Watchdog watchdog("loads", std::chrono::seconds(60));
  Options options = small_options();
  options.durability = Durability::kRelaxed;
  open(disk_, std::move(options));
  Map map = *db_->create_map("m");
  const std::string value(kPageBytes / 8, 'v');
  for (int i = 0; i < kKeys; ++i) ASSERT_OK(map.put(allocating_key(i), value));
  unsigned failed = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string key = allocating_key(i * 97 % kKeys);
    disk_.inject({.call = IoCall::kRead, .os_error = EIO, .sticky = true, .path_contains = "data.vg"});
    AllocationFault fault(static_cast<std::uint64_t>(i % 6 + 1), true);
    const auto found = expose("get", [&] { return map.get(key); });
    fault.stop();
    disk_.clear_faults();
    failed += !found;
    ASSERT_EQ(*map.get(key), value) << i;
  }
  EXPECT_GT(failed, 0u);
  expect_sound(*db_);
}

// Who is told that the table is full waits for room, and then says that the transactions in flight are too large.
TEST(VersionTableWithoutMemoryTest, AClaimWithoutMemoryDoesNotFindTheTableFull) {
  const AllocationsFail spared(false);
  VersionTable table(std::size_t{1} << 20);
  const auto writer = std::make_shared<TxnStatus>(TxnId{7});
  bool hit = true;
  for (std::uint64_t at = 1; hit; ++at) {
    ASSERT_LT(at, 20u);
    const std::string key = allocating_key(static_cast<int>(at));
    AllocationFault fault(at);
    VersionTable::Claim claim{};
    {
      const AllocationsFail exposed(true);
      claim = table.claim(ObjectId{100}, as_bytes(key), writer, KeyState{}).claim;
    }
    fault.stop();
    hit = fault.hit();
    EXPECT_EQ(claim, hit ? VersionTable::Claim::kNoMemory : VersionTable::Claim::kGranted) << at;
  }
}

// A write or sync that has failed is known to have, whatever the error's text finds no memory for: else the next batch
// would take the place of copies of pages that are torn, or a second sync would be believed.
TEST_F(ShortMemoryTest, AFailedWriteOrSyncWithoutMemoryForItsTextPoisons) {
  unsigned failed = 0;
  for (const IoCall call : {IoCall::kWrite, IoCall::kSync}) {
    for (const char* path : {"/data.vg", "/doublewrite.vg"}) {
      for (std::uint64_t allocation = 1; allocation <= 40; ++allocation) {
        SCOPED_TRACE(std::string(path) + ", allocation " + std::to_string(allocation));
        SimFileSystem disk;
        open(disk);
        ASSERT_OK(db_->create_map("m")->put("k", "v"));
        disk.inject({.call = call, .at = 1 + allocation % 2, .os_error = EIO, .path_contains = path});
        AllocationFault fault(allocation, true);
        const Status done = expose("checkpoint", [&] { return db_->checkpoint(); });
        fault.stop();
        const bool has_failed = disk.faults_hit() > 0;
        disk.clear_faults();
        if (has_failed) {
          ++failed;
          EXPECT_FALSE(done);
          EXPECT_ERROR(kPoisoned, db_->open_map("m")->put("k", "w"));
        }
        db_.reset();
      }
    }
  }
  EXPECT_GT(failed, 20u);
}

}  // namespace
}  // namespace vaultgres
