// Goal: the collector gives back what it can, whatever stands in its way: one that cannot be removed keeps no other
// from going, what the free-space map does not learn is removed all the same, and nobody is asked again and again who
// said that he needs what he has. Where nobody collects, nothing is noted.
#include <gtest/gtest.h>

#include <cerrno>

#include "db/core.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "txn/heap_ghosts.h"

namespace vaultgres {
namespace {

class CollectorTest : public ::testing::Test {
 protected:
  void open(FileSystem& disk, bool read_only = false) {
    close();
    Options options = small_options();
    options.cache_bytes = kCacheBytes;
    options.read_only = read_only;
    core_ = *internal::Core::open({&disk, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
  }
  void close() {
    hold_ = {};
    table_.reset();
    db_.reset();
    core_.reset();
  }
  const Engine& engine() const { return core_->engine(); }
  Heap heap() const { return (*core_->find_table("t"))->heap(engine()); }
  /// What is deleted from now on keeps its slots while this process lives, or until hold_ is released.
  void hold_collector() {
    hold_ = engine().snapshots.enter([&] { return newest_snapshot(engine()); });
  }
  static Row row(std::size_t bytes) { return {Value::bytes(std::string(bytes, 'r'))}; }
  static Tid tid_of(RowId id) { return {PageId{id.page}, id.slot}; }
  HeapSlotState slot(Tid tid) const {
    HeapSlotState state;
    EXPECT_TRUE(heap().read(tid.page, [&](const HeapPageView& view) { state = view.slot(tid.slot).state; }));
    return state;
  }

  /// A table on disk_ with a row that has moved to the first slot of a page of its own, where other rows follow it.
  void make_moved_row() {
    open(disk_);
    table_.emplace(*db_->create_table("t", *Schema::create({{"data", ColumnType::kBytes}})));
    moved_ = *table_->insert(row(kShort));
    for (bool room = true; room;) {
      ASSERT_EQ(table_->insert(row(kShort))->page, moved_.page);
      ASSERT_OK(heap().read(PageId{moved_.page},
                            [&](const HeapPageView& view) { room = view.has_room_to_update(moved_.slot, kLong); }));
    }
    ASSERT_OK(table_->update(moved_, row(kLong)));
    ASSERT_OK(
        heap().read(PageId{moved_.page}, [&](const HeapPageView& view) { body_ = view.slot(moved_.slot).link(); }));
    ASSERT_EQ(body_.slot, 0u);
    do {
      beside_ = *table_->insert(row(kShort));
    } while (PageId{beside_.page} != body_.page);
  }
  /// Whoever was to remove what was deleted dies with the process, which comes up again without.
  void lose_power(bool read_only = false) {
    ASSERT_OK(db_->sync());
    after_ = disk_.power_cut(disk_.position(), PowerCut::kNone, 0);
    open(*after_, read_only);
    table_.emplace(*db_->open_table("t"));
  }
  void delete_and_lose_power(RowId id, bool read_only = false) {
    hold_collector();
    ASSERT_TRUE(*table_->erase(id));
    ASSERT_OK(db_->checkpoint());  // nothing that recovery reads names the page
    ASSERT_NO_FATAL_FAILURE(lose_power(read_only));
  }

  static constexpr std::size_t kCacheBytes = std::size_t{4} << 20;  // an eighth of it remembers what is deleted
  static constexpr std::size_t kShort = kPageBytes / 40;
  static constexpr std::size_t kLong = kInlineRowBytesMax - 40;
  SimFileSystem disk_;
  std::unique_ptr<SimFileSystem> after_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::optional<Table> table_;
  SnapshotRegistry::Registration hold_;
  RowId moved_;
  RowId beside_;
  Tid body_;
};

// The map's hints need log space that the removal itself has left to others.
TEST_F(CollectorTest, AMovedRowIsRemovedAlthoughTheMapCannotBeTold) {
  ASSERT_NO_FATAL_FAILURE(make_moved_row());
  ASSERT_NO_FATAL_FAILURE(delete_and_lose_power(moved_));
  ASSERT_TRUE(slot(tid_of(moved_)).ghost);
  // The same heap, but for its hints' log, which is full.
  SimFileSystem full_disk;
  ASSERT_OK(full_disk.make_directory("log"));
  Poison poison;
  constexpr std::size_t kSegment = 64 << 10;
  const auto full = *Log::open(full_disk, "log", DatabaseId{}, {1, 77, Lsn{kSegment}}, Lsn{kSegment},
                               {.segment_bytes = kSegment, .buffer_bytes = 1 << 20}, poison);
  full_disk.limit_space(full_disk.used_bytes());
  while (full->reserve(1)) {
  }
  // Changed by a record of the true log: a hint writes none then.
  ASSERT_OK(heap().append_page(
      [&](MutableBytes image, std::uint32_t number) { build_heap_page(image, heap().object(), number); }));
  const HeapContext context{engine().pool, *full, engine().space};
  const Result<bool> again = purge_row(engine(), Heap(context, heap().object(), heap().root()), tid_of(moved_));
  ASSERT_OK(again);
  EXPECT_FALSE(*again);
  EXPECT_EQ(slot(tid_of(moved_)), HeapSlotState{});
  EXPECT_EQ(slot(body_), HeapSlotState{});
  EXPECT_EQ(full->end(), Lsn{kSegment});
  expect_sound(*db_);
}

// A scan hands over a page, not a row of it: the row in the first slot may be in use, for as long as a transaction
// likes.
TEST_F(CollectorTest, ARowInUseIsNotPolledForAGhostBesideIt) {
  ASSERT_NO_FATAL_FAILURE(make_moved_row());
  ASSERT_NO_FATAL_FAILURE(delete_and_lose_power(beside_));
  Transaction txn = *db_->begin();
  ASSERT_OK(table_->update(txn, moved_, row(kShort)));
  ASSERT_TRUE(slot(tid_of(beside_)).ghost);
  ASSERT_TRUE(comes_true([&] {
    EXPECT_TRUE(table_->count());  // hands over what it can without waiting
    return slot(tid_of(beside_)) == HeapSlotState{} && core_->txns().left_behind() == 0;
  }));
  for (int i = 0; i < 50; ++i) {
    const Result<bool> again = core_->txns().collect();
    ASSERT_OK(again);
    ASSERT_FALSE(*again) << "round " << i;
  }
  ASSERT_OK(txn.rollback());
  expect_sound(*db_);
}

TEST_F(CollectorTest, AReadOnlyDatabaseNotesNothingThatAScanMeets) {
  ASSERT_NO_FATAL_FAILURE(make_moved_row());
  ASSERT_NO_FATAL_FAILURE(delete_and_lose_power(beside_, true));
  ASSERT_OK(table_->count());
  ASSERT_TRUE(slot(tid_of(beside_)).ghost);
  const Result<bool> again = core_->txns().collect();
  ASSERT_OK(again) << "it has something to remove";
  EXPECT_FALSE(*again);
}

TEST_F(CollectorTest, AReadOnlyDatabaseNotesNothingThatRecoveryMeets) {
  ASSERT_NO_FATAL_FAILURE(make_moved_row());
  hold_collector();
  ASSERT_TRUE(*table_->erase(beside_));
  ASSERT_NO_FATAL_FAILURE(lose_power(true));
  ASSERT_TRUE(slot(tid_of(beside_)).ghost);
  EXPECT_EQ(core_->txns().left_behind(), 0u);
  const Result<bool> again = core_->txns().collect();
  ASSERT_OK(again) << "it has something to remove";
  EXPECT_FALSE(*again);
}

// One page that cannot be read, at any place of the work: before a leaf's ghosts are removed, or afterwards, when the
// leaf is to be merged with its neighbour.
TEST_F(CollectorTest, WhatFailsOnceKeepsNothingElse) {
  constexpr int kKeys = 1000;
  const auto load = [&](const char* name, int count, std::size_t bytes) {
    MapLoad map = *db_->load_map(name);
    for (int i = 0; i < count; ++i) EXPECT_TRUE(map.add(std::to_string(100'000 + i), std::string(bytes, 'v')));
    return *map.finish();
  };
  for (std::uint64_t at = 1; at <= 6; at += test_scale() < 1 ? 3 : 1) {
    SimFileSystem disk;
    open(disk);
    Map map = load("m", kKeys, kPageBytes / 32);
    const std::uint64_t leaves = db_->map_stats("m")->leaf_pages;
    hold_collector();
    Transaction txn = *db_->begin();
    for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(i % 100 == 0 || *map.erase(txn, std::to_string(100'000 + i)));
    ASSERT_OK(txn.commit());
    load("other", static_cast<int>(2 * kCacheBytes / (kPageBytes / 8)), kPageBytes / 8);  // instead of it in the cache
    disk.inject({.call = IoCall::kRead, .at = at, .os_error = EIO, .path_contains = "data.vg"});
    hold_ = {};
    ASSERT_TRUE(comes_true([&] { return disk.faults_hit() > 0; })) << "read " << at;
    ASSERT_TRUE(comes_true([&] { return db_->map_stats("m")->ghosts == 0; })) << db_->map_stats("m")->ghosts;
    EXPECT_LT(db_->map_stats("m")->leaf_pages, leaves / 2);
    EXPECT_EQ(content_of(map).size(), std::size_t{kKeys} / 100);
    expect_sound(*db_);
    close();
  }
}

}  // namespace
}  // namespace vaultgres
