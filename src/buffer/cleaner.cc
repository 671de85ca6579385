// The cleaner: writes dirty pages in the background, by doublewrite batches.
//
// A batch: copy pages under shared latches and checksum the copies; force the log up to their LSNs; write and sync
// the area; write in place; sync the data file. Only then are the pages clean. README.md says what a crash
// between any two steps leaves.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "base/crc32c.h"
#include "base/in_parallel.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

namespace {

/// How often the cleaner looks at how much is dirty when nobody asks.
constexpr std::chrono::milliseconds kPause{50};
/// Somebody who waits for a frame looks again after this long, come what may.
constexpr std::chrono::milliseconds kFrameWait{10};
/// When the cleaner has had no memory for so long, those who wait are told.
constexpr std::chrono::seconds kMemoryWait{1};
/// Writes under way at a time, each writer with so many to do that its thread is worth it.
constexpr unsigned kWritersMax = 8;
constexpr unsigned kRunsPerWriter = 8;
static_assert(kWritersMax <= kPartsMax);

}  // namespace

// --- Waiting for frames

/// `seen` is frames_freed_ from before the caller looked in vain: what was freed since is not waited for. kOutOfMemory:
/// meanwhile the cleaner has tried, and had no memory, as for long before.
Status BufferPool::Impl::wait_for_frames(std::uint64_t seen) {
  assert_may_wait("a frame");
  std::unique_lock lock(wait_mutex_);
  const std::uint64_t starved = cleaner_starved_;
  frames_wanted_ = true;
  cleaner_wake_.notify_one();
  const auto freed = [&] { return frames_freed_.load(std::memory_order_relaxed) != seen; };
  if (frames_wake_.wait_for(lock, kFrameWait, freed) || cleaner_starved_ == starved) return {};
  return Error(ErrorCode::kOutOfMemory, "no memory to write changed pages, whose room in the cache is needed");
}

void BufferPool::Impl::note_frames_freed() noexcept {
  {
    const std::lock_guard lock(wait_mutex_);
    frames_freed_.fetch_add(1, std::memory_order_release);
  }
  frames_wake_.notify_all();
}

// --- The thread

void BufferPool::Impl::start_cleaner() {
  try {
    cleaner_ = std::thread([this] { cleaner_main(); });
  } catch (const std::system_error& refused) {
    // Without it a full cache would make everybody wait for ever.
    poison_.set(Error(ErrorCode::kOutOfMemory, std::string("cannot start the cleaner thread: ") + refused.what()));
  }
}

void BufferPool::Impl::stop_cleaner() noexcept {
  {
    const std::lock_guard lock(wait_mutex_);
    stopping_ = true;
  }
  cleaner_wake_.notify_all();
  if (cleaner_.joinable()) cleaner_.join();
}

void BufferPool::Impl::cleaner_main() {
  Sweep sweep;
  for (;;) {
    bool wanted = false;
    {
      std::unique_lock lock(wait_mutex_);
      cleaner_wake_.wait_for(lock, kPause, [&] { return stopping_ || frames_wanted_; });
      if (stopping_) return;
      wanted = std::exchange(frames_wanted_, false);
    }
    if (poison_.is_set()) {
      note_frames_freed();  // whoever waits finds out
      continue;
    }
    try {
      std::vector<std::uint32_t> pages = pages_to_clean(wanted, sweep);
      if (!pages.empty()) static_cast<void>(clean(pages).has_value());  // a failure has poisoned the database
      if (wanted || !pages.empty()) no_memory_last_ = {};
    } catch (const std::bad_alloc&) {
      note_no_memory();  // the next look tries again
    }
  }
}

void BufferPool::Impl::note_no_memory() noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (now - no_memory_last_ > kMemoryWait) no_memory_since_ = now;  // the first of a row
  no_memory_last_ = now;
  if (now - no_memory_since_ < kMemoryWait) return;
  const std::lock_guard lock(wait_mutex_);
  ++cleaner_starved_;
}

