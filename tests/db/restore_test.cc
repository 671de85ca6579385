// Goal: a restore gives the database of the backup, whole and durable, or nothing that anybody takes for a database;
// what is wrong with the backup is an error that names it.
//
// Method: one backup of a known content; restores on a simulated disk that is cut off, fails or is full, of backups
// that are damaged byte by byte.
#include <gtest/gtest.h>

#include <cerrno>

#include "db/backup_support.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class RestoreTest : public ::testing::Test {
 protected:
  /// A backup with log to redo and a transaction to roll back.
  RestoreTest() {
    Database db = *open_on(disk_);
    Map map = *db.create_map("m");
    for (int i = 0; i < 200; ++i) expected_["k" + std::to_string(i)] = std::string(kPageBytes / 10, 'v');
    for (const auto& [key, value] : expected_) EXPECT_TRUE(map.put(key, value));
    Transaction open = *db.begin();
    EXPECT_TRUE(map.put(open, "k1", "open"));
    std::map<std::string, std::uint64_t> during;  // and where it was durable
    const auto report = db.backup("/backup", [&](std::uint64_t bytes, std::uint64_t) {
      const std::string key = "during " + std::to_string(bytes);
      EXPECT_TRUE(map.put(key, "v"));
      during[key] = db.stats()->log_durable;
      return true;
    });
    EXPECT_EQ(test_text(report), "");
    lsn_ = report->lsn;
    for (const auto& [key, lsn] : during) {
      if (lsn <= lsn_) expected_[key] = "v";
    }
    EXPECT_GT(expected_.size(), 200u);
    EXPECT_LT(expected_.size(), 200 + during.size()) << "the last one comes after the log was copied";
    EXPECT_TRUE(open.rollback());
    EXPECT_TRUE(db.close());
    disk_.settle();
  }
  void expect_restored(FileSystem& disk, const std::string& directory = "/restored") {
    Result<Database> db = open_on(disk, small_options(), directory);
    ASSERT_OK(db);
    ASSERT_TRUE(content_of(*db->open_map("m")) == expected_);
    expect_sound(*db);
    ASSERT_OK(db->open_map("m")->put("one more", "v"));
  }

  SimFileSystem disk_;
  Content expected_;
  std::uint64_t lsn_ = 0;
};

TEST_F(RestoreTest, GivesTheBackupsEndAndSaysWhichItIs) {
  Options looked = small_options();
  const auto report = restore_on(disk_, "/backup", "/restored");
  ASSERT_OK(report);
  EXPECT_LE(report->lsn, lsn_);
  EXPECT_GT(report->lsn, lsn_ - 4096);
  EXPECT_EQ(report->rolled_back, 1u);
  EXPECT_GT(report->records, 0u);
  const auto age = std::chrono::system_clock::now() - report->time;
  EXPECT_LT(age, std::chrono::minutes(5));
  EXPECT_GE(age, std::chrono::seconds(0));
  std::vector<std::string> lines;
  looked.on_log = [&](std::string_view line) { lines.emplace_back(line); };
  { const Database db = *open_on(disk_, looked, "/restored"); }
  EXPECT_TRUE(lines.empty()) << "it was closed in order: " << lines[0];
  expect_restored(disk_);
}

TEST_F(RestoreTest, OfARestoredDatabaseAndOfTheSourceInTurn) {
  ASSERT_OK(restore_on(disk_, "/backup", "/restored"));
  expect_restored(disk_);
  expected_["one more"] = "v";
  {
    Database db = *open_on(disk_, small_options(), "/restored");
    ASSERT_OK(db.backup("/backup of it"));
  }
  ASSERT_OK(restore_on(disk_, "/backup of it", "/restored again"));
  expect_restored(disk_, "/restored again");
  ASSERT_OK(restore_on(disk_, "/backup", "/another"));
  expected_.erase("one more");
  expect_restored(disk_, "/another");
}

TEST_F(RestoreTest, RefusesWhatIsNoBackupAndATargetThatIsThere) {
  EXPECT_ERROR(kInvalidArgument, restore_on(disk_, "/nowhere", "/restored"));
  EXPECT_ERROR(kInvalidArgument, restore_on(disk_, "/db", "/restored"));
  EXPECT_ERROR(kAlreadyExists, restore_on(disk_, "/backup", "/db"));
  EXPECT_ERROR(kAlreadyExists, restore_on(disk_, "/backup", "/backup"));
  EXPECT_ERROR(kNotFound, restore_on(disk_, "/backup", "/nowhere/restored"));
  EXPECT_ERROR(kInvalidArgument, restore("", "/restored"));
  RestoreOptions both;
  both.until_lsn = lsn_;
  both.until_time = std::chrono::system_clock::now();
  EXPECT_ERROR(kInvalidArgument, restore_on(disk_, "/backup", "/restored", both));
  ASSERT_OK(disk_.remove("/backup/backup.vg"));
  EXPECT_ERROR(kInvalidArgument, restore_on(disk_, "/backup", "/restored"));
  EXPECT_FALSE(*disk_.exists("/restored"));
  // Neither whole nor half a backup is opened or turned into a database by mistake.
  EXPECT_ERROR(kInvalidArgument, open_on(disk_, small_options(), "/backup"));
  EXPECT_EQ(disk_.list("/backup")->size(), 2u);
}

