#include "catalog/text_format.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <system_error>

#include "base/try.h"
#include "catalog/calendar.h"

namespace vaultgres {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;
constexpr std::size_t kFractionDigits = 6;

constexpr char kHexDigits[] = "0123456789abcdef";

/// The text in quotes for a message: cut, control characters escaped.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 60;
  std::string out = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      out.push_back(c);
    } else {
      out.append("\\x").append({kHexDigits[byte >> 4], kHexDigits[byte & 15]});
    }
  }
  out.push_back('"');
  if (text.size() > kShown) out.append("…");
  return out;
}

Error bad_text(std::string_view text, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, quoted(text) + " " + what);
}

template <class T>
Result<Value> parse_integer(ColumnType type, std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code == std::errc::result_out_of_range && end == text.data() + text.size()) {
    return bad_text(text, "is out of range: " + std::string(column_type_name(type)) + " is " +
                              std::to_string(std::numeric_limits<T>::min()) + " to " +
                              std::to_string(std::numeric_limits<T>::max()));
  }
  if (code != std::errc{} || end != text.data() + text.size()) return bad_text(text, "is not an integer");
  return Value(value);
}

Result<Value> parse_double(std::string_view text) {
  double value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code == std::errc::result_out_of_range && end == text.data() + text.size()) {
    return bad_text(text, "is out of the range of double");
  }
  if (code != std::errc{} || end != text.data() + text.size()) return bad_text(text, "is not a number");
  return Value(value);
}

