// Goal: several absent pages come by reads that are under way at the same time, each as if it had been asked for alone:
// checked, kept while it is pinned; and what can't be had at once, or is damaged, is left as it was.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "buffer/buffer_support.h"
#include "buffer/page_visits.h"
#include "support/hooked_file_system.h"

namespace vaultgres {
namespace {

constexpr std::uint32_t kMost = BufferPool::kLoadsMax;

class LoadAbsentTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kFrames = 32;
  LoadAbsentTest() {
    PoolWorld before(disk_, PoolWorld::kPages);
    for (std::uint32_t i = 0; i < PoolWorld::kPages; ++i) EXPECT_TRUE(before.create(PageId{i}, i));
    EXPECT_TRUE(before.pool().flush_all());
  }
  /// Scattered ones.
  static std::vector<PageId> ids(std::uint32_t first, std::uint32_t count) {
    std::vector<PageId> pages;
    for (std::uint32_t i = 0; i < count; ++i) pages.push_back(PageId{first + 10 * i});
    return pages;
  }
  static bool is_resident(PoolWorld& world, PageId id) { return world.pool().try_shared(id).has_value(); }
  static std::uint32_t resident(PoolWorld& world, const std::vector<PageId>& pages) {
    std::uint32_t count = 0;
    for (const PageId id : pages) count += is_resident(world, id);
    return count;
  }
  static void expect_nothing_held(PoolWorld& world) {
    const BufferPool::Held held = world.pool().held();
    EXPECT_EQ(held.latches, 0u);
    EXPECT_EQ(held.pins, 0u);
    EXPECT_EQ(held.frames, 0u);
  }

