// Crash tests on a simulated disk: acknowledgements as marks of the trace, and the choice of places to cut power.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "support/crash_checker.h"
#include "support/sim_file_system.h"

namespace vaultgres {

/// Each acknowledged step becomes a mark, "thread steps-so-far".
OnAck mark_on(SimFileSystem& disk);

/// How many steps each thread had acknowledged at a place of a trace. Ascending positions only.
class AckedSteps {
 public:
  AckedSteps(SimTrace trace, unsigned threads) : trace_(std::move(trace)), acked_(threads) {}
  const std::vector<unsigned>& at(std::size_t position);

 private:
  const SimTrace trace_;
  std::size_t position_ = 0;
  std::vector<unsigned> acked_;
};

/// A state of the disk: power cut in this way after so many entries of the trace.
struct Cut {
  std::size_t position;
  PowerCut mode;
  std::uint64_t seed;
};
std::string describe(const Cut& cut);

/// `count` cuts, ascending, all modes in turn. Those before and after each sync come first; where there are more of
/// these than `count`, a random selection; where fewer, random places besides.
std::vector<Cut> choose_cuts(const SimTrace& trace, std::size_t from, std::size_t count, TestRandom& random);

/// A workload recorded on a simulated disk, and the states that power cuts leave of it.
class PowerCutTest : public ::testing::Test {
 protected:
  PowerCutTest() { workload_.seed = test_seed(); }
  ~PowerCutTest() override;

  /// Runs the workload on disk_ from creation to `close`.
  void record(bool close = true);
  void check_cuts(SimFileSystem& disk, std::uint64_t count, std::size_t from = 0);
  void record_and_cut(std::uint64_t count);
  /// Cuts while it recovers from one of `count` cuts, and while it recovers from those.
  void check_recoveries(std::uint64_t count);
  /// Kills at `count` places, and cuts while it recovers.
  void check_kills(std::uint64_t count);

  Workload workload_;
  SimFileSystem disk_;
  std::unique_ptr<Database> left_open_;
  const char* row_ = "R1";  ///< of docs/RELIABILITY.md: whose cases the states are
  std::uint64_t states_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace vaultgres
