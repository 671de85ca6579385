// Goal: each part is done once, whatever becomes of others, and an exception of one reaches the caller when all are
// done.
#include "base/in_parallel.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <new>

namespace vaultgres {
namespace {

TEST(InParallel, EachPartIsDoneOnce) {
  for (unsigned parts = 0; parts <= kPartsMax; ++parts) {
    std::array<std::atomic<unsigned>, kPartsMax> done{};
    in_parallel(parts, [&](unsigned part) { ++done[part]; });
    for (unsigned part = 0; part < kPartsMax; ++part) EXPECT_EQ(done[part], part < parts ? 1u : 0u) << parts;
  }
}

TEST(InParallel, AnExceptionIsThrownWhenAllAreDone) {
  for (unsigned bad = 0; bad < kPartsMax; ++bad) {
    std::atomic<unsigned> done{0};
    const auto part = [&](unsigned number) {
      if (number == bad) throw std::bad_alloc();
      ++done;
    };
    EXPECT_THROW(in_parallel(kPartsMax, part), std::bad_alloc);
    EXPECT_EQ(done, kPartsMax - 1) << bad;
  }
}

}  // namespace
}  // namespace vaultgres
