#include "buffer/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "base/try.h"
#include "buffer/latch_rank.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

// --- Opening

Status BufferPool::Impl::init() {
  // As many entries as page ids, if the system lets us reserve the address space; only what is used is backed.
  for (std::size_t entries = std::size_t{1} << 32; entries >= std::size_t{1} << 24; entries >>= 4) {
    void* memory = ::mmap(nullptr, entries * sizeof(Translation), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) continue;
    hot_.table = static_cast<Translation*>(memory);
    table_entries_ = entries;
    break;
  }
  if (hot_.table == nullptr) {
    return Error(ErrorCode::kOutOfMemory, "the system refuses the address space of the page translation array");
  }
  VG_ASSIGN(frames_, Frames::make(options_.cache_bytes));
  hot_.frames = frames_->bytes(0);
  VG_ASSIGN(area_, AlignedBuffer::make(kDoublewriteHeaderBytes + kDoublewritePagesMax * kPageBytes));
  try {
    copies_.reserve(kDoublewritePagesMax);
    runs_.reserve(kDoublewritePagesMax + 1);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory for the doublewrite batch");
  }
  VG_ASSIGN(const std::uint64_t bytes, data_.size());
  if (bytes / kPageBytes > page_count_max()) {
    return Error(ErrorCode::kUnsupported, data_.path() + " has more pages than this system can address");
  }
  hot_.page_count.store(static_cast<std::uint32_t>(bytes / kPageBytes), std::memory_order_release);
  VG_ASSIGN(const std::uint64_t area_bytes, doublewrite_.size());
  if (area_bytes < area_.size()) {
    VG_TRY(doublewrite_.allocate(0, area_.size()));
    VG_TRY(doublewrite_.sync());
  }
  return {};
}

BufferPool::Impl::~Impl() {
  stop_cleaner();
  if (hot_.table != nullptr) ::munmap(hot_.table, table_entries_ * sizeof(Translation));
}

Result<std::unique_ptr<BufferPool>> BufferPool::open(File& data, File& doublewrite, const DatabaseId& database,
                                                     Log& log, const RedoTable& redo, PageValidator validator,
                                                     const BufferOptions& options, Poison& poison) {
  std::unique_ptr<BufferPool> pool(new BufferPool());
  pool->impl_ = std::make_unique<Impl>(pool->hot_, data, doublewrite, database, log, redo, validator, options, poison);
  VG_TRY(pool->impl_->init());
  return pool;
}

BufferPool::~BufferPool() = default;

void BufferPool::start_cleaner() {
  impl_->start_cleaner();
}
void BufferPool::set_old_log_end(Lsn end) noexcept {
  impl_->old_log_end_ = end;
  impl_->wanted_redo_start_.store(raw(impl_->log_.epoch().first), std::memory_order_relaxed);
}
void BufferPool::set_page_count(std::uint32_t count) noexcept {
  VG_CHECK(count <= page_count_max(), "more pages than the translation array has entries");
  hot_.page_count.store(count, std::memory_order_release);
}
std::uint32_t BufferPool::page_count_max() const noexcept {
  return impl_->page_count_max();
}

// --- Reading

Result<OptimisticGuard> BufferPool::optimistic_slow(PageId id, Hint hint) {
  VG_TRY(impl_->check_id(id));
  assert_may_wait("a page");
  Translation& entry = impl_->entry(id);
  LoadPin pin;
  bool loaded = false;
  for (;;) {
    const Translation::Seen seen = entry.begin_read();
    if (Latch::is_exclusive(seen.word)) [[unlikely]] {
      entry.wait_for_holder();
      continue;
    }
    if (!Translation::is_resident(seen.place)) [[unlikely]] {
      VG_ASSIGN(pin, impl_->fault(this, id, hint));
      loaded = true;
      continue;
    }
    if (!loaded) impl_->touch(entry, seen.place, hint);
    return optimistic_guard(id, entry, seen);
  }
}

