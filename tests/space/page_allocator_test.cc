#include "space/page_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <set>
#include <thread>
#include <vector>

#include "space/page_ids_support.h"
#include "support/page_space.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

constexpr std::size_t kSegment = PageSpace::kSegment;
constexpr std::uint32_t kFirstFilePages = PageSpace::kFirstFilePages;

Status validate(PageId id, Bytes page) {
  const auto type = static_cast<PageType>(page_header(page).type.get());
  return type == PageType::kBitmap ? verify_bitmap(id, page) : Status{};
}

class Space : public PageSpace {
 public:
  Space() : PageSpace([](RedoTable&) {}, &validate, 64) {}

  /// Writes everything down and opens it anew; what PageAllocator::open() says.
  Status reopen(std::size_t frames = 64) {
    close();
    return open_again(frames);
  }

  /// Reserves and allocates as users do, in records of a few pages.
  std::vector<PageId> allocate(unsigned count, PageId near = kNoPage) {
    std::vector<PageId> ids;
    while (ids.size() < count) {
      const auto left = count - static_cast<unsigned>(ids.size());
      const std::vector<PageId> some = allocate_some(std::min(left, FrameTicket::kFramesMax), near);
      ids.insert(ids.end(), some.begin(), some.end());
    }
    return ids;
  }
  /// False when the database is poisoned, for example because the bitmap does not agree.
  bool free(const std::vector<PageId>& ids) {
    for (;;) {
      LogSpace log_space(*log);
      if (!log_space.reserve(kLogBytes)) return false;
      auto pins = allocator->load_bitmaps(ids);
      if (!pins) return false;
      MiniTxn mini(*pool, *log, RecordKind::kSystem);
      if (!allocator->add_to(mini, {}, ids)) continue;
      mini.commit();
      break;
    }
    allocator->freed(ids);
    return true;
  }
  std::set<PageId> allocated() {
    std::set<PageId> ids;
    for (std::uint32_t id = 0; id < pool->page_count(); ++id) {
      if (must(allocator->is_allocated(PageId{id}))) ids.insert(PageId{id});
    }
    return ids;
  }

 private:
  static constexpr std::uint64_t kLogBytes = log_bytes_for(1024);

  std::vector<PageId> allocate_some(unsigned count, PageId near) {
    for (;;) {
      LogSpace log_space(*log);
      EXPECT_TRUE(log_space.reserve(kLogBytes));
      PageReservation pages = must(allocator->reserve(count, near));
      FrameTicket frames = must(pool->reserve_frames(count));
      MiniTxn mini(*pool, *log, RecordKind::kSystem);
      for (const PageId id : pages.ids()) mini.add(mini.own(pool->create(id, frames)), PageOp::kFree, {});
      if (!allocator->add_to(mini, pages.ids(), {})) {
        EXPECT_TRUE(poison.check());
        continue;
      }
      mini.commit();
      pages.committed(count);
      return {pages.ids().begin(), pages.ids().end()};
    }
  }
};

// Goal: a new database has its fixed pages allocated and all others free; ids come lowest first or near a wish.
TEST(PageAllocator, NewDatabase) {
  Space space;
  EXPECT_EQ(space.allocated(), (std::set<PageId>{PageId{0}, PageId{1}, PageId{2}, PageId{3}, PageId{4}}));
  EXPECT_EQ(space.allocator->stats().pages, kFirstFilePages);
  EXPECT_EQ(space.allocator->stats().pages_free, kFirstFilePages - 5);
  EXPECT_EQ(space.allocate(2), ids_from(5, 2));
  EXPECT_EQ(space.allocate(1, PageId{12}), ids_from(12, 1));
  EXPECT_EQ(space.allocate(2, PageId{5}), ids_from(7, 2));
  EXPECT_TRUE(must(space.allocator->is_allocated(PageId{12})));
  EXPECT_FALSE(must(space.allocator->is_allocated(PageId{11})));
}

// Goal: a reservation is in memory only: two never share an id, and what was not used goes back.
TEST(PageAllocator, ReservationsGoBack) {
  Space space;
  {
    PageReservation one = must(space.allocator->reserve(3));
    PageReservation two = must(space.allocator->reserve(2));
    EXPECT_EQ(one[0], PageId{5});
    EXPECT_EQ(two[0], PageId{8});
    EXPECT_EQ(space.allocated().size(), 5u);
    one = std::move(two);
    EXPECT_EQ(one.count(), 2u);
    EXPECT_EQ(must(space.allocator->reserve(1))[0], PageId{5});
  }
  EXPECT_EQ(space.allocator->stats().pages_free, kFirstFilePages - 5);
  EXPECT_EQ(space.allocate(3), ids_from(5, 3));
}

