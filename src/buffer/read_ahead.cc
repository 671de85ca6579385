// Reading ahead: pages that somebody will want soon, and that lie side by side in the file, by one read.
#include <array>
#include <new>

#include "base/try.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

/// A part of the scan's frames: others that scan at the same time find their pages still there.
std::size_t BufferPool::Impl::read_ahead_max() const noexcept {
  return std::clamp<std::size_t>(scan_ring_count() / 4, 1, kReadAheadMax);
}

/// How many of the first pages follow one another in the file and are not resident now.
std::size_t BufferPool::Impl::absent_run(std::span<const PageId> ids) const noexcept {
  const std::uint32_t count = hot_.page_count.load(std::memory_order_acquire);
  std::size_t run = 0;
  for (; run < std::min(ids.size(), read_ahead_max()); ++run) {
    const std::uint32_t id = raw(ids[run]);
    if (id >= count || (run > 0 && id != raw(ids[run - 1]) + 1)) break;
    if (hot_.table[id].is_resident()) break;
  }
  return run;
}

/// How many of the first pages it has latched: those that are still absent and that nobody holds. Only tries: who wants
/// several has others, and whoever holds this one may be waiting for one of those.
std::size_t BufferPool::Impl::latch_absent(std::span<const PageId> ids) noexcept {
  std::size_t latched = 0;
  while (latched < ids.size() && entry(ids[latched]).try_latch_absent()) ++latched;
  return latched;
}

/// The pages are latched and not resident. `admitted` of them, the first ones, get a frame.
Status BufferPool::Impl::read_run(std::span<const PageId> ids, std::span<const std::uint32_t> frames, MutableBytes into,
                                  std::size_t& admitted) {
  VG_TRY(data_.read(std::uint64_t{raw(ids.front())} * kPageBytes, into));
  for (; admitted < ids.size(); ++admitted) {
    const PageId id = ids[admitted];
    const Bytes page = into.subspan(admitted * kPageBytes, kPageBytes);
    Translation& entry = this->entry(id);
    std::uint32_t checksum = 0;
    VG_TRY(check_loaded(id, page, &checksum, entry));
    publish(frames[admitted], page.data());
    admit(entry, id, frames[admitted], checksum, Hint::kScan, /*pins=*/0);
  }
  return {};
}

void BufferPool::Impl::read_ahead(std::span<const PageId> ids, ReadAhead& last) {
  assert_may_wait("pages to be read ahead");
  if (raw(ids.front()) - last.begin < last.pages) return;
  const std::size_t wanted = absent_run(ids);
  if (wanted < 2) return;  // one page is read by him who wants it, without a copy
  const std::size_t bytes = read_ahead_max() * kPageBytes;
  if (last.buffer.size() < bytes) {
    Result<AlignedBuffer> made = AlignedBuffer::make(bytes);
    if (!made) return;
    last.buffer = *std::move(made);
  }
  // Frames before latches, as everywhere: nobody sweeps for one while others wait for him.
  std::array<std::uint32_t, kReadAheadMax> frames;
  std::size_t got = 0;
  while (got < wanted && (frames[got] = try_get_frame(Hint::kScan)) != Frames::kNone) ++got;
  const std::size_t run = got < 2 ? 0 : latch_absent(ids.first(got));
  std::size_t admitted = 0;
  if (run > 0) {
    VG_NOISE(kReadAheadLatched);
    last.begin = raw(ids.front());
    last.pages = static_cast<std::uint32_t>(run);
    try {
      // Whatever is wrong is found again, and told, by him who asks for the page.
      const MutableBytes into = last.buffer.span().first(run * kPageBytes);
      static_cast<void>(read_run(ids.first(run), frames, into, admitted).has_value());
    } catch (const std::bad_alloc&) {
      // For an error's text. The pages that are not admitted are absent as before.
    }
  }
  if (run > 0) VG_NOISE(kReadAheadAdmitted);
  for (const PageId id : ids.first(run)) entry(id).unlock_exclusive();
  for (std::size_t i = admitted; i < got; ++i) give_frame(frames[i]);
}

void BufferPool::read_ahead(std::span<const PageId> ids, ReadAhead& last) {
  if (ids.empty() || raw(ids.front()) >= page_count()) return;
  if (!hot_.table[raw(ids.front())].is_resident()) impl_->read_ahead(ids, last);
}

}  // namespace vaultgres
