#include "catalog/name.h"

#include <gtest/gtest.h>

#include <string>

namespace vaultgres {
namespace {

// Goal: names are UTF-8 of the shortest form, without surrogates and without control characters, within their length.
TEST(NameTest, AcceptsTextAndNothingElse) {
  using namespace std::string_view_literals;
  for (const std::string_view good : {"a"sv, "users_by id"sv, "größe"sv, "\xE2\x82\xAC"sv, "\xF0\x9F\x98\x80"sv,
                                      "\xC2\xA0"sv, "\xED\x9F\xBF"sv, "\xEE\x80\x80"sv, "\xF4\x8F\xBF\xBF"sv}) {
    EXPECT_TRUE(check_name(good).has_value()) << good;
  }
  for (const std::string_view bad :
       {""sv, "a\0"sv, "\n"sv, "\x7F"sv, "\xC2\x80"sv, "\xC2\x9F"sv, "\x80"sv, "\xC0\x80"sv, "\xC1\xBF"sv, "\xC3"sv,
        "\xC3("sv, "\xE0\x9F\xBF"sv, "\xED\xA0\x80"sv, "\xE2\x82"sv, "\xF0\x8F\xBF\xBF"sv, "\xF4\x90\x80\x80"sv,
        "\xF8\x88\x80\x80\x80"sv, "\xFF"sv}) {
    EXPECT_FALSE(check_name(bad).has_value()) << bad;
  }
  EXPECT_TRUE(check_name(std::string(255, 'n')).has_value());
  EXPECT_FALSE(check_name(std::string(256, 'n')).has_value());
}

}  // namespace
}  // namespace vaultgres
