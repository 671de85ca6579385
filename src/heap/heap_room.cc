// Finding room for a row: the page that the thread used last, then pages that the map recommends, then a new one.
//
// Classes are hints. Too high: the page is looked at under its latch, and the map is corrected. Too low: the room is
// found again when the page is noted the next time. So nobody has to keep them exact, or log them; only a map page that
// would be evicted as clean is made dirty first.
#include <algorithm>
#include <atomic>
#include <new>
#include <optional>
#include <vector>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/page_image.h"
#include "heap/heap.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

constexpr std::uint64_t kAddPageLogBytes = log_bytes_for(kPageBytes + 512) + kMapNoteLogBytes;
/// Rounds in which the map's recommendations were all wrong, before a page is added instead.
constexpr unsigned kRoundsMax = 3;
/// Map pages below one page that are searched for a recommendation, before a page is added instead.
constexpr unsigned kChildrenTried = 4;

unsigned thread_number() noexcept {
  static std::atomic<unsigned> next{0};
  thread_local const unsigned number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

/// Where this thread inserted last. Only a hint: the page may be full, freed or another database's number.
struct LastPage {
  const HeapContext* context = nullptr;
  ObjectId object{};
  PageId page = kNoPage;
};
LastPage& last_page(const HeapContext& context, ObjectId object) noexcept {
  constexpr std::size_t kTables = 16;
  thread_local std::array<LastPage, kTables> tables;
  LastPage& last = tables[raw(object) % kTables];
  if (last.context != &context || last.object != object) last = {&context, object, kNoPage};
  return last;
}

}  // namespace

Heap::Fit Heap::fit(const ExclusiveGuard& page, std::size_t content_bytes, std::span<const PageId> others) const {
  if (heap_problem(page.page()) != nullptr) return Fit::kForeign;
  if (std::find(others.begin(), others.end(), page.id()) != others.end()) return Fit::kNo;
  return HeapPageView(page.page()).has_room(content_bytes) ? Fit::kYes : Fit::kNo;
}

/// The thread's own page, unless another thread is at it: then `contended`, and the guard is empty.
Result<ExclusiveGuard> Heap::latch_hinted(PageId hinted, bool& contended) const {
  if (auto guard = context_->pool.try_exclusive(hinted)) return *std::move(guard);
  contended = context_->pool.shared_if_resident(hinted).has_value();
  if (contended) return ExclusiveGuard();
  return context_->pool.exclusive(hinted, hint_);
}

Result<ExclusiveGuard> Heap::find_room(std::size_t content_bytes, std::span<const PageId> others) const {
  LastPage& last = last_page(*context_, object_);
  const std::uint8_t free_class = map_class_for(std::max(content_bytes, kHeapCapacityMin));
  // A page that does not fit is given up before the map learns of it.
  const auto fits = [&](ExclusiveGuard& page) {
    const Fit fitting = fit(page, content_bytes, others);
    if (fitting == Fit::kYes) last.page = page.id();
    if (fitting != Fit::kNo) return fitting;
    const PageId id = page.id();
    page.release();
    note_full(id);
    return fitting;
  };
  bool contended = false;
  if (last.page != kNoPage) {
    // An error here is no damage: the page may not be the table's any more.
    Result<ExclusiveGuard> hinted = latch_hinted(last.page, contended);
    if (hinted && *hinted && fits(*hinted) == Fit::kYes) return hinted;
    last.page = kNoPage;
  }
  for (unsigned round = 0; round < kRoundsMax; ++round) {
    Candidates found;
    VG_TRY(collect(root_, free_class, found));
    for (const PageId other : others) {
      const auto end = found.pages.begin() + found.count;
      found.count = static_cast<unsigned>(std::remove(found.pages.begin(), end, other) - found.pages.begin());
    }
    if (found.count == 0) break;
    const unsigned turn = thread_number();
    for (unsigned i = 0; i < found.count; ++i) {
      auto page = context_->pool.try_exclusive(found.pages[(turn + i) % found.count]);
      if (page && fits(*page) == Fit::kYes) return *std::move(page);
    }
    // All busy, not in the cache, or without room after all. Threads that meet at one page get pages of their own,
    // so long as there are not too many half-full ones.
    if (contended && found.count < kCandidatesMax) break;
    const PageId id = found.pages[turn % found.count];
    VG_ASSIGN(ExclusiveGuard page, context_->pool.exclusive(id, hint_));
    const Fit fitting = fits(page);
    if (fitting == Fit::kYes) return page;
    if (fitting == Fit::kForeign) return damaged(id, heap_problem(page.page()));
  }
  VG_ASSIGN(ExclusiveGuard page,
            append_page([this](MutableBytes image, std::uint32_t number) { build_heap_page(image, object_, number); }));
  last.page = page.id();
  return page;
}

