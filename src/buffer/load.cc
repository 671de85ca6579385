// Pages in and out: load, frames, clock sweep, eviction.
#include <array>
#include <cstring>
#include <new>
#include <string>

#include "base/seeded_bug.h"
#include "base/try.h"
#include "buffer/page_visits.h"
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

Error lost_log(const std::string& page_name, Lsn lsn, Lsn log_end) {
  return Error(ErrorCode::kCorruption, page_name + " was changed at log position " + std::to_string(raw(lsn)) +
                                           ", but the log ends at " + std::to_string(raw(log_end)) +
                                           ": log that was durable is lost");
}

Status BufferPool::Impl::check_id(PageId id) const {
  const std::uint32_t count = hot_.page_count.load(std::memory_order_acquire);
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
  VG_NOISE(kTouchBefore);
  if (entry.mark(place)) {
    const std::uint32_t number = Translation::frame_of(place);
    Frame& frame = (*frames_)[number];
    frame.rounds.store(rounds_for(number, hint), std::memory_order_relaxed);
    frame.scanned.store(false, std::memory_order_relaxed);
  }
}

/// The type is read without a latch: a stale one only makes the page stay longer, or go sooner.
std::uint8_t BufferPool::Impl::rounds_for(std::uint32_t number, Hint hint) const noexcept {
  if (!options_.use_hints) return 0;
  if (hint == Hint::kPinned) return kPinnedRounds;
  const auto* type = reinterpret_cast<const std::uint8_t*>(frames_->bytes(number)) + offsetof(PageHeader, type);
  return __atomic_load_n(type, __ATOMIC_RELAXED) == static_cast<std::uint8_t>(PageType::kInternal) ? kInternalRounds
                                                                                                   : 0;
}

void BufferPool::Impl::publish(std::uint32_t frame, const std::byte* bytes) noexcept {
  store_page_bytes(frames_->bytes(frame), bytes);
}

Status BufferPool::Impl::read_page(PageId id, std::byte* into, std::uint32_t* checksum, const Translation& entry) {
  const MutableBytes page(into, kPageBytes);
  VG_TRY(data_.read(std::uint64_t{raw(id)} * kPageBytes, page));
  return check_loaded(id, page, checksum, entry);
}

/// The page is latched exclusively and not resident; the frame is nobody's.
Status BufferPool::Impl::read_into_frame(PageId id, std::uint32_t frame, std::uint32_t* checksum) {
#ifdef VG_WORD_ATOMIC_PAGES
  // Optimistic readers of the frame's former page may still be looking: only atomic stores are for their eyes.
  alignas(kIoBufferAlignment) std::array<std::byte, kPageBytes> bytes;
  VG_TRY(read_page(id, bytes.data(), checksum, entry(id)));
  publish(frame, bytes.data());
  return {};
#else
  return read_page(id, frames_->bytes(frame), checksum, entry(id));
#endif
}

/// Checks the checksum, and that the page is what was written last.
Status BufferPool::Impl::check_loaded(PageId id, Bytes page, std::uint32_t* checksum, const Translation& entry) {
  loads_.fetch_add(1, std::memory_order_relaxed);
  ++page_visits.loads;
  const std::uint64_t stored = page_header(page).checksum.get();
  if (stored != page_checksum(database_, id, page) && !VG_SEEDED_BUG(kChecksumUnchecked)) {
    return Error(ErrorCode::kCorruption, page_name(data_, id) +
                                             (page_is_zero(page) ? " was never written" : " has a wrong checksum") +
                                             "; run `vaultgres check` on the database");
  }
  const std::uint64_t place = entry.place.load(std::memory_order_relaxed);
  if ((place & Translation::kChecksumKnown) != 0 && (place >> Translation::kPlaceShift) != stored) {
    return Error(ErrorCode::kCorruption, page_name(data_, id) +
                                             " is an old version of the page: the disk lost a write that it had "
                                             "reported as done");
  }
  VG_TRY(check_lsn(id, Lsn{page_header(page).lsn.get()}));
  if (Status sound = validator_(id, page); !sound) return sound.error().with_context(page_name(data_, id));
  *checksum = static_cast<std::uint32_t>(stored);
  return {};
}

/// A page is written only when the log is durable up to its LSN: a log that ends before has lost what it had.
Status BufferPool::Impl::check_lsn(PageId id, Lsn lsn) const {
  // Before redo is through, every page is of the old log, and redo looks at its LSN itself.
  const bool of_old_log = lsn <= log_.epoch().first || old_log_end_ == kLogEndUnknown;
  const Lsn end = of_old_log ? old_log_end_ : log_.end();
  if (lsn <= end) [[likely]]
    return {};
  return lost_log(page_name(data_, id), lsn, end);
}

/// Empty when the page is not resident.
std::optional<LoadPin> BufferPool::Impl::pin_if_resident(BufferPool* pool, Translation& entry) noexcept {
  const std::uint64_t place = entry.pin_if_resident(*frames_);
  if (place == Translation::kAbsent) return std::nullopt;
  return LoadPin(pool, Translation::frame_of(place));
}

