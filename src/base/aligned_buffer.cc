#include "base/aligned_buffer.h"

#include <cstring>

namespace vaultgres {

Result<AlignedBuffer> AlignedBuffer::make(std::size_t bytes) {
  const std::size_t rounded = (bytes + kIoBufferAlignment - 1) / kIoBufferAlignment * kIoBufferAlignment;
  AlignedBuffer buffer;
  buffer.memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kIoBufferAlignment, rounded)));
  if (buffer.memory_ == nullptr) {
    return Error(ErrorCode::kOutOfMemory, "no memory for a buffer of " + std::to_string(rounded) + " bytes");
  }
  std::memset(buffer.memory_.get(), 0, rounded);
  buffer.bytes_ = rounded;
  return buffer;
}

}  // namespace vaultgres