/// Heap pages below the map page `id` with this class or a better one, the first ones.
Status Heap::collect(PageId id, std::uint8_t free_class, Candidates& found) const {
  unsigned level = 0;
  Candidates here;
  VG_TRY(read_map(id, [&](const MapPageView& map) {
    here.count = 0;
    level = map.level();
    const unsigned entries = map.count();
    const unsigned wanted = level == 0 ? kCandidatesMax : kChildrenTried;
    for (unsigned i = 0; i < entries && here.count < wanted; ++i) {
      if (map.free_class(i) >= free_class) here.pages[here.count++] = map.id(i);
    }
  }));
  if (level == 0) {
    found = here;
    return {};
  }
  for (unsigned i = 0; i < here.count && found.count == 0; ++i) {
    VG_ASSIGN(const MapState child, map_state(here.pages[i]));
    if (child.level + 1 != level) return damaged(here.pages[i], "its level is not one below that of its parent");
    VG_TRY(collect(here.pages[i], free_class, found));
    if (found.count == 0) lower_class(id, here.pages[i]);
  }
  return {};
}

// --- The map's hints. Each of these does nothing when something is not in the cache.

/// What a map page says about one below it becomes what that one says itself. Under both latches, so that a class
/// that is raised below afterwards is raised above afterwards, too.
void Heap::lower_class(PageId parent, PageId child) const {
  LogSpace log_space(context_->log);
  if (!log_space.reserve(kMapNoteLogBytes)) return;
  auto above = context_->pool.try_exclusive(parent);
  if (!above || map_problem(above->page()) != nullptr) return;
  auto below = context_->pool.try_shared(child);
  if (!below || map_problem(below->page()) != nullptr) return;
  const unsigned index = MapPageView(above->page()).index_of(MapPageView(below->page()).first());
  if (index == kMapEntriesMax || MapPageView(above->page()).id(index) != child) return;
  set_class(*above, index, MapPageView(below->page()).best_class());
}

void Heap::raise_class(PageId parent, std::uint32_t number, std::uint8_t free_class) const {
  auto above = context_->pool.exclusive_if_resident(parent);
  if (!above || map_problem(above->page()) != nullptr) return;
  const unsigned index = MapPageView(above->page()).index_of(number);
  if (index == kMapEntriesMax || MapPageView(above->page()).free_class(index) >= free_class) return;
  set_class(*above, index, free_class);
}

/// A class says nothing that a record would have to say. But a clean page loses it when it is evicted: such a page gets
/// a record that changes nothing, and is dirty from then on, by the rules of any change.
void Heap::set_class(ExclusiveGuard& map, unsigned index, std::uint8_t free_class) const {
  if (MapPageView(map.page()).free_class(index) == free_class) return;
  if (!context_->pool.will_be_written(map)) {
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_map_truncate(payload, MapPageView(map.page()).count());
    mini.add(map, PageOp::kMapTruncate, payload.bytes());
    mini.commit();
  }
  set_free_class(map.unlogged_bytes(), index, free_class);
}

/// What somebody has found out who looked for room. Without log space, nobody learns of it. [no latch held]
void Heap::note_full(PageId id) const {
  LogSpace log_space(context_->log);
  if (!log_space.reserve(kMapNoteLogBytes)) return;
  const auto page = context_->pool.shared_if_resident(id);
  if (page && heap_problem(page->page()) == nullptr) note_room(id, page->page());
}

