// Goal: with an archive of the log a backup is restored to any later commit, exactly; an archive that lacks something,
// is damaged, of another database or of a timeline that was left is an error that names it, never a wrong state; an
// archive that fails loses nothing.
//
// Method: one thread runs the crash tests' workload, which says what the content is after each step, and notes log
// position and time of each; the database is closed, killed and opened again between, so that the log has many epochs.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "db/archive_files.h"
#include "db/backup_support.h"
#include "support/scale.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"
#include "wal/record.h"

namespace vaultgres {
namespace {

using Clock = std::chrono::system_clock;

constexpr std::uint64_t kTestSegmentBytes = 256 << 10;  // of the engine's test build

/// What the database held at a place of the log.
struct Point {
  std::uint64_t lsn;
  Clock::time_point time;
  Partition content;
};

class PitrTest : public ::testing::Test {
 protected:
  PitrTest() : disk_(std::make_unique<SimFileSystem>()) {
    workload_.seed = test_seed();
    workload_.tables = true;
    workload_.value_bytes_max = 2000;
    workload_.large_one_in = 4;
    steps_.emplace(workload_, 0);
  }
  ~PitrTest() override {
    db_.reset();
    left_open_.clear();
  }

  Options options() {
    Options options = crash_options(workload_);
    options.archive_directory = archive_;
    options.on_log = [this](std::string_view line) {
      const std::lock_guard lock(lines_mutex_);
      lines_.emplace_back(line);
    };
    return options;
  }
  void open(const std::string& directory = "/db") {
    db_.reset();
    auto opened = open_on(*disk_, options(), directory);
    ASSERT_OK(opened);
    db_.emplace(*std::move(opened));
  }
  /// The process dies; what it has not synced may be lost by a power cut, too.
  void kill() {
    auto after = disk_->killed();
    left_open_.push_back({std::move(disk_), std::move(*db_)});
    db_.reset();
    disk_ = std::move(after);
  }
  void run_steps(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      const WorkloadStep step = steps_->next();
      ASSERT_OK(run_step(*db_, step, content_));
      apply_step(content_, step);
      points_.push_back({db_->stats()->log_durable, Clock::now(), content_});
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  /// A backup, then steps in several epochs; all is closed.
  void make_history(unsigned steps) {
    ASSERT_NO_FATAL_FAILURE(open());
    ASSERT_NO_FATAL_FAILURE(run_steps(40));
    ASSERT_OK(db_->backup("/backup"));
    points_.clear();
    for (unsigned part = 0; part < 4; ++part) {
      ASSERT_NO_FATAL_FAILURE(run_steps(steps / 4));
      if (part % 2 == 0) kill();
      ASSERT_NO_FATAL_FAILURE(open());
    }
    db_.reset();
  }

  RestoreOptions from_archive(std::vector<std::string> archives = {"/archive"}) const {
    RestoreOptions options;
    options.archive_directories = std::move(archives);
    return options;
  }
  void expect_content(const std::string& directory, const Partition& expected) {
    Result<Database> db = open_on(*disk_, crash_options(workload_), directory);
    ASSERT_OK(db);
    const auto found = read_partitions(*db, 1);
    ASSERT_OK(found);
    ASSERT_EQ(describe_difference(expected, (*found)[0], 0), "");
    expect_sound(*db);
  }
  void expect_restored(const RestoreOptions& options, const Partition& expected,
                       const std::string& backup = "/backup") {
    const std::string target = "/restored" + std::to_string(++restored_);
    const auto report = restore_on(*disk_, backup, target, options);
    ASSERT_OK(report);
    ASSERT_NO_FATAL_FAILURE(expect_content(target, expected));
  }
  /// The text of the error, which has this code.
  std::string refused(const RestoreOptions& options, ErrorCode code, const std::string& backup = "/backup") {
    const auto report = restore_on(*disk_, backup, "/refused", options);
    if (report) return "it was restored";
    EXPECT_EQ(report.error().code(), code) << report.error().message();
    EXPECT_FALSE(*disk_->exists("/refused"));
    return std::string(report.error().message());
  }
  std::vector<std::string> archived() { return names_in(*disk_, "/archive"); }
  DatabaseId database() {
    const auto data = *disk_->open("/db/data.vg", OpenMode::kReadOnly);
    return SuperblockStore::load(*data)->current().database;
  }
  /// A file of the archive: one block that begins an epoch.
  void make_up(const internal::ArchivedSegment& name, const internal::ArchivedSegment& previous,
               std::uint64_t previous_end) {
    const std::vector<std::byte> record =
        RecordBuilder::epoch(name.epoch, previous.epoch, Lsn{previous_end}, previous.salt);
    std::vector<std::byte> block(kLogBlockBytes);
    std::copy(record.begin(), record.end(), block.begin() + sizeof(LogBlockHeader));
    reinterpret_cast<LogBlockHeader*>(block.data())->first_record.set(1);
    BlockSeal(database(), name.epoch, name.salt).seal(block, name.segment * kTestSegmentBytes, record.size(), 0);
    const auto file = *disk_->open("/archive/" + archive_name(name), OpenMode::kCreate);
    ASSERT_OK(file->write(0, block));
  }
  /// Of all blocks of one file.
  void set_back(const std::string& name, std::chrono::microseconds by) {
    const internal::ArchivedSegment segment = *internal::parse_archive_name(name);
    const BlockSeal seal(database(), segment.epoch, segment.salt);
    const auto file = *disk_->open("/archive/" + name, OpenMode::kReadWrite);
    std::vector<std::byte> block(kLogBlockBytes);
    for (std::uint64_t at = 0; at < *file->size(); at += block.size()) {
      ASSERT_OK(file->read(at, block));
      auto& header = *reinterpret_cast<LogBlockHeader*>(block.data());
      header.time.set(header.time.get() - static_cast<std::uint64_t>(by.count()));
      seal.seal(block, segment.segment * kTestSegmentBytes + at, header.used.get(), header.durable.get());
      ASSERT_OK(file->write(at, block));
    }
  }
  std::size_t lines_with(const std::string& text) {
    const std::lock_guard lock(lines_mutex_);
    return static_cast<std::size_t>(std::count_if(
        lines_.begin(), lines_.end(), [&](const std::string& line) { return line.find(text) != std::string::npos; }));
  }

  const PatientArchives patient_;
  Workload workload_;
  std::string archive_ = "/archive";
  struct LeftOpen {
    std::unique_ptr<SimFileSystem> disk;
    Database db;
  };
  std::mutex lines_mutex_;
  std::vector<std::string> lines_;
  std::vector<LeftOpen> left_open_;
  std::unique_ptr<SimFileSystem> disk_;
  std::optional<Database> db_;
  std::optional<WorkloadSteps> steps_;
  Partition content_;
  std::vector<Point> points_;
  unsigned restored_ = 0;
};

TEST_F(PitrTest, EachCommitByItsLogPositionAndByItsTime) {
  ASSERT_NO_FATAL_FAILURE(make_history(200));
  TestRandom random(1);
  std::set<std::uint64_t> epochs;
  for (const std::string& name : archived()) epochs.insert(internal::parse_archive_name(name)->epoch);
  EXPECT_GE(epochs.size(), 4u);
  for (std::uint64_t i = 0; i < scaled(25); ++i) {
    const std::size_t at = random.uniform(points_.size() - 1);
    RestoreOptions options = from_archive();
    options.until_lsn = points_[at].lsn;
    ASSERT_NO_FATAL_FAILURE(expect_restored(options, points_[at].content)) << "step " << at << " by position";
    options.until_lsn.reset();
    options.until_time = points_[at].time;
    ASSERT_NO_FATAL_FAILURE(expect_restored(options, points_[at].content)) << "step " << at << " by time";
  }
  expect_restored(from_archive(), points_.back().content);
  std::printf("%zu points in %zu epochs, %zu archived segments\n", points_.size(), epochs.size(), archived().size());
}

TEST_F(PitrTest, APointBeforeTheBackupOrBehindTheLogIsRefusedAndTheNearestIsSaid) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  const Point before = points_.back();
  ASSERT_NO_FATAL_FAILURE(run_steps(5));
  const auto backup = db_->backup("/backup");
  ASSERT_OK(backup);
  const Point at_backup = points_.back();
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  db_.reset();
  RestoreOptions options = from_archive();
  options.until_lsn = before.lsn;
  EXPECT_NE(refused(options, ErrorCode::kInvalidArgument).find("earliest is LSN " + std::to_string(backup->lsn)),
            std::string::npos);
  options.until_lsn = backup->lsn;
  ASSERT_NO_FATAL_FAILURE(expect_restored(options, at_backup.content));
  options.until_lsn = points_.back().lsn + (std::uint64_t{1} << 30);
  EXPECT_NE(refused(options, ErrorCode::kInvalidArgument).find("the log ends at LSN"), std::string::npos);
  options.until_lsn.reset();
  options.until_time = before.time;
  EXPECT_NE(refused(options, ErrorCode::kInvalidArgument).find("earliest"), std::string::npos);
  options.until_time = backup->time;
  ASSERT_NO_FATAL_FAILURE(expect_restored(options, at_backup.content));
  options.until_time = Clock::now() + std::chrono::hours(1);
  EXPECT_NE(refused(options, ErrorCode::kInvalidArgument).find("the log ends at"), std::string::npos);
  options = {};
  options.until_lsn = points_.back().lsn;
  EXPECT_NE(refused(options, ErrorCode::kInvalidArgument).find("the log ends at"), std::string::npos) << "no archive";
}

TEST_F(PitrTest, AMissingSegmentInTheMiddleIsNamedAndPointsBeforeItStayReachable) {
  ASSERT_NO_FATAL_FAILURE(make_history(200));
  unsigned named = 0;
  const std::vector<std::string> all = archived();
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_OK(disk_->rename("/archive/" + all[i], "/hidden"));
    const auto report = restore_on(*disk_, "/backup", "/restored" + std::to_string(++restored_), from_archive());
    if (report) {
      // Not needed: it lies before the backup, or is the last one, whose absence nobody can know.
      if (i + 1 != all.size()) {
        ASSERT_NO_FATAL_FAILURE(expect_content("/restored" + std::to_string(restored_), points_.back().content)) << i;
      }
    } else {
      ++named;
      EXPECT_EQ(report.error().code(), ErrorCode::kNotFound) << report.error().message();
      const std::string epoch = all[i].substr(0, 33);
      EXPECT_NE(report.error().message().find(epoch), std::string::npos) << report.error().message() << ": " << all[i];
    }
    const std::uint64_t begin = internal::parse_archive_name(all[i])->segment * kTestSegmentBytes;
    if (named <= 2 && !report && begin >= points_.front().lsn) {
      RestoreOptions options = from_archive();
      options.until_lsn = points_.front().lsn;
      ASSERT_NO_FATAL_FAILURE(expect_restored(options, points_.front().content)) << all[i];
    }
    ASSERT_OK(disk_->rename("/hidden", "/archive/" + all[i]));
  }
  EXPECT_GE(named, 3u);
}

TEST_F(PitrTest, ADamagedOrShortenedSegmentIsNamed) {
  ASSERT_NO_FATAL_FAILURE(make_history(100));
  const std::string path = "/archive/" + archived()[archived().size() - 2];
  const auto file = *disk_->open(path, OpenMode::kReadWrite);
  const std::uint64_t bytes = *file->size();
  TestRandom random(2);
  for (int round = 0; round < 5; ++round) {
    const std::uint64_t at = round == 0 ? 100 : random.uniform(bytes);
    std::byte byte{};
    ASSERT_OK(file->read(at, {&byte, 1}));
    const std::byte damaged = byte ^ std::byte{4};
    ASSERT_OK(file->write(at, {&damaged, 1}));
    EXPECT_NE(refused(from_archive(), ErrorCode::kCorruption).find(path), std::string::npos);
    ASSERT_OK(file->write(at, {&byte, 1}));
  }
  ASSERT_OK(file->truncate(bytes - kLogBlockBytes));
  EXPECT_NE(refused(from_archive(), ErrorCode::kCorruption).find(path), std::string::npos);
}

// Files whose checksums are right, and which say what no log can say.
TEST_F(PitrTest, AMadeUpEpochLeadsNowhere) {
  Watchdog watchdog("a restore from files that are made up", std::chrono::seconds(300));
  ASSERT_NO_FATAL_FAILURE(make_history(40));
  const std::uint64_t real = internal::parse_archive_name(archived().back())->epoch;
  // Two that lead to each other.
  const internal::ArchivedSegment one{real + 10, 1, 1000};
  const internal::ArchivedSegment other{real + 11, 2, 2000};
  make_up(one, other, 2000 * kTestSegmentBytes);
  make_up(other, one, 1000 * kTestSegmentBytes);
  EXPECT_NE(refused(from_archive(), ErrorCode::kCorruption).find(archive_name(one)), std::string::npos);
  ASSERT_OK(disk_->remove("/archive/" + archive_name(one)));
  ASSERT_OK(disk_->remove("/archive/" + archive_name(other)));
  // One behind which there is no number.
  make_up({UINT64_MAX, 3, 3000}, {real + 20, 4, 0}, 2999 * kTestSegmentBytes);
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive(), points_.back().content));
  const auto data = *disk_->open("/restored" + std::to_string(restored_) + "/data.vg", OpenMode::kReadOnly);
  const std::uint64_t number = SuperblockStore::load(*data)->current().epochs.back().number;
  EXPECT_TRUE(number > real && number < real + 10) << number;
}

