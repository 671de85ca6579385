// Goal: rows are what was put in, whatever their types and sizes; a place belongs to its row as long as the row lives,
// and room is used again after that. One thread, against a std::map from places to rows.
#include <gtest/gtest.h>

#include "catalog/random_values_support.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class TableRowsTest : public PeopleTest {};

TEST_F(TableRowsTest, RowsOfEveryTypeAreWhatWasInserted) {
  TestRandom random;
  SimFileSystem disk;
  std::optional<Database> db(*open_on(disk));
  std::map<std::string, Rows> expected;
  for (int t = 0; t < 12; ++t) {
    const std::string name = "t" + std::to_string(t);
    Table table = *db->create_table(name, random_schema(random, 1 + random.uniform(20)));
    Rows& rows = expected[name];
    for (int i = 0; i < 60; ++i) {
      const Row row = random_row(random, table.schema());
      const Result<RowId> id = table.insert(row);
      ASSERT_OK(id);
      ASSERT_TRUE(rows.emplace(*id, row).second) << "a place was given twice";
      EXPECT_EQ(**table.get(*id), row);
    }
    EXPECT_EQ(rows_of(table), rows);
    EXPECT_EQ(*table.count(), rows.size());
  }
  db.reset();
  db.emplace(*open_on(disk));
  for (const auto& [name, rows] : expected) EXPECT_EQ(rows_of(*db->open_table(name)), rows) << name;
  expect_sound(*db);
}

TEST_F(TableRowsTest, WhatIsNoRowOfTheTableIsRefused) {
  fill(1, 3);
  const RowId id = rows_.begin()->first;
  const std::vector<Row> wrong = {{},
                                  {1, "name", 2},
                                  {1, "name", 2, Value::bytes("x"), 3},
                                  {Value(), "name", 2, Value()},
                                  {"1", "name", 2, Value()},
                                  {1, Value::bytes("name"), 2, Value()},
                                  {1, "name", std::int64_t{1} << 31, Value()},
                                  {1, "name", 2, "text"},
                                  {1.0, "name", 2, Value()}};
  for (const Row& row : wrong) {
    EXPECT_ERROR(kInvalidArgument, people_.insert(row));
    EXPECT_ERROR(kInvalidArgument, people_.update(id, row));
  }
  Transaction txn = *db_.begin();
  EXPECT_ERROR(kInvalidArgument, people_.insert(txn, wrong[0]));
  EXPECT_ERROR(kInvalidArgument, people_.update(txn, id, wrong[0]));
  const Result<RowId> added = people_.insert(txn, person(4));
  ASSERT_OK(added);
  ASSERT_OK(txn.commit()) << "a refused row leaves the transaction as it was";
  rows_[*added] = person(4);
  expect_rows();
}

TEST_F(TableRowsTest, PlacesWithoutARowHaveNone) {
  unique_id();
  ASSERT_OK(db_.create_map("map"));
  fill(1, 100);
  const RowId erased = rows_.begin()->first;
  ASSERT_TRUE(*people_.erase(erased));
  rows_.erase(erased);
  std::vector<RowId> places = {erased, {0, 0}, {1, 0}, {0xFFFFFFFF, 0xFFFF}, {1000000, 3}, {erased.page, 60000}};
  for (std::uint32_t page = 0; page < db_.stats()->pages + 3; ++page) {
    for (const std::uint16_t slot : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{65535}}) {
      if (!rows_.contains({page, slot})) places.push_back({page, slot});
    }
  }
  for (const RowId place : places) {
    const auto row = people_.get(place);
    ASSERT_OK(row);
    EXPECT_FALSE(row->has_value()) << text_of(place);
    EXPECT_ERROR(kNotFound, people_.update(place, person(1))) << text_of(place);
    EXPECT_ERROR(kNotFound, people_.update(place, person(1, 3 * kPageBytes))) << text_of(place);
    const auto gone = people_.erase(place);
    ASSERT_OK(gone);
    EXPECT_FALSE(*gone) << text_of(place);
  }
  expect_rows();
}

TEST_F(TableRowsTest, ARowKeepsItsPlaceWhileItGrowsBeyondItsPageAndShrinksAgain) {
  TestRandom random;
  unique_id();
  cities();
  fill(1, 120);
  std::vector<RowId> ids;
  for (const auto& [id, row] : rows_) ids.push_back(id);
  const std::uint64_t updates = scaled(3000);
  for (std::uint64_t i = 0; i < updates; ++i) {
    const RowId id = ids[random.uniform(ids.size())];
    Row row = rows_[id];
    row[2] = static_cast<std::int32_t>(random.uniform(7));
    const std::uint64_t choice = random.uniform(10);
    row[3] = choice == 0   ? Value()
             : choice == 1 ? Value::bytes(random.bytes(kPageBytes / 4 + random.uniform(2 * kPageBytes)))
             : choice < 5  ? Value::bytes(random.bytes(random.uniform(kPageBytes / 4)))
                           : Value::bytes(random.bytes(random.uniform(40)));
    ASSERT_OK(people_.update(id, row));
    rows_[id] = row;
    const auto found = people_.get(id);
    ASSERT_OK(found);
    ASSERT_EQ(*found, row) << text_of(id) << ", update " << i;
    if (i % 1000 == 999) expect_rows();
  }
  EXPECT_GT(db_.table_stats("people")->moved_rows, 0u) << "no row ever moved";
  expect_rows();
  for (const RowId id : ids) {
    rows_[id][3] = Value();
    ASSERT_OK(people_.update(id, rows_[id]));
  }
  expect_rows();
  for (const RowId id : ids) ASSERT_TRUE(*people_.erase(id));
  rows_.clear();
  expect_rows();
}

