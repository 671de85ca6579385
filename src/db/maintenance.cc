// Background care: dropping versions and ghosts, freeing what is retired, checkpoints by log volume.
#include "base/try.h"
#include "db/core.h"
#include "db/statement.h"
#include "txn/retired.h"

namespace vaultgres::internal {

namespace {

/// A checkpoint is due when the log has grown by this much since the last: it bounds how much log a recovery
/// reads before it meets pages that need it.
#ifdef VG_TEST_HOOKS
constexpr std::uint64_t kCheckpointLogBytes = std::uint64_t{2} << 20;
#else
constexpr std::uint64_t kCheckpointLogBytes = std::uint64_t{32} << 20;
#endif

constexpr std::chrono::milliseconds kPause{20};

}  // namespace

void Core::maintain() {
  std::string last;  // a full disk, say, is worth one line and not fifty a second
  for (;;) {
    {
      std::unique_lock lock(maintenance_mutex_);
      maintenance_wake_.wait_for(lock, kPause, [&] { return stopping_; });
      if (stopping_) return;
    }
    Status done;
    try {
      const std::uint64_t log_rooms = this->log_rooms();
      done = maintain_once();
      // What is collected on a full disk gives pages back.
      if (!done && is_no_space(done.error()) && make_log_room(log_rooms)) {
        engine_->wake_collector();
        continue;
      }
      if (!done && done.error().message() != last) {
        last = done.error().message();
        say("background work failed: " + last);
      }
      if (done) last.clear();
    } catch (const std::bad_alloc&) {
      continue;  // the next round tries again
    }
    if (poison_.is_set()) return;
  }
}

Status Core::maintain_once() {
  // On a full disk a checkpoint may have to wait for what collecting gives back.
  Status done;
  if (raw(log_->end()) - checkpoint_end_.load() > kCheckpointLogBytes) done = checkpoint();
  if (!done && !is_no_space(done.error())) return done;
  bool wanted = false;
  {
    const std::lock_guard lock(maintenance_mutex_);
    wanted = maintenance_wanted_;
    maintenance_wanted_ = false;
  }
  if (!wanted) return done;
  bool more = false;
  {
    const SharedGate::Pass pass = writers_.enter();
    if (!pass) return {};
    const std::lock_guard collecting(collector_mutex_);
    VG_ASSIGN(more, txns_->collect());
  }
  for (bool retired = true; retired;) {
    {
      const std::lock_guard lock(maintenance_mutex_);
      if (stopping_) return {};
    }
    const SharedGate::Pass pass = writers_.enter();
    if (!pass) return {};
    const std::lock_guard collecting(collector_mutex_);
    VG_ASSIGN(retired, collect_retired(*engine_, *txns_));
  }
  if (more) engine_->wake_collector();
  return done;
}

/// What is dropped gives its pages back now, and not in a moment.
bool Core::make_room(std::uint64_t log_rooms_before) {
  bool freed = false;
  {
    const std::lock_guard collecting(collector_mutex_);
    const auto free_some = [&]() -> Result<bool> {
      VG_TRY(txns_->collect());
      return collect_retired(*engine_, *txns_);
    };
    // An error is left to the collector, or to the change that is tried again.
    for (Result<bool> more = free_some(); more && *more; more = collect_retired(*engine_, *txns_)) freed = true;
  }
  return make_log_room(log_rooms_before) || freed;
}

}  // namespace vaultgres::internal
