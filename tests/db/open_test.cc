// Goal: opening is safe however the last process ended, however often, and whoever else opens at the same time.
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <semaphore>
#include <thread>

#include "support/database.h"
#include "support/hooked_file_system.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

// Each unclean end adds a log epoch to the superblock, which has room for sixteen.
TEST(OpenTest, FortyUncleanEndsInARowDoNotMakeItUnopenable) {
  auto disk = std::make_unique<SimFileSystem>();
  Content expected;
  for (int round = 0; round < 40; ++round) {
    std::unique_ptr<SimFileSystem> killed;
    {
      Result<Database> db = open_on(*disk);
      ASSERT_OK(db);
      Result<Map> map = db->open_or_create_map("m");
      ASSERT_OK(map);
      ASSERT_OK(map->put("k" + std::to_string(round), "v"));
      expected["k" + std::to_string(round)] = "v";
      disk->settle();
      killed = disk->killed();
    }
    disk = std::move(killed);
  }
  Result<Database> db = open_on(*disk);
  ASSERT_OK(db);
  EXPECT_EQ(content_of(*db->open_map("m")), expected);
  expect_sound(*db);
}

// Of the two superblocks of a new database one is lost: the other must not say that it was never finished.
TEST(OpenTest, ANewDatabaseOutlivesTheLossOfEitherSuperblock) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  Content expected{{"k", "v"}};
  ASSERT_OK(db.create_map("m")->put("k", "v"));
  for (const PageId lost : kSuperblockPages) {
    const auto killed = disk.killed();
    {
      const auto data = *killed->open("/db/data.vg", OpenMode::kReadWrite);
      ASSERT_OK(data->write(std::uint64_t{raw(lost)} * kPageBytes, std::vector<std::byte>(kPageBytes)));
    }
    Result<Database> after = open_on(*killed);
    ASSERT_OK(after);
    ASSERT_OK(after->open_map("m"));
    EXPECT_EQ(content_of(*after->open_map("m")), expected);
  }
}

// The directory that holds it is not ours: it may be closed to us, or of a kind that cannot be synced.
TEST(OpenTest, ADirectoryThatCannotBeSyncedMayHoldADatabase) {
  for (const int error : {EACCES, EPERM, EROFS, EINVAL, EOPNOTSUPP, EIO}) {
    SimFileSystem disk;
    ASSERT_OK(disk.make_directory("/parent"));
    ASSERT_OK(open_on(disk, small_options(), "/parent/db")->close());
    const std::uint64_t hit = disk.faults_hit();
    disk.inject({.call = IoCall::kDirectorySync, .at = 2, .os_error = error});
    const Result<Database> db = open_on(disk, small_options(), "/parent/db");
    EXPECT_EQ(db.has_value(), error != EIO) << error << ": " << test_text(db);
    EXPECT_EQ(disk.faults_hit(), hit + 1);
  }
}

// A failed open must leave the log as it is: what was acknowledged is there afterwards.
TEST(OpenTest, AnOpenThatFailsHalfWayLosesNothing) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    for (int i = 0; i < 200; ++i) ASSERT_OK(map.put("k" + std::to_string(i), std::string(100, 'v')));
    disk.settle();
    const auto killed = disk.killed();
    unsigned failed = 0;
    for (std::uint64_t k = 1; k < 60; ++k) {
      killed->clear_faults();
      killed->inject({.call = IoCall::kRead, .at = k, .os_error = 5});
      if (!open_on(*killed)) ++failed;
    }
    EXPECT_GT(failed, 0u);
    killed->clear_faults();
    Result<Database> after = open_on(*killed);
    ASSERT_OK(after);
    EXPECT_EQ(*after->open_map("m")->count(), 200u);
    expect_sound(*after);
  }
}

TEST(OpenTest, ALogWithoutItsDataFileIsNotTakenForAnEmptyDirectory) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    ASSERT_OK(db.create_map("m"));
  }
  ASSERT_TRUE(disk.rename("/db/data.vg", "/data.vg"));
  EXPECT_ERROR(kCorruption, open_on(disk));
  ASSERT_TRUE(disk.rename("/data.vg", "/db/data.vg"));
  Database db = *open_on(disk);
  EXPECT_EQ(db.maps()->size(), 1u);
}

// Of several that create the same database at once, one has it; the others are told, and harm nothing.
TEST(OpenTest, ThoseWhoCreateItAtTheSameTimeDoNotDestroyEachOther) {
  for (int round = 0; round < 20; ++round) {
    SimFileSystem disk;
    std::atomic<int> have{0};
    std::atomic<int> wrong{0};
    std::vector<std::optional<Database>> opened(4);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        Result<Database> db = open_on(disk);
        if (!db) return;
        have.fetch_add(1);
        if (!db->create_map("m" + std::to_string(t))) wrong.fetch_add(1);
        opened[t].emplace(*std::move(db));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(have.load(), 1);
    EXPECT_EQ(wrong.load(), 0);
    opened.clear();
    Result<Database> db = open_on(disk);
    ASSERT_OK(db);
    EXPECT_EQ(db->maps()->size(), static_cast<std::size_t>(have.load()));
    expect_sound(*db);
  }
}

