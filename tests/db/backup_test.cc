// Goal: a backup that is made while others write is a state that the database had between the call and its return,
// whole transactions only; whatever goes wrong with it, the database goes on, and half a backup is no backup.
//
// Method: the crash tests' workload, whose states are known, on a simulated disk with a tiny cache, so that pages are
// evicted and checkpoints come while pages are copied; hooks that do things in the middle of a backup.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <thread>

#include "db/allocation_support.h"
#include "db/backup_support.h"
#include "db/object_load.h"
#include "support/hooked_file_system.h"
#include "support/scale.h"
#include "support/sorted_rows.h"
#include "support/table_fixture.h"
#include "support/temp_directory.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

Workload busy_workload() {
  Workload workload;
  workload.seed = test_seed();
  workload.threads = 4;
  workload.steps = 250;
  workload.tables = true;
  return workload;
}

TEST(BackupTest, RestoresAStateBetweenItsBeginAndItsEndBesideFourWriters) {
  const Workload workload = busy_workload();
  SimFileSystem disk;
  Database db = *open_on(disk, crash_options(workload));
  AckCounts acks(workload.threads);
  std::atomic<bool> done{false};
  std::thread writers([&] {
    for (const WorkloadProgress& thread : run_workload(db, workload, acks.counter())) {
      EXPECT_FALSE(thread.error) << thread.error->message();
    }
    done.store(true);
  });
  struct Made {
    std::vector<unsigned> from, to;
  };
  std::vector<Made> made;
  while (!done.load() || made.empty()) {
    Made backup{acks.now(), {}};
    const std::string name = "/backup" + std::to_string(made.size());
    const auto report = db.backup(name);
    EXPECT_EQ(test_text(report), "");
    if (!report) break;
    backup.to = acks.now();
    EXPECT_GT(report->pages, 0u);
    EXPECT_LE(report->lsn, db.stats()->log_end);
    made.push_back(std::move(backup));
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  writers.join();
  ASSERT_OK(db.close());
  // There are the more, the slower the writers are; ten to twenty of them will do.
  for (std::size_t i = 0; i < made.size(); i += 1 + made.size() / 20) {
    const std::string number = std::to_string(i);
    const auto report = restore_on(disk, "/backup" + number, "/restored" + number);
    ASSERT_OK(report);
    ASSERT_NO_FATAL_FAILURE(expect_state(disk, "/restored" + number, workload, made[i].from, made[i].to)) << number;
  }
  std::printf("%zu backups\n", made.size());
}

TEST(BackupTest, HoldsACommitThatWasAcknowledgedBeforeAndNoOpenTransaction) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  Map map = *db.create_map("m");
  ASSERT_OK(map.put("before", "1"));
  Transaction open = *db.begin();
  ASSERT_OK(map.put(open, "open", "1"));
  ASSERT_OK(db.backup("/backup"));
  ASSERT_OK(open.commit());
  ASSERT_OK(map.put("after", "1"));
  const auto report = restore_on(disk, "/backup", "/restored");
  ASSERT_OK(report);
  EXPECT_EQ(report->rolled_back, 1u);
  Database restored = *open_on(disk, small_options(), "/restored");
  EXPECT_EQ(content_of(*restored.open_map("m")), (Content{{"before", "1"}}));
  expect_sound(restored);
}

TEST(BackupTest, RefusesWhatItCannotDo) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  ASSERT_OK(disk.make_directory("/there"));
  EXPECT_ERROR(kAlreadyExists, db.backup("/there"));
  EXPECT_ERROR(kAlreadyExists, db.backup("/db"));
  EXPECT_ERROR(kInvalidArgument, db.backup(""));
  EXPECT_ERROR(kNotFound, db.backup("/nowhere/backup"));
  bool asked = false;
  const auto report = db.backup("/first", [&](std::uint64_t, std::uint64_t) {
    if (!asked) {
      EXPECT_ERROR(kConflict, db.backup("/second"));
    }
    asked = true;
    return true;
  });
  ASSERT_OK(report);
  EXPECT_TRUE(asked);
  ASSERT_OK(db.backup("/third/"));
  ASSERT_OK(db.close());
  EXPECT_ERROR(kClosed, db.backup("/fourth"));
  Options options = small_options();
  options.read_only = true;
  Database reader = *open_on(disk, options);
  EXPECT_ERROR(kReadOnly, reader.backup("/fourth"));
  EXPECT_FALSE(*disk.exists("/second"));
  EXPECT_FALSE(*disk.exists("/fourth"));
}

