#include "db/salvage_pages.h"

#include <array>
#include <cstring>

#include "base/try.h"
#include "btree/node.h"
#include "format/bitmap.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"
#include "space/page_allocator.h"

namespace vaultgres::internal {

namespace {

constexpr std::size_t kPlaceSortBytes = std::size_t{32} << 20;

/// What the sorter is given. Keys sort as bytes; so do values of equal keys.
///
///   key    object (4, big-endian), 0 leaf or 1 heap (1), then a leaf's low fence or a heap page's number (4,
///   big-endian) value  1 lost (1), all ones minus the LSN (8, big-endian), page (4, little-endian), of a leaf: has a
///   high fence (1),
///          high fence
constexpr std::size_t kGroupBytes = 5;
constexpr std::size_t kPlaceBytes = 13;

std::string group_key(ObjectId object, bool heap) {
  std::string key(kGroupBytes, '\0');
  store_big(key.data(), raw(object));
  key[4] = heap ? '\1' : '\0';
  return key;
}

std::string place(PageId page, Lsn lsn, bool lost) {
  std::string value(kPlaceBytes, '\0');
  value[0] = lost ? '\1' : '\0';
  store_big(value.data() + 1, UINT64_MAX - raw(lsn));
  store_little(value.data() + 9, raw(page));
  return value;
}

Lsn lsn_of(Bytes page) {
  return Lsn{page_header(page).lsn.get()};
}

PageUse use_of(Bytes page) {
  switch (static_cast<PageType>(page_header(page).type.get())) {
    case PageType::kFree:
      return PageUse::kFree;
    case PageType::kLeaf:
      return PageUse::kLeaf;
    case PageType::kInternal:
      return PageUse::kInner;
    case PageType::kHeap:
      return PageUse::kHeap;
    case PageType::kFreeSpaceMap:
      return PageUse::kMap;
    default:
      return PageUse::kOther;
  }
}

}  // namespace

FoundPages::FoundPages(FileSystem& scratch, std::string path) : sorter_(scratch, std::move(path), kPlaceSortBytes) {}

Status FoundPages::look(const DamagedFiles& files, SalvageReport& report) {
  uses_.assign(files.page_count(), PageUse::kOther);
  objects_.assign(files.page_count(), 0);
  report.pages = files.page_count();
  bool any_lost = false;
  VG_TRY(files.read_all([&](PageId id, PageReading reading, Bytes page, const std::string&) {
    any_lost |= reading != PageReading::kGood;
    return note(id, reading, page);
  }));
  if (any_lost) VG_TRY(ask_others(files));
  return sorter_.finish();
}

Status FoundPages::note(PageId id, PageReading reading, Bytes page) {
  PageUse& use = uses_[raw(id)];
  if (reading != PageReading::kGood) {
    use = reading == PageReading::kAbsent ? PageUse::kAbsent : PageUse::kLost;
    if (bitmap_page_of(id) == id) use = PageUse::kLostBitmap;
    return {};
  }
  use = use_of(page);
  objects_[raw(id)] = page_header(page).object.get();
  if (use == PageUse::kLeaf) return add_leaf(id, page);
  if (use == PageUse::kHeap) {
    const HeapPageView view(page);
    return add_heap_page(view.object(), view.number(), id, lsn_of(page), false);
  }
  return {};
}

Status FoundPages::add_leaf(PageId id, Bytes page) {
  const NodeView node(page);
  std::string key = group_key(node.object(), false);
  key.append(as_text(node.low_fence()));
  std::string value = place(id, lsn_of(page), false);
  value.push_back(node.has_high_fence() ? '\1' : '\0');
  value.append(as_text(node.high_fence()));
  return sorter_.add(as_bytes(key), as_bytes(value));
}

Status FoundPages::add_heap_page(ObjectId object, std::uint32_t number, PageId id, Lsn lsn, bool lost) {
  std::string key = group_key(object, true);
  key.resize(kGroupBytes + sizeof number);
  store_big(key.data() + kGroupBytes, number);
  return sorter_.add(as_bytes(key), as_bytes(place(id, lsn, lost)));
}

void FoundPages::explain(PageId id, PageUse use, ObjectId object) noexcept {
  if (raw(id) >= uses_.size() || !is_lost(uses_[raw(id)])) return;
  uses_[raw(id)] = use;
  objects_[raw(id)] = raw(object);
}

// --- What pages say of others that cannot be read

Status FoundPages::ask_others(const DamagedFiles& files) {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPageBytes));
  const MutableBytes page = buffer.span().first(kPageBytes);
  // Bitmaps first: what trees and tables say counts more.
  for (std::uint32_t i = 0; i < count(); ++i) {
    const PageId id{i};
    if (bitmap_page_of(id) == id && files.read(id, page) == PageReading::kGood) ask_bitmap(page);
  }
  for (std::uint32_t i = 0; i < count(); ++i) {
    const PageUse use = uses_[i];
    if (use != PageUse::kInner && use != PageUse::kMap) continue;
    if (files.read(PageId{i}, page) != PageReading::kGood) continue;
    VG_TRY(use == PageUse::kInner ? ask_inner(page) : ask_map(page));
  }
  return {};
}

