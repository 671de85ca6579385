// Copies of pages for a backup, while others read and write them.
#include <cstring>
#include <new>

#include "base/try.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

/// Not latched: what was read may be half of a write, or what the disk had before it. Then the checksum is wrong, or is
/// not that which was written last; the pool may be about to say another one, so "no" only means: look again.
bool BufferPool::is_sound_copy(PageId id, Bytes page) const noexcept {
  const std::uint64_t stored = page_header(page).checksum.get();
  if (stored != page_checksum(impl_->database_, id, page)) return false;
  const std::uint64_t place = impl_->entry(id).place.load(std::memory_order_relaxed);
  if (Translation::is_resident(place)) {
    // Redo brings it up to what the frame says, if it is what was written last.
    const Frame& frame = (*impl_->frames_)[Translation::frame_of(place)];
    return !frame.disk_checksum_known.load(std::memory_order_relaxed) ||
           frame.disk_checksum.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(stored);
  }
  return (place & Translation::kChecksumKnown) == 0 || place >> Translation::kPlaceShift == stored;
}

/// Under the page's shared latch, which keeps writers out, and, of a page that is not resident, everybody who would
/// load it: whoever writes a page in place has it resident.
Status BufferPool::copy_page(PageId id, MutableBytes into) {
  assert_may_wait("a page to be copied");
  VG_TRY(impl_->check_id(id));
  return impl_->copy_page(id, into);
}

Status BufferPool::Impl::copy_page(PageId id, MutableBytes into) {
  Translation& entry = this->entry(id);
  entry.lock_shared();
  const std::uint64_t place = entry.place.load(std::memory_order_relaxed);
  if (!Translation::is_resident(place)) {
    std::uint32_t checksum = 0;
    Status read;
    try {
      read = read_page(id, into.data(), &checksum, entry);
    } catch (const std::bad_alloc&) {
      read = Error(ErrorCode::kOutOfMemory, "no memory to say what is wrong with a page");
    }
    entry.unlock_shared();
    return read;
  }
  load_page_bytes(frames_->bytes(Translation::frame_of(place)), into.data());
  entry.unlock_shared();
  if (page_is_zero(into)) {
    return Error(ErrorCode::kCorruption, data_.path() + ": page " + std::to_string(raw(id)) +
                                             " is in use but was never written; run `vaultgres check` on the database");
  }
  page_header(into).checksum.set(page_checksum(database_, id, into));
  return {};
}

}  // namespace vaultgres
