// Goal: opening is safe however the last process ended, however often, and whoever else opens at the same time.
#include <gtest/gtest.h>

#include <thread>

#include "support/database.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

// Each unclean end adds a log epoch to the superblock, which has room for sixteen.
TEST(OpenTest, FortyUncleanEndsInARowDoNotMakeItUnopenable) {
  auto disk = std::make_unique<SimFileSystem>();
  Content expected;
  for (int round = 0; round < 40; ++round) {
    std::unique_ptr<SimFileSystem> killed;
    {
      Result<Database> db = open_on(*disk);
      ASSERT_OK(db);
      Result<Map> map = db->open_or_create_map("m");
      ASSERT_OK(map);
      ASSERT_OK(map->put("k" + std::to_string(round), "v"));
      expected["k" + std::to_string(round)] = "v";
      disk->settle();
      killed = disk->killed();
    }
    disk = std::move(killed);
  }
  Result<Database> db = open_on(*disk);
  ASSERT_OK(db);
  EXPECT_EQ(content_of(*db->open_map("m")), expected);
  expect_sound(*db);
}

// A failed open must leave the log as it is: what was acknowledged is there afterwards.
TEST(OpenTest, AnOpenThatFailsHalfWayLosesNothing) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    for (int i = 0; i < 200; ++i) ASSERT_OK(map.put("k" + std::to_string(i), std::string(100, 'v')));
    disk.settle();
    const auto killed = disk.killed();
    unsigned failed = 0;
    for (std::uint64_t k = 1; k < 60; ++k) {
      killed->clear_faults();
      killed->inject({.call = IoCall::kRead, .at = k, .os_error = 5});
      if (!open_on(*killed)) ++failed;
    }
    EXPECT_GT(failed, 0u);
    killed->clear_faults();
    Result<Database> after = open_on(*killed);
    ASSERT_OK(after);
    EXPECT_EQ(*after->open_map("m")->count(), 200u);
    expect_sound(*after);
  }
}

TEST(OpenTest, ALogWithoutItsDataFileIsNotTakenForAnEmptyDirectory) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    ASSERT_OK(db.create_map("m"));
  }
  ASSERT_TRUE(disk.rename("/db/data.vg", "/data.vg"));
  EXPECT_ERROR(kCorruption, open_on(disk));
  ASSERT_TRUE(disk.rename("/data.vg", "/db/data.vg"));
  Database db = *open_on(disk);
  EXPECT_EQ(db.maps()->size(), 1u);
}

// Of several that create the same database at once, one has it; the others are told, and harm nothing.
TEST(OpenTest, ThoseWhoCreateItAtTheSameTimeDoNotDestroyEachOther) {
  for (int round = 0; round < 20; ++round) {
    SimFileSystem disk;
    std::atomic<int> have{0};
    std::atomic<int> wrong{0};
    std::vector<std::optional<Database>> opened(4);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        Result<Database> db = open_on(disk);
        if (!db) return;
        have.fetch_add(1);
        if (!db->create_map("m" + std::to_string(t))) wrong.fetch_add(1);
        opened[t].emplace(*std::move(db));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(have.load(), 1);
    EXPECT_EQ(wrong.load(), 0);
    opened.clear();
    Result<Database> db = open_on(disk);
    ASSERT_OK(db);
    EXPECT_EQ(db->maps()->size(), static_cast<std::size_t>(have.load()));
    expect_sound(*db);
  }
}

}  // namespace
}  // namespace vaultgres
