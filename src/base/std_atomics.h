// What a concurrency protocol is written in: atomics, fences, mutexes, and a clock. The engine runs with these; the
// models of tests/models compile the same headers with those of a model checker.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "base/schedule_noise.h"

namespace vaultgres {

struct StdAtomics {
  template <class T>
  using Atomic = std::atomic<T>;
  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
  static constexpr std::memory_order kAcquire = std::memory_order_acquire;
  static constexpr std::memory_order kRelease = std::memory_order_release;
  static constexpr std::memory_order kAcquireRelease = std::memory_order_acq_rel;
  static constexpr std::memory_order kSequential = std::memory_order_seq_cst;  ///< one order of all of these
  static constexpr std::size_t kCacheLine = 64;
#ifdef VG_WORD_ATOMIC_PAGES
  // Pages are read and written by words, which carry the order themselves; ThreadSanitizer knows nothing of fences.
  static constexpr bool kFences = false;
#else
  static constexpr bool kFences = true;
#endif
  static void fence(std::memory_order order) noexcept {
    std::atomic_thread_fence(order);
  }

  using Time = std::chrono::steady_clock::time_point;
  static Time now() noexcept {
    return std::chrono::steady_clock::now();
  }
  static bool passed(Time since, std::chrono::microseconds patience) noexcept {
    return now() - since >= patience;
  }

  using Mutex = std::mutex;
  /// Who waits gives up the mutex while it sleeps.
  struct CondVar {
    void wait(std::mutex& held) noexcept {
      asleep(held, [this](std::unique_lock<std::mutex>& lock) { sleep_.wait(lock); });
    }
    /// False: it is `time`.
    bool wait_until(std::mutex& held, Time time) noexcept {
      bool woken = false;
      asleep(held, [&](std::unique_lock<std::mutex>& lock) {
        woken = sleep_.wait_until(lock, time) == std::cv_status::no_timeout;
      });
      return woken;
    }
    void notify() noexcept { sleep_.notify_one(); }
    void notify_all() noexcept { sleep_.notify_all(); }

   private:
    template <class Sleep>
    static void asleep(std::mutex& held, const Sleep& sleep) noexcept {
      std::unique_lock<std::mutex> lock(held, std::adopt_lock);
      VG_NOISE(kSleepBefore);
      sleep(lock);
      VG_NOISE(kSleepWoken);
      lock.release();
    }
    std::condition_variable sleep_;
  };

  static constexpr unsigned spins(unsigned most) noexcept {
    return most;
  }

  /// In a loop that waits for another processor.
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  /// In a loop that waits for what another thread does in a moment: spins a little, then lets others run, then sleeps.
  /// Who is waited for may have lost the processor, and may be the last to get it back.
  class Backoff {
   public:
    static constexpr unsigned kSpins = 64;
    static constexpr unsigned kYields = 64;
    static constexpr std::chrono::microseconds kSleep{50};

    void pause() noexcept {
      if (rounds_ >= kSpins + kYields) {
        std::this_thread::sleep_for(kSleep);
      } else if (rounds_++ >= kSpins) {
        std::this_thread::yield();
      } else {
        StdAtomics::pause();
      }
    }

   private:
    unsigned rounds_ = 0;
  };
};

}  // namespace vaultgres
