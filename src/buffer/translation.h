// One page's entry in the translation array: latch and place. 16 bytes, never freed, never reset.
//
//   latch   | version 56 | waiters 1 | holders 7 |    holders: 0 free, 1 to 125 shared, 126 exclusive
//   place   | frame or checksum 32 | … | checksum known | mark | resident |
//
// A release of an exclusive latch raises the version, so whoever changed, loaded, evicted or re-used the page
// is noticed by every optimistic reader. Versions start at 0 with the process and never restart.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace vaultgres {

struct Translation {
  static constexpr std::uint64_t kHolders = 0x7F;
  static constexpr std::uint64_t kSharedMax = 125;
  static constexpr std::uint64_t kExclusive = 126;
  static constexpr std::uint64_t kWaiters = 0x80;
  static constexpr unsigned kVersionShift = 8;

  static constexpr std::uint64_t kResident = 1;
  static constexpr std::uint64_t kMark = 2;           ///< used since the clock's hand came by
  static constexpr std::uint64_t kChecksumKnown = 4;  ///< not resident: the upper half is the checksum on disk
  static constexpr unsigned kPlaceShift = 32;

  std::atomic<std::uint64_t> latch;
  std::atomic<std::uint64_t> place;

  static std::uint64_t version_of(std::uint64_t word) noexcept { return word >> kVersionShift; }
  static std::uint64_t holders_of(std::uint64_t word) noexcept { return word & kHolders; }
  static std::size_t frame_of(std::uint64_t place) noexcept { return place >> kPlaceShift; }
  static bool in_use(std::uint64_t place) noexcept { return (~place & (kResident | kMark)) == 0; }
  static bool is_exclusive(std::uint64_t word) noexcept { return holders_of(word) == kExclusive; }

  bool try_shared() noexcept {
    std::uint64_t word = latch.load(std::memory_order_relaxed);
    while (holders_of(word) < kSharedMax) {
      if (latch.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    }
    return false;
  }
  bool try_exclusive() noexcept {
    std::uint64_t word = latch.load(std::memory_order_relaxed);
    return holders_of(word) == 0 && take(word);
  }
  /// Only if nobody changed the page since `version` and nobody holds it.
  bool try_exclusive_at(std::uint64_t version) noexcept {
    std::uint64_t word = latch.load(std::memory_order_relaxed);
    return version_of(word) == version && holders_of(word) == 0 && take(word);
  }
  void lock_shared() noexcept {
    while (!try_shared()) wait_while_held(/*for_exclusive=*/false);
  }
  void lock_exclusive() noexcept {
    while (!try_exclusive()) wait_while_held(/*for_exclusive=*/true);
  }
  void unlock_shared() noexcept {
    std::uint64_t word = latch.load(std::memory_order_relaxed);
    for (;;) {
      std::uint64_t next = word - 1;
      const bool last = holders_of(next) == 0;
      if (last) next &= ~kWaiters;
      if (latch.compare_exchange_weak(word, next, std::memory_order_release, std::memory_order_relaxed)) {
        if (last && (word & kWaiters) != 0) wake();
        return;
      }
    }
  }
  /// The next version; whoever sees it sees what was written under the latch.
  void unlock_exclusive() noexcept {
    const std::uint64_t next = (version_of(latch.load(std::memory_order_relaxed)) + 1) << kVersionShift;
    if ((latch.exchange(next, std::memory_order_release) & kWaiters) != 0) wake();
  }
  /// Waits until the latch may be had: a little by spinning, then asleep.
  void wait_while_held(bool for_exclusive) noexcept;

 private:
  bool take(std::uint64_t word) noexcept {
    const std::uint64_t exclusive = (word & ~kHolders) | kExclusive;
    if (!latch.compare_exchange_strong(word, exclusive, std::memory_order_acquire, std::memory_order_relaxed)) {
      return false;
    }
#ifndef VG_WORD_ATOMIC_PAGES
    // Pairs with the fence in OptimisticGuard::validate: a reader that saw a byte written after this sees the
    // exclusive state, too. (With word-atomic pages the release stores of the bytes do the same.)
    std::atomic_thread_fence(std::memory_order_release);
#endif
    return true;
  }
  void wake() noexcept;
};
static_assert(sizeof(Translation) == 16);

}  // namespace vaultgres
