// The public handle Table, and what a change of a row means for the table's indexes.
#include "vaultgres/table.h"

#include "base/try.h"
#include "buffer/page_visits.h"
#include "db/statement.h"
#include "db/table_state.h"

namespace vaultgres {

namespace {

using internal::Core;
using internal::IndexState;
using internal::TableHandle;
using internal::TableState;

Tid tid_of(RowId id) {
  return {PageId{id.page}, id.slot};
}
RowId id_of(Tid tid) {
  return {raw(tid.page), tid.slot};
}

/// A RowId that never was one of the table leads anywhere: not a sign of damage if what is there is not the table's.
Result<bool> is_place_of(const Engine& engine, const Heap& heap, PageId page) {
  if (page < kFirstUserPage || raw(page) >= engine.pool.page_count()) return false;
  VG_ASSIGN(const bool allocated, engine.space.is_allocated(page));
  if (!allocated) return false;
  VG_ASSIGN(const SharedGuard guard, engine.pool.shared(page, Hint::kNormal));
  const HeapPageView view(guard.page());
  return view.plausible() && view.object() == heap.object();
}

/// `answer` unless it is about a place that is none of the table's: then `none`.
template <class Answer>
Answer unless_elsewhere(const Engine& engine, const Heap& heap, Tid tid, Answer answer, Answer none) {
  if (answer || answer.error().code() != ErrorCode::kCorruption) return answer;
  const Result<bool> ours = is_place_of(engine, heap, tid.page);
  return ours && !*ours ? none : answer;
}

/// One row's changes of all indexes. `before`, `after`: null when there is none.
class IndexChanges {
 public:
  IndexChanges(Core& core, Txn& txn, const TableState& table) : core_(core), txn_(txn), table_(table) {}

  Status apply(Tid tid, const Row* before, const Row* after) {
    for (const std::shared_ptr<IndexState>& index : table_.indexes) {
      const Tree tree = index->tree(core_.engine());
      if (before != nullptr) VG_TRY(index_entry_of(*index, *before, tid, old_key_, old_value_));
      if (after != nullptr) VG_TRY(index_entry_of(*index, *after, tid, new_key_, new_value_));
      if (before != nullptr && after != nullptr && old_key_ == new_key_) continue;
      if (before != nullptr) VG_TRY(erase(tree, *index, tid));
      if (after != nullptr) VG_TRY(insert(tree, *index));
    }
    return {};
  }

 private:
  Status erase(const Tree& tree, const IndexState& index, Tid tid) {
    VG_ASSIGN(const bool erased, erase_entry(core_.engine(), core_.txns(), txn_, tree, as_bytes(old_key_)));
    if (erased) return {};
    return Error(ErrorCode::kCorruption, "the index \"" + index.name + "\" has no entry for the row " +
                                             std::to_string(raw(tid.page)) + ":" + std::to_string(tid.slot) +
                                             " of its table; run `vaultgres check` on the database");
  }
  Status insert(const Tree& tree, const IndexState& index) {
    Status put = put_entry(core_.engine(), core_.txns(), txn_, tree, as_bytes(new_key_), as_bytes(new_value_),
                           PutMode::kInsertUnique);
    if (put || put.error().code() != ErrorCode::kDuplicateKey) return put;
    return Error(ErrorCode::kDuplicateKey,
                 "the unique index \"" + index.name + "\" has a row with these values already");
  }

