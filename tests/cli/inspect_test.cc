// vaultgres inspect: what it says about pages of each kind, sound and damaged.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/inspect_report.h"
#include "cli/program_support.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using nlohmann::json;
class InspectTest : public ::testing::Test {
 protected:
  /// Enough entries for a tree of two levels, and one large value.
  void SetUp() override {
    std::string commands;
    for (int i = 1000; i < 1600; ++i) {
      commands += "put\tuser:" + std::to_string(i) + "\t" + std::string(40, 'v') + "\n";
    }
    commands += "put\tlarge\t" + std::string(30'000, 'L') + "\n";
    ASSERT_EQ(run_program({"batch", database_, "m", "--relaxed"}, commands).code, 0);
    pages_ = std::filesystem::file_size(data_) / kProgramPageBytes;
  }

  Answer inspect(std::uint64_t page, std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"inspect", database_, std::to_string(page)});
    return run_program(options);
  }
  json inspect_json(std::uint64_t page, std::vector<std::string> options = {}) {
    options.push_back("--json");
    return report_of(inspect(page, options));
  }
  /// The first page of this type that has entries or bytes; fails the test if there is none.
  std::uint64_t find(const std::string& type) {
    for (std::uint64_t page = 5; page < pages_; ++page) {
      if (inspect_json(page)["header"]["type"] == type) return page;
    }
    ADD_FAILURE() << "no page of type " << type;
    return 0;
  }
  void flip(std::uint64_t page, std::size_t byte) {
    std::string bytes = read_file(data_);
    bytes[page * kProgramPageBytes + byte] = static_cast<char>(bytes[page * kProgramPageBytes + byte] ^ 0x10);
    write_file(data_, bytes);
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
  const std::string data_ = database_ + "/data.vg";
  std::uint64_t pages_ = 0;
};

