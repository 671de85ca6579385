// Goal: a sync that fails, and drops the writes that it was to make durable while reads still see them, costs nothing
// that was acknowledged. Until the database is opened again every further change is refused, however often it is tried,
// and although the disk's next sync would succeed.
//
// Method: the k-th sync of a workload fails, and of what it covered nothing or a random half reaches the disk. The
// application tries again. Then the power is cut, with what is unsynced on the disk or not; or the database is opened
// again without that, where all looks as if it were on the disk, and the power is cut during that opening or after it.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "db/crash_support.h"
#include "support/cases.h"
#include "support/scale.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

struct SyncCase {
  const char* name;
  IoCall call;
  bool tables;
  unsigned checkpoint_one_in;
};

class FailedSyncTest : public ::testing::TestWithParam<SyncCase> {
 protected:
  FailedSyncTest() {
    workload_.seed = test_seed();
    workload_.threads = 2;
    workload_.steps = 50;
    workload_.keys = 800;
    workload_.value_bytes_max = 600;
    workload_.tables = GetParam().tables;
    workload_.checkpoint_one_in = GetParam().checkpoint_one_in;
    workload_.ddl_one_in = 10;
  }

  struct Run {
    std::vector<unsigned> acked;
    std::string wrong;
    std::size_t end = 0;  ///< position on the disk, before the database was closed
  };
  /// `tries_again`: else what it does after the failure is not looked at.
  Run run(SimFileSystem& disk, bool tries_again) const {
    Run run;
    run.acked.resize(workload_.threads);
    Result<Database> db = open_on(disk, crash_options(workload_));
    if (!db) db = open_on(disk, crash_options(workload_));  // the application tries again; that it may succeed is right
    if (!db) {
      run.wrong = "the second open: " + std::string(db.error().message());
      return run;
    }
    const std::uint64_t before = disk.faults_hit();
    const auto progress = run_workload(*db, workload_, [](unsigned, unsigned) {});
    bool told = false;
    for (unsigned t = 0; t < workload_.threads; ++t) {
      run.acked[t] = progress[t].acked;
      told = told || progress[t].error;
    }
    const bool failed = disk.faults_hit() > before;
    if (tries_again && failed) {
      // One in the background may have failed a moment ago.
      if (!told && !comes_true([&] { return !db->sync(); })) run.wrong = "nobody is told";
      if (run.wrong.empty()) run.wrong = try_again(*db);
    }
    run.end = disk.position();
    const Status closed = db->close();
    if (tries_again && disk.faults_hit() > before && closed && run.wrong.empty() && (failed || !made_segment(disk))) {
      run.wrong = "close() says nothing";
    }
    return run;
  }

  /// Whether what failed was the making of a log segment, ahead of need: close() may have been through with everything
  /// else by then.
  static bool made_segment(const SimFileSystem& disk) {
    std::set<InodeId> synced;
    for (const auto& entry : disk.trace()) {
      if (entry->op == SimOp::kSyncDirectory && entry->os_error != 0) return entry->path == "/db/log";
      if (entry->op != SimOp::kSync) continue;
      // A segment is synced when it is made; only then is it written to.
      if (entry->os_error != 0) return entry->path.starts_with("/db/log/") && !synced.contains(entry->inode);
      synced.insert(entry->inode);
    }
    return false;
  }

  /// Empty when every change is refused because of what had failed.
  static std::string try_again(Database& db) {
    const auto in_transaction = [&]() -> Status {
      Result<Transaction> txn = db.begin();
      if (!txn) return txn.error();
      Result<Map> map = db.open_map("a");
      if (!map) return map.error();
      if (Status put = map->put(*txn, "again", "in a transaction"); !put) return put;
      return txn->commit();
    };
    const auto alone = [&]() -> Status {
      Result<Map> map = db.open_map("a");
      return map ? map->put("again", "alone") : Status(map.error());
    };
    const auto create = [&]() -> Status {
      const Result<Map> map = db.create_map("again");
      return map ? Status() : Status(map.error());
    };
    for (int i = 0; i < 3; ++i) {
      for (const Status& tried : {alone(), in_transaction(), create(), db.sync(), db.checkpoint()}) {
        if (tried) return "a change after a failed sync succeeded";
        const ErrorCode code = tried.error().code();
        // A workload that ended early may not have made the map.
        if (code != ErrorCode::kPoisoned && code != ErrorCode::kNotFound) return std::string(tried.error().message());
      }
    }
    return "";
  }

  std::uint64_t syncs_without_fault() const {
    SimFileSystem disk;
    EXPECT_EQ(run(disk, true).wrong, "");
    return disk.calls(GetParam().call);
  }

