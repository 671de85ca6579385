// The buffer pool: translation array, frames, clock sweep, cleaner with doublewrite.
//
// Translation is an array indexed by page id, 16 bytes a page: a word of 56-bit version and 8-bit latch
// state, and a word of frame number and clock mark or, while the page is not resident, the checksum last
// written (so that a lost write is seen at the next load). After "Making Array-Based Translation Practical"
// (2026). Versions never restart: eviction, load, free and reuse each raise them before the frame changes
// hands, so a freed page id may be reused at once and readers simply fail to validate.
//
// Rules (DESIGN: latches). Nobody waits for a frame or a page read while holding a latch: the calls that may
// read or wait for a frame are marked [no latch held] and assert it. Calls named try_ never wait. Latch
// order: parent, child, right sibling; allocation bitmap last.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/aligned_buffer.h"
#include "base/poison.h"
#include "buffer/guards.h"
#include "buffer/redo_table.h"
#include "io/file.h"
#include "wal/log.h"

namespace vaultgres {

/// How a page is going to be used: what the clock sweep does with it.
enum class Hint : std::uint8_t {
  kNormal,  ///< promoted by a second use
  kScan,    ///< not promoted: goes first
  kPinned,  ///< hot object: goes last
};

struct BufferOptions {
  std::size_t cache_bytes = std::size_t{256} << 20;            ///< hard limit for frames; at least frames_min pages
  std::uint64_t redo_window_bytes = std::uint64_t{256} << 20;  ///< the cleaner keeps log end - oldest recLSN below
  bool use_hints = true;  ///< only tests switch it off, to show that the hints matter
};

/// 16 frames and 8 per concurrent thread are enough for any set of operations.
inline constexpr std::size_t kFramesMin = 16;

struct BufferStats {
  std::uint64_t visits = 0;  ///< of pages by reads, about: see count_visits()
  std::uint64_t loads = 0;   ///< pages read from disk
  std::uint64_t evictions = 0;
  std::uint64_t pages_cleaned = 0;
  std::uint64_t batches = 0;  ///< doublewrite batches
  std::uint64_t frames = 0;
  std::uint64_t frames_free = 0;
  std::uint64_t frames_dirty = 0;
};

/// Checks a page's structure after its checksum was found good; kCorruption with a reason if it is not a
/// page of its type. Called without latches on a private or exclusively held page.
using PageValidator = Status (*)(PageId id, Bytes page);

/// What a scan keeps from one read_ahead() to the next.
struct ReadAhead {
  AlignedBuffer buffer;     ///< made when it is first needed
  std::uint32_t begin = 0;  ///< the run that was read last: what is absent of it, a damaged page say, is not read ahead
  std::uint32_t pages = 0;  ///< again
};

class BufferPool {
 public:
  /// `data` is the open data file; `doublewrite` the open doublewrite file (grown here if needed). Both
  /// outlive the pool. Starts no thread: the cleaner thread begins with start_cleaner().
  static Result<std::unique_ptr<BufferPool>> open(File& data, File& doublewrite, const DatabaseId& database, Log& log,
                                                  const RedoTable& redo, PageValidator validator,
                                                  const BufferOptions& options, Poison& poison);
  ~BufferPool();  ///< joins the cleaner; writes nothing
  /// How far the log was durable when pages were written last; 0: nothing says so. A log that ends before is not whole.
  static Result<Lsn> durable_when_written(File& doublewrite, const DatabaseId& database);

  void start_cleaner();
  /// Where the log of before this epoch ended. A page whose LSN lies beyond, and below this epoch, was written when
  /// there was more log: an error of whoever loads it from now on. The cleaner writes what redo has changed, so that
  /// the old log is over soon. Before anybody else uses the pool.
  void set_old_log_end(Lsn end) noexcept;

  /// Number of pages of the data file; ids at or above it are refused ("page id beyond the file").
  std::uint32_t page_count() const noexcept { return hot_.page_count.load(std::memory_order_acquire); }
  /// `count` is at most page_count_max().
  void set_page_count(std::uint32_t count) noexcept;
  /// How many pages the translation array has room for: every page id, unless the system refuses to reserve
  /// that much address space.
  std::uint32_t page_count_max() const noexcept;

