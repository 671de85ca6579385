// The test of the test: a build that is to report data races reports one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "support/sanitizers.h"

namespace vaultgres {
namespace {

void race() {
  int counted = 0;
  std::thread other([&] { ++counted; });
  ++counted;
  other.join();
}

TEST(RaceControlTest, ARaceIsReported) {
  if (!kThreadSanitizer) GTEST_SKIP() << "only ThreadSanitizer reports races";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH((race(), std::abort()), "data race");
}

}  // namespace
}  // namespace vaultgres
