// What stands behind the public cursors, scans and loads of rows.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "db/core.h"
#include "db/object_load.h"
#include "txn/heap_load.h"
#include "txn/heap_ops.h"
#include "txn/leaf_batch.h"
#include "vaultgres/table.h"

namespace vaultgres::internal {

/// Rows that were copied out together take about so many bytes at most: some hundred cursors may be open.
inline constexpr std::size_t kRowBatchBytes = std::size_t{64} << 10;

/// Rows of an index in its order: a batch of entries of one leaf and their rows, read at one snapshot.
struct IndexCursorState {
  IndexCursorState(std::shared_ptr<IndexHandle> index, TxnId reader) : handle(std::move(index)), self(reader) {}

  enum class Place : std::uint8_t { kBefore, kOn, kAfter };

  Result<bool> to_first();
  Result<bool> to_last();
  Result<bool> step(ScanOrder order);

  std::shared_ptr<IndexHandle> handle;
  TxnId self;
  KeyBounds bounds;
  unsigned first_batch = 16;
  Place place = Place::kBefore;
  std::optional<Error> error;     ///< stays until first() or last()
  std::optional<Error> unusable;  ///< stays: a bad range, or a transaction that has ended
  RowId id;
  Row row;

 private:
  Result<bool> fill(std::string from, bool unbounded, ScanOrder order);
  Status read_rows(Lsn snapshot, bool first);
  Result<bool> arrive(std::size_t at);
  Result<bool> out(ScanOrder order) noexcept;

  LeafBatch entries_;
  RowBatch rows_;
  bool range_ends_ = false;  ///< behind the last of rows_ nothing more is in the range
  ScanOrder order_ = ScanOrder::kForward;
  std::size_t at_ = 0;
  unsigned batch_max_ = 0;
};

/// All rows of a table, heap page by heap page.
struct TableScanState {
  TableScanState(std::shared_ptr<TableHandle> table, TxnId reader) : handle(std::move(table)), self(reader) {}

  Result<bool> next();

  std::shared_ptr<TableHandle> handle;
  TxnId self;
  std::optional<Error> error;  ///< stays
  bool valid = false;
  RowId id;
  Row row;

 private:
  Result<bool> fill();
  Result<PageId> next_page();

  RowBatch batch_;
  std::size_t at_ = 0;
  std::vector<PageId> pages_;  ///< of the numbers from pages_begin_ on
  std::uint32_t pages_begin_ = 0;
  std::uint32_t pages_end_ = 0;  ///< the number behind the last that is read
  std::uint32_t number_ = 0;     ///< of the next page
  ReadAhead read_ahead_;
  PageId page_ = kNoPage;  ///< the one that batch_ is of
  bool ended_ = false;
};

/// A table that is being filled.
struct TableLoadState {
  explicit TableLoadState(const std::shared_ptr<Core>& core) : object(core) {}

  ObjectLoad object;
  std::optional<RowCodec> codec;
  std::optional<HeapLoad> load;
  std::string bytes;  ///< of the row at hand
  std::uint64_t rows = 0;
};

}  // namespace vaultgres::internal
