// Goal: each call of the pool does what its header says: content survives eviction, versions notice every
// change, damage and lost writes are found, the log is forced before a page is written.
#include "buffer/buffer_pool.h"

#include <cerrno>

#include "base/crc32c.h"
#include "buffer/buffer_support.h"
#include "format/doublewrite.h"
#include "support/random.h"

namespace vaultgres {
namespace {

constexpr Lsn kAnyLsn{UINT64_MAX};

class BufferPoolTest : public ::testing::Test {
 protected:
  SimFileSystem disk_;
  PoolWorld world_{disk_};

  /// Creates pages [0, count) with their ids as numbers, written and synced.
  void create_pages(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i % 8 == 0) {
        ASSERT_TRUE(world_.pool().flush_all());  // no cleaner runs here: clean pages can go
      }
      ASSERT_TRUE(world_.create(PageId{i}, i));
    }
    ASSERT_TRUE(world_.pool().flush_all());
  }
};

TEST_F(BufferPoolTest, ContentSurvivesEvictionInACacheThatIsTooSmall) {
  world_.pool().start_cleaner();
  for (std::uint32_t i = 0; i < 300; ++i) ASSERT_TRUE(world_.create(PageId{i}, i * 7));
  for (std::uint32_t i = 0; i < 300; ++i) {
    const auto number = world_.read(PageId{i});
    ASSERT_TRUE(number) << number.error().message();
    ASSERT_EQ(*number, i * 7);
  }
  EXPECT_GT(world_.pool().stats().evictions, 200u);
}

TEST_F(BufferPoolTest, AnOptimisticReaderNoticesEveryChangeAndNothingElse) {
  create_pages(2);
  OptimisticGuard guard = *world_.pool().optimistic(PageId{1}, Hint::kNormal);
  EXPECT_EQ(number_on(guard.page()), 1u);
  EXPECT_TRUE(guard.validate());
  {
    SharedGuard shared = *world_.pool().shared(PageId{1}, Hint::kNormal);
    EXPECT_TRUE(guard.validate()) << "a shared holder does not disturb";
  }
  {
    ExclusiveGuard exclusive = *world_.pool().exclusive(PageId{1}, Hint::kNormal);
    EXPECT_FALSE(guard.validate());
  }
  EXPECT_FALSE(guard.validate());
}

TEST_F(BufferPoolTest, AnUpgradeSucceedsOnlyIfNothingChanged) {
  create_pages(2);
  OptimisticGuard first = *world_.pool().optimistic(PageId{1}, Hint::kNormal);
  OptimisticGuard second = *world_.pool().optimistic(PageId{1}, Hint::kNormal);
  auto latched = world_.pool().try_upgrade(std::move(first));
  ASSERT_TRUE(latched);
  EXPECT_FALSE(world_.pool().try_exclusive(PageId{1}));
  EXPECT_FALSE(world_.pool().try_shared(PageId{1}));
  latched->release();
  EXPECT_FALSE(world_.pool().try_upgrade(std::move(second)));
  EXPECT_TRUE(world_.pool().try_exclusive(PageId{1}));
}

// A reader parked on a page must fail when the page was evicted, loaded again, or its id given to another
// page in between: the version never restarts.
TEST_F(BufferPoolTest, AParkedReaderFailsAfterEvictionAndAfterReuseOfTheId) {
  create_pages(2);
  OptimisticGuard parked = *world_.pool().optimistic(PageId{1}, Hint::kScan);
  world_.evict_all();
  ASSERT_EQ(*world_.read(PageId{1}), 1u);
  EXPECT_FALSE(parked.validate()) << "evicted and loaded again";
  OptimisticGuard again = *world_.pool().optimistic(PageId{1}, Hint::kScan);
  ASSERT_TRUE(world_.create(PageId{1}, 99));
  EXPECT_FALSE(again.validate()) << "re-used";
  EXPECT_EQ(*world_.read(PageId{1}), 99u);
}

