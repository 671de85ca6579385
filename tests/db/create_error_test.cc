// Goal: who asks for a new database and cannot have it is told where it was to be, why not, and what to do; not the
// names of files that only the making of a database knows.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/database.h"
#include "support/sim_file_system.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

std::string message_of(const Result<Database>& opened) {
  return opened ? "no error" : std::string(opened.error().message());
}

TEST(CreateErrorTest, AFullDisk) {
  SimFileSystem disk;
  disk.limit_space(16 * kPageBytes);
  const Result<Database> opened = open_on(disk, small_options(), "/shop");
  EXPECT_ERROR(kNoSpace, opened);
  const std::string message = message_of(opened);
  EXPECT_TRUE(message.starts_with("cannot create a database in /shop: ")) << message;
  EXPECT_NE(message.find("replaced when it is created again"), std::string::npos) << message;
  EXPECT_EQ(message.find("data.vg"), std::string::npos) << message;
  disk.limit_space(std::nullopt);
  Result<Database> again = open_on(disk, small_options(), "/shop");
  ASSERT_OK(again);
}

TEST(CreateErrorTest, NoPlaceForIt) {
  const TempDirectory directory;
  const std::string path = directory.file("missing") + "/shop";
  const std::string message = message_of(Database::open(path));
  EXPECT_TRUE(message.starts_with("cannot create a database in " + path + ": No such file or directory")) << message;
  EXPECT_NE(message.find("the directory that is to hold it must be there"), std::string::npos) << message;
  EXPECT_FALSE(std::filesystem::exists(directory.file("missing")));
}

// The file has another name while it is made.
TEST(CreateErrorTest, AnErrorOfADatabaseThatWasJustCreatedNamesItsFile) {
  SimFileSystem disk;
  Database db = *open_on(disk, small_options(), "/shop");
  Map map = *db.create_map("m");
  disk.limit_space(disk.used_bytes());
  Status put;
  for (int i = 0; put && i < 10'000; ++i) put = map.put(std::to_string(i), std::string(kPageBytes, 'v'));
  EXPECT_ERROR(kNoSpace, put);
  const std::string message(put ? "no error" : put.error().message());
  EXPECT_TRUE(message.starts_with("/shop/data.vg: ")) << message;
}

}  // namespace
}  // namespace vaultgres
