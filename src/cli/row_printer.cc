#include "cli/row_printer.h"

#include <cmath>
#include <utility>

#include "catalog/text_format.h"
#include "cli/escape.h"
#include "cli/row_text.h"

namespace vaultgres::cli {

namespace {

std::string value_text(const Value& value) {
  std::string text;
  append_value_text(value, text);
  return text;
}

Json json_value(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return nullptr;
    case Value::Kind::kBool:
      return value.boolean();
    case Value::Kind::kInteger:
      return value.integer();
    case Value::Kind::kDouble:
      if (!std::isfinite(value.number())) return value_text(value);  // JSON has no such numbers
      return value.number();
    case Value::Kind::kText:
      return json_of(value.text());
    case Value::Kind::kBytes:
      return Json{{"hex", to_hex(value.bytes())}};
    case Value::Kind::kDate:
    case Value::Kind::kTimestamp:
      return value_text(value);
  }
  return nullptr;
}

std::string csv_value(const Value& value) {
  if (value.is_null()) return "";
  const std::string text = value_text(value);
  return text.empty() ? "\"\"" : csv_field(text);
}

std::string field_of(const Value& value, Format format) {
  switch (format) {
    case Format::kJson:
      return json_value(value).dump();
    case Format::kCsv:
      return csv_value(value);
    case Format::kText:
      break;
  }
  return value.is_null() ? "\\N" : escape(value_text(value));
}

bool is_number(ColumnType type) {
  return type == ColumnType::kInt16 || type == ColumnType::kInt32 || type == ColumnType::kInt64 ||
         type == ColumnType::kDouble;
}

std::vector<LinePrinter::Field> fields_of(const Schema& schema, const std::vector<std::size_t>& columns, bool place) {
  std::vector<LinePrinter::Field> fields;
  if (place) fields.push_back({kPlaceField, true});
  for (const std::size_t column : columns) fields.push_back({schema[column].name, is_number(schema[column].type)});
  return fields;
}

}  // namespace

RowPrinter::RowPrinter(const Schema& schema, std::vector<std::size_t> columns, bool place, Format format)
    : columns_(std::move(columns)),
      place_(place),
      format_(format),
      lines_(fields_of(schema, columns_, place), format, LinePrinter::Header::kOnTerminal) {}

void RowPrinter::row(RowId id, const Row& row) {
  std::vector<std::string> fields;
  fields.reserve(columns_.size() + 1);
  if (place_) fields.push_back(format_ == Format::kJson ? Json(text_of_place(id)).dump() : text_of_place(id));
  for (const std::size_t column : columns_) fields.push_back(field_of(row[column], format_));
  lines_.line(std::move(fields));
}

}  // namespace vaultgres::cli