OptimisticGuard BufferPool::optimistic_if_ready_slow(PageId id, Hint hint) {
  if (raw(id) >= page_count()) return {};
  Translation& entry = impl_->entry(id);
  const Translation::Seen seen = entry.begin_read();
  if (Latch::is_exclusive(seen.word) || !Translation::is_resident(seen.place)) return {};
  impl_->touch(entry, seen.place, hint);
  return optimistic_guard(id, entry, seen);
}

/// The page was seen to be resident.
OptimisticGuard BufferPool::optimistic_guard(PageId id, Translation& entry, const Translation::Seen& seen) {
  OptimisticGuard guard;
  guard.entry_ = &entry;
  guard.version_ = Latch::version_of(seen.word);
  guard.id_ = id;
  const std::byte* frame = impl_->frames_->bytes(Translation::frame_of(seen.place));
#ifdef VG_WORD_ATOMIC_PAGES
  guard.copy_ = std::make_unique_for_overwrite<std::byte[]>(kPageBytes);
  load_page_bytes(frame, guard.copy_.get());
  guard.bytes_ = guard.copy_.get();
#else
  guard.bytes_ = frame;
#endif
  return guard;
}

Result<SharedGuard> BufferPool::shared(PageId id, Hint hint) {
  assert_may_wait("a page");
  VG_TRY(impl_->check_id(id));
  LoadPin pin;
  for (;;) {
    if (auto guard = shared_if_resident(id)) {
      Translation& entry = impl_->entry(id);
      if (pin.pool_ == nullptr) impl_->touch(entry, entry.place.load(std::memory_order_relaxed), hint);
      return *std::move(guard);
    }
    VG_ASSIGN(pin, impl_->fault(this, id, hint));
  }
}

Result<ExclusiveGuard> BufferPool::exclusive(PageId id, Hint hint) {
  assert_may_wait("a page");
  VG_TRY(impl_->check_id(id));
  LoadPin pin;
  for (;;) {
    if (auto guard = exclusive_if_resident(id)) {
      Translation& entry = impl_->entry(id);
      if (pin.pool_ == nullptr) impl_->touch(entry, entry.place.load(std::memory_order_relaxed), hint);
      return *std::move(guard);
    }
    VG_ASSIGN(pin, impl_->fault(this, id, hint));
  }
}

Result<LoadPin> BufferPool::load(PageId id, Hint hint) {
  return impl_->fault(this, id, hint);
}

// --- Under latches

SharedGuard BufferPool::shared_guard(PageId id, std::uint64_t place) noexcept {
  SharedGuard guard;
  guard.pool_ = this;
  guard.entry_ = &impl_->entry(id);
  guard.bytes_ = impl_->frames_->bytes(Translation::frame_of(place));
  guard.id_ = id;
  note_page_rank(*guard.entry_, id, guard.page());
  return guard;
}

ExclusiveGuard BufferPool::exclusive_guard(PageId id, std::uint64_t place) noexcept {
  ExclusiveGuard guard;
  guard.pool_ = this;
  guard.entry_ = &impl_->entry(id);
  guard.bytes_ = impl_->frames_->bytes(Translation::frame_of(place));
  guard.id_ = id;
#ifdef VG_WORD_ATOMIC_PAGES
  guard.frame_bytes_ = guard.bytes_;
  guard.copy_ = std::make_unique_for_overwrite<std::byte[]>(kPageBytes);
  load_page_bytes(guard.frame_bytes_, guard.copy_.get());
  guard.bytes_ = guard.copy_.get();
#endif
  note_page_rank(*guard.entry_, id, guard.page());
  return guard;
}

std::optional<SharedGuard> BufferPool::shared_if_resident(PageId id) {
  if (raw(id) >= page_count()) return std::nullopt;
  const std::uint64_t place = impl_->entry(id).shared_if_resident();
  if (place == Translation::kAbsent) return std::nullopt;
  return shared_guard(id, place);
}