Result<Value> parse_bool(std::string_view text) {
  std::string lower(text.substr(0, 6));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (lower == "true" || lower == "t" || lower == "1") return Value(true);
  if (lower == "false" || lower == "f" || lower == "0") return Value(false);
  return bad_text(text, "is not a bool: true, false, t, f, 1 or 0");
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<Value> parse_bytes(std::string_view text) {
  if (!text.starts_with("\\x")) return bad_text(text, "is not bytes: \\x and hexadecimal digits");
  const std::string_view digits = text.substr(2);
  if (digits.size() % 2 != 0) return bad_text(text, "has an odd number of hexadecimal digits");
  std::string bytes;
  bytes.reserve(digits.size() / 2);
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = hex_digit(digits[i]);
    const int low = hex_digit(digits[i + 1]);
    if (high < 0 || low < 0) return bad_text(text, "has a character that is no hexadecimal digit");
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return Value::bytes(bytes);
}

/// Takes `digits_min` to `digits_max` digits off `text`; -1 when there are fewer.
std::int64_t take_digits(std::string_view& text, std::size_t digits_min, std::size_t digits_max) noexcept {
  std::int64_t number = 0;
  std::size_t digits = 0;
  for (; digits < digits_max && digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    number = number * 10 + (text[digits] - '0');
  }
  if (digits < digits_min) return -1;
  text.remove_prefix(digits);
  return number;
}

bool take(std::string_view& text, char c) noexcept {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

/// Takes a date off `rest`, the unread part of `text`; days since 1970-01-01.
Result<std::int64_t> take_date(std::string_view text, std::string_view& rest) {
  const bool negative = take(rest, '-');
  const bool with_sign = negative || take(rest, '+');
  const std::int64_t year = take_digits(rest, 4, with_sign ? 7 : 4);
  const std::int64_t month = year >= 0 && take(rest, '-') ? take_digits(rest, 2, 2) : -1;
  const std::int64_t day = month >= 0 && take(rest, '-') ? take_digits(rest, 2, 2) : -1;
  if (day < 0) return bad_text(text, "is not a date: YYYY-MM-DD");
  CivilDate date{negative ? -year : year, static_cast<unsigned>(month), static_cast<unsigned>(day)};
  if (month < 1 || month > 12) return bad_text(text, "has no such month");
  if (day < 1 || date.day > days_of_month(date.year, date.month)) return bad_text(text, "has no such day");
  return days_of_date(date);
}

Result<Value> parse_date(std::string_view text) {
  std::string_view rest = text;
  VG_ASSIGN(const std::int64_t days, take_date(text, rest));
  if (!rest.empty()) return bad_text(text, "has something behind the date");
  if (days != static_cast<std::int32_t>(days)) return bad_text(text, "is out of the range of date");
  return Value(Date{static_cast<std::int32_t>(days)});
}

/// Takes a fraction's digits off `rest`; in microseconds, -1 when there is none or too long a one.
std::int64_t take_fraction(std::string_view& rest) noexcept {
  const std::size_t before = rest.size();
  std::int64_t micros = take_digits(rest, 1, kFractionDigits);
  for (std::size_t digits = before - rest.size(); micros > 0 && digits < kFractionDigits; ++digits) micros *= 10;
  return micros;
}

Result<Value> parse_timestamp(std::string_view text) {
  std::string_view rest = text;
  VG_ASSIGN(const std::int64_t days, take_date(text, rest));
  const auto expected = [&] { return bad_text(text, "is not a timestamp: YYYY-MM-DDTHH:MM:SS[.ffffff][Z]"); };
  if (!take(rest, 'T') && !take(rest, ' ')) return expected();
  const std::int64_t hour = take_digits(rest, 2, 2);
  const std::int64_t minute = hour >= 0 && take(rest, ':') ? take_digits(rest, 2, 2) : -1;
  const std::int64_t second = minute >= 0 && take(rest, ':') ? take_digits(rest, 2, 2) : -1;
  if (second < 0) return expected();
  const std::int64_t micros = take(rest, '.') ? take_fraction(rest) : 0;
  if (micros < 0) return expected();
  take(rest, 'Z');
  if (!rest.empty()) return bad_text(text, "has something behind the timestamp (UTC, at most 6 digits of fraction)");
  if (hour > 23 || minute > 59 || second > 59) return bad_text(text, "has no such time of day");
  const std::int64_t of_day = ((hour * 60 + minute) * 60 + second) * kMicrosPerSecond + micros;
  // From the day nearer to zero, so that the least timestamp is not beyond the range on the way.
  const std::int64_t whole_days = days < 0 ? days + 1 : days;
  const std::int64_t remainder = days < 0 ? of_day - kMicrosPerDay : of_day;
  std::int64_t total{};
  if (__builtin_mul_overflow(whole_days, kMicrosPerDay, &total) || __builtin_add_overflow(total, remainder, &total)) {
    return bad_text(text, "is out of the range of timestamp");
  }
  return Value(Timestamp{total});
}

void append_date(std::int64_t days, std::string& out) {
  const CivilDate date = date_of_days(days);
  const bool plain = date.year >= 0 && date.year <= 9999;
  std::array<char, 40> buffer;
  const int length =
      std::snprintf(buffer.data(), buffer.size(), "%s%04lld-%02u-%02u",
                    plain           ? ""
                    : date.year < 0 ? "-"
                                    : "+",
                    static_cast<long long>(date.year < 0 ? -date.year : date.year), date.month, date.day);
  out.append(buffer.data(), static_cast<std::size_t>(length));
}

void append_timestamp(std::int64_t micros, std::string& out) {
  std::int64_t days = micros / kMicrosPerDay;
  std::int64_t of_day = micros % kMicrosPerDay;
  if (of_day < 0) {
    of_day += kMicrosPerDay;
    --days;
  }
  append_date(days, out);
  const auto seconds = static_cast<unsigned>(of_day / kMicrosPerSecond);
  auto fraction = static_cast<unsigned>(of_day % kMicrosPerSecond);
  std::array<char, 40> buffer;
  int length =
      std::snprintf(buffer.data(), buffer.size(), "T%02u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
  out.append(buffer.data(), static_cast<std::size_t>(length));
  if (fraction != 0) {
    length = std::snprintf(buffer.data(), buffer.size(), ".%06u", fraction);
    while (buffer[static_cast<std::size_t>(length) - 1] == '0') --length;
    out.append(buffer.data(), static_cast<std::size_t>(length));
  }
  out.push_back('Z');
}

template <class T>
void append_number(T number, std::string& out) {
  std::array<char, 32> buffer;  // the longest double, -2.2250738585072014e-308, has 24 characters
  const auto [end, code] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  out.append(buffer.data(), end);
}

void append_bytes(std::string_view bytes, std::string& out) {
  out.append("\\x");
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out.append({kHexDigits[byte >> 4], kHexDigits[byte & 15]});
  }
}

}  // namespace

Result<Value> parse_value(ColumnType type, std::string_view text) {
  switch (type) {
    case ColumnType::kInt16:
      return parse_integer<std::int16_t>(type, text);
    case ColumnType::kInt32:
      return parse_integer<std::int32_t>(type, text);
    case ColumnType::kInt64:
      return parse_integer<std::int64_t>(type, text);
    case ColumnType::kDouble:
      return parse_double(text);
    case ColumnType::kBool:
      return parse_bool(text);
    case ColumnType::kText:
      return Value(text);
    case ColumnType::kBytes:
      return parse_bytes(text);
    case ColumnType::kDate:
      return parse_date(text);
    case ColumnType::kTimestamp:
      return parse_timestamp(text);
  }
  return Error(ErrorCode::kInvalidArgument, "a column of unknown type");
}

void append_value_text(const Value& value, std::string& out) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return;
    case Value::Kind::kBool:
      out.append(value.boolean() ? "true" : "false");
      return;
    case Value::Kind::kInteger:
      return append_number(value.integer(), out);
    case Value::Kind::kDouble:
      return append_number(value.number(), out);
    case Value::Kind::kDate:
      return append_date(value.date().days, out);
    case Value::Kind::kTimestamp:
      return append_timestamp(value.timestamp().micros, out);
    case Value::Kind::kText:
      out.append(value.text());
      return;
    case Value::Kind::kBytes:
      return append_bytes(value.bytes(), out);
  }
}

}  // namespace vaultgres
