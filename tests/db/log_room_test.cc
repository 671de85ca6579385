// Goal: where no new log segment can be had, whoever finds no log space gets what the segments that are there can give,
// and what needs no log goes on.
//
// Method: the log is filled by hand: reservations take whatever is left of its segments.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <utility>
#include <vector>

#include "support/hooked_file_system.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

class LogRoomTest : public ::testing::Test {
 protected:
  LogRoomTest() {
    Options options = small_options();
    options.cache_bytes = 16 * kMiB;  // one transaction changes 3,000 keys
    options.on_log = [this](std::string_view line) {
      if (line.find("background work failed") != std::string_view::npos) background_failed_.store(true);
    };
    core_ = *internal::Core::open({&disk_, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
    map_.emplace(*db_->create_map("m"));
    EXPECT_TRUE(map_->put("k", "v"));
    wait_for_the_collector();
    taken_.emplace(log());
  }

  Log& log() const { return core_->engine().log; }
  std::size_t versions() const { return core_->engine().versions.entry_count(); }
  bool has_log_space() const {
    LogSpace space(log());
    return space.reserve(kSegmentBytes / 8).has_value();
  }

  /// So that it takes no log later on. It removes ghosts in the round in which it drops versions, and check() waits
  /// for the end of that.
  void wait_for_the_collector() {
    EXPECT_TRUE(comes_true([&] { return versions() == 0; }));
    expect_sound(*db_);
  }
  /// Those that are there can be used again.
  void stop_new_segments() {
    disk_.inject({.call = IoCall::kAllocate, .os_error = ENOSPC, .sticky = true, .path_contains = "/log/"});
  }
  void take_all_log_space() {
    while (taken_->reserve(256)) {
    }
  }
  /// Until the log has passed into the next segment, where all that is left is taken. A changed page holds the segment
  /// before, and nothing else does.
  void fill_log() {
    taken_.emplace(log());
    wait_for_the_collector();
    const std::uint64_t next_segment = (raw(log().end()) / kSegmentBytes + 1) * kSegmentBytes;
    while (raw(log().end()) <= next_segment) ASSERT_OK(map_->put("k", "v"));
    take_all_log_space();
    ASSERT_FALSE(has_log_space());
  }

  SimFileSystem disk_;
  std::atomic<bool> background_failed_{false};
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::optional<Map> map_;
  std::optional<LogSpace> taken_;
};

// A checkpoint by itself writes no pages. One that others make while a change is under way is not the room that the
// change then asks for.
TEST_F(LogRoomTest, ACheckpointOfOthersIsNotTakenForRoom) {
  stop_new_segments();
  const std::uint64_t made_before = core_->log_rooms();
  ASSERT_OK(core_->checkpoint());
  ASSERT_NO_FATAL_FAILURE(fill_log());
  EXPECT_TRUE(core_->make_log_room(made_before));
  EXPECT_TRUE(has_log_space());

  // Who asked as early as that one shares what it made; there is no more to be had.
  const std::uint64_t syncs = disk_.calls(IoCall::kSync);
  EXPECT_TRUE(core_->make_log_room(made_before));
  EXPECT_FALSE(core_->make_log_room(core_->log_rooms()));
  EXPECT_EQ(disk_.calls(IoCall::kSync), syncs);
}

// A checkpoint covers the next thousand ids. The one that is due when they are used up may find no log space.
TEST_F(LogRoomTest, IdsOfNewObjectsAreHadOnceThereIsRoom) {
  Table people = *db_->create_table("people", people_schema());
  ASSERT_OK(people.insert(person(1)));
  ASSERT_OK(db_->checkpoint());
  stop_new_segments();
  const auto finish = [](auto load) { return load ? test_text(load->finish()) : test_text(load); };
  const std::pair<const char*, std::function<std::string()>> calls[] = {
      {"load_map", [&] { return finish(db_->load_map("loaded map")); }},
      {"load_table", [&] { return finish(db_->load_table("loaded table", people_schema())); }},
      {"create_index", [&] { return test_text(db_->create_index("by_id", "people", {.columns = {{"id"}}})); }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    ASSERT_OK(core_->checkpoint());
    for (int i = 0; i < 1000; ++i) ASSERT_OK(core_->reserve_object_id());
    ASSERT_NO_FATAL_FAILURE(fill_log());
    EXPECT_ERROR(kNoSpace, core_->reserve_object_id());
    ASSERT_EQ(call(), "");
    taken_.reset();
  }
  expect_sound(*db_);
}

// The sorter's file may fill the disk. The log has its second segment before that, though no page was needed.
TEST_F(LogRoomTest, AnIndexIsSortedOnlyBesideALogThatHasItsSpare) {
  ASSERT_OK(db_->create_table("people", people_schema())->insert(person(1)));
  taken_.reset();
  ASSERT_OK(db_->close());
  Database db = *open_on(disk_);
  ASSERT_EQ(disk_.list("/db/log")->size(), 1u);
  ASSERT_OK(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
  disk_.limit_space(disk_.used_bytes());
  Map map = *db.open_map("m");
  const std::uint64_t from = db.stats()->log_end;
  while (db.stats()->log_end < from + 4 * kSegmentBytes) ASSERT_OK(map.put("k", "v"));
}

// What lies before them can be let go by a checkpoint, whose record lists them all.
TEST_F(LogRoomTest, ACheckpointHasRoomForManyOpenTransactions) {
  taken_.emplace(log());
  wait_for_the_collector();
  const std::uint64_t next_segment = (raw(log().end()) / kSegmentBytes + 1) * kSegmentBytes;
  while (raw(log().end()) <= next_segment) ASSERT_OK(map_->put("k", "v"));
  std::vector<Transaction> writers;
  for (int i = 0; i < 300; ++i) {
    writers.push_back(*db_->begin());
    ASSERT_OK(map_->put(writers.back(), "key " + std::to_string(i), "v"));
  }
  stop_new_segments();
  take_all_log_space();
  ASSERT_FALSE(has_log_space());
  ASSERT_OK(map_->erase("k"));
  EXPECT_GT(core_->log_rooms(), 0u);
  for (Transaction& writer : writers) ASSERT_OK(writer.commit());
  taken_.reset();
  expect_sound(*db_);
}

// Each sync() pads a block of the log that the rollback has reserved nothing for.
TEST_F(LogRoomTest, ARollbackIsThroughWhateverIsSyncedBesideIt) {
  const Content before = content_of(*map_);
  for (int round = 0; round < 5; ++round) {
    Transaction txn = *db_->begin();
    for (int i = 0; i < 3000; ++i) ASSERT_OK(map_->put(txn, "key " + std::to_string(i), "v"));
    stop_new_segments();
    take_all_log_space();
    std::atomic<bool> over{false};
    std::thread syncing([&] {
      while (!over.load()) {
        if (const Status synced = db_->sync(); !synced && synced.error().code() != ErrorCode::kNoSpace) {
          ADD_FAILURE() << synced.error().message();
          return;
        }
      }
    });
    EXPECT_TRUE(txn.rollback());
    over.store(true);
    syncing.join();
    disk_.clear_faults();
    taken_.emplace(log());
  }
  EXPECT_EQ(content_of(*map_), before);
  expect_sound(*db_);
}

// An open transaction holds the log, so that the checkpoint that is due finds no room, again and again. What others
// have committed is collected all the same.
TEST_F(LogRoomTest, TheCollectorWorksBesideCheckpointsThatFail) {
  ASSERT_OK(taken_->reserve(4 * kMiB));
  stop_new_segments();
  taken_.emplace(log());
  Transaction holder = *db_->begin();
  ASSERT_OK(map_->put(holder, "held", ""));
  ASSERT_OK(db_->checkpoint());
  // The log grows to the point where a checkpoint is due by commits, whose space is reserved already: there is never
  // enough for a checkpoint besides.
  const std::uint64_t from = raw(log().end());
  while (raw(log().end()) < from + 15 * kMiB / 8) ASSERT_OK(map_->put("k", "v"));
  std::vector<Transaction> writers;
  for (int i = 0; i < 64; ++i) {
    writers.push_back(*db_->begin());
    ASSERT_OK(map_->put(writers.back(), "key " + std::to_string(i), ""));
  }
  take_all_log_space();
  for (std::size_t i = 1; i < writers.size(); ++i) {
    ASSERT_OK(writers[i].commit());
    take_all_log_space();
  }
  ASSERT_TRUE(comes_true([&] { return background_failed_.load(); })) << "no checkpoint was due, or it was made";
  ASSERT_OK(writers[0].commit());
  EXPECT_TRUE(comes_true([&] { return versions() == 1; })) << "the holder's is needed; there are " << versions();

  ASSERT_OK(holder.rollback());
  taken_.reset();
  expect_sound(*db_);
}

// The open after the second crash needs the log of before the first, where users were let in beside it, and that of the
// open between.
TEST(LogRoomAfterCrashTest, ASecondCrashOnAFullDiskLeavesRoomForTheNextOpen) {
  SimFileSystem disk;
  Options options = small_options();
  options.cache_bytes = 16 * kMiB;
  Content expected;
  std::unique_ptr<SimFileSystem> crashed;
  {
    Database db = *open_on(disk, options);
    Map map = *db.create_map("m");
    Transaction txn = *db.begin();
    for (int i = 0; i < 100; ++i) {
      const std::string key = "key " + std::to_string(i);
      const std::string value(100, 'v');
      ASSERT_OK(map.put(txn, key, value));
      expected[key] = value;
    }
    ASSERT_OK(txn.commit());
    crashed = disk.killed();
  }
  for (const std::uint64_t spare_segments : {0, 1}) {
    SCOPED_TRACE("room for " + std::to_string(spare_segments) + " more segments");
    const auto first = crashed->killed();
    const std::uint64_t limit = first->used_bytes() + spare_segments * kSegmentBytes;
    first->limit_space(limit);
    // The cleaner stands until the database is open, or has asked for a segment more than it needs itself.
    std::atomic<bool> cleaner_may_go{false};
    unsigned segments = 0;
    const std::thread::id opener = std::this_thread::get_id();
    HookedFileSystem slow(*first, [&](FileCall call, const std::string& path) {
      if (std::this_thread::get_id() == opener) {
        const bool segment = call == FileCall::kAllocate && path.find("/log/") != std::string::npos;
        if (segment && ++segments == 2) cleaner_may_go.store(true);
      } else if (call == FileCall::kWrite && path.find("/doublewrite.vg") != std::string::npos) {
        comes_true([&] { return cleaner_may_go.load(); });
      }
    });
    std::unique_ptr<SimFileSystem> second;
    {
      const Result<Database> db = open_on(slow, options);
      second = first->killed();
      cleaner_may_go.store(true);
      ASSERT_OK(db);
    }
    second->limit_space(limit);
    Result<Database> db = open_on(*second, options);
    ASSERT_OK(db);
    EXPECT_EQ(content_of(*db->open_map("m")), expected);
    expect_sound(*db);
  }
}

}  // namespace
}  // namespace vaultgres
