// The pool's inside: shared by the files that implement BufferPool.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/held_latches.h"
#include "base/schedule_noise.h"
#include "buffer/buffer_pool.h"
#include "buffer/frames.h"
#include "format/doublewrite.h"

namespace vaultgres {

class BufferPool::Impl {
 public:
  Impl(Hot& hot, File& data, File& doublewrite, const DatabaseId& database, Log& log, const RedoTable& redo,
       PageValidator validator, const BufferOptions& options, Poison& poison)
      : hot_(hot),
        data_(data),
        doublewrite_(doublewrite),
        database_(database),
        log_(log),
        redo_(redo),
        validator_(validator),
        options_(options),
        poison_(poison) {}
  ~Impl();
  Status init();

  Translation& entry(PageId id) noexcept { return hot_.table[raw(id)]; }
  Status check_id(PageId id) const;
  std::uint32_t page_count_max() const noexcept {
    return static_cast<std::uint32_t>(std::min<std::size_t>(table_entries_, raw(kNoPage)));
  }

  // load.cc: getting pages in and out
  std::optional<LoadPin> pin_if_resident(BufferPool* pool, Translation& entry) noexcept;
  Result<LoadPin> fault(BufferPool* pool, PageId id, Hint hint);
  Result<std::uint32_t> get_frame(Hint hint);
  std::uint32_t try_get_frame(Hint hint) noexcept;
  void give_frame(std::uint32_t frame) noexcept;
  std::uint32_t evict_one() noexcept;
  std::uint32_t evict_scanned() noexcept;
  enum class Visit : std::uint8_t { kEvicted, kAged, kPassed };
  Visit visit(std::uint32_t frame) noexcept;
  bool try_evict(std::uint32_t frame) noexcept;
  std::uint8_t rounds_for(std::uint32_t frame, Hint hint) const noexcept;
  void remember_scanned(std::uint32_t frame, Hint hint) noexcept;
  Status read_page(PageId id, std::byte* into, std::uint32_t* checksum, const Translation& entry);
  Status read_into_frame(PageId id, std::uint32_t frame, std::uint32_t* checksum);
  Status check_loaded(PageId id, Bytes page, std::uint32_t* checksum, const Translation& entry);
  Status check_lsn(PageId id, Lsn lsn) const;
  void admit(Translation& entry, PageId id, std::uint32_t frame, std::uint32_t checksum, Hint hint,
             std::uint32_t pins) noexcept;
  void publish(std::uint32_t frame, const std::byte* bytes) noexcept;
  void new_frame(Translation& entry, PageId id, std::uint32_t number) noexcept;
  template <class Position>
  void mark_dirty(std::uint32_t number, const Position& rec_lsn) noexcept;
  void touch(Translation& entry, std::uint64_t place, Hint hint) noexcept;

  // read_ahead.cc
  static constexpr std::size_t kReadAheadMax = 16;
  std::size_t read_ahead_max() const noexcept;
  std::size_t absent_run(std::span<const PageId> ids) const noexcept;
  std::size_t latch_absent(std::span<const PageId> ids) noexcept;
  Status read_run(std::span<const PageId> ids, std::span<const std::uint32_t> frames, MutableBytes into,
                  std::size_t& admitted);
  void read_ahead(std::span<const PageId> ids, ReadAhead& last);

  LoadPins load_absent(BufferPool* pool, std::span<const PageId> ids, Hint hint);  // load_absent.cc

  Status copy_page(PageId id, MutableBytes into);  // copy_page.cc

  // cleaner.cc
  void start_cleaner();
  void stop_cleaner() noexcept;
  Status wait_for_frames(std::uint64_t seen);
  void note_frames_freed() noexcept;
  void note_no_memory() noexcept;
  Status clean(std::vector<std::uint32_t>& pages);
  std::vector<std::uint32_t> dirty_pages(std::uint64_t rec_lsn_below);
  Lsn redo_start(Lsn log_end) noexcept;
  Status restore_torn_pages(Lsn redo_start, Lsn log_end);