TEST_F(RestoreTest, APowerCutLeavesTheWholeDatabaseOrADirectoryThatNobodyOpens) {
  ASSERT_OK(restore_on(disk_, "/backup", "/restored"));
  disk_.mark("restored");
  TestRandom random(1);
  unsigned whole = 0;
  unsigned refused = 0;
  std::vector<Cut> cuts = choose_cuts(disk_.trace(), 0, 20 + scaled(130), random);
  cuts.push_back({disk_.position(), PowerCut::kNone, 0});  // when it is restored
  for (const Cut& cut : cuts) {
    const auto after =
        random.one_in(5) ? disk_.killed(cut.position) : disk_.power_cut(cut.position, cut.mode, cut.seed);
    const bool there = *after->exists("/restored/data.vg");
    Options options = small_options();
    options.create_if_missing = !there;  // what is not there at all may be made
    const bool marked = *after->exists("/restored/restore.vg");
    Result<Database> db = open_on(*after, options, "/restored");
    if (marked) {
      ++refused;
      EXPECT_ERROR(kCorruption, db);
    } else if (db && there) {
      ++whole;
      ASSERT_TRUE(content_of(*db->open_map("m")) == expected_) << describe(cut);
      expect_sound(*db);
    } else {
      EXPECT_TRUE(disk_.marks(cut.position).empty()) << describe(cut);
      EXPECT_TRUE(db) << db.error().message() << ": nothing is there yet";
    }
    ASSERT_FALSE(there && !marked && !db) << describe(cut);
    if (!disk_.marks(cut.position).empty()) {
      ASSERT_TRUE(db && there) << describe(cut) << " after it had returned";
    }
    ASSERT_OK(restore_on(*after, "/backup", "/restored from what is left"));
  }
  EXPECT_GT(whole, 0u);
  EXPECT_GT(refused, 10u);
  std::printf("%u whole, %u refused\n", whole, refused);
}

TEST_F(RestoreTest, TheKthFailingCallLeavesNothing) {
  unsigned failed = 0;
  for (const IoCall call : {IoCall::kOpen, IoCall::kRead, IoCall::kWrite, IoCall::kSync, IoCall::kAllocate,
                            IoCall::kRename, IoCall::kRemove, IoCall::kDirectorySync, IoCall::kMakeDirectory}) {
    for (std::uint64_t k = 1; k <= scaled(30); ++k) {
      const std::uint64_t hit = disk_.faults_hit();
      disk_.inject({.call = call, .at = k, .os_error = EIO, .path_contains = "/restored"});
      const auto restored = restore_on(disk_, "/backup", "/restored");
      disk_.clear_faults();
      if (restored) {  // there is no k-th call, or its failure is of no matter
        ASSERT_NO_FATAL_FAILURE(expect_restored(disk_));
        remove_directory(disk_, "/restored");
        if (disk_.faults_hit() == hit) break;
        continue;
      }
      ++failed;
      ASSERT_FALSE(*disk_.exists("/restored")) << io_call_name(call) << " " << k;
    }
  }
  EXPECT_GT(failed, 10u);
}

TEST_F(RestoreTest, AFullDiskLeavesNothing) {
  disk_.limit_space(disk_.used_bytes() + 10 * kPageBytes);
  EXPECT_ERROR(kNoSpace, restore_on(disk_, "/backup", "/restored"));
  EXPECT_FALSE(*disk_.exists("/restored"));
  disk_.limit_space(std::nullopt);
  ASSERT_OK(restore_on(disk_, "/backup", "/restored"));
  expect_restored(disk_);
}

TEST_F(RestoreTest, ADamagedBackupIsAnErrorThatNamesTheFile) {
  TestRandom random(2);
  std::vector<std::string> paths{"/backup/backup.vg", "/backup/pages.vg"};
  for (const std::string& name : names_in(disk_, "/backup/log")) paths.push_back("/backup/log/" + name);
  unsigned found = 0;
  for (std::uint64_t round = 0; round < scaled(60) || (found == 0 && round < 60); ++round) {
    const std::string& path = paths[random.uniform(paths.size())];
    const auto file = *disk_.open(path, OpenMode::kReadWrite);
    const std::uint64_t at = random.uniform(*file->size());
    std::byte byte{};
    ASSERT_OK(file->read(at, {&byte, 1}));
    const std::byte damaged = byte ^ std::byte(1 + random.uniform(255));
    ASSERT_OK(file->write(at, {&damaged, 1}));
    const std::string target = "/restored" + std::to_string(round);
    const auto restored = restore_on(disk_, "/backup", target);
    ASSERT_OK(file->write(at, {&byte, 1}));
    if (restored) {  // of no matter: in the gap of a log file, say, or one of two superblocks
      ASSERT_NO_FATAL_FAILURE(expect_restored(disk_, target)) << path << " " << at;
      continue;
    }
    ++found;
    EXPECT_EQ(restored.error().code(), ErrorCode::kCorruption) << restored.error().message();
    EXPECT_NE(restored.error().message().find("/backup"), std::string::npos) << restored.error().message();
    ASSERT_FALSE(*disk_.exists(target));
  }
  EXPECT_GT(found, 0u);
}

TEST_F(RestoreTest, AMissingOrShorterFileOfTheBackupIsAnError) {
  const std::string log = "/backup/log/" + names_in(disk_, "/backup/log").back();
  ASSERT_OK(disk_.rename(log, "/backup/log/elsewhere"));
  const auto restored = restore_on(disk_, "/backup", "/restored");
  ASSERT_FALSE(restored);
  EXPECT_NE(restored.error().message().find(log), std::string::npos) << restored.error().message();
  ASSERT_OK(disk_.rename("/backup/log/elsewhere", log));
  {
    const auto pages = *disk_.open("/backup/pages.vg", OpenMode::kReadWrite);
    ASSERT_OK(pages->truncate(*pages->size() - kPageBytes));
  }
  EXPECT_ERROR(kCorruption, restore_on(disk_, "/backup", "/restored"));
  EXPECT_FALSE(*disk_.exists("/restored"));
}

}  // namespace
}  // namespace vaultgres