TEST_F(PitrTest, AnArchiveWithoutItsOldestFilesServesTheBackupsThatNeedThemNot) {
  ASSERT_NO_FATAL_FAILURE(make_history(100));
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  const auto second = db_->backup("/second");
  ASSERT_OK(second);
  ASSERT_NO_FATAL_FAILURE(run_steps(60));
  db_.reset();
  for (const std::string& name : archived()) {
    const std::uint64_t end = (internal::parse_archive_name(name)->segment + 1) * kTestSegmentBytes;
    if (end >= second->lsn) continue;
    ASSERT_OK(disk_->remove("/archive/" + name));
  }
  ASSERT_NO_FATAL_FAILURE(open());  // nothing is missed by it, either
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  db_.reset();
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive(), points_.back().content, "/second"));
  EXPECT_NE(refused(from_archive(), ErrorCode::kNotFound).find("the archive lacks"), std::string::npos);
}

TEST_F(PitrTest, AClockThatWasSetBackMakesATimeAmbiguousAndAPositionNot) {
  ASSERT_NO_FATAL_FAILURE(make_history(100));
  const std::uint64_t last = internal::parse_archive_name(archived().back())->epoch;
  const Point& point = points_[20];
  for (const std::string& name : archived()) {
    if (internal::parse_archive_name(name)->epoch == last) set_back(name, std::chrono::hours(1));
  }
  RestoreOptions options = from_archive();
  options.until_time = point.time;
  EXPECT_NE(refused(options, ErrorCode::kInvalidArgument).find("the clock was set back"), std::string::npos);
  options.until_time.reset();
  options.until_lsn = point.lsn;
  ASSERT_NO_FATAL_FAILURE(expect_restored(options, point.content));
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive(), points_.back().content));
}

