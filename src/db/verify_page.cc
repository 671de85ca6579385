#include "db/verify_page.h"

#include <string>

#include "btree/node.h"
#include "format/page.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"
#include "space/page_allocator.h"

namespace vaultgres::internal {

Status verify_page(PageId id, Bytes page) {
  switch (static_cast<PageType>(page_header(page).type.get())) {
    case PageType::kLeaf:
    case PageType::kInternal:
      return verify_node(page);
    case PageType::kBitmap:
      return verify_bitmap(id, page);
    case PageType::kHeap:
      return verify_heap_page(page);
    case PageType::kFreeSpaceMap:
      return verify_map_page(page);
    case PageType::kOverflow:
    case PageType::kFree:
      return {};
    default:
      return Error(ErrorCode::kCorruption, "it is of type " + std::to_string(page_header(page).type.get()) +
                                               ", which no page of this database has");
  }
}

}  // namespace vaultgres::internal