// --- Two creators, whose calls of the file system come in every order that stops each of them once

/// Opens and creates a map in a thread of its own, which may stop before a call of the file system.
class Creator {
 public:
  Creator(SimFileSystem& disk, std::string name, bool closes) : disk_(disk), name_(std::move(name)), closes_(closes) {}
  ~Creator() {
    if (thread_.joinable()) finish();
  }
  /// Runs to its `stop`-th call of those that create files, or to its end.
  void start(std::uint64_t stop) {
    stop_ = stop;
    thread_ = std::thread([this] {
      runner_ = std::this_thread::get_id();
      run();
      if (!has_stopped_) stopped_.release();
    });
    stopped_.acquire();
  }
  void finish() {
    go_on_.release();
    thread_.join();
  }
  bool has_stopped() const { return has_stopped_; }
  bool had_it() const { return had_it_; }
  bool has_it() const { return db_.has_value(); }
  const std::string& name() const { return name_; }
  const std::optional<Error>& error() const { return error_; }
  std::string answer() const { return error_ ? std::string(error_->message()) : "has it"; }
  void close() { db_.reset(); }

 private:
  void run() {
    Result<Database> db = open_on(files_);
    if (!db) {
      error_ = db.error();
      return;
    }
    EXPECT_EQ(test_text(db->create_map(name_)), "");
    had_it_ = true;
    if (!closes_) db_.emplace(*std::move(db));
  }
  void before_call(FileCall call) {
    if (std::this_thread::get_id() != runner_ || is_created_) return;
    is_created_ = is_renamed_;  // the call after the one that gives the file its name is the last one to stop at
    is_renamed_ = call == FileCall::kRename;
    if (++calls_ != stop_) return;
    has_stopped_ = true;
    stopped_.release();
    go_on_.acquire();
  }

  SimFileSystem& disk_;
  const std::string name_;
  const bool closes_;
  HookedFileSystem files_{disk_, [this](FileCall call, const std::string&) { before_call(call); }};
  std::thread::id runner_;
  std::uint64_t stop_ = 0;
  std::uint64_t calls_ = 0;
  bool is_renamed_ = false;
  bool is_created_ = false;
  bool has_stopped_ = false;
  std::binary_semaphore stopped_{0};
  std::binary_semaphore go_on_{0};
  bool had_it_ = false;
  std::optional<Error> error_;
  std::optional<Database> db_;
  std::thread thread_;
};

class TwoCreatorsTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Winner, TwoCreatorsTest, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "Closes" : "StaysOpen"; });

// One stops before some call, the other one before some call of its own, the first goes on to its end, then the other
// one. Whoever gets the database gets the one that stays; one of them gets it.
TEST_P(TwoCreatorsTest, WhoMeetAtAnyOfTheirCallsNeverMakeTwoDatabases) {
  Watchdog watchdog("creators", std::chrono::seconds(60));
  // Not each pair of places by default: the places of one at which it matters where the other stands come in rows.
  TestRandom random;
  const std::uint64_t stride = scaled(1) > 1 ? 1 : 5;
  unsigned orders = 0;
  bool first_stopped = true;
  for (std::uint64_t first_stop = 1; first_stopped; ++first_stop) {
    watchdog.feed("creators, the first stopped before call " + std::to_string(first_stop));
    bool second_stopped = true;
    for (std::uint64_t second_stop = random.between(1, stride); second_stopped; second_stop += stride, ++orders) {
      SimFileSystem disk;
      Creator first(disk, "first", GetParam());
      Creator second(disk, "second", GetParam());
      first.start(first_stop);
      second.start(second_stop);
      first_stopped = first.has_stopped();
      second_stopped = second.has_stopped();
      first.finish();
      second.finish();
      SCOPED_TRACE("stopped before calls " + std::to_string(first_stop) + " and " + std::to_string(second_stop) +
                   "; first: " + first.answer() + "; second: " + second.answer());
      ASSERT_TRUE(first.had_it() || second.had_it());
      ASSERT_FALSE(first.has_it() && second.has_it()) << "both have it open";
      std::vector<std::string> names;
      for (const Creator* each : {&first, &second}) {
        if (each->had_it()) names.push_back(each->name());
        if (each->error()) {
          ASSERT_NE(each->error()->code(), ErrorCode::kCorruption);
        }
      }
      first.close();
      second.close();
      Result<Database> db = open_on(disk);
      ASSERT_OK(db);
      std::vector<std::string> found;
      const std::vector<MapInfo> maps = *db->maps();
      for (const MapInfo& map : maps) found.push_back(map.name);
      ASSERT_EQ(found, names);
      expect_sound(*db);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(orders, 50u);
}

}  // namespace
}  // namespace vaultgres
