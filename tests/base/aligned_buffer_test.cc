#include "base/aligned_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace vaultgres {
namespace {

// Goal: memory that direct I/O accepts: aligned, rounded up, zeros.
TEST(AlignedBuffer, IsAlignedRoundedAndZero) {
  for (const std::size_t bytes : {1u, 4095u, 4096u, 4097u, 65536u}) {
    auto buffer = AlignedBuffer::make(bytes);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % kIoBufferAlignment, 0u);
    EXPECT_GE(buffer->size(), bytes);
    EXPECT_EQ(buffer->size() % kIoBufferAlignment, 0u);
    EXPECT_LT(buffer->size() - bytes, kIoBufferAlignment);
    EXPECT_TRUE(std::ranges::all_of(buffer->span(), [](std::byte b) { return b == std::byte{0}; }));
  }
}

// Goal: moving takes the memory along.
TEST(AlignedBuffer, Moves) {
  AlignedBuffer first = *AlignedBuffer::make(100);
  first.data()[7] = std::byte{9};
  const std::byte* memory = first.data();
  AlignedBuffer second = std::move(first);
  EXPECT_EQ(second.data(), memory);
  EXPECT_EQ(second.data()[7], std::byte{9});
}

}  // namespace
}  // namespace vaultgres