// Goal: freed ids are handed out again at once; bits and stats follow.
TEST(PageAllocator, FreedIdsComeBack) {
  Space space;
  const std::vector<PageId> ids = space.allocate(4);
  ASSERT_TRUE(space.free({ids[2], ids[0]}));
  EXPECT_FALSE(must(space.allocator->is_allocated(ids[0])));
  EXPECT_TRUE(must(space.allocator->is_allocated(ids[1])));
  EXPECT_EQ(space.allocator->stats().pages_free, kFirstFilePages - 7);
  EXPECT_EQ(space.allocate(3), (std::vector<PageId>{ids[0], ids[2], PageId{9}}));
}

// Goal: one record may free and allocate, and the bits of both are those of the pages.
TEST(PageAllocator, OneRecordFreesAndAllocates) {
  Space space;
  const std::vector<PageId> old = space.allocate(2);
  PageReservation pages = must(space.allocator->reserve(1));
  {
    LogSpace log_space(*space.log);
    ASSERT_TRUE(log_space.reserve(log_bytes_for(1024)));
    MiniTxn mini(*space.pool, *space.log, RecordKind::kSystem);
    ASSERT_TRUE(space.allocator->add_to(mini, pages.ids(), old));
    mini.commit();
  }
  pages.committed(1);
  space.allocator->freed(old);
  EXPECT_TRUE(must(space.allocator->is_allocated(pages[0])));
  EXPECT_FALSE(must(space.allocator->is_allocated(old[0])));
  pages.release();
  EXPECT_EQ(space.allocate(3), (std::vector<PageId>{old[0], old[1], PageId{8}}));
}

// Goal: the file grows when no id is free, and everything is as it was when the database is opened again.
TEST(PageAllocator, GrowsAndReopens) {
  Space space;
  std::set<PageId> expected = space.allocated();
  for (int i = 0; i < 60; ++i) {
    for (const PageId id : space.allocate(3)) ASSERT_TRUE(expected.insert(id).second);
  }
  EXPECT_EQ(space.allocated(), expected);
  EXPECT_GT(space.pool->page_count(), 180u);
  EXPECT_EQ(must(space.data().size()), std::uint64_t{space.pool->page_count()} * kPageBytes);
  const SpaceStats before = space.allocator->stats();
  EXPECT_EQ(before.pages_free, before.pages - expected.size());
  ASSERT_TRUE(space.reopen());
  EXPECT_EQ(space.allocated(), expected);
  EXPECT_EQ(space.allocator->stats().pages, before.pages);
  EXPECT_EQ(space.allocator->stats().pages_free, before.pages_free);
  for (const PageId id : space.allocate(3)) EXPECT_TRUE(expected.insert(id).second);
}

// Goal: a page that the file has got, while its group has no bitmap yet, is not allocated.
TEST(PageAllocator, AGroupThatIsBeingMadeHasNothingAllocated) {
  Space space;
  space.pool->set_page_count(kPagesPerBitmap + 8);  // as in the midst of a growth
  for (const std::uint32_t id : {kFirstFilePages, kPagesPerBitmap, kPagesPerBitmap + 7}) {
    const Result<bool> allocated = space.allocator->is_allocated(PageId{id});
    ASSERT_TRUE(allocated) << allocated.error().message();
    EXPECT_FALSE(*allocated);
  }
}

// Goal: on a full disk a reservation fails as "no space" with nothing changed, takes the little that is left,
// and works again when there is room.
TEST(PageAllocator, FullDisk) {
  Space space;
  space.allocate(kFirstFilePages - 5);
  space.disk.limit_space(space.disk.used_bytes() + kSegment - 4096);
  const auto for_the_log = space.allocator->reserve(1);  // which has no spare segment yet
  ASSERT_FALSE(for_the_log);
  EXPECT_NE(for_the_log.error().message().find("log/"), std::string::npos) << for_the_log.error().message();
  space.disk.limit_space(space.disk.used_bytes() + kSegment);
  const auto refused = space.allocator->reserve(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(space.pool->page_count(), kFirstFilePages);
  EXPECT_TRUE(space.poison.check());
  // Room for a few pages, but not for a whole step.
  space.disk.limit_space(space.disk.used_bytes() + 3 * std::max<std::uint64_t>(kPageBytes, 4096));
  EXPECT_EQ(must(space.allocator->reserve(3)).count(), 3u);
  EXPECT_EQ(space.pool->page_count(), kFirstFilePages + 3);
  space.disk.limit_space(std::nullopt);
  EXPECT_EQ(space.allocate(5).size(), 5u);
  EXPECT_TRUE(space.free(ids_from(5, 4)));
}

// Goal: any other failure to grow is not forgotten.
TEST(PageAllocator, FailedGrowthPoisons) {
  Space space;
  space.disk.inject({.call = IoCall::kAllocate, .os_error = EIO, .path_contains = "data"});
  const auto refused = space.allocator->reserve(kFirstFilePages);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kIo);
  EXPECT_FALSE(space.allocator->reserve(1));
}