  SimFileSystem disk_;
};

// Method: no read ends before all of them have begun.
TEST_F(LoadAbsentTest, TheReadsAreUnderWayAtTheSameTime) {
  std::mutex mutex;
  std::condition_variable all;
  bool watched = false;
  unsigned under_way = 0;
  unsigned most = 0;
  HookedFileSystem files(disk_, [&](FileCall call, const std::string& path) {
    if (call != FileCall::kRead || path != "/db/data") return;
    std::unique_lock lock(mutex);
    if (!watched) return;
    most = std::max(most, ++under_way);
    all.notify_all();
    all.wait_for(lock, std::chrono::seconds(20), [&] { return most == kMost; });
    --under_way;
  });
  PoolWorld world(files, kFrames, false, 2);
  watched = true;
  const std::vector<PageId> pages = ids(5, kMost);
  const std::uint64_t visits = page_visits.loads;
  const auto pins = world.pool().load_absent(pages, Hint::kNormal);
  EXPECT_EQ(most, kMost);
  EXPECT_EQ(world.pool().stats().loads, kMost);
  EXPECT_EQ(page_visits.loads, visits + kMost) << "all of them are this thread's";
  watched = false;
  for (const PageId id : pages) EXPECT_EQ(*world.read(id), raw(id));
  EXPECT_EQ(world.pool().stats().loads, kMost) << "none is read twice";
}

TEST_F(LoadAbsentTest, OnlyWhatIsAbsentAndNoMoreThanMayBePinned) {
  PoolWorld world(disk_, kFrames, false, 2);
  const auto loads = [&] { return world.pool().stats().loads; };
  static_cast<void>(world.pool().load_absent({}, Hint::kNormal));
  const PageId beyond[] = {PageId{PoolWorld::kPages}, kNoPage};
  static_cast<void>(world.pool().load_absent(beyond, Hint::kNormal));
  EXPECT_EQ(loads(), 0u);
  ASSERT_TRUE(world.read(PageId{25}));
  static_cast<void>(world.pool().load_absent(ids(5, 5), Hint::kNormal));
  EXPECT_EQ(loads(), 5u) << "one was there";
  const PageId twice[] = {PageId{100}, PageId{101}, PageId{100}};
  static_cast<void>(world.pool().load_absent(twice, Hint::kNormal));
  EXPECT_EQ(loads(), 7u);
  static_cast<void>(world.pool().load_absent(ids(203, kMost + 4), Hint::kNormal));
  EXPECT_EQ(loads(), 7u + kMost);
  expect_nothing_held(world);
}

// Method: others use all frames, several times over.
TEST_F(LoadAbsentTest, PinnedPagesStay) {
  PoolWorld world(disk_, kFrames, false, 2);
  const std::vector<PageId> pages = ids(5, kMost);
  auto pins = world.pool().load_absent(pages, Hint::kNormal);
  EXPECT_EQ(world.pool().held().pins, kMost);
  for (std::uint32_t i = 100; i < 300; ++i) ASSERT_TRUE(world.read(PageId{i}));
  EXPECT_EQ(resident(world, pages), kMost);
  pins = {};
  for (std::uint32_t i = 100; i < 300; ++i) ASSERT_TRUE(world.read(PageId{i}));
  EXPECT_EQ(resident(world, pages), 0u) << "without pins they go as others do";
  expect_nothing_held(world);
}

TEST_F(LoadAbsentTest, ABusyPageIsNotWaitedFor) {
  PoolWorld world(disk_, kFrames, false, 2);
  // Somebody makes page 25, and holds its latch.
  std::atomic<bool> latched{false};
  std::atomic<bool> done{false};
  std::thread other([&] {
    auto ticket = world.pool().reserve_frames(1);
    ExclusiveGuard guard = world.pool().create(PageId{25}, *ticket);
    world.fill(guard, 25);
    latched.store(true);
    while (!done.load()) std::this_thread::yield();
  });
  while (!latched.load()) std::this_thread::yield();
  static_cast<void>(world.pool().load_absent(ids(5, 4), Hint::kNormal));
  EXPECT_FALSE(world.pool().optimistic_if_ready(PageId{25}, Hint::kNormal)) << "it is being written";
  EXPECT_EQ(resident(world, ids(5, 4)), 3u);
  done.store(true);
  other.join();
  EXPECT_TRUE(world.pool().optimistic_if_ready(PageId{25}, Hint::kNormal));
  expect_nothing_held(world);
}

TEST_F(LoadAbsentTest, APageThatSomebodyReadsIsNotWaitedFor) {
  std::atomic<bool> stop_next{false};
  std::atomic<bool> stopped{false};
  std::atomic<bool> done{false};
  HookedFileSystem files(disk_, [&](FileCall call, const std::string& path) {
    if (call != FileCall::kRead || path != "/db/data" || !stop_next.exchange(false)) return;
    stopped.store(true);
    while (!done.load()) std::this_thread::yield();
  });
  PoolWorld world(files, kFrames, false, 2);
  stop_next.store(true);
  std::thread other([&] { EXPECT_EQ(*world.read(PageId{25}), 25u); });
  while (!stopped.load()) std::this_thread::yield();
  static_cast<void>(world.pool().load_absent(ids(5, 4), Hint::kNormal));
  EXPECT_EQ(resident(world, ids(5, 4)), 3u);
  done.store(true);
  other.join();
  EXPECT_EQ(resident(world, ids(5, 4)), 4u);
  expect_nothing_held(world);
}

TEST_F(LoadAbsentTest, WhoHasOtherPagesToLookAtDoesNotWaitForOne) {
  PoolWorld world(disk_, kFrames, false, 2);
  EXPECT_FALSE(world.pool().optimistic_if_ready(PageId{5}, Hint::kNormal));
  EXPECT_FALSE(world.pool().optimistic_if_ready(PageId{PoolWorld::kPages}, Hint::kNormal));
  EXPECT_EQ(world.pool().stats().loads, 0u);
  ASSERT_TRUE(world.read(PageId{5}));
  for (int round = 0; round < 2; ++round) {  // first it is not marked as in use
    const OptimisticGuard guard = world.pool().optimistic_if_ready(PageId{5}, Hint::kNormal);
    ASSERT_TRUE(guard);
    EXPECT_EQ(number_on(guard.page()), 5u);
    EXPECT_TRUE(guard.validate());
  }
}

// Goal: what it takes and does not use is there for others at once. Method: all frames but a few are pinned.
TEST_F(LoadAbsentTest, WithoutFramesItLoadsLess) {
  PoolWorld world(disk_, kFrames, false, 2);
  std::vector<LoadPin> pinned;
  for (std::uint32_t i = 0; i < kFrames; ++i) pinned.push_back(*world.pool().load(PageId{i}, Hint::kNormal));
  const std::uint64_t loads = world.pool().stats().loads;
  static_cast<void>(world.pool().load_absent(ids(100, 8), Hint::kNormal));
  EXPECT_EQ(world.pool().stats().loads, loads);
  pinned.resize(kFrames - 3);
  static_cast<void>(world.pool().load_absent(ids(100, 8), Hint::kNormal));
  EXPECT_EQ(world.pool().stats().loads, loads + 3);
  pinned.clear();
  expect_nothing_held(world);
}

TEST_F(LoadAbsentTest, ADamagedPageIsLeftToItsReader) {
  PoolWorld world(disk_, kFrames, false, 2);
  AlignedBuffer page = *AlignedBuffer::make(kPageBytes);
  ASSERT_TRUE(world.data().read(25 * kPageBytes, page.span()));
  page.data()[kPageBytes - 1] ^= std::byte{1};
  ASSERT_TRUE(world.data().write(25 * kPageBytes, page.span()));
  const std::vector<PageId> pages = ids(5, 8);
  static_cast<void>(world.pool().load_absent(pages, Hint::kNormal));
  EXPECT_EQ(resident(world, pages), 7u);
  expect_nothing_held(world);
  for (const PageId id : pages) {
    const auto number = world.read(id);
    ASSERT_EQ(number.has_value(), raw(id) != 25) << raw(id);
    if (!number) {
      EXPECT_EQ(number.error().code(), ErrorCode::kCorruption);
    }
  }
}

TEST_F(LoadAbsentTest, AReadThatFailsLeavesItsPageToItsReader) {
  PoolWorld world(disk_, kFrames, false, 2);
  const std::vector<PageId> pages = ids(5, 8);
  disk_.inject({.call = IoCall::kRead, .at = 3, .os_error = EIO});
  static_cast<void>(world.pool().load_absent(pages, Hint::kNormal));
  ASSERT_EQ(disk_.faults_hit(), 1u);
  EXPECT_EQ(resident(world, pages), 7u);
  expect_nothing_held(world);
  disk_.clear_faults();
  for (const PageId id : pages) EXPECT_EQ(*world.read(id), raw(id));
}

}  // namespace
}  // namespace vaultgres