std::optional<ExclusiveGuard> BufferPool::exclusive_if_resident(PageId id) {
  if (raw(id) >= page_count()) return std::nullopt;
  const std::uint64_t place = impl_->entry(id).exclusive_if_resident();
  if (place == Translation::kAbsent) return std::nullopt;
  return exclusive_guard(id, place);
}

std::optional<SharedGuard> BufferPool::try_shared(PageId id) {
  if (raw(id) >= page_count()) return std::nullopt;
  const std::uint64_t place = impl_->entry(id).try_shared_if_resident();
  if (place == Translation::kAbsent) return std::nullopt;
  return shared_guard(id, place);
}

std::optional<ExclusiveGuard> BufferPool::try_exclusive(PageId id) {
  if (raw(id) >= page_count()) return std::nullopt;
  const std::uint64_t place = impl_->entry(id).try_exclusive_if_resident();
  if (place == Translation::kAbsent) return std::nullopt;
  return exclusive_guard(id, place);
}

std::optional<ExclusiveGuard> BufferPool::try_upgrade(OptimisticGuard guard) {
  VG_NOISE(kUpgradeBefore);
  if (!guard.entry_->try_exclusive_at(guard.version_)) return std::nullopt;
  VG_NOISE(kUpgradeTaken);
  // The version has not changed since the guard was made, so the page is still in its frame.
  return exclusive_guard(guard.id_, guard.entry_->place.load(std::memory_order_relaxed));
}

// --- New pages

Result<FrameTicket> BufferPool::reserve_frames(unsigned count) {
  assert_may_wait("frames");
  VG_CHECK(count <= FrameTicket::kFramesMax, "more frames than a ticket holds");
  FrameTicket ticket;
  ticket.pool_ = this;
  note_frames_reserved();
  for (;;) {
    const std::uint64_t seen = impl_->frames_freed_.load(std::memory_order_acquire);  // before looking
    while (ticket.count_ < count) {
      const std::uint32_t frame = impl_->try_get_frame(Hint::kNormal);
      if (frame == Frames::kNone) break;
      ticket.frames_[ticket.count_++] = frame;
    }
    if (ticket.count_ == count) return ticket;
    // All or none: several that wait with a part of what they need could wait for each other.
    while (ticket.count_ > 0) impl_->frames_->give_free(ticket.frames_[--ticket.count_]);
    VG_TRY(impl_->poison_.check());
    VG_TRY(impl_->wait_for_frames(seen));
  }
}

/// A page that is still resident from its former life keeps frame and content until the MiniTxn initialises it:
/// should that never come, nothing has changed.
ExclusiveGuard BufferPool::create(PageId id, FrameTicket& ticket) {
  Translation& entry = impl_->entry(id);
  entry.lock_exclusive();
  VG_NOISE(kCreateLatched);
  if (!entry.is_resident()) {
    VG_CHECK(ticket.count_ > 0, "no frame was reserved for a new page");
    impl_->new_frame(entry, id, ticket.frames_[--ticket.count_]);
  }
  ExclusiveGuard guard = exclusive_guard(id, entry.place.load(std::memory_order_relaxed));
  note_new_page(entry);
  return guard;
}

void BufferPool::Impl::new_frame(Translation& entry, PageId id, std::uint32_t number) noexcept {
  static constexpr std::byte kZeros[kPageBytes] = {};
  publish(number, kZeros);
  Frame& frame = (*frames_)[number];
  frame.disk_checksum_known.store(false, std::memory_order_relaxed);
  frame.rounds.store(0, std::memory_order_relaxed);
  frame.scanned.store(false, std::memory_order_relaxed);
  entry.enter(frame, number, raw(id), /*pins=*/0, Translation::kMark);
}

// --- Redo

