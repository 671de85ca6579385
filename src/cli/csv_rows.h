// Records of a CSV file as rows of a table.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/csv_reader.h"
#include "vaultgres/value.h"

namespace vaultgres::cli {

/// Whether the field is NULL: its text is `null_text` and it is not in quotes. Without one, an empty field is.
bool is_null(const CsvField& field, const std::optional<std::string>& null_text) noexcept;

Status check_field_count(const CsvRecord& record, std::size_t columns);

class CsvRows {
 public:
  /// Fields are in the order of the columns.
  CsvRows(Schema schema, std::optional<std::string> null_text);

  /// Fields are in the order of the header, which names each column once.
  Status set_header(const CsvRecord& header);

  /// Into `row`, whose memory is reused; text is a view of the record. In a column of text that is not nullable, an
  /// empty field is the empty text unless there is a null_text. Errors name the column.
  Status parse(const CsvRecord& record, Row& row) const;

 private:
  Result<Value> parse_field(const Column& column, const CsvField& field) const;

  Schema schema_;
  std::optional<std::string> null_text_;
  std::vector<std::size_t> columns_;  ///< of the fields
};

}  // namespace vaultgres::cli
