#include <algorithm>

#include "base/try.h"
#include "catalog/name.h"
#include "vaultgres/value.h"

namespace vaultgres {
namespace {

Status check_names_differ(const std::vector<Column>& columns) {
  std::vector<std::string_view> names;
  names.reserve(columns.size());
  for (const Column& column : columns) names.push_back(column.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return {};
  return Error(ErrorCode::kInvalidArgument, "two columns have the name \"" + std::string(*twice) + "\"");
}

}  // namespace

Result<Schema> Schema::create(std::vector<Column> columns) {
  if (columns.empty() || columns.size() > kMaxColumns) {
    return Error(ErrorCode::kInvalidArgument,
                 "a table has 1 to " + std::to_string(kMaxColumns) + " columns, not " + std::to_string(columns.size()));
  }
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (Status named = check_name_text(columns[i].name, kMaxColumnNameBytes); !named) {
      return named.error().with_context("column " + std::to_string(i + 1));
    }
    if (column_type_name(columns[i].type) == "?") {
      return Error(ErrorCode::kInvalidArgument, "column \"" + columns[i].name + "\" is of an unknown type");
    }
  }
  VG_TRY(check_names_differ(columns));
  return Schema(std::move(columns));
}

std::optional<std::size_t> Schema::find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return i;
  }
  return std::nullopt;
}

Status Schema::check_row(const Row& row) const {
  if (row.size() != size()) {
    return Error(ErrorCode::kInvalidArgument, "the row has " + std::to_string(row.size()) + " values, the table " +
                                                  std::to_string(size()) + " columns");
  }
  for (std::size_t i = 0; i < row.size(); ++i) VG_TRY(check_value(columns_[i], row[i]));
  return {};
}

}  // namespace vaultgres
