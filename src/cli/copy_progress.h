// Copying for backup and restore: progress on a terminal, and an end by Ctrl-C.
#pragma once

#include <optional>
#include <string>

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "vaultgres/backup.h"

namespace vaultgres::cli {

class InterruptibleCopy {
 public:
  explicit InterruptibleCopy(bool shown) : shown_(shown) {}
  /// For a call that this object outlives.
  CopyProgress progress();
  bool interrupted() const noexcept { return interrupt_.requested(); }

 private:
  const bool shown_;
  const InterruptGuard interrupt_;
  std::optional<Progress> bar_;
};

/// "2026-11-29T14:05:00.123456Z".
std::string utc_text(std::chrono::system_clock::time_point time);

}  // namespace vaultgres::cli
