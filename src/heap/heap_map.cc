// The map: reading it, growing it page by page, and freeing a dropped table along it. Each change is one system
// record, after which the map is sound.
#include <algorithm>
#include <array>
#include <vector>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/page_image.h"
#include "heap/heap.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Two whole pages and small parts.
constexpr std::uint64_t kMapLogBytes = log_bytes_for(2 * (kPageBytes + 64) + 512);

using PageBuffer = std::array<std::byte, kPageBytes>;

void add_image(MiniTxn& mini, ExclusiveGuard& page, Bytes image) {
  PayloadBuffer payload;
  encode_page_image(payload, image);
  mini.add(page, PageOp::kImage, payload.bytes());
}

void add_truncate(MiniTxn& mini, ExclusiveGuard& map) {
  PayloadBuffer payload;
  encode_map_truncate(payload, MapPageView(map.page()).count() - 1);
  mini.add(map, PageOp::kMapTruncate, payload.bytes());
}

bool has_overflow(const HeapPageView& page) {
  const unsigned slots = page.slots();
  for (unsigned slot = 0; slot < slots; ++slot) {
    if (page.slot(slot).state.overflow) return true;
  }
  return false;
}

}  // namespace

void Heap::add_new_root(MiniTxn& mini, ExclusiveGuard& page, ObjectId object) {
  PageBuffer image;
  build_map_page(image, object, true, 0, 0);
  add_image(mini, page, image);
}

// --- Reading

Status Heap::read_map(PageId id, FunctionRef<void(const MapPageView&)> visit) const {
  return read_page(
      id, Hint::kPinned, [this](Bytes bytes) { return map_problem(bytes); },
      [&](Bytes bytes) { visit(MapPageView(bytes)); });
}

Result<Heap::MapState> Heap::map_state(PageId id) const {
  MapState state;
  VG_TRY(read_map(id, [&](const MapPageView& map) {
    state = {map.level(), map.count(), map.first(), kNoPage};
    if (state.count > 0) state.last = map.id(state.count - 1);
  }));
  return state;
}

Result<std::uint32_t> Heap::page_count() const {
  unsigned level = kMapLevelsMax;
  for (PageId id = root_;;) {
    VG_ASSIGN(const MapState map, map_state(id));
    if (map.level >= level) return damaged(id, "its level is not below that of its parent");
    if (map.level == 0 || map.count == 0) return map.first + map.count;
    level = map.level;
    id = map.last;
  }
}

Status Heap::pages(std::uint32_t from, FunctionRef<bool(std::uint32_t number, PageId page)> visit) const {
  std::vector<PageId> ids;
  for (std::uint32_t next = from;;) {
    VG_TRY(list_from(next, ids));
    if (ids.empty()) return {};
    for (const PageId id : ids) {
      if (!visit(next++, id)) return {};
    }
  }
}

/// From the root anew for each page of level 0: the map may have become higher meanwhile. What a page below the root
/// is, its parent says, for life: also that it is full, if the map goes on behind it. A page that says otherwise would
/// end a scan in silence, or send it back.
Status Heap::list_from(std::uint32_t number, std::vector<PageId>& ids) const {
  unsigned level = kMapLevelsMax;  // until the root has said its own
  std::uint64_t first = 0;
  bool goes_on = false;
  for (PageId id = root_;;) {
    MapState map;
    unsigned index = 0;
    VG_TRY(read_map(id, [&](const MapPageView& view) {
      ids.clear();
      map = {view.level(), view.count(), view.first(), kNoPage};
      index = view.index_of(number);
      const unsigned end = map.level == 0 ? map.count : std::min(map.count, index + 1);
      for (unsigned i = index; i < end; ++i) ids.push_back(view.id(i));
    }));
    if (level == kMapLevelsMax) level = map.level;
    if (map.level != level || map.first != first || (goes_on && !map.full())) {
      return damaged(id, "it is not the part of the free-space map that its parent says");
    }
    if (ids.empty() || level == 0) return {};
    goes_on = goes_on || index + 1 < map.count;
    first += index * map_span(level);
    --level;
    id = ids.front();
  }
}

// --- Growing

/// The last page of level 0, which has room: so everything before it is full. A full page stays full, and a page's
/// place is for life, so what is seen here without latches still holds under them if the count is unchanged.
Result<PageId> Heap::leaf_with_room() const {
  for (;;) {
    PageId growing = kNoPage;  // the lowest page with room for one more page below it
    MapState growing_state;
    MapState root;
    PageId id = root_;
    unsigned level = kMapLevelsMax;
    for (;;) {
      VG_ASSIGN(const MapState map, map_state(id));
      if (map.level >= level) return damaged(id, "its level is not below that of its parent");
      level = map.level;
      if (id == root_) root = map;
      if (level == 0 && !map.full()) return id;
      if (level > 0 && !map.full()) {
        growing = id;
        growing_state = map;
      }
      if (level == 0 || map.count == 0) break;
      id = map.last;
    }
    VG_TRY(growing == kNoPage ? raise_root(root) : add_map_page(growing, growing_state));
  }
}

