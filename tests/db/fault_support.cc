#include "db/fault_support.h"

namespace vaultgres {

namespace {

void note_error(FaultOutcome& outcome, const Error& error) {
  outcome.errors.push_back(error);
}

/// What still answers must answer right.
void compare(Database& db, const Workload& workload, FaultOutcome& outcome) {
  const auto found = read_partitions(db, workload.threads);
  if (!found) {
    note_error(outcome, found.error());
    return;
  }
  for (unsigned t = 0; t < workload.threads && outcome.wrong.empty(); ++t) {
    outcome.wrong = WorkloadOracle(workload, t).compare(outcome.acked[t], (*found)[t]);
  }
}

}  // namespace

FaultOutcome run_with_faults(SimFileSystem& disk, const Workload& workload, WorkloadRun run) {
  FaultOutcome outcome;
  for (const WorkloadProgress& thread : run.progress()) outcome.acked.push_back(thread.acked);
  const unsigned begun = outcome.acked.front();
  for (const unsigned until : {(begun + workload.steps) / 2, workload.steps}) {
    Result<Database> db = open_on(disk, crash_options(workload));
    if (!db) {
      note_error(outcome, db.error());
      return outcome;
    }
    run.run(*db, until, [](unsigned, unsigned) {});
    for (unsigned t = 0; t < workload.threads; ++t) {
      outcome.acked[t] = run.progress()[t].acked;
      if (run.progress()[t].error) note_error(outcome, *run.progress()[t].error);
    }
    compare(*db, workload, outcome);
    if (const Status closed = db->close(); !closed) note_error(outcome, closed.error());
    if (!outcome.errors.empty() || !outcome.wrong.empty()) break;
  }
  return outcome;
}

std::string check_restarted(SimFileSystem& disk, const Workload& workload, const std::vector<unsigned>& acked) {
  CrashChecker checker(workload);
  if (std::string wrong = checker.check(disk, acked); !wrong.empty()) return "restarted: " + wrong;
  const auto later = disk.power_cut(disk.position(), PowerCut::kNone, 0);
  const std::string wrong = checker.check(*later, acked);
  return wrong.empty() ? "" : "restarted, then power cut: " + wrong;
}

std::string check_power_cut(SimFileSystem& disk, const Workload& workload, const std::vector<unsigned>& acked,
                            PowerCut mode, std::uint64_t seed) {
  const auto after = disk.power_cut(disk.position(), mode, seed);
  const std::string wrong = CrashChecker(workload).check(*after, acked);
  return wrong.empty() ? "" : "power cut: " + wrong;
}

KilledHalfWay kill_half_way(const Workload& workload) {
  SimFileSystem disk;
  KilledHalfWay killed{nullptr, WorkloadRun(workload)};
  Database db = *open_on(disk, crash_options(workload));
  killed.run.run(db, workload.steps / 2, [](unsigned, unsigned) {});
  EXPECT_FALSE(killed.run.failed());
  Transaction open = *db.begin();
  Map map = *db.open_map("a");
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(map.put(open, "open " + std::to_string(i), std::string(200, 'o')));
  EXPECT_TRUE(map.put(kAfterMap, "so that all before it is in the log"));
  EXPECT_TRUE(map.erase(kAfterMap));
  disk.settle();
  killed.disk = disk.killed();
  return killed;
}

}  // namespace vaultgres
