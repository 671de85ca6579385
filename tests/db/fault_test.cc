// Goal: an I/O error at any call gives an error, never a wrong answer, a hang or a lost commit; after a failed write
// or sync the database is poisoned and says so with the first cause; a full disk is an error that passes.
//
// Method: a workload runs while the k-th call of one kind fails, for many k. What was acknowledged is then read
// from the open database as far as it answers, and from the reopened one, whose disk works again.
#include <gtest/gtest.h>

#include <cerrno>

#include "db/crash_support.h"
#include "support/scale.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

struct FaultCase {
  const char* name;
  IoCall call;
  int os_error;
  bool sticky;
  std::size_t transfer_at_most = IoFault::kNoLimit;
  const char* path_contains = "";
  bool tables = false;

  /// The caller must not notice: it goes on where it was interrupted.
  bool harmless() const { return os_error == EINTR || (os_error == 0 && transfer_at_most > 0); }
};

class FaultTest : public ::testing::TestWithParam<FaultCase> {
 protected:
  FaultTest() {
    workload_.seed = test_seed();
    workload_.threads = 2;
    workload_.steps = 30;
    workload_.keys = 600;
    workload_.checkpoint_one_in = 12;
    workload_.value_bytes_max = 400;
    workload_.large_one_in = 6;
    workload_.tables = GetParam().tables;
    if (workload_.tables) workload_.ddl_one_in = 6;
  }

  /// From creation to close. The steps acknowledged; errors are the caller's to judge.
  struct Run {
    std::vector<unsigned> acked;
    std::vector<Error> errors;
    bool opened = false;
  };
  Run run(SimFileSystem& disk) {
    Run run;
    run.acked.resize(workload_.threads);
    Result<Database> db = open_on(disk, crash_options(workload_));
    if (!db) {
      run.errors.push_back(db.error());
      return run;
    }
    run.opened = true;
    const auto progress = run_workload(*db, workload_, [](unsigned, unsigned) {});
    for (unsigned t = 0; t < workload_.threads; ++t) {
      run.acked[t] = progress[t].acked;
      if (progress[t].error) run.errors.push_back(*progress[t].error);
    }
    // What still answers must answer right.
    if (auto found = read_partitions(*db, workload_.threads)) {
      for (unsigned t = 0; t < workload_.threads; ++t) {
        EXPECT_EQ(WorkloadOracle(workload_, t).compare(run.acked[t], (*found)[t]), "") << "before reopening";
      }
    } else {
      run.errors.push_back(found.error());
    }
    if (const Status closed = db->close(); !closed) run.errors.push_back(closed.error());
    return run;
  }

  std::uint64_t calls_without_fault() {
    SimFileSystem disk;
    // A fault that changes nothing counts the calls.
    disk.inject({.call = GetParam().call, .sticky = true, .path_contains = GetParam().path_contains});
    const Run clean = run(disk);
    EXPECT_TRUE(clean.errors.empty()) << clean.errors.front().message();
    return disk.faults_hit();
  }

  void expect_all_there(SimFileSystem& disk, const std::vector<unsigned>& acked, const std::string& when) {
    CrashChecker checker(workload_);
    EXPECT_EQ(checker.check(disk, acked), "") << when;
  }

  Workload workload_;
};

bool is_expected(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kIo:
    case ErrorCode::kNoSpace:
    case ErrorCode::kPoisoned:
    case ErrorCode::kConflict:  // a transaction whose call failed half-way
      return true;
    default:
      return false;
  }
}