TEST_F(BufferPoolTest, DamageIsAnErrorThatNamesThePageAndOtherPagesGoOn) {
  create_pages(3);
  world_.evict_all();
  std::vector<std::byte> page(kPageBytes);
  ASSERT_TRUE(world_.data().read(1 * kPageBytes, page));
  page[kPageBytes / 2] ^= std::byte{4};
  ASSERT_TRUE(world_.data().write(1 * kPageBytes, page));
  for (int i = 0; i < 2; ++i) {
    const auto read = world_.read(PageId{1});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
    EXPECT_NE(read.error().message().find("page 1"), std::string::npos) << read.error().message();
    EXPECT_FALSE(world_.pool().optimistic(PageId{1}, Hint::kNormal));
  }
  EXPECT_EQ(*world_.read(PageId{2}), 2u);
  EXPECT_FALSE(world_.pool().optimistic(PageId{PoolWorld::kPages}, Hint::kNormal)) << "beyond the file";
}

TEST_F(BufferPoolTest, ALostWriteIsFoundAlthoughTheOldPageIsSound) {
  create_pages(2);
  std::vector<std::byte> old(kPageBytes);
  ASSERT_TRUE(world_.data().read(1 * kPageBytes, old));
  ASSERT_TRUE(world_.change(PageId{1}, 5));
  world_.evict_all();
  ASSERT_TRUE(world_.data().write(1 * kPageBytes, old));  // as if the write had never reached the disk
  const auto read = world_.read(PageId{1});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
}

// Offsets of pages are 64 bits wide, their ids 32.
TEST(LargeFileTest, APageBehindFourGigabytesIsTakenForOneBeforeThem) {
  constexpr std::uint64_t kFourGigabytes = std::uint64_t{1} << 32;
  SimFileSystem disk;
  { const PoolWorld world(disk); }
  const std::unique_ptr<File> data = *disk.open("/db/data", OpenMode::kReadWrite);
  constexpr std::uint64_t kBegin = PoolWorld::kPages * kPageBytes;
  ASSERT_TRUE(data->allocate(kBegin, 2 * kFourGigabytes));
  PoolWorld world(disk, 32, false, 2);
  std::vector<PageId> ids;
  for (const std::uint64_t begin : {std::uint64_t{0}, kFourGigabytes / 2, kFourGigabytes, 2 * kFourGigabytes}) {
    for (std::uint32_t i = 0; i < 3; ++i) ids.push_back(PageId{static_cast<std::uint32_t>(begin / kPageBytes) + i});
  }
  for (const PageId id : ids) ASSERT_TRUE(world.create(id, raw(id)));
  ASSERT_TRUE(world.pool().flush_all());
  world.evict_all();
  for (const PageId id : ids) {
    const auto number = world.read(id);
    ASSERT_TRUE(number) << number.error().message();
    EXPECT_EQ(*number, raw(id));
  }
}

TEST_F(BufferPoolTest, APageOfZerosAndAnUnsoundPageAreDamage) {
  create_pages(2);
  ASSERT_TRUE(world_.change(PageId{1}, PoolWorld::kUnsound));
  world_.evict_all();
  for (const std::uint32_t id : {1u, 50u}) {  // 50 was never written
    const auto read = world_.pool().shared(PageId{id}, Hint::kNormal);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
    EXPECT_NE(read.error().message().find("page " + std::to_string(id)), std::string::npos);
  }
}

TEST_F(BufferPoolTest, AReadErrorIsAnErrorOfThatCallOnly) {
  create_pages(2);
  world_.evict_all();
  disk_.inject({.call = IoCall::kRead, .os_error = EIO, .path_contains = "data"});
  const auto read = world_.read(PageId{1});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kIo);
  EXPECT_EQ(*world_.read(PageId{1}), 1u);
}

TEST_F(BufferPoolTest, AFailedSyncPoisonsAndNobodyHangs) {
  create_pages(2);
  ASSERT_TRUE(world_.change(PageId{1}, 5));
  disk_.inject({.call = IoCall::kSync, .os_error = EIO, .path_contains = "data"});
  EXPECT_FALSE(world_.pool().flush_all());
  EXPECT_TRUE(world_.poison().is_set());
  EXPECT_FALSE(world_.pool().flush_all());
  EXPECT_EQ(world_.pool().stats().frames_dirty, 1u) << "nothing became clean by a sync that failed";
}

