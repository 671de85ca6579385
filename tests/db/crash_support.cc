#include "db/crash_support.h"

#include <algorithm>

#include "base/check.h"
#include "support/cases.h"

namespace vaultgres {

OnAck mark_on(SimFileSystem& disk) {
  return [&disk](unsigned thread, unsigned acked) { disk.mark(std::to_string(thread) + " " + std::to_string(acked)); };
}

const std::vector<unsigned>& AckedSteps::at(std::size_t position) {
  VG_CHECK(position >= position_ && position <= trace_.size(), "acknowledged steps are read in ascending order");
  for (; position_ < position; ++position_) {
    const SimTraceEntry& entry = *trace_[position_];
    if (entry.op != SimOp::kMark) continue;
    const std::size_t space = entry.path.find(' ');
    acked_.at(std::stoul(entry.path.substr(0, space))) =
        static_cast<unsigned>(std::stoul(entry.path.substr(space + 1)));
  }
  return acked_;
}

std::string describe(const Cut& cut) {
  static constexpr const char* kNames[] = {"none", "all", "prefix", "all but one", "only one", "random", "torn"};
  return "power cut at " + std::to_string(cut.position) + ", mode " + kNames[static_cast<std::size_t>(cut.mode)] +
         ", seed " + std::to_string(cut.seed);
}

std::vector<Cut> choose_cuts(const SimTrace& trace, std::size_t from, std::size_t count, TestRandom& random) {
  std::vector<std::size_t> positions;
  for (std::size_t i = from; i < trace.size(); ++i) {
    if (trace[i]->op != SimOp::kSync && trace[i]->op != SimOp::kSyncDirectory) continue;
    positions.push_back(i);
    positions.push_back(i + 1);
  }
  random.shuffle(positions);
  while (positions.size() < count) positions.push_back(random.between(from, trace.size()));
  positions.resize(count);
  std::sort(positions.begin(), positions.end());
  std::vector<Cut> cuts;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    cuts.push_back({positions[i], kPowerCuts[i % std::size(kPowerCuts)], random.next()});
  }
  return cuts;
}

PowerCutTest::~PowerCutTest() {
  std::printf("%llu states, %llu steps\n", static_cast<unsigned long long>(states_),
              static_cast<unsigned long long>(steps_));
  if (states_ > 0) record_cases(row_, states_, HasFailure() ? 1 : 0);
}

void PowerCutTest::record(bool close) {
  Result<Database> db = open_on(disk_, crash_options(workload_));
  ASSERT_OK(db);
  for (const WorkloadProgress& thread : run_workload(*db, workload_, mark_on(disk_))) {
    ASSERT_FALSE(thread.error) << thread.error->message();
    steps_ += thread.acked;
  }
  if (!close) {
    left_open_ = std::make_unique<Database>(*std::move(db));
  } else {
    ASSERT_OK(db->close());
  }
}

void PowerCutTest::check_cuts(SimFileSystem& disk, std::uint64_t count, std::size_t from) {
  TestRandom random(1);
  CrashChecker checker(workload_);
  const SimTrace trace = disk.trace();  // of one moment: a database that is open goes on writing
  AckedSteps acked(trace, workload_.threads);
  for (const Cut& cut : choose_cuts(trace, from, count, random)) {
    const auto after = disk.power_cut(cut.position, cut.mode, cut.seed);
    const std::string wrong = checker.check(*after, acked.at(cut.position));
    ASSERT_EQ(wrong, "") << describe(cut) << ", of " << disk.position();
  }
  states_ += checker.states();
}

void PowerCutTest::record_and_cut(std::uint64_t count) {
  ASSERT_NO_FATAL_FAILURE(record());
  check_cuts(disk_, count);
}

void PowerCutTest::check_recoveries(std::uint64_t count) {
  row_ = "R2";
  TestRandom random(2);
  CrashChecker checker(workload_);
  AckedSteps acked(disk_.trace(), workload_.threads);
  for (const Cut& first : choose_cuts(disk_.trace(), 0, count, random)) {
    const std::vector<unsigned>& steps = acked.at(first.position);
    const auto crashed = disk_.power_cut(first.position, first.mode, first.seed);
    ASSERT_OK(open_on(*crashed, crash_options(workload_)));
    for (const Cut& second : choose_cuts(crashed->trace(), 0, 6, random)) {
      const auto again = crashed->power_cut(second.position, second.mode, second.seed);
      const std::string where = describe(first) + ", then " + describe(second);
      ASSERT_TRUE(open_on(*again, crash_options(workload_))) << where;
      for (const Cut& third : choose_cuts(again->trace(), 0, 2, random)) {
        const auto after = again->power_cut(third.position, third.mode, third.seed);
        ASSERT_EQ(checker.check(*after, steps), "") << where << ", then " << describe(third);
      }
      const auto after = crashed->power_cut(second.position, second.mode, second.seed);
      ASSERT_EQ(checker.check(*after, steps), "") << where;
    }
  }
  states_ += checker.states();
}

void PowerCutTest::check_kills(std::uint64_t count) {
  row_ = "R2";
  TestRandom random(3);
  CrashChecker checker(workload_);
  AckedSteps acked(disk_.trace(), workload_.threads);
  for (const Cut& kill : choose_cuts(disk_.trace(), 0, count, random)) {
    const std::vector<unsigned>& steps = acked.at(kill.position);
    const auto killed = disk_.killed(kill.position);
    {
      Result<Database> db = open_on(*killed, crash_options(workload_));
      ASSERT_OK(db);
      ASSERT_EQ(checker.check_open(*db, steps), "") << "killed at " << kill.position;
    }
    for (const Cut& cut : choose_cuts(killed->trace(), kill.position, 4, random)) {
      const auto after = killed->power_cut(cut.position, cut.mode, cut.seed);
      ASSERT_EQ(checker.check(*after, steps), "") << "killed at " << kill.position << ", then " << describe(cut);
    }
  }
  states_ += checker.states();
}

}  // namespace vaultgres
