#include "catalog/row_encoding.h"

#include <algorithm>
#include <bit>

#include "base/little.h"
#include "base/try.h"
#include "catalog/type_width.h"
#include "format/row.h"
#include "vaultgres/options.h"

namespace vaultgres {
namespace {

constexpr std::uint32_t kNotNullable = UINT32_MAX;

Error bad_row(const char* reason) {
  return Error(ErrorCode::kCorruption, std::string("a row is damaged: ") + reason);
}

template <std::unsigned_integral T>
void put(T value, char* to) noexcept {
  store_little(to, value);
}

void put_fixed(ColumnType type, const Value& value, char* to) noexcept {
  switch (type) {
    case ColumnType::kInt16:
      return put(static_cast<std::uint16_t>(value.integer()), to);
    case ColumnType::kInt32:
      return put(static_cast<std::uint32_t>(value.integer()), to);
    case ColumnType::kInt64:
      return put(static_cast<std::uint64_t>(value.integer()), to);
    case ColumnType::kDate:
      return put(static_cast<std::uint32_t>(value.date().days), to);
    case ColumnType::kTimestamp:
      return put(static_cast<std::uint64_t>(value.timestamp().micros), to);
    case ColumnType::kDouble:
      return put(std::bit_cast<std::uint64_t>(value.number()), to);
    case ColumnType::kBool:
      return put(static_cast<std::uint8_t>(value.boolean() ? 1 : 0), to);
    case ColumnType::kText:
    case ColumnType::kBytes:
      return;
  }
}

Result<Value> get_fixed(ColumnType type, const std::byte* from) {
  switch (type) {
    case ColumnType::kInt16:
      return Value(static_cast<std::int16_t>(load_little<std::uint16_t>(from)));
    case ColumnType::kInt32:
      return Value(static_cast<std::int32_t>(load_little<std::uint32_t>(from)));
    case ColumnType::kInt64:
      return Value(static_cast<std::int64_t>(load_little<std::uint64_t>(from)));
    case ColumnType::kDate:
      return Value(Date{static_cast<std::int32_t>(load_little<std::uint32_t>(from))});
    case ColumnType::kTimestamp:
      return Value(Timestamp{static_cast<std::int64_t>(load_little<std::uint64_t>(from))});
    case ColumnType::kDouble:
      return Value(std::bit_cast<double>(load_little<std::uint64_t>(from)));
    case ColumnType::kBool:
      if (*from > std::byte{1}) return bad_row("a bool is neither 0 nor 1");
      return Value(*from == std::byte{1});
    case ColumnType::kText:
    case ColumnType::kBytes:
      break;
  }
  return bad_row("a column of unknown type");
}

std::string_view data_of(const Value& value) noexcept {
  if (value.is_null()) return {};
  return value.kind() == Value::Kind::kText ? value.text() : value.bytes();
}

std::size_t load_end(const std::byte* from, std::size_t end_bytes) noexcept {
  return end_bytes == 4 ? load_little<std::uint32_t>(from) : load_little<std::uint16_t>(from);
}

}  // namespace

RowCodec::RowCodec(Schema schema) : schema_(std::move(schema)) {
  places_.reserve(schema_.size());
  for (const Column& column : schema_.columns()) {
    Place place{kNotNullable, 0, true};
    if (column.nullable) place.nullable = static_cast<std::uint32_t>(nullable_count_++);
    const std::size_t width = type_width(column.type);
    place.fixed = width != 0;
    place.offset = static_cast<std::uint32_t>(place.fixed ? fixed_bytes_ : varying_count_++);
    fixed_bytes_ += width;
    places_.push_back(place);
  }
}

Status RowCodec::check_values(std::span<const Value> row) const {
  if (row.size() != schema_.size()) {
    return Error(ErrorCode::kInvalidArgument, "the row has " + std::to_string(row.size()) + " values, the table " +
                                                  std::to_string(schema_.size()) + " columns");
  }
  for (std::size_t i = 0; i < row.size(); ++i) VG_TRY(check_value(schema_[i], row[i]));
  return {};
}

Status RowCodec::encode(std::span<const Value> row, std::string& out) const {
  VG_TRY(check_values(row));
  std::uint64_t data_bytes = 0;
  std::uint64_t last_end = 0;  // of those that are stored
  bool has_nulls = false;
  std::size_t varying_left = varying_count_;
  for (std::size_t i = 0; i < row.size(); ++i) {
    has_nulls |= row[i].is_null();
    if (places_[i].fixed) continue;
    data_bytes += data_of(row[i]).size();
    if (--varying_left != 0) last_end = data_bytes;
  }
  const bool wide = last_end > UINT16_MAX;
  const std::size_t end_bytes = wide ? 4 : 2;
  const std::size_t fixed_at = 1 + (has_nulls ? (nullable_count_ + 7) / 8 : 0);
  const std::size_t ends_at = fixed_at + fixed_bytes_;
  const std::size_t data_at = ends_at + (varying_count_ == 0 ? 0 : (varying_count_ - 1) * end_bytes);
  if (data_at + data_bytes > kMaxValueBytes) {
    return Error(ErrorCode::kTooLarge, "the row has " + std::to_string(data_at + data_bytes) + " bytes; at most " +
                                           std::to_string(kMaxValueBytes) + " are allowed");
  }

  out.reserve(data_at + data_bytes);
  out.assign(data_at, '\0');
  out[0] = static_cast<char>(kRowVersion | (has_nulls ? kRowHasNulls : 0) | (wide ? kRowWideEnds : 0));
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Place& place = places_[i];
    if (row[i].is_null()) {
      char& bits = out[1 + place.nullable / 8];
      bits = static_cast<char>(bits | 1 << place.nullable % 8);
    }
    if (place.fixed) {
      if (!row[i].is_null()) put_fixed(schema_[i].type, row[i], out.data() + fixed_at + place.offset);
      continue;
    }
    out.append(data_of(row[i]));
    if (place.offset + 1 == varying_count_) continue;
    char* const end = out.data() + ends_at + place.offset * end_bytes;
    const std::size_t position = out.size() - data_at;
    if (wide) {
      put(static_cast<std::uint32_t>(position), end);
    } else {
      put(static_cast<std::uint16_t>(position), end);
    }
  }
  return {};
}

