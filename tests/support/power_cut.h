// Which states a power cut may leave, computed from a trace.
//
// Model of the disk. A file's data and size are durable once a later sync of the file succeeds; until then
// each of its operations may have reached the disk or not, whatever its neighbours did, and a write may be
// torn between sectors of 512 bytes. Names are durable once a later sync of their directory succeeds; until
// then a prefix of the directory's operations may have. A failed sync (other than an interrupted one)
// takes the unsynced operations of its file out of the race: some may have become durable (IoFault says how they are
// chosen), the others never will by a later sync.
#pragma once

#include <map>
#include <vector>

#include "support/sim_image.h"

namespace vaultgres {

/// Which of the unsynced operations survive. n is the number of unsynced operations; where a seed chooses
/// one of few, the seeds 0, 1, 2, … enumerate the choices.
enum class PowerCut : std::uint8_t {
  kNone,       ///< nothing that was not synced
  kAll,        ///< everything
  kPrefix,     ///< the first seed % (n + 1) operations
  kAllButOne,  ///< without operation seed % n
  kOnlyOne,    ///< only operation seed % n; when seed / n is odd, all directory operations as well
  kRandom,     ///< each with a chance of one half
  kTorn,       ///< each sector of each write with a chance of one half
};
inline constexpr PowerCut kPowerCuts[] = {PowerCut::kNone,      PowerCut::kAll,     PowerCut::kPrefix,
                                          PowerCut::kAllButOne, PowerCut::kOnlyOne, PowerCut::kRandom,
                                          PowerCut::kTorn};

/// Walks along a trace and keeps what is durable there and what is pending. Forward only; cheap to step.
class PowerCutReplay {
 public:
  PowerCutReplay() = default;
  explicit PowerCutReplay(SimImage base) : durable_(std::move(base)) {}

  std::size_t position() const noexcept { return position_; }
  /// Goes on to the state after the first `position` entries of the trace.
  void advance(const SimTrace& trace, std::size_t position);
  /// Unsynced operations at this position, oldest first.
  std::vector<const SimTraceEntry*> pending() const;
  SimImage cut(PowerCut mode, std::uint64_t seed) const;

 private:
  void step(const std::shared_ptr<const SimTraceEntry>& entry);

  SimImage durable_;
  std::size_t position_ = 0;
  std::vector<std::shared_ptr<const SimTraceEntry>> pending_;  // in trace order
};

}  // namespace vaultgres
