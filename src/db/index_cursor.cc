// The public handles Index and RowCursor. Entries of one leaf and their rows are copied out together, at one registered
// snapshot, so that no latch is held between calls and each entry's row is the one that it means.
#include <algorithm>

#include "base/try.h"
#include "db/core.h"
#include "db/table_state.h"
#include "db/transaction_state.h"

namespace vaultgres {

namespace internal {

namespace {
constexpr unsigned kBatchGrowth = 4;
constexpr unsigned kBatchMax = 1024;
}  // namespace

Result<bool> IndexCursorState::out(ScanOrder order) noexcept {
  place = order == ScanOrder::kForward ? Place::kAfter : Place::kBefore;
  return false;
}

/// The rows of entries_, up to the end of the range or so many as kRowBatchBytes allow.
Status IndexCursorState::read_rows(Lsn snapshot, bool first) {
  const Engine& engine = handle->core->engine();
  const TableState& table = *handle->table;
  const Heap heap(engine.heaps, table.object, table.root, scan_hint(table.hint(), first));
  rows_.clear();
  range_ends_ = false;
  std::string bytes;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!bounds.contains(as_text(entries_.key(i)))) {
      range_ends_ = true;
      return {};
    }
    if (rows_.bytes.size() > kRowBatchBytes) return {};
    VG_ASSIGN(const Tid tid, tid_of_entry(*handle->index, entries_.key(i), entries_.value(i)));
    VG_ASSIGN(const bool there, get_row(engine, heap, tid, self, snapshot, bytes));
    if (!there) {
      return Error(ErrorCode::kCorruption, "the index \"" + handle->name + "\" leads to the row " +
                                               std::to_string(raw(tid.page)) + ":" + std::to_string(tid.slot) +
                                               " of its table, which is not there; run `vaultgres check`");
    }
    rows_.entries.push_back({tid, rows_.bytes.size(), bytes.size()});
    rows_.bytes.append(bytes);
  }
  range_ends_ = entries_.at_end();
  return {};
}

/// Reads leaves from `from` on until one has a visible entry. The cursor then stands on the first of them.
Result<bool> IndexCursorState::fill(std::string from, bool unbounded, ScanOrder order) {
  const Engine& engine = handle->core->engine();
  order_ = order;
  for (;;) {
    const bool first = batch_max_ == 0;
    batch_max_ = std::clamp(batch_max_ * kBatchGrowth, first_batch, kBatchMax);
    {
      const auto registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
      VG_TRY(scan_leaf(engine, handle->index->tree(engine), as_bytes(from), unbounded, order, self,
                       registration.snapshot(), batch_max_, scan_hint(handle->index->hint(), first), entries_));
      VG_TRY(read_rows(registration.snapshot(), first));
    }
    if (!rows_.entries.empty()) return arrive(0);
    if (range_ends_) return out(order);
    from.assign(as_text(entries_.bound()));
    unbounded = false;
    // An empty stretch beyond the range's end need not be walked.
    if (order == ScanOrder::kForward && bounds.high && from >= *bounds.high) return out(order);
    if (order == ScanOrder::kBackward && from <= bounds.low) return out(order);
  }
}

Result<bool> IndexCursorState::arrive(std::size_t at) {
  at_ = at;
  const Tid tid = rows_.entries[at].tid;
  VG_TRY(handle->table->codec.decode(rows_.row(at), row));
  id = {raw(tid.page), tid.slot};
  place = Place::kOn;
  return true;
}

Result<bool> IndexCursorState::to_first() {
  batch_max_ = 0;
  return fill(bounds.low, false, ScanOrder::kForward);
}

Result<bool> IndexCursorState::to_last() {
  batch_max_ = 0;
  return fill(bounds.high.value_or(std::string()), !bounds.high, ScanOrder::kBackward);
}

/// One row on. A batch of the other direction is left behind: the place is found again by key.
Result<bool> IndexCursorState::step(ScanOrder order) {
  if (order_ == order) {
    if (at_ + 1 < rows_.entries.size()) return arrive(at_ + 1);
    if (range_ends_) return out(order);
    if (rows_.entries.size() == entries_.size()) return fill(std::string(as_text(entries_.bound())), false, order);
    // Not all of the entries' rows were read.
    const std::size_t next = rows_.entries.size();
    return fill(std::string(as_text(entries_.key(order == ScanOrder::kForward ? next : at_))), false, order);
  }
  batch_max_ = 0;
  std::string here(as_text(entries_.key(at_)));
  if (order == ScanOrder::kForward) here += '\0';  // the least key above this one
  return fill(std::move(here), false, order);
}

Index make_index(std::shared_ptr<IndexHandle> handle) {
  return Index(std::move(handle));
}

}  // namespace internal

using internal::IndexCursorState;

// --- Index

const std::string& Index::name() const noexcept {
  return handle_->name;
}
const std::string& Index::table_name() const noexcept {
  return handle_->table_name;
}
const Schema& Index::schema() const noexcept {
  return handle_->table->schema();
}
const IndexSpec& Index::spec() const noexcept {
  return handle_->spec;
}

