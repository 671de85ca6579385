// What the program says when a database cannot be opened, or a command line not be understood.
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/program_support.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

bool says(const Answer& answer, const std::string& text) {
  return answer.err.starts_with("vaultgres: ") && answer.err.find(text) != std::string::npos;
}

const std::vector<std::vector<std::string>>& reading_verbs(const std::string& database) {
  static std::vector<std::vector<std::string>> verbs;
  verbs = {{"get", database, "m", "k"},
           {"range", database, "m"},
           {"delete", database, "m", "k"},
           {"maps", database},
           {"check", database},
           {"stats", database},
           {"stats", database, "m"},
           {"drop-map", database, "m"},
           {"rename-map", database, "m", "n"},
           {"insert", database, "m", "k", "v"},
           {"inspect", database, "0"}};
  return verbs;
}

// Goal: no verb but those that say so makes a database; the error names the directory and a way on.
TEST(OpenTest, MissingDirectory) {
  const TempDirectory directory;
  const std::string database = directory.file("nothing.vg");
  for (const auto& verb : reading_verbs(database)) {
    const Answer answer = run_program(verb);
    EXPECT_EQ(answer.code, 6) << verb[0] << answer.err;
    EXPECT_TRUE(says(answer, database)) << answer.err;
    EXPECT_EQ(answer.out, "");
    EXPECT_FALSE(std::filesystem::exists(database)) << verb[0];
  }
}

// Goal: a directory of somebody else is left alone.
TEST(OpenTest, ForeignDirectory) {
  const TempDirectory directory;
  const std::string database = directory.file("photos");
  std::filesystem::create_directory(database);
  write_file(database + "/holiday.jpg", "not a database");
  for (const auto& verb : reading_verbs(database)) EXPECT_EQ(run_program(verb).code, 6) << verb[0];
  EXPECT_EQ(run_program({"create-map", database, "m"}).code, 1);
  EXPECT_EQ(run_program({"batch", database, "m"}, "put\ta\t1\n").code, 1);
  EXPECT_EQ(run_program({"insert", database, "m", "k", "v", "--create"}).code, 1);
  const auto entries = std::filesystem::directory_iterator(database);
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
  const Answer file = run_program({"maps", database + "/holiday.jpg"});
  EXPECT_EQ(file.code, 1);
  EXPECT_TRUE(says(file, "is not a directory")) << file.err;
}

// Goal: a data file of something else is damage, not a crash and not an empty database.
TEST(OpenTest, ForeignDataFile) {
  const TempDirectory directory;
  const std::string database = directory.file("strange");
  std::filesystem::create_directory(database);
  std::filesystem::create_directory(database + "/log");
  write_file(database + "/data.vg", std::string(100'000, 'x'));
  EXPECT_EQ(run_program({"maps", database}).code, 2);
  EXPECT_EQ(run_program({"batch", database, "m"}).code, 2);
  EXPECT_EQ(run_program({"inspect", database, "0"}).code, 2);
}

// Goal: while one process has the database open, others are told so; inspect looks on.
TEST(OpenTest, LockedByAnotherProcess) {
  const TempDirectory directory;
  const std::string database = directory.file("shop.vg");
  Conversation holder({"batch", database, "m"});
  ASSERT_EQ(holder.ask("put\ta\t1"), "ok");
  for (const auto& verb : reading_verbs(database)) {
    if (verb[0] == "inspect") continue;
    const Answer answer = run_program(verb);
    EXPECT_EQ(answer.code, 4) << verb[0] << answer.err;
    EXPECT_TRUE(says(answer, "locked")) << answer.err;
  }
  EXPECT_EQ(run_program({"batch", database, "m"}).code, 4);
  EXPECT_EQ(run_program({"inspect", database, "0"}).code, 0);
  EXPECT_EQ(holder.ask("get\ta"), "value\t1");
  EXPECT_EQ(holder.finish(), 0);
  EXPECT_EQ(run_program({"get", database, "m", "a"}).out, "1\n");
}

// Goal: help on standard output with exit code 0; mistakes on standard error with 1 and a way on.
TEST(OpenTest, CommandLine) {
  const Answer help = run_program({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* verb : {"get", "range", "insert", "delete", "batch", "maps", "create-map", "drop-map", "rename-map",
                           "check", "stats", "inspect"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + verb + " "), std::string::npos) << verb;
    const Answer own = run_program({verb, "--help"});
    EXPECT_EQ(own.code, 0);
    EXPECT_NE(own.out.find("Examples:"), std::string::npos) << own.out;
    EXPECT_EQ(run_program({verb}).code, 1) << verb;
    EXPECT_EQ(run_program({verb, "--nonsense"}).code, 1) << verb;
  }
  EXPECT_EQ(run_program({"--version"}).out.find("vaultgres "), 0u);
  EXPECT_EQ(run_program({}).code, 1);
  const Answer typo = run_program({"chekc", "x"});
  EXPECT_EQ(typo.code, 1);
  EXPECT_TRUE(says(typo, "did you mean `check`?")) << typo.err;
  const Answer missing = run_program({"get", "x"});
  EXPECT_TRUE(says(missing, "`vaultgres get --help`")) << missing.err;
}

// Goal: a full disk behind standard output is not a success.
TEST(OpenTest, OutputFails) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  const TempDirectory directory;
  ASSERT_EQ(run_program({"create-map", directory.file("shop.vg"), "m"}).code, 0);
  EXPECT_EQ(run_program_to({"maps", directory.file("shop.vg")}, "/dev/full").code, 3);
}

}  // namespace
}  // namespace vaultgres
