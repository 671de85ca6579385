// vaultgres dump and load: a database goes through a file, or a pipe, and comes out the same.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/program_support.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using nlohmann::json;

class DumpProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string commands;
    for (int i = 0; i < 200; ++i) commands += "put\tuser:" + std::to_string(i) + "\tvalue " + std::to_string(i) + "\n";
    commands += "put\tlarge\t" + std::string(200'000, 'L') + "\n";
    ASSERT_EQ(run_program({"batch", database_, "m", "--relaxed"}, commands).code, 0);
    ASSERT_EQ(run_program({"import", database_, "users"}, "id,name\n1,Ada\n2,\n3,Grace\n").code, 0);
    ASSERT_EQ(run_program({"create-index", database_, "users", "by_id", "id", "--unique"}).code, 0);
  }
  static bool says(const Answer& answer, const std::string& text) {
    return answer.err.starts_with("vaultgres: ") && answer.err.find(text) != std::string::npos;
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
  const std::string copy_ = directory_.file("copy.vg");
  const std::string file_ = directory_.file("shop.vgdump");
};

TEST_F(DumpProgramTest, ThroughAFileAndThroughAPipe) {
  const Answer dumped = run_program({"dump", database_, "--out", file_});
  ASSERT_EQ(dumped.code, 0) << dumped.err;
  EXPECT_NE(dumped.out.find("entries: 201; tables: 1, rows: 3; indexes: 1"), std::string::npos) << dumped.out;
  const std::string dump = read_file(file_);
  EXPECT_EQ(run_program({"dump", database_}).out, dump);
  const Answer loaded = run_program({"load", copy_, file_, "--json"});
  ASSERT_EQ(loaded.code, 0) << loaded.err;
  EXPECT_EQ(json::parse(loaded.out)["rows"], 3);
  EXPECT_EQ(json::parse(loaded.out)["bytes"], dump.size());
  EXPECT_EQ(run_program({"dump", copy_}).out, dump);
  EXPECT_EQ(run_program({"check", copy_}).code, 0);
  EXPECT_EQ(run_program({"get", copy_, "by_id", "3"}).code, 0);
  const std::string other = directory_.file("other.vg");
  ASSERT_EQ(run_program({"load", other, "-"}, dump).code, 0);
  EXPECT_EQ(run_program({"dump", other}).out, dump);
}

TEST_F(DumpProgramTest, OneTableBesideItself) {
  ASSERT_EQ(run_program({"dump", database_, "users", "--out", file_}).code, 0);
  const Answer taken = run_program({"load", database_, file_});
  EXPECT_EQ(taken.code, 5);
  EXPECT_TRUE(says(taken, "--into OLD=NEW")) << taken.err;
  ASSERT_EQ(run_program({"load", database_, file_, "--into", "users=old", "--into", "by_id=old_by_id"}).code, 0);
  EXPECT_EQ(run_program({"range", database_, "old_by_id"}).out, run_program({"range", database_, "by_id"}).out);
  EXPECT_EQ(run_program({"load", copy_, file_, "--into", "nobody=x"}).code, 6);
  for (const char* wrong : {"users", "=x", "users="}) {
    EXPECT_EQ(run_program({"load", copy_, file_, "--into", wrong}).code, 1) << wrong;
  }
}

TEST_F(DumpProgramTest, WhatCannotBeDumped) {
  const Answer missing = run_program({"dump", database_, "nobody", "--out", file_});
  EXPECT_EQ(missing.code, 6);
  EXPECT_TRUE(says(missing, "vaultgres tables")) << missing.err;
  EXPECT_FALSE(std::filesystem::exists(file_)) << "left behind";
  write_file(file_, "mine");
  EXPECT_EQ(run_program({"dump", database_, "--out", file_}).code, 5);
  EXPECT_EQ(read_file(file_), "mine");
  EXPECT_EQ(run_program({"dump", directory_.file("nothing.vg")}).code, 6);
  const Answer terminal = run_program_on_terminal({"dump", database_});
  EXPECT_EQ(terminal.code, 1);
}

TEST_F(DumpProgramTest, DamageIsNamedByItsPlace) {
  const std::string dump = run_program({"dump", database_}).out;
  write_file(file_, dump.substr(0, 1000));
  const Answer cut = run_program({"load", copy_, file_});
  EXPECT_EQ(cut.code, 2);
  EXPECT_TRUE(says(cut, "ends at byte 1000")) << cut.err;
  EXPECT_TRUE(says(cut, file_)) << cut.err;
  EXPECT_EQ(run_program({"maps", copy_}).out, "");
  std::string changed = dump;
  changed[dump.size() / 2] ^= 1;
  EXPECT_EQ(run_program({"load", copy_, "-"}, changed).code, 2);
  std::string newer = dump;
  newer[8] = 2;
  EXPECT_EQ(run_program({"load", copy_, "-"}, newer).code, 1);
  EXPECT_EQ(run_program({"load", copy_, directory_.file("no file")}).code, 6);
}

}  // namespace
}  // namespace vaultgres
