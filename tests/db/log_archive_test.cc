// Goal: whatever goes wrong with the log or with its archive, no log goes before it is archived, nobody waits for a
// slow archive, and who is told of it may act.
//
// Method: a database whose log of several epochs was kept for an archive that nobody gave it; then it is opened with
// one, on a simulated disk that fails, is full, or stops while something is copied. Or the archive is run by itself on
// that log.
#include "db/log_archive.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <condition_variable>
#include <future>
#include <mutex>

#include "db/backup_support.h"
#include "support/hooked_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"
#include "wal/block.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

using internal::LogArchive;

constexpr int kEpochs = 3;

class LogArchiveTest : public ::testing::Test {
 protected:
  LogArchiveTest() {
    EXPECT_TRUE(open_on(disk_)->close());
    EXPECT_TRUE(disk_.open("/db/archive.vg", OpenMode::kCreate));
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
      Database db = *open_on(disk_);
      Map map = *db.open_or_create_map("m");
      const std::uint64_t from = db.stats()->log_end;
      while (db.stats()->log_end < from + 5 * kSegmentBytes / 2) put(map);
      EXPECT_TRUE(db.checkpoint());
      last_durable_ = db.stats()->log_durable;
      EXPECT_TRUE(epoch > 0 || db.backup("/backup"));
      EXPECT_TRUE(db.close());
    }
    const auto data = *disk_.open("/db/data.vg", OpenMode::kReadOnly);
    const SuperblockState state = SuperblockStore::load(*data)->current();
    database_ = state.database;
    newest_ = state.epochs.back();
    newest_.end = Lsn{last_durable_};
    EXPECT_GT(kept_names().size(), std::size_t{2 * kEpochs});
  }

  void put(Map& map) {
    const std::string key = "k" + std::to_string(content_.size());
    ASSERT_OK(map.put(key, std::string(5000, 'v')));
    content_[key] = std::string(5000, 'v');
  }
  std::vector<std::string> log_names() {
    std::vector<std::string> names = names_in(disk_, "/db/log");
    std::sort(names.begin(), names.end());
    return names;
  }
  /// Of the segments that hold log which is to be archived.
  std::vector<std::string> kept_names() {
    std::vector<std::string> names = log_names();
    std::erase_if(names, [&](const std::string& name) { return name > segment_name(last_durable_ / kSegmentBytes); });
    return names;
  }
  std::size_t archived() { return *disk_.exists("/archive") ? names_in(disk_, "/archive").size() : 0; }

  Options options() {
    Options options = small_options();
    options.archive_directory = "/archive";
    options.on_log = [this](std::string_view line) {
      const std::lock_guard lock(lines_mutex_);
      lines_.emplace_back(line);
    };
    return options;
  }
  std::size_t lines_with(const std::string& text) {
    const std::lock_guard lock(lines_mutex_);
    return static_cast<std::size_t>(std::count_if(
        lines_.begin(), lines_.end(), [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }
  void open_and_close(const Options& options) {
    Result<Database> db = open_on(disk_, options);
    ASSERT_OK(db);
    ASSERT_OK(db->checkpoint());
    ASSERT_OK(db->close());
  }
  void expect_archive_leads_to_content() {
    RestoreOptions restore;
    restore.archive_directories = {"/archive"};
    ASSERT_OK(restore_on(disk_, "/backup", "/restored", restore));
    Database restored = *open_on(disk_, small_options(), "/restored");
    EXPECT_TRUE(content_of(*restored.open_map("m")) == content_);
  }
  void damage(const std::string& path, std::uint64_t at) {
    const auto file = *disk_.open(path, OpenMode::kReadWrite);
    std::byte byte{};
    ASSERT_OK(file->read(at, {&byte, 1}));
    byte ^= std::byte{1};
    ASSERT_OK(file->write(at, {&byte, 1}));
  }

  /// By itself, on the log of the closed database.
  std::unique_ptr<LogArchive> archive_alone(std::function<void(const std::string&)> say) {
    return std::make_unique<LogArchive>(LogArchive::Places{&disk_, "/db/log", &disk_, "/archive"}, database_,
                                        kSegmentBytes, std::move(say));
  }
  std::unique_ptr<LogArchive> archive_alone() {
    return archive_alone([this](const std::string& line) {
      const std::lock_guard lock(lines_mutex_);
      lines_.push_back(line);
    });
  }

  const PatientArchives patient_;
  SimFileSystem disk_;
  Content content_;
  std::uint64_t last_durable_ = 0;
  DatabaseId database_;
  SuperblockState::Epoch newest_;
  std::mutex lines_mutex_;
  std::vector<std::string> lines_;
};

TEST_F(LogArchiveTest, AllThatWasKeptIsArchived) {
  const std::vector<std::string> before = kept_names();
  open_and_close(options());
  EXPECT_GT(archived(), before.size());
  open_and_close(options());
  for (const std::string& name : before) EXPECT_FALSE(*disk_.exists("/db/log/" + name)) << name;
  expect_archive_leads_to_content();
}

// --- What is wrong with the log

TEST_F(LogArchiveTest, AnOpenThatCannotReadTheLogLeavesIt) {
  const std::vector<std::string> before = kept_names();
  disk_.inject({.call = IoCall::kRead, .os_error = EIO, .sticky = true, .path_contains = "/db/log/" + before[1]});
  EXPECT_ERROR(kIo, open_on(disk_, options()));
  disk_.clear_faults();
  for (const std::string& name : before) EXPECT_TRUE(*disk_.exists("/db/log/" + name)) << name;
  open_and_close(options());
  expect_archive_leads_to_content();
}

TEST_F(LogArchiveTest, ADamagedSegmentIsSaidHoldsTheLogBeforeItAndHasAWayOut) {
  const std::vector<std::string> before = kept_names();
  for (const std::uint64_t at : {std::uint64_t{100}, 3 * kLogBlockBytes + 100}) {  // in the first block, or behind it
    damage("/db/log/" + before[2], at);
    {
      Database db = *open_on(disk_, options());
      EXPECT_TRUE(comes_true([&] { return lines_with(before[2]) > 0; }));
      ASSERT_OK(db.checkpoint());
    }
    for (std::size_t i = at < kLogBlockBytes ? 0 : 2; i < before.size(); ++i) {
      EXPECT_TRUE(*disk_.exists("/db/log/" + before[i])) << before[i];
    }
    EXPECT_EQ(lines_with("remove archive.vg"), lines_with(before[2]));
    damage("/db/log/" + before[2], at);
    lines_.clear();
  }
  damage("/db/log/" + before[2], 100);
  ASSERT_OK(disk_.remove("/db/archive.vg"));
  open_and_close(small_options());
  EXPECT_FALSE(*disk_.exists("/db/log/" + before[2]));
  {
    Database db = *open_on(disk_, options());
    remove_directory(disk_, "/backup");
    ASSERT_OK(db.backup("/backup"));
    Map map = *db.open_map("m");
    put(map);
  }
  expect_archive_leads_to_content();
}

// --- Who waits

TEST_F(LogArchiveTest, ClosingCopiesForAWhileAndLeavesTheRestToTheNextOpen) {
  internal::archive_close_wait.store(std::chrono::milliseconds(0));
  {
    const auto archive = archive_alone();
    ASSERT_OK(archive->find_old(newest_));
    const Lsn held = archive->held();
    archive->finish(Lsn{0});
    EXPECT_EQ(archived(), 1u);
    EXPECT_GT(archive->held(), held);
    EXPECT_EQ(lines_with("the next open"), 1u);
  }
  internal::archive_close_wait.store(std::chrono::minutes(10));
  open_and_close(options());
  expect_archive_leads_to_content();
}

// An epoch that the superblock does not yet lead to for good may be replaced by the next open. Were it in the archive,
// two epochs there would go on from the same one.
TEST_F(LogArchiveTest, AnEpochIsNotArchivedBeforeItIsSureToStay) {
  const auto archive = archive_alone();
  archive->start({newest_.number, newest_.salt, newest_.first});
  EXPECT_EQ(archive->held(), newest_.first);
  EXPECT_FALSE(archive->wait_for_segment());
  EXPECT_EQ(archived(), 0u);
  archive->follow([this] { return Lsn{last_durable_}; });
  EXPECT_TRUE(comes_true([&] { return archive->held() > newest_.first; }));
  archive->finish(Lsn{last_durable_});
  EXPECT_EQ(archived(), (last_durable_ - raw(newest_.first) + kSegmentBytes - 1) / kSegmentBytes);
}

/// Stops who writes into the archive.
class StoppedArchive {
 public:
  HookedFileSystem::Hook hook() {
    return [this](FileCall call, const std::string& path) {
      if (call != FileCall::kWrite || path.find("/archive/") == std::string::npos) return;
      std::unique_lock lock(mutex_);
      waiting_ = true;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !stopped_; });
    };
  }
  void wait_until_somebody_waits() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_; });
  }
  void go_on() {
    const std::lock_guard lock(mutex_);
    stopped_ = false;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = true;
  bool waiting_ = false;
};

