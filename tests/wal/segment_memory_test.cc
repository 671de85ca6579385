// Goal: where there is no memory for making a log segment, the call that needs it fails and nothing else does.
//
// Method: buffers for direct I/O come from calloc(), of which this program has its own.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "wal/wal_support.h"

namespace {

std::atomic<bool> no_buffers{false};

}  // namespace

extern "C" void* calloc(std::size_t count, std::size_t each) noexcept {
  const std::size_t bytes = count * each;
  void* memory = nullptr;
  if (no_buffers.load() && bytes >= vaultgres::kIoBufferAlignment) return nullptr;
  if (::posix_memalign(&memory, alignof(std::max_align_t), bytes) != 0) return nullptr;
  return std::memset(memory, 0, bytes);
}

namespace vaultgres {
namespace {

TEST(LogSegmentMemory, NoMemoryForASegmentPoisonsNothing) {
  const auto disk = test_disk();
  TestRandom random(1);
  TestLog test(*disk, {.segment_bytes = kTestSegment, .buffer_bytes = 512 << 10, .flush_interval_ms = 10000});
  const std::vector<std::string> files = *disk->list(kTestDirectory);
  no_buffers.store(true);
  const Status reserved = test.log->reserve(4 * kTestSegment);
  no_buffers.store(false);
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
