// Goal: tables and indexes are made, listed, renamed and dropped as their header says, schemas of any size survive, and
// handles outlive what they stand for. Their rows: table_rows_test.cc.
#include <gtest/gtest.h>

#include "catalog/random_values_support.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class TableTest : public PeopleTest {};

TEST_F(TableTest, TablesAndIndexesAreCreatedListedRenamedAndDropped) {
  Index by_id = unique_id();
  cities();
  fill(1, 50);
  ASSERT_EQ(db_.tables()->size(), 1u);
  EXPECT_EQ(db_.tables()->front().name, "people");
  EXPECT_EQ(db_.tables()->front().schema, people_schema());
  ASSERT_EQ(db_.indexes()->size(), 2u);
  EXPECT_EQ(by_id.name(), "by_id");
  EXPECT_EQ(by_id.table_name(), "people");
  EXPECT_EQ(by_id.schema(), people_schema());
  EXPECT_EQ(by_id.spec(), (IndexSpec{.columns = {{"id"}}, .unique = true}));

  ASSERT_OK(db_.rename_table("people", "persons"));
  EXPECT_ERROR(kNotFound, db_.open_table("people"));
  EXPECT_EQ(db_.open_table("persons")->name(), "persons");
  EXPECT_EQ(db_.open_index("by_id")->table_name(), "persons");
  EXPECT_EQ(db_.indexes("persons")->size(), 2u);
  EXPECT_ERROR(kNotFound, db_.indexes("people"));
  EXPECT_EQ(*people_.count(), 50u) << "a handle stays with its table";
  ASSERT_OK(people_.insert(person(51)));
  EXPECT_TRUE(by_id.find({51})->has_value());

  ASSERT_OK(db_.rename_index("by_id", "persons_by_id"));
  EXPECT_ERROR(kNotFound, db_.open_index("by_id"));
  EXPECT_TRUE(db_.open_index("persons_by_id")->find({51})->has_value());
  ASSERT_OK(db_.create_table("people", people_schema()));
  EXPECT_ERROR(kAlreadyExists, db_.rename_table("persons", "people"));
  EXPECT_ERROR(kAlreadyExists, db_.rename_index("persons_by_id", "by_city"));
  EXPECT_ERROR(kNotFound, db_.rename_table("nobody", "x"));
  EXPECT_ERROR(kNotFound, db_.rename_index("nobody", "x"));

  ASSERT_OK(db_.drop_index("by_city"));
  EXPECT_ERROR(kNotFound, db_.open_index("by_city"));
  EXPECT_EQ(db_.indexes("persons")->size(), 1u);
  ASSERT_OK(people_.insert(person(52))) << "an insert after one index of two went";
  expect_agreement(db_, *db_.open_table("persons"));
  ASSERT_OK(db_.drop_table("persons"));
  EXPECT_ERROR(kNotFound, db_.open_index("persons_by_id")) << "an index goes with its table";
  EXPECT_ERROR(kNotFound, db_.drop_table("persons"));
  EXPECT_TRUE(db_.indexes()->empty());
  EXPECT_EQ(db_.tables()->size(), 1u);
  expect_sound(db_);
}

