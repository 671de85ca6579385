// Goal: whoever waits for a latch gets it, however many others come by and whatever they want; the version says what
// has been written, and nothing else.
//
// Method: threads that never stop to take a latch in one way, one that wants it in another, and time that passes; where
// it is never free, the latch must go from hand to hand. tests/models has the same header under a model checker.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "buffer/translation.h"
#include "support/scale.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Threads that are in a loop until it goes.
class Loops {
 public:
  template <class Body>
  Loops(unsigned threads, Body body) {
    for (unsigned t = 0; t < threads; ++t) {
      threads_.emplace_back([this, body, t] {
        while (!stop_.load(std::memory_order_relaxed)) body(t);
      });
    }
  }
  Loops(const Loops&) = delete;
  Loops& operator=(const Loops&) = delete;
  ~Loops() {
    stop_.store(true);
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

class LatchTest : public ::testing::Test {
 protected:
  std::uint64_t version() const { return Latch::version_of(entry_.latch.peek()); }
  std::uint64_t holders() const { return Latch::holders_of(entry_.latch.peek()); }

  Translation entry_{};
  Watchdog watchdog_{"a thread that waits for a latch", seconds(120)};
};

TEST_F(LatchTest, AChangeRaisesTheVersionAndNothingElseDoes) {
  entry_.lock_exclusive();
  EXPECT_FALSE(entry_.try_shared());
  EXPECT_FALSE(entry_.try_exclusive());
  EXPECT_FALSE(entry_.latch.validate(0));
  entry_.unlock_exclusive();
  EXPECT_EQ(version(), 1u);
  EXPECT_TRUE(entry_.latch.validate(1));
  entry_.lock_exclusive();
  entry_.unlock_exclusive_unchanged();
  EXPECT_TRUE(entry_.latch.validate(1)) << "nothing was written";
  entry_.lock_shared();
  EXPECT_TRUE(entry_.latch.validate(1));
  EXPECT_FALSE(entry_.try_exclusive());
  entry_.unlock_shared();
  EXPECT_FALSE(entry_.try_exclusive_at(0));
  EXPECT_TRUE(entry_.try_exclusive_at(1));
  entry_.unlock_exclusive();
  EXPECT_EQ(version(), 2u);
  EXPECT_EQ(holders(), 0u);
}

TEST_F(LatchTest, AsManyShareItAsTheWordCanCount) {
  for (std::uint64_t i = 0; i < Latch::kSharedMax; ++i) ASSERT_TRUE(entry_.try_shared());
  EXPECT_FALSE(entry_.try_shared());
  std::thread one_more([&] {
    entry_.lock_shared();
    entry_.unlock_shared();
  });
  std::this_thread::sleep_for(milliseconds(5));
  for (std::uint64_t i = 0; i < Latch::kSharedMax; ++i) entry_.unlock_shared();
  one_more.join();
  EXPECT_EQ(entry_.latch.peek(), 0u);
}

// Shared holders overlap, so that there is always one.
TEST_F(LatchTest, AWriterIsNotKeptWaitingByReadersThatOverlap) {
  const Loops readers(3, [&](unsigned) {
    entry_.lock_shared();
    std::this_thread::sleep_for(microseconds(300));
    entry_.unlock_shared();
  });
  for (std::uint64_t i = 0; i < scaled(200); ++i) {
    entry_.lock_exclusive();
    EXPECT_EQ(holders(), Latch::kExclusive);
    entry_.unlock_exclusive();
  }
  EXPECT_EQ(version(), scaled(200));
}

TEST_F(LatchTest, AReaderIsNotKeptWaitingByWritersThatComeOneAfterTheOther) {
  const Loops writers(3, [&](unsigned) {
    entry_.lock_exclusive();
    std::this_thread::sleep_for(microseconds(100));
    entry_.unlock_exclusive();
  });
  for (std::uint64_t i = 0; i < scaled(200); ++i) {
    entry_.lock_shared();
    EXPECT_LE(holders(), Latch::kSharedMax);
    entry_.unlock_shared();
  }
}

// One thread takes the latch again at once after each release: nobody whom it has woken would be there in time.
TEST_F(LatchTest, AThreadThatIsAlwaysFasterIsNotAlwaysTheNext) {
  std::atomic<std::uint64_t> taken{0};
  const Loops faster(1, [&](unsigned) {
    entry_.lock_exclusive();
    const auto until = std::chrono::steady_clock::now() + microseconds(200);
    while (std::chrono::steady_clock::now() < until) taken.fetch_add(1, std::memory_order_relaxed);
    entry_.unlock_exclusive();
  });
  while (taken.load() == 0) std::this_thread::yield();
  for (std::uint64_t i = 0; i < scaled(100); ++i) {
    entry_.lock_exclusive();
    entry_.unlock_exclusive();
  }
}

// Only the first of them is woken: the others must not be forgotten.
TEST_F(LatchTest, WhoSleepsOnIsNotForgotten) {
  const Watchdog soon("a thread that sleeps for a free latch", seconds(30));
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> threads;
    entry_.lock_exclusive();
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        if (t % 2 == 0) {
          entry_.lock_exclusive();
          entry_.unlock_exclusive();
        } else {
          entry_.lock_shared();
          entry_.unlock_shared();
        }
      });
    }
    std::this_thread::sleep_for(milliseconds(2));
    entry_.unlock_exclusive();
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(holders(), 0u);
  }
}

// Latches that share a queue: whoever is woken is woken for his own.
TEST_F(LatchTest, LatchesOfOneQueueDoNotTakeEachOthersWaiters) {
  std::vector<Translation> entries(64 * 4 + 1);
  std::vector<Translation*> same;
  for (Translation& entry : entries) {
    if (&latch_queue(entry.latch) == &latch_queue(entries[0].latch)) same.push_back(&entry);
  }
  ASSERT_GE(same.size(), 4u);
  std::vector<std::uint64_t> counts(same.size());
  std::vector<std::thread> threads;
  const std::uint64_t rounds = scaled(2000);
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < rounds; ++i) {
        const std::size_t which = (t + i) % same.size();
        same[which]->lock_exclusive();
        ++counts[which];
        if (i % 16 == 0) std::this_thread::yield();
        same[which]->unlock_exclusive();
        same[which]->lock_shared();
        same[which]->unlock_shared();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < same.size(); ++i) {
    EXPECT_EQ(Latch::version_of(same[i]->latch.peek()), counts[i]);
    EXPECT_EQ(Latch::holders_of(same[i]->latch.peek()), 0u);
    sum += counts[i];
  }
  EXPECT_EQ(sum, 4 * rounds);
}

}  // namespace
}  // namespace vaultgres
