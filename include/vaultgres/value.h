// Values, columns, schemas and rows of tables.
//
// A Value is NULL or one scalar. Text and bytes are owned, or, in what the library hands out while reading, views
// of memory that lives as long as the call says. Moving a view keeps it a view; copying one makes an owner: a copy
// may be kept. Integers of every width are one kind; whether a value fits its column is checked when a row or
// key is made of it.
//
// Thread safety: plain values.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vaultgres/result.h"

namespace vaultgres {

/// The numbers are stored on disk.
enum class ColumnType : std::uint8_t {
  kInt16 = 1,
  kInt32 = 2,
  kInt64 = 3,
  kDouble = 4,  ///< IEEE 754; compares with -0 = 0, NaN = NaN, NaN after all others
  kBool = 5,
  kText = 6,       ///< any bytes, meant as UTF-8; compares as bytes
  kBytes = 7,      ///< any bytes
  kDate = 8,       ///< days since 1970-01-01, 32 bits
  kTimestamp = 9,  ///< microseconds since 1970-01-01T00:00:00 UTC, 64 bits
};

/// "int16", "double", …; "?" for a number that is no type.
std::string_view column_type_name(ColumnType type) noexcept;
std::optional<ColumnType> parse_column_type(std::string_view name) noexcept;

struct Date {
  std::int32_t days = 0;
  friend auto operator<=>(const Date&, const Date&) = default;
};
struct Timestamp {
  std::int64_t micros = 0;
  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

class [[nodiscard]] Value {
 public:
  enum class Kind : std::uint8_t { kNull, kBool, kInteger, kDouble, kDate, kTimestamp, kText, kBytes };

  Value() noexcept = default;  ///< NULL
  template <class T>
  requires(std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> &&
           (std::signed_integral<T> || sizeof(T) < sizeof(std::int64_t))) Value(T integer)
  noexcept : Value(Kind::kInteger, static_cast<std::int64_t>(integer)) {}  // NOLINT
  template <std::same_as<bool> T>
  Value(T boolean) noexcept : Value(Kind::kBool, boolean) {}  // NOLINT
  template <std::floating_point T>
  Value(T number) noexcept : kind_(Kind::kDouble) {  // NOLINT
    payload_.number = static_cast<double>(number);
  }
  Value(Date date) noexcept : Value(Kind::kDate, date.days) {}                        // NOLINT
  Value(Timestamp timestamp) noexcept : Value(Kind::kTimestamp, timestamp.micros) {}  // NOLINT
  Value(std::string_view text) : Value(Kind::kText, text) { own(); }                  // NOLINT
  Value(const std::string& text) : Value(std::string_view(text)) {}                   // NOLINT
  Value(const char* text) : Value(std::string_view(text)) {}                          // NOLINT
  Value(std::nullptr_t) = delete;
  static Value bytes(std::string_view bytes) { return bytes_view(bytes).to_owned(); }

  /// Views: the memory must outlive the value and what it is moved to.
  static Value text_view(std::string_view text) noexcept { return Value(Kind::kText, text); }
  static Value bytes_view(std::string_view bytes) noexcept { return Value(Kind::kBytes, bytes); }

  Value(const Value& other);
  Value(Value&& other) noexcept { swap(other); }
  Value& operator=(Value other) noexcept { return swap(other), *this; }
  ~Value() {
    if (owned_) delete[] payload_.data;
  }
  /// The value itself if it is no view, else an owner of a copy.
  Value to_owned() && {
    own();
    return std::move(*this);
  }

  Kind kind() const noexcept { return kind_; }
  bool is_null() const noexcept { return kind_ == Kind::kNull; }
  bool is_view() const noexcept { return has_bytes() && !owned_; }

  // Each stops the program with a message when the value is of another kind.
  bool boolean() const noexcept { return expect(Kind::kBool), payload_.integer != 0; }
  std::int64_t integer() const noexcept { return expect(Kind::kInteger), payload_.integer; }
  double number() const noexcept { return expect(Kind::kDouble), payload_.number; }
  Date date() const noexcept { return expect(Kind::kDate), Date{static_cast<std::int32_t>(payload_.integer)}; }
  Timestamp timestamp() const noexcept { return expect(Kind::kTimestamp), Timestamp{payload_.integer}; }
  std::string_view text() const noexcept { return expect(Kind::kText), view(); }
  std::string_view bytes() const noexcept { return expect(Kind::kBytes), view(); }

  /// The order of keys: NULL first; doubles with -0 = 0 and NaN last; text and bytes as bytes. Values of
  /// different kinds are ordered by kind.
  friend std::weak_ordering operator<=>(const Value& a, const Value& b) noexcept;
  friend bool operator==(const Value& a, const Value& b) noexcept { return (a <=> b) == 0; }

 private:
  Value(Kind kind, std::int64_t integer) noexcept : kind_(kind) { payload_.integer = integer; }
  Value(Kind kind, std::string_view text) noexcept : size_(text.size()), kind_(kind) { payload_.data = text.data(); }

  bool has_bytes() const noexcept { return kind_ == Kind::kText || kind_ == Kind::kBytes; }
  std::string_view view() const noexcept { return {payload_.data, size_}; }
  void own();
  void swap(Value& other) noexcept {
    std::swap(payload_, other.payload_);
    std::swap(size_, other.size_);
    std::swap(kind_, other.kind_);
    std::swap(owned_, other.owned_);
  }
  void expect(Kind kind) const noexcept {
    if (kind_ != kind) die_of_wrong_kind(kind);
  }
  [[noreturn]] void die_of_wrong_kind(Kind expected) const noexcept;

  union Payload {
    std::int64_t integer;
    double number;
    const char* data;
  };
  Payload payload_{0};
  std::size_t size_ = 0;
  Kind kind_ = Kind::kNull;
  bool owned_ = false;
};

/// One value per column, in the schema's order.
using Row = std::vector<Value>;

/// An end of a range of values.
struct ValueBound {
  Value value;
  bool inclusive = true;
};

struct Column {
  std::string name;
  ColumnType type = ColumnType::kInt64;
  bool nullable = false;
  friend bool operator==(const Column&, const Column&) = default;
};

inline constexpr std::size_t kMaxColumns = 1000;
inline constexpr std::size_t kMaxColumnNameBytes = 255;

/// The columns of a table, in order.
class Schema {
 public:
  /// 1 to kMaxColumns columns of known types; names are different, 1 to kMaxColumnNameBytes bytes of UTF-8
  /// without control characters.
  static Result<Schema> create(std::vector<Column> columns);

  const std::vector<Column>& columns() const noexcept { return columns_; }
  std::size_t size() const noexcept { return columns_.size(); }
  /// Precondition: index < size().
  const Column& operator[](std::size_t index) const noexcept { return columns_[index]; }
  /// Where the column of this name stands.
  std::optional<std::size_t> find(std::string_view name) const noexcept;
  /// Whether `row` is one of this table: number of values, kinds, integer ranges, NULLs.
  Status check_row(const Row& row) const;

  friend bool operator==(const Schema&, const Schema&) = default;

 private:
  explicit Schema(std::vector<Column> columns) noexcept : columns_(std::move(columns)) {}
  std::vector<Column> columns_;
};

/// Whether the value may stand in the column.
Status check_value(const Column& column, const Value& value);

}  // namespace vaultgres
