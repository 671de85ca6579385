// The progress line's text.
#include "cli/progress.h"

#include <gtest/gtest.h>

namespace vaultgres::cli {
namespace {

// Goal: with and without a known size, at the beginning and the end, in a narrow terminal.
TEST(ProgressTest, Line) {
  ProgressState state{.rows = 1'234'567, .bytes = 250, .bytes_total = 1000, .seconds = 10};
  EXPECT_EQ(progress_line(state, 79), "[#####...............] 25 %  1,234,567 rows  123,456 rows/s  0:30 left");
  EXPECT_EQ(progress_line(state, 10), "[#####....");
  state.bytes_total.reset();
  EXPECT_EQ(progress_line(state, 79), "1,234,567 rows  123,456 rows/s");
  EXPECT_EQ(progress_line({.bytes_total = 1000}, 79), "[....................]  0 %  0 rows  0 rows/s");
  EXPECT_EQ(progress_line({.rows = 5, .bytes = 1000, .bytes_total = 1000, .seconds = 1}, 79),
            "[####################] 100 %  5 rows  5 rows/s  0:00 left");
  EXPECT_EQ(progress_line({.rows = 1, .bytes = 1, .bytes_total = 7201, .seconds = 1}, 79),
            "[....................]  0 %  1 rows  1 rows/s  2:00:00 left");
}

TEST(ProgressTest, Commas) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(23'727'876), "23,727,876");
}

}  // namespace
}  // namespace vaultgres::cli