/// Looks at the frames only when there is a reason to.
std::vector<std::uint32_t> BufferPool::Impl::pages_to_clean(bool wanted, Sweep& sweep) {
  // What holds the log back comes first, also for those who wait: each batch gives them frames. During redo every
  // change is as old as the log that it is taken from, and the next record may be for the same page: there is no hurry.
  if (!redoing_.load(std::memory_order_relaxed)) {
    const std::uint64_t end = raw(log_.end());
    const std::uint64_t half = options_.redo_window_bytes / 2;
    const std::uint64_t wanted_start = wanted_redo_start_.load(std::memory_order_relaxed);
    if (std::exchange(sweep.wanted_start, wanted_start) != wanted_start) sweep.oldest = 0;  // redo goes back
    const std::uint64_t from = std::max(end - std::min(end, half), wanted_start);
    if (sweep.oldest < from) {
      sweep.oldest = raw(redo_start(Lsn{end}));
      if (sweep.oldest < from) return dirty_pages(from);
    }
  }
  if (wanted) {
    std::vector<std::uint32_t> pages = dirty_pages(Frame::kClean);
    // Whoever waits wants a few frames now. The next look goes on behind them: from the lowest again, those above would
    // stay dirty, in their frames, for as long as somebody waits.
    std::rotate(pages.begin(), std::lower_bound(pages.begin(), pages.end(), sweep.next), pages.end());
    if (pages.size() > 4 * kDoublewritePagesMax) pages.resize(4 * kDoublewritePagesMax);
    if (!pages.empty()) sweep.next = pages.back() + 1;
    return pages;
  }
  // Half of the cache is dirty: have clean frames ready.
  if (std::uint64_t{dirty_count_.load(std::memory_order_relaxed)} * 2 > frames_->count()) {
    return dirty_pages(Frame::kClean);
  }
  return {};
}

