// Background care: dropping versions and ghosts, freeing what is retired, checkpoints by log volume.
#include <climits>
#include <thread>
#include <utility>

#include "base/try.h"
#include "db/core.h"
#include "db/statement.h"
#include "txn/retired.h"

namespace vaultgres::internal {

namespace {

/// A checkpoint is due when the log has grown by this much since the last. It is what recovery replays besides what the
/// cleaner has left dirty, and costs a flush and a synced page.
#ifdef VG_TEST_HOOKS
constexpr std::uint64_t kCheckpointLogBytes = std::uint64_t{2} << 20;
#else
constexpr std::uint64_t kCheckpointLogBytes = std::uint64_t{8} << 20;
#endif

constexpr std::chrono::milliseconds kPause{20};
/// What has failed will mostly do so again: damage, a full disk.
constexpr std::chrono::milliseconds kPauseAfterFailure{200};
/// Who waits for the collector looks this often at how far it has come, and so many times when that is not further.
constexpr std::chrono::milliseconds kCollectorLook{1};
constexpr unsigned kCollectorLooks = 5000;

/// What one call that found no space may free of what is retired: so many steps, then sixteen times as many, then, as
/// this was not enough either, all. Otherwise the rest is left to the collector.
constexpr unsigned kStepsOfACall = 4;
constexpr unsigned kPartialAttempts = 2;

}  // namespace

void Core::maintain() {
  std::string last;  // a full disk, say, is worth one line and not five a second
  bool failed = false;
  for (;;) {
    {
      std::unique_lock lock(maintenance_mutex_);
      maintenance_wake_.wait_for(lock, failed ? kPauseAfterFailure : kPause, [&] { return stopping_; });
      if (stopping_) return;
      if (failed) maintenance_wanted_ = true;  // the rest of it is still to be done
    }
    failed = true;
    Status done;
    try {
      const std::uint64_t log_rooms = this->log_rooms();
      done = maintain_once();
      // What is collected on a full disk gives pages back.
      if (!done && is_no_space(done.error()) && make_log_room(log_rooms)) {
        engine_->wake_collector();
        failed = false;
        continue;
      }
      failed = !done;
      if (!done && done.error().message() != last) {
        last = done.error().message();
        say("background work failed: " + last);
      }
      if (done) last.clear();
    } catch (const std::bad_alloc&) {
      continue;  // after the pause
    }
    if (poison_.is_set()) return;
  }
}

/// Whether redo would not need it any more. That looks at all frames, so only when pages were written since it last
/// did.
bool Core::is_old_log_over() {
  const std::uint64_t batches = pool_->stats().batches;
  if (batches == batches_before_look_) return false;
  if (pool_->redo_start(log_->filled()) >= log_->epoch().first) return true;
  batches_before_look_ = batches;
  return false;
}

Status Core::maintain_once() {
  // On a full disk a checkpoint may have to wait for what collecting gives back.
  Status done;
  const bool old_log_over = old_log_needed_ && is_old_log_over();
  if (old_log_over || raw(log_->end()) - checkpoint_end_.load() > kCheckpointLogBytes) done = checkpoint();
  if (done && old_log_over) old_log_needed_ = false;
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
    const Result<bool> collected = txns_->collect();
    if (!collected && done) done = collected.error();  // what is retired can go all the same
    more = collected && *collected;
  }
  RetiredPass retired(*engine_, *txns_);
  for (bool more_retired = true; more_retired;) {
    {
      const std::lock_guard lock(maintenance_mutex_);
      if (stopping_) return {};
    }
    const SharedGate::Pass pass = writers_.enter();
    if (!pass) return {};
    const std::lock_guard collecting(collector_mutex_);
    VG_ASSIGN(more_retired, retired.step());
  }
  if (more) engine_->wake_collector();
  return done;
}

Core::Rooms Core::rooms() const noexcept {
  return {log_rooms_.load(), space_->freed_count()};
}

/// What is dropped gives pages back now, and not in a moment. They are room whoever has freed them, and even if others
/// were faster to take them. The first time so are pages that are just there: perhaps they were not when the call
/// looked. The collector may be at work for long, and has its mutex again before anybody wakes up who waits for it.
/// Nobody does for whom there is room, unless he got some twice and it has not been enough; and nobody for long while
/// nothing is freed.
bool Core::make_room(const Rooms& before, unsigned failed_attempts) {
  const bool all = failed_attempts > kPartialAttempts;
  const auto has_pages = [&] {
    return space_->freed_count() != before.pages || (failed_attempts == 1 && space_->stats().pages_free > 0);
  };
  {
    std::unique_lock collecting(collector_mutex_, std::try_to_lock);
    std::uint64_t seen = space_->freed_count();
    unsigned looks = 0;
    while (!collecting && (all || !has_pages()) && looks++ < kCollectorLooks && !is_closed()) {  // close() waits for us
      std::this_thread::sleep_for(kCollectorLook);
      static_cast<void>(collecting.try_lock());
      if (const std::uint64_t now = space_->freed_count(); now != std::exchange(seen, now)) looks = 0;
    }
    // An error is left to the collector, or to the change that is tried again.
    if (collecting) static_cast<void>(txns_->collect().has_value());
    RetiredPass retired(*engine_, *txns_);
    const unsigned steps_max = all ? UINT_MAX : kStepsOfACall << 4 * (failed_attempts - 1);
    for (unsigned step = 0; collecting && step < steps_max && !is_closed(); ++step) {
      const Result<bool> freed = retired.step();
      if (!freed || !*freed) break;
    }
  }
  return make_log_room(before.log) || has_pages();
}

}  // namespace vaultgres::internal
