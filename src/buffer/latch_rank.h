// A latched page's place in the order of latches, for base/held_latches.h.
#pragma once

#include "base/held_latches.h"
#include "base/types.h"
#include "buffer/translation.h"
#include "format/bitmap.h"
#include "format/free_space_map.h"
#include "format/node.h"
#include "format/superblock.h"

namespace vaultgres {

#ifdef VG_DEBUG_CHECKS

/// As the page says, but for bitmap pages, which have fixed places.
inline LatchRank latch_rank_of(PageId id, Bytes page) noexcept {
  using Kind = LatchRank::Kind;
  LatchRank rank;
  rank.page = raw(id);
  rank.object = page_header(page).object.get();
  const bool in_bitmap_place = raw(id) != 0 && raw(id) % (kBitmapBytes * 8) == 0;
  if (id == kFirstBitmapPage || in_bitmap_place) {
    rank.kind = Kind::kBitmap;
    return rank;
  }
  switch (static_cast<PageType>(page_header(page).type.get())) {
    case PageType::kHeap:
      rank.kind = Kind::kHeap;
      return rank;
    case PageType::kFreeSpaceMap:
      rank.kind = Kind::kMap;
      rank.level = reinterpret_cast<const MapHeader*>(page.data() + kPageHeaderBytes)->level.get();
      return rank;
    case PageType::kLeaf:
    case PageType::kInternal: {
      const auto& node = *reinterpret_cast<const NodeHeader*>(page.data() + kPageHeaderBytes);
      rank.kind = ObjectId{rank.object} == kRetiredObject ? Kind::kRetired : Kind::kTree;
      rank.level = node.level.get();
      rank.right = node.right.get();
      return rank;
    }
    default:
      return rank;
  }
}

inline void note_page_rank(const Translation& entry, PageId id, Bytes page) noexcept {
  note_latch_rank(&entry, latch_rank_of(id, page));
}
/// What the page was in its former life says nothing.
inline void note_new_page(const Translation& entry) noexcept {
  note_latch_rank(&entry, LatchRank{});
}

#else

inline void note_page_rank(const Translation&, PageId, Bytes) noexcept {}
inline void note_new_page(const Translation&) noexcept {}

#endif

}  // namespace vaultgres
