// Memory for direct I/O: aligned to kIoBufferAlignment, zero-filled, freed with the object.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "base/types.h"
#include "vaultgres/result.h"

namespace vaultgres {

inline constexpr std::size_t kIoBufferAlignment = 4096;

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// kOutOfMemory when there is none. `bytes` is rounded up to the alignment.
  static Result<AlignedBuffer> make(std::size_t bytes);

  std::byte* data() noexcept { return memory_.get(); }
  const std::byte* data() const noexcept { return memory_.get(); }
  std::size_t size() const noexcept { return bytes_; }
  MutableBytes span() noexcept { return {memory_.get(), bytes_}; }
  Bytes span() const noexcept { return {memory_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace vaultgres