Result<RowCodec::Sections> RowCodec::split(Bytes bytes) const {
  if (bytes.empty()) return bad_row("it has no bytes");
  const auto tag = static_cast<std::uint8_t>(bytes[0]);
  if ((tag & kRowVersionMask) != kRowVersion || (tag & ~(kRowVersionMask | kRowFlags)) != 0) {
    return bad_row("its tag is unknown");
  }
  Sections row{};
  row.end_bytes = (tag & kRowWideEnds) != 0 ? 4 : 2;
  const std::size_t null_bytes = (tag & kRowHasNulls) != 0 ? (nullable_count_ + 7) / 8 : 0;
  const std::size_t ends_bytes = varying_count_ == 0 ? 0 : (varying_count_ - 1) * row.end_bytes;
  if (bytes.size() < 1 + null_bytes + fixed_bytes_ + ends_bytes) return bad_row("it ends early");
  row.nulls = bytes.subspan(1, null_bytes);
  row.fixed = bytes.subspan(1 + null_bytes, fixed_bytes_);
  row.ends = bytes.subspan(1 + null_bytes + fixed_bytes_, ends_bytes);
  row.data = bytes.subspan(1 + null_bytes + fixed_bytes_ + ends_bytes);
  return row;
}

bool RowCodec::is_null(const Sections& row, const Place& place) const noexcept {
  if (row.nulls.empty() || place.nullable == kNotNullable) return false;
  return (row.nulls[place.nullable / 8] & std::byte{1} << place.nullable % 8) != std::byte{0};
}

Result<Bytes> RowCodec::data_at(const Sections& row, std::size_t number) const {
  const auto end_of = [&](std::size_t i) {
    return i + 1 == varying_count_ ? row.data.size() : load_end(row.ends.data() + i * row.end_bytes, row.end_bytes);
  };
  const std::size_t begin = number == 0 ? 0 : end_of(number - 1);
  const std::size_t end = end_of(number);
  if (begin > end || end > row.data.size()) return bad_row("the end of a text is out of order");
  return row.data.subspan(begin, end - begin);
}

Result<Value> RowCodec::value_at(const Sections& row, std::size_t column) const {
  const Place& place = places_[column];
  const ColumnType type = schema_[column].type;
  if (place.fixed) {
    const Bytes bytes = row.fixed.subspan(place.offset, type_width(type));
    if (!is_null(row, place)) return get_fixed(type, bytes.data());
    if (std::ranges::any_of(bytes, [](std::byte byte) { return byte != std::byte{0}; })) {
      return bad_row("a NULL has a value");
    }
    return Value();
  }
  VG_ASSIGN(const Bytes data, data_at(row, place.offset));
  if (is_null(row, place)) {
    if (!data.empty()) return bad_row("a NULL has a value");
    return Value();
  }
  return type == ColumnType::kText ? Value::text_view(as_text(data)) : Value::bytes_view(as_text(data));
}

Result<Value> RowCodec::decode_column(Bytes bytes, std::size_t column) const {
  VG_ASSIGN(const Sections row, split(bytes));
  return value_at(row, column);
}

Status RowCodec::check_nulls(Bytes nulls) const {
  if (std::ranges::all_of(nulls, [](std::byte byte) { return byte == std::byte{0}; })) {
    return bad_row("it has a bitmap without a NULL");
  }
  if (nullable_count_ % 8 != 0 && (nulls.back() >> nullable_count_ % 8) != std::byte{0}) {
    return bad_row("its bitmap has bits of no column");
  }
  return {};
}

Status RowCodec::decode(Bytes bytes, Row& row) const {
  VG_ASSIGN(const Sections sections, split(bytes));
  if ((static_cast<std::uint8_t>(bytes[0]) & kRowHasNulls) != 0) VG_TRY(check_nulls(sections.nulls));
  if (varying_count_ == 0 && !sections.data.empty()) return bad_row("it has bytes behind its last column");
  if (sections.end_bytes == 4) {
    // Ends ascend, or a column below reports it: the last one is the greatest.
    if (sections.ends.empty() || load_end(&sections.ends[sections.ends.size() - 4], 4) <= UINT16_MAX) {
      return bad_row("its ends are wide for no reason");
    }
  }
  row.resize(schema_.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    VG_ASSIGN(row[i], value_at(sections, i));
  }
  return {};
}

}  // namespace vaultgres
