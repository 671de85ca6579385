// Goal: what was deleted leaves the leaves of a map, whoever died with the note of it, and its pages are given back;
// what stands beside the leaf and is damaged is not taken for a failure of the delete.
//
// Method: a registered snapshot keeps the collector from what a test deletes until the power is gone.
#include <gtest/gtest.h>

#include <set>

#include "db/core.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

MapStats stats_of(Database& db) {
  const Result<MapStats> stats = db.map_stats("m");
  EXPECT_TRUE(stats);
  return stats ? *stats : MapStats{};
}

constexpr int kEntries = 3000;

/// One transaction changes all entries.
Options options_of_the_writer() {
  Options options = small_options();
  options.cache_bytes = 16 << 20;
  return options;
}

/// What a power cut leaves of a map "m" whose entries were all deleted, and are ghosts.
std::unique_ptr<SimFileSystem> crash_with_ghosts(bool checkpoint) {
  SimFileSystem disk;
  const auto core = *internal::Core::open({&disk, nullptr, "/db"}, options_of_the_writer());
  Database db = internal::make_database(core);
  Map map = *db.create_map("m");
  for (int i = 0; i < kEntries; ++i) EXPECT_TRUE(map.put(numbered_key(i), std::string(20, 'v')));
  EXPECT_GT(stats_of(db).leaf_pages, 3u);
  const Engine& engine = core->engine();
  const auto hold = engine.snapshots.enter([&] { return newest_snapshot(engine); });
  Transaction txn = *db.begin();
  for (int i = 0; i < kEntries; ++i) EXPECT_TRUE(map.erase(txn, numbered_key(i)));
  EXPECT_TRUE(txn.commit());
  EXPECT_EQ(stats_of(db).ghosts, std::uint64_t{kEntries});
  if (checkpoint) {
    EXPECT_TRUE(db.checkpoint());
  }
  return disk.power_cut(disk.position(), PowerCut::kNone, 0);
}

/// Whatever `look` does until then.
template <class Look>
void expect_one_empty_leaf(Database& db, Look&& look) {
  EXPECT_TRUE(comes_true([&] {
    look();
    const MapStats stats = stats_of(db);
    return stats.ghosts == 0 && stats.leaf_pages == 1;
  })) << stats_of(db).ghosts
      << " ghosts, " << stats_of(db).leaf_pages << " leaves";
  expect_sound(db);
}

TEST(MapGhosts, DeletedShortlyBeforeACrash) {
  const auto after = crash_with_ghosts(false);
  Database db = *open_on(*after);
  expect_one_empty_leaf(db, [] {});
}

// Undo after the crash leaves a ghost of each key that was inserted.
TEST(MapGhosts, InsertedByATransactionThatACrashEnds) {
  SimFileSystem disk;
  std::unique_ptr<SimFileSystem> after;
  {
    Database db = *open_on(disk, options_of_the_writer());
    Map map = *db.create_map("m");
    ASSERT_OK(map.put("first", ""));
    Transaction txn = *db.begin();
    for (int i = 0; i < kEntries; ++i) ASSERT_OK(map.put(txn, numbered_key(i), std::string(20, 'v')));
    ASSERT_OK(db.sync());
    after = disk.power_cut(disk.position(), PowerCut::kNone, 0);
  }
  Database db = *open_on(*after);
  expect_one_empty_leaf(db, [] {});
}

// The next recovery does not read the records that would lead to them.
TEST(MapGhosts, WhoeverMeetsThemAfterASecondCrashSaysSo) {
  const auto after = crash_with_ghosts(true);
  Database db = *open_on(*after);
  const Map map = *db.open_map("m");
  EXPECT_EQ(stats_of(db).ghosts, std::uint64_t{kEntries});
  expect_one_empty_leaf(db, [&] { EXPECT_TRUE(content_of(map).empty()); });
}

/// The data file's page in which the bytes stand.
std::uint64_t page_with(File& data, const std::string& bytes) {
  std::string all(*data.size(), '\0');
  EXPECT_TRUE(data.read(0, std::as_writable_bytes(std::span(all))));
  const std::size_t at = all.find(bytes);
  EXPECT_NE(at, std::string::npos);
  return at / kPageBytes;
}

TEST(MapGhosts, AMergeThatMeetsADamagedNeighbourDoesNotFailTheDeleteNorTheClose) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    for (int i = 0; i < 40; ++i)
      ASSERT_OK(map.put(numbered_key(i), std::string(kPageBytes / 16, static_cast<char>('A' + i))));
    ASSERT_GT(stats_of(db).leaf_pages, 2u);
    ASSERT_OK(db.close());
  }
  std::set<int> gone;
  {
    const auto data = *disk.open("/db/data.vg", OpenMode::kReadWrite);
    const std::uint64_t first = page_with(*data, std::string(kPageBytes / 16, 'A'));
    const std::string in_the_middle(kPageBytes / 16, static_cast<char>('A' + 20));
    const std::uint64_t damaged = page_with(*data, in_the_middle);
    ASSERT_NE(first, damaged);
    for (int i = 0; i < 40; ++i) {
      if (page_with(*data, std::string(kPageBytes / 16, static_cast<char>('A' + i))) != damaged) gone.insert(i);
    }
    std::byte byte{0xEE};
    ASSERT_OK(data->write(damaged * kPageBytes + kPageBytes / 2, {&byte, 1}));
  }
  Database db = *open_on(disk);
  Map map = *db.open_map("m");
  ASSERT_FALSE(map.get(numbered_key(20))) << "the damage is found";
  for (const int i : gone) {
    const Result<bool> erased = map.erase(numbered_key(i));
    ASSERT_OK(erased);
    EXPECT_TRUE(*erased);
  }
  ASSERT_OK(db.close());
  Database again = *open_on(disk);
  EXPECT_EQ(*again.open_map("m")->get(numbered_key(0)), std::nullopt);
}

}  // namespace
}  // namespace vaultgres