/// Pages that are dirty since before that position, ascending.
std::vector<std::uint32_t> BufferPool::Impl::dirty_pages(std::uint64_t rec_lsn_below) {
  std::vector<std::uint32_t> pages;
  for (std::uint32_t i = 0; i < frames_->count(); ++i) {
    const Frame& frame = (*frames_)[i];
    // Acquire: pairs with the store in mark_dirty, so that `page` is the one that was made dirty.
    const std::uint64_t rec_lsn = frame.rec_lsn.load(std::memory_order_acquire);
    if (rec_lsn >= rec_lsn_below) continue;
    const std::uint32_t page = frame.page.load(std::memory_order_relaxed);
    if (page != Frame::kFree) pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  // A page may have moved to a frame that the scan had yet to see; twice in one batch it would be called clean
  // although it was changed in between.
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  return pages;
}

/// A committer stores its recLSN (at most the log's end at that time) before it reserves its record, both
/// sequentially consistent. So a page that this scan finds clean, and that is dirtied by a record that is not yet
/// reserved, has its record at or above the log's end as it was before the scan: at or above `log_end`.
Lsn BufferPool::Impl::redo_start(Lsn log_end) noexcept {
  std::uint64_t start = raw(log_end);
  for (std::uint32_t i = 0; i < frames_->count(); ++i) {
    start = std::min(start, (*frames_)[i].rec_lsn.load(std::memory_order_seq_cst));
  }
  return Lsn{start};
}

// --- Batches

Status BufferPool::Impl::clean(std::vector<std::uint32_t>& pages) {
  assert_may_wait("a batch of pages to be written");
  for (std::size_t at = 0; at < pages.size(); at += kDoublewritePagesMax) {
    const std::size_t count = std::min(pages.size() - at, kDoublewritePagesMax);
    const std::lock_guard lock(batch_mutex_);
    VG_TRY(poison_.check());
    if (Status done = clean_batch(std::span(pages).subspan(at, count)); !done) {
      poison_.set(done.error().with_context("writing changed pages failed"));
      note_frames_freed();  // whoever waits finds out
      return done;
    }
    note_frames_freed();
  }
  return {};
}

Status BufferPool::Impl::clean_batch(std::span<const std::uint32_t> pages) {
  Lsn newest{0};
  const unsigned count = copy_batch(pages, &newest);
  if (count == 0) return {};
  VG_NOISE(kBatchCopied);
  VG_TRY(log_.flush(newest));
  VG_TRY(write_batch(count));
  VG_NOISE(kBatchWritten);
  finish_batch(count);
  pages_cleaned_.fetch_add(count, std::memory_order_relaxed);
  batches_.fetch_add(1, std::memory_order_release);  // whoever sees it sees these pages clean
  return {};
}

unsigned BufferPool::Impl::copy_batch(std::span<const std::uint32_t> pages, Lsn* newest) {
  copies_.clear();
  for (const std::uint32_t page : pages) {
    Translation& entry = hot_.table[page];
    entry.lock_shared();
    const std::uint64_t place = entry.place.load(std::memory_order_relaxed);
    const std::uint32_t number = Translation::frame_of(place);
    if (!Translation::is_resident(place) ||
        (*frames_)[number].rec_lsn.load(std::memory_order_relaxed) == Frame::kClean) {
      entry.unlock_shared();
      continue;
    }
    const MutableBytes copy = area_.span().subspan(kDoublewriteHeaderBytes + copies_.size() * kPageBytes, kPageBytes);
    std::memcpy(copy.data(), frames_->bytes(number), kPageBytes);
    Frame& frame = (*frames_)[number];
    frame.next_rec_lsn.store(Frame::kClean, std::memory_order_relaxed);
    frame.copied.store(true, std::memory_order_relaxed);
    entry.unlock_shared();
    PageHeader& header = page_header(copy);
    header.checksum.set(page_checksum(database_, PageId{page}, copy));
    *newest = std::max(*newest, Lsn{header.lsn.get()});
    copies_.push_back({page, number, static_cast<std::uint32_t>(header.checksum.get())});
  }
  return static_cast<unsigned>(copies_.size());
}

Status BufferPool::Impl::write_batch(unsigned count) {
  auto& header = *reinterpret_cast<DoublewriteHeader*>(area_.data());
  std::memset(area_.data(), 0, kDoublewriteHeaderBytes);
  header.magic.set(kDoublewriteMagic);
  header.durable.set(raw(log_.durable()));
  header.count.set(count);
  for (unsigned i = 0; i < count; ++i) header.pages[i].set(copies_[i].page);
  header.checksum.set(doublewrite_checksum(page_checksum_seed(database_), header));
  const std::size_t used = kDoublewriteHeaderBytes + count * kPageBytes;
  const std::size_t rounded = (used + kIoAlignment - 1) / kIoAlignment * kIoAlignment;
  if (!VG_SEEDED_BUG(kNoDoublewrite)) {
    VG_TRY(doublewrite_.write(0, area_.span().first(rounded)));
    VG_TRY(doublewrite_.sync());
  }
  VG_TRY(write_in_place(count));
  return data_.sync();
}

/// Adjacent pages by one write, several writes at a time, in any order. Once one has failed it does not matter which
/// others are done.
Status BufferPool::Impl::write_in_place(unsigned count) {
  runs_.clear();
  for (unsigned i = 0; i < count; ++i) {
    if (i == 0 || copies_[i].page != copies_[i - 1].page + 1) runs_.push_back(i);
  }
  const auto runs = static_cast<unsigned>(runs_.size());
  runs_.push_back(count);
  const unsigned writers = std::clamp(runs / kRunsPerWriter, 1u, kWritersMax);
  std::array<Status, kWritersMax> done;
  std::atomic<unsigned> next{writers};
  std::atomic<bool> failed{false};
  in_parallel(writers, [&](unsigned writer) {
    for (unsigned run = writer; run < runs && !failed; run = next++) {
      const std::size_t begin = kDoublewriteHeaderBytes + std::size_t{runs_[run]} * kPageBytes;
      const std::size_t bytes = std::size_t{runs_[run + 1] - runs_[run]} * kPageBytes;
      done[writer] =
          data_.write(std::uint64_t{copies_[runs_[run]].page} * kPageBytes, area_.span().subspan(begin, bytes));
      if (!done[writer]) failed = true;
    }
  });
  for (Status& each : done) VG_TRY(std::move(each));
  return {};
}

/// A page that was changed after it was copied stays dirty, from its first change after the copy on. The shared
/// latch keeps committers out for the moment; a dirty page never leaves its frame.
void BufferPool::Impl::finish_batch(unsigned count) noexcept {
  for (unsigned i = 0; i < count; ++i) {
    const Copy& copy = copies_[i];
    Translation& entry = hot_.table[copy.page];
    Frame& frame = (*frames_)[copy.frame];
    VG_NOISE(kBatchBeforeClean);
    entry.lock_shared();
    frame.disk_checksum.store(copy.checksum, std::memory_order_relaxed);
    frame.disk_checksum_known.store(true, std::memory_order_relaxed);
    frame.copied.store(false, std::memory_order_relaxed);
    const std::uint64_t next = frame.next_rec_lsn.load(std::memory_order_relaxed);
    frame.rec_lsn.store(next, std::memory_order_release);
    if (next == Frame::kClean) dirty_count_.fetch_sub(1, std::memory_order_relaxed);
    entry.unlock_shared();
  }
}

// --- After a crash

Result<Lsn> BufferPool::durable_when_written(File& doublewrite, const DatabaseId& database) {
  VG_ASSIGN(AlignedBuffer block, AlignedBuffer::make(kDoublewriteHeaderBytes));
  VG_ASSIGN(const std::size_t bytes, doublewrite.read_up_to(0, block.span()));
  const DoublewriteHeader* const header = doublewrite_header(page_checksum_seed(database), block.span().first(bytes));
  return header == nullptr ? Lsn{0} : Lsn{header->durable.get()};
}

Status BufferPool::Impl::restore_torn_pages(Lsn redo_start, Lsn log_end) {
  VG_ASSIGN(const std::size_t bytes, doublewrite_.read_up_to(0, area_.span().first(kDoublewriteHeaderBytes)));
  const DoublewriteHeader* const header = doublewrite_header(page_checksum_seed(database_), area_.span().first(bytes));
  if (header == nullptr) return {};  // the area itself is torn: nothing was written in place after it
  const std::size_t copied_bytes = (header->count.get() * kPageBytes + kIoAlignment - 1) / kIoAlignment * kIoAlignment;
  // The area is new: copies that the file lacks are zeros, with an LSN below any redo start.
  VG_TRY(doublewrite_.read_up_to(kDoublewriteHeaderBytes, area_.span().subspan(kDoublewriteHeaderBytes, copied_bytes)));
  VG_ASSIGN(AlignedBuffer in_place, AlignedBuffer::make(kPageBytes));
  VG_ASSIGN(std::uint64_t size, data_.size());
  bool restored = false;
  for (std::uint32_t i = 0; i < header->count.get(); ++i) {
    const PageId id{header->pages[i].get()};
    const std::size_t offset = kDoublewriteHeaderBytes + i * kPageBytes;
    const MutableBytes copy = area_.span().subspan(offset, kPageBytes);
    const PageHeader& copied = page_header(Bytes(copy));
    if (copied.checksum.get() != page_checksum(database_, id, copy)) continue;
    if (const Lsn lsn{copied.lsn.get()}; lsn < redo_start || lsn > log_end) continue;
    const MutableBytes page = in_place.span().first(kPageBytes);
    const std::uint64_t at = std::uint64_t{raw(id)} * kPageBytes;
    // Beyond the file: no write of it was ever synced, so redo begins at or before the record that initialises it.
    if (at >= size) continue;
    VG_ASSIGN(const std::size_t there, data_.read_up_to(at, page));
    if (there == kPageBytes && page_header(Bytes(page)).checksum.get() == page_checksum(database_, id, page)) continue;
    std::memcpy(page.data(), copy.data(), kPageBytes);
    VG_TRY(data_.write(at, page));
    restored = true;
  }
  if (restored) VG_TRY(data_.sync());
  VG_ASSIGN(size, data_.size());  // a torn last page is whole again
  hot_.page_count.store(static_cast<std::uint32_t>(size / kPageBytes), std::memory_order_release);
  return {};
}

}  // namespace vaultgres