TEST_F(PitrTest, AnArchiveOfAnotherDatabaseIsRefused) {
  archive_ = "/other archive";
  ASSERT_NO_FATAL_FAILURE(open("/other"));
  ASSERT_OK(db_->create_map("m"));
  archive_ = "/archive";
  ASSERT_NO_FATAL_FAILURE(make_history(40));
  EXPECT_NE(refused(from_archive({"/other archive"}), ErrorCode::kInvalidArgument).find("/other archive"),
            std::string::npos);
  EXPECT_NE(refused(from_archive({"/nowhere"}), ErrorCode::kNotFound).find("/nowhere"), std::string::npos);
  ASSERT_OK(disk_->make_directory("/empty"));
  EXPECT_NE(refused(from_archive({"/empty"}), ErrorCode::kInvalidArgument).find("/empty: there is no archived log"),
            std::string::npos);
}

TEST_F(PitrTest, WhoHasAnArchiveThatIsStillEmptyIsToldToLeaveItOut) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(5));
  ASSERT_OK(db_->backup("/backup"));
  ASSERT_OK(disk_->make_directory("/empty"));
  EXPECT_NE(refused(from_archive({"/empty"}), ErrorCode::kInvalidArgument).find("leave the archive out to restore"),
            std::string::npos);
  ASSERT_NO_FATAL_FAILURE(expect_restored({}, points_.back().content));
}

