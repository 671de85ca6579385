// Columns of a table as text, and guessed from a file's rows.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/table.h"

namespace vaultgres::cli {

/// "id int64, name text null": names, types, and `null` where NULL is allowed. A name with a blank, comma or quote
/// stands in quotes, its own quotes written twice.
Result<Schema> parse_schema(std::string_view text);
/// What parse_schema() reads.
std::string schema_text(const Schema& schema);
/// The name as it stands in there.
std::string column_name_text(std::string_view name);

/// "period, elo desc".
std::string index_columns_text(const IndexSpec& spec);

/// Finds the first type of int64, double, date, timestamp, bool and text that all fields of a column have; NULLs fit
/// all. A number with a leading zero, or an integer beyond int64, is text: as a number it would not come back as it
/// was. A column is nullable if there was a NULL in it, and a column of text always.
class TypeGuess {
 public:
  static constexpr std::size_t kCandidateCount = 6;

  explicit TypeGuess(std::vector<std::string> names);

  /// Precondition: one field per column. None: NULL.
  void add(std::span<const std::optional<std::string_view>> fields);
  std::size_t columns() const noexcept { return names_.size(); }
  /// kInvalidArgument: the names are none of columns.
  Result<Schema> schema() const;

 private:
  struct Guess {
    ColumnType type() const;

    std::array<bool, kCandidateCount> fits = {true, true, true, true, true, true};  ///< all values so far
    bool has_values = false;
    bool has_nulls = false;
  };
  std::vector<std::string> names_;
  std::vector<Guess> guesses_;
};

}  // namespace vaultgres::cli
