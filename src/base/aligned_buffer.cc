#include "base/aligned_buffer.h"

namespace vaultgres {

/// calloc(), because a large piece is pages of zeros from the system, each taken when it is first used: most of a log
/// buffer never is.
Result<AlignedBuffer> AlignedBuffer::make(std::size_t bytes) {
  const std::size_t rounded = (bytes + kIoBufferAlignment - 1) / kIoBufferAlignment * kIoBufferAlignment;
  AlignedBuffer buffer;
  buffer.memory_.reset(std::calloc(rounded + kIoBufferAlignment, 1));
#ifdef VG_TEST_HOOKS
  if (no_buffers_in_tests.load()) buffer.memory_.reset();
#endif
  if (buffer.memory_ == nullptr) {
    return Error(ErrorCode::kOutOfMemory, "no memory for a buffer of " + std::to_string(rounded) + " bytes");
  }
  buffer.bytes_ = rounded;
  return buffer;
}

}  // namespace vaultgres
