#include "buffer/frames.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <string>

#include "buffer/buffer_pool.h"

namespace vaultgres {

Result<std::unique_ptr<Frames>> Frames::make(std::size_t cache_bytes) {
  std::unique_ptr<Frames> frames(new Frames());
  const std::size_t count = std::clamp<std::size_t>(cache_bytes / kPageBytes, kFramesMin, kNone - 1);
  frames->count_ = static_cast<std::uint32_t>(count);
  frames->memory_bytes_ = count * kPageBytes;
  void* memory = ::mmap(nullptr, frames->memory_bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  frames->frames_.reset(new (std::nothrow) Frame[count]);
  if (memory == MAP_FAILED || frames->frames_ == nullptr) {
    return Error(ErrorCode::kOutOfMemory, "no memory for a cache of " + std::to_string(cache_bytes) + " bytes");
  }
  frames->memory_ = static_cast<std::byte*>(memory);
  ::madvise(memory, frames->memory_bytes_, MADV_HUGEPAGE);  // only speed depends on it
  try {
    frames->free_.reserve(count);
    for (std::uint32_t i = frames->count_; i-- > 0;) frames->free_.push_back(i);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory for the list of free frames");
  }
  frames->free_count_.store(count);
  return frames;
}

Frames::~Frames() {
  if (memory_ != nullptr) ::munmap(memory_, memory_bytes_);
}

std::uint32_t Frames::take_free() noexcept {
  if (free_count() == 0) return kNone;
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return kNone;
  const std::uint32_t frame = free_.back();
  free_.pop_back();
  free_count_.store(free_.size(), std::memory_order_relaxed);
  return frame;
}

void Frames::give_free(std::uint32_t frame) noexcept {
  const std::lock_guard lock(mutex_);
  free_.push_back(frame);
  free_count_.store(free_.size(), std::memory_order_relaxed);
}

}  // namespace vaultgres
