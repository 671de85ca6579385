// What stands on one page of the data file, decoded: safe on any bytes.
#pragma once

#include <optional>

#include "cli/answer.h"
#include "format/page.h"

namespace vaultgres::cli {

struct PageContext {
  PageId id{0};
  std::uint32_t page_count = 0;        ///< of the data file
  std::optional<DatabaseId> database;  ///< for the checksum, if known
  bool all = false;                    ///< every entry, not only the first and the last
};

/// Entries of a long list that are shown at each of its ends, unless all are.
inline constexpr std::size_t kShownAtEachEnd = 8;

/// An object: `header`; then by type one of `superblock`, `node` and `entries`, `heap` and `slots`, `map` and
/// `entries`, `bitmap` and `runs`, `overflow`; then `verdict` with `sound`, `checksum` (right, wrong, unknown or
/// absent) and `structure` ("in order", or what is wrong).
Json describe_page(const PageContext& context, Bytes page);

}  // namespace vaultgres::cli
