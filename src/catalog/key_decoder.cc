#include "catalog/key_decoder.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/little.h"
#include "catalog/key_layout.h"
#include "catalog/type_width.h"

namespace vaultgres {
namespace {

Error bad_key(const char* reason) {
  return Error(ErrorCode::kCorruption, reason);
}

Value integer_value(ColumnType type, const std::byte* bytes) noexcept {
  switch (type) {
    case ColumnType::kInt16:
      return static_cast<std::int16_t>(flip_sign(load_big<std::uint16_t>(bytes)));
    case ColumnType::kInt32:
      return static_cast<std::int32_t>(flip_sign(load_big<std::uint32_t>(bytes)));
    case ColumnType::kDate:
      return Date{static_cast<std::int32_t>(flip_sign(load_big<std::uint32_t>(bytes)))};
    case ColumnType::kTimestamp:
      return Timestamp{static_cast<std::int64_t>(flip_sign(load_big<std::uint64_t>(bytes)))};
    default:
      return static_cast<std::int64_t>(flip_sign(load_big<std::uint64_t>(bytes)));
  }
}

}  // namespace

Result<Value> KeyDecoder::take(ColumnType type, bool nullable, bool descending) {
  const std::byte mask{static_cast<unsigned char>(descending ? 0xFF : 0)};
  bool null = false;
  if (nullable) {
    if (rest_.empty()) return bad_key("the key ends early");
    const auto marker = static_cast<char>(rest_[0] ^ mask);
    if (marker != kKeyNull && marker != kKeyNotNull) return bad_key("a NULL marker is neither 0 nor 1");
    null = marker == kKeyNull;
    rest_ = rest_.subspan(1);
  }
  if (type_width(type) != 0) return take_fixed(type, null, mask);
  if (null) return Value();
  return take_text(type, mask);
}

Result<Value> KeyDecoder::take_fixed(ColumnType type, bool null, std::byte mask) {
  const std::size_t size = type_width(type);
  if (rest_.size() < size) return bad_key("the key ends early");
  std::array<std::byte, 8> bytes{};
  std::transform(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(size), bytes.begin(),
                 [mask](std::byte byte) { return byte ^ mask; });
  rest_ = rest_.subspan(size);
  if (null) {
    if (load_big<std::uint64_t>(bytes.data()) != 0) return bad_key("a NULL has a value");
    return Value();
  }
  if (type == ColumnType::kBool) {
    if (bytes[0] > std::byte{1}) return bad_key("a bool is neither 0 nor 1");
    return Value(bytes[0] == std::byte{1});
  }
  if (type == ColumnType::kDouble) {
    const auto bits = load_big<std::uint64_t>(bytes.data());
    const double number = double_of_key_bits(bits);
    if (key_bits_of_double(number) != bits) return bad_key("a double is stored as -0 or as an unknown NaN");
    return Value(number);
  }
  return integer_value(type, bytes.data());
}

Result<Value> KeyDecoder::take_text(ColumnType type, std::byte mask) {
  std::string text;
  for (std::size_t i = 0; i < rest_.size(); ++i) {
    const auto c = static_cast<char>(rest_[i] ^ mask);
    if (c != 0) {
      text.push_back(c);
      continue;
    }
    if (++i == rest_.size()) break;
    const auto next = static_cast<char>(rest_[i] ^ mask);
    if (next == kKeyEscapedZero[1]) {
      text.push_back('\0');
    } else if (next == kKeyTextEnd[1]) {
      rest_ = rest_.subspan(i + 1);
      return type == ColumnType::kText ? Value(text) : Value::bytes(text);
    } else {
      return bad_key("a zero byte in text is followed by neither 00 nor FF");
    }
  }
  return bad_key("text has no end");
}

}  // namespace vaultgres
