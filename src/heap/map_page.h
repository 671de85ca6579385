// One page of a table's map. Layout in format/free_space_map.h, drawing in heap/README.md.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "buffer/redo_table.h"
#include "format/free_space_map.h"

namespace vaultgres {

class PayloadBuffer;  // base/payload_buffer.h

/// Levels that can have entries: beyond, there would be more heap pages than page ids.
inline constexpr unsigned kMapLevelsMax = 5;

/// How many heap pages one entry of this level stands for. Precondition: level < kMapLevelsMax.
constexpr std::uint64_t map_span(unsigned level) noexcept {
  std::uint64_t span = 1;
  for (unsigned i = 0; i < level; ++i) span *= kMapEntriesMax;
  return span;
}
static_assert(map_span(kMapLevelsMax) > UINT32_MAX);

/// The class of a heap page with this much room, and the least class that has room for a row.
constexpr std::uint8_t map_class_of(std::size_t free_bytes) noexcept {
  const std::size_t units = free_bytes / kMapClassBytes;
  return static_cast<std::uint8_t>(units < UINT8_MAX ? units : UINT8_MAX);
}
constexpr std::uint8_t map_class_for(std::size_t row_bytes) noexcept {
  return map_class_of(row_bytes + kMapClassBytes - 1);
}

/// Safe on any bytes, as HeapPageView.
class MapPageView {
 public:
  explicit MapPageView(Bytes page) noexcept : page_(page) {}

  /// Type free-space map and a header within bounds.
  bool plausible() const noexcept;
  ObjectId object() const noexcept { return ObjectId{page_header(page_).object.get()}; }
  bool is_root() const noexcept { return (page_header(page_).flags.get() & kPageFlagRoot) != 0; }
  unsigned level() const noexcept;
  unsigned count() const noexcept;
  bool full() const noexcept { return count() >= kMapEntriesMax; }
  std::uint32_t first() const noexcept;
  /// Precondition: index < kMapEntriesMax.
  PageId id(unsigned index) const noexcept;
  std::uint8_t free_class(unsigned index) const noexcept;
  std::uint8_t best_class() const noexcept;
  /// The entry that the heap page with this number belongs to; kMapEntriesMax if to none of this page.
  unsigned index_of(std::uint32_t number) const noexcept;

  Bytes page() const noexcept { return page_; }

 private:
  Bytes page_;
};

/// The map lists this page behind all others, as one with much room.
void encode_map_append(PayloadBuffer& out, PageId id);
/// The map keeps its first `count` entries.
void encode_map_truncate(PayloadBuffer& out, unsigned count);
void register_map_page_ops(RedoTable& table);

/// Unlogged, like the flag of heap_page.h. Precondition: index < kMapEntriesMax.
void set_free_class(MutableBytes page, unsigned index, std::uint8_t free_class);
/// Sets all classes of entries to one value: what two pages are compared with.
void mask_free_classes(MutableBytes page);

void build_map_page(MutableBytes out, ObjectId object, bool root, unsigned level, std::uint32_t first);
/// Appends an entry while building. Precondition: the page is not full.
void append_map_entry(MutableBytes page, PageId id, std::uint8_t free_class);

/// Everything about one page that can be checked without others. Used at load and by `check`.
Status verify_map_page(Bytes page);

}  // namespace vaultgres
