// One page's entry in the translation array: latch and place. 16 bytes, never freed, never reset.
//
//   latch   see buffer/latch.h
//   place   | frame or checksum 32 | … | checksum known | mark | resident |
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/held_latches.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/std_atomics.h"
#include "base/types.h"
#include "buffer/latch.h"

namespace vaultgres {

using Latch = BasicLatch<StdAtomics>;

/// Where those who wait for it sleep; some latches share one.
Latch::Queue& latch_queue(const Latch& latch) noexcept;

struct Translation {
  static constexpr std::uint64_t kResident = 1;
  static constexpr std::uint64_t kMark = 2;           ///< used since the clock's hand came by
  static constexpr std::uint64_t kChecksumKnown = 4;  ///< not resident: the upper half is the checksum on disk
  static constexpr unsigned kPlaceShift = 32;

  Latch latch;
  std::atomic<std::uint64_t> place;

  static std::size_t frame_of(std::uint64_t place) noexcept { return place >> kPlaceShift; }
  static bool in_use(std::uint64_t place) noexcept { return (~place & (kResident | kMark)) == 0; }

  bool try_shared() noexcept { return latch.try_shared() && noted(/*exclusive=*/false, /*waited=*/false); }
  bool try_exclusive() noexcept { return latch.try_exclusive() && noted(/*exclusive=*/true, /*waited=*/false); }
  /// Only if nobody changed the page since `version` and nobody holds it.
  bool try_exclusive_at(std::uint64_t version) noexcept {
    return latch.try_exclusive_at(version) && noted(/*exclusive=*/true, /*waited=*/false);
  }
  void lock_shared() noexcept {
    note_latch_wanted(this);
    latch.lock_shared(latch_queue(latch));
    noted(/*exclusive=*/false, /*waited=*/true);
  }
  void lock_exclusive() noexcept {
    note_latch_wanted(this);
    if (VG_SEEDED_BUG(kUnfairLatch)) {
      while (!latch.try_exclusive()) StdAtomics::pause();
    } else {
      latch.lock_exclusive(latch_queue(latch));
    }
    noted(/*exclusive=*/true, /*waited=*/true);
  }
  void unlock_shared() noexcept {
    note_unlatched(this);
    VG_NOISE(kLatchSharedBeforeUnlock);
    latch.unlock_shared(latch_queue(latch));
  }
  void unlock_exclusive() noexcept { unlock_exclusive_at(Latch::version_of(latch.peek()) + 1); }
  /// When nothing was written: optimistic readers go on.
  void unlock_exclusive_unchanged() noexcept { unlock_exclusive_at(Latch::version_of(latch.peek())); }
  void unlock_exclusive_at(std::uint64_t version) noexcept {
    note_unlatched(this);
    VG_NOISE(kLatchBeforeUnlock);
    latch.unlock_exclusive_at(latch_queue(latch), version);
  }
  /// For who found it exclusive, and will try again without it: in the queue like everybody else.
  void wait_for_holder() noexcept {
    lock_shared();
    unlock_shared();
  }

 private:
  /// Always true.
  bool noted(bool exclusive, bool waited) noexcept {
    note_latched(this, exclusive, waited);
    VG_NOISE(kLatchTaken);
    return true;
  }
};
static_assert(sizeof(Translation) == 16);

}  // namespace vaultgres