  /// The sync `at` fails. Empty, or what is wrong with one of the states that follow, each of which is a case.
  std::string test(IoFault fault, CaseCount& cases, TestRandom& random) const {
    SimFileSystem disk;
    disk.inject(fault);
    const Run run = this->run(disk, !fault.lies);
    if (!run.wrong.empty()) return run.wrong;
    disk.clear_faults();
    for (const PowerCut mode : {PowerCut::kNone, PowerCut::kAll, PowerCut::kRandom, PowerCut::kTorn}) {
      const auto after = disk.power_cut(run.end, mode, random.next());
      ++cases;
      if (std::string wrong = CrashChecker(workload_).check(*after, run.acked); !wrong.empty()) {
        return "power cut at once, mode " + std::to_string(static_cast<int>(mode)) + ": " + wrong;
      }
    }
    return check_reopened(disk, run.acked, cases, random);
  }

  /// Without a power cut nothing seems to be missing.
  std::string check_reopened(SimFileSystem& disk, const std::vector<unsigned>& acked, CaseCount& cases,
                             TestRandom& random) const {
    CrashChecker checker(workload_);
    const std::size_t from = disk.position();
    {
      Result<Database> db = open_on(disk, crash_options(workload_));
      if (!db) return "reopened: " + std::string(db.error().message());
      if (std::string wrong = checker.check_open(*db, acked); !wrong.empty()) return "reopened: " + wrong;
      if (const Status closed = db->close(); !closed) return "close: " + std::string(closed.error().message());
    }
    for (const Cut& cut : choose_cuts(disk.trace(), from, 3, random)) {
      const auto after = disk.power_cut(cut.position, cut.mode, cut.seed);
      ++cases;
      if (std::string wrong = checker.check(*after, acked); !wrong.empty()) return "reopened, " + describe(cut) + wrong;
    }
    return "";
  }

  Workload workload_;
};

INSTANTIATE_TEST_SUITE_P(Workloads, FailedSyncTest,
                         ::testing::Values(SyncCase{"Maps", IoCall::kSync, false, 40},
                                           SyncCase{"Tables", IoCall::kSync, true, 40},
                                           SyncCase{"CheckpointsOneAfterTheOther", IoCall::kSync, true, 2},
                                           SyncCase{"DirectoriesOfMaps", IoCall::kDirectorySync, false, 10},
                                           SyncCase{"DirectoriesOfTables", IoCall::kDirectorySync, true, 10}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(FailedSyncTest, LosesNothingAcknowledgedAndIsNotMadeUpForByTheNext) {
  Watchdog watchdog("the run without a fault", std::chrono::seconds(120));
  CaseCount cases("R5");
  const std::uint64_t calls = syncs_without_fault();
  const std::uint64_t runs = std::min(calls, scaled(8));
  TestRandom random;
  for (std::uint64_t i = 0; i < runs && !HasFailure(); ++i) {
    const std::uint64_t at = case_in_part(i, runs, calls, random);
    const std::uint64_t kept_seed = random.one_in(2) ? 0 : random.next();
    const std::string when = "sync " + std::to_string(at) + " of " + std::to_string(calls);
    watchdog.feed(when);
    const IoFault fault{.call = GetParam().call, .at = at, .os_error = EIO, .kept_seed = kept_seed};
    EXPECT_EQ(test(fault, cases, random), "") << when << ", seed of what was kept " << kept_seed;
  }
  std::printf("calls of kind %s: %llu tested/%llu\n", io_call_name(GetParam().call),
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(calls));
}

// The test of the test: a system that from some sync on drops writes and does not tell. (Of a single sync checkpoints
// that come after it leave no trace.)
class FailedSyncControlTest : public FailedSyncTest {};
INSTANTIATE_TEST_SUITE_P(Workloads, FailedSyncControlTest,
                         ::testing::Values(SyncCase{"Maps", IoCall::kSync, false, 40},
                                           SyncCase{"CheckpointsOneAfterTheOther", IoCall::kSync, true, 2}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(FailedSyncControlTest, AFailedSyncThatIsIgnoredIsNoticed) {
  Watchdog watchdog("ignored failures", std::chrono::seconds(120));
  CaseCount states(nullptr);
  TestRandom random;
  for (std::uint64_t at = 30; at < 200; at += 1 + random.uniform(6)) {
    watchdog.feed("ignored failures from sync " + std::to_string(at) + " on");
    const IoFault fault{
        .call = IoCall::kSync, .at = at, .os_error = EIO, .sticky = true, .path_contains = "/log/", .lies = true};
    const std::string wrong = test(fault, states, random);
    if (wrong.empty()) continue;
    std::printf("noticed: %s\n", wrong.c_str());
    return;
  }
  ADD_FAILURE() << "syncs that fail and say that they have not, and nothing was found wrong";
}

}  // namespace
}  // namespace vaultgres
