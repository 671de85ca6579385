// Goal: an index made of a table that has rows holds exactly these; one that cannot be made leaves nothing; a dropped
// one gives its pages back.
#include <gtest/gtest.h>

#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class IndexBuildTest : public PeopleTest {};

TEST_F(IndexBuildTest, AnIndexOfAFullTableHoldsItsRows) {
  TestRandom random;
  for (int i = 0; i < 3000; ++i) {
    const Row row{i, random.one_in(5) ? Value() : Value(random.word(random.uniform(6))),
                  static_cast<std::int32_t>(random.uniform(50)),
                  Value::bytes(random.bytes(random.one_in(200) ? 2 * kPageBytes : random.uniform(60)))};
    rows_[*people_.insert(row)] = row;
  }
  for (auto it = rows_.begin(); it != rows_.end();) {  // moved rows and ghosts among them
    if (random.one_in(10)) {
      ASSERT_TRUE(*people_.erase(it->first));
      it = rows_.erase(it);
      continue;
    }
    if (random.one_in(10)) {
      it->second[3] = Value::bytes(random.bytes(kPageBytes / 5));
      ASSERT_OK(people_.update(it->first, it->second));
    }
    ++it;
  }
  unique_id();
  cities();
  ASSERT_OK(db_.create_index("many", "people", {.columns = {{"name", true}, {"city"}, {"id"}}, .unique = true}));
  expect_rows();
  for (const auto& [id, row] : Rows(rows_)) {
    if (random.one_in(2)) continue;
    ASSERT_TRUE(*people_.erase(id));
    rows_.erase(id);
  }
  fill(10000, 10500);
  expect_rows();
}

TEST_F(IndexBuildTest, AUniqueIndexOfATableWithDuplicatesIsRefusedAndLeavesNothing) {
  fill(1, 2000);
  unique_id();
  expect_rows();
  const std::uint64_t before = pages_in_use(db_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_ERROR(kDuplicateKey, db_.create_index("u", "people", {.columns = {{"name"}}, .unique = true}));
    EXPECT_ERROR(kNotFound, db_.open_index("u"));
    EXPECT_EQ(db_.indexes()->size(), 1u);
  }
  expect_rows();
  EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) <= before; })) << pages_in_use(db_) << " of " << before;
  fill(3000, 3100);
  expect_rows();
  ASSERT_OK(db_.create_index("u", "people", {.columns = {{"name"}, {"id"}}, .unique = true}));
  expect_rows();
}

TEST_F(IndexBuildTest, ATooLongKeyInTheTableRefusesTheIndex) {
  fill(1, 10);
  const Result<RowId> id = people_.insert(person(11, kKeyBytesMax));
  ASSERT_OK(id);
  EXPECT_ERROR(kTooLarge, db_.create_index("x", "people", {.columns = {{"data"}}, .unique = false}));
  EXPECT_TRUE(db_.indexes()->empty());
  rows_[*id] = person(11, kKeyBytesMax);
  expect_rows();
}

TEST_F(IndexBuildTest, ADroppedIndexGivesItsPagesBack) {
  fill(1, 2000);
  const std::uint64_t before = pages_in_use(db_);
  for (int round = 0; round < 3; ++round) {
    unique_id();
    cities();
    expect_rows();
    ASSERT_OK(db_.drop_index("by_city"));
    ASSERT_OK(db_.drop_index("by_id"));
  }
  EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) <= before; })) << pages_in_use(db_) << " of " << before;
  expect_rows();
}

}  // namespace
}  // namespace vaultgres
