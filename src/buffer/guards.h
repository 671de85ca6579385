// Page guards: the only way to a page's bytes.
//
//   OptimisticGuard  no latch, writes no shared memory. The bytes may change while they are read: bound
//                    every offset, length and count, copy out only the result, validate(), then believe.
//   SharedGuard      others may read, nobody writes.
//   ExclusiveGuard   nobody else reads (optimistic readers will fail to validate). Bytes change only through
//                    a MiniTxn, which also logs; the one exception is unlogged_bytes().
//
// Guards move, never copy; destructors release and are noexcept; a released guard has no pointer. Under
// ThreadSanitizer (VG_WORD_ATOMIC_PAGES) an optimistic guard reads a private copy made by word-atomic loads
// and an exclusive guard writes a private copy that is published by word-atomic stores at its release, so
// that the sanitizer runs this very protocol; elsewhere both point into the frame.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/types.h"
#include "buffer/translation.h"

namespace vaultgres {

class BufferPool;

class OptimisticGuard {
 public:
  OptimisticGuard() = default;
  OptimisticGuard(OptimisticGuard&& other) noexcept { *this = std::move(other); }
  OptimisticGuard& operator=(OptimisticGuard&& other) noexcept {
    entry_ = std::exchange(other.entry_, nullptr);
    bytes_ = std::exchange(other.bytes_, nullptr);
    version_ = other.version_;
    id_ = other.id_;
#ifdef VG_WORD_ATOMIC_PAGES
    copy_ = std::move(other.copy_);
#endif
    return *this;
  }
  ~OptimisticGuard() = default;

  explicit operator bool() const noexcept {
    return entry_ != nullptr;
  }
  PageId id() const noexcept {
    return id_;
  }
  Bytes page() const noexcept {
    return {bytes_, kPageBytes};
  }
  std::uint64_t version() const noexcept {
    return version_;
  }
  /// True when the page is still what it was when this guard was made: what was read from page() until now
  /// is the page's content at one instant. (A shared holder does not disturb.)
  bool validate() const noexcept {
    if (VG_SEEDED_BUG(kNoValidation)) return true;
    VG_NOISE(kValidateBefore);
    return entry_->latch.validate(version_);
  }

 private:
  friend class BufferPool;
  Translation* entry_ = nullptr;
  const std::byte* bytes_ = nullptr;
  std::uint64_t version_ = 0;
  PageId id_ = kNoPage;
#ifdef VG_WORD_ATOMIC_PAGES
  std::unique_ptr<std::byte[]> copy_;
#endif
};

class SharedGuard {
 public:
  SharedGuard() = default;
  SharedGuard(SharedGuard&& other) noexcept { *this = std::move(other); }
  SharedGuard& operator=(SharedGuard&& other) noexcept;
  ~SharedGuard() { release(); }

  explicit operator bool() const noexcept { return entry_ != nullptr; }
  PageId id() const noexcept { return id_; }
  Bytes page() const noexcept { return {bytes_, kPageBytes}; }
  void release() noexcept;

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  Translation* entry_ = nullptr;
  const std::byte* bytes_ = nullptr;
  PageId id_ = kNoPage;
};

class ExclusiveGuard {
 public:
  ExclusiveGuard() = default;
  ExclusiveGuard(ExclusiveGuard&& other) noexcept { *this = std::move(other); }
  ExclusiveGuard& operator=(ExclusiveGuard&& other) noexcept;
  ~ExclusiveGuard() { release(); }

  explicit operator bool() const noexcept { return entry_ != nullptr; }
  PageId id() const noexcept { return id_; }
  Bytes page() const noexcept { return {bytes_, kPageBytes}; }
  /// Whether somebody sleeps until this is released.
  bool is_waited_for() const noexcept { return (entry_->latch.peek() & Latch::kWaiters) != 0; }
  /// The version that the page will have when this is released.
  std::uint64_t next_version() const noexcept { return Latch::version_of(entry_->latch.peek()) + 1; }
  /// For what is never logged and masked in comparisons: the "may have history" bits. Does not make the
  /// page dirty.
  MutableBytes unlogged_bytes() noexcept {
    assert_latched_exclusively(entry_);
    return {bytes_, kPageBytes};
  }
  void release() noexcept;

 private:
  friend class BufferPool;
  friend class MiniTxn;
  BufferPool* pool_ = nullptr;
  Translation* entry_ = nullptr;
  std::byte* bytes_ = nullptr;
  PageId id_ = kNoPage;
#ifdef VG_WORD_ATOMIC_PAGES
  std::unique_ptr<std::byte[]> copy_;
  std::byte* frame_bytes_ = nullptr;
#endif
};

/// Keeps a resident page from being evicted until the operation that waited for it has tried again. Holds
/// no latch; cheap; move-only.
class LoadPin {
 public:
  LoadPin() = default;
  LoadPin(LoadPin&& other) noexcept { *this = std::move(other); }
  LoadPin& operator=(LoadPin&& other) noexcept;
  ~LoadPin() { release(); }
  void release() noexcept;

 private:
  friend class BufferPool;
  /// The frame's count of pins includes it.
  LoadPin(BufferPool* pool, std::uint32_t frame) noexcept : pool_(pool), frame_(frame) {}
  BufferPool* pool_ = nullptr;
  std::uint32_t frame_ = 0;
};

/// Frames taken from the pool for pages that are about to be created; given back when not used.
class FrameTicket {
 public:
  FrameTicket() = default;
  FrameTicket(FrameTicket&& other) noexcept { *this = std::move(other); }
  FrameTicket& operator=(FrameTicket&& other) noexcept;
  ~FrameTicket() { release(); }
  unsigned count() const noexcept { return count_; }
  void release() noexcept;
  static constexpr unsigned kFramesMax = 8;

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  unsigned count_ = 0;
  std::uint32_t frames_[kFramesMax] = {};
};

}  // namespace vaultgres
