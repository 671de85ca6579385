#include "catalog/text_format.h"

#include <gtest/gtest.h>

#include <limits>

#include "catalog/calendar.h"
#include "catalog/random_values_support.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

std::string text_of(const Value& value) {
  std::string text;
  append_value_text(value, text);
  return text;
}

std::string error_of(ColumnType type, std::string_view text) {
  const auto value = parse_value(type, text);
  EXPECT_TRUE(value.has_value() || value.error().code() == ErrorCode::kInvalidArgument);
  return value ? "" : std::string(value.error().message());
}

// Goal: every value of every type reads back from its text, edges of the ranges included.
TEST(TextFormatTest, TextReadsBack) {
  TestRandom random(1);
  for (const ColumnType type : kAllTypes) {
    for (std::uint64_t i = 0; i < scaled(3000); ++i) {
      const Value value = random_value(random, type);
      const auto parsed = parse_value(type, text_of(value));
      ASSERT_TRUE(parsed.has_value()) << text_of(value) << ": " << parsed.error().message();
      ASSERT_EQ(*parsed, value) << text_of(value);
    }
  }
}

// Goal: the forms that files hold are read as what they mean.
TEST(TextFormatTest, ReadsTheUsualForms) {
  EXPECT_EQ(*parse_value(ColumnType::kInt16, "-32768"), Value(-32768));
  EXPECT_EQ(*parse_value(ColumnType::kDouble, "-1.5e3"), Value(-1500.0));
  EXPECT_EQ(*parse_value(ColumnType::kDouble, "-inf"), Value(-std::numeric_limits<double>::infinity()));
  for (const char* yes : {"true", "t", "1", "TRUE"}) EXPECT_EQ(*parse_value(ColumnType::kBool, yes), Value(true));
  for (const char* no : {"false", "f", "0", "False"}) EXPECT_EQ(*parse_value(ColumnType::kBool, no), Value(false));
  EXPECT_EQ(*parse_value(ColumnType::kText, ""), Value(""));
  EXPECT_EQ(*parse_value(ColumnType::kBytes, "\\x00fFa0"), Value::bytes(std::string_view("\x00\xFF\xA0", 3)));
  EXPECT_EQ(*parse_value(ColumnType::kBytes, "\\x"), Value::bytes(""));
  EXPECT_EQ(*parse_value(ColumnType::kDate, "1970-01-01"), Value(Date{0}));
  EXPECT_EQ(*parse_value(ColumnType::kDate, "2000-02-29"), Value(Date{11016}));
  EXPECT_EQ(*parse_value(ColumnType::kDate, "0000-03-01"), Value(Date{-719468}));
  EXPECT_EQ(*parse_value(ColumnType::kTimestamp, "1970-01-02T00:00:00.5Z"), Value(Timestamp{86400500000}));
  EXPECT_EQ(*parse_value(ColumnType::kTimestamp, "1969-12-31 23:59:59.999999"), Value(Timestamp{-1}));
}

