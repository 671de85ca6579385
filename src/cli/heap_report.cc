// Reports on the pages of a table: rows, and the map of its heap pages.
#include <fmt/format.h>

#include <algorithm>

#include "cli/report_parts.h"
#include "format/overflow.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"

namespace vaultgres::cli {

namespace {

const char* kind_name(HeapKind kind) noexcept {
  switch (kind) {
    case HeapKind::kUnused:
      return "unused";
    case HeapKind::kRow:
      return "row";
    case HeapKind::kStub:
      return "stub";
    case HeapKind::kBody:
      return "body";
  }
  return "unknown";
}

Json slot_flags(const HeapSlot& slot) {
  Json flags = Json::array();
  if (slot.state.ghost) flags.push_back("ghost");
  if (slot.state.overflow) flags.push_back("overflow");
  if (slot.history) flags.push_back("history");
  return flags;
}

/// Where a stub's body is, or a body's home: "PAGE:SLOT".
Json link_of(const HeapSlot& slot) {
  const Tid link = slot.link();
  return link.page == kNoPage ? Json(nullptr) : Json(fmt::format("{}:{}", raw(link.page), link.slot));
}

Json content_of(const HeapSlot& slot) {
  const Bytes row = slot.row();
  if (slot.state.kind == HeapKind::kUnused || slot.state.kind == HeapKind::kStub) return nullptr;
  if (!slot.state.overflow || row.size() != sizeof(OverflowRef)) return json_of(as_text(row));
  const auto& ref = *reinterpret_cast<const OverflowRef*>(row.data());
  return Json{{"overflow_page", ref.head.get()}, {"bytes", ref.bytes.get()}};
}

Json describe_slot(const HeapPageView& heap, unsigned number) {
  const HeapSlot slot = heap.slot(number);
  return Json{{"slot", number},
              {"kind", kind_name(slot.state.kind)},
              {"flags", slot_flags(slot)},
              {"capacity", heap.capacity(number)},
              {"length", slot.content.size()},
              {"link", link_of(slot)},
              {"content", content_of(slot)}};
}

/// Bytes of slots and cells. A damaged page may claim more than it has.
std::size_t used_bytes(const HeapPageView& heap) {
  std::size_t bytes = heap.slots() * sizeof(HeapSlotWord);
  for (unsigned slot = 0; slot < heap.slots(); ++slot) {
    if (heap.slot(slot).used()) bytes += sizeof(HeapCellHeader) + heap.capacity(slot);
  }
  return std::min(bytes, kHeapCellsBytesMax);
}

}  // namespace

void describe_heap_page(const PageContext& context, Bytes page, Json& report) {
  const HeapPageView heap(page);
  const auto& header = *reinterpret_cast<const HeapHeader*>(page.data() + kPageHeaderBytes);
  const std::size_t used = used_bytes(heap);
  report["heap"] = Json{{"number", heap.number()},
                        {"count", header.slots.get()},
                        {"unused", header.unused.get()},
                        {"ghosts", header.ghosts.get()},
                        {"cell_begin", header.cell_begin.get()},
                        {"dead_bytes", header.dead_bytes.get()},
                        {"used_bytes", used},
                        {"longest_new_row", heap.free_bytes()},
                        {"fill", static_cast<double>(used) / static_cast<double>(kHeapCellsBytesMax)}};
  report["slots"] = ends_of(heap.slots(), context.all,
                            [&](std::size_t slot) { return describe_slot(heap, static_cast<unsigned>(slot)); });
}

void describe_map_page(const PageContext& context, Bytes page, Json& report) {
  const MapPageView map(page);
  const auto& header = *reinterpret_cast<const MapHeader*>(page.data() + kPageHeaderBytes);
  const unsigned count = std::min(map.count(), kMapEntriesMax);
  report["map"] = Json{{"level", map.level()},
                       {"count", header.count.get()},
                       {"first", map.first()},
                       {"lists", map.level() == 0 ? "heap pages" : "map pages"},
                       {"class_bytes", kMapClassBytes},
                       {"best_class", map.best_class()},
                       {"fill", static_cast<double>(count) / kMapEntriesMax}};
  report["entries"] = ends_of(count, context.all, [&](std::size_t i) {
    const auto index = static_cast<unsigned>(i);
    return Json{{"entry", index}, {"page", page_or_null(raw(map.id(index)))}, {"class", map.free_class(index)}};
  });
}

}  // namespace vaultgres::cli
