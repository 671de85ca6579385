// The reading verbs where nothing can be written: on a read-only mount, and beside other readers.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "cli/program_support.h"
#include "support/temp_directory.h"
#include "vaultgres/database.h"

namespace vaultgres {
namespace {

std::map<std::string, std::string> everything_in(const std::string& directory) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    std::ostringstream text;
    text << std::filesystem::last_write_time(entry).time_since_epoch().count() << '\n';
    if (entry.is_regular_file()) text << read_file(entry.path());
    all[entry.path()] = text.str();
  }
  return all;
}

class ReadOnlyTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run_program({"create-map", database_, "m"}).code, 0);
    ASSERT_EQ(run_program({"insert", database_, "m", "alice", "42"}).code, 0);
  }
  /// Runs the program where the database is on a read-only mount; code 99: there are no such mounts here.
  Answer run_mounted(const std::string& arguments) const {
    const std::string mount = "mount --bind " + database_ + " " + database_ + " && mount -o remount,bind,ro " +
                              database_ + " || exit 99; exec " VG_PROGRAM " " + arguments;
    const std::string out = directory_.file("out");
    const std::string err = directory_.file("err");
    const int status = std::system(("unshare -m sh -c '" + mount + "' >" + out + " 2>" + err + " </dev/null").c_str());
    Answer answer;
    answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    answer.out = read_file(out);
    answer.err = read_file(err);
    return answer;
  }
  bool can_mount() const { return std::system("unshare -m true 2>/dev/null") == 0 && run_mounted("--help").code == 0; }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
};

// Goal: every reading verb works on a read-only mount and changes nothing; every other says what is in its way.
TEST_F(ReadOnlyTest, ReadOnlyMount) {
  if (!can_mount()) GTEST_SKIP() << "no read-only mounts can be made here";
  const auto before = everything_in(database_);
  const Answer got = run_mounted("get " + database_ + " m alice");
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_EQ(got.out, "42\n");
  EXPECT_EQ(got.err, "");
  for (const std::string& verb : {"range " + database_ + " m", "maps " + database_, "tables " + database_,
                                  "stats " + database_, "check " + database_, "inspect " + database_ + " 0"}) {
    const Answer answer = run_mounted(verb);
    EXPECT_EQ(answer.code, 0) << verb << answer.err;
    EXPECT_EQ(answer.err, "") << verb;
  }
  EXPECT_EQ(run_mounted("get " + database_ + " m bob").code, 6);
  for (const std::string& verb : {"insert " + database_ + " m bob 43", "delete " + database_ + " m alice",
                                  "insert " + database_ + " m bob 43 --create", "create-map " + database_ + " n"}) {
    const Answer answer = run_mounted(verb);
    EXPECT_EQ(answer.code, 3) << verb << answer.err;
    EXPECT_NE(answer.err.find("Read-only file system"), std::string::npos) << answer.err;
  }
  EXPECT_EQ(everything_in(database_), before);
}

// Goal: what a killed process left is shown from a read-only mount as well, and stays as it was left.
TEST_F(ReadOnlyTest, UncleanOnAReadOnlyMount) {
  if (!can_mount()) GTEST_SKIP() << "no read-only mounts can be made here";
  {
    Conversation killed({"batch", database_, "m"});
    ASSERT_EQ(killed.ask("put\tbob\t43"), "ok");
    killed.kill();
  }
  const auto before = everything_in(database_);
  for (int round = 0; round < 2; ++round) {
    const Answer got = run_mounted("get " + database_ + " m bob");
    EXPECT_EQ(got.code, 0) << got.err;
    EXPECT_EQ(got.out, "43\n");
    EXPECT_EQ(run_mounted("check " + database_).code, 0);
  }
  EXPECT_EQ(everything_in(database_), before);
  EXPECT_EQ(run_program({"get", database_, "m", "bob"}).out, "43\n");
}

// Goal: while others read, reading verbs read, too, and changing ones are told that it is locked.
TEST_F(ReadOnlyTest, BesideReaders) {
  Options options;
  options.read_only = true;
  Database reader = *Database::open(database_, options);
  const Answer got = run_program({"get", database_, "m", "alice"});
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_EQ(got.out, "42\n");
  EXPECT_EQ(run_program({"check", database_}).code, 0);
  const Answer refused = run_program({"insert", database_, "m", "bob", "43"});
  EXPECT_EQ(refused.code, 4) << refused.err;
  EXPECT_NE(refused.err.find("locked"), std::string::npos) << refused.err;
  ASSERT_TRUE(reader.close());
  EXPECT_EQ(run_program({"insert", database_, "m", "bob", "43"}).code, 0);
}

// Goal: commands that only read share the database, however long one of them takes. Method: one has more to say than a
// pipe holds, and nobody listens.
TEST_F(ReadOnlyTest, ReadingCommandsShare) {
  std::string puts;
  for (int i = 0; i < 300; ++i) puts += "put\tkey" + std::to_string(i) + "\t" + std::string(1000, 'v') + "\n";
  ASSERT_EQ(run_program({"batch", database_, "m"}, puts).code, 0);
  Conversation slow({"range", database_, "m"});
  ASSERT_EQ(slow.read_line(), "alice\t42");
  for (const std::vector<std::string>& verb :
       std::vector<std::vector<std::string>>{{"get", database_, "m", "alice"},
                                             {"range", database_, "m", "--limit", "1"},
                                             {"maps", database_},
                                             {"tables", database_},
                                             {"stats", database_},
                                             {"stats", database_, "m"},
                                             {"check", database_}}) {
    const Answer answer = run_program(verb);
    EXPECT_EQ(answer.code, 0) << verb[0] << answer.err;
    EXPECT_EQ(answer.err, "") << verb[0];
  }
  const Answer refused = run_program({"insert", database_, "m", "bob", "43"});
  EXPECT_EQ(refused.code, 4) << refused.err;
  slow.kill();
  EXPECT_EQ(run_program({"insert", database_, "m", "bob", "43"}).code, 0);
}

// Goal: a command that only reads recovers a database that was not closed, so that the next one need not.
TEST_F(ReadOnlyTest, ReadingCommandsRecoverForGood) {
  {
    Conversation killed({"batch", database_, "m"});
    for (int i = 0; i < 9; ++i) ASSERT_EQ(killed.ask("put\tbob\t4" + std::to_string(i)), "ok");
    ASSERT_EQ(killed.ask("put\tbob\t43"), "ok");
    killed.kill();
  }
  const Answer first = run_program({"get", database_, "m", "bob"});
  EXPECT_EQ(first.out, "43\n") << first.err;
  EXPECT_NE(first.err.find("recovered after a crash"), std::string::npos) << first.err;
  const Answer second = run_program({"get", database_, "m", "bob"});
  EXPECT_EQ(second.out, "43\n");
  EXPECT_EQ(second.err, "");
}

}  // namespace
}  // namespace vaultgres