TEST_F(LogArchiveTest, AFullDiskBesideAnArchiveThatHangsIsAnErrorUntilItGoesOn) {
  Watchdog watchdog("writes beside an archive that hangs", std::chrono::seconds(600));
  StoppedArchive stopped;
  HookedFileSystem files(disk_, stopped.hook());
  const auto core = *internal::Core::open({&files, nullptr, "/db"}, options());
  Database db = internal::make_database(core);
  Map map = *db.open_map("m");
  stopped.wait_until_somebody_waits();
  const std::uint64_t begin = db.stats()->log_end;
  while (db.stats()->log_end < begin + 3 * kSegmentBytes) put(map);
  disk_.inject({.call = IoCall::kAllocate, .os_error = ENOSPC, .sticky = true, .path_contains = "/db/log/"});
  internal::archive_segment_wait.store(std::chrono::milliseconds(10));
  Status full;
  while (full) full = map.put("one more", std::string(5000, 'v'));
  EXPECT_ERROR(kNoSpace, full);
  EXPECT_ERROR(kNoSpace, map.put("one more", std::string(5000, 'v')));
  expect_sound(db);  // waits for all writers
  internal::archive_segment_wait.store(std::chrono::minutes(10));
  stopped.go_on();
  EXPECT_TRUE(comes_true([&] { return map.put("one more", "v").has_value(); }));
  content_["one more"] = "v";
  const std::uint64_t from = db.stats()->log_end;
  while (db.stats()->log_end < from + 4 * kSegmentBytes) put(map);  // it keeps up
  disk_.clear_faults();
  ASSERT_OK(db.close());
  expect_archive_leads_to_content();
}

