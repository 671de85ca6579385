// Waiting for a page latch: spin a little, then sleep in one of a few hashed places.
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "buffer/translation.h"

namespace vaultgres {

namespace {

constexpr unsigned kSpins = 64;

struct alignas(64) Place {
  std::mutex mutex;
  std::condition_variable wake;
};

Place& place_of(const Translation* entry) noexcept {
  static std::array<Place, 64> places;
  return places[reinterpret_cast<std::uintptr_t>(entry) / sizeof(Translation) % places.size()];
}

void pause_briefly() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

bool may_go_on(std::uint64_t word, bool for_exclusive) noexcept {
  return for_exclusive ? Translation::holders_of(word) == 0 : Translation::holders_of(word) < Translation::kSharedMax;
}

}  // namespace

void Translation::wait_while_held(bool for_exclusive) noexcept {
  for (unsigned spin = 0; spin < kSpins; ++spin) {
    if (may_go_on(latch.load(std::memory_order_relaxed), for_exclusive)) return;
    pause_briefly();
  }
  Place& parking = place_of(this);
  std::unique_lock lock(parking.mutex);
  // The bit is set under the mutex and only while the latch is held; the holder that clears it takes the mutex
  // before it wakes, so it finds us asleep.
  std::uint64_t word = latch.load(std::memory_order_relaxed);
  do {
    if (may_go_on(word, for_exclusive)) return;
  } while (!latch.compare_exchange_weak(word, word | kWaiters, std::memory_order_relaxed));
  parking.wake.wait(lock);
}

void Translation::wake() noexcept {
  Place& parking = place_of(this);
  { const std::lock_guard lock(parking.mutex); }
  parking.wake.notify_all();
}

}  // namespace vaultgres
