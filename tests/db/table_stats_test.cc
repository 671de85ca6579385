// Goal: the statistics of tables and indexes are numbers that a known table must have; a lookup visits the pages that
// it needs and no other; what is pinned stays pinned.
#include <gtest/gtest.h>

#include <functional>

#include "catalog/catalog_entry.h"
#include "format/catalog.h"
#include "format/overflow.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class TableStatsTest : public PeopleTest {
 protected:
  static Options options() {
    Options options;
    options.cache_bytes = std::size_t{32} << 20;
    return options;
  }
  TableStatsTest() : PeopleTest(options()) {}
};

TEST_F(TableStatsTest, AnEmptyTable) {
  unique_id();
  const TableStats stats = *db_.table_stats("people");
  EXPECT_EQ(stats.name, "people");
  EXPECT_EQ(stats.rows, 0u);
  EXPECT_EQ(stats.ghosts, 0u);
  EXPECT_EQ(stats.moved_rows, 0u);
  EXPECT_EQ(stats.map_pages, 1u);
  EXPECT_EQ(stats.overflow_pages, 0u);
  const MapStats index = *db_.index_stats("by_id");
  EXPECT_EQ(index.name, "by_id");
  EXPECT_EQ(index.height, 1u);
  EXPECT_EQ(index.entries, 0u);
  EXPECT_ERROR(kNotFound, db_.table_stats("nobody"));
  EXPECT_ERROR(kNotFound, db_.index_stats("nobody"));
}

TEST_F(TableStatsTest, AKnownTable) {
  unique_id();
  cities();
  constexpr std::size_t kChainPages = 5;
  for (std::int64_t i = 0; i < 1000; ++i) {
    ASSERT_OK(people_.insert(person(i, i % 100 == 0 ? kChainPages * kPageBytes - kPageBytes / 2 : 50)));
  }
  const TableStats stats = *db_.table_stats("people");
  EXPECT_EQ(stats.rows, 1000u);
  EXPECT_EQ(stats.ghosts, 0u);
  EXPECT_EQ(stats.moved_rows, 0u);
  EXPECT_EQ(stats.overflow_pages, 10 * kChainPages);
  // A row of 50 bytes of data takes 50 to 100 with all that belongs to it.
  EXPECT_GE(stats.heap_pages, 990u * 50 / kPageBytes);
  EXPECT_LE(stats.heap_pages, 2 + 990u * 100 / (kPageBytes - 100));
  EXPECT_GE(stats.map_pages, 1u);
  EXPECT_GT(stats.heap_fill, 0.5);
  EXPECT_LE(stats.heap_fill, 1.0);
  const auto pages = static_cast<double>(stats.heap_pages + stats.map_pages + stats.overflow_pages);
  EXPECT_NEAR(stats.bytes_per_row, pages * static_cast<double>(kPageBytes) / 1000, 1.0);
  for (const char* name : {"by_id", "by_city"}) {
    const MapStats index = *db_.index_stats(name);
    EXPECT_EQ(index.entries, 1000u) << name;
    EXPECT_EQ(index.ghosts, 0u) << name;
    EXPECT_EQ(index.overflow_pages, 0u) << name;
    EXPECT_GE(index.height, 2u) << name;
    EXPECT_GT(index.leaf_fill, 0.3) << name;
  }
}

TEST_F(TableStatsTest, MovedAndErasedRowsAreCounted) {
  unique_id();
  fill(1, 300);
  const auto grown = static_cast<std::uint64_t>(rows_.size() / 2);
  std::uint64_t i = 0;
  for (auto& [id, row] : rows_) {
    if (++i > grown) break;
    row[3] = Value::bytes(std::string(kPageBytes / 5, 'g'));
    ASSERT_OK(people_.update(id, row));
  }
  const TableStats moved = *db_.table_stats("people");
  EXPECT_EQ(moved.rows, 300u);
  EXPECT_GT(moved.moved_rows, grown / 2);
  EXPECT_LE(moved.moved_rows, grown);
  expect_rows();
  for (const auto& [id, row] : rows_) ASSERT_TRUE(*people_.erase(id));
  rows_.clear();
  EXPECT_EQ(db_.table_stats("people")->rows, 0u);
  EXPECT_EQ(db_.index_stats("by_id")->entries, 0u);
  EXPECT_TRUE(comes_true([&] {
    const TableStats stats = *db_.table_stats("people");
    return stats.ghosts == 0 && stats.moved_rows == 0;
  })) << db_.table_stats("people")->ghosts
      << " ghosts stay";
  expect_rows();
}

class PagesVisitedTest : public TableStatsTest {
 protected:
  PagesVisited difference(const std::function<void()>& call) {
    const PagesVisited before = pages_visited();
    call();
    const PagesVisited after = pages_visited();
    return {after.tree - before.tree, after.heap - before.heap, after.overflow - before.overflow};
  }
};

TEST_F(PagesVisitedTest, AFindInAnIndexOfThreeLevelsIsFourPages) {
  Index by_data = *db_.create_index("by_data", "people", {.columns = {{"data"}}, .unique = true});
  TestRandom random;
  std::vector<Row> rows;
  while (db_.index_stats("by_data")->height < 3) {
    ASSERT_LT(rows.size(), 50000u);
    for (int i = 0; i < 200; ++i) {
      // Long keys: few in a leaf.
      rows.push_back(person(static_cast<std::int64_t>(rows.size())));
      rows.back()[3] = Value::bytes(random.word(kKeyBytesMax - 10));
      ASSERT_OK(people_.insert(rows.back()));
    }
  }
  ASSERT_OK(db_.checkpoint());
  for (int i = 0; i < 50; ++i) {
    const Row& row = rows[random.uniform(rows.size())];
    const PagesVisited visited = difference([&] {
      const auto found = by_data.find({row[3]});
      ASSERT_OK(found);
      ASSERT_TRUE(found->has_value());
      EXPECT_EQ((*found)->values, row);
    });
    EXPECT_EQ(visited.tree, 3u);
    EXPECT_EQ(visited.heap, 1u);
    EXPECT_EQ(visited.overflow, 0u);
  }
  const PagesVisited missed = difference([&] { EXPECT_FALSE(by_data.find({Value::bytes("no such")})->has_value()); });
  EXPECT_EQ(missed.heap, 0u);
}

TEST_F(PagesVisitedTest, AMovedRowIsTwoHeapPagesAndALargeOneItsChain) {
  unique_id();
  Index by_id = *db_.open_index("by_id");
  fill(1, 200);
  const RowId moved = by_id.find({1}).value()->id;
  ASSERT_OK(people_.update(moved, person(1, kPageBytes / 5)));
  ASSERT_EQ(db_.table_stats("people")->moved_rows, 1u);
  const RowId large = by_id.find({2}).value()->id;
  ASSERT_OK(people_.update(large, person(2, 3 * kPageBytes)));
  const std::uint64_t chain = db_.table_stats("people")->overflow_pages;
  EXPECT_EQ(difference([&] { ASSERT_OK(people_.get(moved)); }).heap, 2u);
  const PagesVisited visited = difference([&] { ASSERT_OK(people_.get(large)); });
  EXPECT_EQ(visited.heap, 1u);
  EXPECT_EQ(visited.overflow, chain);
  EXPECT_EQ(visited.tree, 0u);
  // Another thread's reads are its own.
  const PagesVisited own = difference([&] { std::thread([&] { ASSERT_OK(people_.get(moved)); }).join(); });
  EXPECT_EQ(own.heap, 0u);
}

}  // namespace
}  // namespace vaultgres
