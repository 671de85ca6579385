// Creating an index: the table is read, its keys are sorted and loaded into a new tree, which then gets its name.
//
// Statements on the table wait meanwhile (its gate is held), and no transaction that has written to it is open: what
// stands in the heap is all committed. The tree stands in `retired` until the transaction at the end publishes it, so a
// crash at any point leaves the index whole or no trace of it.
#include "base/try.h"
#include "btree/tree_load.h"
#include "db/catalog_rows.h"
#include "db/core.h"
#include "db/sorter.h"
#include "db/statement.h"
#include "db/table_state.h"

namespace vaultgres::internal {

namespace {

/// Memory for sorting: of the 64 MiB that a database may take besides its cache.
constexpr std::size_t kSortBytes = std::size_t{32} << 20;

Result<IndexDefinition> define(const TableState& table, const IndexSpec& spec) {
  IndexDefinition definition{.table = table.object, .unique = spec.unique, .columns = {}};
  for (const IndexSpec::Part& part : spec.columns) {
    const std::optional<std::size_t> column = table.schema().find(part.column);
    if (!column) {
      return Error(ErrorCode::kInvalidArgument,
                   "the table \"" + table.name + "\" has no column \"" + part.column + "\"");
    }
    definition.columns.push_back({static_cast<std::uint16_t>(*column), part.descending});
  }
  return definition;
}

/// Puts the keys of one row into the sorter.
class KeyFeeder {
 public:
  KeyFeeder(const TableState& table, const IndexState& index, Sorter& sorter)
      : table_(table), index_(index), sorter_(sorter) {
    values_.resize(index.definition.columns.size());
  }

  Status add(Tid tid, Bytes row) {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      VG_ASSIGN(values_[i], table_.codec.decode_column(row, index_.definition.columns[i].column));
    }
    const bool unique = index_.definition.unique;
    if (Status encoded = index_.codec.encode(values_, unique, tid, key_); !encoded) {
      return encoded.error().with_context("row " + std::to_string(raw(tid.page)) + ":" + std::to_string(tid.slot));
    }
    const TidBytes value = encode_tid(tid);
    return sorter_.add(as_bytes(key_), unique ? Bytes(value) : Bytes());
  }

 private:
  const TableState& table_;
  const IndexState& index_;
  Sorter& sorter_;
  Row values_;
  std::string key_;
};

/// Ends when the database is closed: close() waits for this call.
Status read_keys(const Core& core, const TableState& table, KeyFeeder& keys) {
  const Engine& engine = core.engine();
  const Heap heap = table.heap(engine);
  RowBatch batch;
  Status failed;
  std::vector<PageId> pages;
  ReadAhead read_ahead;
  for (std::uint32_t number = 0;; number += static_cast<std::uint32_t>(pages.size())) {
    pages.clear();
    VG_TRY(heap.pages(number, [&](std::uint32_t, PageId page) {
      pages.push_back(page);
      return pages.size() < 256;
    }));
    if (pages.empty()) return {};
    for (std::size_t i = 0; i < pages.size(); ++i) {
      if (core.is_closed()) return closed_error();
      engine.pool.read_ahead(std::span(pages).subspan(i), read_ahead);
      batch.clear();
      do {
        const std::uint16_t from_slot = batch.next_slot.value_or(0);
        const auto registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
        VG_TRY(
            scan_heap_page(engine, heap, pages[i], from_slot, kNoTxn, registration.snapshot(), kRowBatchBytes, batch));
        for (std::size_t row = 0; row < batch.entries.size(); ++row) {
          VG_TRY(keys.add(batch.entries[row].tid, batch.row(row)));
        }
      } while (batch.next_slot);
    }
  }
}

Status load_tree(Core& core, const IndexState& index, Sorter& sorter) {
  TreeLoad load(index.tree(core.engine()));
  std::string last;
  for (;;) {
    Bytes key;
    Bytes value;
    if (core.is_closed()) return closed_error();
    VG_ASSIGN(const bool more, sorter.next(key, value));
    if (!more) return with_log_room(core, [&] { return load.finish(); });
    if (load.entries() > 0 && as_text(key) == last) {
      const Tid tid = value.size() == kTidBytes ? decode_tid(value) : Tid{};
      return Error(ErrorCode::kDuplicateKey, "rows are equal in the columns of the unique index \"" + index.name +
                                                 "\", among them " + std::to_string(raw(tid.page)) + ":" +
                                                 std::to_string(tid.slot));
    }
    last.assign(as_text(key));
    VG_TRY(load.take(key, value));
    VG_TRY(with_log_room(core, [&] { return load.write_full_leaves(); }));
  }
}

}  // namespace

Status Core::build_index(const TableState& table, const IndexState& index) {
  // What the transactions before us have committed is visible once it is durable.
  VG_TRY(log_->flush(log_->end()));
  Sorter sorter(*files_.files, files_.directory + "/" + kSortFilePrefix + std::to_string(raw(index.object)),
                kSortBytes);
  KeyFeeder keys(table, index, sorter);
  VG_TRY(read_keys(*this, table, keys));
  VG_TRY(sorter.finish());
  return load_tree(*this, index, sorter);
}

Status Core::create_index(std::string_view name, std::string_view table_name, const IndexSpec& spec,
                          IndexHandle& handle) {
  VG_TRY(check_writable());
  const std::lock_guard ddl(ddl_mutex_);
  VG_TRY(check_name_free(name));
  VG_ASSIGN(const std::shared_ptr<TableState> table, find_table(table_name));
  CatalogEntry entry;
  entry.kind = ObjectKind::kIndex;
  VG_ASSIGN(entry.index, define(*table, spec));
  VG_ASSIGN(KeyCodec codec, KeyCodec::create(table->schema(), entry.index->columns));
  VG_ASSIGN(entry.object, with_log_room(*this, [&] { return next_object(); }));
  // The sorter's files may fill the disk.
  if (Status spare = log_->prepare_spare(); !spare && !is_no_space(spare.error())) return spare;

  DdlTxn txn(*this, *txns_);
  const SharedGate::Hold hold = table->gate.hold();
  VG_TRY(wait_for_writers(*table));
  VG_TRY(txns_->admit_change(*txn));  // not only when all is built
  VG_ASSIGN(const NewObject made,
            with_log_room(*this, [&] { return create_object(*engine_, *txn, RetiredKind::kTree, entry.object); }));
  entry.root = made.root;
  auto index = std::make_shared<IndexState>(std::string(name), entry, std::move(codec));
  VG_TRY(build_index(*table, *index));
  VG_TRY(txn.run([&] { return publish_object(*engine_, *txns_, *txn, made); }));
  VG_TRY(txn.run([&] { return put_catalog_row(*txn, name, entry, PutMode::kInsertUnique); }));
  table->indexes.reserve(table->indexes.size() + 1);  // once the index is there, nothing may fail
  VG_TRY(txn.commit());
  table->indexes.push_back(index);
  add_object(name, index);
  handle.table = table;
  handle.index = std::move(index);
  return {};
}

}  // namespace vaultgres::internal
