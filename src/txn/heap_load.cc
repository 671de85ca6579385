#include "txn/heap_load.h"

#include <algorithm>
#include <optional>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "txn/overflow.h"

namespace vaultgres {

HeapLoad::HeapLoad(const Engine& engine, Txn& txn, const Heap& heap) : engine_(engine), txn_(txn), heap_(heap) {
  register_heap_page_ops(ops_);
  begin_page();
}

void HeapLoad::begin_page() {
  build_heap_page(page_, heap_.object(), 0);
  rows_ = 0;
}

Status HeapLoad::add(Bytes row) {
  if (row.size() > kInlineRowBytesMax) return add_long(row);
  if (!HeapPageView(page_).has_room(row.size())) VG_TRY(flush());
  PayloadBuffer payload;
  encode_heap_insert(payload, rows_, {HeapKind::kRow, false, false}, row);
  VG_TRY(ops_.find(raw(PageOp::kHeapInsert)).apply(page_, payload.bytes()));
  ++rows_;
  return {};
}

Status HeapLoad::finish() {
  return rows_ > 0 ? flush() : Status();
}

Status HeapLoad::flush() {
  VG_TRY(engine_.poison.check());
  const auto page = heap_.append_page([this](MutableBytes image, std::uint32_t number) {
    std::copy(page_.begin(), page_.end(), image.begin());
    reinterpret_cast<HeapHeader*>(image.data() + kPageHeaderBytes)->number.set(number);
  });
  if (!page) return page.error();
  begin_page();
  return {};
}

/// The reference goes into any page that is there already.
Status HeapLoad::add_long(Bytes row) {
  VG_ASSIGN(const BuiltChain chain, build_chain(engine_, txn_, heap_.object(), row));
  for (bool attached = false; !attached;) {
    PageId page = kNoPage;
    {
      VG_ASSIGN(const HeapSlotGuard place, heap_.latch_for_insert(sizeof(OverflowRef)));
      page = place.page.id();
    }
    const auto put = [](Bytes bytes, Bytes ref, PayloadBuffer& payload) -> std::optional<PageOp> {
      const HeapPageView view(bytes);
      if (!view.has_room(ref.size())) return std::nullopt;
      encode_heap_insert(payload, view.free_slot(), {HeapKind::kRow, false, true}, ref);
      return PageOp::kHeapInsert;
    };
    VG_ASSIGN(attached, attach_chain(engine_, txn_, chain, page, put));
  }
  return {};
}

}  // namespace vaultgres
