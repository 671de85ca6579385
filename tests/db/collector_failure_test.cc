// Goal: what fails in the background is tried again though nobody writes any more, and nothing is forgotten over it; a
// call that finds no space frees a part of what is dropped and leaves the rest to the collector.
//
// Method: a registered snapshot keeps the collector from what a test leaves to it until the fault is in place. Then
// nobody writes.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <semaphore>
#include <thread>

#include "buffer/page_visits.h"
#include "db/allocation_support.h"
#include "db/core.h"
#include "support/hooked_file_system.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

class CollectorFailureTest : public ::testing::Test {
 protected:
  CollectorFailureTest() {
    Options options = small_options();
    options.on_log = [this](std::string_view line) {
      if (line.find("background work failed") == std::string_view::npos || !stop_collector_.load()) return;
      collector_stands_.release();
      collector_goes_on_.acquire();
    };
    core_ = *internal::Core::open({files_.get(), nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
  }

  const Engine& engine() const { return core_->engine(); }
  void hold_collector() {
    hold_ = engine().snapshots.enter([&] { return newest_snapshot(engine()); });
  }
  /// A map of so many pages, about.
  void load_map(const std::string& name, int pages) {
    MapLoad load = *db_->load_map(name);
    for (int i = 0; i < 8 * pages; ++i) {
      ASSERT_OK(load.add(std::to_string(100'000 + i), std::string(kPageBytes / 9, 'v')));
    }
    ASSERT_OK(load.finish());
  }
  /// What was there before leaves the cache.
  void fill_cache() { ASSERT_NO_FATAL_FAILURE(load_map("other", static_cast<int>((4 << 20) / kPageBytes))); }
  std::uint64_t pages_free() { return engine().space.stats().pages_free; }

  SimFileSystem disk_;
  std::atomic<const std::function<void()>*> on_data_read_ = nullptr;
  HookedFileSystem hooked_{disk_, [this](FileCall call, const std::string& path) {
                             if (call != FileCall::kRead || !path.starts_with("/db/data.vg")) return;
                             if (const auto* const hook = on_data_read_.load()) (*hook)();
                           }};
  std::unique_ptr<FileSystem> files_ = spare_allocations_of(hooked_);
  std::atomic<bool> stop_collector_ = false;  ///< when it says that it has failed
  std::binary_semaphore collector_stands_{0};
  std::binary_semaphore collector_goes_on_{0};
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  SnapshotRegistry::Registration hold_;
};

TEST_F(CollectorFailureTest, AReadThatFailsOnceKeepsNoDroppedMap) {
  ASSERT_NO_FATAL_FAILURE(load_map("dropped", 50));
  ASSERT_NO_FATAL_FAILURE(fill_cache());
  hold_collector();
  ASSERT_OK(db_->drop_map("dropped"));
  const std::uint64_t before = pages_free();
  disk_.inject({.call = IoCall::kRead, .os_error = EIO, .path_contains = "data.vg"});
  hold_.release();
  ASSERT_TRUE(comes_true([&] { return disk_.faults_hit() > 0; }));
  EXPECT_TRUE(comes_true([&] { return pages_free() >= before + 50; })) << pages_free() - before;
  expect_sound(*db_);
}

// The only deleted row of its page, so that nothing else leads the collector there. The free-space map learns of its
// room by the collector alone.
TEST_F(CollectorFailureTest, AReadThatFailsOnceKeepsNoDeletedRow) {
  Table people = *db_->create_table("people", people_schema());
  const RowId row = *people.insert(person(1));
  for (int i = 2; i < 10; ++i) ASSERT_OK(people.insert(person(i)));
  ASSERT_NO_FATAL_FAILURE(fill_cache());
  hold_collector();
  ASSERT_TRUE(*people.erase(row));
  ASSERT_NO_FATAL_FAILURE(load_map("more", static_cast<int>((4 << 20) / kPageBytes)));
  disk_.inject({.call = IoCall::kRead, .os_error = EIO, .path_contains = "data.vg"});
  hold_.release();
  ASSERT_TRUE(comes_true([&] { return disk_.faults_hit() > 0; }));
  EXPECT_TRUE(comes_true([&] { return db_->table_stats("people")->ghosts == 0; }));
  expect_sound(*db_);
}

// Each allocation of the collector's work on a few deleted rows, each in a page of its own, fails in turn.
TEST_F(CollectorFailureTest, AnAllocationThatFailsKeepsNoDeletedRow) {
  Watchdog watchdog("collecting without memory", std::chrono::seconds(120));
  const AllocationsFail spared(false);
  constexpr int kRowsOfAPage = 20;
  constexpr int kPages = 4;
  Table people = *db_->create_table("people", people_schema());
  std::vector<RowId> rows;
  const auto fill = [&] {
    for (int i = 0; i < kRowsOfAPage * kPages; ++i) rows.push_back(*people.insert(person(i, kPageBytes / 30)));
  };
  std::uint64_t at = 1;
  bool hit = true;
  for (; hit && at < 200; ++at) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    watchdog.feed("collecting without allocation " + std::to_string(at));
    rows.clear();
    fill();
    ASSERT_TRUE(comes_true([&] { return core_->txns().left_behind() == 0; }));
    hold_collector();
    for (int i = 0; i < kPages; ++i) ASSERT_TRUE(*people.erase(rows[static_cast<std::size_t>(i * kRowsOfAPage)]));
    AllocationFault fault(at);
    hold_.release();
    EXPECT_TRUE(comes_true([&] { return core_->txns().left_behind() == 0; }));
    EXPECT_TRUE(comes_true([&] { return db_->table_stats("people")->ghosts == 0; })) << "they are forgotten";
    fault.stop();
    hit = fault.hit();
    if (HasFailure()) return;
  }
  EXPECT_GT(at, 5u) << "nothing was tested";
  EXPECT_FALSE(hit);
  expect_sound(*db_);
}

class MakeRoomTest : public CollectorFailureTest {
 protected:
  /// The collector stands still and has freed next to nothing of a large map that was dropped.
  void drop_map_beside_no_collector(int pages) {
    ASSERT_NO_FATAL_FAILURE(load_map("dropped", pages));
    ASSERT_NO_FATAL_FAILURE(fill_cache());
    hold_collector();
    ASSERT_OK(db_->drop_map("dropped"));
    stop_collector_.store(true);
    disk_.inject({.call = IoCall::kRead, .os_error = EIO, .path_contains = "data.vg"});
    hold_.release();
    collector_stands_.acquire();
    stop_collector_.store(false);
  }
  void let_collector_go_on() { collector_goes_on_.release(); }
};

TEST_F(MakeRoomTest, ACallFreesMoreOnlyWhenThatWasNotEnough) {
  Watchdog watchdog("making room", std::chrono::seconds(60));
  ASSERT_NO_FATAL_FAILURE(drop_map_beside_no_collector(1500));
  const std::uint64_t before = pages_free();
  EXPECT_TRUE(core_->make_room(core_->rooms()));
  const std::uint64_t first = pages_free() - before;
  EXPECT_GE(first, 64u);
  EXPECT_LE(first, 300u);
  EXPECT_TRUE(core_->make_room(core_->rooms()));
  EXPECT_LE(pages_free() - before, 600u);
  EXPECT_TRUE(core_->make_room(core_->rooms(), 2));
  EXPECT_GE(pages_free() - before, 1500u);
  let_collector_go_on();
  expect_sound(*db_);
}

TEST_F(MakeRoomTest, ClosingEndsIt) {
  Watchdog watchdog("making room", std::chrono::seconds(60));
  ASSERT_NO_FATAL_FAILURE(drop_map_beside_no_collector(1500));
  static thread_local bool makes_room = false;
  std::atomic<unsigned> reads = 0;
  std::thread closer;
  Status closed;
  const std::function<void()> close_at_first = [&] {
    if (!makes_room || reads.fetch_add(1) != 0) return;
    closer = std::thread([&] { closed = db_->close(); });
    while (!core_->is_closed()) std::this_thread::yield();
  };
  on_data_read_.store(&close_at_first);
  const Status called = internal::run_call(*core_, [&]() -> Status {
    makes_room = true;
    core_->make_room(core_->rooms(), 3);
    makes_room = false;
    return {};
  });
  EXPECT_EQ(test_text(called), "");
  let_collector_go_on();
  ASSERT_TRUE(closer.joinable()) << "it was not stopped";
  closer.join();
  EXPECT_EQ(test_text(closed), "");
  EXPECT_LE(reads.load(), 150u);
}

// The call found no page. Before it comes to make room, the collector has freed all that there was.
TEST_F(MakeRoomTest, PagesThatTheCollectorHasFreedMeanwhileAreRoom) {
  ASSERT_NO_FATAL_FAILURE(load_map("dropped", 50));
  const std::uint64_t before = pages_free();
  ASSERT_OK(db_->drop_map("dropped"));
  ASSERT_TRUE(comes_true([&] { return pages_free() >= before + 50; }));
  while (core_->make_log_room()) {
  }
  EXPECT_TRUE(core_->make_room(core_->rooms()));
}

// A call wants more pages than there are, and nobody can make any.
TEST_F(MakeRoomTest, PagesThatWereNotEnoughAreTriedOnlyOnce) {
  Watchdog watchdog("making room where there is none", std::chrono::seconds(60));
  ASSERT_NO_FATAL_FAILURE(load_map("dropped", 50));
  const std::uint64_t before = pages_free();
  ASSERT_OK(db_->drop_map("dropped"));
  ASSERT_TRUE(comes_true([&] { return pages_free() >= before + 50 && core_->txns().left_behind() == 0; }));
  while (core_->make_room(core_->rooms(), 3)) {
  }
  const internal::Core::Rooms rooms = core_->rooms();
  EXPECT_TRUE(core_->make_room(rooms));
  EXPECT_FALSE(core_->make_room(rooms, 2));
  EXPECT_FALSE(core_->make_room(rooms, 3));
}

TEST_F(MakeRoomTest, WhatWasFreedWasRoomAlthoughOthersWereFasterToTakeIt) {
  ASSERT_NO_FATAL_FAILURE(drop_map_beside_no_collector(300));
  const internal::Core::Rooms before = core_->rooms();
  EXPECT_TRUE(core_->make_room(before, 3));
  while (core_->make_log_room()) {
  }
  const PageReservation taken = *engine().space.reserve(static_cast<unsigned>(pages_free()));
  ASSERT_EQ(pages_free(), 0u);
  EXPECT_TRUE(core_->make_room({core_->log_rooms(), before.pages}));
  EXPECT_TRUE(core_->make_room({core_->log_rooms(), before.pages}, 2));
  EXPECT_FALSE(core_->make_room(core_->rooms()));
  let_collector_go_on();
}

TEST_F(MakeRoomTest, ObjectsThatCannotGoYetAreLookedAtOnce) {
  ASSERT_NO_FATAL_FAILURE(drop_map_beside_no_collector(50));
  EXPECT_TRUE(core_->make_room(core_->rooms(), 3));
  const auto make_objects = [&](unsigned count) {
    std::unique_ptr<Txn> txn = core_->txns().begin();
    for (unsigned i = 0; i < count; ++i) {
      EXPECT_TRUE(create_object(engine(), *txn, RetiredKind::kTree, ObjectId{1'000'000 + i}));
    }
    return txn;
  };
  const auto visits_to_free = [&](unsigned count) {
    EXPECT_TRUE(core_->txns().rollback(make_objects(count)));
    const std::uint64_t free_before = pages_free();
    const std::uint64_t visits = page_visits.tree;
    EXPECT_TRUE(core_->make_room(core_->rooms(), 3));
    EXPECT_GE(pages_free(), free_before + count);
    return page_visits.tree - visits;
  };
  const std::uint64_t alone = visits_to_free(400);
  std::unique_ptr<Txn> open = make_objects(2000);  // their rows stand before all others
  EXPECT_LE(visits_to_free(400), alone + 2000);
  EXPECT_TRUE(core_->txns().rollback(std::move(open)));
  let_collector_go_on();
  expect_sound(*db_);
}

// The collector stands in a read, and is in the way of whoever would free pages himself.
TEST_F(MakeRoomTest, WhoFindsFreePagesDoesNotWaitForTheCollectorAndNobodyDoesForEver) {
  Watchdog watchdog("making room beside a collector that reads", std::chrono::seconds(60));
  ASSERT_NO_FATAL_FAILURE(load_map("dropped", 50));
  ASSERT_NO_FATAL_FAILURE(fill_cache());
  while (core_->make_log_room()) {
  }
  std::atomic<bool> first_read = true;
  const std::function<void()> stand = [&] {
    if (!first_read.exchange(false)) return;
    collector_stands_.release();
    collector_goes_on_.acquire();
  };
  hold_collector();
  ASSERT_OK(db_->drop_map("dropped"));
  on_data_read_.store(&stand);
  hold_.release();
  collector_stands_.acquire();
  EXPECT_GT(pages_free(), 0u);
  EXPECT_TRUE(core_->make_room(core_->rooms()));
  EXPECT_FALSE(core_->make_room(core_->rooms(), 2)) << "it has freed nothing";
  collector_goes_on_.release();
  expect_sound(*db_);
  EXPECT_EQ(test_text(db_->close()), "");  // the collector reads no more
}

}  // namespace
}  // namespace vaultgres
