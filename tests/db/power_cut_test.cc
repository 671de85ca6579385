// Goal: whatever instant the power goes, and whatever part of the unsynced writes survives, everything
// acknowledged is there, at most the one step under way besides, and the database is sound and goes on.
//
// Method: a workload is recorded on a simulated disk from the creation of the database on; its state after every
// step is known. For many places of the trace, those around syncs first, and all ways to lose unsynced writes,
// the disk is rebuilt, opened, compared, checked, written to, closed, opened and compared again. The negative
// controls make one kind of sync do nothing and expect the same checker to notice.
#include <gtest/gtest.h>

#include "db/crash_support.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

TEST_F(PowerCutTest, OneThread) {
  workload_.steps = 250;
  record_and_cut(scaled(350));
}

TEST_F(PowerCutTest, FourThreadsShareLeavesAndCommits) {
  workload_.threads = 4;
  workload_.steps = 100;
  record_and_cut(scaled(250));
}

TEST_F(PowerCutTest, MoreDataThanCache) {
  workload_.threads = 2;
  workload_.steps = 150;
  workload_.keys = 3000;
  workload_.ops_max = 40;
  workload_.large_one_in = 8;
  workload_.ddl_one_in = 60;
  record_and_cut(scaled(100));
}

TEST_F(PowerCutTest, RelaxedCommitsAreLostFromTheEndOnly) {
  workload_.threads = 2;
  workload_.steps = 150;
  workload_.durability = Durability::kRelaxed;
  record_and_cut(scaled(100));
}

TEST_F(PowerCutTest, ManyCheckpoints) {
  workload_.threads = 2;
  workload_.steps = 60;
  workload_.checkpoint_one_in = 3;
  record_and_cut(scaled(100));
}

TEST_F(PowerCutTest, DuringCreation) {
  ASSERT_OK(open_on(disk_, crash_options(workload_)));
  workload_.steps = 0;
  TestRandom random(1);
  CrashChecker checker(workload_);
  for (std::size_t position = 0; position <= disk_.position(); ++position) {
    const std::uint64_t seeds = position % 40 == 0 ? 4 : 0;
    for (std::uint64_t i = 0; i < seeds + 1; ++i) {
      const PowerCut mode = kPowerCuts[random.uniform(std::size(kPowerCuts))];
      const std::uint64_t seed = random.next();
      // Most of creation is zeros of the log: few of these instants differ.
      if (position > 200 && position + 200 < disk_.position() && !random.one_in(20)) continue;
      const auto after = disk_.power_cut(position, mode, seed);
      ASSERT_EQ(checker.check(*after, {0}), "") << describe(Cut{position, mode, seed});
    }
  }
  states_ = checker.states();
}

TEST_F(PowerCutTest, DuringRecovery) {
  workload_.threads = 2;
  workload_.steps = 100;
  ASSERT_NO_FATAL_FAILURE(record());
  check_recoveries(scaled(10));
}

// What a killed process had written but not synced is read by the next one as if it were there.
TEST_F(PowerCutTest, AfterAKillNothingUnsyncedCountsAsDurable) {
  workload_.threads = 2;
  workload_.steps = 100;
  ASSERT_NO_FATAL_FAILURE(record());
  check_kills(scaled(25));
}

// What a reader was shown after a kill and a recovery is as good as acknowledged.
TEST_F(PowerCutTest, WhatRecoveryShowedStays) {
  workload_.steps = 60;
  ASSERT_NO_FATAL_FAILURE(record());
  TestRandom random(4);
  for (const Cut& kill : choose_cuts(disk_.trace(), 0, scaled(25), random)) {
    const auto killed = disk_.killed(kill.position);
    std::vector<Partition> shown;
    std::size_t position = 0;
    {
      Result<Database> db = open_on(*killed, crash_options(workload_));
      ASSERT_OK(db);
      auto read = read_partitions(*db, 1);
      ASSERT_OK(read);
      shown = *std::move(read);
      position = killed->position();
    }
    for (const Cut& cut : choose_cuts(killed->trace(), position, 3, random)) {
      const auto after = killed->power_cut(cut.position, cut.mode, cut.seed);
      Result<Database> db = open_on(*after, crash_options(workload_));
      ASSERT_OK(db);
      const auto read = read_partitions(*db, 1);
      ASSERT_OK(read);
      ASSERT_EQ(describe_difference(shown[0], (*read)[0], 0), "")
          << "killed at " << kill.position << ", then " << describe(cut);
      ++states_;
    }
  }
}

// Names that a killed process had made, and not synced, are relied on by the next one.
TEST_F(PowerCutTest, AfterAKillDuringCreationWhatTheNextAcknowledgesStays) {
  ASSERT_OK(open_on(disk_, crash_options(workload_)));
  row_ = "R2";
  TestRandom random(8);
  const SimTrace trace = disk_.trace();
  for (std::size_t position = 0; position <= trace.size(); ++position) {
    const bool names = position > 0 && trace[position - 1]->changes_directory();
    if (!names && !random.one_in(20)) continue;
    const auto killed = disk_.killed(position);
    Database db = *open_on(*killed, crash_options(workload_));
    ASSERT_OK(db.create_map("m")->put("k", "acknowledged"));
    for (const PowerCut mode : {PowerCut::kNone, PowerCut::kRandom}) {
      const auto after = killed->power_cut(killed->position(), mode, random.next());
      Result<Database> again = open_on(*after, crash_options(workload_));
      ASSERT_OK(again);
      Result<Map> map = again->open_map("m");
      ASSERT_OK(map) << "killed at " << position;
      ASSERT_EQ(*map->get("k"), "acknowledged") << "killed at " << position;
      ++states_;
    }
  }
}