TEST_F(PitrTest, ATimelineThatWasLeftIsNotFollowed) {
  ASSERT_NO_FATAL_FAILURE(make_history(100));
  const Partition left = points_.back().content;
  const Point chosen = points_[30];
  RestoreOptions options = from_archive();
  options.until_lsn = chosen.lsn;
  ASSERT_OK(restore_on(*disk_, "/backup", "/new", options));
  // The restored database goes its own way, with an archive of its own.
  archive_ = "/new archive";
  ASSERT_NO_FATAL_FAILURE(open("/new"));
  content_ = chosen.content;
  Map map = *db_->create_map("only here");
  ASSERT_OK(map.put("k", "v"));
  content_["only here"] = {{"k", "v"}};
  ASSERT_OK(db_->backup("/new backup"));
  ASSERT_OK(map.put("k2", "v"));
  content_["only here"]["k2"] = "v";
  db_.reset();
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive(), left)) << "the old archive alone";
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive({"/new archive"}), content_, "/new backup"));
  // A dead timeline's files beside it change nothing; alone they lead nowhere.
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive({"/archive", "/new archive"}), content_, "/new backup"));
  Partition at_backup = content_;
  at_backup["only here"].erase("k2");
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive(), at_backup, "/new backup"));
  // From the old backup both timelines can be meant, where both go on from the same epoch; the files say which.
  const std::vector<std::string> names = archived();
  const auto both = restore_on(*disk_, "/backup", "/both", from_archive({"/archive", "/new archive"}));
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code(), ErrorCode::kInvalidArgument) << both.error().message();
  EXPECT_NE(both.error().message().find("two timelines"), std::string::npos) << both.error().message();
  // Without the dead timeline's later epochs there is one way only: through the point where they parted.
  ASSERT_OK(disk_->make_directory("/dead"));
  std::uint64_t parted = 0;
  for (const std::string& name : names) {
    const auto segment = *internal::parse_archive_name(name);
    if (segment.segment * kTestSegmentBytes < chosen.lsn) parted = std::max(parted, segment.epoch);
  }
  for (const std::string& name : names) {
    if (internal::parse_archive_name(name)->epoch > parted) {
      ASSERT_OK(disk_->rename("/archive/" + name, "/dead/" + name));
    }
  }
  ASSERT_NO_FATAL_FAILURE(expect_restored(from_archive({"/archive", "/new archive"}), content_));
}

