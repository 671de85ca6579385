// Input: a page, then operations as they stand in log records: code, length, payload.
#include "btree/node.h"
#include "buffer/page_image.h"
#include "heap/heap.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"
#include "input_reader.h"
#include "space/bitmap.h"
#include "targets.h"

namespace vaultgres::fuzz {
namespace {

const RedoTable& all_ops() {
  static const RedoTable table = [] {
    RedoTable ops;
    register_image_ops(ops);
    register_node_ops(ops);
    register_bitmap_ops(ops);
    register_heap_ops(ops);
    return ops;
  }();
  return table;
}

void look_at_map(const MapPageView& view) {
  static_cast<void>(view.plausible());
  VG_FUZZ_CHECK(view.count() <= kMapEntriesMax && view.level() < kMapLevelsMax, "a header out of bounds");
  static_cast<void>(view.best_class());
  VG_FUZZ_CHECK(view.index_of(view.first() + 5) <= kMapEntriesMax, "an entry of no page");
}

/// As at load; the page's number decides what a bitmap must be.
void verify(Bytes page) {
  static_cast<void>(verify_node(page).has_value());
  static_cast<void>(verify_heap_page(page).has_value());
  static_cast<void>(verify_map_page(page).has_value());
  static_cast<void>(verify_bitmap(kFirstBitmapPage, page).has_value());
  look_at_map(MapPageView(page));
}

}  // namespace

void fuzz_page_op(Bytes input) {
  InputReader script(input);
  TestPage page = script.page();
  verify(page.bytes());
  for (unsigned i = 0; i < 16 && !script.at_end(); ++i) {
    const RedoTable::Entry& op = all_ops().find(script.byte());
    const std::vector<std::byte> payload = exact_copy(script.take(script.below(kPageBytes + 1024)));
    if (op.apply == nullptr) continue;
    const Status applied = op.apply(page.bytes(), payload);
    VG_FUZZ_CHECK(applied || applied.error().code() == ErrorCode::kCorruption, "damage is called something else");
    verify(page.bytes());
  }
}

}  // namespace vaultgres::fuzz
