// Pages in and out: load, frames, clock sweep, eviction.
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <string>

#include "base/try.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

namespace {

/// Rounds that the hand passes by an unmarked page before it goes.
constexpr std::uint8_t kInternalRounds = 1;
constexpr std::uint8_t kPinnedRounds = 4;

std::string page_name(const File& data, PageId id) {
  return data.path() + ": page " + std::to_string(raw(id));
}

}  // namespace

Status BufferPool::Impl::check_id(PageId id) const {
  const std::uint32_t count = page_count_.load(std::memory_order_acquire);
  if (raw(id) < count) [[likely]]
    return {};
  return Error(ErrorCode::kCorruption, page_name(data_, id) + " lies beyond the end of the file, which has " +
                                           std::to_string(count) + " pages");
}

/// The mark is written only if it is clear: readers of hot pages write nothing.
void BufferPool::Impl::touch(Translation& entry, std::uint64_t place, Hint hint) noexcept {
  if (options_.use_hints && hint == Hint::kScan) return;
  if ((place & Translation::kMark) != 0) [[likely]]
    return;
  // Only of a page that is still where it was: an evicted one has no mark.
  entry.place.compare_exchange_strong(place, place | Translation::kMark, std::memory_order_relaxed);
}

void BufferPool::Impl::publish(std::uint32_t frame, const std::byte* bytes) noexcept {
  store_page_bytes(frames_->bytes(frame), bytes);
}

/// Reads, checks the checksum, and that it is what was written last.
Status BufferPool::Impl::read_page(PageId id, std::byte* into, std::uint32_t* checksum, const Translation* expected) {
  const MutableBytes page(into, kPageBytes);
  VG_TRY(data_.read(std::uint64_t{raw(id)} * kPageBytes, page));
  loads_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t stored = page_header(Bytes(page)).checksum.get();
  if (stored != page_checksum(database_, id, page)) {
    return Error(ErrorCode::kCorruption, page_name(data_, id) +
                                             (page_is_zero(page) ? " was never written" : " has a wrong checksum") +
                                             "; run `vaultgres check` on the database");
  }
  const std::uint64_t place = expected->place.load(std::memory_order_relaxed);
  if ((place & Translation::kChecksumKnown) != 0 && (place >> Translation::kPlaceShift) != stored) {
    return Error(ErrorCode::kCorruption, page_name(data_, id) +
                                             " is an old version of the page: the disk lost a write that it had "
                                             "reported as done");
  }
  if (Status sound = validator_(id, page); !sound) return sound.error().with_context(page_name(data_, id));
  *checksum = static_cast<std::uint32_t>(stored);
  return {};
}

/// Makes the page resident, and keeps it so while the pin lives.
Result<LoadPin> BufferPool::Impl::fault(BufferPool* pool, PageId id, Hint hint) {
  assert_no_latch_held();
  VG_TRY(check_id(id));
  Translation& entry = this->entry(id);
  LoadPin pin;
  std::uint32_t spare = Frames::kNone;  // got before the page is latched: nobody waits for a frame under a latch
  for (;;) {
    if ((entry.place.load(std::memory_order_acquire) & Translation::kResident) == 0 && spare == Frames::kNone) {
      VG_ASSIGN(spare, get_frame());
    }
    entry.lock_exclusive();
    const std::uint64_t place = entry.place.load(std::memory_order_relaxed);
    if ((place & Translation::kResident) != 0) {
      pin.pool_ = pool;
      pin.frame_ = static_cast<std::uint32_t>(place >> Translation::kPlaceShift);
      (*frames_)[pin.frame_].pins.fetch_add(1, std::memory_order_relaxed);
      entry.unlock_exclusive();
      if (spare != Frames::kNone) give_frame(spare);
      return pin;
    }
    if (spare != Frames::kNone) break;
    entry.unlock_exclusive();  // it was evicted in between
  }
  std::uint32_t checksum = 0;
#ifdef VG_WORD_ATOMIC_PAGES
  // Optimistic readers of the frame's former page may still be looking: only atomic stores are for their eyes.
  alignas(kIoBufferAlignment) std::array<std::byte, kPageBytes> bytes;
  const Status read = read_page(id, bytes.data(), &checksum, &entry);
  if (read) publish(spare, bytes.data());
#else
  const Status read = read_page(id, frames_->bytes(spare), &checksum, &entry);
#endif
  if (!read) {
    entry.unlock_exclusive();
    give_frame(spare);
    return read.error();
  }
  Frame& frame = (*frames_)[spare];
  frame.page.store(raw(id), std::memory_order_relaxed);
  frame.disk_checksum.store(checksum, std::memory_order_relaxed);
  frame.disk_checksum_known.store(true, std::memory_order_relaxed);
  frame.pins.store(1, std::memory_order_relaxed);
  const auto type = static_cast<PageType>(page_header(Bytes(frames_->bytes(spare), kPageBytes)).type.get());
  frame.rounds.store(!options_.use_hints           ? std::uint8_t{0}
                     : hint == Hint::kPinned       ? kPinnedRounds
                     : type == PageType::kInternal ? kInternalRounds
                                                   : std::uint8_t{0},
                     std::memory_order_relaxed);
  entry.place.store(std::uint64_t{spare} << Translation::kPlaceShift | Translation::kResident,
                    std::memory_order_release);
  entry.unlock_exclusive();
  pin.pool_ = pool;
  pin.frame_ = spare;
  return pin;
}

