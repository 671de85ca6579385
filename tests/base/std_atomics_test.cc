// Goal: who waits for another thread neither keeps the processor from it nor misses that it is woken.
//
// Method: a loop of pauses has to last as long as the sleeps that it consists of, but for the first ones; a wait with a
// time ends at that time or when it is woken, and says which.
#include "base/std_atomics.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "support/watchdog.h"

namespace vaultgres {
namespace {

TEST(StdAtomics, ALongWaitSleeps) {
  constexpr unsigned kSleeps = 1000;
  const StdAtomics::Time before = StdAtomics::now();
  StdAtomics::Backoff backoff;
  for (unsigned i = 0; i < StdAtomics::Backoff::kSpins + StdAtomics::Backoff::kYields + kSleeps; ++i) backoff.pause();
  EXPECT_GE(StdAtomics::now() - before, kSleeps * StdAtomics::Backoff::kSleep);
}

TEST(StdAtomics, AWaitEndsAtItsTime) {
  std::mutex mutex;
  StdAtomics::CondVar sleep;
  const Watchdog watchdog("a wait with a time", std::chrono::seconds(60));
  mutex.lock();
  const StdAtomics::Time time = StdAtomics::now() + std::chrono::milliseconds(5);
  while (sleep.wait_until(mutex, time)) {
  }
  EXPECT_GE(StdAtomics::now(), time);
  mutex.unlock();
}

TEST(StdAtomics, AllWhoWaitAreWoken) {
  std::mutex mutex;
  StdAtomics::CondVar sleep;
  const Watchdog watchdog("threads that wait for a notification", std::chrono::seconds(60));
  unsigned asleep = 0;
  unsigned woken = 0;
  bool go = false;
  const auto wait = [&](bool with_time) {
    const std::lock_guard lock(mutex);
    ++asleep;
    while (!go) {
      if (with_time) {
        sleep.wait_until(mutex, StdAtomics::now() + std::chrono::hours(1));
      } else {
        sleep.wait(mutex);
      }
    }
    ++woken;
  };
  std::thread one(wait, false);
  std::thread two(wait, true);
  std::thread three(wait, false);
  while (!go) {
    const std::lock_guard lock(mutex);
    if (asleep < 3) continue;
    go = true;
    sleep.notify_all();
  }
  one.join();
  two.join();
  three.join();
  EXPECT_EQ(woken, 3u);
}

}  // namespace
}  // namespace vaultgres
