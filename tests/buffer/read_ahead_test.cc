// Goal: pages that lie side by side come by one read, each as if it had been asked for alone: checked, evictable, never
// in place of one that is there already; and what can't be had at once is left.
#include <atomic>
#include <thread>
#include <vector>

#include "buffer/buffer_support.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr std::uint32_t kRun = 8;

class ReadAheadTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kFrames = 256;  // so the scans' ring has 32, and a run 8 pages
  ReadAheadTest() {
    PoolWorld before(disk_, PoolWorld::kPages);
    for (std::uint32_t i = 0; i < PoolWorld::kPages; ++i) EXPECT_TRUE(before.create(PageId{i}, i));
    EXPECT_TRUE(before.pool().flush_all());
  }
  static std::vector<PageId> ids(std::uint32_t first, std::uint32_t count) {
    std::vector<PageId> pages;
    for (std::uint32_t i = 0; i < count; ++i) pages.push_back(PageId{first + i});
    return pages;
  }
  /// The first pages from `first` on that are resident, in one piece.
  static std::uint32_t resident(PoolWorld& world, std::uint32_t first) {
    std::uint32_t count = 0;
    while (first + count < PoolWorld::kPages && world.pool().try_shared(PageId{first + count})) ++count;
    return count;
  }

  SimFileSystem disk_;
  ReadAhead last_;
};

TEST_F(ReadAheadTest, ARunComesAtOnce) {
  PoolWorld world(disk_, kFrames, false, 2);
  world.pool().read_ahead(ids(100, 50), last_);
  EXPECT_EQ(resident(world, 100), kRun);
  EXPECT_EQ(world.pool().stats().loads, kRun);
  for (std::uint32_t i = 100; i < 100 + kRun; ++i) EXPECT_EQ(*world.read(PageId{i}), i);
  EXPECT_EQ(world.pool().stats().loads, kRun) << "none is read twice";
}

TEST_F(ReadAheadTest, OnlyWhatLiesSideBySideAndIsAbsent) {
  PoolWorld world(disk_, kFrames, false, 2);
  const auto loads = [&] { return world.pool().stats().loads; };
  world.pool().read_ahead({}, last_);
  world.pool().read_ahead(ids(PoolWorld::kPages, 4), last_);
  world.pool().read_ahead(ids(100, 1), last_);
  EXPECT_EQ(loads(), 0u) << "nothing, beyond the file, a single page";
  ASSERT_TRUE(world.read(PageId{104}));
  world.pool().read_ahead(ids(104, 8), last_);
  EXPECT_EQ(loads(), 1u) << "the first is there already: its reader does not wait for others";
  world.pool().read_ahead(ids(100, 8), last_);
  EXPECT_EQ(resident(world, 100), 5u) << "up to the one that is there";
  EXPECT_EQ(loads(), 5u);
  const PageId gap[] = {PageId{200}, PageId{201}, PageId{203}, PageId{204}};
  world.pool().read_ahead(gap, last_);
  EXPECT_EQ(resident(world, 200), 2u);
  world.pool().read_ahead(ids(PoolWorld::kPages - 3, 8), last_);
  EXPECT_EQ(resident(world, PoolWorld::kPages - 3), 3u);
}

TEST_F(ReadAheadTest, ABusyPageIsNotWaitedFor) {
  PoolWorld world(disk_, kFrames, false, 2);
  // Somebody makes page 103, and holds its latch.
  std::atomic<bool> latched{false};
  std::atomic<bool> done{false};
  std::thread other([&] {
    auto ticket = world.pool().reserve_frames(1);
    ExclusiveGuard guard = world.pool().create(PageId{103}, *ticket);
    world.fill(guard, 103);
    latched.store(true);
    while (!done.load()) std::this_thread::yield();
  });
  while (!latched.load()) std::this_thread::yield();
  world.pool().read_ahead(ids(100, 8), last_);
  EXPECT_EQ(resident(world, 100), 3u);
  done.store(true);
  other.join();
}

// Goal: what it takes and does not use is there for others at once. Method: all frames but a few are pinned.
TEST_F(ReadAheadTest, FramesThatItDoesNotUseAreGivenBack) {
  PoolWorld world(disk_, kFrames, false, 2);
  std::vector<LoadPin> pins;
  for (std::uint32_t i = 0; i < kFrames; ++i) pins.push_back(*world.pool().load(PageId{i}, Hint::kNormal));
  const std::uint64_t loads = world.pool().stats().loads;
  world.pool().read_ahead(ids(300, 8), last_);
  EXPECT_EQ(resident(world, 300), 0u) << "there is no frame";
  pins.pop_back();
  world.pool().read_ahead(ids(300, 8), last_);
  EXPECT_EQ(resident(world, 300), 0u) << "for one page it does not read";
  EXPECT_EQ(world.pool().stats().loads, loads);
  ASSERT_EQ(world.pool().stats().frames_free, 1u);
  pins.resize(kFrames - 3);
  world.pool().read_ahead(ids(300, 8), last_);
  EXPECT_EQ(resident(world, 300), 3u);
  const auto ticket = world.pool().reserve_frames(3);
  ASSERT_TRUE(ticket) << "pages that nobody has asked for yet go first";
}

// Goal: in the smallest caches the pages of who waits for one are not pushed out by those that may be wanted later.
TEST_F(ReadAheadTest, TheSmallestCacheIsLeftAlone) {
  PoolWorld world(disk_, kFramesMin, false, 2);
  world.pool().read_ahead(ids(100, 8), last_);
  EXPECT_EQ(world.pool().stats().loads, 0u);
  EXPECT_EQ(world.pool().stats().frames_free, world.pool().stats().frames);
}