TEST_F(TableTest, AllObjectsShareOneSpaceOfNames) {
  unique_id();
  ASSERT_OK(db_.create_map("map"));
  for (const char* taken : {"people", "by_id", "map"}) {
    EXPECT_ERROR(kAlreadyExists, db_.create_map(taken)) << taken;
    EXPECT_ERROR(kAlreadyExists, db_.create_table(taken, people_schema())) << taken;
    EXPECT_ERROR(kAlreadyExists, db_.load_table(taken, people_schema())) << taken;
    EXPECT_ERROR(kAlreadyExists, db_.create_index(taken, "people", {.columns = {{"city"}}, .unique = false})) << taken;
  }
  EXPECT_ERROR(kAlreadyExists, db_.rename_map("map", "people"));
  EXPECT_ERROR(kAlreadyExists, db_.rename_table("people", "by_id"));
  EXPECT_ERROR(kAlreadyExists, db_.rename_index("by_id", "map"));
  // What is of another kind is not found.
  for (const char* other : {"by_id", "map"}) {
    EXPECT_ERROR(kNotFound, db_.open_table(other)) << other;
    EXPECT_ERROR(kNotFound, db_.drop_table(other)) << other;
    EXPECT_ERROR(kNotFound, db_.rename_table(other, "x")) << other;
    EXPECT_ERROR(kNotFound, db_.table_stats(other)) << other;
    EXPECT_ERROR(kNotFound, db_.create_index("x", other, {.columns = {{"id"}}, .unique = false})) << other;
  }
  for (const char* other : {"people", "map"}) {
    EXPECT_ERROR(kNotFound, db_.open_index(other)) << other;
    EXPECT_ERROR(kNotFound, db_.drop_index(other)) << other;
    EXPECT_ERROR(kNotFound, db_.rename_index(other, "x")) << other;
    EXPECT_ERROR(kNotFound, db_.index_stats(other)) << other;
  }
  for (const char* other : {"people", "by_id"}) {
    EXPECT_ERROR(kNotFound, db_.open_map(other)) << other;
    EXPECT_FALSE(db_.open_or_create_map(other)) << other;
    EXPECT_ERROR(kNotFound, db_.drop_map(other)) << other;
    EXPECT_ERROR(kNotFound, db_.rename_map(other, "x")) << other;
  }
  EXPECT_EQ(db_.maps()->size(), 1u);
  EXPECT_ERROR(kInvalidArgument, db_.create_table("", people_schema()));
  EXPECT_ERROR(kInvalidArgument, db_.create_table("a\nb", people_schema()));
  EXPECT_ERROR(kInvalidArgument, db_.create_table(std::string(kMaxNameBytes + 1, 'n'), people_schema()));
  EXPECT_ERROR(kInvalidArgument, db_.create_index("", "people", {.columns = {{"id"}}, .unique = false}));
  EXPECT_ERROR(kNotFound, db_.create_index("x", "nobody", {.columns = {{"id"}}, .unique = false}));
  expect_sound(db_);
}

TEST_F(TableTest, IndexesOverColumnsThatAreNoneAreRefused) {
  EXPECT_ERROR(kInvalidArgument, db_.create_index("x", "people", {.columns = {}, .unique = false}));
  EXPECT_ERROR(kInvalidArgument, db_.create_index("x", "people", {.columns = {{"age"}}, .unique = false}));
  EXPECT_ERROR(kInvalidArgument, db_.create_index("x", "people", {.columns = {{"id"}, {"id", true}}, .unique = false}));
  std::vector<Column> columns;
  IndexSpec spec;
  for (int i = 0; i < 33; ++i) {
    columns.push_back({"c" + std::to_string(i), ColumnType::kInt16, true});
    spec.columns.push_back({columns.back().name, i % 2 == 0});
  }
  Table wide = *db_.create_table("wide", *Schema::create(columns));
  EXPECT_ERROR(kInvalidArgument, db_.create_index("x", "wide", spec));
  EXPECT_TRUE(db_.indexes()->empty());
  spec.columns.pop_back();
  ASSERT_OK(db_.create_index("x", "wide", spec));
  TestRandom random;
  for (int i = 0; i < 200; ++i) ASSERT_OK(wide.insert(random_row(random, wide.schema())));
  EXPECT_EQ(expect_agreement(db_, wide).size(), 200u);
}

TEST_F(TableTest, SchemasOfOneAndOfAThousandColumnsSurviveReopening) {
  SimFileSystem disk;
  std::vector<Column> columns;
  for (std::size_t i = 0; i < kMaxColumns; ++i) {
    const std::string number = std::to_string(i);
    columns.push_back({std::string(200, 'c') + number, kAllTypes[i % kAllTypes.size()], i % 3 == 0});
  }
  const Schema wide_schema = *Schema::create(columns);
  const Schema narrow_schema = *Schema::create({{"only", ColumnType::kBool, true}});
  const IndexSpec spec{.columns = {{columns[2].name, true}, {columns[995].name}}, .unique = false};
  TestRandom random;
  Rows wide_rows;
  Rows narrow_rows;
  {
    Database db = *open_on(disk);
    Table wide = *db.create_table("wide", wide_schema);
    Table narrow = *db.create_table("narrow", narrow_schema);
    ASSERT_OK(db.create_index("wide_index", "wide", spec));
    for (int i = 0; i < 20; ++i) {
      const Row row = random_row(random, wide_schema);
      wide_rows[*wide.insert(row)] = row;
      const Row small = random_row(random, narrow_schema);
      narrow_rows[*narrow.insert(small)] = small;
    }
    ASSERT_OK(db.create_table("dropped", wide_schema));
    ASSERT_OK(db.drop_table("dropped"));
    ASSERT_OK(db.rename_table("wide", "wider"));
    expect_sound(db);
  }
  Database db = *open_on(disk);
  Table wide = *db.open_table("wider");
  EXPECT_EQ(wide.schema(), wide_schema);
  EXPECT_EQ(db.open_index("wide_index")->spec(), spec);
  EXPECT_EQ(expect_agreement(db, wide), wide_rows);
  EXPECT_EQ(db.open_table("narrow")->schema(), narrow_schema);
  EXPECT_EQ(rows_of(*db.open_table("narrow")), narrow_rows);
  EXPECT_ERROR(kNotFound, db.open_table("dropped"));
  expect_sound(db);
}

