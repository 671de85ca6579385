// Tables: typed rows in heap pages, found by their place, by indexes or by a scan.
//
//   auto schema = vaultgres::Schema::create({{"id", ColumnType::kInt64}, {"name", ColumnType::kText, true}});
//   if (!schema) return report(schema.error());
//   auto users = db.create_table("users", *schema);
//   auto by_id = db.create_index("users_id", "users", {.columns = {{"id"}}, .unique = true});
//   if (!users || !by_id) …
//   if (auto row = users->insert({42, "Ada"}); !row) return report(row.error());       // durable
//   auto found = by_id->find({42});                                                    // index, then heap
//
// A row's RowId is its own for as long as it lives; after erase() the place may be given to another row. Every
// change of a row changes the table's indexes with it: all of that is there, or nothing. Calls without a Transaction
// are transactions of their own. Within a Transaction a call that fails (a duplicate key, say) has changed nothing and
// the transaction goes on; a call that must wait for another writer ends with kConflict after Options::lock_timeout.
//
// Maps, tables and indexes share one space of names.
//
// Thread safety: a Table and an Index may be used by any number of threads at once; a Transaction, a cursor and a
// TableLoad by one thread at a time. Handles keep the database's core alive; after Database::close() their calls
// return kClosed.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/result.h"
#include "vaultgres/value.h"

namespace vaultgres {

class Transaction;
class Table;
class Index;
class TableLoad;
class RowCursor;
class TableScan;

namespace internal {
class Core;
struct TableHandle;
struct IndexHandle;
struct IndexCursorState;
struct TableScanState;
struct TableLoadState;
Table make_table(std::shared_ptr<TableHandle> handle);
Index make_index(std::shared_ptr<IndexHandle> handle);
Result<TableLoad> begin_load(const std::shared_ptr<Core>& core, std::string_view name, Schema schema);
}  // namespace internal

/// Where a row lives: heap page and slot within it.
struct RowId {
  std::uint32_t page = 0;
  std::uint16_t slot = 0;
  friend auto operator<=>(const RowId&, const RowId&) = default;
};

/// What an index is over.
struct IndexSpec {
  struct Part {
    std::string column;
    bool descending = false;
    friend bool operator==(const Part&, const Part&) = default;
  };
  std::vector<Part> columns;  ///< 1 to 32, each column of the table once
  /// No two rows with equal values in these columns. NULLs are no duplicates of each other.
  bool unique = false;
  friend bool operator==(const IndexSpec&, const IndexSpec&) = default;
};

/// Rows of an index whose first columns equal `equal` and whose next column lies in the range. All of it: {}.
struct IndexRange {
  Row equal{};                          ///< values of the first columns; NULL equals NULL here
  std::optional<ValueBound> from{};     ///< least value of the next column
  std::optional<ValueBound> to{};       ///< greatest value of the next column
  std::optional<std::string> prefix{};  ///< how the next column, text or bytes, begins; not with from and to
};

struct TableRow {
  RowId id;
  Row values;  ///< owned
};

/// Copies are handles of the same table. So is what it was moved from: moving copies.
class Table {
 public:
  Table(const Table& other) noexcept = default;
  Table& operator=(const Table& other) noexcept = default;
  ~Table() = default;

  const std::string& name() const noexcept;
  const Schema& schema() const noexcept;

  /// kInvalidArgument: not a row of this table. kDuplicateKey: a unique index has such a row.
  Result<RowId> insert(const Row& row);
  /// Replaces the row; kNotFound when there is none.
  Status update(RowId id, const Row& row);
  /// False when there was none.
  Result<bool> erase(RowId id);
  Result<std::optional<Row>> get(RowId id) const;

  Result<RowId> insert(Transaction& txn, const Row& row);
  Status update(Transaction& txn, RowId id, const Row& row);
  Result<bool> erase(Transaction& txn, RowId id);
  Result<std::optional<Row>> get(const Transaction& txn, RowId id) const;

  /// All rows, in the order of their places. The one with a Transaction also sees what the transaction has changed,
  /// and must not outlive it. Without memory for the scan its first step says so.
  TableScan scan() const;
  TableScan scan(const Transaction& txn) const;

  /// Number of visible rows, by a scan.
  Result<std::uint64_t> count() const;

 private:
  friend Table internal::make_table(std::shared_ptr<internal::TableHandle> handle);
  explicit Table(std::shared_ptr<internal::TableHandle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<internal::TableHandle> handle_;
};

/// Copies are handles of the same index. So is what it was moved from: moving copies.
class Index {
 public:
  Index(const Index& other) noexcept = default;
  Index& operator=(const Index& other) noexcept = default;
  ~Index() = default;

  const std::string& name() const noexcept;
  const std::string& table_name() const noexcept;
  const Schema& schema() const noexcept;  ///< of the table
  const IndexSpec& spec() const noexcept;