bool Heap::note_room(PageId id, Bytes page) const {
  const HeapPageView view(page);
  const std::uint32_t number = view.number();
  const std::uint8_t free_class = map_class_of(view.free_bytes());
  // A map page's place in the map is for life, except for the root's: so one latch at a time will do, and what has
  // moved is found missing at the end.
  std::array<PageId, kMapLevelsMax> path{};
  unsigned depth = 0;
  for (PageId map_id = root_; depth < kMapLevelsMax;) {
    if (map_id == id) return true;  // no map: it is the page that the caller holds
    auto map = context_->pool.shared_if_resident(map_id);
    if (!map) return false;
    if (map_problem(map->page()) != nullptr) return true;
    const MapPageView map_view(map->page());
    const unsigned index = map_view.index_of(number);
    if (index == kMapEntriesMax) return true;
    path[depth++] = map_id;
    if (map_view.level() == 0) {
      if (map_view.id(index) != id || map_view.free_class(index) == free_class) return true;
      break;
    }
    map_id = map_view.id(index);
  }
  {
    auto leaf = context_->pool.exclusive_if_resident(path[depth - 1]);
    if (!leaf) return false;
    if (map_problem(leaf->page()) != nullptr) return true;
    const MapPageView map_view(leaf->page());
    const unsigned index = map_view.index_of(number);
    if (map_view.level() != 0 || index == kMapEntriesMax || map_view.id(index) != id) return true;
    set_class(*leaf, index, free_class);
  }
  for (unsigned above = depth - 1; above > 0; --above) raise_class(path[above - 1], number, free_class);
  return true;
}

Status Heap::note_free(PageId page) const {
  std::uint32_t number = 0;
  VG_TRY(read(page, [&](const HeapPageView& view) { number = view.number(); }));
  std::vector<LoadPin> pins;
  unsigned level = kMapLevelsMax;
  for (PageId id = root_; level > 0;) {
    VG_ASSIGN(LoadPin pin, context_->pool.load(id, Hint::kPinned));
    pins.push_back(std::move(pin));
    unsigned found_level = 0;
    PageId below = kNoPage;
    VG_TRY(read_map(id, [&](const MapPageView& map) {
      found_level = map.level();
      const unsigned index = map.index_of(number);
      below = index == kMapEntriesMax ? kNoPage : map.id(index);
    }));
    if (found_level >= level) return damaged(id, "its level is not below that of its parent");
    if (below == kNoPage) return {};
    level = found_level;
    id = below;
  }
  LogSpace log_space(context_->log);
  VG_TRY(log_space.reserve(kMapNoteLogBytes));
  VG_ASSIGN(const SharedGuard guard, context_->pool.shared(page, hint_));
  if (heap_problem(guard.page()) == nullptr) note_room(page, guard.page());
  return {};
}

// --- A new page

Result<ExclusiveGuard> Heap::append_page(FunctionRef<void(MutableBytes, std::uint32_t)> build) const {
  for (;;) {
    VG_ASSIGN(const PageId leaf_id, leaf_with_room());
    LogSpace log_space(context_->log);
    VG_TRY(log_space.reserve(kAddPageLogBytes));
    VG_ASSIGN(PageReservation pages, context_->space.reserve(1, root_));
    VG_ASSIGN(FrameTicket frames, context_->pool.reserve_frames(1));
    VG_ASSIGN(ExclusiveGuard leaf, context_->pool.exclusive(leaf_id, Hint::kPinned));
    // Looked at again under the latch: it may have become full, or the map higher.
    if (const char* wrong = map_problem(leaf.page())) return damaged(leaf_id, wrong);
    const MapPageView map(leaf.page());
    if (map.level() != 0 || map.full()) continue;

    // A page that nobody can reach yet may be latched after a map page: who waits for it holds nothing of this table.
    ExclusiveGuard page = context_->pool.create(pages[0], frames);
    std::array<std::byte, kPageBytes> image;
    build(image, map.first() + map.count());
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_page_image(payload, image);
    mini.add(page, PageOp::kImage, payload.bytes());
    payload.clear();
    encode_map_append(payload, pages[0]);
    mini.add(leaf, PageOp::kMapAppend, payload.bytes());
    if (!context_->space.add_to(mini, pages.ids(), {})) continue;  // reserve() loads the bitmap again
    mini.commit();
    pages.committed(1);
    leaf.release();
    try {
      note_free(page);
    } catch (const std::bad_alloc&) {
      // The page is there; its room is found again when something on it is deleted.
    }
    return page;
  }
}

}  // namespace vaultgres
