#include "heap/map_page.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/payload_buffer.h"
#include "base/try.h"

namespace vaultgres {

namespace {

const MapHeader& header_of(Bytes page) noexcept {
  return *reinterpret_cast<const MapHeader*>(page.data() + kPageHeaderBytes);
}
MapHeader& header_of(MutableBytes page) noexcept {
  return *reinterpret_cast<MapHeader*>(page.data() + kPageHeaderBytes);
}

const char* header_problem(Bytes page) noexcept {
  if (page_header(page).type.get() != raw(PageType::kFreeSpaceMap)) return "it is none";
  if (header_of(page).level.get() >= kMapLevelsMax) return "a level beyond any";
  return header_of(page).count.get() > kMapEntriesMax ? "more entries than there is room for" : nullptr;
}

Error cannot_apply(const char* problem) {
  return Error(ErrorCode::kCorruption, std::string("cannot apply a change to a free-space map page: ") + problem);
}

}  // namespace

bool MapPageView::plausible() const noexcept {
  return header_problem(page_) == nullptr;
}
unsigned MapPageView::level() const noexcept {
  return std::min<unsigned>(header_of(page_).level.get(), kMapLevelsMax - 1);
}
unsigned MapPageView::count() const noexcept {
  return std::min<unsigned>(header_of(page_).count.get(), kMapEntriesMax);
}
std::uint32_t MapPageView::first() const noexcept {
  return header_of(page_).first.get();
}
PageId MapPageView::id(unsigned index) const noexcept {
  return PageId{load_little<std::uint32_t>(page_.data() + kMapIdsOffset + 4 * index)};
}
std::uint8_t MapPageView::free_class(unsigned index) const noexcept {
  return load_little<std::uint8_t>(page_.data() + kMapClassesOffset + index);
}
std::uint8_t MapPageView::best_class() const noexcept {
  std::uint8_t best = 0;
  const unsigned entries = count();
  for (unsigned i = 0; i < entries; ++i) best = std::max(best, free_class(i));
  return best;
}
unsigned MapPageView::index_of(std::uint32_t number) const noexcept {
  const std::uint32_t begin = first();
  if (number < begin) return kMapEntriesMax;
  const std::uint64_t index = (number - begin) / map_span(level());
  return index < count() ? static_cast<unsigned>(index) : kMapEntriesMax;
}

// --- Append:  u32 page id

void encode_map_append(PayloadBuffer& out, PageId id) {
  out.append_int(raw(id));
}

static Status apply_append(MutableBytes page, Bytes payload) {
  if (payload.size() != sizeof(std::uint32_t)) return cannot_apply("the operation is malformed");
  if (const char* problem = header_problem(page)) return cannot_apply(problem);
  if (MapPageView(page).full()) return cannot_apply("the page is full");
  append_map_entry(page, PageId{load_little<std::uint32_t>(payload.data())}, UINT8_MAX);
  return {};
}

// --- Truncate:  u16 count

void encode_map_truncate(PayloadBuffer& out, unsigned count) {
  out.append_int(static_cast<std::uint16_t>(count));
}

static Status apply_truncate(MutableBytes page, Bytes payload) {
  if (payload.size() != sizeof(std::uint16_t)) return cannot_apply("the operation is malformed");
  if (const char* problem = header_problem(page)) return cannot_apply(problem);
  const unsigned keep = load_little<std::uint16_t>(payload.data());
  const unsigned count = MapPageView(page).count();
  if (keep > count) return cannot_apply("it keeps more entries than there are");
  std::memset(page.data() + kMapIdsOffset + 4 * keep, 0, 4 * (count - keep));
  std::memset(page.data() + kMapClassesOffset + keep, 0, count - keep);
  header_of(page).count.set(static_cast<std::uint16_t>(keep));
  return {};
}

void register_map_page_ops(RedoTable& table) {
  table.set(PageOp::kMapAppend, apply_append);
  table.set(PageOp::kMapTruncate, apply_truncate);
}

// --- What is not logged, and whole pages

void set_free_class(MutableBytes page, unsigned index, std::uint8_t free_class) {
  page[kMapClassesOffset + index] = std::byte{free_class};
}

void mask_free_classes(MutableBytes page) {
  const unsigned count = MapPageView(page).count();
  for (unsigned i = 0; i < count; ++i) set_free_class(page, i, 0);
}

void build_map_page(MutableBytes out, ObjectId object, bool root, unsigned level, std::uint32_t first) {
  VG_CHECK(level < kMapLevelsMax, "a free-space map with too many levels");
  std::memset(out.data(), 0, kPageBytes);
  PageHeader& head = page_header(out);
  head.object.set(raw(object));
  head.type.set(raw(PageType::kFreeSpaceMap));
  head.flags.set(static_cast<std::uint8_t>(root ? kPageFlagRoot : 0));
  MapHeader& header = header_of(out);
  header.level.set(static_cast<std::uint8_t>(level));
  header.first.set(first);
}

void append_map_entry(MutableBytes page, PageId id, std::uint8_t free_class) {
  const unsigned count = MapPageView(page).count();
  VG_CHECK(count < kMapEntriesMax, "an entry too many for a free-space map page");
  store_little(page.data() + kMapIdsOffset + 4 * count, raw(id));
  set_free_class(page, count, free_class);
  header_of(page).count.set(static_cast<std::uint16_t>(count + 1));
}

Status verify_map_page(Bytes page) {
  const auto wrong = [](const char* what) {
    return Error(ErrorCode::kCorruption, std::string("free-space map page: ") + what);
  };
  if (const char* problem = header_problem(page)) return wrong(problem);
  const PageHeader& head = page_header(page);
  const MapHeader& header = header_of(page);
  if ((head.flags.get() & ~unsigned{kPageFlagRoot}) != 0) return wrong("unknown page flags");
  if (head.reserved.get() != 0 || header.reserved.get() != 0 || header.reserved_too.get() != 0) {
    return wrong("reserved bytes are not zero");
  }
  const MapPageView view(page);
  if (view.is_root() && view.first() != 0) return wrong("a root that does not begin at the first page");
  const auto is_zero = [&](std::size_t begin, std::size_t end) {
    return std::all_of(page.begin() + begin, page.begin() + end, [](std::byte b) { return b == std::byte{0}; });
  };
  const unsigned count = view.count();
  if (!is_zero(kMapIdsOffset + 4 * count, kMapClassesOffset) || !is_zero(kMapClassesOffset + count, kPageBytes)) {
    return wrong("an entry beyond the last is not zero");
  }
  for (unsigned i = 0; i < count; ++i) {
    if (view.id(i) == kNoPage || raw(view.id(i)) == 0) return wrong("an entry is no page");
  }
  return {};
}

}  // namespace vaultgres
