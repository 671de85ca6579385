// Goal: a load gives the table with all its rows or nothing at all: no name, no rows, no pages.
#include <gtest/gtest.h>

#include <barrier>
#include <set>
#include <thread>

#include "support/disk_fixture.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class TableLoadTest : public DatabaseOnDiskTest {
 protected:
  static Row row_of(std::int64_t i) {
    return person(i, i % 97 == 0 ? 2 * kPageBytes + static_cast<std::size_t>(i) : static_cast<std::size_t>(i % 150));
  }
  static void add_rows(TableLoad& load, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) ASSERT_OK(load.add(row_of(i)));
    EXPECT_EQ(load.rows(), static_cast<std::uint64_t>(count));
  }
  static void expect_loaded(Database& db, const std::string& name, std::int64_t count) {
    Result<Table> table = db.open_table(name);
    ASSERT_OK(table);
    const Rows rows = expect_agreement(db, *table);
    ASSERT_EQ(rows.size(), static_cast<std::size_t>(count));
    std::set<std::int64_t> ids;
    for (const auto& [place, row] : rows) {
      const std::int64_t id = row[0].integer();
      ASSERT_EQ(row, row_of(id));
      ASSERT_TRUE(ids.insert(id).second);
      ASSERT_LT(id, count);
      const auto found = table->get(place);
      ASSERT_OK(found);
      ASSERT_EQ(*found, row);
    }
    expect_sound(db);
  }
};

TEST_F(TableLoadTest, ALoadedTableIsLikeAnyOther) {
  const auto count = static_cast<std::int64_t>(scaled(20000));
  {
    TableLoad load = *db_->load_table("t", people_schema());
    add_rows(load, count);
    EXPECT_ERROR(kNotFound, db_->open_table("t")) << "the name comes with finish()";
    EXPECT_TRUE(db_->tables()->empty());
    Result<Table> table = load.finish();
    ASSERT_OK(table);
    EXPECT_EQ(table->name(), "t");
    EXPECT_EQ(table->schema(), people_schema());
    EXPECT_FALSE(load.finish()) << "a second time";
    EXPECT_FALSE(load.add(row_of(1)));
  }
  expect_loaded(*db_, "t", count);
  ASSERT_OK(db_->create_index("by_id", "t", {.columns = {{"id"}}, .unique = true}));
  expect_loaded(*db_, "t", count);
  reopen();
  expect_loaded(*db_, "t", count);
  Table table = *db_->open_table("t");
  Index by_id = *db_->open_index("by_id");
  EXPECT_ERROR(kDuplicateKey, table.insert(row_of(5)));
  TestRandom random;
  for (int i = 0; i < 500; ++i) {
    const auto id = static_cast<std::int64_t>(random.uniform(static_cast<std::uint64_t>(count)));
    const auto found = by_id.find({id});
    ASSERT_OK(found);
    if (!found->has_value()) continue;
    if (random.one_in(2)) {
      ASSERT_TRUE(*table.erase((*found)->id));
    } else {
      ASSERT_OK(table.update((*found)->id, person(id, random.uniform(kPageBytes / 3))));
    }
  }
  expect_agreement(*db_, table);
  expect_sound(*db_);
  ASSERT_OK(db_->drop_table("t"));
  expect_given_back(20);
}

TEST_F(TableLoadTest, TheNewTableSurvivesAPowerCutAfterFinish) {
  TableLoad load = *db_->load_table("t", people_schema());
  add_rows(load, 500);
  ASSERT_OK(load.finish());
  for (const PowerCut mode : {PowerCut::kNone, PowerCut::kAll, PowerCut::kTorn}) {
    const auto after = disk_.power_cut(disk_.position(), mode, 1);
    Database db = *open_on(*after);
    expect_loaded(db, "t", 500);
  }
}

