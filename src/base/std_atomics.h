// What a concurrency protocol is written in: atomics, fences, mutexes, and a clock. The engine runs with these; the
// models of tests/models compile the same headers with those of a model checker.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/schedule_noise.h"

namespace vaultgres {

struct StdAtomics {
  template <class T>
  using Atomic = std::atomic<T>;
  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
  static constexpr std::memory_order kAcquire = std::memory_order_acquire;
  static constexpr std::memory_order kRelease = std::memory_order_release;
  static constexpr std::memory_order kAcquireRelease = std::memory_order_acq_rel;
#ifdef VG_WORD_ATOMIC_PAGES
  // Pages are read and written by words, which carry the order themselves; ThreadSanitizer knows nothing of fences.
  static constexpr bool kFences = false;
#else
  static constexpr bool kFences = true;
#endif
  static void fence(std::memory_order order) noexcept {
    std::atomic_thread_fence(order);
  }

  using Mutex = std::mutex;
  /// wait() gives up the mutex while it sleeps.
  struct CondVar {
    void wait(std::mutex& held) noexcept {
      std::unique_lock<std::mutex> lock(held, std::adopt_lock);
      VG_NOISE(kLatchBeforeSleep);
      sleep_.wait(lock);
      VG_NOISE(kLatchWoken);
      lock.release();
    }
    void notify() noexcept { sleep_.notify_one(); }

   private:
    std::condition_variable sleep_;
  };

  static constexpr unsigned spins(unsigned most) noexcept {
    return most;
  }

  using Time = std::chrono::steady_clock::time_point;
  static Time now() noexcept {
    return std::chrono::steady_clock::now();
  }
  static bool passed(Time since, std::chrono::microseconds patience) noexcept {
    return now() - since >= patience;
  }

  /// In a loop that waits for another processor.
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
};

}  // namespace vaultgres
