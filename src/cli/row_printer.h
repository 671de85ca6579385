// Rows of tables as lines of fields.
#pragma once

#include <string>
#include <vector>

#include "cli/line_printer.h"
#include "vaultgres/table.h"

namespace vaultgres::cli {

/// Text: values as in catalog/text_format.h, escaped, NULL as \N. CSV: NULL is nothing, an empty text is "". JSON: NULL
/// is null; integers, doubles and bools are what they are (infinities and NaN are strings), text is as json_of() says,
/// bytes are {"hex": "…"}, dates and timestamps are strings.
class RowPrinter {
 public:
  /// `columns` are places in the schema. With `place` each line begins with where its row lives.
  RowPrinter(const Schema& schema, std::vector<std::size_t> columns, bool place, Format format);

  void row(RowId id, const Row& row);
  // As LinePrinter.
  void print_held() { lines_.print_held(); }
  void finish() { lines_.finish(); }

 private:
  const std::vector<std::size_t> columns_;
  const bool place_;
  const Format format_;
  LinePrinter lines_;
};

/// The name of the field that `place` adds.
inline constexpr char kPlaceField[] = "place";

}  // namespace vaultgres::cli