/// Adds an empty page below `parent`. Nothing when `parent` has changed.
Status Heap::add_map_page(PageId parent, const MapState& expected) const {
  for (;;) {
    LogSpace log_space(context_->log);
    VG_TRY(log_space.reserve(kMapLogBytes));
    VG_ASSIGN(PageReservation pages, context_->space.reserve(1, root_));
    VG_ASSIGN(FrameTicket frames, context_->pool.reserve_frames(1));
    VG_ASSIGN(ExclusiveGuard above, context_->pool.exclusive(parent, Hint::kPinned));
    if (const char* wrong = map_problem(above.page())) return damaged(parent, wrong);
    const MapPageView map(above.page());
    if (map.level() != expected.level || map.count() != expected.count) return {};
    const std::uint64_t first = map.first() + map.count() * map_span(map.level());
    if (first > UINT32_MAX) return damaged(parent, "lists more heap pages than page numbers exist");

    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    ExclusiveGuard& below = mini.own(context_->pool.create(pages[0], frames));
    PageBuffer image;
    build_map_page(image, object_, false, map.level() - 1, static_cast<std::uint32_t>(first));
    add_image(mini, below, image);
    PayloadBuffer payload;
    encode_map_append(payload, pages[0]);
    mini.add(above, PageOp::kMapAppend, payload.bytes());
    if (!context_->space.add_to(mini, pages.ids(), {})) continue;
    mini.commit();
    pages.committed(1);
    return {};
  }
}

/// The full root keeps its page: its content moves down into a new page, which becomes its only entry. Nothing when
/// somebody else has done it.
Status Heap::raise_root(const MapState& expected) const {
  for (;;) {
    LogSpace log_space(context_->log);
    VG_TRY(log_space.reserve(kMapLogBytes));
    VG_ASSIGN(PageReservation pages, context_->space.reserve(1, root_));
    VG_ASSIGN(FrameTicket frames, context_->pool.reserve_frames(1));
    VG_ASSIGN(ExclusiveGuard root, context_->pool.exclusive(root_, Hint::kPinned));
    if (const char* wrong = map_problem(root.page())) return damaged(root_, wrong);
    const MapPageView map(root.page());
    if (map.level() != expected.level || !map.full()) return {};
    if (map.level() + 1 >= kMapLevelsMax) return damaged(root_, "lists more heap pages than page numbers exist");

    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    ExclusiveGuard& below = mini.own(context_->pool.create(pages[0], frames));
    PageBuffer image;
    std::copy(root.page().begin(), root.page().end(), image.begin());
    page_header(MutableBytes(image)).flags.set(0);
    add_image(mini, below, image);
    build_map_page(image, object_, true, map.level() + 1, 0);
    append_map_entry(image, pages[0], map.best_class());
    add_image(mini, root, image);
    if (!context_->space.add_to(mini, pages.ids(), {})) continue;
    mini.commit();
    pages.committed(1);
    return {};
  }
}

// --- Freeing a table that nobody can reach

Result<bool> Heap::free_some(unsigned pages_max, FunctionRef<Status(PageId page)> spill) const {
  for (unsigned freed = 0; freed < pages_max; ++freed) {
    VG_ASSIGN(const bool more, free_last(spill));
    if (!more) return true;
  }
  return false;
}

/// Frees the last page of the map's last path, whatever it is. False: the root is all that is left.
Result<bool> Heap::free_last(FunctionRef<Status(PageId page)> spill) const {
  PageId parent = kNoPage;
  unsigned level = kMapLevelsMax;
  for (PageId id = root_;;) {
    VG_ASSIGN(const MapState map, map_state(id));
    if (map.level >= level) return damaged(id, "its level is not below that of its parent");
    level = map.level;
    if (map.count == 0) {
      if (parent == kNoPage) return false;
      VG_TRY(free_map_page(parent, id));
      return true;
    }
    if (level == 0) {
      VG_TRY(free_heap_page(id, map.last, spill));
      return true;
    }
    parent = id;
    id = map.last;
  }
}

Status Heap::free_heap_page(PageId map, PageId heap, FunctionRef<Status(PageId page)> spill) const {
  for (;;) {
    LogSpace log_space(context_->log);
    VG_TRY(log_space.reserve(kMapLogBytes));
    VG_ASSIGN(LoadPin pin, context_->pool.load(map, Hint::kPinned));
    VG_ASSIGN(auto bitmap_pins, context_->space.load_bitmaps(std::span(&heap, 1)));
    VG_ASSIGN(ExclusiveGuard page, context_->pool.exclusive(heap, Hint::kScan));
    if (const char* wrong = heap_problem(page.page())) return damaged(heap, wrong);
    if (has_overflow(HeapPageView(page.page()))) {
      page.release();
      VG_TRY(spill(heap));
      continue;
    }
    auto leaf = context_->pool.exclusive_if_resident(map);
    if (!leaf) continue;
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    mini.add(page, PageOp::kFree, {});
    add_truncate(mini, *leaf);
    if (!context_->space.add_to(mini, {}, std::span(&heap, 1))) continue;
    mini.commit();
    break;
  }
  context_->space.freed(std::span(&heap, 1));
  return {};
}

Status Heap::free_map_page(PageId parent, PageId map) const {
  for (;;) {
    LogSpace log_space(context_->log);
    VG_TRY(log_space.reserve(kMapLogBytes));
    VG_ASSIGN(LoadPin pin, context_->pool.load(map, Hint::kScan));
    VG_ASSIGN(auto bitmap_pins, context_->space.load_bitmaps(std::span(&map, 1)));
    VG_ASSIGN(ExclusiveGuard above, context_->pool.exclusive(parent, Hint::kPinned));
    auto below = context_->pool.exclusive_if_resident(map);
    if (!below) continue;
    MiniTxn mini(context_->pool, context_->log, RecordKind::kSystem);
    mini.add(*below, PageOp::kFree, {});
    add_truncate(mini, above);
    if (!context_->space.add_to(mini, {}, std::span(&map, 1))) continue;
    mini.commit();
    break;
  }
  context_->space.freed(std::span(&map, 1));
  return {};
}

}  // namespace vaultgres
