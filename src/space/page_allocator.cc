#include "space/page_allocator.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/held_latches.h"
#include "base/payload_buffer.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "space/bitmap.h"
#include "space/page_map.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

constexpr std::uint32_t kPagesMax = raw(kNoPage);  // the largest id is one below kNoPage
constexpr std::uint32_t kGrowthPagesMin = kPageBytes == 1024 ? 16 : 64;
constexpr std::uint32_t kGrowthPagesMax = (8u << 20) / kPageBytes;
constexpr std::size_t kUnfinishedReadBytes = 64 << 10;

std::vector<PageId> ascending(std::span<const PageId> ids) {
  std::vector<PageId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

/// The first ids of `sorted` that belong to one group, taken off it.
std::span<const PageId> take_group(std::span<const PageId>& sorted) {
  std::size_t count = 1;
  while (count < sorted.size() && bitmap_group_of(sorted[count]) == bitmap_group_of(sorted[0])) ++count;
  const std::span<const PageId> group = sorted.first(count);
  sorted = sorted.subspan(count);
  return group;
}

/// Are these ids, of one group, all pages that can be allocated and freed, and is this what the bitmap says of
/// each of them?
bool bits_are(Bytes page, std::span<const PageId> ids, bool allocated) {
  const std::uint32_t group = bitmap_group_of(ids[0]);
  if (!is_bitmap_of_group(page, group)) return false;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::uint32_t bit = bitmap_bit_of(ids[i]);
    if (bit < bitmap_fixed_bits(group) || (i != 0 && ids[i] == ids[i - 1]) || bitmap_bit(page, bit) != allocated) {
      return false;
    }
  }
  return true;
}

}  // namespace

// --- Reservations

PageReservation& PageReservation::operator=(PageReservation&& other) noexcept {
  if (this == &other) return *this;
  release();
  allocator_ = std::exchange(other.allocator_, nullptr);
  ids_ = std::exchange(other.ids_, {});
  used_ = std::exchange(other.used_, 0);
  pins_ = std::exchange(other.pins_, {});
  return *this;
}

void PageReservation::committed(std::size_t used) noexcept {
  VG_CHECK(used <= ids_.size(), "more page ids were used than reserved");
  used_ = used;
}

// --- The allocator

class PageAllocator::Impl {
 public:
  Impl(BufferPool& pool, Log& log, File& data, Poison& poison) : pool_(pool), log_(log), data_(data), poison_(poison) {}

  Status format();
  Status open();
  Result<std::vector<PageId>> reserve(unsigned count, PageId near);
  Result<std::vector<LoadPin>> load_bitmaps(std::span<const PageId> ids);
  bool add_to(MiniTxn& mini, std::span<const PageId> allocate, std::span<const PageId> free);
  void give_back(std::span<const PageId> ids) noexcept;
  void freed(std::span<const PageId> ids) noexcept {
    give_back(ids);
    freed_count_.fetch_add(ids.size());
  }
  std::uint64_t freed_count() const noexcept { return freed_count_.load(); }
  Result<bool> is_allocated(PageId id);
  SpaceStats stats();

 private:
  Status load_group(std::uint32_t group);
  Status grow(unsigned pages);
  Status allocate_file(std::uint32_t from, std::uint32_t pages, std::uint32_t pages_needed, std::uint32_t& added);
  void format_group(std::uint32_t group, FrameTicket& frames);
  Status format_unfinished_group(std::uint32_t group);

  BufferPool& pool_;
  Log& log_;
  File& data_;
  Poison& poison_;
  /// Loading and growing, which read, write and wait. Nobody takes it with a latch or with mutex_ held.
  std::mutex slow_mutex_;
  /// map_. Held for a few instructions; nobody takes a latch or waits while holding it.
  std::mutex mutex_;
  PageMap map_;
  std::atomic<std::uint64_t> freed_count_{0};
};

void PageReservation::release() noexcept {
  if (allocator_ != nullptr && !VG_SEEDED_BUG(kReservationKept)) {
    allocator_->impl_->give_back(std::span(ids_).subspan(used_));
  }
  allocator_ = nullptr;
  ids_.clear();
  used_ = 0;
  pins_.clear();
}

