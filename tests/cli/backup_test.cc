// Goal: `backup` and `restore` do what their help says: copies that are databases again, exit codes, errors that say
// what to do, and nothing left of what did not succeed.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/program_support.h"
#include "support/database.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using Json = nlohmann::json;

class BackupVerbTest : public ::testing::Test {
 protected:
  BackupVerbTest() {
    EXPECT_EQ(run_program({"create-map", database_, "m"}).code, 0);
    put("before", "1");
  }
  void put(const std::string& key, const std::string& value) {
    const Answer answer = run_program({"insert", database_, "m", key, value});
    EXPECT_EQ(answer.code, 0) << answer.err;
  }
  static std::string get(const std::string& database, const std::string& key) {
    return run_program({"get", database, "m", key}).out;
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
  const std::string backup_ = directory_.file("backup");
  const std::string restored_ = directory_.file("again.vg");
};

TEST_F(BackupVerbTest, BackupAndRestoreGiveTheDatabaseBack) {
  const Answer made = run_program({"backup", database_, backup_});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_NE(made.out.find("to LSN "), std::string::npos) << made.out;
  EXPECT_EQ(made.err, "");
  put("after", "2");
  const Answer restored = run_program({"restore", backup_, restored_});
  ASSERT_EQ(restored.code, 0) << restored.err;
  EXPECT_NE(restored.out.find("as of LSN "), std::string::npos) << restored.out;
  EXPECT_EQ(get(restored_, "before"), "1\n");
  EXPECT_EQ(run_program({"get", restored_, "m", "after"}).code, 6);
  EXPECT_EQ(run_program({"check", restored_}).code, 0);
  EXPECT_EQ(get(database_, "after"), "2\n");
}

TEST_F(BackupVerbTest, AnswersInJson) {
  const Answer made = run_program({"backup", database_, backup_, "--json"});
  ASSERT_EQ(made.code, 0) << made.err;
  const Json backup = Json::parse(made.out);
  EXPECT_EQ(backup["backup"], backup_);
  EXPECT_GT(backup["pages"], 0);
  EXPECT_GT(backup["lsn"], 0);
  EXPECT_EQ(backup["time"].get<std::string>().back(), 'Z');
  const Answer answer = run_program({"restore", backup_, restored_, "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const Json restored = Json::parse(answer.out);
  EXPECT_LE(restored["lsn"], backup["lsn"]);
  EXPECT_EQ(restored["time"], backup["time"]);
  EXPECT_EQ(restored["rolled_back"], 0);
}

TEST_F(BackupVerbTest, RefusesWithTheRightExitCodeAndLeavesNothing) {
  EXPECT_EQ(run_program({"backup", directory_.file("nothing.vg"), backup_}).code, 6);
  EXPECT_FALSE(std::filesystem::exists(backup_));
  EXPECT_EQ(run_program({"backup", database_, database_}).code, 5);
  {
    Conversation holder({"batch", database_, "m"});
    ASSERT_EQ(holder.ask("put\ta\t1"), "ok");
    EXPECT_EQ(run_program({"backup", database_, backup_}).code, 4);
    EXPECT_EQ(holder.finish(), 0);
  }
  EXPECT_EQ(run_program({"restore", database_, restored_}).code, 1) << "a database is no backup";
  EXPECT_EQ(run_program({"restore", directory_.file("nothing"), restored_}).code, 1);
  ASSERT_EQ(run_program({"backup", database_, backup_}).code, 0);
  EXPECT_EQ(run_program({"restore", backup_, database_}).code, 5);
  EXPECT_EQ(run_program({"restore", backup_, restored_, "--until-lsn", "many"}).code, 1);
  EXPECT_EQ(run_program({"restore", backup_, restored_, "--until-time", "yesterday"}).code, 1);
  const Answer early = run_program({"restore", backup_, restored_, "--until-lsn", "1"});
  EXPECT_EQ(early.code, 1);
  EXPECT_NE(early.err.find("the earliest is LSN "), std::string::npos) << early.err;
  EXPECT_EQ(run_program({"restore", backup_, restored_, "--archive", directory_.file("no archive")}).code, 6);
  EXPECT_FALSE(std::filesystem::exists(restored_));
  const Answer opened = run_program({"maps", backup_});
  EXPECT_EQ(opened.code, 1) << opened.err;
  EXPECT_NE(opened.err.find("restore it"), std::string::npos) << opened.err;
  std::filesystem::remove(backup_ + "/backup.vg");
  const Answer half = run_program({"restore", backup_, restored_});
  EXPECT_EQ(half.code, 1);
  EXPECT_NE(half.err.find("was not finished"), std::string::npos) << half.err;
}

TEST_F(BackupVerbTest, ADamagedPageIsNamedAndNoBackupResults) {
  put("marked", "here is the leaf");
  std::string bytes = read_file(database_ + "/data.vg");
  const std::size_t at = bytes.find("here is the leaf");
  ASSERT_NE(at, std::string::npos);
  bytes[at] ^= 1;
  write_file(database_ + "/data.vg", bytes);
  const Answer made = run_program({"backup", database_, backup_});
  EXPECT_EQ(made.code, 2);
  EXPECT_NE(made.err.find("page " + std::to_string(at / 8192)), std::string::npos) << made.err;
  EXPECT_FALSE(std::filesystem::exists(backup_));
}

TEST_F(BackupVerbTest, FollowsAnArchiveToATimeAndToTheLatest) {
  const std::string archive = directory_.file("archive");
  Options options = small_options();
  options.archive_directory = archive;
  std::chrono::system_clock::time_point between;
  {
    Database db = *Database::open(database_, options);
    ASSERT_OK(db.backup(backup_));
    Map map = *db.open_map("m");
    ASSERT_OK(map.put("wanted", "1"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    between = std::chrono::system_clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_OK(map.erase("before"));
    ASSERT_OK(map.erase("wanted"));
  }
  // The program keeps the log for the archive that it does not know.
  const Answer kept = run_program({"insert", database_, "m", "more", "1"});
  EXPECT_EQ(kept.code, 0);
  EXPECT_NE(kept.err.find("kept for the archive"), std::string::npos) << kept.err;
  { const Database db = *Database::open(database_, options); }

  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(between.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(micros / 1000000);
  char text[64];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", std::gmtime(&seconds));
  std::string fraction = std::to_string(micros % 1000000);
  fraction.insert(0, 6 - fraction.size(), '0');
  const std::string time = std::string(text, length) + "." + fraction;
  const Answer restored = run_program({"restore", backup_, restored_, "--archive", archive, "--until-time", time});
  ASSERT_EQ(restored.code, 0) << restored.err;
  EXPECT_EQ(get(restored_, "before"), "1\n");
  EXPECT_EQ(get(restored_, "wanted"), "1\n");
  const std::string latest = directory_.file("latest.vg");
  ASSERT_EQ(run_program({"restore", backup_, latest, "--archive", archive}).code, 0);
  EXPECT_EQ(run_program({"get", latest, "m", "before"}).code, 6);
  EXPECT_EQ(get(latest, "more"), "1\n");
}

TEST_F(BackupVerbTest, ShowsProgressOnATerminalUnlessQuiet) {
  const Answer shown = run_program_with_error_terminal({"backup", database_, backup_});
  EXPECT_EQ(shown.code, 0);
  EXPECT_NE(shown.err.find("MiB"), std::string::npos) << shown.err;
  const Answer quiet = run_program_with_error_terminal({"restore", backup_, restored_, "--quiet"});
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.err, "");
}

}  // namespace
}  // namespace vaultgres