// Goal: printed forms are fixed.
TEST(TextFormatTest, PrintsOneForm) {
  EXPECT_EQ(text_of(Value()), "");
  EXPECT_EQ(text_of(true), "true");
  EXPECT_EQ(text_of(0.1), "0.1");
  EXPECT_EQ(text_of(Value::bytes(std::string_view("\0\xFF", 2))), "\\x00ff");
  EXPECT_EQ(text_of(Date{11016}), "2000-02-29");
  EXPECT_EQ(text_of(Date{-719469}), "0000-02-29");
  EXPECT_EQ(text_of(Date{-719529}), "-0001-12-31");
  EXPECT_EQ(text_of(Date{2932897}), "+10000-01-01");
  EXPECT_EQ(text_of(Date{std::numeric_limits<std::int32_t>::max()}), "+5881580-07-11");
  EXPECT_EQ(text_of(Date{std::numeric_limits<std::int32_t>::min()}), "-5877641-06-23");
  EXPECT_EQ(text_of(Timestamp{1619786096789000}), "2021-04-30T12:34:56.789Z");
  EXPECT_EQ(text_of(Timestamp{-1}), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(text_of(Timestamp{std::numeric_limits<std::int64_t>::max()}), "+294247-01-10T04:00:54.775807Z");
  EXPECT_EQ(text_of(Timestamp{std::numeric_limits<std::int64_t>::min()}), "-290308-12-21T19:59:05.224192Z");
}

// Goal: each error says what is wrong with which text.
TEST(TextFormatTest, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(error_of(ColumnType::kInt16, "32768"), "\"32768\" is out of range: int16 is -32768 to 32767");
  EXPECT_EQ(error_of(ColumnType::kInt64, "9223372036854775808"),
            "\"9223372036854775808\" is out of range: int64 is -9223372036854775808 to 9223372036854775807");
  for (const char* text : {"", "1x", " 1", "+1", "0x1", "99999999999999999999x"}) {
    EXPECT_NE(error_of(ColumnType::kInt32, text).find("is not an integer"), std::string::npos) << text;
  }
  EXPECT_EQ(error_of(ColumnType::kDouble, "1e999"), "\"1e999\" is out of the range of double");
  EXPECT_EQ(error_of(ColumnType::kDouble, "1,5"), "\"1,5\" is not a number");
  EXPECT_EQ(error_of(ColumnType::kBool, "yes"), "\"yes\" is not a bool: true, false, t, f, 1 or 0");
  EXPECT_EQ(error_of(ColumnType::kBytes, "\\x123"), "\"\\x123\" has an odd number of hexadecimal digits");
  EXPECT_EQ(error_of(ColumnType::kBytes, "\\x1g"), "\"\\x1g\" has a character that is no hexadecimal digit");
  EXPECT_EQ(error_of(ColumnType::kBytes, "12"), "\"12\" is not bytes: \\x and hexadecimal digits");
  for (const char* text : {"2021-4-30", "21-04-30", "10000-01-01", "2021/04/30", ""}) {
    EXPECT_NE(error_of(ColumnType::kDate, text).find("is not a date"), std::string::npos) << text;
  }
  EXPECT_EQ(error_of(ColumnType::kDate, "2021-13-01"), "\"2021-13-01\" has no such month");
  EXPECT_EQ(error_of(ColumnType::kDate, "1900-02-29"), "\"1900-02-29\" has no such day");
  EXPECT_EQ(error_of(ColumnType::kDate, "2021-04-30 "), "\"2021-04-30 \" has something behind the date");
  EXPECT_EQ(error_of(ColumnType::kDate, "+5881580-07-12"), "\"+5881580-07-12\" is out of the range of date");
  for (const char* text : {"2021-04-30", "2021-04-30T1:00:00", "2021-04-30T10:00", "2021-04-30T10:00:00."}) {
    EXPECT_NE(error_of(ColumnType::kTimestamp, text).find("is not a timestamp"), std::string::npos) << text;
  }
  for (const char* text : {"2021-04-30T24:00:00", "2021-04-30T10:60:00", "2021-04-30T10:00:60"}) {
    EXPECT_NE(error_of(ColumnType::kTimestamp, text).find("no such time of day"), std::string::npos) << text;
  }
  for (const char* text : {"2021-04-30T10:00:00.1234567", "2021-04-30T10:00:00+01:00"}) {
    EXPECT_NE(error_of(ColumnType::kTimestamp, text).find("something behind"), std::string::npos) << text;
  }
  for (const char* text : {"+294247-01-10T04:00:54.775808", "-290308-12-21T19:59:05.224191"}) {
    EXPECT_NE(error_of(ColumnType::kTimestamp, text).find("out of the range"), std::string::npos) << text;
  }
  EXPECT_EQ(error_of(ColumnType::kInt32, "a\nb"), "\"a\\x0ab\" is not an integer");
  EXPECT_LT(error_of(ColumnType::kInt32, std::string(5000, 'x')).size(), 200u);
}

// Goal: dates and days lead to each other over four hundred years and at the edges, day after day.
TEST(TextFormatTest, CalendarHasNoGaps) {
  CivilDate expected = date_of_days(-200 * 366);
  for (std::int64_t days = -200 * 366; days < 200 * 366; ++days) {
    const CivilDate date = date_of_days(days);
    ASSERT_EQ(date.year, expected.year);
    ASSERT_EQ(date.month, expected.month);
    ASSERT_EQ(date.day, expected.day);
    ASSERT_EQ(days_of_date(date), days);
    if (++expected.day > days_of_month(expected.year, expected.month)) {
      expected.day = 1;
      if (++expected.month == 13) expected = {expected.year + 1, 1, 1};
    }
  }
}

}  // namespace
}  // namespace vaultgres
