// Loading several pages at once, wherever they lie: their reads are under way at the same time.
#include <algorithm>
#include <array>
#include <new>

#include "base/in_parallel.h"
#include "buffer/page_visits.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

namespace {

struct Load {
  PageId id;
  std::uint32_t frame;
  std::uint32_t checksum = 0;
  bool done = false;
};

}  // namespace

BufferPool::LoadPins BufferPool::Impl::load_absent(BufferPool* pool, std::span<const PageId> ids, Hint hint) {
  assert_may_wait("pages to be loaded");
  // Frames before latches, as everywhere: nobody sweeps for one while others wait for him.
  std::array<Load, kLoadsMax> loads;
  std::size_t wanted = 0;
  for (const PageId id : ids) {
    if (wanted == kLoadsMax) break;
    if (raw(id) >= hot_.page_count.load(std::memory_order_acquire)) continue;
    if (entry(id).is_resident()) continue;
    const std::uint32_t frame = try_get_frame(hint);
    if (frame == Frames::kNone) break;
    loads[wanted++] = {id, frame};
  }
  std::size_t latched = 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    if (entry(loads[i].id).try_latch_absent()) {
      loads[latched++] = loads[i];
    } else {
      give_frame(loads[i].frame);
    }
  }
  const std::uint64_t loads_before = page_visits.loads;  // some are made by other threads
  try {
    in_parallel(static_cast<unsigned>(latched), [&](unsigned i) {
      loads[i].done = read_into_frame(loads[i].id, loads[i].frame, &loads[i].checksum).has_value();
    });
  } catch (const std::bad_alloc&) {
    // For an error's text. The page is absent as before.
  }
  page_visits.loads = loads_before + latched;
  LoadPins pins;
  for (std::size_t i = 0; i < latched; ++i) {
    const Load& load = loads[i];
    Translation& entry = this->entry(load.id);
    if (load.done) {
      admit(entry, load.id, load.frame, load.checksum, hint, 1);
      pins[i] = LoadPin(pool, load.frame);
    }
    entry.unlock_exclusive();
    if (!load.done) give_frame(load.frame);
  }
  return pins;
}

BufferPool::LoadPins BufferPool::load_absent(std::span<const PageId> ids, Hint hint) {
  return impl_->load_absent(this, ids, hint);
}

}  // namespace vaultgres
