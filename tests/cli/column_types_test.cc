// Columns as text, and types guessed from fields.
#include "cli/column_types.h"

#include <gtest/gtest.h>

namespace vaultgres::cli {
namespace {

std::string error_of(std::string_view text) {
  const Result<Schema> parsed = parse_schema(text);
  return parsed ? "none" : std::string(parsed.error().message());
}

// Goal: names, types and `null`, however the blanks stand; what is printed is read back.
TEST(ColumnTypesTest, ParseAndPrint) {
  const Result<Schema> parsed = parse_schema(
      " id int64,name text null ,\"a b\" double,\"say \"\"x, y\"\"\" bool null,\n d date, t timestamp,\tb bytes , s "
      "int16, "
      "i int32");
  ASSERT_TRUE(parsed) << parsed.error().message();
  const std::vector<Column> expected = {{"id", ColumnType::kInt64},   {"name", ColumnType::kText, true},
                                        {"a b", ColumnType::kDouble}, {"say \"x, y\"", ColumnType::kBool, true},
                                        {"d", ColumnType::kDate},     {"t", ColumnType::kTimestamp},
                                        {"b", ColumnType::kBytes},    {"s", ColumnType::kInt16},
                                        {"i", ColumnType::kInt32}};
  EXPECT_EQ(parsed->columns(), expected);
  const std::string printed = schema_text(*parsed);
  EXPECT_EQ(printed,
            "id int64, name text null, \"a b\" double, \"say \"\"x, y\"\"\" bool null, d date, t timestamp, b bytes, "
            "s int16, i int32");
  const Result<Schema> again = parse_schema(printed);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *parsed);
}

// Goal: each mistake is named, with the number of the column.
TEST(ColumnTypesTest, ParseErrors) {
  EXPECT_TRUE(error_of("").starts_with("column 1: it has no name"));
  EXPECT_TRUE(error_of("a int64,").starts_with("column 2: it has no name"));
  EXPECT_TRUE(error_of("a int64,,b text").starts_with("column 2: it has no name"));
  EXPECT_TRUE(error_of("\"\" int64").starts_with("column 1: it has no name"));
  EXPECT_TRUE(error_of("a").starts_with("column 1: \"a\" has no type"));
  EXPECT_TRUE(error_of("a int64, b, c text").starts_with("column 2: \"b\" has no type"));
  EXPECT_TRUE(error_of("a integer")
                  .starts_with("column 1: \"integer\" is no type; there are int16 int32 int64 double "
                               "bool text bytes date timestamp"));
  EXPECT_TRUE(error_of("a int64 nul").starts_with("column 1: \"nul\" behind the type; only `null`"));
  EXPECT_TRUE(error_of("a int64 null null").starts_with("column 1: something follows that is no comma"));
  EXPECT_TRUE(error_of("\"a int64").starts_with("column 1: the quote around its name is never closed"));
  EXPECT_EQ(error_of("a int64, a text"), "two columns have the name \"a\"");
}

/// The guess for one column with these fields; nullptr is NULL.
std::string guess(const std::vector<const char*>& fields) {
  TypeGuess types({"c"});
  for (const char* field : fields) {
    const std::optional<std::string_view> text = field ? std::optional<std::string_view>(field) : std::nullopt;
    types.add({&text, 1});
  }
  const Result<Schema> schema = types.schema();
  return schema ? schema_text(*schema) : std::string(schema.error().message());
}

// Goal: the first type that all fields have; what a number would change stays text.
TEST(ColumnTypesTest, Guesses) {
  EXPECT_EQ(guess({"1", "-20", "9223372036854775807"}), "c int64");
  EXPECT_EQ(guess({"0", "1"}), "c int64");
  EXPECT_EQ(guess({"1", "2.5"}), "c double");
  EXPECT_EQ(guess({"2.5", "1", "-1e9", "0.5"}), "c double");
  EXPECT_EQ(guess({"true", "FALSE", "False"}), "c bool");
  EXPECT_EQ(guess({"2021-04-30"}), "c date");
  EXPECT_EQ(guess({"2021-04-30T12:00:00Z", "2021-04-30 12:00:00.5"}), "c timestamp");
  EXPECT_EQ(guess({"Ada"}), "c text null");
  EXPECT_EQ(guess({"1", nullptr}), "c int64 null");
  EXPECT_EQ(guess({nullptr, "2021-04-30"}), "c date null");
  EXPECT_EQ(guess({nullptr, nullptr}), "c text null");
  EXPECT_EQ(guess({}), "c text null");
}

// Goal: fields of two types are text, in either order; so are numbers that would not come back as they were.
TEST(ColumnTypesTest, GuessesText) {
  const char* kText = "c text null";
  for (const char* other :
       {"2021-04-30", "2021-04-30T12:00:00Z", "true", "x", "007", "9223372036854775808", "", " 1", "t"}) {
    EXPECT_EQ(guess({"1", other}), kText) << other;
    EXPECT_EQ(guess({other, "1"}), kText) << other;
  }
  EXPECT_EQ(guess({"2021-04-30", "2021-04-30T12:00:00Z"}), kText);
  EXPECT_EQ(guess({"2021-02-30"}), kText);
  EXPECT_EQ(guess({"-01"}), kText);
  EXPECT_EQ(guess({"00.5"}), kText);
  EXPECT_EQ(guess({"1.5", "9007199254740993"}), kText);  // no double has this value
}

// Goal: columns are guessed apart, and bad names are an error.
TEST(ColumnTypesTest, GuessesPerColumn) {
  TypeGuess types({"id", "full name"});
  const std::vector<std::optional<std::string_view>> row = {"1", "Ada"};
  types.add(row);
  EXPECT_EQ(schema_text(*types.schema()), "id int64, \"full name\" text null");
  EXPECT_FALSE(TypeGuess({"a", "a"}).schema());
  EXPECT_FALSE(TypeGuess({""}).schema());
}

// Goal: an index's columns as people read them.
TEST(ColumnTypesTest, IndexColumns) {
  EXPECT_EQ(index_columns_text({.columns = {{"period"}, {"elo", true}, {"a b"}}}), "period, elo desc, \"a b\"");
}

}  // namespace
}  // namespace vaultgres::cli