  Hot& hot_;
  File& data_;
  File& doublewrite_;
  DatabaseId database_;
  Log& log_;
  const RedoTable& redo_;
  PageValidator validator_;
  BufferOptions options_;
  Poison& poison_;
  static constexpr Lsn kLogEndUnknown{UINT64_MAX};
  Lsn old_log_end_ = kLogEndUnknown;
  std::atomic<std::uint64_t> wanted_redo_start_{0};  ///< the cleaner writes what is dirty since before
  std::atomic<bool> redoing_{false};                 ///< from the first page for redo to check_redone()

  std::size_t table_entries_ = 0;
  std::unique_ptr<Frames> frames_;
  std::atomic<std::uint64_t> hand_{0};
  std::atomic<std::uint32_t> dirty_count_{0};
  std::atomic<std::uint64_t> frames_freed_{0};  ///< rises when somebody who waits for a frame should look again

  // Frames that scans loaded last, to be used again by scans: a big scan turns over these, not the cache.
  static constexpr std::size_t kScanRingMax = 128;
  std::array<std::atomic<std::uint32_t>, kScanRingMax> scan_ring_{};  // frame + 1; 0: none
  std::atomic<std::uint32_t> scan_next_{0};
  std::size_t scan_ring_count() const noexcept { return std::min<std::size_t>(kScanRingMax, frames_->count() / 8); }

  std::atomic<std::uint64_t> visits_{0};
  std::atomic<std::uint64_t> loads_{0};
  std::atomic<std::uint64_t> evictions_{0};
  std::atomic<std::uint64_t> pages_cleaned_{0};
  std::atomic<std::uint64_t> batches_{0};

 private:
  void cleaner_main();
  /// Where the looks for pages to clean have come to.
  struct Sweep {
    std::uint64_t oldest = 0;        ///< at or below every recLSN, as far as the last look knows
    std::uint32_t next = 0;          ///< the page after the last that was cleaned for those who waited
    std::uint64_t wanted_start = 0;  ///< as of the last look
  };
  std::vector<std::uint32_t> pages_to_clean(bool wanted, Sweep& sweep);
  Status clean_batch(std::span<const std::uint32_t> pages);
  unsigned copy_batch(std::span<const std::uint32_t> pages, Lsn* newest);
  Status write_batch(unsigned count);
  Status write_in_place(unsigned count);
  void finish_batch(unsigned count) noexcept;

  struct Copy {
    std::uint32_t page;
    std::uint32_t frame;
    std::uint32_t checksum;
  };
  std::mutex batch_mutex_;  // one batch at a time: at most one write of a page is in flight
  AlignedBuffer area_;      // doublewrite header, then the copies
  std::vector<Copy> copies_;
  std::vector<unsigned> runs_;  // of adjacent pages: where in copies_ each begins, and the end

  std::mutex wait_mutex_;
  std::condition_variable cleaner_wake_;
  std::condition_variable frames_wake_;
  bool frames_wanted_ = false;
  std::uint64_t cleaner_starved_ = 0;  // how often the cleaner had no memory, as for long before
  bool stopping_ = false;
  // The cleaner's own.
  std::chrono::steady_clock::time_point no_memory_since_{};
  std::chrono::steady_clock::time_point no_memory_last_{};
  std::thread cleaner_;
};

/// Copies a page word by word with the atomics that ThreadSanitizer understands, or by memcpy.
void load_page_bytes(const std::byte* frame, std::byte* into) noexcept;
void store_page_bytes(std::byte* frame, const std::byte* from) noexcept;

/// Under the page's exclusive latch. `rec_lsn()`: at most the position of the record of the change; asked for the first
/// change only.
template <class Position>
void BufferPool::Impl::mark_dirty(std::uint32_t number, const Position& rec_lsn) noexcept {
  Frame& frame = (*frames_)[number];
  // Sequentially consistent against redo_start(): see there.
  if (frame.rec_lsn.load(std::memory_order_relaxed) == Frame::kClean) {
    dirty_count_.fetch_add(1, std::memory_order_relaxed);
    frame.rec_lsn.store(rec_lsn(), std::memory_order_seq_cst);
  } else if (frame.copied.load(std::memory_order_relaxed) &&
             frame.next_rec_lsn.load(std::memory_order_relaxed) == Frame::kClean) {
    frame.next_rec_lsn.store(rec_lsn(), std::memory_order_relaxed);
  }
}

}  // namespace vaultgres