// Goal: a bitmap that contradicts what is done to pages is reported, and neither crashes nor hangs.
TEST(PageAllocator, ContradictionPoisons) {
  for (const std::vector<PageId>& ids :
       {ids_from(10, 1), ids_from(4, 1), std::vector{PageId{5}, PageId{5}}, ids_from(kFirstFilePages, 1)}) {
    Space space;
    space.allocate(1);
    EXPECT_FALSE(space.free(ids));
    const Status status = space.poison.check();
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message().find("contradicts"), std::string_view::npos) << status.error().message();
  }
}

// Goal: bits beyond the end of the file are damage, at open.
TEST(PageAllocator, ShortenedFileIsFound) {
  Space space;
  space.allocate(kFirstFilePages - 5);
  space.close();
  ASSERT_TRUE(space.data().truncate(std::uint64_t{kFirstFilePages - 4} * kPageBytes));
  const Status opened = space.open_again(64);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), ErrorCode::kCorruption);
}

// Goal: a bitmap page that was evicted is asked for, not waited for, and no latch is left behind.
TEST(PageAllocator, EvictedBitmapIsLoadedAgain) {
  Space space;
  const std::vector<PageId> ids = space.allocate(3);
  for (int i = 0; i < 30; ++i) space.allocate(3);
  ASSERT_TRUE(space.reopen(kFramesMin));
  bool missing = false;
  for (std::uint32_t round = 0; round < 400 && !missing; ++round) {
    must(space.pool->load(PageId{5 + round % 80}, Hint::kNormal));
    LogSpace log_space(*space.log);
    ASSERT_TRUE(log_space.reserve(log_bytes_for(1024)));
    MiniTxn mini(*space.pool, *space.log, RecordKind::kSystem);
    missing = !space.allocator->add_to(mini, {}, ids);  // given up when it is destroyed
  }
  EXPECT_TRUE(missing);
  EXPECT_TRUE(space.poison.check());
  EXPECT_TRUE(space.free(ids));
  EXPECT_FALSE(must(space.allocator->is_allocated(ids[0])));
}

// Goal: beyond the end of a group the file goes on with a new one, whose bitmap page is nobody's; after
// opening again both are known. (With pages of 8 KiB a group is half a gigabyte.)
TEST(PageAllocator, NewGroup) {
  if (kPageBytes != 1024) GTEST_SKIP() << "groups are too large for this page size";
  Space space;
  std::set<PageId> expected = space.allocated();
  const PageId second{kPagesPerBitmap};
  const auto fill = [&] {
    for (const PageId id : space.allocate(8)) ASSERT_TRUE(expected.insert(id).second) << raw(id);
  };
  while (space.pool->page_count() <= kPagesPerBitmap) fill();
  expected.insert(second);
  for (int i = 0; i < 20; ++i) fill();
  EXPECT_EQ(space.allocated(), expected);
  const std::vector<PageId> both{PageId{7}, PageId{kPagesPerBitmap + 3}};
  ASSERT_TRUE(space.free(both));
  for (const PageId id : both) expected.erase(id);
  ASSERT_TRUE(space.reopen());
  EXPECT_EQ(space.allocated(), expected);
  EXPECT_EQ(space.allocator->stats().pages_free, space.pool->page_count() - expected.size());
  EXPECT_EQ(space.allocate(1, second), std::vector{both[1]});
  EXPECT_EQ(space.allocate(1), std::vector{both[0]});
}

