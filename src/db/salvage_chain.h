// Large values and rows of a damaged database.
#pragma once

#include <string>

#include "db/salvage_pages.h"

namespace vaultgres::internal {

/// Not thread-safe.
class ChainReader {
 public:
  static Result<ChainReader> make(const DamagedFiles& files, FoundPages& found);

  /// The whole value, or kCorruption with the page at which it ends. `holder`: LSN of the page that has the reference.
  /// A chain is written before the reference to it, and its pages never change: one that is newer than the reference's
  /// page has been given to another value.
  Status read(ObjectId owner, Bytes reference, Lsn holder, std::string& value);
  /// Of a chain that nobody needs any more: whose its unreadable page is, if it has one.
  void explain(ObjectId owner, PageId head);

 private:
  ChainReader(const DamagedFiles& files, FoundPages& found, AlignedBuffer page)
      : files_(files), found_(found), page_(std::move(page)) {}
  Result<PageId> read_page(ObjectId owner, PageId id, Lsn holder, std::string& value);

  const DamagedFiles& files_;
  FoundPages& found_;
  AlignedBuffer page_;
};

}  // namespace vaultgres::internal
