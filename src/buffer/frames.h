// The frames: memory for pages and what is known about each.
//
//   free -> (load, create) -> clean <-> dirty -> copied -> clean -> (evict) -> free
//
// free     page is kFree; in the free list or in somebody's ticket
// clean    rec_lsn is kClean; may be evicted
// dirty    rec_lsn is a log position at or below the first record that is not on disk yet
// copied   dirty, and a batch is writing a copy: changes since then stand in next_rec_lsn
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/types.h"
#include "buffer/translation.h"
#include "vaultgres/result.h"

namespace vaultgres {

struct alignas(64) Frame : BasicFrame<StdAtomics> {
  static_assert(kFree == raw(kNoPage));

  std::atomic<std::uint64_t> next_rec_lsn{kClean};  ///< first change since the copy
  std::atomic<std::uint8_t> rounds{0};              ///< how often the clock's hand still passes by an unmarked page
  std::atomic<bool> scanned{false};                 ///< loaded by a scan
};

class Frames {
 public:
  static Result<std::unique_ptr<Frames>> make(std::size_t cache_bytes);
  ~Frames();
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  std::uint32_t count() const noexcept { return count_; }
  std::byte* bytes(std::uint32_t frame) noexcept { return memory_ + std::size_t{frame} * kPageBytes; }
  Frame& operator[](std::uint32_t frame) noexcept { return frames_[frame]; }

  static constexpr std::uint32_t kNone = UINT32_MAX;
  std::uint32_t take_free() noexcept;  ///< kNone: there is none
  void give_free(std::uint32_t frame) noexcept;
  std::size_t free_count() const noexcept { return free_count_.load(std::memory_order_relaxed); }

 private:
  Frames() = default;
  std::byte* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::uint32_t count_ = 0;
  std::unique_ptr<Frame[]> frames_;
  std::mutex mutex_;
  std::vector<std::uint32_t> free_;  // guarded by mutex_; never grows beyond what was reserved
  std::atomic<std::size_t> free_count_{0};
};

}  // namespace vaultgres