/// Makes the page resident, and keeps it so while the pin lives.
Result<LoadPin> BufferPool::Impl::fault(BufferPool* pool, PageId id, Hint hint) {
  assert_may_wait("a page to be loaded");
  VG_TRY(check_id(id));
  Translation& entry = this->entry(id);
  if (auto pin = pin_if_resident(pool, entry)) return *std::move(pin);
  // Got before the page is latched: nobody waits for a frame under a latch.
  VG_ASSIGN(const std::uint32_t spare, get_frame(hint));
  VG_NOISE(kFaultFrameInHand);
  do {
    if (auto pin = pin_if_resident(pool, entry)) {  // somebody else was faster
      give_frame(spare);
      return *std::move(pin);
    }
  } while (!entry.latch_absent());
  VG_NOISE(kFaultLatched);
  assert_one_latch_held("a page is read");
  std::uint32_t checksum = 0;
  const auto give_back = [&] {
    entry.unlock_exclusive();
    give_frame(spare);
  };
  Status read;
  try {
    read = read_into_frame(id, spare, &checksum);
  } catch (const std::bad_alloc&) {  // for an error's text
    give_back();
    throw;
  }
  if (!read) {
    give_back();
    return read.error();
  }
  VG_NOISE(kFaultRead);
  admit(entry, id, spare, checksum, hint, 1);
  VG_NOISE(kFaultAdmitted);
  entry.unlock_exclusive();
  return LoadPin(pool, spare);
}

/// The page, exclusively latched and just read into the frame, becomes resident.
void BufferPool::Impl::admit(Translation& entry, PageId id, std::uint32_t number, std::uint32_t checksum, Hint hint,
                             std::uint32_t pins) noexcept {
  Frame& frame = (*frames_)[number];
  frame.disk_checksum.store(checksum, std::memory_order_relaxed);
  frame.disk_checksum_known.store(true, std::memory_order_relaxed);
  frame.rounds.store(rounds_for(number, hint), std::memory_order_relaxed);
  remember_scanned(number, hint);
  entry.enter(frame, number, raw(id), pins, /*mark=*/0);
}

// --- Frames

Result<std::uint32_t> BufferPool::Impl::get_frame(Hint hint) {
  for (;;) {
    const std::uint64_t seen = frames_freed_.load(std::memory_order_acquire);  // before looking
    if (const std::uint32_t frame = try_get_frame(hint); frame != Frames::kNone) return frame;
    VG_TRY(poison_.check());
    VG_TRY(wait_for_frames(seen));
  }
}

std::uint32_t BufferPool::Impl::try_get_frame(Hint hint) noexcept {
  if (const std::uint32_t frame = frames_->take_free(); frame != Frames::kNone) return frame;
  if (options_.use_hints && hint == Hint::kScan) {
    if (const std::uint32_t frame = evict_scanned(); frame != Frames::kNone) return frame;
  }
  return evict_one();
}

void BufferPool::Impl::give_frame(std::uint32_t frame) noexcept {
  frames_->give_free(frame);
  note_frames_freed();
}

/// A page that a scan loaded and nobody used since, from the ring.
std::uint32_t BufferPool::Impl::evict_scanned() noexcept {
  const std::size_t ring = scan_ring_count();
  const std::uint32_t first = scan_next_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < ring; ++i) {
    std::atomic<std::uint32_t>& place = scan_ring_[(first + i) % ring];
    if (place.load(std::memory_order_relaxed) == 0) continue;
    const std::uint32_t number = place.exchange(0, std::memory_order_relaxed);
    if (number == 0) continue;
    const std::uint32_t frame = number - 1;
    if ((*frames_)[frame].scanned.load(std::memory_order_relaxed) && try_evict(frame)) return frame;
  }
  return Frames::kNone;
}

void BufferPool::Impl::remember_scanned(std::uint32_t number, Hint hint) noexcept {
  Frame& frame = (*frames_)[number];
  // An inner node stays longer than what is below it, whoever loaded it.
  const bool scanned = options_.use_hints && hint == Hint::kScan && frame.rounds.load(std::memory_order_relaxed) == 0;
  frame.scanned.store(scanned, std::memory_order_relaxed);
  if (!scanned) return;
  const std::uint32_t at = scan_next_.fetch_add(1, std::memory_order_relaxed);
  scan_ring_[at % scan_ring_count()].store(number + 1, std::memory_order_relaxed);
}

/// The clock sweep. Only tries: a page that is latched, pinned or dirty is passed by. Gives up after a whole turn that
/// brought nothing nearer.
std::uint32_t BufferPool::Impl::evict_one() noexcept {
  const std::uint64_t count = frames_->count();
  std::uint64_t passed = 0;
  for (std::uint64_t step = 0; step < count * (kPinnedRounds + 2) && passed < count; ++step) {
    const auto frame = static_cast<std::uint32_t>(hand_.fetch_add(1, std::memory_order_relaxed) % count);
    switch (visit(frame)) {
      case Visit::kEvicted:
        return frame;
      case Visit::kAged:
        passed = 0;
        break;
      case Visit::kPassed:
        ++passed;
    }
  }
  return Frames::kNone;
}

BufferPool::Impl::Visit BufferPool::Impl::visit(std::uint32_t number) noexcept {
  Frame& frame = (*frames_)[number];
  const std::uint32_t page = frame.page.load(std::memory_order_relaxed);
  if (page == Frame::kFree || !frame.may_go()) return Visit::kPassed;
  Translation& entry = hot_.table[page];
  const std::uint64_t place = entry.place.load(std::memory_order_relaxed);
  if (!Translation::is_resident(place) || Translation::frame_of(place) != number) return Visit::kPassed;
  if ((place & Translation::kMark) != 0) {
    entry.unmark(place);
    return Visit::kAged;
  }
  if (const std::uint8_t rounds = frame.rounds.load(std::memory_order_relaxed); rounds > 0) {
    frame.rounds.store(static_cast<std::uint8_t>(rounds - 1), std::memory_order_relaxed);
    return Visit::kAged;
  }
  return try_evict(number) ? Visit::kEvicted : Visit::kPassed;
}

bool BufferPool::Impl::try_evict(std::uint32_t number) noexcept {
  if (!Translation::try_evict(hot_.table, (*frames_)[number], number)) return false;
  evictions_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace vaultgres