  // --- Reading. [no latch held]; loads the page if it is not resident, waits while it is written.
  // An error on a page that was reached by a pointer which is no longer current is no damage: the caller
  // validates the page that held the pointer before it believes the error.
  Result<OptimisticGuard> optimistic(PageId id, Hint hint);
  Result<SharedGuard> shared(PageId id, Hint hint);
  Result<ExclusiveGuard> exclusive(PageId id, Hint hint);
  /// Makes the page resident and keeps it so while the pin lives.
  Result<LoadPin> load(PageId id, Hint hint);
  /// For a scan that will want these pages in this order: when the first is not resident, it and those that follow it
  /// in the file, too, are read at once, as by Hint::kScan. Never waits for a latch or a frame; errors are left to him
  /// who wants the page. `last` is the scan's.
  void read_ahead(std::span<const PageId> ids, ReadAhead& last);

  // --- Reading by who has other pages to look at meanwhile. They don't wait for latches and frames. [no latch held]
  /// Asks the processor for what optimistic() reads first.
  void prefetch_entry(PageId id) const noexcept {
    if (raw(id) < page_count()) __builtin_prefetch(&hot_.table[raw(id)]);
  }
  /// As optimistic(); empty when the page is not resident, or is latched exclusively, or lies beyond the file. Waits
  /// for nothing, so latches may be held.
  OptimisticGuard optimistic_if_ready(PageId id, Hint hint);
  /// Makes those of the pages resident that are not, as many as can be had at once, and keeps them so while the pins
  /// live. Their reads are under way at the same time. Whatever is wrong with a page is left to him who wants it.
  static constexpr std::size_t kLoadsMax = 8;
  using LoadPins = std::array<LoadPin, kLoadsMax>;
  LoadPins load_absent(std::span<const PageId> ids, Hint hint);

  // --- Under latches. Wait for the page's latch (in latch order) but for nothing else; empty when the page
  // is not resident: release everything, load(), descend again.
  std::optional<SharedGuard> shared_if_resident(PageId id);
  std::optional<ExclusiveGuard> exclusive_if_resident(PageId id);
  // Never wait; empty when busy or not resident.
  std::optional<SharedGuard> try_shared(PageId id);
  std::optional<ExclusiveGuard> try_exclusive(PageId id);
  /// A compare-and-swap on the version: succeeds only if the page is unchanged since `guard` was made. The
  /// optimistic guard is consumed either way.
  std::optional<ExclusiveGuard> try_upgrade(OptimisticGuard guard);

  /// What the page says now will reach the disk before it leaves its frame: it is dirty, and no batch has copied it
  /// since its last logged change. Else a change by unlogged_bytes() is lost when the page is evicted.
  bool will_be_written(const ExclusiveGuard& guard) const noexcept;

  // --- New pages.
  /// Takes `count` free frames, all or none, waiting for the cleaner if need be. kOutOfMemory when
  /// that has had no memory for a second; so may every call that loads a page. [no latch held]
  Result<FrameTicket> reserve_frames(unsigned count);
  /// The page `id`, just allocated, zeroed and exclusively latched, in a frame of the ticket. Its first
  /// MiniTxn operation must be one that initialises.
  ExclusiveGuard create(PageId id, FrameTicket& ticket);

  // --- Redo: one thread; beside it others may load pages, but not look at them. [no latch held]
  struct RedoPage {
    ExclusiveGuard guard;
    bool absent = false;  ///< bad checksum, all zeros or beyond the file: content is zero, LSN 0
  };
  /// Grows page_count() and the file when `id` lies beyond.
  Result<RedoPage> exclusive_for_redo(PageId id);
  /// The page is dirty from `record_start` on, whether redo changed it or not. `lsn` becomes its LSN when
  /// it was changed.
  void mark_redone(ExclusiveGuard& guard, Lsn record_start, std::optional<Lsn> lsn);
  /// The page is still absent, and has been latched since it was got: it leaves its frame, and whoever wants it reads
  /// it anew and is told what is wrong with it.
  void drop_absent(RedoPage page);
  /// For a page that a record carried whole: as one that is loaded, it is looked at before anybody believes it.
  Status check_redone(const ExclusiveGuard& guard) const;
  /// The same for all pages that redo has changed, when it is through: operations that stay within a page may yet leave
  /// nonsense on it. Pages that have left the cache meanwhile are looked at when they are loaded.
  Status check_redone();