/// The group's bits as its bitmap page says them, to the map. [slow_mutex_ held]
Status PageAllocator::Impl::load_group(std::uint32_t group) {
  {
    const std::lock_guard lock(mutex_);
    if (map_.loaded(group)) return {};
    map_.begin_load(group);
  }
  const PageId id = bitmap_page_of_group(group);
  BitmapWords words;
  {
    VG_ASSIGN(SharedGuard page, pool_.shared(id, Hint::kNormal));
    if (Status good = verify_bitmap(id, page.page()); !good) {
      return good.error().with_context("page " + std::to_string(raw(id)));
    }
    copy_bitmap_bits(page.page(), words);
  }
  const std::lock_guard lock(mutex_);
  const std::uint32_t pages = map_.page_count() - std::min(map_.page_count(), group * kPagesPerBitmap);
  for (std::uint32_t bit = pages; bit < kPagesPerBitmap; ++bit) {
    if ((words[bit / 64] >> bit % 64 & 1u) == 0) continue;
    return Error(ErrorCode::kCorruption, data_.path() + ": the allocation bitmap on page " + std::to_string(raw(id)) +
                                             " says that page " + std::to_string(group * kPagesPerBitmap + bit) +
                                             " is allocated, but the file ends before it");
  }
  map_.finish_load(group, words);
  return {};
}

/// Writes the first content of a group's bitmap page, with log space and a frame that the caller has reserved.
void PageAllocator::Impl::format_group(std::uint32_t group, FrameTicket& frames) {
  MiniTxn mini(pool_, log_, RecordKind::kSystem);
  ExclusiveGuard& page = mini.own(pool_.create(bitmap_page_of_group(group), frames));
  PayloadBuffer payload;
  encode_bitmap_init(payload, group);
  mini.add(page, PageOp::kBitmapInit, payload.bytes());
  mini.commit();
}

Status PageAllocator::Impl::format() {
  const std::lock_guard slow(slow_mutex_);
  if (pool_.page_count() < raw(kFirstUserPage)) {
    return Error(ErrorCode::kCorruption, data_.path() + ": the file is too short for the pages with fixed places");
  }
  VG_CHECK(pool_.page_count() <= kPagesPerBitmap, "a new data file has more than one bitmap group");
  LogSpace log_space(log_);
  VG_TRY(log_space.reserve(log_bytes_for(64)));
  VG_ASSIGN(FrameTicket frames, pool_.reserve_frames(1));
  format_group(0, frames);
  {
    const std::lock_guard lock(mutex_);
    map_.set_page_count(pool_.page_count());
  }
  return load_group(0);
}

Status PageAllocator::Impl::open() {
  const std::lock_guard slow(slow_mutex_);
  const std::uint32_t pages = pool_.page_count();
  if (pages < raw(kFirstUserPage)) {
    return Error(ErrorCode::kCorruption, data_.path() + ": the file ends after " + std::to_string(pages) +
                                             " pages, before the end of those that every database has");
  }
  std::uint32_t last = 0;
  {
    const std::lock_guard lock(mutex_);
    map_.set_page_count(pages);
    last = map_.group_count() - 1;
  }
  VG_TRY(load_group(0));
  if (last == 0) return {};
  // All groups now, while nobody frees pages: a group that is loaded beside a free could hand out a page twice. One
  // that is damaged is an error of whoever needs it.
  for (std::uint32_t group = 1; group < last; ++group) {
    if (Status middle = load_group(group); !middle && middle.error().code() != ErrorCode::kCorruption) return middle;
  }
  Status loaded = load_group(last);
  if (loaded || loaded.error().code() != ErrorCode::kCorruption) return loaded;
  const Status formatted = format_unfinished_group(last);
  if (formatted) return load_group(last);
  return formatted.error().code() == ErrorCode::kCorruption ? loaded : formatted;
}

/// A crash between the file's growth into a new group and the moment when the record of its bitmap is durable leaves
/// pages of zeros: no page of the group is written before that record. Then the bitmap is written now; else it is
/// damaged.
Status PageAllocator::Impl::format_unfinished_group(std::uint32_t group) {
  const std::uint32_t first = group * kPagesPerBitmap;
  const Error in_use(ErrorCode::kCorruption, "the group has been in use");
  std::uint64_t offset = std::uint64_t{first} * kPageBytes;
  static_assert(kPagesPerBitmap * kPageBytes % kIoAlignment == 0);
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kUnfinishedReadBytes));
  for (std::size_t bytes = kUnfinishedReadBytes; bytes == kUnfinishedReadBytes; offset += bytes) {
    VG_ASSIGN(bytes, data_.read_up_to(offset, buffer.span()));
    if (!page_is_zero(Bytes(buffer.span()).first(bytes))) return in_use;
  }
  LogSpace log_space(log_);
  VG_TRY(log_space.reserve(log_bytes_for(64)));
  VG_ASSIGN(FrameTicket frames, pool_.reserve_frames(1));
  format_group(group, frames);
  return {};
}

