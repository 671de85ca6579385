// Memory for direct I/O: aligned to kIoBufferAlignment, zero-filled, freed with the object.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/types.h"
#include "vaultgres/result.h"

namespace vaultgres {

inline constexpr std::size_t kIoBufferAlignment = 4096;

#ifdef VG_TEST_HOOKS
/// There is no memory for another.
inline std::atomic<bool> no_buffers_in_tests{false};
#endif

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// kOutOfMemory when there is none. `bytes` is rounded up to the alignment.
  static Result<AlignedBuffer> make(std::size_t bytes);

  std::byte* data() noexcept { return first_aligned(memory_.get()); }
  const std::byte* data() const noexcept { return first_aligned(memory_.get()); }
  std::size_t size() const noexcept { return bytes_; }
  MutableBytes span() noexcept { return {data(), bytes_}; }
  Bytes span() const noexcept { return {data(), bytes_}; }

 private:
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  static std::byte* first_aligned(void* memory) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    return static_cast<std::byte*>(memory) + (-address & (kIoBufferAlignment - 1));
  }
  std::unique_ptr<void, Free> memory_;  // more than bytes_ by kIoBufferAlignment
  std::size_t bytes_ = 0;
};

}  // namespace vaultgres