TEST_F(PitrTest, AnArchiveThatFailsHoldsTheLogAndIsSaid) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  ASSERT_OK(db_->backup("/backup"));
  disk_->inject({.call = IoCall::kWrite, .at = 1, .os_error = EIO, .sticky = true, .path_contains = "/archive"});
  // However often it is opened, closed and killed meanwhile.
  for (int round = 0; round < 20; ++round) {
    ASSERT_NO_FATAL_FAILURE(run_steps(6));
    ASSERT_OK(db_->checkpoint());
    if (round % 5 == 4) {
      kill();
      disk_->inject({.call = IoCall::kWrite, .at = 1, .os_error = EIO, .sticky = true, .path_contains = "/archive"});
    }
    ASSERT_NO_FATAL_FAILURE(open());
  }
  EXPECT_GT(lines_with("archiv"), 0u);
  const std::size_t held = disk_->list("/db/log")->size();
  EXPECT_GE(held, 20u) << "every epoch has a segment at least";
  EXPECT_LE(archived().size(), 4u);
  disk_->clear_faults();
  ASSERT_NO_FATAL_FAILURE(run_steps(10));
  EXPECT_TRUE(comes_true([&] {
    EXPECT_TRUE(db_->checkpoint());
    return disk_->list("/db/log")->size() < 8;
  })) << disk_->list("/db/log")->size()
      << " of " << held << " segments are left";
  db_.reset();
  EXPECT_GE(archived().size(), 20u);
  expect_restored(from_archive(), points_.back().content);
}