Result<BufferPool::RedoPage> BufferPool::exclusive_for_redo(PageId id) {
  assert_may_wait("a page of redo");
  impl_->redoing_.store(true, std::memory_order_relaxed);
  if (raw(id) >= page_count_max()) {
    return Error(ErrorCode::kCorruption, "the log names page " + std::to_string(raw(id)) + ", which cannot be");
  }
  if (raw(id) >= page_count()) {
    VG_TRY(impl_->data_.allocate(0, (std::uint64_t{raw(id)} + 1) * kPageBytes));
    set_page_count(raw(id) + 1);
  }
  Translation& entry = impl_->entry(id);
  const auto is_absent = [](Bytes page) {
    return page_header(page).type.get() == static_cast<std::uint8_t>(PageType::kAbsent);
  };
  for (;;) {
    if (auto guard = exclusive_if_resident(id)) {
      const bool absent = is_absent(guard->page());
      return RedoPage{*std::move(guard), absent};
    }
    auto pin = impl_->fault(this, id, Hint::kNormal);
    if (pin) {
      auto guard = exclusive_if_resident(id);
      if (!guard) continue;
      const bool absent = is_absent(guard->page());
      return RedoPage{*std::move(guard), absent};
    }
    if (pin.error().code() != ErrorCode::kCorruption) return pin.error();
    VG_ASSIGN(FrameTicket ticket, reserve_frames(1));
    if (!entry.latch_absent()) continue;  // who reads ahead was faster
    entry.place.store(0, std::memory_order_relaxed);
    impl_->new_frame(entry, id, ticket.frames_[--ticket.count_]);
    return RedoPage{exclusive_guard(id, entry.place.load(std::memory_order_relaxed)), true};
  }
}

void BufferPool::mark_redone(ExclusiveGuard& guard, Lsn record_start, std::optional<Lsn> lsn) {
  if (lsn) page_header(guard.unlogged_bytes()).lsn.set(raw(*lsn));
  impl_->mark_dirty(frame_of(guard), [&] { return raw(record_start); });
}

void BufferPool::drop_absent(RedoPage page) {
  const std::uint32_t number = frame_of(page.guard);
  Frame& frame = (*impl_->frames_)[number];
  VG_CHECK(frame.may_go(), "an absent page was used by somebody");  // its latch was held since it was made
  impl_->entry(page.guard.id()).leave(frame);
  page.guard.release();
  impl_->give_frame(number);
}

Status BufferPool::check_redone(const ExclusiveGuard& guard) const {
  return impl_->validator_(guard.id(), guard.page());
}

Status BufferPool::check_redone() {
  impl_->redoing_.store(false, std::memory_order_relaxed);
  try {
    for (const std::uint32_t id : impl_->dirty_pages(Frame::kClean)) {
      VG_ASSIGN(const SharedGuard guard, shared(PageId{id}, Hint::kScan));
      if (Status sound = impl_->validator_(guard.id(), guard.page()); !sound) {
        return sound.error().with_context(impl_->data_.path() + ": page " + std::to_string(id) +
                                          ", after the redo of the log");
      }
    }
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory for the list of changed pages");
  }
  return {};
}

std::uint32_t BufferPool::frame_of(const ExclusiveGuard& guard) const noexcept {
  return Translation::frame_of(guard.entry_->place.load(std::memory_order_relaxed));
}

/// Batches copy a page, and are done with it, under its shared latch: the answer holds as long as the guard.
bool BufferPool::will_be_written(const ExclusiveGuard& guard) const noexcept {
  const Frame& frame = (*impl_->frames_)[frame_of(guard)];
  if (frame.rec_lsn.load(std::memory_order_relaxed) == Frame::kClean) return false;
  return !frame.copied.load(std::memory_order_relaxed) ||
         frame.next_rec_lsn.load(std::memory_order_relaxed) != Frame::kClean;
}

// --- Durability

Lsn BufferPool::redo_start(Lsn log_end) {
  return impl_->redo_start(log_end);
}