// --- Frames

Result<std::uint32_t> BufferPool::Impl::get_frame() {
  for (;;) {
    if (const std::uint32_t frame = frames_->take_free(); frame != Frames::kNone) return frame;
    if (const std::uint32_t frame = evict_one(); frame != Frames::kNone) return frame;
    VG_TRY(poison_.check());
    wait_for_frames();
  }
}

void BufferPool::Impl::give_frame(std::uint32_t frame) noexcept {
  frames_->give_free(frame);
  const std::lock_guard lock(wait_mutex_);
  if (waiting_for_frames_ > 0) frames_wake_.notify_all();
}

/// The clock sweep. Only tries: a page that is latched, pinned or dirty is passed by.
std::uint32_t BufferPool::Impl::evict_one() noexcept {
  const std::uint64_t count = frames_->count();
  const std::uint64_t steps = count * (kPinnedRounds + 2);
  for (std::uint64_t step = 0; step < steps; ++step) {
    const auto frame = static_cast<std::uint32_t>(hand_.fetch_add(1, std::memory_order_relaxed) % count);
    if (try_evict(frame)) return frame;
  }
  return Frames::kNone;
}

bool BufferPool::Impl::try_evict(std::uint32_t number) noexcept {
  Frame& frame = (*frames_)[number];
  const std::uint32_t page = frame.page.load(std::memory_order_relaxed);
  if (page == raw(kNoPage) || frame.pins.load(std::memory_order_relaxed) != 0 ||
      frame.rec_lsn.load(std::memory_order_relaxed) != Frame::kClean) {
    return false;
  }
  Translation& entry = table_[page];
  std::uint64_t place = entry.place.load(std::memory_order_relaxed);
  if ((place & Translation::kResident) == 0 || (place >> Translation::kPlaceShift) != number) return false;
  if ((place & Translation::kMark) != 0) {
    entry.place.compare_exchange_strong(place, place & ~Translation::kMark, std::memory_order_relaxed);
    return false;
  }
  if (const std::uint8_t rounds = frame.rounds.load(std::memory_order_relaxed); rounds > 0) {
    frame.rounds.store(static_cast<std::uint8_t>(rounds - 1), std::memory_order_relaxed);
    return false;
  }
  if (!entry.try_exclusive()) return false;
  // Looked at again under the latch.
  place = entry.place.load(std::memory_order_relaxed);
  if (frame.page.load(std::memory_order_relaxed) != page || (place & Translation::kResident) == 0 ||
      (place >> Translation::kPlaceShift) != number || frame.pins.load(std::memory_order_relaxed) != 0 ||
      frame.rec_lsn.load(std::memory_order_relaxed) != Frame::kClean || frame.copied.load(std::memory_order_relaxed)) {
    entry.unlock_exclusive();
    return false;
  }
  const bool known = frame.disk_checksum_known.load(std::memory_order_relaxed);
  entry.place.store(
      known ? std::uint64_t{frame.disk_checksum.load(std::memory_order_relaxed)} << Translation::kPlaceShift |
                  Translation::kChecksumKnown
            : 0,
      std::memory_order_release);
  frame.page.store(raw(kNoPage), std::memory_order_relaxed);
  entry.unlock_exclusive();  // the version rises before the frame changes hands
  evictions_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace vaultgres