// Goal: superblocks with all fields, one of them the current one.
TEST_F(InspectTest, Superblocks) {
  int current = 0;
  for (const std::uint64_t page : {0u, 1u}) {
    const json report = inspect_json(page);
    EXPECT_EQ(report["pages"], pages_);
    EXPECT_EQ(report["superblock"]["magic"], "VAULTGS1");
    EXPECT_EQ(report["superblock"]["format_version"], 1);
    EXPECT_EQ(report["superblock"]["page_bytes"], kProgramPageBytes);
    EXPECT_EQ(report["superblock"]["database"].get<std::string>().size(), 32u);
    EXPECT_EQ(report["superblock"]["epochs"].size(), report["superblock"]["epoch_count"]);
    EXPECT_EQ(report["verdict"]["checksum"], "right");
    current += inspect(page).out.find("the superblock that counts") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(current, 1);
}

// Goal: leaves and the internal node above them agree with what was put in.
TEST_F(InspectTest, TreeNodes) {
  const std::uint64_t root = find("internal");
  const json internal = inspect_json(root, {"--all"});
  EXPECT_EQ(internal["node"]["level"], 1);
  EXPECT_EQ(internal["header"]["flags"], json::array({"root"}));
  ASSERT_EQ(internal["entries"].size(), internal["node"]["count"]);
  std::uint64_t entries = 0;
  for (const json& entry : internal["entries"]) {
    const json leaf = inspect_json(entry["child"], {"--all"});
    EXPECT_EQ(leaf["header"]["type"], "leaf");
    EXPECT_EQ(leaf["node"]["low_fence"], entry["key"]);
    entries += leaf["entries"].size();
    for (const json& item : leaf["entries"]) {
      if (item["key"] == "large") {
        EXPECT_EQ(item["value"]["bytes"], 30'000);
        EXPECT_EQ(inspect_json(item["value"]["overflow_page"])["header"]["type"], "overflow");
      } else {
        EXPECT_EQ(item["value"], std::string(40, 'v'));
      }
    }
  }
  EXPECT_EQ(entries, 601u);
}

// Goal: a drawing shows the ends of a long node and says how much it leaves out; --all leaves out nothing.
TEST_F(InspectTest, Drawing) {
  const json internal = inspect_json(find("internal"), {"--all"});
  const std::uint64_t leaf = internal["entries"].back()["child"];
  const std::uint64_t count = inspect_json(leaf)["node"]["count"];
  ASSERT_GT(count, 16u);
  EXPECT_EQ(inspect_json(leaf)["entries"].size(), 16u);
  const std::string drawing = inspect(leaf).out;
  EXPECT_NE(drawing.find("… " + std::to_string(count - 16) + " more"), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("user:1599"), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("fill "), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("sound: checksum right, structure in order"), std::string::npos) << drawing;
  EXPECT_EQ(inspect(leaf, {"--all"}).out.find(" more, which"), std::string::npos);
}

// Goal: the bitmap says that the first pages are in use, and no more than the file has.
TEST_F(InspectTest, Bitmap) {
  const json report = inspect_json(2);
  EXPECT_EQ(report["header"]["type"], "bitmap");
  EXPECT_EQ(report["bitmap"]["first_page"], 0);
  EXPECT_EQ(report["bitmap"]["pages"], pages_);
  EXPECT_EQ(report["runs"][0]["first"], 0);
  EXPECT_GE(report["runs"][0]["last"], 4);
  EXPECT_LE(report["bitmap"]["allocated"], pages_);
}

// Goal: the hexdump is the page's bytes.
TEST_F(InspectTest, Hexdump) {
  const std::string page = read_file(data_).substr(0, kProgramPageBytes);
  const std::string hex = inspect_json(0, {"--hex"})["hex"];
  ASSERT_EQ(hex.size(), 2 * kProgramPageBytes);
  for (std::size_t i = 0; i < kProgramPageBytes; ++i) {
    ASSERT_EQ(std::stoi(hex.substr(2 * i, 2), nullptr, 16), static_cast<unsigned char>(page[i]));
  }
  const std::string drawing = inspect(0, {"--hex"}).out;
  EXPECT_NE(drawing.find("VAULTGS1"), std::string::npos);
  EXPECT_NE(drawing.find("\n*\n001ff0 "), std::string::npos) << drawing;
}

// Goal: a flipped bit is a wrong checksum and exit code 2; check names the page, too.
TEST_F(InspectTest, DamagedPage) {
  const json internal = inspect_json(find("internal"), {"--all"});
  const std::uint64_t leaf = internal["entries"][1]["child"];
  flip(leaf, 4000);
  const Answer answer = inspect(leaf);
  EXPECT_EQ(answer.code, 2);
  EXPECT_NE(answer.out.find("DAMAGED: checksum wrong"), std::string::npos) << answer.out;
  const Answer check = run_program({"check", database_});
  EXPECT_EQ(check.code, 2) << check.out << check.err;
  EXPECT_NE(check.out.find("page " + std::to_string(leaf) + " of "), std::string::npos) << check.out;
  const Answer checked = run_program({"check", database_, "--json"});
  EXPECT_EQ(checked.code, 2);
  EXPECT_EQ(json::parse(checked.out)["sound"], false);
}

// Goal: a database that does not open can still be looked at, without its superblocks even.
TEST_F(InspectTest, WithoutSuperblocks) {
  const std::uint64_t leaf = find("leaf");
  flip(0, 60);
  EXPECT_EQ(inspect_json(0)["verdict"]["checksum"], "wrong");
  EXPECT_EQ(inspect_json(leaf)["verdict"]["checksum"], "right");
  flip(1, 60);
  EXPECT_EQ(run_program({"check", database_}).code, 2);
  const json report = inspect_json(leaf);
  EXPECT_EQ(report["verdict"]["checksum"], "unknown");
  EXPECT_EQ(report["verdict"]["structure"], "in order");
}

// Goal: random damage, anywhere on a page of any kind: an answer, JSON that parses, never a crash.
TEST_F(InspectTest, RandomDamage) {
  TestRandom random;
  const std::string sound = read_file(data_);
  const std::uint64_t kinds[] = {0, 2, find("internal"), find("leaf"), find("overflow")};
  for (std::uint64_t round = 0; round < scaled(60); ++round) {
    std::string bytes = sound;
    const std::uint64_t page = kinds[random.uniform(std::size(kinds))];
    const std::size_t reach = random.one_in(2) ? 130 : kProgramPageBytes;  // headers, or anywhere
    for (std::uint64_t change = random.between(1, 40); change > 0; --change) {
      bytes[page * kProgramPageBytes + random.uniform(reach)] = static_cast<char>(random.next());
    }
    write_file(data_, bytes);
    inspect_json(page, {"--all"});
    const Answer drawing = inspect(page, {"--all"});
    ASSERT_TRUE(drawing.code == 0 || drawing.code == 2) << drawing.code << drawing.err;
  }
}

// Goal: page numbers that are none, or beyond the end.
TEST_F(InspectTest, PageNumbers) {
  EXPECT_EQ(inspect(pages_).code, 6);
  EXPECT_EQ(run_program({"inspect", database_, "0x0"}).code, 0);
  for (const char* text : {"", "x", "1x", "0x", "99999999999", "1.5"}) {
    EXPECT_EQ(run_program({"inspect", database_, text}).code, 1) << text;
  }
}

}  // namespace
}  // namespace vaultgres