TEST(BackupTest, EndsWhenItsCallerOrCloseWantsItAndLeavesNothing) {
  SimFileSystem disk;
  Database db = *open_on(disk);
  ASSERT_OK(db.create_map("m")->put("large", std::string(300 * kPageBytes, 'x')));
  std::uint64_t last = 0;
  EXPECT_ERROR(kConflict, db.backup("/backup", [&](std::uint64_t bytes, std::uint64_t total) {
    EXPECT_GT(bytes, last);
    EXPECT_LE(bytes, total);
    last = bytes;
    return bytes < total / 2;
  }));
  EXPECT_FALSE(*disk.exists("/backup"));
  std::thread closer;
  EXPECT_ERROR(kClosed, db.backup("/backup", [&](std::uint64_t, std::uint64_t) {
    if (!closer.joinable()) closer = std::thread([&] { EXPECT_TRUE(db.close()); });
    EXPECT_TRUE(comes_true([&] { return !db.maps(); }));  // close() has begun, and waits
    return true;
  }));
  closer.join();
  EXPECT_FALSE(*disk.exists("/backup"));
}

TEST(BackupTest, OfADatabaseInMemoryGoesToTheMachinesFiles) {
  TempDirectory directory;
  Content expected;
  {
    Database db = *Database::open_in_memory(small_options());
    Map map = *db.create_map("m");
    for (int i = 0; i < 500; ++i) expected["k" + std::to_string(i)] = std::string(static_cast<std::size_t>(i), 'v');
    for (const auto& [key, value] : expected) ASSERT_OK(map.put(key, value));
    ASSERT_OK(db.backup(directory.file("backup")));
  }
  ASSERT_OK(restore(directory.file("backup"), directory.file("db")));
  Database db = *Database::open(directory.file("db"), small_options());
  EXPECT_EQ(content_of(*db.open_map("m")), expected);
  expect_sound(db);
}

// --- Damage

class DamagedSourceTest : public ::testing::Test {
 protected:
  /// A database with a map over many pages that is closed; `leaf_` is one of its pages.
  DamagedSourceTest() {
    const auto core = *internal::Core::open({&disk_, nullptr, "/db"}, small_options());
    Database db = internal::make_database(core);
    Map map = *db.create_map("m");
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(map.put("k" + std::to_string(i), std::string(kPageBytes / 20, 'v')));
    const auto state = *core->find_map("m");
    EXPECT_TRUE(state->tree(core->engine()).read_leaf(as_bytes("k1"), [&](const NodeView&) {}));
    EXPECT_TRUE(state->tree(core->engine())
                    .walk(
                        [&](const NodeView& node, PageId id) {
                          if (node.is_leaf()) leaf_ = id;
                        },
                        [](PageId, const std::string&) {}));
    EXPECT_TRUE(db.close());
  }
  std::vector<std::byte> read_page(PageId id) {
    std::vector<std::byte> page(kPageBytes);
    EXPECT_TRUE((*disk_.open("/db/data.vg", OpenMode::kReadOnly))->read(std::uint64_t{raw(id)} * kPageBytes, page));
    return page;
  }
  void write_page(PageId id, const std::vector<std::byte>& page) {
    EXPECT_TRUE((*disk_.open("/db/data.vg", OpenMode::kReadWrite))->write(std::uint64_t{raw(id)} * kPageBytes, page));
  }
  void damage(PageId id) {
    auto page = read_page(id);
    page[kPageBytes / 2] ^= std::byte{1};
    write_page(id, page);
  }

  SimFileSystem disk_;
  PageId leaf_ = kNoPage;
};

TEST_F(DamagedSourceTest, ADamagedPageIsNamedAndNoBackupResults) {
  damage(leaf_);
  Database db = *open_on(disk_);
  const auto backup = db.backup("/backup");
  ASSERT_FALSE(backup);
  EXPECT_EQ(backup.error().code(), ErrorCode::kCorruption);
  EXPECT_NE(backup.error().message().find("/db/data.vg: page " + std::to_string(raw(leaf_))), std::string::npos)
      << backup.error().message();
  EXPECT_FALSE(*disk_.exists("/backup"));
  EXPECT_TRUE(db.create_map("n")->put("k", "v")) << "the database goes on";
}