// Goal: a crash between the file's growth into a new group and the record of its bitmap is healed at open;
// pages of zeros where something stood are damage.
TEST(PageAllocator, UnfinishedGroup) {
  if (kPageBytes != 1024) GTEST_SKIP() << "groups are too large for this page size";
  for (const bool in_use : {false, true}) {
    Space space;
    while (space.pool->page_count() < kPagesPerBitmap) {
      must(space.allocator->reserve(static_cast<unsigned>(space.allocator->stats().pages_free) + 1));
    }
    space.close();
    ASSERT_TRUE(space.data().allocate(std::uint64_t{kPagesPerBitmap} * kPageBytes, 20 * kPageBytes));
    const std::vector<std::byte> bytes(kPageBytes, std::byte{1});
    if (in_use) {
      ASSERT_TRUE(space.data().write(std::uint64_t{kPagesPerBitmap + 19} * kPageBytes, bytes));
    }
    const Status opened = space.open_again(64);
    ASSERT_EQ(opened.has_value(), !in_use);
    if (in_use) {
      EXPECT_EQ(opened.error().code(), ErrorCode::kCorruption);
      continue;
    }
    EXPECT_EQ(space.allocate(1, PageId{kPagesPerBitmap}), ids_from(kPagesPerBitmap + 1, 1));
    ASSERT_TRUE(space.reopen());
    EXPECT_TRUE(must(space.allocator->is_allocated(PageId{kPagesPerBitmap + 1})));
  }
}

// Goal: a page that was freed is handed out once, also when somebody looks for room in its group between the record
// that frees it and the word that it is free. A group that was read only then would say it a second time.
TEST(PageAllocator, APageFreedAfterOpeningIsHandedOutOnce) {
  if (kPageBytes != 1024) GTEST_SKIP() << "groups are too large for this page size";
  Space space;
  while (space.pool->page_count() <= 2 * kPagesPerBitmap) {
    must(space.allocator->reserve(static_cast<unsigned>(space.allocator->stats().pages_free) + 1));
  }
  const PageId in_the_middle{kPagesPerBitmap + 5};
  ASSERT_EQ(space.allocate(1, in_the_middle), std::vector{in_the_middle});
  ASSERT_TRUE(space.reopen());

  LogSpace log_space(*space.log);
  ASSERT_TRUE(log_space.reserve(log_bytes_for(1024)));
  const std::vector<LoadPin> pins = must(space.allocator->load_bitmaps(std::span(&in_the_middle, 1)));
  MiniTxn mini(*space.pool, *space.log, RecordKind::kSystem);
  ASSERT_TRUE(space.allocator->add_to(mini, {}, std::span(&in_the_middle, 1)));
  mini.commit();
  const PageReservation before = must(space.allocator->reserve(1, in_the_middle));
  space.allocator->freed(std::span(&in_the_middle, 1));
  const PageReservation after = must(space.allocator->reserve(1, in_the_middle));
  EXPECT_NE(before[0], after[0]);
  EXPECT_EQ(after[0], in_the_middle);
}

// Goal: threads that reserve, use, give back and free never share a page, and in the end the bitmaps say who
// has what.
TEST(PageAllocator, ThreadsNeverShareAPage) {
  Space space;
  constexpr std::size_t kThreads = 3;
  std::vector<std::atomic<int>> owner(4096);
  std::vector<std::vector<PageId>> held(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t);
      const int me = static_cast<int>(t) + 1;
      std::vector<PageId>& mine = held[t];
      for (std::uint64_t i = 0; i < scaled(600); ++i) {
        const auto count = static_cast<unsigned>(random.between(1, 3));
        if (random.one_in(5)) {
          const PageReservation unused = must(space.allocator->reserve(count));
          for (const PageId id : unused.ids()) EXPECT_EQ(owner[raw(id)].exchange(me), 0);
          for (const PageId id : unused.ids()) owner[raw(id)].store(0);
        } else if (mine.size() > 40 || (random.one_in(2) && mine.size() >= count)) {
          random.shuffle(mine);
          const std::vector<PageId> ids(mine.end() - count, mine.end());
          mine.resize(mine.size() - count);
          for (const PageId id : ids) owner[raw(id)].store(0);
          EXPECT_TRUE(space.free(ids));
        } else {
          for (const PageId id : space.allocate(count, mine.empty() ? kNoPage : mine.front())) {
            EXPECT_EQ(owner[raw(id)].exchange(me), 0);
            mine.push_back(id);
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<PageId> expected{PageId{0}, PageId{1}, PageId{2}, PageId{3}, PageId{4}};
  for (const std::vector<PageId>& mine : held) expected.insert(mine.begin(), mine.end());
  EXPECT_EQ(space.allocated(), expected);
  EXPECT_EQ(space.allocator->stats().pages_free, space.pool->page_count() - expected.size());
  ASSERT_TRUE(space.reopen());
  EXPECT_EQ(space.allocated(), expected);
}

}  // namespace
}  // namespace vaultgres