TEST_F(TableLoadTest, NoRowsMakeAnEmptyTable) {
  TableLoad load = *db_->load_table("t", people_schema());
  Table table = *load.finish();
  EXPECT_EQ(*table.count(), 0u);
  ASSERT_OK(table.insert(person(1)));
  EXPECT_EQ(*table.count(), 1u);
  expect_sound(*db_);
}

TEST_F(TableLoadTest, WithoutFinishNothingStays) {
  const std::uint64_t before = pages_in_use(*db_);
  for (const std::int64_t rows : {0, 1, 3000}) {
    {
      TableLoad load = *db_->load_table("t", people_schema());
      add_rows(load, rows);
      expect_sound(*db_);
      if (rows == 1) {  // a move takes it along
        TableLoad other = std::move(load);
        ASSERT_OK(other.add(row_of(1)));
      }
    }
    EXPECT_ERROR(kNotFound, db_->open_table("t"));
    expect_given_back(before);
  }
  ASSERT_OK(db_->create_table("t", people_schema()));
}

TEST_F(TableLoadTest, ALoadThatClosingInterruptsLeavesNothing) {
  const std::uint64_t before = pages_in_use(*db_);
  {
    TableLoad load = *db_->load_table("t", people_schema());
    add_rows(load, 2000);
    ASSERT_OK(db_->close());
  }
  reopen();
  EXPECT_TRUE(db_->tables()->empty());
  expect_given_back(before);
}

// Whoever comes first rolls the load back; the other one touches nothing of it, nor of what closing takes away.
TEST_F(TableLoadTest, ALoadMayEndWhileClosingInterruptsIt) {
  for (std::uint64_t round = 0; round < scaled(20); ++round) {
    Database db = *Database::open_in_memory(small_options());
    std::optional<TableLoad> load(*db.load_table("t", people_schema()));
    add_rows(*load, 3);
    std::barrier start(2);
    std::thread ending([&] {
      start.arrive_and_wait();
      load.reset();
    });
    start.arrive_and_wait();
    EXPECT_EQ(test_text(db.close()), "");
    ending.join();
  }
}

TEST_F(TableLoadTest, ARefusedRowDoesNotEndTheLoad) {
  TableLoad load = *db_->load_table("t", people_schema());
  ASSERT_OK(load.add(row_of(0)));
  EXPECT_ERROR(kInvalidArgument, load.add({}));
  EXPECT_ERROR(kInvalidArgument, load.add({"x", Value(), Value(), Value()}));
  ASSERT_OK(load.add(row_of(1)));
  EXPECT_EQ(load.rows(), 2u);
  ASSERT_OK(load.finish());
  expect_loaded(*db_, "t", 2);
}

TEST_F(TableLoadTest, WhoTakesTheNameMeanwhileKeepsIt) {
  const std::uint64_t before = pages_in_use(*db_);
  {
    TableLoad load = *db_->load_table("t", people_schema());
    add_rows(load, 1000);
    Map map = *db_->create_map("t");
    ASSERT_OK(map.put("k", "v"));
    EXPECT_ERROR(kAlreadyExists, load.finish());
  }
  EXPECT_EQ(**db_->open_map("t")->get("k"), "v");
  ASSERT_OK(db_->drop_map("t"));
  expect_given_back(before);
}

TEST_F(TableLoadTest, TwoLoadsAtOnceAndOthersAtWork) {
  TableLoad one = *db_->load_table("one", people_schema());
  TableLoad two = *db_->load_table("two", people_schema());
  Map map = *db_->create_map("m");
  for (std::int64_t i = 0; i < 1500; ++i) {
    ASSERT_OK(one.add(row_of(i)));
    ASSERT_OK(two.add(row_of(i)));
    if (i % 10 == 0) {
      ASSERT_OK(map.put(std::to_string(i), "v"));
    }
    if (i == 700) {
      ASSERT_OK(db_->checkpoint());
    }
  }
  ASSERT_OK(two.finish());
  ASSERT_OK(one.finish());
  expect_loaded(*db_, "one", 1500);
  expect_loaded(*db_, "two", 1500);
}

}  // namespace
}  // namespace vaultgres
