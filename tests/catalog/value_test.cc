#include "vaultgres/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace vaultgres {
namespace {

// Goal: values hold what they were made of, whatever the width of the integer.
TEST(ValueTest, HoldsWhatItWasMadeOf) {
  EXPECT_TRUE(Value().is_null());
  EXPECT_EQ(Value(42).integer(), 42);
  EXPECT_EQ(Value(std::int16_t{-5}).integer(), -5);
  EXPECT_EQ(Value(std::numeric_limits<std::int64_t>::min()).integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(Value(4000000000u).integer(), 4000000000);
  EXPECT_EQ(Value(1.5).number(), 1.5);
  EXPECT_TRUE(Value(true).boolean());
  EXPECT_EQ(Value("abc").text(), "abc");
  EXPECT_EQ(Value::bytes(std::string_view("a\0b", 3)).bytes(), std::string_view("a\0b", 3));
  EXPECT_EQ(Value(Date{-1}).date().days, -1);
  EXPECT_EQ(Value(Timestamp{-1}).timestamp().micros, -1);
}

// Goal: a copy of a view owns its bytes, a moved view still is one, and a moved owner keeps its bytes.
TEST(ValueTest, CopiesOwnAndMovesDoNot) {
  std::string memory = "a text that is too long for any small buffer";
  Value view = Value::text_view(memory);
  EXPECT_TRUE(view.is_view());
  const Value copy = view;
  EXPECT_FALSE(copy.is_view());
  Value moved = std::move(view);
  EXPECT_TRUE(moved.is_view());
  memory[0] = 'X';
  EXPECT_EQ(moved.text()[0], 'X');
  EXPECT_EQ(copy.text()[0], 'a');

  Value owner("text of its own");
  const char* const data = owner.text().data();
  Value other = std::move(owner);
  EXPECT_EQ(other.text().data(), data);
  owner = other;
  other = Value(1);
  EXPECT_EQ(owner.text(), "text of its own");
  owner = std::move(owner).to_owned();
  EXPECT_EQ(owner.text(), "text of its own");
}

// Goal: the order that keys have: NULL first, -0 = 0, NaN last and equal to itself, text by unsigned bytes.
TEST(ValueTest, ComparesLikeKeys) {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_LT(Value(), Value(std::numeric_limits<std::int64_t>::min()));
  EXPECT_EQ(Value(), Value());
  EXPECT_EQ(Value(0.0), Value(-0.0));
  EXPECT_EQ(Value(nan), Value(-nan));
  EXPECT_LT(Value(infinity), Value(nan));
  EXPECT_LT(Value(-infinity), Value(-1e308));
  EXPECT_LT(Value("a"), Value(std::string_view("a\0", 2)));
  EXPECT_LT(Value("a\x7F"), Value("a\x80"));
  EXPECT_NE(Value("a"), Value::bytes("a"));
}

// Goal: reading a value as another kind stops the program with a message that names both.
TEST(ValueDeathTest, WrongKindStops) {
  EXPECT_DEATH(static_cast<void>(Value(1).text()), "integer was read as text");
}

// Goal: every type has a name that leads back to it.
TEST(ValueTest, TypeNamesLeadBack) {
  for (int number = 1; number <= 9; ++number) {
    const auto type = static_cast<ColumnType>(number);
    EXPECT_EQ(parse_column_type(column_type_name(type)), type);
  }
  EXPECT_EQ(column_type_name(static_cast<ColumnType>(10)), "?");
  EXPECT_EQ(parse_column_type("?"), std::nullopt);
}

// Goal: a schema is refused for each rule that it can break, with the column in the message.
TEST(SchemaTest, ChecksItsRules) {
  const auto error_of = [](std::vector<Column> columns) {
    const auto schema = Schema::create(std::move(columns));
    EXPECT_FALSE(schema.has_value());
    return schema ? std::string() : std::string(schema.error().message());
  };
  EXPECT_NE(error_of({}).find("not 0"), std::string::npos);
  EXPECT_NE(error_of(std::vector<Column>(1001)).find("not 1001"), std::string::npos);
  EXPECT_NE(error_of({{"a"}, {"b"}, {"a"}}).find("two columns have the name \"a\""), std::string::npos);
  EXPECT_NE(error_of({{"a"}, {""}}).find("column 2"), std::string::npos);
  EXPECT_NE(error_of({{std::string(256, 'x')}}).find("not 256"), std::string::npos);
  EXPECT_NE(error_of({{"\xC3"}}).find("UTF-8"), std::string::npos);
  EXPECT_NE(error_of({{"a\nb"}}).find("control"), std::string::npos);
  EXPECT_NE(error_of({{"a", ColumnType{0}}}).find("unknown type"), std::string::npos);

  std::vector<Column> most;
  for (std::size_t i = 0; i < kMaxColumns; ++i) most.push_back({std::string(250, 'x') + std::to_string(i)});
  const std::string last = most.back().name;
  const auto schema = Schema::create(std::move(most));
  ASSERT_TRUE(schema.has_value());
  EXPECT_EQ(schema->find(last), kMaxColumns - 1);
  EXPECT_EQ(schema->find("y"), std::nullopt);
}

// Goal: rows are checked for number, kind, range and NULL; the message names the column.
TEST(SchemaTest, ChecksRows) {
  const Schema schema = *Schema::create({{"id", ColumnType::kInt16}, {"name", ColumnType::kText, true}});
  EXPECT_TRUE(schema.check_row({1, "x"}).has_value());
  EXPECT_TRUE(schema.check_row({-32768, Value()}).has_value());
  const auto error_of = [&](const Row& row) {
    const Status status = schema.check_row(row);
    return status ? std::string() : std::string(status.error().message());
  };
  EXPECT_EQ(error_of({1}), "the row has 1 values, the table 2 columns");
  EXPECT_EQ(error_of({Value(), "x"}), "column \"id\" must not be NULL");
  EXPECT_EQ(error_of({32768, "x"}), "column \"id\" is int16, -32768 to 32767; 32768 is out of its range");
  EXPECT_EQ(error_of({1, 2}), "column \"name\" is text, not an integer");
}

}  // namespace
}  // namespace vaultgres