TEST_F(TableTest, ADroppedTableGivesItsPagesBack) {
  const std::uint64_t before = pages_in_use(db_);
  unique_id();
  cities();
  for (int i = 0; i < 1500; ++i) ASSERT_OK(people_.insert(person(i, i % 60 == 0 ? 4 * kPageBytes : 60)));
  ASSERT_OK(db_.drop_table("people"));
  expect_sound(db_);
  EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) <= before; })) << pages_in_use(db_) << " of " << before;
  expect_sound(db_);
}

TEST_F(TableTest, HandlesOfADroppedTableSaySo) {
  Index by_id = unique_id();
  fill(1, 10);
  RowCursor cursor = by_id.range();
  TableScan scan = people_.scan();
  const RowId id = rows_.begin()->first;
  ASSERT_OK(db_.drop_table("people"));
  EXPECT_ERROR(kNotFound, people_.insert(person(11)));
  EXPECT_ERROR(kNotFound, people_.update(id, person(11)));
  EXPECT_ERROR(kNotFound, people_.erase(id));
  EXPECT_ERROR(kNotFound, people_.get(id));
  EXPECT_ERROR(kNotFound, people_.count());
  EXPECT_ERROR(kNotFound, by_id.find({1}));
  EXPECT_ERROR(kNotFound, cursor.next());
  EXPECT_ERROR(kNotFound, scan.next());
  EXPECT_FALSE(cursor.valid());
  EXPECT_FALSE(scan.valid());
  EXPECT_EQ(people_.name(), "people");
}

TEST_F(TableTest, AHandleOfADroppedIndexSaysSo) {
  Index by_id = unique_id();
  fill(1, 10);
  ASSERT_OK(db_.drop_index("by_id"));
  EXPECT_ERROR(kNotFound, by_id.find({1}));
  EXPECT_ERROR(kNotFound, by_id.range().next());
  ASSERT_OK(people_.insert(person(1))) << "the dropped index was unique";
  expect_sound(db_);
}

TEST_F(TableTest, CallsAfterCloseSayClosed) {
  Index by_id = unique_id();
  fill(1, 10);
  const RowId id = rows_.begin()->first;
  Transaction txn = *db_.begin();
  ASSERT_OK(people_.insert(txn, person(11)));
  RowCursor cursor = by_id.range();
  TableScan scan = people_.scan();
  TableLoad load = *db_.load_table("loaded", people_schema());
  ASSERT_OK(load.add(person(1)));
  ASSERT_OK(db_.close());
  EXPECT_ERROR(kClosed, people_.insert(person(12)));
  EXPECT_ERROR(kClosed, people_.insert(txn, person(12)));
  EXPECT_ERROR(kClosed, people_.update(id, person(12)));
  EXPECT_ERROR(kClosed, people_.erase(id));
  EXPECT_ERROR(kClosed, people_.get(id));
  EXPECT_ERROR(kClosed, people_.count());
  EXPECT_ERROR(kClosed, by_id.find({1}));
  EXPECT_ERROR(kClosed, cursor.next());
  EXPECT_ERROR(kClosed, scan.next());
  EXPECT_ERROR(kClosed, load.add(person(2)));
  EXPECT_ERROR(kClosed, load.finish());
  EXPECT_ERROR(kClosed, txn.commit());
  EXPECT_ERROR(kClosed, db_.create_table("x", people_schema()));
  EXPECT_ERROR(kClosed, db_.load_table("x", people_schema()));
  EXPECT_ERROR(kClosed, db_.tables());
  EXPECT_ERROR(kClosed, db_.set_pinned("people", true));
}

}  // namespace
}  // namespace vaultgres