constexpr FaultCase kFaultCases[] = {
    {"OpenFails", IoCall::kOpen, EIO, false},
    {"ReadFails", IoCall::kRead, EIO, false},
    {"ReadsFail", IoCall::kRead, EIO, true},
    {"ReadIsInterrupted", IoCall::kRead, EINTR, false},
    {"ReadIsShort", IoCall::kRead, 0, false, 512},
    {"WriteFails", IoCall::kWrite, EIO, false},
    {"LogWriteFails", IoCall::kWrite, EIO, false, IoFault::kNoLimit, "/log/"},
    {"DataWriteFails", IoCall::kWrite, EIO, false, IoFault::kNoLimit, "data.vg"},
    {"WritesFail", IoCall::kWrite, EIO, true},
    {"WriteIsInterrupted", IoCall::kWrite, EINTR, false},
    {"WriteIsShort", IoCall::kWrite, 0, false, 512},
    {"WritesAreShort", IoCall::kWrite, 0, true, 1536},
    {"WriteMovesNothing", IoCall::kWrite, 0, false, 0},
    {"WriteHasNoSpace", IoCall::kWrite, ENOSPC, false},
    {"SyncFails", IoCall::kSync, EIO, false},
    {"DataSyncFails", IoCall::kSync, EIO, false, IoFault::kNoLimit, "data.vg"},
    {"DoublewriteSyncFails", IoCall::kSync, EIO, false, IoFault::kNoLimit, "doublewrite.vg"},
    {"SyncsFail", IoCall::kSync, EIO, true},
    {"SyncIsInterrupted", IoCall::kSync, EINTR, false},
    {"AllocationFails", IoCall::kAllocate, EIO, false},
    {"AllocationHasNoSpace", IoCall::kAllocate, ENOSPC, false},
    {"AllocationsHaveNoSpace", IoCall::kAllocate, ENOSPC, true},
    {"TruncationFails", IoCall::kTruncate, EIO, false},
    {"RenameFails", IoCall::kRename, EIO, false},
    {"RemovalFails", IoCall::kRemove, EIO, false},
    {"DirectorySyncFails", IoCall::kDirectorySync, EIO, false},
    {"MakingADirectoryFails", IoCall::kMakeDirectory, EIO, false},
    {"TablesReadFails", IoCall::kRead, EIO, false, IoFault::kNoLimit, "data.vg", true},
    {"TablesWriteFails", IoCall::kWrite, EIO, false, IoFault::kNoLimit, "", true},
    {"TablesDataWriteFails", IoCall::kWrite, EIO, false, IoFault::kNoLimit, "data.vg", true},
    {"TablesWriteHasNoSpace", IoCall::kWrite, ENOSPC, false, IoFault::kNoLimit, "", true},
    {"TablesSyncFails", IoCall::kSync, EIO, false, IoFault::kNoLimit, "", true},
    {"TablesSyncsFail", IoCall::kSync, EIO, true, IoFault::kNoLimit, "/log/", true},
    {"TablesAllocationFails", IoCall::kAllocate, EIO, false, IoFault::kNoLimit, "", true},
    {"TablesAllocationHasNoSpace", IoCall::kAllocate, ENOSPC, false, IoFault::kNoLimit, "", true},
    {"TablesAllocationsHaveNoSpace", IoCall::kAllocate, ENOSPC, true, IoFault::kNoLimit, "data.vg", true},
};

INSTANTIATE_TEST_SUITE_P(Kinds, FaultTest, ::testing::ValuesIn(kFaultCases),
                         [](const auto& one) { return one.param.name; });

TEST_P(FaultTest, TheKthCallFails) {
  const FaultCase& fault = GetParam();
  Watchdog watchdog("the run without a fault", std::chrono::seconds(60));
  const std::uint64_t calls = calls_without_fault();
  const std::uint64_t runs = std::min(calls, scaled(16));
  std::uint64_t hits = 0;
  std::uint64_t noticed = 0;
  TestRandom random;
  for (std::uint64_t i = 0; i < runs && !HasFailure(); ++i) {
    // The first few, where creation is, and one out of each of as many equal parts.
    const std::uint64_t part = calls / runs;
    const std::uint64_t k = i < 3 ? i + 1 : i * part + random.uniform(part) + 1;
    const std::string when = "call " + std::to_string(k) + " of " + std::to_string(calls);
    watchdog.feed(std::string(fault.name) + ", " + when);
    SimFileSystem disk;
    disk.inject({.call = fault.call,
                 .at = k,
                 .os_error = fault.os_error,
                 .sticky = fault.sticky,
                 .transfer_at_most = fault.transfer_at_most,
                 .path_contains = fault.path_contains});
    const Run run = this->run(disk);
    hits += disk.faults_hit() > 0;
    noticed += !run.errors.empty();
    for (const Error& error : run.errors) {
      EXPECT_TRUE(is_expected(error)) << when << ": " << error_code_name(error.code()) << ": " << error.message();
    }
    if (fault.harmless()) {
      EXPECT_TRUE(run.errors.empty()) << when << ": " << run.errors.front().message();
    }
    disk.clear_faults();
    // What a failed sync left unsynced goes with the power, now and after a recovery.
    const PowerCut mode = kPowerCuts[random.uniform(std::size(kPowerCuts))];
    const auto now = disk.power_cut(disk.position(), mode, random.next());
    expect_all_there(*now, run.acked, when + ", power cut at once");
    expect_all_there(disk, run.acked, when);
    const auto later = disk.power_cut(disk.position(), PowerCut::kNone, 0);
    expect_all_there(*later, run.acked, when + ", power cut after reopening");
  }
  std::printf("%llu runs of %llu calls, %llu faults hit, %llu noticed\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(calls), static_cast<unsigned long long>(hits),
              static_cast<unsigned long long>(noticed));
  EXPECT_TRUE(calls == 0 || hits > 0);
}

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

class FullDiskTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Transactions, FullDiskTest, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "InTransactions" : "SingleCalls"; });

TEST_P(FullDiskTest, WritesFailCleanlyReadsAndErasesGoOnAndSpaceHeals) {
  Watchdog watchdog("full disk", std::chrono::seconds(60));
  SimFileSystem disk;
  Database db = *open_on(disk);
  Map map = *db.create_map("m");
  Content expected;
  TestRandom random;
  const auto put = [&](const std::string& key, const std::string& value) -> Status {
    if (!GetParam()) return map.put(key, value);
    Result<Transaction> txn = db.begin();
    if (!txn) return txn.error();
    if (Status done = map.put(*txn, key, value); !done) {
      static_cast<void>(txn->rollback().has_value());
      return done;
    }
    return txn->commit();
  };
  disk.limit_space(disk.used_bytes() + (std::uint64_t{6} << 20));
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
    if (!GetParam()) return map.erase(key);
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