TEST_F(BufferPoolTest, TicketsAndPinsGiveBackWhatTheyHold) {
  create_pages(4);
  const std::uint64_t free = world_.pool().stats().frames_free;
  {
    FrameTicket ticket = *world_.pool().reserve_frames(8);
    EXPECT_EQ(ticket.count(), 8u);
    LoadPin pin = *world_.pool().load(PageId{2}, Hint::kNormal);
    LoadPin moved = std::move(pin);
  }
  EXPECT_GE(world_.pool().stats().frames_free + 1, free);
  world_.evict_all();
  EXPECT_EQ(*world_.read(PageId{2}), 2u);
}

TEST_F(BufferPoolTest, RedoStartIsTheOldestChangeThatIsNotOnDisk) {
  create_pages(3);
  const Lsn clean = world_.log().end();
  EXPECT_EQ(world_.pool().redo_start(clean), clean);
  const Lsn before = world_.log().end();
  ASSERT_TRUE(world_.change(PageId{1}, 10));
  ASSERT_TRUE(world_.change(PageId{2}, 10));
  ASSERT_TRUE(world_.change(PageId{1}, 11));
  EXPECT_EQ(world_.pool().redo_start(world_.log().end()), before);
  ASSERT_TRUE(world_.pool().flush_all());
  const Lsn end = world_.log().end();
  EXPECT_EQ(world_.pool().redo_start(end), end);
}

/// No page is written before the log up to its LSN is synced, and none in place that was not copied before.
class WriteOrder final : public SimObserver {
 public:
  explicit WriteOrder(const Log& log) : log_(log) {}
  void on_write(const std::string& path, std::uint64_t offset, Bytes bytes) override {
    if (path.find("double") != std::string::npos) {
      area_synced_ = false;
      area_.assign(bytes.begin() + 4096, bytes.end());
      return;
    }
    if (path.find("data") == std::string::npos) return;
    for (std::size_t at = 0; at < bytes.size(); at += kPageBytes) {
      const Bytes page = bytes.subspan(at, kPageBytes);
      if (Lsn{page_header(page).lsn.get()} > log_.durable()) ++early;
      bool copied = false;
      for (std::size_t copy = 0; copy + kPageBytes <= area_.size() && !copied; copy += kPageBytes) {
        copied = std::equal(page.begin(), page.end(), area_.begin() + static_cast<std::ptrdiff_t>(copy));
      }
      if (!copied || !area_synced_) ++uncopied;
      ++written;
    }
    static_cast<void>(offset);
  }
  void on_sync(const std::string& path) override {
    if (path.find("double") != std::string::npos) area_synced_ = true;
  }
  unsigned early = 0;
  unsigned uncopied = 0;
  unsigned written = 0;

 private:
  const Log& log_;
  std::vector<std::byte> area_;
  bool area_synced_ = false;
};

TEST_F(BufferPoolTest, NoPageIsWrittenBeforeItsLogNorWithoutACopy) {
  create_pages(60);
  WriteOrder order(world_.log());
  disk_.set_observer(&order);
  TestRandom random;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(world_.change(PageId{static_cast<std::uint32_t>(random.uniform(20))}, random.next()));
    if (random.one_in(10)) {
      ASSERT_TRUE(world_.pool().flush_all());
    }
  }
  ASSERT_TRUE(world_.pool().flush_all());
  disk_.set_observer(nullptr);
  EXPECT_GT(order.written, 100u);
  EXPECT_EQ(order.early, 0u);
  EXPECT_EQ(order.uncopied, 0u);
}