Status BufferPool::flush_all() {
  assert_may_wait("the writing of all pages");
  VG_TRY(impl_->poison_.check());
  try {
    std::vector<std::uint32_t> pages = impl_->dirty_pages(Frame::kClean);
    return impl_->clean(pages);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory for the list of changed pages");
  }
}

Status BufferPool::restore_torn_pages(Lsn redo_start, Lsn log_end) {
  return impl_->restore_torn_pages(redo_start, log_end);
}

void BufferPool::add_visits(std::uint64_t count) noexcept {
  impl_->visits_.fetch_add(count, std::memory_order_relaxed);
}

BufferStats BufferPool::stats() const {
  BufferStats stats;
  stats.visits = impl_->visits_.load(std::memory_order_relaxed);
  stats.loads = impl_->loads_.load(std::memory_order_relaxed);
  stats.evictions = impl_->evictions_.load(std::memory_order_relaxed);
  stats.pages_cleaned = impl_->pages_cleaned_.load(std::memory_order_relaxed);
  stats.batches = impl_->batches_.load(std::memory_order_acquire);
  stats.frames = impl_->frames_->count();
  stats.frames_free = impl_->frames_->free_count();
  stats.frames_dirty = impl_->dirty_count_.load(std::memory_order_relaxed);
  return stats;
}

BufferPool::Held BufferPool::held() const {
  Held held;
  for (std::uint32_t page = 0; page < page_count(); ++page) {
    held.latches += Latch::holders_of(hot_.table[page].latch.peek()) != 0;
  }
  Frames& frames = *impl_->frames_;
  std::uint64_t in_use = frames.free_count();
  for (std::uint32_t frame = 0; frame < frames.count(); ++frame) {
    held.pins += frames[frame].pins.load(std::memory_order_relaxed);
    in_use += frames[frame].page.load(std::memory_order_relaxed) != Frame::kFree;
  }
  held.frames = frames.count() - in_use;
  return held;
}

// --- Guards

SharedGuard& SharedGuard::operator=(SharedGuard&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  entry_ = std::exchange(other.entry_, nullptr);
  bytes_ = std::exchange(other.bytes_, nullptr);
  id_ = other.id_;
  return *this;
}

void SharedGuard::release() noexcept {
  if (entry_ == nullptr) return;
  entry_->unlock_shared();
  entry_ = nullptr;
  bytes_ = nullptr;
}

ExclusiveGuard& ExclusiveGuard::operator=(ExclusiveGuard&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  entry_ = std::exchange(other.entry_, nullptr);
  bytes_ = std::exchange(other.bytes_, nullptr);
  id_ = other.id_;
#ifdef VG_WORD_ATOMIC_PAGES
  copy_ = std::move(other.copy_);
  frame_bytes_ = std::exchange(other.frame_bytes_, nullptr);
#endif
  return *this;
}

void ExclusiveGuard::release() noexcept {
  if (entry_ == nullptr) return;
#ifdef VG_WORD_ATOMIC_PAGES
  store_page_bytes(frame_bytes_, copy_.get());
  copy_.reset();
  frame_bytes_ = nullptr;
#endif
  entry_->unlock_exclusive();
  entry_ = nullptr;
  bytes_ = nullptr;
}

LoadPin& LoadPin::operator=(LoadPin&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  frame_ = other.frame_;
  return *this;
}

void LoadPin::release() noexcept {
  if (pool_ == nullptr) return;
  (*pool_->impl_->frames_)[frame_].unpin();
  pool_ = nullptr;
}

FrameTicket& FrameTicket::operator=(FrameTicket&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  count_ = std::exchange(other.count_, 0u);
  std::memcpy(frames_, other.frames_, sizeof frames_);
  return *this;
}

void FrameTicket::release() noexcept {
  if (pool_ == nullptr) return;
  note_frames_given_up();
  while (count_ > 0) pool_->impl_->give_frame(frames_[--count_]);
  pool_ = nullptr;
}

}  // namespace vaultgres
