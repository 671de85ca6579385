// A workload on a simulated disk some of whose calls fail, and what is wrong with what it saw and left.
#pragma once

#include <string>
#include <vector>

#include "support/crash_checker.h"
#include "support/sim_file_system.h"

namespace vaultgres {

struct FaultOutcome {
  std::vector<unsigned> acked;  ///< steps of each thread
  std::vector<Error> errors;
  std::string wrong;  ///< empty: what it answered before and after the errors was right
};

/// Opens, goes on with the workload to its end, closes and opens half-way, and reads everything at each close. Ends at
/// the first error, as far as calls still answer.
FaultOutcome run_with_faults(SimFileSystem& disk, const Workload& workload, WorkloadRun run);

/// What is wrong with what such a run has left on the disk, which works again: after a restart of the process, and a
/// power cut after that; or after a power cut at once. Empty: nothing.
std::string check_restarted(SimFileSystem& disk, const Workload& workload, const std::vector<unsigned>& acked);
std::string check_power_cut(SimFileSystem& disk, const Workload& workload, const std::vector<unsigned>& acked,
                            PowerCut mode, std::uint64_t seed);

/// A disk on which somebody was killed half-way, with a transaction open, and the rest of his workload.
struct KilledHalfWay {
  std::unique_ptr<SimFileSystem> disk;
  WorkloadRun run;
};
KilledHalfWay kill_half_way(const Workload& workload);

}  // namespace vaultgres
