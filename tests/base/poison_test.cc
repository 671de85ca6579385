#include "base/poison.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace vaultgres {
namespace {

// Goal: the first cause stays, whatever fails afterwards, and every later check tells it.
TEST(Poison, KeepsTheFirstCause) {
  Poison poison;
  EXPECT_FALSE(poison.is_set());
  EXPECT_TRUE(poison.check());
  poison.set(Error(ErrorCode::kIo, "sync of data failed", 5));
  poison.set(Error(ErrorCode::kNoSpace, "something later", 28));
  for (int i = 0; i < 2; ++i) {
    const Status status = poison.check();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), ErrorCode::kPoisoned);
    EXPECT_EQ(status.error().os_error(), 5);
    EXPECT_NE(status.error().message().find("sync of data failed"), std::string_view::npos);
  }
}

// Goal: of several threads that fail at once one wins, and all see the winner.
TEST(Poison, ThreadsAgreeOnOneCause) {
  Poison poison;
  std::vector<int> seen(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&poison, &seen, i] {
      poison.set(Error(ErrorCode::kIo, "failed", i + 1));
      seen[static_cast<std::size_t>(i)] = poison.check().error().os_error();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int os_error : seen) EXPECT_EQ(os_error, seen.front());
  EXPECT_GT(seen.front(), 0);
}

}  // namespace
}  // namespace vaultgres
