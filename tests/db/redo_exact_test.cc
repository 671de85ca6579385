// Goal: redo equals do, byte for byte, in every record of workloads over maps, tables, indexes and the catalog, outside
// of what mask_unlogged() lists.
//
// Method: support/redo_recorder.h, over workloads of the crash tests: while they run, and in the recoveries from power
// cuts and kills at many places.
#include <gtest/gtest.h>

#include "base/seeded_bug.h"
#include "buffer/page_image.h"
#include "db/crash_support.h"
#include "support/cases.h"
#include "support/redo_recorder.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class RedoExactTest : public PowerCutTest {
 protected:
  RedoExactTest() { workload_.tables = true; }

  /// Runs the workload; recovers from `cuts` power cuts and from a few kills.
  void record_and_recover(std::uint64_t cuts) {
    ASSERT_NO_FATAL_FAILURE(record(false));
    killed_ = disk_.killed();  // with everything that the log has
    recorder_.crashed();
    left_open_.reset();
    ASSERT_EQ(recorder_.first_difference(), "");
    ASSERT_OK(open_on(*killed_->killed(), crash_options(workload_)));
    ASSERT_NO_FATAL_FAILURE(check_cuts(disk_, cuts));
    check_first_kills(cuts / 10 + 1);
  }

  /// Kills at `count` places. No crash follows while it recovers: what a recovered database logs has log positions that
  /// the first one may have used, too, for other changes of the same pages.
  void check_first_kills(std::uint64_t count) {
    TestRandom random(3);
    CrashChecker checker(workload_);
    AckedSteps acked(disk_.trace(), workload_.threads);
    for (const Cut& kill : choose_cuts(disk_.trace(), 0, count, random)) {
      const auto killed = disk_.killed(kill.position);
      ASSERT_EQ(checker.check(*killed, acked.at(kill.position)), "") << "killed at " << kill.position;
    }
    states_ += checker.states();
  }

  /// How much there is to redo depends on when checkpoints are made.
  void expect_exact(std::uint64_t changes_at_least) {
    for (const std::string& difference : recorder_.differences()) ADD_FAILURE() << difference;
    EXPECT_GE(recorder_.changes_compared(), changes_at_least);
    EXPECT_GT(recorder_.redone_compared(), 0u);
    record_cases("R24", recorder_.changes_compared() + recorder_.redone_compared());
  }

  RedoRecorder recorder_;
  std::unique_ptr<SimFileSystem> killed_;
};

TEST_F(RedoExactTest, OneThread) {
  workload_.steps = 250;
  record_and_recover(scaled(60));
  expect_exact(200);
}

TEST_F(RedoExactTest, FourThreadsShareLeavesAndCommits) {
  workload_.threads = 4;
  workload_.steps = 100;
  record_and_recover(scaled(40));
  expect_exact(100);
}

TEST_F(RedoExactTest, MoreDataThanCache) {
  workload_.threads = 2;
  workload_.steps = 150;
  workload_.keys = 2000;
  workload_.ops_max = 16;  // two transactions fit into what an eighth of the cache can remember, whatever the seed
  workload_.large_one_in = 8;
  record_and_recover(scaled(20));
  expect_exact(100);
}

TEST_F(RedoExactTest, ManyCheckpointsAndChangesOfTheCatalog) {
  workload_.threads = 2;
  workload_.steps = 80;
  workload_.checkpoint_one_in = 5;
  workload_.ddl_one_in = 4;
  record_and_recover(scaled(30));
  expect_exact(100);
}

// --- Negative controls

TEST_F(RedoExactTest, ARedoThatLeavesOutAFieldIsNoticed) {
  workload_.steps = 150;
  ASSERT_NO_FATAL_FAILURE(record(false));
  const std::size_t end = disk_.position();
  recorder_.crashed();
  left_open_.reset();
  ASSERT_EQ(recorder_.first_difference(), "");
  const SeededBugScope bug(SeededBug::kRedoLeavesOut);
  for (std::size_t part = 50; part > 0 && recorder_.first_difference().empty(); --part) {
    const auto killed = disk_.killed(end * part / 50);
    // It may fail: the record after may not fit.
    static_cast<void>(open_on(*killed, crash_options(workload_)).has_value());
  }
  EXPECT_NE(recorder_.first_difference(), "");
}

TEST(RedoRecorderTest, AByteThatNoRecordSaysIsNoticed) {
  RedoTable redo;
  register_image_ops(redo);
  RedoRecorder recorder;
  TestPage page;
  std::memset(page.bytes().data(), 0, kPageBytes);
  page_header(page.bytes()).type.set(static_cast<std::uint8_t>(PageType::kOverflow));
  PayloadBuffer payload;
  encode_page_image(payload, page.bytes());
  const ChangeObserver::Operation image{PageOp::kImage, payload.bytes()};
  recorder.on_change(PageId{7}, Lsn{100}, {&image, 1}, redo, page.bytes());
  EXPECT_EQ(recorder.first_difference(), "");
  page.bytes()[kPageBytes - 1] = std::byte{1};
  recorder.on_change(PageId{7}, Lsn{200}, {&image, 1}, redo, page.bytes());
  EXPECT_NE(recorder.first_difference(), "");
}

}  // namespace
}  // namespace vaultgres
