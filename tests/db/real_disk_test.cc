// Goal: what the tests on simulated disks show holds on the kernel's own file systems: a full one, one without direct
// I/O and without fallocate, a read-only one.
//
// Method: file systems in memory (tmpfs, ramfs), mounted for the test; skipped where that is not allowed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "btree/node.h"
#include "support/database.h"
#include "support/mount.h"
#include "support/random.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

Options options_of_test() {
  Options options = small_options();
  options.durability = Durability::kDurable;
  return options;
}

Options for_reading_only() {
  Options options = options_of_test();
  options.read_only = true;
  return options;
}

/// Puts random values, some of them large, until `refused_max` puts found no space.
void put_until_full(Map& map, Content& content, TestRandom& random, const std::string& place, unsigned refused_max) {
  for (unsigned refused = 0; refused < refused_max;) {
    ASSERT_LT(content.size(), 200000u) << "it never fills";
    const std::string key = random.word(8);
    const std::string value = random.bytes(random.one_in(5) ? 2 * kPageBytes : random.uniform(400));
    if (const Status done = map.put(key, value)) {
      content[key] = value;
    } else {
      ASSERT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
      EXPECT_NE(done.error().message().find(place), std::string::npos) << done.error().message();
      EXPECT_NE(done.error().message().find("No space left"), std::string::npos) << done.error().message();
      ++refused;
    }
  }
}