  // --- Durability.
  /// The smallest recLSN of pages that are dirty or not yet synced; `log_end` (read before the call) if
  /// there is none.
  Lsn redo_start(Lsn log_end);
  /// Writes every page that is dirty now, by doublewrite batches. [no latch held]
  Status flush_all();
  /// After open, before anything is loaded: restores torn pages from the doublewrite area (copies whose LSN lies
  /// between redo start and the log's end and whose in-place page fails its checksum), writes and syncs them. Copies
  /// are newer than the log only where its end is lost.
  Status restore_torn_pages(Lsn redo_start, Lsn log_end);

  // --- Copies for a backup.
  /// Whether `page`, just read from the file without a latch, is what was written last, as far as anybody can tell.
  bool is_sound_copy(PageId id, Bytes page) const noexcept;
  /// The page as its frame has it, or as it is on disk, with its checksum. kCorruption names a damaged one.
  /// [no latch held]
  Status copy_page(PageId id, MutableBytes into);

  /// A read has visited `count` pages of the kind: a member of this thread's page_visits. The pool's own sum moves by
  /// steps of kVisitsStep, so that readers seldom write to shared memory.
  void count_visits(std::uint64_t& kind, std::uint64_t count) noexcept {
    const std::uint64_t before = kind;
    kind += count;
    if (before / kVisitsStep != kind / kVisitsStep) [[unlikely]] {
      add_visits(kVisitsStep);
    }
  }

  BufferStats stats() const;
  /// What calls hold at this moment; when none is under way, all of it is zero. Looks at every page: for tests.
  struct Held {
    std::uint64_t latches = 0;
    std::uint64_t pins = 0;
    std::uint64_t frames = 0;  ///< neither free nor those of a page
  };
  Held held() const;

 private:
  static constexpr std::uint64_t kVisitsStep = 1024;
  void add_visits(std::uint64_t count) noexcept;
  friend class OptimisticGuard;
  friend class SharedGuard;
  friend class ExclusiveGuard;
  friend class LoadPin;
  friend class FrameTicket;
  friend class MiniTxn;
  class Impl;
  /// What a reader of a resident page needs.
  struct Hot {
    Translation* table = nullptr;
    std::byte* frames = nullptr;
    std::atomic<std::uint32_t> page_count{0};
  };
  BufferPool() = default;
  OptimisticGuard optimistic_in_use(PageId id) noexcept;
  Result<OptimisticGuard> optimistic_slow(PageId id, Hint hint);
  OptimisticGuard optimistic_if_ready_slow(PageId id, Hint hint);
  OptimisticGuard optimistic_guard(PageId id, Translation& entry, const Translation::Seen& seen);
  SharedGuard shared_guard(PageId id, std::uint64_t place) noexcept;
  ExclusiveGuard exclusive_guard(PageId id, std::uint64_t place) noexcept;
  std::uint32_t frame_of(const ExclusiveGuard& guard) const noexcept;
  Hot hot_;
  std::unique_ptr<Impl> impl_;
};

/// The error for a page whose LSN lies beyond the end of the log.
Error lost_log(const std::string& page_name, Lsn lsn, Lsn log_end);

/// Two cache lines for a page in use: its entry, and what the caller reads of the page. Nothing is written. Empty:
/// there is more to do.
inline OptimisticGuard BufferPool::optimistic_in_use([[maybe_unused]] PageId id) noexcept {
  OptimisticGuard guard;
#ifndef VG_WORD_ATOMIC_PAGES
  if (raw(id) < page_count()) [[likely]] {
    Translation& entry = hot_.table[raw(id)];
    const Translation::Seen seen = entry.begin_read();
    if (Translation::in_use(seen.place) && !Latch::is_exclusive(seen.word)) [[likely]] {
      guard.entry_ = &entry;
      guard.bytes_ = hot_.frames + Translation::frame_of(seen.place) * kPageBytes;
      guard.version_ = Latch::version_of(seen.word);
      guard.id_ = id;
    }
  }
#endif
  return guard;
}

inline Result<OptimisticGuard> BufferPool::optimistic(PageId id, Hint hint) {
  if (OptimisticGuard guard = optimistic_in_use(id)) [[likely]]
    return guard;
  return optimistic_slow(id, hint);
}

inline OptimisticGuard BufferPool::optimistic_if_ready(PageId id, Hint hint) {
  if (OptimisticGuard guard = optimistic_in_use(id)) [[likely]]
    return guard;
  return optimistic_if_ready_slow(id, hint);
}

}  // namespace vaultgres
