// Goal: the cleaner keeps frames coming and the redo window short, a checkpoint taken beside it never misses a
// change, and when the disk fails everybody gets an error and nobody waits for ever.
#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "buffer/buffer_support.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

/// For each page the LSN of its newest content that is on disk and synced.
class SyncedLsns final : public SimObserver {
 public:
  void on_write(const std::string& path, std::uint64_t offset, Bytes bytes) override {
    if (path != "/db/data") return;
    const std::lock_guard lock(mutex_);
    for (std::size_t at = 0; at < bytes.size(); at += kPageBytes) {
      const std::uint64_t lsn = page_header(bytes.subspan(at, kPageBytes)).lsn.get();
      written_[(offset + at) / kPageBytes] = lsn;
    }
  }
  void on_sync(const std::string& path) override {
    if (path != "/db/data") return;
    const std::lock_guard lock(mutex_);
    synced_ = written_;
  }
  std::array<std::uint64_t, PoolWorld::kPages> synced() {
    const std::lock_guard lock(mutex_);
    return synced_;
  }

 private:
  std::mutex mutex_;
  std::array<std::uint64_t, PoolWorld::kPages> written_{};
  std::array<std::uint64_t, PoolWorld::kPages> synced_{};
};

struct LoggedChange {
  std::uint32_t page;
  Log::Appended at;
};

// Writers note what they logged; beside them redo starts are computed, each with the log end before it and the
// state of the disk after it. Afterwards: whatever was logged below that end and is not in that state must lie at
// or above that redo start, else a crash would lose it.
TEST(Cleaner, NoRedoStartPassesAChangeThatIsNotOnDisk) {
  SimFileSystem disk;
  SyncedLsns disk_state;
  disk.set_observer(&disk_state);
  constexpr unsigned kWriters = 3;
  constexpr std::uint32_t kPages = 100;
  constexpr std::size_t kStartsMin = 20;
  PoolWorld world(disk, kFramesMin + 8 * (kWriters + 1));
  world.pool().start_cleaner();
  for (std::uint32_t i = 0; i < kPages; ++i) ASSERT_TRUE(world.create(PageId{i}, i));
  ASSERT_TRUE(world.pool().flush_all());

  std::array<std::vector<LoggedChange>, kWriters> changes;
  std::atomic<unsigned> running{kWriters};
  std::atomic<std::size_t> starts_taken{0};
  std::vector<std::thread> writers;
  for (unsigned t = 0; t < kWriters; ++t) {
    writers.emplace_back([&, t] {
      TestRandom random(t + 1);
      // However late the first redo start is computed, there are some to look at.
      for (std::uint64_t i = 0; i < scaled(8000) || starts_taken.load() < kStartsMin; ++i) {
        const PageId id{static_cast<std::uint32_t>(random.zipf(kPages))};
        auto guard = world.pool().exclusive(id, Hint::kNormal);
        if (!guard) break;
        MiniTxn mini(world.pool(), world.log(), RecordKind::kSystem);
        std::byte payload[8];
        store_little(payload, random.next());
        mini.add(*guard, kFill, payload);
        changes[t].push_back({raw(id), mini.commit()});
      }
      running.fetch_sub(1);
    });
  }
  struct Start {
    Lsn end;
    Lsn redo;
    std::array<std::uint64_t, PoolWorld::kPages> synced;
  };
  std::vector<Start> starts;
  while (running.load() > 0) {
    const Lsn end = world.log().end();
    const Lsn redo = world.pool().redo_start(end);
    // Only when something was written since the last one, however early the writers begin.
    if (starts.size() < 500 && (starts.empty() || end != starts.back().end)) {
      starts.push_back({end, redo, disk_state.synced()});
      starts_taken.store(starts.size());
      if (starts.size() % 50 == 0) {
        ASSERT_TRUE(world.pool().flush_all());
      }
    }
    std::this_thread::yield();
  }
  for (std::thread& writer : writers) writer.join();
  disk.set_observer(nullptr);

  std::uint64_t held_back = 0;
  for (const Start& start : starts) {
    for (const auto& list : changes) {
      for (const LoggedChange& change : list) {
        if (change.at.address >= start.end || raw(change.at.lsn) <= start.synced[change.page]) continue;
        ASSERT_GE(change.at.address, start.redo) << "page " << change.page << " would be lost";
        ++held_back;
      }
    }
  }
  EXPECT_GT(held_back, 0u) << "everything was on disk all the time: this test shows nothing";
}

/// Does something once, between the sync of the doublewrite area and the writes in place.
class BetweenTheSteps final : public SimObserver {
 public:
  explicit BetweenTheSteps(std::function<void()> what) : what_(std::move(what)) {}
  void on_sync(const std::string& path) override {
    if (path == "/db/double" && what_) std::exchange(what_, nullptr)();
  }

 private:
  std::function<void()> what_;
};

