#include "cli/csv_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/try.h"
#include "catalog/text_format.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

constexpr std::size_t kShownBytes = 60;

Error bad_header(std::string_view what, std::string_view name) {
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("the header {} \"{}\"", what, escape(name.substr(0, kShownBytes))));
}

}  // namespace

bool is_null(const CsvField& field, const std::optional<std::string>& null_text) noexcept {
  return !field.quoted && (null_text ? field.text == *null_text : field.text.empty());
}

Status check_field_count(const CsvRecord& record, std::size_t columns) {
  if (record.fields.size() == columns) return {};
  const auto plural = [](std::size_t count) { return count == 1 ? "" : "s"; };
  return Error(ErrorCode::kInvalidArgument, fmt::format("{} field{} for {} column{}", record.fields.size(),
                                                        plural(record.fields.size()), columns, plural(columns)));
}

CsvRows::CsvRows(Schema schema, std::optional<std::string> null_text)
    : schema_(std::move(schema)), null_text_(std::move(null_text)), columns_(schema_.size()) {
  std::iota(columns_.begin(), columns_.end(), std::size_t{0});
}

Status CsvRows::set_header(const CsvRecord& header) {
  std::vector<std::size_t> columns;
  std::vector<bool> named(schema_.size(), false);
  for (const CsvField& field : header.fields) {
    const std::optional<std::size_t> column = schema_.find(field.text);
    if (!column) return bad_header("names a column that the table does not have:", field.text);
    if (named[*column]) return bad_header("names a column twice:", field.text);
    named[*column] = true;
    columns.push_back(*column);
  }
  const auto missing = std::find(named.begin(), named.end(), false);
  if (missing != named.end()) {
    return bad_header("does not name the column", schema_[static_cast<std::size_t>(missing - named.begin())].name);
  }
  columns_ = std::move(columns);
  return {};
}

Status CsvRows::parse(const CsvRecord& record, Row& row) const {
  VG_TRY(check_field_count(record, columns_.size()));
  row.resize(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = schema_[columns_[i]];
    Result<Value> value = parse_field(column, record.fields[i]);
    if (!value) [[unlikely]] {
      return value.error().with_context(fmt::format("column \"{}\"", escape(column.name)));
    }
    row[columns_[i]] = *std::move(value);
  }
  return {};
}

Result<Value> CsvRows::parse_field(const Column& column, const CsvField& field) const {
  if (is_null(field, null_text_)) {
    if (column.nullable) return Value();
    if (column.type != ColumnType::kText || null_text_) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("{}, and the column must not be NULL", null_text_ ? "NULL" : "an empty field"));
    }
  }
  if (column.type == ColumnType::kText) return Value::text_view(field.text);
  return parse_value(column.type, field.text);
}

}  // namespace vaultgres::cli