TEST_F(PowerCutTest, AfterACleanClose) {
  workload_.threads = 2;
  workload_.steps = 60;
  ASSERT_NO_FATAL_FAILURE(record());
  CrashChecker checker(workload_);
  AckedSteps acked(disk_.trace(), workload_.threads);
  const std::size_t end = disk_.position();
  for (std::uint64_t i = 0; i < 7; ++i) {
    const auto after = disk_.power_cut(end, kPowerCuts[i], i);
    ASSERT_EQ(checker.check(*after, acked.at(end)), "") << describe(Cut{end, kPowerCuts[i], i});
  }
  states_ = checker.states();
}

// A transaction larger than the cache, never committed: its pages have reached the disk, and all goes.
TEST_F(PowerCutTest, AnOpenTransactionLeavesNothing) {
  workload_.steps = 60;
  workload_.cache_bytes = std::size_t{2} << 20;
  ASSERT_NO_FATAL_FAILURE(record(false));
  const std::size_t from = disk_.position();
  {
    Result<Transaction> txn = left_open_->begin();
    ASSERT_OK(txn);
    Result<Map> map = left_open_->open_map("a");
    ASSERT_OK(map);
    TestRandom random(5);
    for (int i = 0; i < 400; ++i) {
      ASSERT_OK(map->put(*txn, random.word(1 + random.uniform(10)), std::string(random.uniform(3 * kPageBytes), 'u')));
      if (i % 100 != 50) continue;
      ASSERT_OK(left_open_->checkpoint());
    }
    check_cuts(disk_, scaled(60), from);
  }
  left_open_.reset();  // rolled back, closed
  check_cuts(disk_, scaled(30), disk_.position() * 9 / 10);
}

// --- Negative controls: the checker would notice.

class NegativeControlTest : public PowerCutTest {
 protected:
  /// Some cut of the workload recorded with these syncs ignored must be noticed.
  void expect_noticed(std::vector<std::pair<IoCall, std::string>> ignored) {
    workload_.threads = 2;
    workload_.steps = 80;
    workload_.value_bytes_max = 2000;
    Result<Database> db = open_on(disk_, crash_options(workload_));
    ASSERT_OK(db);
    for (auto& [call, path] : ignored) disk_.ignore_syncs(call, path);
    for (const WorkloadProgress& thread : run_workload(*db, workload_, mark_on(disk_))) {
      ASSERT_FALSE(thread.error) << thread.error->message();
    }
    ASSERT_OK(db->close());
    TestRandom random(6);
    CrashChecker checker(workload_);
    AckedSteps acked(disk_.trace(), workload_.threads);
    for (Cut cut : choose_cuts(disk_.trace(), 0, cuts_max_, random)) {
      if (only_torn_) cut.mode = PowerCut::kTorn;
      const auto after = disk_.power_cut(cut.position, cut.mode, cut.seed);
      const std::string wrong = checker.check(*after, acked.at(cut.position));
      if (wrong.empty()) continue;
      std::printf("noticed after %llu states: %s\n", static_cast<unsigned long long>(checker.states()), wrong.c_str());
      return;
    }
    ADD_FAILURE() << checker.states() << " states of a disk that ignores syncs, and nothing was found wrong";
  }

  std::size_t cuts_max_ = 2000;  // it is over at the first that is noticed
  bool only_torn_ = false;
};

TEST_F(NegativeControlTest, LogSyncsThatDoNothingAreNoticed) {
  expect_noticed({{IoCall::kSync, "/log/"}});
}

TEST_F(NegativeControlTest, DataSyncsThatDoNothingAreNoticed) {
  workload_.checkpoint_one_in = 4;
  expect_noticed({{IoCall::kSync, "data.vg"}, {IoCall::kSync, "doublewrite.vg"}});
}

TEST_F(NegativeControlTest, DoublewriteSyncsThatDoNothingAreNoticed) {
  workload_.checkpoint_one_in = 4;
  cuts_max_ = 4000;
  only_torn_ = true;
  expect_noticed({{IoCall::kSync, "doublewrite.vg"}});
}

TEST_F(NegativeControlTest, SyncsOfRecoveriesThatDoNothingAreNoticed) {
  workload_.threads = 2;
  workload_.steps = 60;
  ASSERT_NO_FATAL_FAILURE(record());
  TestRandom random(7);
  CrashChecker checker(workload_);
  AckedSteps acked(disk_.trace(), workload_.threads);
  for (const Cut& first : choose_cuts(disk_.trace(), 0, 200, random)) {
    const std::vector<unsigned>& steps = acked.at(first.position);
    const auto crashed = disk_.power_cut(first.position, first.mode, first.seed);
    crashed->ignore_syncs(IoCall::kSync);
    ASSERT_OK(open_on(*crashed, crash_options(workload_)));
    for (const Cut& second : choose_cuts(crashed->trace(), 0, 6, random)) {
      const auto after = crashed->power_cut(second.position, second.mode, second.seed);
      const std::string wrong = checker.check(*after, steps);
      if (wrong.empty()) continue;
      std::printf("noticed after %llu states: %s\n", static_cast<unsigned long long>(checker.states()), wrong.c_str());
      return;
    }
  }
  ADD_FAILURE() << checker.states() << " states of recoveries whose syncs do nothing, and nothing was found wrong";
}

TEST_F(NegativeControlTest, DirectorySyncsThatDoNothingAreNoticed) {
  expect_noticed({{IoCall::kDirectorySync, ""}});
}

}  // namespace
}  // namespace vaultgres
