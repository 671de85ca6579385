// Goal: databases that earlier builds have written are read, recovered and written on, with the content that they had.
//
// Method: the databases in vN.tar.zst, of each format version that can be read, unpacked by the build; what is in them
// stands beside them (README.md).
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/crc32c.h"
#include "format/superblock.h"
#include "listing_support.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/random.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The first line that differs, rather than both texts whole; empty: they are the same.
std::string difference(const Result<std::string>& listing, const std::string& expected) {
  if (!listing) return "error: " + std::string(listing.error().message());
  if (*listing == expected) return "";
  std::size_t at = 0;
  while (at < listing->size() && at < expected.size() && (*listing)[at] == expected[at]) ++at;
  const std::size_t line = at == 0 ? 0 : expected.rfind('\n', at - 1) + 1;
  const auto line_of = [&](const std::string& text) { return text.substr(line, text.find('\n', at) - line); };
  const auto number = 1 + std::count(expected.begin(), expected.begin() + static_cast<long>(line), '\n');
  return "line " + std::to_string(number) + " is\n" + line_of(*listing) + "\nand should be\n" + line_of(expected);
}

Result<Database> open_read_only(const fs::path& path) {
  Options options;
  options.read_only = true;
  return Database::open(path, options);
}

class GoldenTest : public ::testing::TestWithParam<const char*> {
 protected:
  fs::path golden() const { return fs::path(VG_GOLDEN_FOLDER) / GetParam(); }
  std::string listing() const { return read_text(golden().string() + ".txt"); }
  /// A copy that may be written to.
  fs::path copy() {
    const fs::path to = directory_.path() + "/db";
    fs::copy(golden(), to, fs::copy_options::recursive);
    return to;
  }
  CaseCount cases_{"R23"};

 private:
  TempDirectory directory_;
};

TEST_P(GoldenTest, IsReadWithoutWriting) {
  Result<Database> db = open_read_only(golden());
  ASSERT_OK(db);
  EXPECT_EQ(difference(list_database(*db), listing()), "");
  ASSERT_NO_FATAL_FAILURE(expect_sound(*db));
  ASSERT_OK(db->close());
  ++cases_;
}

// Dumps are kept for longer than databases: the same content gives the bytes that it gave when they were first written.
TEST_P(GoldenTest, IsDumpedAsEver) {
  Result<Database> db = open_read_only(golden());
  ASSERT_OK(db);
  std::uint32_t checksum = 0xFFFFFFFF;
  const auto summary = db->dump([&](std::string_view part) {
    checksum = crc32c(checksum, as_bytes(part));
    return Status();
  });
  ASSERT_OK(summary);
  EXPECT_EQ(checksum, std::string_view(GetParam()) == "v1/clean" ? 1205094255u : 1722410923u);
  ++cases_;
}

TEST_P(GoldenTest, IsWrittenOn) {
  const fs::path path = copy();
  {
    Result<Database> db = Database::open(path);
    ASSERT_OK(db);
    ASSERT_EQ(difference(list_database(*db), listing()), "");
    ASSERT_NO_FATAL_FAILURE(expect_sound(*db));
    // The new object's name comes last.
    ASSERT_OK(db->create_map("~ written on")->put("key", "value"));
    Table table = *db->open_table("no rows");
    const RowId id = *table.insert({1, {}, {}, {}, {}, "text", {}, {}, {}, "name", {}});
    ASSERT_TRUE(*db->open_index("of no rows")->find({"text"}));
    ASSERT_TRUE(*table.erase(id));
    ASSERT_OK(db->close());
  }
  Database db = *Database::open(path);
  ASSERT_EQ(*db.open_map("~ written on")->get("key"), "value");
  ASSERT_OK(db.drop_map("~ written on"));
  ASSERT_EQ(difference(list_database(db), listing()), "");
  ASSERT_NO_FATAL_FAILURE(expect_sound(db));
  ASSERT_OK(db.close());
  ++cases_;
}

// The version is looked at first: nothing else of such a file is known, its checksum neither.
TEST_P(GoldenTest, OfANewerVersionIsRefused) {
  const fs::path path = copy();
  {
    std::fstream file(path / "data.vg", std::ios::binary | std::ios::in | std::ios::out);
    for (const PageId page : kSuperblockPages) {
      file.seekp(static_cast<std::streamoff>(raw(page) * kPageBytes + offsetof(Superblock, format_version)));
      LittleU32 version;
      version.set(kFormatVersion + 1);
      file.write(reinterpret_cast<const char*>(&version), sizeof version);
    }
    ASSERT_TRUE(file.good());
  }
  const std::string newer = "format version " + std::to_string(kFormatVersion + 1);
  const std::string known = "reads version " + std::to_string(kFormatVersion);
  for (const bool read_only : {true, false}) {
    Options options;
    options.read_only = read_only;
    const Result<Database> db = Database::open(path, options);
    ASSERT_FALSE(db);
    EXPECT_EQ(db.error().code(), ErrorCode::kUnsupported);
    EXPECT_NE(db.error().message().find(newer), std::string_view::npos) << db.error().message();
    EXPECT_NE(db.error().message().find(known), std::string_view::npos) << db.error().message();
    ++cases_;
  }
}

// The test of the test: a byte of the listing, or of the database, is another one.
class GoldenControlTest : public GoldenTest {};

TEST_P(GoldenControlTest, AChangedByteIsNoticed) {
  TestRandom random;
  const std::string expected = listing();
  std::string changed = expected;
  changed[random.uniform(changed.size())] ^= 1;
  const fs::path path = copy();
  {
    Result<Database> db = open_read_only(path);
    ASSERT_OK(db);
    EXPECT_NE(difference(list_database(*db), changed), "");
  }
  const std::uint64_t bytes = fs::file_size(path / "data.vg");
  unsigned noticed = 0;
  for (int i = 0; i < 30; ++i) {
    std::fstream file(path / "data.vg", std::ios::binary | std::ios::in | std::ios::out);
    const auto at = static_cast<std::streamoff>(random.uniform(bytes));
    file.seekg(at);
    const char byte = static_cast<char>(file.get());
    file.seekp(at).put(static_cast<char>(byte ^ 0x10)).flush();
    Result<Database> db = open_read_only(path);
    noticed += !db || !difference(list_database(*db), expected).empty();  // not those of free pages
    file.seekp(at).put(byte);
    ASSERT_TRUE(file.good());
  }
  EXPECT_GT(noticed, 0u);
}

std::string name_of(const ::testing::TestParamInfo<const char*>& golden) {
  return std::string(golden.param).substr(3);
}
const auto kGolden = ::testing::Values("v1/clean", "v1/killed");
INSTANTIATE_TEST_SUITE_P(Version1, GoldenTest, kGolden, name_of);
INSTANTIATE_TEST_SUITE_P(Version1, GoldenControlTest, kGolden, name_of);

}  // namespace
}  // namespace vaultgres
