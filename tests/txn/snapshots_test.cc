#include "txn/snapshots.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "support/scale.h"

namespace vaultgres {
namespace {

SnapshotRegistry::Registration enter(SnapshotRegistry& registry, std::uint64_t snapshot) {
  return registry.enter([snapshot] { return Lsn{snapshot}; });
}

// Goal: the answer is the oldest registered snapshot, or the newest one when none is older.
TEST(SnapshotRegistry, AnswersTheOldest) {
  SnapshotRegistry registry;
  EXPECT_EQ(registry.raise_floor(Lsn{5}), Lsn{5});
  auto ten = enter(registry, 10);
  auto twelve = enter(registry, 12);
  EXPECT_EQ(ten.snapshot(), Lsn{10});
  EXPECT_EQ(registry.raise_floor(Lsn{9}), Lsn{9});
  EXPECT_EQ(registry.raise_floor(Lsn{20}), Lsn{10});
  ten.release();
  EXPECT_EQ(registry.raise_floor(Lsn{20}), Lsn{12});
  {
    const auto moved = std::move(twelve);
    EXPECT_EQ(registry.raise_floor(Lsn{20}), Lsn{12});
  }
  EXPECT_EQ(registry.raise_floor(Lsn{20}), Lsn{20});
}

// Goal: a snapshot of LSN 0, as in an empty database, holds everything back like any other.
TEST(SnapshotRegistry, SnapshotZeroIsRegistered) {
  SnapshotRegistry registry;
  auto zero = enter(registry, 0);
  EXPECT_EQ(registry.raise_floor(Lsn{7}), Lsn{0});
  zero.release();
  EXPECT_EQ(registry.raise_floor(Lsn{7}), Lsn{7});
}

// Goal: a snapshot below the floor is not kept: the reader takes a newer one.
TEST(SnapshotRegistry, RefusesSnapshotsBelowTheFloor) {
  SnapshotRegistry registry;
  EXPECT_EQ(registry.raise_floor(Lsn{10}), Lsn{10});
  std::uint64_t next = 7;
  const auto registration = registry.enter([&] { return Lsn{next++}; });
  EXPECT_EQ(registration.snapshot(), Lsn{10});
  EXPECT_EQ(next, 11u);
}

// Goal: moving onto a live registration gives that one up.
TEST(SnapshotRegistry, AssignmentReleases) {
  SnapshotRegistry registry;
  auto registration = enter(registry, 3);
  registration = enter(registry, 8);
  EXPECT_EQ(registry.raise_floor(Lsn{9}), Lsn{8});
}

// Goal: one thread may hold far more registrations than there were slots, each counts, and slots are used
// again.
TEST(SnapshotRegistry, GrowsBeyondItsSlots) {
  SnapshotRegistry registry(2);
  for (int round = 0; round < 3; ++round) {
    std::vector<SnapshotRegistry::Registration> held;
    for (std::uint64_t i = 0; i < 1000; ++i) held.push_back(enter(registry, 2000 - i));
    for (std::uint64_t i = 1000; i-- > 0;) {
      ASSERT_EQ(registry.raise_floor(Lsn{900}), Lsn{900});
      ASSERT_EQ(registry.raise_floor(Lsn{1000}), Lsn{1000});
      held.pop_back();
    }
  }
  auto oldest = enter(registry, 1500);
  std::vector<SnapshotRegistry::Registration> held;
  for (std::uint64_t i = 0; i < 100; ++i) held.push_back(enter(registry, 1600 + i));
  EXPECT_EQ(registry.raise_floor(Lsn{3000}), Lsn{1500});
  oldest.release();
  EXPECT_EQ(registry.raise_floor(Lsn{3000}), Lsn{1600});
}

// Goal: nobody ever holds a snapshot below an answer of raise_floor(). The collector publishes each answer
// (what it would drop); readers look at it at the beginning and at the end of every registration.
TEST(SnapshotRegistry, NothingIsDroppedUnderAReader) {
  SnapshotRegistry registry(2);
  std::atomic<std::uint64_t> newest{1};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<std::uint64_t> violations{0};
  std::atomic<int> readers{2};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      const auto now = [&] { return Lsn{newest.load(std::memory_order_acquire)}; };
      SnapshotRegistry::Registration older;
      for (std::uint64_t i = 0; i < scaled(100'000); ++i) {
        auto registration = registry.enter(now);
        if (dropped.load(std::memory_order_acquire) > raw(registration.snapshot())) violations.fetch_add(1);
        newest.fetch_add(1, std::memory_order_acq_rel);
        if (i % 16 == 0) older = registry.enter(now);
        const std::uint64_t until = dropped.load(std::memory_order_acquire);
        if (until > raw(registration.snapshot()) || until > raw(older.snapshot())) violations.fetch_add(1);
      }
      readers.fetch_sub(1);
    });
  }
  std::uint64_t answers = 0;
  std::uint64_t last = 0;
  for (bool more = true; more;) {
    more = readers.load() > 0;  // once more when they are through: however fast they were, there is an answer
    const Lsn answer = registry.raise_floor(Lsn{newest.load(std::memory_order_acquire)});
    if (raw(answer) > last) {
      last = raw(answer);
      dropped.store(last, std::memory_order_release);
      ++answers;
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(violations.load(), 0u);
  EXPECT_GT(answers, 0u);
}

}  // namespace
}  // namespace vaultgres
