// Goal: a pinned map's pages leave the cache last, and it is pinned until that is changed, also when the database has
// been closed, or its process killed, and opened again. Method: a hot map of a fifth of the cache is read, then random
// entries of a map many times the cache; how many of the hot pages have to be read from the disk afterwards?
#include <gtest/gtest.h>

#include <cstdio>

#include "support/database.h"
#include "support/random.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

constexpr std::size_t kCacheBytes = std::size_t{2} << 20;
constexpr std::size_t kFrames = kCacheBytes / kPageBytes;
constexpr std::size_t kValueBytes = kPageBytes / 8;
constexpr std::uint64_t kPerLeaf = 6;
constexpr std::uint64_t kHot = kFrames / 5 * kPerLeaf;
constexpr std::uint64_t kCold = kFrames * 5 * kPerLeaf;

Options options() {
  Options options = small_options();
  options.cache_bytes = kCacheBytes;
  return options;
}

std::string nine_digits(std::uint64_t i) {
  char text[32];
  std::snprintf(text, sizeof text, "%09llu", static_cast<unsigned long long>(i));
  return text;
}

void fill_map(Database& db, const std::string& name, std::uint64_t count) {
  MapLoad load = *db.load_map(name);
  for (std::uint64_t i = 0; i < count; ++i) ASSERT_OK(load.add(nine_digits(i), std::string(kValueBytes, 'v')));
  ASSERT_OK(load.finish());
}

/// Of the hot map's pages, in per cent of those that it has: how many were gone.
double loads_after_others(Database& db) {
  const Map hot = *db.open_map("hot");
  const Map cold = *db.open_map("cold");
  std::string value;
  const auto read_hot = [&] {
    for (std::uint64_t i = 0; i < kHot; ++i) EXPECT_TRUE(hot.get(nine_digits(i), value));
  };
  read_hot();
  TestRandom random;
  for (std::size_t i = 0; i < 3 * kFrames; ++i) EXPECT_TRUE(cold.get(nine_digits(random.uniform(kCold)), value));
  const std::uint64_t before = pages_visited().loaded;
  read_hot();
  return 100.0 * static_cast<double>(pages_visited().loaded - before) / (kHot / kPerLeaf);
}

TEST(PinnedTest, StaysPinnedAcrossReopening) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk, options());
    fill_map(db, "hot", kHot);
    fill_map(db, "cold", kCold);
    EXPECT_ERROR(kNotFound, db.set_pinned("no such map", true));
    ASSERT_OK(db.close());
  }
  const auto reopened = [&] {
    Database db = *open_on(disk, options());
    return loads_after_others(db);
  };
  const double never = reopened();
  {
    Database db = *open_on(disk, options());
    ASSERT_OK(db.set_pinned("hot", true));
    ASSERT_OK(db.set_pinned("hot", true));  // once more changes nothing
  }
  const double pinned = reopened();
  double after_kill = 0;
  {
    const auto killed = disk.killed(disk.position());
    Database db = *open_on(*killed, options());
    after_kill = loads_after_others(db);
    // A new name is still that of a pinned map.
    ASSERT_OK(db.rename_map("hot", "other"));
    ASSERT_OK(db.rename_map("other", "hot"));
    EXPECT_LT(loads_after_others(db), 20.0);
  }
  {
    Database db = *open_on(disk, options());
    ASSERT_OK(db.set_pinned("hot", false));
  }
  const double unpinned = reopened();
  std::printf("hot pages read again: never pinned %.0f %%, pinned %.0f %%, after a kill %.0f %%, unpinned %.0f %%\n",
              never, pinned, after_kill, unpinned);
  EXPECT_GT(never, 50.0);
  EXPECT_LT(pinned, 20.0);
  EXPECT_LT(after_kill, 20.0);
  EXPECT_GT(unpinned, 50.0);
}

}  // namespace
}  // namespace vaultgres
