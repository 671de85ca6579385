// Goal: redo gets every page that a log record names, whatever the disk holds in its place, and what redo has seen
// is written again even when it changed nothing.
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "buffer/buffer_support.h"
#include "support/scale.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

/// Pages 0 to 3 are on disk; a second pool over the same files begins with none in its cache.
class RedoPageTest : public ::testing::Test {
 protected:
  RedoPageTest() {
    PoolWorld before(disk_);
    for (std::uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(before.create(PageId{i}, i));
    EXPECT_TRUE(before.pool().flush_all());
    world_.emplace(disk_, 32, false, 2);
  }
  BufferPool& pool() { return world_->pool(); }

  SimFileSystem disk_;
  std::optional<PoolWorld> world_;
};

TEST_F(RedoPageTest, APageThatIsThereIsNotAbsentAndBecomesDirtyUnchanged) {
  const Lsn start{1u << 30};
  const Lsn end = world_->log().end();
  {
    auto page = pool().exclusive_for_redo(PageId{2});
    ASSERT_TRUE(page);
    EXPECT_FALSE(page->absent);
    EXPECT_EQ(number_on(page->guard.page()), 2u);
    const auto lsn = page_header(page->guard.page()).lsn.get();
    pool().mark_redone(page->guard, start, std::nullopt);
    EXPECT_EQ(page_header(page->guard.page()).lsn.get(), lsn);
  }
  EXPECT_EQ(pool().stats().frames_dirty, 1u);
  EXPECT_EQ(pool().redo_start(end), start);
  const std::uint64_t writes = disk_.calls(IoCall::kWrite);
  ASSERT_TRUE(pool().flush_all());
  EXPECT_GT(disk_.calls(IoCall::kWrite), writes) << "the dead process's write may not have reached the disk";
  EXPECT_EQ(pool().redo_start(end), end);
}

TEST_F(RedoPageTest, AnOlderRecordDoesNotRaiseTheRedoStart) {
  for (const std::uint64_t start : {1000u, 2000u}) {
    auto page = pool().exclusive_for_redo(PageId{2});
    ASSERT_TRUE(page);
    pool().mark_redone(page->guard, Lsn{start}, Lsn{start + 100});
  }
  EXPECT_EQ(pool().redo_start(world_->log().end()), Lsn{1000});
  const SharedGuard page = *pool().shared(PageId{2}, Hint::kNormal);
  EXPECT_EQ(page_header(page.page()).lsn.get(), 2100u);
}

TEST_F(RedoPageTest, ADamagedAndAZeroPageAreAbsentUntilTheyAreInitialised) {
  std::vector<std::byte> bytes(kPageBytes);
  ASSERT_TRUE(world_->data().read(1 * kPageBytes, bytes));
  bytes[kPageBytes - 1] ^= std::byte{1};
  ASSERT_TRUE(world_->data().write(1 * kPageBytes, bytes));
  for (const std::uint32_t id : {1u, 50u}) {
    {
      auto page = pool().exclusive_for_redo(PageId{id});
      ASSERT_TRUE(page);
      ASSERT_TRUE(page->absent);
      EXPECT_TRUE(page_is_zero(page->guard.page()));
    }
    {
      auto page = pool().exclusive_for_redo(PageId{id});
      ASSERT_TRUE(page);
      EXPECT_TRUE(page->absent) << "nobody has initialised it yet";
      std::byte payload[8];
      store_little(payload, std::uint64_t{77});
      ASSERT_TRUE(apply_fill(page->guard.unlogged_bytes(), payload));
      pool().mark_redone(page->guard, Lsn{1000}, Lsn{1100});
    }
    auto page = pool().exclusive_for_redo(PageId{id});
    ASSERT_TRUE(page);
    EXPECT_FALSE(page->absent);
  }
  ASSERT_TRUE(pool().flush_all());
  PoolWorld again(disk_, 32, false, 3);
  EXPECT_EQ(*again.read(PageId{1}), 77u);
  EXPECT_EQ(*again.read(PageId{50}), 77u);
}

TEST_F(RedoPageTest, APageBeyondTheFileMakesItGrow) {
  const PageId beyond{PoolWorld::kPages + 10};
  EXPECT_FALSE(pool().shared(beyond, Hint::kNormal));
  auto page = pool().exclusive_for_redo(beyond);
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->absent);
  EXPECT_EQ(pool().page_count(), raw(beyond) + 1);
  EXPECT_EQ(*world_->data().size(), (std::uint64_t{raw(beyond)} + 1) * kPageBytes);
}

TEST_F(RedoPageTest, AnIdThatCannotBeIsDamageOfTheLog) {
  const auto page = pool().exclusive_for_redo(kNoPage);
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), ErrorCode::kCorruption);
}

// Who reads ahead may be at the page at any moment: it must never be in the cache as a page of zeros.
TEST_F(RedoPageTest, AnAbsentPageIsDroppedAlthoughOthersLoadIt) {
  constexpr PageId kNeverWritten{50};
  const Watchdog watchdog("drops of an absent page", std::chrono::seconds(120));
  std::atomic<bool> over{false};
  std::atomic<unsigned> loaded{0};
  std::vector<std::thread> ahead;
  for (int i = 0; i < 2; ++i) {
    ahead.emplace_back([&] {
      while (!over) {
        if (pool().load(kNeverWritten, Hint::kNormal)) ++loaded;
        std::this_thread::yield();
      }
    });
  }
  for (std::uint64_t i = 0; i < scaled(300); ++i) {
    auto page = pool().exclusive_for_redo(kNeverWritten);
    EXPECT_TRUE(page && page->absent);
    if (page) pool().drop_absent(*std::move(page));
    std::this_thread::yield();
  }
  over = true;
  for (std::thread& thread : ahead) thread.join();
  EXPECT_EQ(loaded, 0u);
  EXPECT_FALSE(pool().shared_if_resident(kNeverWritten));
  EXPECT_EQ(pool().held().frames, 0u);
  EXPECT_EQ(pool().held().pins, 0u);
}

// A page that cannot be read is not known to be damaged: redo must not begin it anew.
TEST_F(RedoPageTest, AReadErrorIsAnErrorAndNoAbsentPage) {
  disk_.inject({.call = IoCall::kRead, .os_error = EIO, .path_contains = "data"});
  const auto page = pool().exclusive_for_redo(PageId{2});
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace vaultgres