// The copy that reaches the disk is older than the page: the page stays dirty, from that change on.
TEST(Cleaner, AChangeWhileAPageIsWrittenIsWrittenNextTime) {
  SimFileSystem disk;
  PoolWorld world(disk);
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(world.create(PageId{i}, i));
  ASSERT_TRUE(world.pool().flush_all());
  const Lsn before = world.log().end();
  ASSERT_TRUE(world.change(PageId{1}, 10));
  Lsn changed_again{0};
  BetweenTheSteps in_between([&] {
    EXPECT_EQ(world.pool().redo_start(world.log().end()), before) << "the first change is not on disk yet";
    changed_again = world.log().end();
    EXPECT_TRUE(world.change(PageId{1}, 11));
    EXPECT_TRUE(world.change(PageId{1}, 12));
    EXPECT_EQ(world.pool().redo_start(world.log().end()), before);
  });
  disk.set_observer(&in_between);
  ASSERT_TRUE(world.pool().flush_all());
  disk.set_observer(nullptr);
  std::vector<std::byte> on_disk(kPageBytes);
  ASSERT_TRUE(world.data().read(1 * kPageBytes, on_disk));
  EXPECT_EQ(number_on(on_disk), 10u);
  EXPECT_EQ(world.pool().stats().frames_dirty, 1u);
  EXPECT_EQ(world.pool().redo_start(world.log().end()), changed_again);
  world.evict_all();
  EXPECT_EQ(*world.read(PageId{1}), 12u);
  EXPECT_EQ(world.pool().stats().frames_dirty, 0u);
}

// No frame is asked for; only the log grows.
TEST(Cleaner, TheRedoWindowIsKeptShortWhenNobodyNeedsFrames) {
  SimFileSystem disk;
  BufferOptions options;
  options.redo_window_bytes = 64 << 10;
  PoolWorld world(disk, 64, true, 1, options);
  const Watchdog watchdog("the cleaner lets the redo window grow", std::chrono::seconds(30));
  for (std::uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(world.create(PageId{i}, i));
  const Lsn first = world.pool().redo_start(world.log().end());
  world.pool().start_cleaner();
  while (raw(world.log().end()) < raw(first) + options.redo_window_bytes) {
    ASSERT_TRUE(world.change(PageId{1}, 5));
  }
  while (world.pool().redo_start(world.log().end()) == first) std::this_thread::yield();
}

// Goal: while somebody waits for a frame all the time, no dirty page is passed over for ever: it would hold its frame,
// and its recLSN the log. The pages above are dirty first; then everybody wants pages below, more than fit.
TEST(Cleaner, PagesWithHighNumbersAreCleanedWhileSomebodyAlwaysWaitsForAFrame) {
  SimFileSystem disk;
  constexpr std::uint32_t kFrames = 800;
  constexpr std::uint32_t kBelow = 900;
  constexpr std::uint32_t kAbove = 700;
  PoolWorld world(disk, kFrames);
  ASSERT_TRUE(world.data().allocate(0, std::uint64_t{kBelow + kAbove} * kPageBytes));
  world.pool().set_page_count(kBelow + kAbove);
  world.pool().start_cleaner();
  for (std::uint32_t i = 0; i < kBelow; ++i) ASSERT_TRUE(world.create(PageId{i}, i));
  ASSERT_TRUE(world.pool().flush_all());
  for (std::uint32_t i = 0; i < kAbove; ++i) ASSERT_TRUE(world.create(PageId{kBelow + i}, i));
  const Lsn dirty = world.log().end();
  const Watchdog watchdog("changes of more pages than fit", std::chrono::seconds(60));
  TestRandom random;
  for (std::uint32_t i = 0; world.pool().redo_start(world.log().end()) < dirty; ++i) {
    ASSERT_LT(i, 30000u) << "what was dirty first is dirty for ever";
    ASSERT_TRUE(world.change(PageId{static_cast<std::uint32_t>(random.uniform(kBelow))}, i));
  }
}

// Each thread takes as many frames as a ticket holds, makes them dirty pages, and at times gives them back.
TEST(Cleaner, ThreadsThatTakeManyFramesAtOnceDoNotWaitForEachOther) {
  SimFileSystem disk;
  constexpr unsigned kThreads = 4;
  PoolWorld world(disk, kFramesMin + 8 * kThreads);
  world.pool().start_cleaner();
  const Watchdog watchdog("threads wait for frames", std::chrono::seconds(60));
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t + 1);
      for (std::uint64_t i = 0; i < scaled(150); ++i) {
        auto ticket = world.pool().reserve_frames(FrameTicket::kFramesMax);
        if (!ticket) {
          failed.fetch_add(1);
          return;
        }
        for (std::uint64_t n = random.uniform(FrameTicket::kFramesMax + 1); n > 0; --n) {
          const PageId id{static_cast<std::uint32_t>(t * 100 + random.uniform(100))};
          ExclusiveGuard guard = world.pool().create(id, *ticket);
          world.fill(guard, raw(id));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed.load(), 0u);
  EXPECT_GT(world.pool().stats().pages_cleaned, 0u);
}

/// Threads need frames all the time when this call fails; each must come back with the poison.
void fail_under_load(const IoFault& fault) {
  SimFileSystem disk;
  constexpr unsigned kThreads = 4;
  constexpr std::uint32_t kPagesEach = 50;
  PoolWorld world(disk, kFramesMin + 8 * kThreads);
  world.pool().start_cleaner();
  const Watchdog watchdog("somebody waits for a frame that never comes", std::chrono::seconds(60));
  // The others are on disk and left alone: more than there are frames.
  for (std::uint32_t i = kThreads * kPagesEach; i < PoolWorld::kPages; ++i) ASSERT_TRUE(world.create(PageId{i}, i));
  ASSERT_TRUE(world.pool().flush_all());
  std::atomic<unsigned> poisoned{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint32_t i = 0;; ++i) {
        const Status created = world.create(PageId{t * kPagesEach + i % kPagesEach}, i);
        if (created) continue;
        if (created.error().code() == ErrorCode::kPoisoned) poisoned.fetch_add(1);
        return;
      }
    });
  }
  disk.inject(fault);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(poisoned.load(), kThreads);
  std::vector<LoadPin> pins;
  for (std::uint32_t i = kThreads * kPagesEach; i < PoolWorld::kPages; ++i) {
    Result<LoadPin> pin = world.pool().load(PageId{i}, Hint::kNormal);
    if (!pin) {
      EXPECT_EQ(pin.error().code(), ErrorCode::kPoisoned) << pin.error().message();
      break;
    }
    pins.push_back(*std::move(pin));
  }
  // The log may fail beside a batch that needs no more of it, and still comes to its end.
  if (fault.path_contains != "log/") {
    EXPECT_TRUE(pins.empty()) << "no frame will ever be clean";
  }
  EXPECT_LT(pins.size(), PoolWorld::kPages - kThreads * kPagesEach) << "more than there are frames";
  const Status flushed = world.pool().flush_all();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().os_error(), fault.os_error) << "the first cause";
}

