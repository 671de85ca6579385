// Goal: full index scans over data ten times the cache leave the hit rate of lookups in a hot set of half the cache
// where it was without them, within five percentage points; and that is owed to the hints: without them it falls.
//
// Method: one thread scans an index, rows included, and looks up a hot row after every so many rows: the same on every
// machine. Without hints a page that is looked up less often than the cache turns over is evicted by the scan.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "io/memory_file_system.h"
#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

/// A smaller test has a smaller cache, of no fewer pages than give its hit rates a meaning.
std::size_t cache_bytes() {
  constexpr std::size_t kMin = std::max(std::size_t{256} << 10, 64 * kPageBytes);
  return std::clamp<std::size_t>(scaled(std::uint64_t{2} << 20), kMin, std::size_t{2} << 20);
}
constexpr std::size_t kRowBytes = kPageBytes / 24;
constexpr int kRowsPerLookup = 400;
/// The first scans only fill the cache.
constexpr std::uint64_t kScansBefore = 2;
std::uint64_t scans() {
  return kScansBefore + std::clamp<std::uint64_t>(scaled(8), 4, 8);
}

class HotSet {
 public:
  HotSet(const Index& index, std::int64_t first, std::int64_t rows) : index_(index), first_(first), rows_(rows) {}

  void look_up() {
    const auto id = first_ + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(rows_));
    const PagesVisited before = pages_visited();
    const auto found = index_.find({id});
    const PagesVisited after = pages_visited();
    ASSERT_OK(found);
    ASSERT_TRUE(found->has_value());
    visits_ += after.tree - before.tree + after.heap - before.heap;
    loads_ += after.loaded - before.loaded;
  }
  /// In percent, since the last call.
  double hit_rate() {
    const double rate = 100.0 * (1.0 - static_cast<double>(loads_) / static_cast<double>(visits_));
    visits_ = loads_ = 0;
    return rate;
  }

 private:
  const Index& index_;
  const std::int64_t first_;
  const std::int64_t rows_;
  std::mt19937_64 random_{7};
  std::uint64_t visits_ = 0;
  std::uint64_t loads_ = 0;
};

struct Rates {
  double alone = 0;
  double beside_scans = 0;
};

void measure(Rates& rates) {
  auto files = make_memory_file_system();
  Options options = small_options();
  options.cache_bytes = cache_bytes();
  const auto rows_in_cache = static_cast<std::int64_t>(options.cache_bytes / kRowBytes);
  const std::int64_t rows = 10 * rows_in_cache;
  auto db = open_on(*files, options);
  ASSERT_OK(db);
  auto schema = Schema::create({{"id", ColumnType::kInt64}, {"text", ColumnType::kText}});
  ASSERT_OK(schema);
  auto load = db->load_table("t", *schema);
  ASSERT_OK(load);
  const std::string text(kRowBytes - 24, 'x');
  for (std::int64_t id = 0; id < rows; ++id) ASSERT_OK(load->add({id, text}));
  ASSERT_OK(load->finish());
  auto index = db->create_index("by_id", "t", {{{"id"}}, true});
  ASSERT_OK(index);
  ASSERT_OK(db->checkpoint());

  // Its heap pages are nearly half the cache, the rest is for the pages of the index above them.
  HotSet hot(*index, rows / 3, rows_in_cache * 45 / 100);
  constexpr int kLookups = 4000;
  for (int i = 0; i < kLookups; ++i) hot.look_up();
  hot.hit_rate();
  for (int i = 0; i < kLookups; ++i) hot.look_up();
  rates.alone = hot.hit_rate();
  std::int64_t scanned = 0;
  for (std::uint64_t scan = 0; scan < scans(); ++scan) {
    if (scan == kScansBefore) hot.hit_rate();
    RowCursor cursor = index->range();
    for (;;) {
      const auto more = cursor.next();
      ASSERT_OK(more);
      if (!*more) break;
      if (++scanned % kRowsPerLookup == 0) hot.look_up();
    }
  }
  rates.beside_scans = hot.hit_rate();
}

TEST(ScanResistanceTest, ScansLeaveTheHotSetInTheCache) {
  Rates rates;
  measure(rates);
  std::printf("hit rate of lookups alone %.1f %%, beside scans %.1f %%\n", rates.alone, rates.beside_scans);
  EXPECT_GT(rates.alone, 90.0);
  EXPECT_GE(rates.beside_scans, rates.alone - 5.0);
}

TEST(ScanResistanceTest, WithoutHintsTheyDoNot) {
  internal::ignore_hints_in_tests.store(true);
  Rates rates;
  measure(rates);
  internal::ignore_hints_in_tests.store(false);
  std::printf("without hints: alone %.1f %%, beside scans %.1f %%\n", rates.alone, rates.beside_scans);
  EXPECT_LT(rates.beside_scans, rates.alone - 5.0);
}

}  // namespace
}  // namespace vaultgres
