// Goal: a call of the file system that fails, whichever it is and however it fails, once or from then on, gives an
// error, never a wrong answer, a hang, a lost commit or a database that does not open once the disk works again.
//
// Method: a workload of maps, tables with indexes, large values, transactions rolled back or not, changes of the
// catalog, checkpoints and reopening runs while the k-th call of one kind fails, for many k, from the creation of the
// database on or from its recovery on. What was acknowledged is read from the open database as far as it answers, and
// from the reopened one. The choice of k and of the kind of failure follows from VG_SEED; VG_TEST_SCALE=100 tests about
// all.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "db/fault_support.h"
#include "support/cases.h"
#include "support/scale.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

enum class Begin { kCreation, kRecovery };

struct SweepCase {
  IoCall call;
  Begin begin;
  bool tables;
};

std::string name_of(const SweepCase& sweep) {
  std::string name = io_call_name(sweep.call);
  for (std::size_t space; (space = name.find(' ')) != std::string::npos;) name.replace(space, 1, "_");
  return name + (sweep.begin == Begin::kCreation ? "_fromCreation" : "_fromRecovery") +
         (sweep.tables ? "_tables" : "_maps");
}

std::vector<SweepCase> sweep_cases() {
  std::vector<SweepCase> cases;
  for (const IoCall call : kIoCalls) {
    for (const Begin begin : {Begin::kCreation, Begin::kRecovery}) {
      for (const bool tables : {false, true}) cases.push_back({call, begin, tables});
    }
  }
  return cases;
}

/// The ways in which a call of the kind may fail, `at` still to be set.
std::vector<IoFault> forms_of(IoCall call) {
  std::vector<IoFault> forms;
  const bool transfers = call == IoCall::kRead || call == IoCall::kWrite;
  for (const bool sticky : {false, true}) {
    for (const int os_error : {EIO, ENOSPC, EDQUOT, EINTR}) {
      forms.push_back({.call = call, .os_error = os_error, .sticky = sticky});
    }
    if (transfers) forms.push_back({.call = call, .sticky = sticky, .transfer_at_most = 512});
    if (call == IoCall::kWrite) forms.push_back({.call = call, .sticky = sticky, .transfer_at_most = 0});
  }
  if (!transfers && call != IoCall::kSync && call != IoCall::kAllocate) return forms;
  // One file fails for good, the others work.
  for (const char* path : {"/log/", "data.vg", "doublewrite.vg"}) {
    for (const int os_error : {EIO, ENOSPC}) {
      forms.push_back({.call = call, .os_error = os_error, .sticky = true, .path_contains = path});
    }
  }
  return forms;
}

/// The caller must not notice: it goes on where it was interrupted.
bool is_harmless(const IoFault& fault) {
  if (fault.os_error == EINTR) return !fault.sticky;
  return fault.os_error == 0 && fault.transfer_at_most > 0;
}

std::string text_of(const IoFault& fault, std::uint64_t calls) {
  std::string text = std::string(io_call_name(fault.call)) + " " + std::to_string(fault.at) + " of " +
                     std::to_string(calls) + (fault.sticky ? " and all later ones" : "");
  if (!fault.path_contains.empty()) text += " of " + fault.path_contains;
  return text + (fault.os_error != 0 ? ": errno " + std::to_string(fault.os_error)
                                     : ": moves " + std::to_string(fault.transfer_at_most) + " bytes");
}

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

class FaultTest : public ::testing::TestWithParam<SweepCase> {
 protected:
  FaultTest() {
    workload_.seed = test_seed();
    workload_.threads = 2;
    workload_.steps = 150;
    workload_.keys = 600;
    workload_.checkpoint_one_in = 12;
    workload_.value_bytes_max = 400;
    workload_.large_one_in = 8;
    workload_.tables = GetParam().tables;
    workload_.ddl_one_in = 8;
    if (GetParam().begin == Begin::kRecovery) killed_.emplace(kill_half_way(workload_));
  }