TEST(RealDiskTest, AFullFileSystemIsReadErasedFromAndWrittenAgainWhenItIsLarger) {
  Mount disk("tmpfs", "size=24m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  Watchdog watchdog("a full tmpfs", std::chrono::seconds(120));
  const std::string directory = disk.file("db");
  TestRandom random;
  Content content;
  {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.create_map("m");
    put_until_full(map, content, random, directory, 20);
    if (HasFatalFailure()) return;
    EXPECT_LT(disk.bytes_free(), kMiB);
    EXPECT_EQ(content_of(map), content);
    unsigned erased = 0;
    for (auto at = content.begin(); at != content.end() && erased < 400;) {
      if (random.one_in(3) || at->second.size() > inline_value_max(at->first.size())) {
        ++at;
        continue;
      }
      const Result<bool> gone = map.erase(at->first);
      ASSERT_OK(gone) << "after " << erased << " erases";
      ASSERT_TRUE(*gone);
      at = content.erase(at);
      ++erased;
    }
    EXPECT_EQ(content_of(map), content);
    expect_sound(db);
    ASSERT_EQ(disk.remount("size=48m"), "");
    for (int i = 0; i < 2000; ++i) {
      const std::string key = random.word(8);
      ASSERT_OK(map.put(key, std::string(3000, 'l')));
      content[key] = std::string(3000, 'l');
    }
    EXPECT_EQ(content_of(map), content);
    expect_sound(db);
    ASSERT_OK(db.close());
  }
  Database reopened = *Database::open(directory, options_of_test());
  EXPECT_EQ(content_of(*reopened.open_map("m")), content);
  expect_sound(reopened);
}

TEST(RealDiskTest, AFullFileSystemIsOpenedAgain) {
  const Mount disk("tmpfs", "size=12m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  Watchdog watchdog("a full tmpfs", std::chrono::seconds(120));
  const std::string directory = disk.file("db");
  TestRandom random;
  Content content;
  for (int round = 0; round < 4; ++round) {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.open_or_create_map("m");
    EXPECT_EQ(content_of(map), content) << "round " << round;
    put_until_full(map, content, random, directory, 3);
    if (HasFatalFailure()) return;
    for (int i = 0; i < 100; ++i) {
      const auto small = std::find_if(content.begin(), content.end(), [](const auto& entry) {
        return entry.second.size() <= inline_value_max(entry.first.size());
      });
      if (small == content.end()) break;
      ASSERT_OK(map.erase(small->first));
      content.erase(small);
    }
    expect_sound(db);
    ASSERT_OK(db.close());
  }
}

/// Whether the file system refuses direct I/O.
bool refuses_direct_io(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  const bool refused = descriptor < 0 && errno == EINVAL;
  if (descriptor >= 0) ::close(descriptor);
  std::filesystem::remove(path);
  return refused;
}

TEST(RealDiskTest, AFileSystemWithoutDirectIoAndFallocateServesAsWell) {
  const Mount disk("ramfs", "");
  VG_SKIP_UNLESS_MOUNTED(disk);
  if (!refuses_direct_io(disk.file("probe"))) GTEST_SKIP() << "ramfs takes direct I/O on this kernel";
  const std::string directory = disk.file("db");
  TestRandom random;
  Content content;
  for (int round = 0; round < 3; ++round) {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.open_or_create_map("m");
    EXPECT_EQ(content_of(map), content) << "round " << round;
    for (int i = 0; i < 1500; ++i) {
      const std::string key = random.word(4);
      if (random.one_in(4)) {
        ASSERT_OK(map.erase(key));
        content.erase(key);
        continue;
      }
      const std::string value = random.bytes(random.one_in(20) ? 3 * kPageBytes : random.uniform(300));
      ASSERT_OK(map.put(key, value));
      content[key] = value;
    }
    ASSERT_OK(db.checkpoint());
    EXPECT_EQ(content_of(map), content);
    expect_sound(db);
    ASSERT_OK(db.close());
    EXPECT_ERROR(kNotFound, Database::open(disk.file("other"), for_reading_only()));
  }
  Database for_reading = *Database::open(directory, for_reading_only());
  EXPECT_EQ(content_of(*for_reading.open_map("m")), content);
  expect_sound(for_reading);
}

TEST(RealDiskTest, CreationThatFindsNoSpaceIsRepeatedWhenThereIsSome) {
  bool refused = false;
  bool made = false;
  for (std::uint64_t kib = 64; !made; kib = kib * 5 / 4) {
    ASSERT_LT(kib, 64u << 10);
    Mount disk("tmpfs", "size=" + std::to_string(kib) + "k");
    VG_SKIP_UNLESS_MOUNTED(disk);
    const std::string directory = disk.file("db");
    for (int i = 0; i < 3; ++i) {
      Result<Database> opened = Database::open(directory, options_of_test());
      made = opened.has_value();
      if (made) break;
      refused = true;
      EXPECT_EQ(opened.error().code(), ErrorCode::kNoSpace) << kib << " KiB: " << opened.error().message();
      EXPECT_NE(opened.error().message().find(directory), std::string::npos) << opened.error().message();
    }
    ASSERT_EQ(disk.remount("size=32m"), "");
    Result<Database> opened = Database::open(directory, options_of_test());
    ASSERT_OK(opened) << " after an attempt in " << kib << " KiB";
    Map map = *opened->create_map("m");
    for (int i = 0; i < 300; ++i) ASSERT_OK(map.put(std::to_string(i), std::string(300, 'v')));
    expect_sound(*opened);
    ASSERT_OK(opened->close());
  }
  EXPECT_TRUE(refused);
}

TEST(RealDiskTest, AReadOnlyMountIsReadAndNeverWrittenTo) {
  Mount disk("tmpfs", "size=24m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  const std::string directory = disk.file("db");
  {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.create_map("m");
    for (int i = 0; i < 300; ++i) ASSERT_OK(map.put(std::to_string(i), std::string(300, 'v')));
    ASSERT_OK(db.close());
  }
  ASSERT_EQ(disk.remount("size=24m", true), "");
  const Result<Database> for_writing = Database::open(directory, options_of_test());
  ASSERT_FALSE(for_writing);
  EXPECT_EQ(for_writing.error().os_error(), EROFS) << for_writing.error().message();
  const Result<Database> fresh = Database::open(disk.file("new"), options_of_test());
  ASSERT_FALSE(fresh);
  EXPECT_EQ(fresh.error().os_error(), EROFS) << fresh.error().message();
  EXPECT_NE(fresh.error().message().find(disk.file("new")), std::string::npos) << fresh.error().message();
  {
    Database for_reading = *Database::open(directory, for_reading_only());
    EXPECT_EQ(content_of(*for_reading.open_map("m")).size(), 300u);
    EXPECT_ERROR(kReadOnly, for_reading.open_map("m")->put("k", "v"));
    expect_sound(for_reading);
  }
  ASSERT_EQ(disk.remount("size=24m"), "");
  ASSERT_OK(Database::open(directory, options_of_test()));
}

}  // namespace
}  // namespace vaultgres