/// Adds `pages` pages to the file, `pages_needed` if there is no room for so many.
Status PageAllocator::Impl::allocate_file(std::uint32_t from, std::uint32_t pages, std::uint32_t pages_needed,
                                          std::uint32_t& added) {
  const auto allocate = [&](std::uint32_t count) {
    added = count;
    return data_.allocate(std::uint64_t{from} * kPageBytes, std::uint64_t{count} * kPageBytes);
  };
  Status allocated = allocate(pages);
  if (!allocated && allocated.error().code() == ErrorCode::kNoSpace && pages_needed < pages) {
    allocated = allocate(pages_needed);
  }
  if (!allocated && allocated.error().code() != ErrorCode::kNoSpace) poison_.set(allocated.error());
  return allocated;
}

/// Makes at least one more page free: a growth stays inside one group, and its caller asks again.
/// [slow_mutex_ held]
Status PageAllocator::Impl::grow(unsigned pages) {
  const std::uint32_t from = pool_.page_count();
  const std::uint32_t group = bitmap_group_of(PageId{from});
  const std::uint32_t in_group = from % kPagesPerBitmap;
  const bool new_group = in_group == 0;
  const std::uint32_t room = std::min(kPagesPerBitmap - in_group, kPagesMax - from);
  const std::uint32_t needed = pages + (new_group ? 1 : 0);
  // A group of which only the bitmap page would fit is of no use.
  if (room == 0 || (new_group && room < 2)) {
    return Error(ErrorCode::kNoSpace, data_.path() + ": the data file has as many pages as page numbers exist");
  }
  const std::uint32_t wanted = std::clamp(from / 8, kGrowthPagesMin, kGrowthPagesMax);

  // Everything that can be missing is had before anything changes. The room that the log needs to go on is not for
  // pages: see src/wal/README.md, "A full disk".
  VG_TRY(log_.prepare_spare());
  LogSpace log_space(log_);
  FrameTicket frames;
  if (new_group) {
    VG_TRY(log_space.reserve(log_bytes_for(64)));
    VG_ASSIGN(frames, pool_.reserve_frames(1));
  }
  std::uint32_t added = 0;
  VG_TRY(allocate_file(from, std::min(std::max(wanted, needed), room), std::min(needed, room), added));
  pool_.set_page_count(from + added);
  // Crash here: a longer file. Its new pages are free by their bitmap, or in a group without one: open().
  if (new_group) format_group(group, frames);
  {
    const std::lock_guard lock(mutex_);
    map_.set_page_count(from + added);
  }
  return load_group(group);
}

Result<std::vector<PageId>> PageAllocator::Impl::reserve(unsigned count, PageId near) {
  assert_may_wait("page ids");
  VG_TRY(poison_.check());
  std::vector<PageId> ids;
  const auto try_reserve = [&] {
    const std::lock_guard lock(mutex_);
    return map_.reserve(count, near, ids);
  };
  PageMap::Missing missing = try_reserve();
  if (!missing.group && missing.pages == 0) return ids;
  const std::lock_guard slow(slow_mutex_);
  for (;;) {
    missing = try_reserve();  // again: somebody else may have done it meanwhile
    if (missing.group) {
      VG_TRY(load_group(*missing.group));
    } else if (missing.pages != 0) {
      VG_TRY(grow(missing.pages));
    } else {
      return ids;
    }
  }
}

Result<std::vector<LoadPin>> PageAllocator::Impl::load_bitmaps(std::span<const PageId> ids) {
  VG_TRY(poison_.check());
  const std::vector<PageId> sorted = ascending(ids);
  std::vector<LoadPin> pins;
  for (std::span<const PageId> left = sorted; !left.empty();) {
    const std::span<const PageId> group = take_group(left);
    VG_ASSIGN(LoadPin pin, pool_.load(bitmap_page_of(group[0]), Hint::kNormal));
    pins.push_back(std::move(pin));
  }
  return pins;
}

