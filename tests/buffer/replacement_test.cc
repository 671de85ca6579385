// Goal: what is used again stays in the cache, what a scan reads does not push it out, and the hints make the
// difference that they promise. Pages are counted by the reads that it takes to see them again.
#include "buffer/buffer_support.h"

namespace vaultgres {
namespace {

/// All pages are on disk; the cache of `world` begins empty.
class ReplacementTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kFrames = 64;

  ReplacementTest() {
    PoolWorld before(disk_, PoolWorld::kPages);
    for (std::uint32_t i = 0; i < PoolWorld::kPages; ++i) EXPECT_TRUE(before.create(PageId{i}, i));
    EXPECT_TRUE(before.pool().flush_all());
  }
  static void touch(PoolWorld& world, std::uint32_t first, std::uint32_t count, Hint hint, int times) {
    for (int i = 0; i < times; ++i) {
      for (std::uint32_t page = first; page < first + count; ++page) {
        ASSERT_TRUE(world.pool().optimistic(PageId{page}, hint));
      }
    }
  }
  /// How many of these pages are no longer there.
  static std::uint64_t missing(PoolWorld& world, std::uint32_t first, std::uint32_t count) {
    std::uint64_t gone = 0;
    for (std::uint32_t page = first; page < first + count; ++page) {
      if (!world.pool().try_shared(PageId{page})) ++gone;
    }
    return gone;
  }
  /// The pages that a working set loses to a scan of five times the cache.
  std::uint64_t lost_to_a_scan(bool use_hints, std::uint64_t epoch) {
    BufferOptions options;
    options.use_hints = use_hints;
    PoolWorld world(disk_, kFrames, false, epoch, options);
    touch(world, 0, 40, Hint::kNormal, 2);
    touch(world, 40, 5 * kFrames, Hint::kScan, 1);
    return missing(world, 0, 40);
  }

  SimFileSystem disk_;
};

TEST_F(ReplacementTest, AScanDoesNotEvictTheWorkingSet) {
  EXPECT_EQ(lost_to_a_scan(true, 2), 0u);
  EXPECT_GT(lost_to_a_scan(false, 3), 20u) << "without hints it does, else this test shows nothing";
}

TEST_F(ReplacementTest, APageThatAScanBroughtAndOthersUseStays) {
  PoolWorld world(disk_, kFrames, false, 2);
  touch(world, 0, 50, Hint::kNormal, 2);
  touch(world, 100, 30, Hint::kScan, 1);  // the cache is full: the last of these came by the scans' own frames
  touch(world, 128, 2, Hint::kNormal, 1);
  touch(world, 200, 100, Hint::kScan, 1);
  EXPECT_EQ(missing(world, 128, 2), 0u);
}

TEST_F(ReplacementTest, PinnedPagesGoLast) {
  PoolWorld world(disk_, kFrames, false, 2);
  touch(world, 0, 1, Hint::kPinned, 2);
  touch(world, 1, 40, Hint::kNormal, 2);
  touch(world, 100, 2 * kFrames, Hint::kNormal, 1);
  EXPECT_EQ(missing(world, 1, 40), 40u);
  EXPECT_EQ(missing(world, 0, 1), 0u);
}

// Each storm turns the clock's hand round about twice; what a pinned page was loaded with is long used up.
TEST_F(ReplacementTest, EveryUseMakesAPinnedPageStayAgain) {
  PoolWorld world(disk_, kFrames, false, 2);
  touch(world, 0, 1, Hint::kPinned, 1);
  for (int round = 0; round < 6; ++round) {
    touch(world, 100, 2 * kFrames, Hint::kNormal, 1);
    ASSERT_EQ(missing(world, 0, 1), 0u) << "round " << round;
    touch(world, 0, 1, Hint::kPinned, 1);
  }
}

TEST_F(ReplacementTest, InnerNodesGoAfterTheirChildren) {
  {
    PoolWorld before(disk_, kFrames, false, 2);
    FrameTicket ticket = *before.pool().reserve_frames(1);
    ExclusiveGuard guard = before.pool().create(PageId{0}, ticket);
    std::vector<std::byte> page(kPageBytes);
    page_header(MutableBytes(page)).type.set(static_cast<std::uint8_t>(PageType::kInternal));
    PayloadBuffer image;
    encode_page_image(image, page);
    MiniTxn mini(before.pool(), before.log(), RecordKind::kSystem);
    mini.add(guard, PageOp::kImage, image.bytes());
    mini.commit();
    guard.release();
    ASSERT_TRUE(before.pool().flush_all());
  }
  PoolWorld world(disk_, kFrames, false, 3);
  touch(world, 0, 41, Hint::kNormal, 2);
  touch(world, 100, 90, Hint::kNormal, 1);
  EXPECT_EQ(missing(world, 1, 40), 40u);
  EXPECT_EQ(missing(world, 0, 1), 0u);
}

TEST_F(ReplacementTest, APageThatSomebodyWaitedForStaysWhileItIsPinned) {
  PoolWorld world(disk_, kFrames, false, 2);
  LoadPin pin = *world.pool().load(PageId{0}, Hint::kScan);
  touch(world, 1, 5 * kFrames, Hint::kNormal, 1);
  EXPECT_EQ(missing(world, 0, 1), 0u);
  pin.release();
  touch(world, 1, 5 * kFrames, Hint::kNormal, 1);
  EXPECT_EQ(missing(world, 0, 1), 1u);
}

/// Pinning a page that is there must not make its readers start again.
TEST_F(ReplacementTest, PinningAResidentPageDisturbsNoReader) {
  PoolWorld world(disk_, kFrames, false, 2);
  const OptimisticGuard reader = *world.pool().optimistic(PageId{0}, Hint::kNormal);
  const LoadPin pin = *world.pool().load(PageId{0}, Hint::kNormal);
  EXPECT_TRUE(reader.validate());
}

}  // namespace
}  // namespace vaultgres
