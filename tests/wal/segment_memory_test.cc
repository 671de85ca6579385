// Goal: where there is no memory for making a log segment, the call that needs it fails and nothing else does.
//
// Method: test builds can be told that there is no memory for buffers of direct I/O.
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "wal/wal_support.h"

namespace vaultgres {
namespace {

TEST(LogSegmentMemory, NoMemoryForASegmentPoisonsNothing) {
  const auto disk = test_disk();
  TestRandom random(1);
  TestLog test(*disk, {.segment_bytes = kTestSegment, .buffer_bytes = 512 << 10, .flush_interval_ms = 10000});
  const std::vector<std::string> files = *disk->list(kTestDirectory);
  no_buffers_in_tests.store(true);
  const Status reserved = test.log->reserve(4 * kTestSegment);
  no_buffers_in_tests.store(false);
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.error().code(), ErrorCode::kOutOfMemory) << reserved.error().message();
  EXPECT_FALSE(test.poison.is_set());
  EXPECT_EQ(*disk->list(kTestDirectory), files);

  ASSERT_TRUE(test.log->reserve(4 * kTestSegment));
  const KeptRecord kept = test.append(test_record(random, 100, 0));
  EXPECT_TRUE(test.log->flush(kept.lsn));
}

}  // namespace
}  // namespace vaultgres