  Core& core_;
  Txn& txn_;
  const TableState& table_;
  std::string old_key_, old_value_, new_key_, new_value_;
};

Result<RowId> insert_within(Core& core, Txn& txn, const TableState& table, const Row& row) {
  std::string bytes;
  VG_TRY(table.codec.encode(row, bytes));
  VG_ASSIGN(const Tid tid, insert_row(core.engine(), core.txns(), txn, table.heap(core.engine()), as_bytes(bytes)));
  VG_TRY(IndexChanges(core, txn, table).apply(tid, nullptr, &row));
  return id_of(tid);
}

/// The row before, decoded; its bytes stay in `bytes`.
Status decode_before(const TableState& table, Tid tid, const std::string& bytes, Row& row) {
  const Status decoded = table.codec.decode(as_bytes(bytes), row);
  if (decoded) return {};
  return decoded.error().with_context("row " + std::to_string(raw(tid.page)) + ":" + std::to_string(tid.slot));
}

Error no_such_row(const TableState& table, RowId id) {
  return Error(ErrorCode::kNotFound, "there is no row " + std::to_string(id.page) + ":" + std::to_string(id.slot) +
                                         " in the table \"" + table.name + "\"");
}

Result<bool> update_within(Core& core, Txn& txn, const TableState& table, RowId id, const Row& row) {
  std::string bytes;
  VG_TRY(table.codec.encode(row, bytes));
  const Heap heap = table.heap(core.engine());
  const Tid tid = tid_of(id);
  std::string before;
  // An error, so that the statement is undone: the row may have become a chain already.
  VG_ASSIGN(const bool there,
            unless_elsewhere(core.engine(), heap, tid,
                             update_row(core.engine(), core.txns(), txn, heap, tid, as_bytes(bytes), before),
                             Result<bool>(no_such_row(table, id))));
  if (!there) return false;
  Row old;
  VG_TRY(decode_before(table, tid, before, old));
  VG_TRY(IndexChanges(core, txn, table).apply(tid, &old, &row));
  return true;
}

Result<bool> erase_within(Core& core, Txn& txn, const TableState& table, RowId id) {
  const Heap heap = table.heap(core.engine());
  const Tid tid = tid_of(id);
  std::string before;
  VG_ASSIGN(const bool there,
            unless_elsewhere(core.engine(), heap, tid, erase_row(core.engine(), core.txns(), txn, heap, tid, before),
                             Result<bool>(false)));
  if (!there) return false;
  Row old;
  VG_TRY(decode_before(table, tid, before, old));
  VG_TRY(IndexChanges(core, txn, table).apply(tid, &old, nullptr));
  return true;
}

Status updated(const Result<bool>& there, const TableHandle& handle, RowId id) {
  if (!there) return there.error();
  return *there ? Status() : Status(no_such_row(*handle.table, id));
}

/// Runs a change of the table as a transaction of its own: `change(txn)`.
template <class Change>
auto change_alone(const TableHandle& handle, Change&& change) -> decltype(change(std::declval<Txn&>())) {
  Core& core = *handle.core;
  return internal::statement_alone(core, *handle.table,
                                   [&] { return in_transaction(core.txns(), core.mode(), change); });
}

Result<std::optional<Row>> read(const TableHandle& handle, TxnId self, RowId id) {
  return internal::run_call(*handle.core, [&]() -> Result<std::optional<Row>> {
    if (handle.table->dropped.load()) return handle.table->dropped_error();
    const Engine& engine = handle.core->engine();
    VG_TRY(engine.poison.check());
    const auto registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
    const Heap heap = handle.table->heap(engine);
    std::string bytes;
    Result<bool> there =
        unless_elsewhere(engine, heap, tid_of(id),
                         get_row(engine, heap, tid_of(id), self, registration.snapshot(), bytes), Result<bool>(false));
    // A table that is being taken apart answers anything.
    if (handle.table->dropped.load()) return handle.table->dropped_error();
    if (!there) return there.error();
    if (!*there) return std::optional<Row>();
    Row row;
    VG_TRY(decode_before(*handle.table, tid_of(id), bytes, row));
    for (Value& value : row) value = std::move(value).to_owned();
    return std::optional<Row>(std::move(row));
  });
}

}  // namespace

const std::string& Table::name() const noexcept {
  return handle_->name;
}
const Schema& Table::schema() const noexcept {
  return handle_->table->schema();
}

Result<RowId> Table::insert(const Row& row) {
  return change_alone(*handle_, [&](Txn& txn) { return insert_within(*handle_->core, txn, *handle_->table, row); });
}
Status Table::update(RowId id, const Row& row) {
  const auto there =
      change_alone(*handle_, [&](Txn& txn) { return update_within(*handle_->core, txn, *handle_->table, id, row); });
  return internal::catch_bad_alloc([&] { return updated(there, *handle_, id); });
}
Result<bool> Table::erase(RowId id) {
  return change_alone(*handle_, [&](Txn& txn) { return erase_within(*handle_->core, txn, *handle_->table, id); });
}
Result<std::optional<Row>> Table::get(RowId id) const {
  return read(*handle_, kNoTxn, id);
}

Result<RowId> Table::insert(Transaction& txn, const Row& row) {
  return internal::statement_within(*handle_->core, handle_->table, txn.state_.get(), [&](Txn& inner) {
    return insert_within(*handle_->core, inner, *handle_->table, row);
  });
}
Status Table::update(Transaction& txn, RowId id, const Row& row) {
  const auto there = internal::statement_within(*handle_->core, handle_->table, txn.state_.get(), [&](Txn& inner) {
    return update_within(*handle_->core, inner, *handle_->table, id, row);
  });
  return internal::catch_bad_alloc([&] { return updated(there, *handle_, id); });
}
Result<bool> Table::erase(Transaction& txn, RowId id) {
  return internal::statement_within(*handle_->core, handle_->table, txn.state_.get(), [&](Txn& inner) {
    return erase_within(*handle_->core, inner, *handle_->table, id);
  });
}
Result<std::optional<Row>> Table::get(const Transaction& txn, RowId id) const {
  VG_ASSIGN(const TxnId self, internal::reader_id(*handle_->core, txn.state_.get()));
  return read(*handle_, self, id);
}

namespace {

/// Null: there is no memory for it.
std::unique_ptr<internal::TableScanState> scan_state(const std::shared_ptr<TableHandle>& handle,
                                                     const Result<TxnId>& self) noexcept {
  try {
    auto state = std::make_unique<internal::TableScanState>(handle, self ? *self : kNoTxn);
    if (!self) state->error = self.error();
    return state;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

TableScan Table::scan() const {
  return TableScan(scan_state(handle_, kNoTxn));
}
TableScan Table::scan(const Transaction& txn) const {
  return TableScan(scan_state(handle_, internal::reader_id(*handle_->core, txn.state_.get())));
}

Result<std::uint64_t> Table::count() const {
  TableScan all = scan();
  for (std::uint64_t rows = 0;; ++rows) {
    VG_ASSIGN(const bool more, all.next());
    if (!more) return rows;
  }
}

PagesVisited pages_visited() noexcept {
  return {page_visits.tree, page_visits.heap, page_visits.overflow, page_visits.loads};
}

namespace internal {

Result<Tid> tid_of_entry(const IndexState& index, Bytes key, Bytes value) {
  if (index.definition.unique && value.size() == kTidBytes) return decode_tid(value);
  if (!index.definition.unique && value.empty() && key.size() > kTidBytes) return decode_tid(key.last(kTidBytes));
  return Error(ErrorCode::kCorruption, "the index \"" + index.name + "\" has an entry that leads to no row");
}

Status index_entry_of(const IndexState& index, std::span<const Value> row, Tid tid, std::string& key,
                      std::string& value) {
  value.clear();
  if (index.definition.unique) value.assign(as_text(encode_tid(tid)));
  const Status encoded = index.codec.encode_row(row, index.definition.unique, tid, key);
  if (encoded) return {};
  return encoded.error().with_context("index \"" + index.name + "\"");
}

Status Core::enter_table(ObjectState& table, bool is_writer, LockDeadline& deadline, SharedGate::Pass& pass) {
  using std::chrono::milliseconds;
  SharedGate& gate = static_cast<TableState&>(table).gate;
  pass = is_writer ? gate.enter_again() : gate.enter_for(milliseconds(0));
  if (!pass && !is_writer) {
    const auto left = deadline.at() - std::chrono::steady_clock::now();
    pass = gate.enter_for(std::chrono::duration_cast<milliseconds>(left));
  }
  if (pass) return {};
  return Error(ErrorCode::kConflict,
               "an index of the table \"" + table.name + "\" is being created or dropped; try again when that is done");
}

}  // namespace internal

}  // namespace vaultgres
