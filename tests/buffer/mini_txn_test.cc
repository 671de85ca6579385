// Goal: a mini-transaction's record says exactly what was done to the pages, so that doing it again from the log
// gives the same pages; one that is not committed leaves nothing.
#include "buffer/mini_txn.h"

#include "buffer/buffer_support.h"
#include "wal/record.h"

namespace vaultgres {
namespace {

class MiniTxnTest : public ::testing::Test {
 protected:
  MiniTxnTest() {
    for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(world_.create(PageId{i}, i));
    EXPECT_TRUE(world_.pool().flush_all());
  }
  std::vector<std::byte> record_at(Lsn address) {
    std::vector<std::byte> record;
    EXPECT_TRUE(world_.log().read(address, record));
    return record;
  }
  ExclusiveGuard latch(std::uint32_t page) { return *world_.pool().exclusive_if_resident(PageId{page}); }
  static std::array<std::byte, 8> bytes_of(std::uint64_t number) {
    std::array<std::byte, 8> bytes;
    store_little(bytes.data(), number);
    return bytes;
  }

  SimFileSystem disk_;
  PoolWorld world_{disk_};
};

TEST_F(MiniTxnTest, TheRecordCarriesEveryChangeInOrderAndPagesCarryItsLsn) {
  Log::Appended appended;
  {
    MiniTxn mini(world_.pool(), world_.log(), RecordKind::kUpdate, TxnId{7}, Lsn{99});
    ExclusiveGuard& first = mini.own(latch(1));
    ExclusiveGuard second = latch(2);
    mini.add(first, kFill, bytes_of(10));
    mini.add(second, kFill, bytes_of(20));
    mini.add(first, kFill, bytes_of(11));
    const std::array<std::byte, 3> key{std::byte{1}, std::byte{2}, std::byte{3}};
    mini.set_undo(UndoOp::kRestoreValue, ObjectId{5}, key, bytes_of(1));
    Lsn told{0};
    appended = mini.commit([&](const Log::Appended& at) { told = at.lsn; });
    EXPECT_EQ(told, appended.lsn);
    EXPECT_EQ(Lsn{page_header(second.page()).lsn.get()}, appended.lsn);
    EXPECT_TRUE(world_.pool().try_exclusive(PageId{1})) << "an owned guard is released by the commit";
    EXPECT_FALSE(world_.pool().try_exclusive(PageId{2})) << "others stay with the caller";
  }
  EXPECT_EQ(*world_.read(PageId{1}), 11u);
  EXPECT_EQ(*world_.read(PageId{2}), 20u);

  const std::vector<std::byte> record = record_at(appended.address);
  const auto view = RecordView::parse(record);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(view->kind(), RecordKind::kUpdate);
  EXPECT_EQ(view->txn(), TxnId{7});
  EXPECT_EQ(view->prev(), Lsn{99});
  std::vector<std::pair<std::uint32_t, std::uint64_t>> parts;
  for (const RecordPage part : view->pages()) {
    EXPECT_EQ(part.op, kFill);
    parts.emplace_back(raw(part.page), load_little<std::uint64_t>(part.payload.data()));
  }
  EXPECT_EQ(parts, (std::vector<std::pair<std::uint32_t, std::uint64_t>>{{1, 10}, {2, 20}, {1, 11}}));
  ASSERT_TRUE(view->undo().has_value());
  EXPECT_EQ(view->undo()->object, ObjectId{5});
  EXPECT_EQ(view->undo()->key.size(), 3u);
}

TEST_F(MiniTxnTest, ACompensationSaysWhereUndoGoesOn) {
  Log::Appended appended;
  {
    ExclusiveGuard page = latch(1);
    MiniTxn mini(world_.pool(), world_.log(), RecordKind::kCompensation, TxnId{7}, Lsn{99});
    mini.set_undo_next(Lsn{55});
    mini.add(page, kFill, bytes_of(10));
    appended = mini.commit();
  }
  const std::vector<std::byte> record = record_at(appended.address);
  const auto view = RecordView::parse(record);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(view->undo_next(), Lsn{55});
  EXPECT_EQ(view->page_count(), 1u);
}

TEST_F(MiniTxnTest, OneThatIsNotCommittedChangesNothing) {
  const Lsn end = world_.log().end();
  {
    MiniTxn mini(world_.pool(), world_.log(), RecordKind::kSystem);
    ExclusiveGuard& page = mini.own(latch(1));
    mini.add(page, kFill, bytes_of(10));
  }
  EXPECT_EQ(world_.log().end(), end);
  EXPECT_EQ(world_.pool().stats().frames_dirty, 0u);
  EXPECT_EQ(*world_.read(PageId{1}), 1u);
  EXPECT_TRUE(world_.pool().try_exclusive(PageId{1})) << "its guard was released";
}

// The history bits of rows are neither logged nor worth a write.
TEST_F(MiniTxnTest, UnloggedBytesDoNotMakeAPageDirty) {
  {
    ExclusiveGuard page = latch(1);
    page.unlogged_bytes()[kPageBytes - 1] = std::byte{0};
  }
  EXPECT_EQ(world_.pool().stats().frames_dirty, 0u);
}

// Whether they go to the disk with something else, their writer can ask.
TEST_F(MiniTxnTest, APageSaysWhetherItWillBeWritten) {
  ExclusiveGuard page = latch(1);
  EXPECT_FALSE(world_.pool().will_be_written(page));
  {
    MiniTxn mini(world_.pool(), world_.log(), RecordKind::kSystem);
    mini.add(page, kFill, bytes_of(10));
    mini.commit();
  }
  EXPECT_TRUE(world_.pool().will_be_written(page));
  page.release();
  ASSERT_TRUE(world_.pool().flush_all());
  page = latch(1);
  EXPECT_FALSE(world_.pool().will_be_written(page));
}

}  // namespace
}  // namespace vaultgres