TEST_F(DamagedSourceTest, AnOldVersionOfAPageThatTheDiskHasAgainIsNoticed) {
  const auto old = read_page(leaf_);
  Database db = *open_on(disk_);
  Map map = *db.open_map("m");
  for (int i = 0; i < 200; ++i) ASSERT_OK(map.put("k" + std::to_string(i), std::string(kPageBytes / 20, 'n')));
  ASSERT_OK(db.checkpoint());
  // Out of the cache, by four times as much: what is resident is taken from there.
  Map other = *db.create_map("other");
  const std::string part(small_options().cache_bytes / 100, 'o');
  for (int i = 0; i < 400; ++i) ASSERT_OK(other.put("k" + std::to_string(i), part));
  ASSERT_OK(db.checkpoint());
  write_page(leaf_, old);
  EXPECT_ERROR(kCorruption, db.backup("/backup"));
  EXPECT_FALSE(*disk_.exists("/backup"));
}

TEST_F(DamagedSourceTest, AnOldVersionOfAPageThatIsInTheCacheIsNotCopied) {
  const auto old = read_page(leaf_);
  Database db = *open_on(disk_);
  Map map = *db.open_map("m");
  for (int i = 0; i < 200; ++i) ASSERT_OK(map.put("k" + std::to_string(i), "new"));
  ASSERT_OK(db.checkpoint());  // it is clean, and its records are not in the backup's log
  write_page(leaf_, old);
  ASSERT_OK(db.backup("/backup"));
  ASSERT_OK(restore_on(disk_, "/backup", "/restored"));
  Database restored = *open_on(disk_, small_options(), "/restored");
  EXPECT_EQ(content_of(*restored.open_map("m")), content_of(map));
  expect_sound(restored);
}

// Else whoever wants to load it waits for ever.
TEST_F(DamagedSourceTest, ADamagedPageThatThereIsNoMemoryToTellOfIsLetGo) {
  Watchdog watchdog("the latch of a damaged page", std::chrono::seconds(60));
  damage(leaf_);
  const auto core = *internal::Core::open({&disk_, nullptr, "/db"}, small_options());
  Database db = internal::make_database(core);
  std::vector<std::byte> page(kPageBytes);
  const AllocationsFail spared(false);
  bool hit = true;
  unsigned without_text = 0;
  for (std::uint64_t at = 1; hit; ++at) {
    AllocationFault fault(at);
    const Status copied = expose("copy_page", [&] { return core->engine().pool.copy_page(leaf_, page); });
    fault.stop();
    hit = fault.hit();
    ASSERT_FALSE(copied);
    without_text += copied.error().code() == ErrorCode::kOutOfMemory ? 1 : 0;
    EXPECT_ERROR(kCorruption, core->engine().pool.copy_page(leaf_, page));
    EXPECT_ERROR(kCorruption, db.open_map("m")->count());  // loads it
  }
  EXPECT_GT(without_text, 0u);
}

TEST_F(DamagedSourceTest, WhatAFreePageSaysIsOfNoMatter) {
  PageId free_page = kNoPage;
  {
    const auto core = *internal::Core::open({&disk_, nullptr, "/db"}, small_options());
    for (std::uint32_t id = core->engine().pool.page_count(); id-- > 0;) {
      if (*core->engine().space.is_allocated(PageId{id})) continue;
      free_page = PageId{id};
      break;
    }
    ASSERT_OK(core->close());
  }
  ASSERT_NE(free_page, kNoPage);
  write_page(free_page, std::vector<std::byte>(kPageBytes, std::byte{7}));
  Database db = *open_on(disk_);
  ASSERT_OK(db.backup("/backup"));
  ASSERT_OK(restore_on(disk_, "/backup", "/restored"));
  Database restored = *open_on(disk_, small_options(), "/restored");
  EXPECT_EQ(restored.open_map("m")->count().value(), 200u);
  expect_sound(restored);
}

// --- Failures