TEST_F(LogArchiveTest, ABackupOnAFullDiskWaitsForTheLogThatTheArchiveHolds) {
  const auto core = *internal::Core::open({&disk_, nullptr, "/db"}, options());
  Database db = internal::make_database(core);
  Map map = *db.open_map("m");
  ASSERT_TRUE(comes_true([&] {
    EXPECT_TRUE(db.checkpoint());
    return log_names().size() <= 3;
  }));
  disk_.inject({.call = IoCall::kWrite, .os_error = EIO, .sticky = true, .path_contains = "/archive/"});
  const std::uint64_t from = db.stats()->log_end;
  while (db.stats()->log_end < from + 2 * kSegmentBytes) put(map);
  ASSERT_TRUE(comes_true([&] { return lines_with("archiving the log failed") > 0; }));
  ASSERT_OK(db.checkpoint());  // lets go of what the archive has let go of
  disk_.inject({.call = IoCall::kAllocate, .os_error = ENOSPC, .sticky = true, .path_contains = "/db/log/"});
  LogSpace taken(core->engine().log);
  while (taken.reserve(256)) {
  }
  EXPECT_ERROR(kNoSpace, db.backup("/full"));
  disk_.clear_faults();
  disk_.inject({.call = IoCall::kAllocate, .os_error = ENOSPC, .sticky = true, .path_contains = "/db/log/"});
  ASSERT_OK(db.backup("/another"));
}

TEST_F(LogArchiveTest, WhoIsToldThatItFailsMayUseTheDatabase) {
  Watchdog watchdog("a call from on_log", std::chrono::seconds(300));
  std::promise<std::shared_ptr<internal::Core>> opened;
  std::promise<void> used;
  Options with_callback = options();
  with_callback.on_log = [&](std::string_view line) {
    if (line.find("archiving the log failed") == std::string_view::npos) return;
    EXPECT_FALSE(opened.get_future().get()->make_log_room());
    used.set_value();
  };
  disk_.inject({.call = IoCall::kWrite, .os_error = EIO, .sticky = true, .path_contains = "/archive/"});
  const auto core = *internal::Core::open({&disk_, nullptr, "/db"}, with_callback);
  opened.set_value(core);
  used.get_future().wait();
  ASSERT_OK(core->close());
}

// The thread that would copy is theirs for as long as they like.
TEST_F(LogArchiveTest, NobodyWaitsForWhoIsToldThatItFails) {
  Watchdog watchdog("a wait for an archive that tells of a failure", std::chrono::seconds(300));
  disk_.inject({.call = IoCall::kWrite, .os_error = EIO, .sticky = true, .path_contains = "/archive/"});
  std::promise<void> told;
  std::promise<void> go_on;
  std::unique_ptr<LogArchive> archive;
  archive = archive_alone([&](const std::string&) {
    EXPECT_FALSE(archive->wait_for_segment()) << "by itself";
    told.set_value();
    go_on.get_future().wait();
  });
  ASSERT_OK(archive->find_old(newest_));
  archive->start({newest_.number, newest_.salt, newest_.first});
  auto before = std::async(std::launch::async, [&] { return archive->wait_for_segment(); });
  told.get_future().wait();
  EXPECT_FALSE(before.get()) << "who waits when it fails";
  EXPECT_FALSE(archive->wait_for_segment()) << "who comes later";
  go_on.set_value();
}

// --- Backups

TEST_F(LogArchiveTest, ABackupHasNoLogThatOnlyTheArchiveNeeds) {
  Database db = *open_on(disk_);
  Map map = *db.open_map("m");
  const std::uint64_t from = db.stats()->log_end;
  while (db.stats()->log_end < from + 4 * kSegmentBytes) put(map);
  const auto report = db.backup("/small");
  ASSERT_OK(report);
  EXPECT_LE(report->log_bytes, 2 * kSegmentBytes);
  ASSERT_OK(restore_on(disk_, "/small", "/restored"));
  EXPECT_TRUE(content_of(*open_on(disk_, small_options(), "/restored")->open_map("m")) == content_);
}

}  // namespace
}  // namespace vaultgres
