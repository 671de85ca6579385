#include "txn/heap_load.h"

#include <algorithm>
#include <optional>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "txn/overflow.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {
constexpr std::uint64_t kLongRowLogBytes = log_bytes_for(1024);
}  // namespace

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
  const Bytes row_key = as_bytes(chain.retired_row);
  for (;;) {
    VG_TRY(engine_.poison.check());
    LogSpace log_space(engine_.log);
    VG_TRY(log_space.reserve(kLongRowLogBytes));
    PageId page_id = kNoPage;
    {
      VG_ASSIGN(const HeapSlotGuard place, heap_.latch_for_insert(sizeof(OverflowRef)));
      page_id = place.page.id();
    }
    // Pages of one object at a time may be waited for; the table's page is only tried, nobody else wants it.
    VG_ASSIGN(ExclusiveGuard leaf, engine_.retired().write_leaf(row_key));
    const NodeView::Position position = NodeView(leaf.page()).lower_bound(row_key);
    if (!position.exact) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
    auto page = engine_.pool.try_exclusive(page_id);
    if (!page || !HeapPageView(page->page()).has_room(sizeof(OverflowRef))) continue;
    MiniTxn mini(engine_.pool, engine_.log, RecordKind::kSystem, txn_.id());
    PayloadBuffer payload;
    encode_heap_insert(payload, HeapPageView(page->page()).free_slot(), {HeapKind::kRow, false, true},
                       std::as_bytes(std::span(&chain.ref, 1)));
    mini.add(*page, PageOp::kHeapInsert, payload.bytes());
    payload.clear();
    encode_node_remove(payload, position.slot);
    mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
    mini.commit();
    return {};
  }
}

}  // namespace vaultgres