TEST_F(TableRowsTest, RowsOfAllSizesUpToSomeMegabytes) {
  TestRandom random;
  unique_id();
  std::vector<std::size_t> sizes = {0, 1, std::size_t{1} << 20, (std::size_t{3} << 20) + 17};
  for (const std::size_t around : {kPageBytes / 4, kPageBytes / 2, kPageBytes, 2 * kPageBytes, 10 * kPageBytes}) {
    for (std::size_t bytes = around - 60; bytes <= around + 5; bytes += 5) sizes.push_back(bytes);
  }
  sizes.push_back(std::size_t{70000});  // where lengths no longer fit in 16 bits
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    Row row = person(static_cast<std::int64_t>(i));
    row[3] = Value::bytes(random.bytes(sizes[i]));
    const Result<RowId> id = people_.insert(row);
    ASSERT_OK(id);
    rows_[*id] = row;
    ASSERT_EQ(**people_.get(*id), row) << sizes[i] << " bytes";
  }
  expect_rows();
  for (auto& [id, row] : rows_) {  // every size to another one
    row[3] = Value::bytes(random.bytes(sizes[random.uniform(sizes.size())]));
    ASSERT_OK(people_.update(id, row));
  }
  expect_rows();
}

TEST_F(TableRowsTest, RandomOperationsEqualAMapFromPlaces) {
  TestRandom random;
  unique_id();
  cities();
  std::vector<RowId> ids;
  std::int64_t next_id = 0;
  const std::uint64_t operations = scaled(12000);
  for (std::uint64_t i = 0; i < operations; ++i) {
    const std::uint64_t choice = random.uniform(10);
    const std::size_t bytes = random.one_in(60) ? random.uniform(3 * kPageBytes) : random.uniform(150);
    if (choice < 4 || ids.empty()) {
      const Row row = person(++next_id, bytes);
      const Result<RowId> id = people_.insert(row);
      ASSERT_OK(id);
      ASSERT_TRUE(rows_.emplace(*id, row).second) << "the place of a living row was given away";
      ids.push_back(*id);
      continue;
    }
    const std::size_t which = random.uniform(ids.size());
    const RowId id = ids[which];
    if (choice < 6) {
      const Row row = person(++next_id, bytes);
      ASSERT_OK(people_.update(id, row));
      rows_[id] = row;
    } else if (choice < 9) {
      const Result<bool> erased = people_.erase(id);
      ASSERT_OK(erased);
      ASSERT_TRUE(*erased);
      rows_.erase(id);
      ids[which] = ids.back();
      ids.pop_back();
    } else {
      const auto row = people_.get(id);
      ASSERT_OK(row);
      ASSERT_EQ(*row, rows_[id]);
    }
    if (i % 4000 == 0) expect_rows();
  }
  expect_rows();
}

TEST_F(TableRowsTest, AScanEndsWhoeverInsertsForEachOfItsRows) {
  fill(1, 500);
  const std::uint64_t before = rows_.size();
  TableScan scan = people_.scan();
  std::int64_t seen = 0;
  std::int64_t next_id = 1000;
  while (*scan.next()) {
    ASSERT_LT(++seen, 20000) << "the scan follows the rows that are inserted because of it";
    for (int copy = 0; copy < 2; ++copy) {
      const Row row = person(next_id++);
      const Result<RowId> id = people_.insert(row);
      ASSERT_OK(id);
      rows_[*id] = row;
    }
  }
  EXPECT_GE(static_cast<std::uint64_t>(seen), before);
  expect_rows();
}

TEST_F(TableRowsTest, RoomOfErasedRowsIsUsedAgain) {
  unique_id();
  cities();
  std::uint64_t pages = 0;
  std::uint64_t used = 0;
  for (std::int64_t round = 0; round < 20; ++round) {
    for (std::int64_t i = 0; i < 500; ++i) {
      const Result<RowId> id = people_.insert(person(round * 1000 + i, i % 100 == 0 ? 3 * kPageBytes : 80));
      ASSERT_OK(id);
      rows_[*id] = {};
    }
    if (round == 2) used = pages_in_use(db_);
    for (const auto& [id, row] : rows_) ASSERT_TRUE(*people_.erase(id));
    rows_.clear();
    // What was erased is purged in the background.
    EXPECT_TRUE(comes_true([&] { return db_.table_stats("people")->ghosts == 0; })) << "ghosts stay";
    if (round == 2) pages = db_.stats()->pages;
  }
  EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) <= used; })) << pages_in_use(db_) << " of " << used;
  // Large values and leaves of the round before may still be in use when the next one begins.
  EXPECT_LE(db_.stats()->pages, 2 * pages) << "the file grows although there is room";
  expect_rows();
}

}  // namespace
}  // namespace vaultgres
