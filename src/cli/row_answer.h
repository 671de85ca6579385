// Rows as an answer: filtered, shown in the format that is wanted, with their costs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/answer.h"
#include "cli/verb.h"
#include "vaultgres/table.h"

namespace vaultgres::cli {

/// What of the rows is wanted, and how it is shown.
struct RowOptions {
  std::vector<std::string> where;
  std::optional<std::string> select;
  std::uint64_t limit = 0;  ///< 0: none
  bool count = false;       ///< only the number
  bool place = false;
  bool explain = false;
  bool escaped = false;  ///< values of `where`
  bool json = false;
  bool csv = false;
};

/// The row itself lives until the next call; none at the end.
struct FoundRow {
  RowId id;
  const Row* row = nullptr;
};
using NextRow = std::function<Result<FoundRow>()>;

/// The answer to --count.
void print_count(std::uint64_t count, Format format);

/// Takes rows one by one and shows each as it comes; how many there were. When `if_none` is given and there are none,
/// it is the error, and nothing is printed but the costs.
Result<std::uint64_t> answer_rows(const Schema& schema, const RowOptions& options, const NextRow& next,
                                  const std::optional<Error>& if_none = {});

inline constexpr char kSelectHelp[] = "Only these columns of rows, separated by commas";
inline constexpr char kRowCsvHelp[] = "Answer in CSV with a header line; keys and values of maps stay as they are";
inline constexpr char kPlaceHelp[] = "Begin each row with its place, PAGE:SLOT";

}  // namespace vaultgres::cli