  /// The first row, in index order, whose first columns equal `values` (as many as are given).
  Result<std::optional<TableRow>> find(const Row& values) const;
  Result<std::optional<TableRow>> find(const Transaction& txn, const Row& values) const;

  /// A cursor over a range, standing before its first row. Without memory for the cursor its first step says so.
  RowCursor range(IndexRange range = {}) const;
  RowCursor range(const Transaction& txn, IndexRange range = {}) const;

 private:
  friend Index internal::make_index(std::shared_ptr<internal::IndexHandle> handle);
  explicit Index(std::shared_ptr<internal::IndexHandle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<internal::IndexHandle> handle_;
};

/// Walks rows in the order of an index, both ways. Holds no latch and no lock between calls. Rows are read in small
/// groups, each group at one instant; what is committed while the cursor walks may be seen or not. So may what its own
/// loop changes: one that moves each row that it meets forwards in the index need not end.
/// After an error every later step returns an error too, until first() or last(). Steps of a cursor that was moved from
/// return kInvalidArgument.
class RowCursor {
 public:
  RowCursor(RowCursor&& other) noexcept;
  RowCursor& operator=(RowCursor&& other) noexcept;
  ~RowCursor();

  // Each answers whether the cursor now stands on a row.
  Result<bool> first();
  Result<bool> last();
  Result<bool> next();  ///< from before the first: the first
  Result<bool> prev();  ///< from behind the last: the last

  bool valid() const noexcept;
  RowId id() const noexcept;
  /// Text and bytes are views that live until the cursor's next step; copies of a Value own their bytes. Empty unless
  /// valid().
  const Row& row() const noexcept;

 private:
  friend class Index;
  explicit RowCursor(std::unique_ptr<internal::IndexCursorState> state) noexcept;
  std::unique_ptr<internal::IndexCursorState> state_;  ///< null: no memory for it, or moved from
  bool no_memory_;
};

/// Walks all rows of a table, page by page; each page, or each 64 KiB of the rows of one, is read at one instant. Ends
/// where the table ended at its first step, whatever is inserted meanwhile. Steps of a scan that was moved from return
/// kInvalidArgument.
class TableScan {
 public:
  TableScan(TableScan&& other) noexcept;
  TableScan& operator=(TableScan&& other) noexcept;
  ~TableScan();

  Result<bool> next();
  bool valid() const noexcept;
  RowId id() const noexcept;
  const Row& row() const noexcept;  ///< as RowCursor::row()

 private:
  friend class Table;
  explicit TableScan(std::unique_ptr<internal::TableScanState> state) noexcept;
  std::unique_ptr<internal::TableScanState> state_;  ///< null: no memory for it, or moved from
  bool no_memory_;
};

/// Fills a new table: faster than insert(), and all or nothing. The table gets its name with finish(), durably;
/// without it (an error, a crash, destruction) nothing of it stays. Made by Database::load_table().
class TableLoad {
 public:
  TableLoad(TableLoad&& other) noexcept;
  TableLoad& operator=(TableLoad&& other) noexcept;
  ~TableLoad();

  /// kInvalidArgument: not a row of this table; then the load can go on without it.
  Status add(const Row& row);
  std::uint64_t rows() const noexcept;
  /// kAlreadyExists when somebody else has taken the name meanwhile.
  Result<Table> finish();

 private:
  friend Result<TableLoad> internal::begin_load(const std::shared_ptr<internal::Core>& core, std::string_view name,
                                                Schema schema);
  explicit TableLoad(std::unique_ptr<internal::TableLoadState> state);
  std::unique_ptr<internal::TableLoadState> state_;
};

struct TableInfo {
  std::string name;
  std::uint32_t object_id = 0;
  Schema schema;
};
struct IndexInfo {
  std::string name;
  std::uint32_t object_id = 0;
  std::string table;
  IndexSpec spec;
};

struct TableStats {
  std::string name;
  std::uint64_t rows = 0;
  std::uint64_t ghosts = 0;      ///< deleted, not yet removed
  std::uint64_t moved_rows = 0;  ///< grown beyond their page: found through a stub in their place
  std::uint64_t heap_pages = 0;
  std::uint64_t map_pages = 0;       ///< of the map of the table's pages
  std::uint64_t overflow_pages = 0;  ///< of rows that are too long for a heap page
  double heap_fill = 0;              ///< 0 to 1
  double bytes_per_row = 0;          ///< all pages
};

/// Pages that this thread's reads have visited so far, cached or not: the cost of a lookup that does not depend on the
/// cache. Differences of two calls are what counts.
struct PagesVisited {
  std::uint64_t tree = 0;
  std::uint64_t heap = 0;
  std::uint64_t overflow = 0;
  std::uint64_t loaded = 0;  ///< pages that were not in the cache and had to be read
};
PagesVisited pages_visited() noexcept;

}  // namespace vaultgres