TEST(Cleaner, AFailedSyncOfTheDataStopsEverybody) {
  fail_under_load({.call = IoCall::kSync, .os_error = EIO, .path_contains = "data"});
}
TEST(Cleaner, AFailedSyncOfTheAreaStopsEverybody) {
  fail_under_load({.call = IoCall::kSync, .os_error = EIO, .path_contains = "double"});
}
TEST(Cleaner, AFailedWriteInPlaceStopsEverybody) {
  fail_under_load({.call = IoCall::kWrite, .os_error = EIO, .path_contains = "data"});
}
TEST(Cleaner, AFailedSyncOfTheLogStopsEverybody) {
  fail_under_load({.call = IoCall::kSync, .os_error = EIO, .path_contains = "log/"});
}

// A batch of pages that are not adjacent is written by several threads.
class WideBatchTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kStep = 2;
  static constexpr std::uint32_t kPages = PoolWorld::kPages / kStep;

  void SetUp() override {
    for (std::uint32_t i = 0; i < kPages; ++i) ASSERT_TRUE(world_.create(PageId{i * kStep}, 1));
    ASSERT_TRUE(world_.pool().flush_all());
  }

  SimFileSystem disk_;
  PoolWorld world_{disk_, 512};
};

TEST_F(WideBatchTest, AllOfItIsWritten) {
  PoolWorld again(disk_, 32, false, 2);
  for (std::uint32_t i = 0; i < kPages; ++i) {
    const Result<std::uint64_t> number = again.read(PageId{i * kStep});
    ASSERT_TRUE(number);
    ASSERT_EQ(*number, 1u);
  }
}

TEST_F(WideBatchTest, AWriteThatFailsPoisonsWhoeverMakesIt) {
  for (const std::uint64_t at : {1u, 2u, 15u, 16u, 40u, 127u, 128u}) {
    const auto disk = disk_.killed();
    PoolWorld world(*disk, 512, false, 2);
    for (std::uint32_t i = 0; i < kPages; ++i) ASSERT_TRUE(world.change(PageId{i * kStep}, 2));
    disk->inject({.call = IoCall::kWrite, .at = at, .os_error = EIO, .path_contains = "/data"});
    const Status flushed = world.pool().flush_all();
    ASSERT_FALSE(flushed) << at;
    EXPECT_EQ(flushed.error().os_error(), EIO) << flushed.error().message();
    EXPECT_TRUE(world.poison().is_set()) << at;
    EXPECT_FALSE(world.pool().flush_all()) << at;
  }
}

}  // namespace
}  // namespace vaultgres