class FailedBackupTest : public ::testing::Test {
 protected:
  FailedBackupTest() : db_(*open_on(disk_)) {
    Map map = *db_.create_map("m");
    for (int i = 0; i < 300; ++i) expected_["k" + std::to_string(i)] = std::string(kPageBytes / 10, 'v');
    for (const auto& [key, value] : expected_) EXPECT_TRUE(map.put(key, value));
  }
  void expect_goes_on() {
    Map map = *db_.open_map("m");
    ASSERT_OK(map.put("one more", "v"));
    expected_["one more"] = "v";
    EXPECT_EQ(content_of(map), expected_);
    ASSERT_OK(db_.backup("/again"));
    ASSERT_OK(restore_on(disk_, "/again", "/restored"));
    Database restored = *open_on(disk_, small_options(), "/restored");
    EXPECT_EQ(content_of(*restored.open_map("m")), expected_);
  }

  SimFileSystem disk_;
  Database db_;
  Content expected_;
};

TEST_F(FailedBackupTest, AFullDiskIsAnErrorThatLeavesNothing) {
  ASSERT_OK(db_.checkpoint());
  const std::uint64_t used = disk_.used_bytes();
  disk_.limit_space(used + 8 * kPageBytes);
  EXPECT_ERROR(kNoSpace, db_.backup("/backup"));
  EXPECT_FALSE(*disk_.exists("/backup"));
  EXPECT_TRUE(db_.open_map("m")->put("k1", expected_["k1"])) << "writers go on";
  disk_.limit_space(std::nullopt);
  expect_goes_on();
}

TEST_F(FailedBackupTest, TheKthFailingCallLeavesNothingAndTheSourceGoesOn) {
  unsigned failed = 0;
  for (const IoCall call : {IoCall::kOpen, IoCall::kWrite, IoCall::kSync, IoCall::kAllocate, IoCall::kRename,
                            IoCall::kDirectorySync, IoCall::kMakeDirectory}) {
    for (std::uint64_t k = 1;; ++k) {
      disk_.inject({.call = call, .at = k, .os_error = EIO, .path_contains = "/backup"});
      const auto backup = db_.backup("/backup");
      disk_.clear_faults();
      if (backup) {
        EXPECT_GT(k, 1u) << io_call_name(call) << " is never called";
        ASSERT_OK(restore_on(disk_, "/backup", "/restored " + std::to_string(failed)));
        remove_directory(disk_, "/backup");
        break;
      }
      ++failed;
      EXPECT_EQ(backup.error().code(), ErrorCode::kIo) << backup.error().message();
      EXPECT_FALSE(*disk_.exists("/backup")) << io_call_name(call) << " " << k;
    }
  }
  EXPECT_GT(failed, 10u);
  expect_goes_on();
}

TEST_F(FailedBackupTest, TheKthFailingAllocationLeavesNothingAndTheSourceGoesOn) {
  const auto base = disk_.killed();
  const AllocationsFail spared(false);
  TestRandom random(4);
  unsigned failed = 0;
  const std::uint64_t step_max = std::max<std::uint64_t>(2000 / scaled(100), 1);
  for (std::uint64_t at = 1;; at += 1 + random.uniform(at < 20 ? 1 : step_max)) {
    const auto disk = base->killed();
    const auto files = spare_allocations_of(*disk);
    Database db = *open_on(*files);
    AllocationFault fault(at);
    const auto backup = expose("backup", [&] { return db.backup("/backup"); });
    fault.stop();
    if (!backup) {
      ++failed;
      EXPECT_EQ(backup.error().code(), ErrorCode::kOutOfMemory) << at << ": " << backup.error().message();
      ASSERT_FALSE(*disk->exists("/backup")) << at;
      ASSERT_OK(db.backup("/backup"));
    }
    ASSERT_OK(restore_on(*disk, "/backup", "/restored")) << at;
    Database restored = *open_on(*disk, small_options(), "/restored");
    ASSERT_EQ(content_of(*restored.open_map("m")), expected_) << at;
    if (!fault.hit()) break;
  }
  EXPECT_GT(failed, 10u);
}

TEST_F(FailedBackupTest, WhatCannotBeRemovedIsNamed) {
  disk_.inject({.call = IoCall::kWrite, .at = 1, .os_error = EIO, .path_contains = "/backup"});
  disk_.inject({.call = IoCall::kRemove, .at = 1, .os_error = EIO, .sticky = true, .path_contains = "/backup"});
  const auto backup = db_.backup("/backup");
  disk_.clear_faults();
  ASSERT_FALSE(backup);
  EXPECT_NE(backup.error().message().find("could not be removed"), std::string::npos) << backup.error().message();
  EXPECT_ERROR(kInvalidArgument, restore_on(disk_, "/backup", "/restored"));
  expect_goes_on();
}

