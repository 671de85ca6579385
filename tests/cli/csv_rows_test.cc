// Records as rows: the header's order, NULL, values, errors that name the column.
#include "cli/csv_rows.h"

#include <gtest/gtest.h>

namespace vaultgres::cli {
namespace {

using Fields = std::vector<CsvField>;

class CsvRowsTest : public ::testing::Test {
 protected:
  static Schema schema() {
    return *Schema::create({{"id", ColumnType::kInt32},
                            {"name", ColumnType::kText},
                            {"note", ColumnType::kText, true},
                            {"score", ColumnType::kDouble, true}});
  }
  static std::string error_of(const CsvRows& rows, const Fields& fields) {
    Row row;
    const Status parsed = rows.parse({1, fields}, row);
    return parsed ? "none" : std::string(parsed.error().message());
  }
};

// Goal: values of each kind; the memory of an earlier row does not shine through.
TEST_F(CsvRowsTest, Values) {
  const CsvRows rows(schema(), {});
  Row row;
  const Fields first = {{"7"}, {"Ada"}, {"x", true}, {"1.5"}};
  ASSERT_TRUE(rows.parse({1, first}, row));
  EXPECT_EQ(row, (Row{7, "Ada", "x", 1.5}));
  EXPECT_TRUE(row[1].is_view());
  const Fields second = {{"8"}, {"", true}, {""}, {""}};
  ASSERT_TRUE(rows.parse({2, second}, row));
  EXPECT_EQ(row, (Row{8, "", Value(), Value()}));
}

// Goal: without a null text, an empty field without quotes is NULL where that may be, else the empty text.
TEST_F(CsvRowsTest, EmptyIsNull) {
  const CsvRows rows(schema(), {});
  Row row;
  const Fields fields = {{"1"}, {""}, {"", true}, {""}};
  ASSERT_TRUE(rows.parse({1, fields}, row));
  EXPECT_EQ(row, (Row{1, "", "", Value()}));
  EXPECT_EQ(error_of(rows, {{""}, {"a"}, {""}, {""}}),
            "column \"id\": an empty field, and the column must not be NULL");
  EXPECT_EQ(error_of(rows, {{"1"}, {"a"}, {""}, {"", true}}), "column \"score\": \"\" is not a number");
}

// Goal: with a null text, that field without quotes is NULL, and an empty field is the empty text.
TEST_F(CsvRowsTest, NullText) {
  const CsvRows rows(schema(), "NA");
  Row row;
  const Fields fields = {{"1"}, {"NA", true}, {"NA"}, {"NA"}};
  ASSERT_TRUE(rows.parse({1, fields}, row));
  EXPECT_EQ(row, (Row{1, "NA", Value(), Value()}));
  const Fields empty = {{"1"}, {""}, {""}, {"NA"}};
  ASSERT_TRUE(rows.parse({1, empty}, row));
  EXPECT_EQ(row, (Row{1, "", "", Value()}));
  EXPECT_EQ(error_of(rows, {{"1"}, {"NA"}, {""}, {"1"}}), "column \"name\": NULL, and the column must not be NULL");
  EXPECT_EQ(error_of(rows, {{"1"}, {"a"}, {""}, {""}}), "column \"score\": \"\" is not a number");
}

// Goal: a header may have another order; every column once, and no other.
TEST_F(CsvRowsTest, Header) {
  CsvRows rows(schema(), {});
  const Fields header = {{"note"}, {"score"}, {"name", true}, {"id"}};
  ASSERT_TRUE(rows.set_header({1, header}));
  Row row;
  const Fields fields = {{"n"}, {"2"}, {"Ada"}, {"7"}};
  ASSERT_TRUE(rows.parse({2, fields}, row));
  EXPECT_EQ(row, (Row{7, "Ada", "n", 2.0}));
  const auto error = [](const Fields& names) {
    const Status set = CsvRows(schema(), {}).set_header({1, names});
    return set ? "none" : std::string(set.error().message());
  };
  EXPECT_EQ(error({{"id"}, {"name"}, {"note"}}), "the header does not name the column \"score\"");
  EXPECT_EQ(error({{"id"}, {"name"}, {"note"}, {"Score"}}),
            "the header names a column that the table does not have: \"Score\"");
  EXPECT_EQ(error({{"id"}, {"name"}, {"id"}, {"score"}}), "the header names a column twice: \"id\"");
}

// Goal: a wrong number of fields and a wrong value say so.
TEST_F(CsvRowsTest, Errors) {
  const CsvRows rows(schema(), {});
  EXPECT_EQ(error_of(rows, {{"1"}}), "1 field for 4 columns");
  EXPECT_EQ(error_of(rows, {{"1"}, {""}, {""}, {""}, {""}}), "5 fields for 4 columns");
  EXPECT_EQ(error_of(rows, {{"abc"}, {""}, {""}, {""}}), "column \"id\": \"abc\" is not an integer");
  EXPECT_EQ(error_of(rows, {{"3000000000"}, {""}, {""}, {""}}),
            "column \"id\": \"3000000000\" is out of range: int32 is -2147483648 to 2147483647");
}

}  // namespace
}  // namespace vaultgres::cli