/// Free pages are nobody's loss; pages in use should not be all zeros.
void FoundPages::ask_bitmap(Bytes page) {
  const auto& header = *reinterpret_cast<const BitmapHeader*>(page.data() + kPageHeaderBytes);
  const std::uint32_t first = header.first.get();
  for (std::uint32_t i = 0; i < kPagesPerBitmap && std::uint64_t{first} + i < count(); ++i) {
    PageUse& use = uses_[first + i];
    if (use != PageUse::kAbsent && use != PageUse::kLost) continue;
    const bool in_use = (page[kBitmapBitsOffset + i / 8] >> i % 8 & std::byte{1}) != std::byte{0};
    if (in_use) use = PageUse::kLost;
    if (!in_use && use == PageUse::kLost) use = PageUse::kLostFree;
  }
}

Status FoundPages::ask_inner(Bytes page) {
  const NodeView node(page);
  for (unsigned slot = 0; slot < node.count(); ++slot) {
    explain(node.child(slot), node.level() > 1 ? PageUse::kLostInner : PageUse::kLostLeaf, node.object());
  }
  return {};
}

Status FoundPages::ask_map(Bytes page) {
  const MapPageView map(page);
  for (unsigned i = 0; i < map.count(); ++i) {
    const PageId id = map.id(i);
    if (map.level() > 0) {
      explain(id, PageUse::kLostMap, map.object());
      continue;
    }
    if (raw(id) < count() && !is_lost(use(id))) continue;
    explain(id, PageUse::kLostHeap, map.object());
    VG_TRY(add_heap_page(map.object(), map.first() + i, id, Lsn{0}, true));
  }
  return {};
}

// --- What was found, sorted

Status FoundPages::advance() {
  VG_ASSIGN(more_, sorter_.next(key_, value_));
  if (more_ && (key_.size() < kGroupBytes || value_.size() < kPlaceBytes)) {
    return Error(ErrorCode::kIo, "the temporary file of salvage does not hold what was written to it");
  }
  return {};
}

bool FoundPages::at_group() const noexcept {
  return more_ && load_big<std::uint32_t>(key_.data()) == raw(group_.object) &&
         (key_[4] != std::byte{0}) == group_.heap;
}

Result<std::optional<FoundGroup>> FoundPages::next_group() {
  if (!started_) VG_TRY(advance());
  while (started_ && at_group()) VG_TRY(advance());
  started_ = true;
  if (!more_) return std::optional<FoundGroup>();
  group_ = {ObjectId{load_big<std::uint32_t>(key_.data())}, key_[4] != std::byte{0}};
  return std::optional<FoundGroup>(group_);
}

Result<bool> FoundPages::next_leaf(FoundLeaf& leaf) {
  if (!at_group()) return false;
  leaf.low = as_text(key_.subspan(kGroupBytes));
  leaf.lsn = Lsn{UINT64_MAX - load_big<std::uint64_t>(value_.data() + 1)};
  leaf.page = PageId{load_little<std::uint32_t>(value_.data() + 9)};
  leaf.has_high = value_.size() > kPlaceBytes && value_[kPlaceBytes] != std::byte{0};
  leaf.high = as_text(value_.subspan(std::min(value_.size(), kPlaceBytes + 1)));
  VG_TRY(advance());
  return true;
}

Result<bool> FoundPages::next_heap_page(FoundHeapPage& page) {
  if (!at_group() || key_.size() < kGroupBytes + sizeof page.number) return false;
  page.number = load_big<std::uint32_t>(key_.data() + kGroupBytes);
  page.lost = value_[0] != std::byte{0};
  page.page = PageId{load_little<std::uint32_t>(value_.data() + 9)};
  VG_TRY(advance());
  return true;
}

}  // namespace vaultgres::internal
