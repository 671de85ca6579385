// vaultgres salvage: what it says, and how it ends, on sound, damaged and hopeless databases.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/program_support.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using nlohmann::json;
class SalvageProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string commands;
    for (int i = 1000; i < 1600; ++i) commands += "put\tuser:" + std::to_string(i) + "\t" + std::string(60, 'v') + "\n";
    commands += "put\tlarge\t" + std::string(30'000, 'L') + "\n";
    ASSERT_EQ(run_program({"batch", database_, "m", "--relaxed"}, commands).code, 0);
    ASSERT_EQ(run_program({"import", database_, "users"}, "id,name\n1,Ada\n2,\n3,Grace\n").code, 0);
    ASSERT_EQ(run_program({"create-index", database_, "users", "by_id", "id", "--unique"}).code, 0);
    std::filesystem::remove(database_ + "/doublewrite.vg");  // it would heal
  }
  /// The first page of this type.
  std::uint64_t find(const std::string& type) {
    for (std::uint64_t page = 5; page < std::filesystem::file_size(data_) / kProgramPageBytes; ++page) {
      const json report = json::parse(run_program({"inspect", database_, std::to_string(page), "--json"}).out);
      if (report["header"]["type"] == type) return page;
    }
    ADD_FAILURE() << "no page of type " << type;
    return 0;
  }
  void ruin(std::uint64_t page) {
    std::string bytes = read_file(data_);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(page * kProgramPageBytes), kProgramPageBytes, '\x5A');
    write_file(data_, bytes);
  }
  Answer salvage(std::vector<std::string> options = {}) {
    std::filesystem::remove_all(fresh_);
    options.insert(options.begin(), {"salvage", database_, fresh_});
    return run_program(options);
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
  const std::string data_ = database_ + "/data.vg";
  const std::string fresh_ = directory_.file("rescued.vg");
};

TEST_F(SalvageProgramTest, ASoundDatabase) {
  const Answer answer = salvage();
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_NE(answer.out.find("map m: 601 entries"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("all was read"), std::string::npos) << answer.out;
  EXPECT_EQ(run_program({"dump", fresh_}).out, run_program({"dump", database_}).out);
  const Answer again = run_program({"salvage", database_, fresh_});
  EXPECT_EQ(again.code, 5) << again.out;
}

TEST_F(SalvageProgramTest, ADamagedLeaf) {
  const std::uint64_t leaf = find("leaf");
  ruin(leaf);
  const Answer text = salvage();
  EXPECT_EQ(text.code, 2);
  EXPECT_NE(text.out.find("page " + std::to_string(leaf) + " of "), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("  lost: the keys "), std::string::npos) << text.out;
  const Answer answer = salvage({"--json"});
  EXPECT_EQ(answer.code, 2);
  const json report = json::parse(answer.out);
  EXPECT_EQ(report["complete"], false);
  EXPECT_EQ(report["log"], "applied");
  EXPECT_EQ(report["damaged"][0]["page"], leaf);
  std::uint64_t losses = 0;
  for (const json& object : report["objects"]) losses += object["losses"].get<std::uint64_t>();
  EXPECT_EQ(losses, 1u);
  EXPECT_EQ(run_program({"check", fresh_}).code, 0);
}

TEST_F(SalvageProgramTest, WithoutCatalogAndSuperblocks) {
  for (const std::uint64_t page : {0u, 1u, 3u}) ruin(page);
  EXPECT_NE(run_program({"maps", database_}).code, 0);
  const Answer answer = salvage();
  EXPECT_EQ(answer.code, 2);
  EXPECT_NE(answer.out.find("the log could not be applied"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("601 entries"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("without its schema"), std::string::npos) << answer.out;
  EXPECT_EQ(run_program({"check", fresh_}).code, 0);
}

TEST_F(SalvageProgramTest, NothingToSalvage) {
  EXPECT_EQ(run_program({"salvage", directory_.file("nothing.vg"), fresh_}).code, 6);
  EXPECT_FALSE(std::filesystem::exists(fresh_));
  write_file(data_, std::string(20 * kProgramPageBytes, '\x11'));
  const Answer answer = salvage();
  EXPECT_EQ(answer.code, 2) << answer.out;
  EXPECT_NE(answer.err.find("no Vaultgres data file"), std::string::npos) << answer.err;
  EXPECT_EQ(salvage({"--cache-mib", "1"}).code, 1);
}

TEST_F(SalvageProgramTest, ADatabaseThatIsInUse) {
  Conversation holder({"batch", database_, "m"});
  EXPECT_EQ(holder.ask("get\tlarge").substr(0, 2), "va") << "open";
  EXPECT_EQ(salvage().code, 4);
  EXPECT_EQ(holder.finish(), 0);
}

}  // namespace
}  // namespace vaultgres
