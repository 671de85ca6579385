#include "vaultgres/value.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace vaultgres {
namespace {

struct TypeName {
  ColumnType type;
  std::string_view name;
};
constexpr std::array<TypeName, 9> kTypeNames = {{
    {ColumnType::kInt16, "int16"},
    {ColumnType::kInt32, "int32"},
    {ColumnType::kInt64, "int64"},
    {ColumnType::kDouble, "double"},
    {ColumnType::kBool, "bool"},
    {ColumnType::kText, "text"},
    {ColumnType::kBytes, "bytes"},
    {ColumnType::kDate, "date"},
    {ColumnType::kTimestamp, "timestamp"},
}};

const char* kind_name(Value::Kind kind) noexcept {
  constexpr const char* kNames[] = {"NULL", "bool", "an integer", "double", "date", "timestamp", "text", "bytes"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::weak_ordering compare_numbers(double a, double b) noexcept {
  const bool a_nan = std::isnan(a);
  const bool b_nan = std::isnan(b);
  if (a_nan || b_nan) return a_nan <=> b_nan;
  if (a < b) return std::weak_ordering::less;
  return a > b ? std::weak_ordering::greater : std::weak_ordering::equivalent;
}

std::optional<Value::Kind> kind_of(ColumnType type) noexcept {
  switch (type) {
    case ColumnType::kInt16:
    case ColumnType::kInt32:
    case ColumnType::kInt64:
      return Value::Kind::kInteger;
    case ColumnType::kDouble:
      return Value::Kind::kDouble;
    case ColumnType::kBool:
      return Value::Kind::kBool;
    case ColumnType::kText:
      return Value::Kind::kText;
    case ColumnType::kBytes:
      return Value::Kind::kBytes;
    case ColumnType::kDate:
      return Value::Kind::kDate;
    case ColumnType::kTimestamp:
      return Value::Kind::kTimestamp;
  }
  return std::nullopt;
}

bool in_range(ColumnType type, std::int64_t integer) noexcept {
  if (type == ColumnType::kInt16) return integer == static_cast<std::int16_t>(integer);
  if (type == ColumnType::kInt32) return integer == static_cast<std::int32_t>(integer);
  return true;
}

Error bad_value(const Column& column, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, "column \"" + column.name + "\" " + what);
}

}  // namespace

std::string_view column_type_name(ColumnType type) noexcept {
  for (const TypeName& entry : kTypeNames) {
    if (entry.type == type) return entry.name;
  }
  return "?";
}

std::optional<ColumnType> parse_column_type(std::string_view name) noexcept {
  for (const TypeName& entry : kTypeNames) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

Value::Value(const Value& other) : payload_(other.payload_), size_(other.size_), kind_(other.kind_) {
  own();
}

void Value::own() {
  if (!has_bytes() || owned_) return;
  char* const copy = new char[size_];
  if (size_ != 0) std::memcpy(copy, payload_.data, size_);
  payload_.data = copy;
  owned_ = true;
}

void Value::die_of_wrong_kind(Kind expected) const noexcept {
  std::fprintf(stderr, "vaultgres: a value that is %s was read as %s\n", kind_name(kind_), kind_name(expected));
  std::abort();
}

std::weak_ordering operator<=>(const Value& a, const Value& b) noexcept {
  if (a.kind_ != b.kind_) return a.kind_ <=> b.kind_;
  switch (a.kind_) {
    case Value::Kind::kNull:
      return std::weak_ordering::equivalent;
    case Value::Kind::kDouble:
      return compare_numbers(a.payload_.number, b.payload_.number);
    case Value::Kind::kText:
    case Value::Kind::kBytes:
      return a.view() <=> b.view();
    default:
      return a.payload_.integer <=> b.payload_.integer;
  }
}

Status check_value(const Column& column, const Value& value) {
  if (value.is_null()) {
    if (column.nullable) return {};
    return bad_value(column, "must not be NULL");
  }
  const std::string type(column_type_name(column.type));
  if (kind_of(column.type) != value.kind()) return bad_value(column, "is " + type + ", not " + kind_name(value.kind()));
  if (value.kind() == Value::Kind::kInteger && !in_range(column.type, value.integer())) {
    const unsigned bits = column.type == ColumnType::kInt16 ? 16 : 32;
    const std::int64_t max = (std::int64_t{1} << (bits - 1)) - 1;
    return bad_value(column, "is " + type + ", " + std::to_string(-max - 1) + " to " + std::to_string(max) + "; " +
                                 std::to_string(value.integer()) + " is out of its range");
  }
  return {};
}

}  // namespace vaultgres