bool PageAllocator::Impl::add_to(MiniTxn& mini, std::span<const PageId> allocate, std::span<const PageId> free) {
  struct Change {
    std::span<const PageId> ids;
    bool allocate;
    ExclusiveGuard guard;  // empty: the page is that of the change before
  };
  const std::vector<PageId> to_allocate = ascending(allocate);
  const std::vector<PageId> to_free = ascending(free);
  std::span<const PageId> allocate_left = to_allocate;
  std::span<const PageId> free_left = to_free;
  std::vector<Change> changes;
  while (!allocate_left.empty() || !free_left.empty()) {
    const bool next = free_left.empty() ||
                      (!allocate_left.empty() && bitmap_group_of(allocate_left[0]) <= bitmap_group_of(free_left[0]));
    changes.push_back({take_group(next ? allocate_left : free_left), next, {}});
  }

  // All latches first: a page that is missing must not leave others latched in the mini-transaction.
  Bytes page;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const PageId id = bitmap_page_of(changes[i].ids[0]);
    VG_NOISE(kSpaceBetweenBitmaps);
    if (i == 0 || id != bitmap_page_of(changes[i - 1].ids[0])) {
      std::optional<ExclusiveGuard> guard = pool_.exclusive_if_resident(id);
      if (!guard) return false;
      page = guard->page();
      changes[i].guard = *std::move(guard);
    }
    if (raw(changes[i].ids.back()) >= pool_.page_count() || !bits_are(page, changes[i].ids, !changes[i].allocate)) {
      // The caller knows, under latches, what these pages are, so the bitmap is wrong.
      poison_.set(Error(ErrorCode::kCorruption, data_.path() + ": the allocation bitmap on page " +
                                                    std::to_string(raw(id)) + " contradicts the use of page " +
                                                    std::to_string(raw(changes[i].ids[0])) +
                                                    " or one freed or allocated together with it"));
      return false;
    }
  }
  ExclusiveGuard* owned = nullptr;
  PayloadBuffer payload;
  for (Change& change : changes) {
    if (change.guard) owned = &mini.own(std::move(change.guard));
    payload.clear();
    encode_bitmap_bits(payload, change.ids);
    mini.add(*owned, change.allocate ? PageOp::kBitmapSet : PageOp::kBitmapClear, payload.bytes());
  }
  return true;
}

void PageAllocator::Impl::give_back(std::span<const PageId> ids) noexcept {
  if (ids.empty()) return;
  const std::lock_guard lock(mutex_);
  for (const PageId id : ids) map_.give_back(id);
}

Result<bool> PageAllocator::Impl::is_allocated(PageId id) {
  const std::uint32_t group = bitmap_group_of(id);
  {
    const std::lock_guard lock(mutex_);
    if (raw(id) >= map_.page_count()) return false;  // the file has just grown: perhaps its group has no bitmap yet
  }
  VG_ASSIGN(SharedGuard page, pool_.shared(bitmap_page_of_group(group), Hint::kNormal));
  if (!is_bitmap_of_group(page.page(), group)) {
    return Error(ErrorCode::kCorruption, data_.path() + ": page " + std::to_string(raw(page.id())) +
                                             " is not the allocation bitmap that belongs there");
  }
  return bitmap_bit(page.page(), bitmap_bit_of(id));
}

SpaceStats PageAllocator::Impl::stats() {
  const std::lock_guard slow(slow_mutex_);
  std::uint32_t groups = 0;
  {
    const std::lock_guard lock(mutex_);
    groups = map_.group_count();
  }
  for (std::uint32_t group = 0; group < groups; ++group) {
    if (!load_group(group)) continue;  // nothing on it is known to be free; a check tells why
  }
  const std::lock_guard lock(mutex_);
  return {map_.page_count(), map_.free_count()};
}

PageAllocator::PageAllocator(BufferPool& pool, Log& log, File& data, Poison& poison)
    : impl_(std::make_unique<Impl>(pool, log, data, poison)) {}
PageAllocator::~PageAllocator() = default;

Status PageAllocator::format() {
  return impl_->format();
}
Status PageAllocator::open() {
  return impl_->open();
}

Result<PageReservation> PageAllocator::reserve(unsigned count, PageId near) {
  PageReservation reservation;
  VG_ASSIGN(reservation.ids_, impl_->reserve(count, near));
  reservation.allocator_ = this;
  VG_NOISE(kSpaceReserved);
  VG_ASSIGN(reservation.pins_, impl_->load_bitmaps(reservation.ids_));
  return reservation;
}

bool PageAllocator::add_to(MiniTxn& mini, std::span<const PageId> allocate, std::span<const PageId> free) {
  return impl_->add_to(mini, allocate, free);
}
Result<std::vector<LoadPin>> PageAllocator::load_bitmaps(std::span<const PageId> ids) {
  return impl_->load_bitmaps(ids);
}
void PageAllocator::freed(std::span<const PageId> ids) noexcept {
  impl_->freed(ids);
}
std::uint64_t PageAllocator::freed_count() const noexcept {
  return impl_->freed_count();
}
Result<bool> PageAllocator::is_allocated(PageId id) {
  return impl_->is_allocated(id);
}
SpaceStats PageAllocator::stats() const {
  return impl_->stats();
}

}  // namespace vaultgres
