#include "db/crash_support.h"

#include <algorithm>

#include "base/check.h"

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

}  // namespace vaultgres
