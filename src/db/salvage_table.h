// The rows of a table from its heap pages alone, in the order of the pages' numbers. Heap pages stay with their table
// until it is dropped, so every readable one counts; of several with one number, as an old file copied over a new one
// may leave, that which was changed last.
#pragma once

#include <string>

#include "base/function_ref.h"
#include "catalog/row_encoding.h"
#include "db/salvage_chain.h"
#include "db/salvage_pages.h"
#include "heap/heap_page.h"

namespace vaultgres::internal {

class TableReader {
 public:
  /// An error ends the reading.
  using TakeRow = FunctionRef<Status(const Row& row)>;
  using Lost = FunctionRef<void(std::string what)>;

  static Result<TableReader> make(const DamagedFiles& files, FoundPages& found, ChainReader& chains);

  /// Of the group at hand.
  Status read(ObjectId table, const RowCodec& codec, TakeRow take, Lost lost);
  /// Rows of the last table whose home page is lost: perhaps deleted, but not yet removed.
  std::uint64_t homeless() const noexcept { return homeless_; }

 private:
  struct Source;  // what read() was given
  TableReader(const DamagedFiles& files, FoundPages& found, ChainReader& chains, AlignedBuffer page, AlignedBuffer body)
      : files_(files), found_(found), chains_(chains), page_(std::move(page)), body_page_(std::move(body)) {}
  Status read_page(const Source& source, PageId id);
  Status read_row(const Source& source, Tid tid, const HeapSlot& slot, Lsn lsn);
  Status take_bytes(const Source& source, Tid tid, Bytes bytes);
  Result<Bytes> body_of(const Source& source, Tid home, Tid body);
  bool home_is_lost(const Source& source, Tid home) const;

  const DamagedFiles& files_;
  FoundPages& found_;
  ChainReader& chains_;
  AlignedBuffer page_;
  AlignedBuffer body_page_;
  PageId body_id_ = kNoPage;  ///< the page in body_page_
  std::string value_;
  Row row_;
  std::uint64_t homeless_ = 0;
};

}  // namespace vaultgres::internal