// Power is cut at every write and sync of a batch, sectors torn: after the restore each page is whole, and is
// its old or its new self.
TEST_F(BufferPoolTest, ATornPageIsRestoredFromItsCopy) {
  create_pages(12);
  disk_.settle();
  for (std::uint32_t i = 0; i < 12; ++i) ASSERT_TRUE(world_.change(PageId{i}, 100 + i));
  const Lsn redo_start = world_.pool().redo_start(world_.log().end());
  const std::size_t from = disk_.position();
  ASSERT_TRUE(world_.pool().flush_all());
  unsigned states = 0;
  unsigned torn = 0;
  for (std::size_t at = from; at <= disk_.position(); ++at) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto after = disk_.power_cut(at, PowerCut::kTorn, seed);
      PoolWorld world(*after, 32, false, 2);
      for (std::uint32_t i = 0; i < 12; ++i) {
        if (!world.pool().load(PageId{i}, Hint::kNormal)) ++torn;
      }
      PoolWorld restored(*after, 32, false, 3);
      ASSERT_TRUE(restored.pool().restore_torn_pages(redo_start, kAnyLsn));
      for (std::uint32_t i = 0; i < 12; ++i) {
        const auto number = restored.read(PageId{i});
        ASSERT_TRUE(number) << number.error().message() << " at " << at << " seed " << seed;
        ASSERT_TRUE(*number == i || *number == 100 + i);
      }
      ++states;
    }
  }
  std::printf("%u states, %u torn pages\n", states, torn);
  EXPECT_GT(torn, 0u) << "the test tears nothing";
}

TEST_F(BufferPoolTest, ACopyOlderThanRedoStartIsNotRestored) {
  create_pages(3);
  ASSERT_TRUE(world_.change(PageId{1}, 50));
  ASSERT_TRUE(world_.pool().flush_all());
  std::vector<std::byte> page(kPageBytes, std::byte{0x5A});
  ASSERT_TRUE(world_.data().write(1 * kPageBytes, page));
  PoolWorld world(disk_, 32, false, 2);
  ASSERT_TRUE(world.pool().restore_torn_pages(world_.log().end(), kAnyLsn));
  EXPECT_FALSE(world.read(PageId{1})) << "redo would not bring it up to date";
}

TEST_F(BufferPoolTest, ACopyNewerThanTheLogIsNotRestored) {
  create_pages(3);
  const Lsn lost_from = world_.log().end();
  ASSERT_TRUE(world_.change(PageId{1}, 50));
  ASSERT_TRUE(world_.pool().flush_all());
  std::vector<std::byte> page(kPageBytes, std::byte{0x5A});
  ASSERT_TRUE(world_.data().write(1 * kPageBytes, page));
  PoolWorld world(disk_, 32, false, 2);
  ASSERT_TRUE(world.pool().restore_torn_pages(Lsn{0}, lost_from));
  EXPECT_FALSE(world.read(PageId{1})) << "redo would find that it is newer than the log";
}

// The area is overwritten at random, sometimes under a checksum that holds: nothing is read or written out of
// bounds, and no page that is sound in place changes.
TEST_F(BufferPoolTest, ADamagedAreaRestoresNothing) {
  create_pages(12);
  std::vector<std::byte> area(*world_.doublewrite().size());
  ASSERT_TRUE(world_.doublewrite().read(0, area));
  TestRandom random;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::byte> damaged = area;
    for (std::uint64_t n = random.between(1, 4); n > 0; --n) {
      // Mostly in the header's fields and ids.
      const std::size_t at = random.uniform(random.one_in(3) ? damaged.size() : 80);
      damaged[at] = static_cast<std::byte>(random.next());
    }
    if (random.one_in(2)) {
      auto& header = *reinterpret_cast<DoublewriteHeader*>(damaged.data());
      header.magic.set(kDoublewriteMagic);
      header.checksum.set(0);
      header.checksum.set(crc32c(crc32c(0xFFFFFFFFu, world_.database().bytes), Bytes(damaged).first(sizeof header)));
    }
    ASSERT_TRUE(world_.doublewrite().write(0, damaged));
    PoolWorld world(disk_, 32, false, static_cast<std::uint64_t>(round) + 2);
    ASSERT_TRUE(world.pool().restore_torn_pages(Lsn{0}, kAnyLsn));
    for (std::uint32_t i = 0; i < 12; ++i) ASSERT_EQ(*world.read(PageId{i}), i);
    ASSERT_EQ(world.pool().page_count(), PoolWorld::kPages);
  }
}

}  // namespace
}  // namespace vaultgres