// Goal: where pages are damaged one after the other, a scan that goes on behind them does not read them again and
// again.
TEST_F(ReadAheadTest, ARunWithADamagedPageIsReadOnce) {
  PoolWorld world(disk_, kFrames, false, 2);
  const AlignedBuffer zeros = *AlignedBuffer::make(kPageBytes);
  ASSERT_TRUE(world.data().write(101 * kPageBytes, zeros.span()));
  const auto reads = [&] { return disk_.calls(IoCall::kRead); };
  const std::uint64_t before = reads();
  world.pool().read_ahead(ids(100, 8), last_);
  EXPECT_EQ(resident(world, 100), 1u);
  for (std::uint32_t i = 101; i < 100 + kRun; ++i) world.pool().read_ahead(ids(i, 8), last_);
  EXPECT_EQ(reads(), before + 1);
  EXPECT_FALSE(world.read(PageId{101})) << "told to him who wants it";
  world.pool().read_ahead(ids(100 + kRun, 8), last_);
  EXPECT_EQ(resident(world, 100 + kRun), kRun) << "behind that run it goes on";
}

// Goal: a file that ends before its pages do is an error of who wants one of these, and of nobody else.
TEST_F(ReadAheadTest, AFileThatEndsEarlierIsLeftToItsReader) {
  PoolWorld world(disk_, kFrames, false, 2);
  ASSERT_TRUE(world.data().truncate(103 * kPageBytes));
  const std::uint64_t free = world.pool().stats().frames_free;
  for (const std::uint32_t first : {100u, 103u, 110u}) world.pool().read_ahead(ids(first, 8), last_);
  EXPECT_EQ(world.pool().stats().frames_free, free);
  const Watchdog watchdog("reading pages of a file that has become shorter", std::chrono::seconds(60));
  for (std::uint32_t i = 100; i < 118; ++i) {
    const auto number = world.read(PageId{i});
    EXPECT_EQ(number.has_value(), i < 103) << i;
    if (!number) {
      EXPECT_EQ(number.error().code(), ErrorCode::kCorruption) << number.error().message();
    }
  }
}

TEST_F(ReadAheadTest, ADamagedPageIsLeftToItsReader) {
  PoolWorld world(disk_, kFrames, false, 2);
  AlignedBuffer page = *AlignedBuffer::make(kPageBytes);
  ASSERT_TRUE(world.data().read(103 * kPageBytes, page.span()));
  page.data()[kPageBytes - 1] ^= std::byte{1};
  ASSERT_TRUE(world.data().write(103 * kPageBytes, page.span()));
  world.pool().read_ahead(ids(100, 8), last_);
  EXPECT_EQ(resident(world, 100), 3u);
  for (std::uint32_t i = 100; i < 108; ++i) {
    const auto number = world.read(PageId{i});
    if (i == 103) {
      ASSERT_FALSE(number);
      EXPECT_EQ(number.error().code(), ErrorCode::kCorruption);
    } else {
      EXPECT_EQ(*number, i);
    }
  }
}

// Goal: a lost write is seen by who asks, although the page would have come along with others.
TEST_F(ReadAheadTest, AStalePageIsLeftToItsReader) {
  PoolWorld world(disk_, kFrames, false, 2);
  AlignedBuffer old = *AlignedBuffer::make(kPageBytes);
  ASSERT_TRUE(world.data().read(103 * kPageBytes, old.span()));
  ASSERT_TRUE(world.change(PageId{103}, 5));
  ASSERT_TRUE(world.pool().flush_all());
  for (int round = 0; round < 2; ++round) {  // all others out
    for (std::uint32_t i = 120; i < PoolWorld::kPages; ++i) ASSERT_TRUE(world.read(PageId{i}));
  }
  ASSERT_FALSE(world.pool().try_shared(PageId{103}));
  ASSERT_TRUE(world.data().write(103 * kPageBytes, old.span()));
  ASSERT_FALSE(world.pool().try_shared(PageId{102}));
  world.pool().read_ahead(ids(102, 8), last_);
  EXPECT_EQ(resident(world, 102), 1u);
  const auto stale = world.read(PageId{103});
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code(), ErrorCode::kCorruption);
}

TEST_F(ReadAheadTest, AScanOfAnyLengthLeavesTheWorkingSet) {
  PoolWorld world(disk_, kFrames, false, 2);
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < 180; ++i) ASSERT_TRUE(world.read(PageId{i}));
  }
  const std::uint64_t before = world.pool().stats().loads;
  for (int round = 0; round < 3; ++round) {
    const std::vector<PageId> scanned = ids(180, 220);
    for (std::size_t i = 0; i < scanned.size(); ++i) {
      world.pool().read_ahead(std::span(scanned).subspan(i), last_);
      ASSERT_TRUE(world.pool().shared(scanned[i], Hint::kScan));
    }
  }
  EXPECT_LE(world.pool().stats().loads - before, 3u * 220u) << "no page is read twice by one scan";
  const std::uint64_t scans = world.pool().stats().loads;
  for (std::uint32_t i = 0; i < 180; ++i) ASSERT_TRUE(world.read(PageId{i}));
  EXPECT_EQ(world.pool().stats().loads, scans);
}

}  // namespace
}  // namespace vaultgres
