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
  written_ = kNoPage;
}

Status HeapLoad::add(Bytes row) {
  const bool is_long = row.size() > kInlineRowBytesMax;
  const std::size_t content_bytes = is_long ? sizeof(OverflowRef) : row.size();
  if (written_ != kNoPage || !HeapPageView(page_).has_room(content_bytes)) VG_TRY(flush());
  return is_long ? add_long(row) : take_slot({HeapKind::kRow, false, false}, row);
}

Status HeapLoad::take_slot(HeapSlotState state, Bytes content) {
  PayloadBuffer payload;
  encode_heap_insert(payload, rows_, state, content);
  VG_TRY(ops_.find(raw(PageOp::kHeapInsert)).apply(page_, payload.bytes()));
  ++rows_;
  return {};
}

/// Precondition: the page has room for a reference. (No cell is smaller than one, so the ghost keeps its room.)
Status HeapLoad::add_long(Bytes row) {
  if (!unfreed_row_.empty()) {
    VG_TRY(free_chain(engine_, as_bytes(unfreed_row_)));
    unfreed_row_.clear();
  }
  if (long_rows_.size() == long_rows_.capacity()) long_rows_.reserve(2 * long_rows_.size() + 8);
  LongRow added{rows_, {}};
  VG_ASSIGN(added.chain, build_chain(engine_, txn_, heap_.object(), row, &unfreed_row_));
  long_rows_.push_back(std::move(added));  // there is room: nothing may fail here
  return take_slot({HeapKind::kRow, true, false}, {});
}

Status HeapLoad::finish() {
  return rows_ > 0 ? flush() : Status();
}

/// May be called again after an error: it goes on where that was.
Status HeapLoad::flush() {
  VG_TRY(engine_.poison.check());
  if (written_ == kNoPage) {
    const auto page = heap_.append_page([this](MutableBytes image, std::uint32_t number) {
      std::copy(page_.begin(), page_.end(), image.begin());
      reinterpret_cast<HeapHeader*>(image.data() + kPageHeaderBytes)->number.set(number);
    });
    if (!page) return page.error();
    written_ = page->id();
  }
  for (; !long_rows_.empty(); long_rows_.pop_back()) VG_TRY(attach(long_rows_.back()));
  begin_page();
  return {};
}

Status HeapLoad::attach(const LongRow& row) {
  const auto put = [&](Bytes, Bytes ref, PayloadBuffer& payload) -> std::optional<PageOp> {
    encode_heap_update(payload, row.slot, {HeapKind::kRow, false, true}, ref);
    return PageOp::kHeapUpdate;
  };
  for (bool attached = false; !attached;) {
    VG_ASSIGN(const LoadPin pin, engine_.pool.load(written_, Hint::kScan));
    VG_ASSIGN(attached, attach_chain(engine_, txn_, row.chain, written_, put));
  }
  return {};
}

}  // namespace vaultgres