namespace {

/// Gates, and errors that stay.
template <class Move>
Result<bool> move_cursor(IndexCursorState* state, bool no_memory, bool is_seek, Move&& move) {
  if (state == nullptr) return internal::no_cursor(no_memory);
  if (state->unusable) return *state->unusable;
  if (state->error && !is_seek) return *state->error;
  state->error.reset();
  const internal::IndexHandle& handle = *state->handle;
  const auto dropped = [&] { return handle.index->dropped.load() || handle.table->dropped.load(); };
  Result<bool> moved = internal::run_call(handle.core, [&]() -> Result<bool> {
    if (dropped()) return handle.index->dropped_error();
    VG_TRY(handle.core->engine().poison.check());
    Result<bool> there = move();
    // An index that is being taken apart answers anything.
    return dropped() ? handle.index->dropped_error() : there;
  });
  if (!moved) {
    state->place = IndexCursorState::Place::kBefore;
    state->error = moved.error();
  }
  return moved;
}

Result<KeyBounds> bounds_of(const KeyCodec& codec, const IndexRange& range) {
  if (!range.prefix) return codec.range(range.equal, range.from, range.to);
  if (range.from || range.to) {
    return Error(ErrorCode::kInvalidArgument, "a range of an index has a prefix or ends, not both");
  }
  return codec.starting_with(range.equal, *range.prefix);
}

std::unique_ptr<IndexCursorState> cursor_state(const std::shared_ptr<internal::IndexHandle>& handle,
                                               const Result<TxnId>& self, const IndexRange& range) {
  auto state = std::make_unique<IndexCursorState>(handle, self ? *self : kNoTxn);
  if (!self) {
    state->error = state->unusable = self.error();
    return state;
  }
  const bool all = range.equal.empty() && !range.from && !range.to && !range.prefix;
  auto bounds = all || (!range.from && !range.to && !range.prefix) ? handle->index->codec.equal(range.equal)
                                                                   : bounds_of(handle->index->codec, range);
  if (bounds) {
    state->bounds = *std::move(bounds);
  } else {
    state->error = state->unusable = bounds.error();
  }
  return state;
}

/// Null: there is no memory for it.
std::unique_ptr<IndexCursorState> try_cursor_state(const std::shared_ptr<internal::IndexHandle>& handle,
                                                   const Result<TxnId>& self, const IndexRange& range) noexcept {
  try {
    return cursor_state(handle, self, range);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

Result<std::optional<TableRow>> find_first(const std::shared_ptr<internal::IndexHandle>& handle,
                                           const Result<TxnId>& self, const Row& values) {
  return internal::run_call(*handle->core, [&]() -> Result<std::optional<TableRow>> {
    const std::unique_ptr<IndexCursorState> state = cursor_state(handle, self, {.equal = values});
    if (state->error) return *state->error;
    state->first_batch = 1;
    VG_ASSIGN(const bool there, move_cursor(state.get(), false, true, [&] { return state->to_first(); }));
    if (!there) return std::optional<TableRow>();
    TableRow found{state->id, std::move(state->row)};
    for (Value& value : found.values) value = std::move(value).to_owned();
    return std::optional<TableRow>(std::move(found));
  });
}

}  // namespace

Result<std::optional<TableRow>> Index::find(const Row& values) const {
  return find_first(handle_, kNoTxn, values);
}
Result<std::optional<TableRow>> Index::find(const Transaction& txn, const Row& values) const {
  return find_first(handle_, internal::reader_id(*handle_->core, txn.state_.get()), values);
}

RowCursor Index::range(IndexRange range) const {
  return RowCursor(try_cursor_state(handle_, kNoTxn, range));
}
RowCursor Index::range(const Transaction& txn, IndexRange range) const {
  return RowCursor(try_cursor_state(handle_, internal::reader_id(*handle_->core, txn.state_.get()), range));
}

// --- RowCursor

RowCursor::RowCursor(std::unique_ptr<IndexCursorState> state) noexcept
    : state_(std::move(state)), no_memory_(state_ == nullptr) {}
RowCursor::RowCursor(RowCursor&&) noexcept = default;
RowCursor& RowCursor::operator=(RowCursor&&) noexcept = default;
RowCursor::~RowCursor() = default;

Result<bool> RowCursor::first() {
  return move_cursor(state_.get(), no_memory_, true, [&] { return state_->to_first(); });
}

Result<bool> RowCursor::last() {
  return move_cursor(state_.get(), no_memory_, true, [&] { return state_->to_last(); });
}

Result<bool> RowCursor::next() {
  return move_cursor(state_.get(), no_memory_, false, [&]() -> Result<bool> {
    if (state_->place == IndexCursorState::Place::kBefore) return state_->to_first();
    if (state_->place == IndexCursorState::Place::kAfter) return false;
    return state_->step(ScanOrder::kForward);
  });
}

Result<bool> RowCursor::prev() {
  return move_cursor(state_.get(), no_memory_, false, [&]() -> Result<bool> {
    if (state_->place == IndexCursorState::Place::kAfter) return state_->to_last();
    if (state_->place == IndexCursorState::Place::kBefore) return false;
    return state_->step(ScanOrder::kBackward);
  });
}

bool RowCursor::valid() const noexcept {
  return state_ != nullptr && state_->place == IndexCursorState::Place::kOn;
}
RowId RowCursor::id() const noexcept {
  return valid() ? state_->id : RowId{};
}
const Row& RowCursor::row() const noexcept {
  static const Row kNone;
  return valid() ? state_->row : kNone;
}

}  // namespace vaultgres