TEST_F(PitrTest, WhoOpensItWithoutTheArchiveKeepsTheLogForTheNext) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  ASSERT_OK(db_->backup("/backup"));
  for (int round = 0; round < 6; ++round) {
    archive_ = round % 3 == 2 ? "/archive" : "";
    ASSERT_NO_FATAL_FAILURE(open());
    ASSERT_NO_FATAL_FAILURE(run_steps(20));
    ASSERT_OK(db_->checkpoint());
    if (round == 3) kill();
  }
  EXPECT_GT(lines_with("kept for the archive"), 0u);
  db_.reset();
  expect_restored(from_archive(), points_.back().content);
}

TEST_F(PitrTest, LogOfATimeWithoutArchiveIsMissed) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  ASSERT_OK(db_->backup("/backup"));
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  const Point last = points_.back();
  archive_.clear();
  db_.reset();
  ASSERT_OK(disk_->remove("/db/archive.vg"));
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(50));
  for (int i = 0; i < 20; ++i) {  // so that the log of that time goes
    ASSERT_NO_FATAL_FAILURE(run_steps(10));
    ASSERT_OK(db_->checkpoint());
  }
  ASSERT_NO_FATAL_FAILURE(open());
  archive_ = "/archive";
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  db_.reset();
  refused(from_archive(), ErrorCode::kNotFound);
  RestoreOptions options = from_archive();
  options.until_lsn = last.lsn;
  ASSERT_NO_FATAL_FAILURE(expect_restored(options, last.content));
}

// Wherever the power goes, the next open archives what is missing, and the archive leads to what was acknowledged.
TEST_F(PitrTest, PowerCutsLoseNothingOfTheArchive) {
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_NO_FATAL_FAILURE(run_steps(20));
  ASSERT_OK(db_->backup("/backup"));
  disk_->settle();
  const std::vector<Point> before = points_;
  points_.clear();
  std::vector<std::size_t> positions;
  for (unsigned i = 0; i < 120; ++i) {
    ASSERT_NO_FATAL_FAILURE(run_steps(1));
    positions.push_back(disk_->position());
    if (i % 40 == 39) {
      ASSERT_NO_FATAL_FAILURE(open());
    }
  }
  db_.reset();
  TestRandom random(3);
  for (const Cut& cut : choose_cuts(disk_->trace(), 0, scaled(25), random)) {
    const auto after = disk_->power_cut(cut.position, cut.mode, cut.seed);
    Partition content;
    {
      Result<Database> db = open_on(*after, options());
      ASSERT_OK(db);
      const auto found = read_partitions(*db, 1);
      ASSERT_OK(found);
      content = (*found)[0];
      ASSERT_OK(db->close());
    }
    // What was there after the cut is one of the known states, and the archive leads to it.
    const auto acked = std::upper_bound(positions.begin(), positions.end(), cut.position) - positions.begin();
    const Partition& least = acked == 0 ? before.back().content : points_[static_cast<std::size_t>(acked) - 1].content;
    const bool known = describe_difference(least, content, 0).empty() ||
                       (static_cast<std::size_t>(acked) < points_.size() &&
                        describe_difference(points_[static_cast<std::size_t>(acked)].content, content, 0).empty());
    ASSERT_TRUE(known) << describe(cut);
    ASSERT_OK(restore_on(*after, "/backup", "/restored", from_archive())) << describe(cut);
    Result<Database> db = open_on(*after, crash_options(workload_), "/restored");
    ASSERT_OK(db);
    const auto found = read_partitions(*db, 1);
    ASSERT_OK(found);
    ASSERT_EQ(describe_difference(content, (*found)[0], 0), "") << describe(cut);
  }
}

}  // namespace
}  // namespace vaultgres