// Wherever the power goes or the process dies, the source is what it was, and the backup is whole or refused.
TEST(BackupCrashTest, APowerCutLeavesAWholeBackupOrHalfOfOneThatIsRefused) {
  Workload workload = busy_workload();
  workload.threads = 2;
  workload.steps = 60;
  SimFileSystem disk;
  AckCounts acks(workload.threads);
  {
    Database db = *open_on(disk, crash_options(workload));
    for (const WorkloadProgress& thread : run_workload(db, workload, acks.counter())) ASSERT_FALSE(thread.error);
    disk.settle();
    ASSERT_OK(db.backup("/backup"));
    disk.mark("made");
    ASSERT_OK(db.close());
  }
  TestRandom random(1);
  const std::vector<unsigned> acked = acks.now();
  unsigned whole = 0;
  unsigned refused = 0;
  std::vector<Cut> cuts = choose_cuts(disk.trace(), 0, 20 + scaled(40), random);
  cuts.push_back({disk.position(), PowerCut::kNone, 0});  // when it is made
  for (const Cut& cut : cuts) {
    const auto after = random.one_in(4) ? disk.killed(cut.position) : disk.power_cut(cut.position, cut.mode, cut.seed);
    const auto restored = restore_on(*after, "/backup", "/restored");
    if (restored) {
      ++whole;
      ASSERT_NO_FATAL_FAILURE(expect_state(*after, "/restored", workload, acked, acked)) << describe(cut);
    } else {
      ++refused;
      ASSERT_EQ(restored.error().code(), ErrorCode::kInvalidArgument) << restored.error().message();
      ASSERT_TRUE(disk.marks(cut.position).empty()) << describe(cut) << ": " << restored.error().message();
      if (*after->exists("/backup") && !names_in(*after, "/backup").empty()) {
        EXPECT_FALSE(open_on(*after, crash_options(workload), "/backup")) << "taken for a database";
      }
    }
    ASSERT_NO_FATAL_FAILURE(expect_state(*after, "/db", workload, acked, acked)) << describe(cut);
  }
  EXPECT_GT(whole, 0u);
  EXPECT_GT(refused, 0u);
  std::printf("%u whole, %u refused\n", whole, refused);
}

// --- What happens in the middle of it

/// Does something once, after the first pages of the backup are written.
class MidwayTest : public ::testing::Test {
 protected:
  MidwayTest()
      : files_(disk_,
               [this](FileCall call, const std::string& path) {
                 if (call != FileCall::kWrite || path != "/backup/pages.vg" || !midway_) return;
                 if (++writes_ == 2) std::exchange(midway_, nullptr)();
               }),
        db_(*open_on(files_)) {
    for (int i = 0; i < 300; ++i) {
      rows_.push_back({std::int64_t{i}, std::string(kPageBytes / 10, static_cast<char>('a' + i % 26))});
    }
  }
  void load_table(const std::string& name) {
    auto load = db_.load_table(name, schema());
    ASSERT_OK(load);
    for (const Row& row : rows_) ASSERT_OK(load->add(row));
    ASSERT_OK(load->finish());
  }
  void load_map(const std::string& name) {
    auto load = db_.load_map(name);
    ASSERT_OK(load);
    for (int i = 1000; i < 2000; ++i) {
      ASSERT_OK(load->add(std::to_string(i), std::string(i % 50 == 0 ? 3 * kPageBytes : kPageBytes / 20, 'm')));
    }
    ASSERT_OK(load->finish());
  }
  /// The name as well: that of nobody's map must be free.
  void put_much(const std::string& name) {
    Map map = *db_.create_map(name);
    for (int i = 0; i < 400; ++i) ASSERT_OK(map.put("k" + std::to_string(i), std::string(kPageBytes, 'p')));
  }
  static Schema schema() { return *Schema::create({{"id", ColumnType::kInt64}, {"text", ColumnType::kText}}); }

  /// The backup that something happens in the middle of, restored.
  Database backup_and_restore(std::function<void()> midway) {
    midway_ = std::move(midway);
    EXPECT_EQ(test_text(db_.backup("/backup")), "");
    EXPECT_FALSE(midway_) << "nothing has happened";
    EXPECT_EQ(test_text(restore_on(disk_, "/backup", "/restored")), "");
    Database restored = *open_on(disk_, small_options(), "/restored");
    expect_sound(restored);
    return restored;
  }

