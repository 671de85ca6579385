#include "catalog/key_encoding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/little.h"
#include "base/try.h"
#include "btree/node.h"
#include "catalog/key_decoder.h"
#include "catalog/key_layout.h"
#include "catalog/type_width.h"

namespace vaultgres {
namespace {

template <std::unsigned_integral T>
void append_big(T value, std::string& out) {
  char bytes[sizeof(T)];
  store_big(bytes, value);
  out.append(bytes, sizeof bytes);
}

void append_text(std::string_view text, std::string& out) {
  // Longer than any key: what follows decides nothing, and the result is too long all the same.
  text = text.substr(0, kKeyBytesMax + 1);
  for (std::size_t zero; (zero = text.find('\0')) != std::string_view::npos; text.remove_prefix(zero + 1)) {
    out.append(text.substr(0, zero));
    out.append(kKeyEscapedZero);
  }
  out.append(text);
}

void append_value(ColumnType type, const Value& value, std::string& out) {
  switch (type) {
    case ColumnType::kInt16:
      return append_big(flip_sign(static_cast<std::uint16_t>(value.integer())), out);
    case ColumnType::kInt32:
      return append_big(flip_sign(static_cast<std::uint32_t>(value.integer())), out);
    case ColumnType::kInt64:
      return append_big(flip_sign(static_cast<std::uint64_t>(value.integer())), out);
    case ColumnType::kDate:
      return append_big(flip_sign(static_cast<std::uint32_t>(value.date().days)), out);
    case ColumnType::kTimestamp:
      return append_big(flip_sign(static_cast<std::uint64_t>(value.timestamp().micros)), out);
    case ColumnType::kDouble:
      return append_big(key_bits_of_double(value.number()), out);
    case ColumnType::kBool:
      return out.push_back(value.boolean() ? 1 : 0);
    case ColumnType::kText:
    case ColumnType::kBytes:
      append_text(type == ColumnType::kText ? value.text() : value.bytes(), out);
      out.append(kKeyTextEnd);
      return;
  }
}

void invert_from(std::size_t start, std::string& out) {
  for (std::size_t i = start; i < out.size(); ++i) out[i] = static_cast<char>(~out[i]);
}

/// The same bound for strings of at most kKeyBytesMax bytes. None of them equals a longer bound or begins with it,
/// so they are at or above it iff they are above its first kKeyBytesMax bytes; and none of them has those as a
/// proper prefix, so iff they are at or above the successor. None: above all of them.
std::optional<std::string> fit_bound(std::optional<std::string> bound) {
  if (!bound || bound->size() <= kKeyBytesMax) return bound;
  return prefix_successor(std::string_view(*bound).substr(0, kKeyBytesMax));
}

/// A bound that is none is above all keys.
KeyBounds make_bounds(std::optional<std::string> low, std::optional<std::string> high) {
  low = fit_bound(std::move(low));
  high = fit_bound(std::move(high));
  if (!low || (high && *high <= *low)) return {"", ""};
  return {*std::move(low), std::move(high)};
}

Status check_length(const std::string& key) {
  if (key.size() <= kKeyBytesMax) [[likely]]
    return {};
  return Error(ErrorCode::kTooLarge,
               "the index key has more than " + std::to_string(kKeyBytesMax) + " bytes, counted as stored");
}

Error wrong_count(std::size_t given, std::size_t expected) {
  return Error(ErrorCode::kInvalidArgument, "the index has " + std::to_string(expected) + " columns, " +
                                                std::to_string(given) + " values were given");
}

}  // namespace

std::optional<std::string> prefix_successor(std::string_view prefix) {
  const std::size_t last = prefix.find_last_not_of('\xFF');
  if (last == std::string_view::npos) return std::nullopt;
  std::string successor(prefix.substr(0, last + 1));
  successor.back() = static_cast<char>(successor.back() + 1);
  return successor;
}

Result<KeyCodec> KeyCodec::create(const Schema& schema, std::span<const IndexColumn> columns) {
  if (columns.empty() || columns.size() > kIndexColumnsMax) {
    return Error(ErrorCode::kInvalidArgument, "an index has 1 to " + std::to_string(kIndexColumnsMax) +
                                                  " columns, not " + std::to_string(columns.size()));
  }
  std::vector<Part> parts;
  for (const IndexColumn& column : columns) {
    if (column.column >= schema.size()) {
      return Error(ErrorCode::kInvalidArgument, "the index names column " + std::to_string(column.column + 1) +
                                                    " of a table of " + std::to_string(schema.size()));
    }
    const Column& of_table = schema[column.column];
    if (std::ranges::any_of(parts, [&](const Part& part) { return part.place == column.column; })) {
      return Error(ErrorCode::kInvalidArgument, "the index names column \"" + of_table.name + "\" twice");
    }
    parts.push_back({of_table, column.column, column.descending});
  }
  return KeyCodec(std::move(parts));
}

Status KeyCodec::append(const Part& part, const Value& value, std::string& out) {
  VG_TRY(check_value(part.column, value));
  const std::size_t start = out.size();
  if (part.column.nullable) out.push_back(value.is_null() ? kKeyNull : kKeyNotNull);
  if (value.is_null()) {
    out.append(type_width(part.column.type), '\0');
  } else {
    append_value(part.column.type, value, out);
  }
  if (part.descending) invert_from(start, out);
  return {};
}

Status KeyCodec::append_first(std::span<const Value> values, std::string& out) const {
  if (values.size() > size()) return wrong_count(values.size(), size());
  for (std::size_t i = 0; i < values.size(); ++i) VG_TRY(append(parts_[i], values[i], out));
  return {};
}

Status KeyCodec::encode_row(std::span<const Value> row, bool unique, Tid tid, std::string& out) const {
  out.clear();
  bool has_null = false;
  for (const Part& part : parts_) {
    if (part.place >= row.size()) {
      return Error(ErrorCode::kInvalidArgument, "the row has no value for column \"" + part.column.name + "\"");
    }
    VG_TRY(append(part, row[part.place], out));
    has_null |= row[part.place].is_null();
  }
  if (!unique || has_null) out.append(as_text(encode_tid(tid)));
  return check_length(out);
}

Status KeyCodec::encode(std::span<const Value> values, bool unique, Tid tid, std::string& out) const {
  if (values.size() != size()) return wrong_count(values.size(), size());
  out.clear();
  VG_TRY(append_first(values, out));
  const bool has_null = std::ranges::any_of(values, [](const Value& value) { return value.is_null(); });
  if (!unique || has_null) out.append(as_text(encode_tid(tid)));
  return check_length(out);
}

Result<KeyCodec::Entry> KeyCodec::decode(Bytes key, bool unique) const {
  KeyDecoder decoder(key);
  Entry entry;
  entry.values.reserve(size());
  bool has_null = false;
  for (const Part& part : parts_) {
    auto value = decoder.take(part.column.type, part.column.nullable, part.descending);
    if (!value) return value.error().with_context("index key, column \"" + part.column.name + "\"");
    has_null |= value->is_null();
    entry.values.push_back(*std::move(value));
  }
  const bool needs_tid = !unique || has_null;
  if (decoder.rest().size() != (needs_tid ? kTidBytes : 0)) {
    return Error(ErrorCode::kCorruption,
                 "an index key has " + std::to_string(decoder.rest().size()) + " bytes behind its columns");
  }
  if (needs_tid) entry.tid = decode_tid(decoder.rest());
  return entry;
}

Result<KeyBounds> KeyCodec::equal(std::span<const Value> values) const {
  std::string prefix;
  VG_TRY(append_first(values, prefix));
  return make_bounds(prefix, prefix_successor(prefix));
}

Status KeyCodec::check_next(std::span<const Value> values) const {
  if (values.size() < size()) return {};
  return Error(ErrorCode::kInvalidArgument,
               "the index has " + std::to_string(size()) + " columns; none is left behind the values given");
}

Result<KeyBounds> KeyCodec::range(std::span<const Value> values, const std::optional<ValueBound>& from,
                                  const std::optional<ValueBound>& to) const {
  if (!from && !to) return equal(values);
  VG_TRY(check_next(values));
  const Part& part = parts_[values.size()];
  std::string prefix;
  VG_TRY(append_first(values, prefix));
  // Bytes of entries at the two ends, in the order of the values: what begins with them is at the end itself.
  std::optional<std::string> from_bytes;
  std::optional<std::string> to_bytes;
  if (from) VG_TRY(append(part, from->value, from_bytes.emplace(prefix)));
  if (to) VG_TRY(append(part, to->value, to_bytes.emplace(prefix)));
  if (!from && part.column.nullable && !to->value.is_null()) {
    // From just behind the NULLs, whose marker is all that tells them.
    from_bytes.emplace(prefix).push_back(part.descending ? static_cast<char>(~kKeyNull) : kKeyNull);
  }
  const bool from_inclusive = from && from->inclusive;
  const bool to_inclusive = to && to->inclusive;
  const auto low_at = [&](const std::optional<std::string>& bytes, bool inclusive) -> std::optional<std::string> {
    if (!bytes) return prefix;
    return inclusive ? bytes : prefix_successor(*bytes);
  };
  const auto high_at = [&](const std::optional<std::string>& bytes, bool inclusive) -> std::optional<std::string> {
    if (!bytes) return prefix_successor(prefix);
    return inclusive ? prefix_successor(*bytes) : bytes;
  };
  if (part.descending) return make_bounds(low_at(to_bytes, to_inclusive), high_at(from_bytes, from_inclusive));
  return make_bounds(low_at(from_bytes, from_inclusive), high_at(to_bytes, to_inclusive));
}

Result<KeyBounds> KeyCodec::starting_with(std::span<const Value> values, std::string_view prefix) const {
  VG_TRY(check_next(values));
  const Part& part = parts_[values.size()];
  if (type_width(part.column.type) != 0) {
    return Error(ErrorCode::kInvalidArgument, "column \"" + part.column.name + "\" is neither text nor bytes");
  }
  std::string start;
  VG_TRY(append_first(values, start));
  const std::size_t inverted = start.size();
  if (part.column.nullable) start.push_back(kKeyNotNull);
  append_text(prefix, start);
  if (part.descending) invert_from(inverted, start);
  return make_bounds(start, prefix_successor(start));
}

}  // namespace vaultgres
