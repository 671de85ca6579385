#include "vaultgres/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/try.h"

namespace vaultgres {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Error(ErrorCode::kInvalidArgument, "odd");
  return number / 2;
}

Result<int> quarter(int number) {
  VG_ASSIGN(const int once, half(number));
  VG_ASSIGN(const int twice, half(once));
  return twice;
}

Status check_even(int number) {
  VG_TRY(half(number));
  return {};
}

// Goal: a value comes out as it went in, by every accessor.
TEST(Result, HoldsAValue) {
  Result<std::string> result = std::string("text");
  ASSERT_TRUE(result);
  EXPECT_TRUE(result.has_value());
  EXPECT_EQ(result.value(), "text");
  EXPECT_EQ(*result, "text");
  EXPECT_EQ(result->size(), 4u);
  EXPECT_EQ(result.value_or("other"), "text");
}

// Goal: an error comes out with code, text and errno.
TEST(Result, HoldsAnError) {
  const Result<int> result = Error(ErrorCode::kNoSpace, "disk full", 28);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(result.error().message(), "disk full");
  EXPECT_EQ(result.error().os_error(), 28);
  EXPECT_EQ(result.value_or(7), 7);
}

// Goal: values that can only be moved can be taken out.
TEST(Result, MovesItsValueOut) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 5);
}

// Goal: using an error as a value stops the program with the error's text, never goes on with rubbish.
TEST(ResultDeathTest, StopsWhenAnErrorIsUsedAsAValue) {
  const Result<int> result = Error(ErrorCode::kCorruption, "page 7 is damaged");
  EXPECT_DEATH(static_cast<void>(result.value()), "corruption: page 7 is damaged");
  EXPECT_DEATH(static_cast<void>(*result), "page 7 is damaged");
  const Status status = Error(ErrorCode::kIo, "sync failed");
  EXPECT_DEATH(status.value(), "io: sync failed");
}

// Goal: VG_TRY and VG_ASSIGN leave with the error or go on with the value.
TEST(Result, TryAndAssignPropagate) {
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).error().message(), "odd");
  EXPECT_TRUE(check_even(2));
  EXPECT_FALSE(check_even(3));
}

// Goal: context stands in front, code and errno stay.
TEST(Error, ContextKeepsCodeAndErrno) {
  const Error error = Error(ErrorCode::kIo, "read failed", 5).with_context("opening shop.vg");
  EXPECT_EQ(error.message(), "opening shop.vg: read failed");
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_EQ(error.os_error(), 5);
}

// Goal: every code has a name of its own, as programs read it.
TEST(Error, CodeNamesDiffer) {
  std::string names = ",";
  for (int code = 0; code <= static_cast<int>(ErrorCode::kOutOfMemory); ++code) {
    const std::string name(error_code_name(static_cast<ErrorCode>(code)));
    EXPECT_NE(name, "unknown");
    EXPECT_EQ(names.find("," + name + ","), std::string::npos) << name;
    names += name + ",";
  }
}

}  // namespace
}  // namespace vaultgres
