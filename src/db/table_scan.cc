// The public handle TableScan: all rows of a table, one heap page at a time.
#include "base/try.h"
#include "db/core.h"
#include "db/table_state.h"

namespace vaultgres {

namespace internal {

namespace {
/// Page ids that are read from the table's map together.
constexpr std::size_t kPagesAhead = 256;
}  // namespace

/// The next heap page; kNoPage at the end.
Result<PageId> TableScanState::next_page() {
  const Engine& engine = handle->core->engine();
  // Where the table ends is settled at the beginning: one who inserts for every row that he reads would never get
  // there.
  if (number_ == 0) {
    VG_ASSIGN(pages_end_, handle->table->heap(engine).page_count());
  }
  if (number_ >= pages_end_) return kNoPage;
  if (number_ - pages_begin_ >= pages_.size()) {
    pages_.clear();
    pages_begin_ = number_;
    VG_TRY(handle->table->heap(engine).pages(number_, [&](std::uint32_t, PageId page) {
      pages_.push_back(page);
      return pages_.size() < kPagesAhead;
    }));
    if (pages_.empty()) return kNoPage;
  }
  return pages_[number_++ - pages_begin_];
}

/// Reads pages until one has a visible row. False at the table's end.
Result<bool> TableScanState::fill() {
  const Engine& engine = handle->core->engine();
  const Heap heap = handle->table->heap(engine);
  for (;;) {
    const std::uint16_t from_slot = batch_.next_slot.value_or(0);
    if (!batch_.next_slot) {
      VG_ASSIGN(page_, next_page());
      if (page_ == kNoPage) return false;
      // The pages of a table that is dropped may be somebody else's by now.
      if (handle->table->dropped.load()) return handle->table->dropped_error();
      engine.pool.read_ahead(std::span(pages_).subspan(number_ - 1 - pages_begin_), read_ahead_);
    }
    const auto registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
    VG_TRY(scan_heap_page(engine, heap, page_, from_slot, self, registration.snapshot(), kRowBatchBytes, batch_));
    at_ = 0;
    if (!batch_.entries.empty()) return true;
  }
}

Result<bool> TableScanState::next() {
  if (ended_) return false;
  if (!valid || ++at_ >= batch_.entries.size()) {
    VG_ASSIGN(const bool more, fill());
    ended_ = !more;
    if (ended_) return false;
  }
  const Tid tid = batch_.entries[at_].tid;
  VG_TRY(handle->table->codec.decode(batch_.row(at_), row));
  id = {raw(tid.page), tid.slot};
  return true;
}

}  // namespace internal

TableScan::TableScan(std::unique_ptr<internal::TableScanState> state) noexcept
    : state_(std::move(state)), no_memory_(state_ == nullptr) {}
TableScan::TableScan(TableScan&&) noexcept = default;
TableScan& TableScan::operator=(TableScan&&) noexcept = default;
TableScan::~TableScan() = default;

Result<bool> TableScan::next() {
  if (state_ == nullptr) return internal::no_cursor(no_memory_);
  internal::TableScanState& state = *state_;
  if (state.error) return *state.error;
  const internal::TableHandle& handle = *state.handle;
  Result<bool> moved = internal::run_call(handle.core, [&]() -> Result<bool> {
    VG_TRY(handle.core->engine().poison.check());
    Result<bool> there = state.next();
    // A table that is being taken apart answers anything.
    return handle.table->dropped.load() ? handle.table->dropped_error() : there;
  });
  if (!moved) state.error = moved.error();
  state.valid = moved && *moved;
  return moved;
}

bool TableScan::valid() const noexcept {
  return state_ != nullptr && state_->valid;
}
RowId TableScan::id() const noexcept {
  return valid() ? state_->id : RowId{};
}
const Row& TableScan::row() const noexcept {
  static const Row kNone;
  return valid() ? state_->row : kNone;
}

}  // namespace vaultgres