  std::unique_ptr<SimFileSystem> disk() const {
    return killed_ ? killed_->disk->killed() : std::make_unique<SimFileSystem>();
  }
  FaultOutcome run(SimFileSystem& disk) const {
    return run_with_faults(disk, workload_, killed_ ? killed_->run : WorkloadRun(workload_));
  }
  std::uint64_t calls_without_fault() const {
    const auto disk = this->disk();
    const FaultOutcome clean = run(*disk);
    EXPECT_EQ(clean.wrong, "");
    EXPECT_TRUE(clean.errors.empty()) << clean.errors.front().message();
    return disk->calls(GetParam().call);
  }
  /// Empty, or what went wrong. A fault that did not hit, because this run came to fewer calls, counts for nothing.
  std::string test(const IoFault& fault, TestRandom& random, bool* hit) const {
    const auto disk = this->disk();
    disk->inject(fault);
    const FaultOutcome run = this->run(*disk);
    *hit = disk->faults_hit() > 0;
    if (!run.wrong.empty()) return "before reopening: " + run.wrong;
    for (const Error& error : run.errors) {
      if (!is_expected(error) || !*hit || is_harmless(fault)) {
        return std::string(error_code_name(error.code())) + ": " + std::string(error.message());
      }
    }
    disk->clear_faults();
    if (random.one_in(2)) return check_restarted(*disk, workload_, run.acked);
    const PowerCut mode = kPowerCuts[random.uniform(std::size(kPowerCuts))];
    return check_power_cut(*disk, workload_, run.acked, mode, random.next());
  }

  Workload workload_;
  std::optional<KilledHalfWay> killed_;
};

INSTANTIATE_TEST_SUITE_P(Calls, FaultTest, ::testing::ValuesIn(sweep_cases()),
                         [](const auto& one) { return name_of(one.param); });

TEST_P(FaultTest, TheKthCallFails) {
  Watchdog watchdog("the run without a fault", std::chrono::seconds(60));
  CaseCount cases("R4");
  const std::uint64_t calls = calls_without_fault();
  const std::vector<IoFault> forms = forms_of(GetParam().call);
  const std::uint64_t runs = std::min<std::uint64_t>(calls * forms.size(), scaled(4));
  std::set<std::uint64_t> tested;
  TestRandom random;
  for (std::uint64_t i = 0; i < runs && !HasFailure(); ++i) {
    // One call out of each of as many equal parts, each in as many forms as there are runs for.
    const std::uint64_t parts = std::min(calls, runs);
    const std::uint64_t from = i % parts * calls / parts;
    const std::uint64_t to = std::max(from + 1, (i % parts + 1) * calls / parts);
    IoFault fault = forms[runs == calls * forms.size() ? i / calls : random.uniform(forms.size())];
    fault.at = from + random.uniform(to - from) + 1;
    if (!fault.path_contains.empty()) fault.at = (fault.at + 3) / 4;  // of the calls on that file alone
    bool hit = false;
    for (bool earlier = true; earlier && !HasFailure();) {
      const std::string when = text_of(fault, calls);
      watchdog.feed(when);
      EXPECT_EQ(test(fault, random, &hit), "") << when;
      // How often a call is made depends on what the background does: one that has not come is an earlier one then.
      earlier = !hit && fault.at > 1;
      if (earlier) fault.at /= 2;
    }
    EXPECT_TRUE(hit || calls < 8 || !fault.path_contains.empty() || HasFailure()) << "no call has come";
    if (!hit) continue;
    ++cases;
    if (fault.path_contains.empty()) tested.insert(fault.at);
  }
  std::printf("calls of kind %s: %zu tested/%llu\n", io_call_name(GetParam().call), tested.size(),
              static_cast<unsigned long long>(calls));
}

// The test of the test: a disk that loses a write and says that it has not.
class FaultControlTest : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(Writes, FaultControlTest,
                         ::testing::Values(SweepCase{IoCall::kWrite, Begin::kCreation, false},
                                           SweepCase{IoCall::kWrite, Begin::kRecovery, true}),
                         [](const auto& one) { return name_of(one.param); });

TEST_P(FaultControlTest, AFailedWriteThatIsTakenForASuccessIsNoticed) {
  Watchdog watchdog("lost writes", std::chrono::seconds(60));
  const std::uint64_t calls = calls_without_fault();
  TestRandom random;
  for (int i = 1; i <= 40; ++i) {
    watchdog.feed("lost writes, run " + std::to_string(i));
    bool hit = false;
    const IoFault fault{.call = IoCall::kWrite,
                        .at = calls / 16 + random.uniform(calls / 16) + 1,
                        .os_error = EIO,
                        .sticky = true,
                        .path_contains = "/log/",
                        .lies = true};
    const std::string wrong = test(fault, random, &hit);
    if (wrong.empty()) continue;
    std::printf("noticed after %d runs: %s\n", i, wrong.c_str());
    return;
  }
  ADD_FAILURE() << "a disk that loses every write of the log from some point on, and nothing was found wrong";
}

}  // namespace
}  // namespace vaultgres
