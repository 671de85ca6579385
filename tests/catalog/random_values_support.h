// Schemas and values for tests of encodings: edges often, else random.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/random.h"
#include "vaultgres/value.h"

namespace vaultgres {

inline constexpr std::array<ColumnType, 9> kAllTypes = {
    ColumnType::kInt16, ColumnType::kInt32, ColumnType::kInt64, ColumnType::kDouble,   ColumnType::kBool,
    ColumnType::kText,  ColumnType::kBytes, ColumnType::kDate,  ColumnType::kTimestamp};

inline bool is_text_like(ColumnType type) {
  return type == ColumnType::kText || type == ColumnType::kBytes;
}

template <class T>
std::int64_t random_integer(TestRandom& random) {
  constexpr T kMin = std::numeric_limits<T>::min();
  constexpr T kMax = std::numeric_limits<T>::max();
  const std::array<T, 12> edges = {kMin, kMin + 1, -257, -256, -255, -1, 0, 1, 255, 256, kMax - 1, kMax};
  if (random.one_in(2)) return edges[random.uniform(edges.size())];
  return static_cast<T>(random.next() >> random.uniform(64));
}

inline double random_double(TestRandom& random) {
  using Limits = std::numeric_limits<double>;
  const std::array<double, 15> edges = {0.0,
                                        -0.0,
                                        1.0,
                                        -1.0,
                                        0.1,
                                        Limits::infinity(),
                                        -Limits::infinity(),
                                        Limits::quiet_NaN(),
                                        -Limits::quiet_NaN(),
                                        Limits::denorm_min(),
                                        -Limits::denorm_min(),
                                        Limits::min(),
                                        Limits::max(),
                                        Limits::lowest(),
                                        std::bit_cast<double>(0x7FF8000000001234)};
  if (random.one_in(2)) return edges[random.uniform(edges.size())];
  return std::bit_cast<double>(random.next());
}

/// Short strings over few bytes: equal ones and prefixes of each other are common.
inline std::string random_text(TestRandom& random) {
  constexpr std::array<char, 6> kBytes = {'\0', '\x01', 'a', 'b', '\xFE', '\xFF'};
  if (random.one_in(20)) return random.bytes(random.uniform(40));
  std::string text(random.uniform(5), '\0');
  for (char& c : text) c = kBytes[random.uniform(kBytes.size())];
  return text;
}

inline Value random_value(TestRandom& random, ColumnType type) {
  switch (type) {
    case ColumnType::kInt16:
      return random_integer<std::int16_t>(random);
    case ColumnType::kInt32:
      return random_integer<std::int32_t>(random);
    case ColumnType::kInt64:
      return random_integer<std::int64_t>(random);
    case ColumnType::kDouble:
      return random_double(random);
    case ColumnType::kBool:
      return random.one_in(2);
    case ColumnType::kText:
      return random_text(random);
    case ColumnType::kBytes:
      return Value::bytes(random_text(random));
    case ColumnType::kDate:
      return Date{static_cast<std::int32_t>(random_integer<std::int32_t>(random))};
    case ColumnType::kTimestamp:
      return Timestamp{random_integer<std::int64_t>(random)};
  }
  return {};
}

inline Value random_value(TestRandom& random, const Column& column) {
  if (column.nullable && random.one_in(4)) return {};
  return random_value(random, column.type);
}

inline Row random_row(TestRandom& random, const Schema& schema) {
  Row row;
  for (const Column& column : schema.columns()) row.push_back(random_value(random, column));
  return row;
}

inline Schema random_schema(TestRandom& random, std::size_t columns) {
  std::vector<Column> list;
  for (std::size_t i = 0; i < columns; ++i) {
    list.push_back({"c" + std::to_string(i), kAllTypes[random.uniform(kAllTypes.size())], random.one_in(2)});
  }
  return *Schema::create(std::move(list));
}

/// One to three changes of the kind that damage makes.
inline std::string damaged(TestRandom& random, std::string bytes) {
  for (std::uint64_t i = 0; i <= random.uniform(3); ++i) {
    const std::uint64_t where = bytes.empty() ? 0 : random.uniform(bytes.size());
    switch (random.uniform(4)) {
      case 0:
        bytes.resize(where);
        break;
      case 1:
        bytes.insert(where, random.bytes(1 + random.uniform(3)));
        break;
      case 2:
        if (!bytes.empty()) bytes[where] = static_cast<char>(bytes[where] ^ 1 << random.uniform(8));
        break;
      default:
        if (!bytes.empty()) bytes[where] = static_cast<char>(random.one_in(2) ? 0xFF : 0);
    }
  }
  return bytes;
}

}  // namespace vaultgres