  SimFileSystem disk_;
  std::function<void()> midway_;
  unsigned writes_ = 0;
  HookedFileSystem files_;
  Database db_;
  std::vector<Row> rows_;
};

TEST_F(MidwayTest, LoadsAndIndexesBeforeDuringAndAfter) {
  put_much("fill");
  load_table("before");
  ASSERT_OK(db_.create_index("before_id", "before", {.columns = {{"id"}}, .unique = true}));
  auto open_load = db_.load_map("open");
  ASSERT_OK(open_load);
  for (int i = 1000; i < 1500; ++i) ASSERT_OK(open_load->add(std::to_string(i), std::string(kPageBytes / 10, 'o')));
  Database restored = backup_and_restore([&] {
    load_table("during");
    load_map("during_map");
    ASSERT_OK(db_.create_index("during_id", "during", {.columns = {{"id"}}, .unique = true}));
    ASSERT_OK(db_.create_index("before_text", "before", {.columns = {{"text"}}, .unique = false}));
    for (int i = 1500; i < 1600; ++i) ASSERT_OK(open_load->add(std::to_string(i), "o"));
    ASSERT_OK(open_load->finish());
    ASSERT_OK(db_.checkpoint());
  });
  load_table("after");
  EXPECT_EQ(restored.tables()->size(), 2u);
  EXPECT_EQ(restored.open_table("before")->count().value(), rows_.size());
  EXPECT_EQ(restored.open_table("during")->count().value(), rows_.size());
  EXPECT_EQ(restored.open_map("during_map")->count().value(), 1000u);
  EXPECT_EQ(restored.open_map("open")->count().value(), 600u);
  EXPECT_EQ(restored.indexes()->size(), 3u);
  const auto row = restored.open_index("during_id")->find({std::int64_t{77}});
  ASSERT_OK(row);
  ASSERT_TRUE(row->has_value());
}

TEST_F(MidwayTest, ALoadThatIsNotFinishedIsGivenBack) {
  put_much("fill");
  auto load = db_.load_table("never", schema());
  ASSERT_OK(load);
  Database restored = backup_and_restore([&] {
    for (const Row& row : rows_) ASSERT_OK(load->add(row));
  });
  EXPECT_TRUE(restored.tables()->empty());
  EXPECT_TRUE(comes_true([&] { return pages_in_use(restored) < pages_in_use(db_); }));
}

TEST_F(MidwayTest, ADropDuringItIsADropAndItsPagesAreUsedAgain) {
  put_much("dropped");
  put_much("kept");
  Database restored = backup_and_restore([&] {
    ASSERT_OK(db_.drop_map("dropped"));
    ASSERT_OK(db_.drop_map("kept"));
    put_much("kept");
    load_table("new");
    ASSERT_OK(db_.checkpoint());
  });
  EXPECT_ERROR(kNotFound, restored.open_map("dropped"));
  EXPECT_EQ(restored.open_map("kept")->count().value(), 400u);
  EXPECT_EQ(restored.open_table("new")->count().value(), rows_.size());
}

// Pages of a dropped map, whose records are in the log that the backup needs, are filled by loads: before it, and while
// its pages are copied. Redo must leave what the loads wrote.
TEST_F(MidwayTest, BulkLoadedPagesWithOldLogRecordsForAReusedIdAndDuringABackup) {
  const auto use_pages_again = [&](const std::string& table, const std::string& map) {
    put_much("old");
    const std::uint64_t with_old = pages_in_use(db_);
    ASSERT_OK(db_.drop_map("old"));
    ASSERT_TRUE(comes_true([&] { return pages_in_use(db_) < with_old - 300; }));
    const std::uint64_t pages = db_.stats()->pages;
    load_table(table);
    load_map(map);
    EXPECT_EQ(db_.stats()->pages, pages) << "no page is used again";
  };
  use_pages_again("t1", "m1");
  Database restored = backup_and_restore([&] { use_pages_again("t2", "m2"); });
  for (const char* table : {"t1", "t2"}) {
    EXPECT_EQ(sorted_rows(rows_of(*restored.open_table(table))), rows_);
  }
  for (const char* name : {"m1", "m2"})
    EXPECT_EQ(content_of(*restored.open_map(name)), content_of(*db_.open_map(name)));
}

}  // namespace
}  // namespace vaultgres
