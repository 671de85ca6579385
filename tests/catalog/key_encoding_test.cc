#include "catalog/key_encoding.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "btree/node.h"
#include "catalog/random_values_support.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

KeyCodec codec_of(std::vector<Column> columns, std::vector<bool> descending = {}) {
  std::vector<IndexColumn> places;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    columns[i].name = "c" + std::to_string(i);
    places.push_back({static_cast<std::uint16_t>(i), i < descending.size() && descending[i]});
  }
  return *KeyCodec::create(*Schema::create(std::move(columns)), places);
}

std::string encode(const KeyCodec& codec, const Row& values, bool unique = true, Tid tid = {}) {
  std::string key;
  const Status encoded = codec.encode(values, unique, tid, key);
  EXPECT_TRUE(encoded.has_value()) << (encoded ? "" : encoded.error().message());
  return key;
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += {kDigits[static_cast<unsigned char>(c) >> 4], kDigits[static_cast<unsigned char>(c) & 15]};
  }
  return out;
}

/// An index over random columns, and random rows for it.
struct RandomIndex {
  explicit RandomIndex(TestRandom& random)
      : schema(random_schema(random, 1 + random.uniform(4))), codec(make(random)) {}
  KeyCodec make(TestRandom& random) {
    std::vector<std::uint16_t> order(schema.size());
    std::iota(order.begin(), order.end(), std::uint16_t{0});
    random.shuffle(order);
    order.resize(1 + random.uniform(order.size()));
    for (const std::uint16_t column : order) columns.push_back({column, random.one_in(2)});
    return *KeyCodec::create(schema, columns);
  }
  Row values_of(const Row& row) const {
    Row values;
    for (const IndexColumn& column : columns) values.push_back(row[column.column]);
    return values;
  }
  const Column& column(std::size_t i) const { return schema[columns[i].column]; }
  std::strong_ordering compare_first(const Row& a, const Row& b, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      const auto order = columns[i].descending ? b[i] <=> a[i] : a[i] <=> b[i];
      if (order < 0) return std::strong_ordering::less;
      if (order > 0) return std::strong_ordering::greater;
    }
    return std::strong_ordering::equal;
  }
  Schema schema;
  std::vector<IndexColumn> columns;
  KeyCodec codec;
};

// Goal: the bytes of each type are those of the format, so that a change of them is noticed.
TEST(KeyEncodingTest, BytesAreThoseOfTheFormat) {
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kInt16}}), {-2})), "7ffe");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kInt32}}), {1})), "80000001");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kInt64}}), {256})), "8000000000000100");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kDate}}), {Date{-1}})), "7fffffff");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kTimestamp}}), {Timestamp{0}})), "8000000000000000");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kDouble}}), {1.0})), "bff0000000000000");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kDouble}}), {-1.0})), "400fffffffffffff");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kDouble}}), {-0.0})), "8000000000000000");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kDouble}}), {-std::numeric_limits<double>::quiet_NaN()})),
            "fff8000000000000");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kBool}}), {true})), "01");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kText}}), {std::string_view("a\0b", 3)})), "6100ff620000");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kBytes}}, {true}), {Value::bytes("a")})), "9effff");
  const Tid tid{PageId{0x01020304}, 0x0506};
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kInt16, true}}), {Value()}, true, tid)), "000000010203040506");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kInt16, true}}), {0}, true, tid)), "018000");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kInt16, true}}, {true}), {0}, false, tid)), "fe7fff010203040506");
  EXPECT_EQ(hex(encode(codec_of({{"", ColumnType::kText, true}}), {Value()}, false, tid)), "00010203040506");
}

// Goal: for one column of every type, nullable or not, in both directions: byte order is value order over all pairs of
// edge values and random ones, and equal values have equal bytes.
TEST(KeyEncodingTest, OrderOfOneColumn) {
  TestRandom random(1);
  for (const ColumnType type : kAllTypes) {
    for (const bool nullable : {false, true}) {
      for (const bool descending : {false, true}) {
        const Column column{"", type, nullable};
        const KeyCodec codec = codec_of({column}, {descending});
        std::vector<std::pair<Value, std::string>> all;
        for (std::uint64_t i = 0; i < scaled(120); ++i) {
          Value value = random_value(random, column);
          std::string key;
          ASSERT_TRUE(codec.encode({&value, 1}, true, Tid{PageId{1}, 1}, key).has_value());
          all.emplace_back(std::move(value), std::move(key));
        }
        for (const auto& [a, a_key] : all) {
          for (const auto& [b, b_key] : all) {
            const auto expected = descending ? b <=> a : a <=> b;
            ASSERT_TRUE((a_key <=> b_key) == expected)
                << column_type_name(type) << (descending ? " descending " : " ") << hex(a_key) << ' ' << hex(b_key);
          }
        }
      }
    }
  }
}

// Goal: composite keys in mixed directions order like their values column by column, then by TID; no key is a proper
// prefix of another of its index; decoding gives the values and the TID back; encode_row() agrees with encode().
TEST(KeyEncodingTest, CompositeKeysOrderAndDecode) {
  TestRandom random(2);
  for (std::uint64_t round = 0; round < scaled(300); ++round) {
    const RandomIndex index(random);
    const bool unique = random.one_in(2);
    struct Item {
      Row values;
      Tid tid;
      std::string key;
    };
    std::vector<Item> items;
    for (int i = 0; i < 24; ++i) {
      const Row row = random_row(random, index.schema);
      Item item{index.values_of(row), Tid{PageId{static_cast<std::uint32_t>(random.uniform(3) * 255)}, 7}, {}};
      item.key = encode(index.codec, item.values, unique, item.tid);
      std::string of_row;
      ASSERT_TRUE(index.codec.encode_row(row, unique, item.tid, of_row).has_value());
      ASSERT_EQ(of_row, item.key);
      const auto decoded = index.codec.decode(as_bytes(item.key), unique);
      ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
      ASSERT_EQ(decoded->values, item.values);
      const bool has_null = std::any_of(item.values.begin(), item.values.end(), [](auto& v) { return v.is_null(); });
      ASSERT_EQ(decoded->tid, !unique || has_null ? std::optional(item.tid) : std::nullopt);
      items.push_back(std::move(item));
    }
    for (const Item& a : items) {
      for (const Item& b : items) {
        const auto by_value = index.compare_first(a.values, b.values, index.columns.size());
        if (by_value != 0) {
          ASSERT_TRUE((a.key <=> b.key) == by_value) << hex(a.key) << ' ' << hex(b.key);
        } else if (a.key != b.key) {
          ASSERT_TRUE((a.key <=> b.key) == (a.tid <=> b.tid));
        }
        ASSERT_TRUE(a.key == b.key || !b.key.starts_with(a.key)) << hex(a.key) << ' ' << hex(b.key);
      }
    }
  }
}

// Goal: equal(), range() and starting_with() hold exactly the entries that a comparison of the values picks.
TEST(KeyEncodingTest, BoundsHoldWhatTheComparisonPicks) {
  TestRandom random(3);
  for (std::uint64_t round = 0; round < scaled(600); ++round) {
    const RandomIndex index(random);
    std::vector<std::pair<Row, std::string>> entries;
    for (int i = 0; i < 30; ++i) {
      const Row values = index.values_of(random_row(random, index.schema));
      entries.emplace_back(values, encode(index.codec, values, false, Tid{PageId{0xFFFFFFFF}, 0xFFFF}));
    }
    const std::size_t equal_count = random.uniform(index.columns.size());
    Row like = entries[random.uniform(entries.size())].first;
    const Row first(like.begin(), like.begin() + static_cast<std::ptrdiff_t>(equal_count));
    const Column& next = index.column(equal_count);
    std::optional<ValueBound> from;
    std::optional<ValueBound> to;
    if (random.one_in(2)) from = ValueBound{random_value(random, next), random.one_in(2)};
    if (random.one_in(2)) to = ValueBound{random_value(random, next), random.one_in(2)};
    const std::string prefix = random_text(random).substr(0, 2);

    const auto equal = index.codec.equal(first);
    const auto range = index.codec.range(first, from, to);
    ASSERT_TRUE(equal.has_value() && range.has_value());
    for (const auto& [values, key] : entries) {
      const bool is_equal = index.compare_first(values, first, equal_count) == 0;
      ASSERT_EQ(equal->contains(key), is_equal) << hex(key);
      const Value& value = values[equal_count];
      bool inside = is_equal;
      if (from) inside &= from->inclusive ? value >= from->value : value > from->value;
      if (to) inside &= to->inclusive ? value <= to->value : value < to->value;
      if (to && !from && !to->value.is_null()) inside &= !value.is_null();
      ASSERT_EQ(range->contains(key), inside) << hex(key) << ' ' << hex(range->low);
    }
    const auto starting = index.codec.starting_with(first, prefix);
    ASSERT_EQ(starting.has_value(), is_text_like(next.type));
    if (!starting) continue;
    for (const auto& [values, key] : entries) {
      const Value& value = values[equal_count];
      const bool inside = index.compare_first(values, first, equal_count) == 0 && !value.is_null() &&
                          (next.type == ColumnType::kText ? value.text() : value.bytes()).starts_with(prefix);
      ASSERT_EQ(starting->contains(key), inside) << hex(key) << ' ' << hex(starting->low);
    }
  }
}

// Goal: a range whose ends are the wrong way round is empty, whole-index bounds hold everything.
TEST(KeyEncodingTest, EmptyAndWholeRanges) {
  const KeyCodec codec = codec_of({{"", ColumnType::kInt32}}, {true});
  const KeyBounds empty{"", ""};
  EXPECT_EQ(*codec.range({}, ValueBound{5, true}, ValueBound{4, true}), empty);
  EXPECT_EQ(*codec.range({}, ValueBound{5, false}, ValueBound{5, true}), empty);
  EXPECT_EQ(*codec.range({}, std::nullopt, std::nullopt), (KeyBounds{"", std::nullopt}));
  // Behind the least value of a descending column there is nothing but FF bytes.
  const auto above = codec.range({}, std::nullopt, ValueBound{std::numeric_limits<std::int32_t>::min(), true});
  EXPECT_EQ(above->high, std::nullopt);
  EXPECT_EQ(*codec.range({}, std::nullopt, ValueBound{std::numeric_limits<std::int32_t>::min(), false}), empty);
}

// Goal: prefix_successor() is the least string above all with the prefix.
TEST(KeyEncodingTest, PrefixSuccessor) {
  EXPECT_EQ(prefix_successor("ab"), "ac");
  EXPECT_EQ(prefix_successor("a\xFF\xFF"), "b");
  EXPECT_EQ(prefix_successor("\x7F"), "\x80");
  EXPECT_EQ(prefix_successor(""), std::nullopt);
  EXPECT_EQ(prefix_successor("\xFF\xFF"), std::nullopt);
}

// Goal: the longest key is accepted and one byte more is kTooLarge, escapes and TID counted; bounds of longer values
// still separate keys as the values do.
TEST(KeyEncodingTest, LimitCountsWhatIsStored) {
  const KeyCodec codec = codec_of({{"", ColumnType::kText}});
  std::string key;
  const auto code_of = [&](const std::string& text, bool unique) -> std::optional<ErrorCode> {
    const Value value = text;
    const Status status = codec.encode({&value, 1}, unique, {}, key);
    return status ? std::nullopt : std::optional(status.error().code());
  };
  EXPECT_EQ(code_of(std::string(kKeyBytesMax - 2, 'x'), true), std::nullopt);
  EXPECT_EQ(key.size(), kKeyBytesMax);
  EXPECT_EQ(code_of(std::string(kKeyBytesMax - 1, 'x'), true), ErrorCode::kTooLarge);
  EXPECT_EQ(code_of(std::string(kKeyBytesMax - 8, 'x'), false), std::nullopt);
  EXPECT_EQ(code_of(std::string(kKeyBytesMax - 7, 'x'), false), ErrorCode::kTooLarge);
  EXPECT_EQ(code_of(std::string(kKeyBytesMax / 2, '\0'), true), ErrorCode::kTooLarge);
  EXPECT_EQ(code_of(std::string(10 * kKeyBytesMax, '\xFF'), true), ErrorCode::kTooLarge);

  for (const bool descending : {false, true}) {
    for (const char filler : {'\0', 'x', '\xFF'}) {
      const KeyCodec one = codec_of({{"", ColumnType::kText}}, {descending});
      const Value bound = std::string(3 * kKeyBytesMax, filler);
      const auto above = one.range({}, ValueBound{bound, true}, std::nullopt);
      const auto below = one.range({}, std::nullopt, ValueBound{bound, true});
      const auto equal = one.equal({&bound, 1});
      const auto starting = one.starting_with({}, bound.text());
      ASSERT_TRUE(above.has_value() && below.has_value() && equal.has_value() && starting.has_value());
      EXPECT_LE(above->low.size(), kKeyBytesMax);
      EXPECT_LE(below->low.size(), kKeyBytesMax);
      for (const std::string& text : {std::string(), std::string("a"), std::string("y"), std::string("\xFF"),
                                      std::string(kKeyBytesMax / 2 - 2, filler), std::string("x"),
                                      std::string(kKeyBytesMax / 2 - 3, filler) + "z"}) {
        const std::string stored = encode(one, {text});
        EXPECT_EQ(above->contains(stored), Value(text) >= bound);
        EXPECT_EQ(below->contains(stored), Value(text) <= bound);
        EXPECT_FALSE(equal->contains(stored));
        EXPECT_FALSE(starting->contains(stored));
      }
    }
  }
}

// Goal: any bytes either decode to values that encode to the same bytes, or are refused as damage; nothing is read
// outside (AddressSanitizer looks: the bytes are an allocation of their own size).
TEST(KeyEncodingTest, DecoderTakesAnyBytes) {
  TestRandom random(4);
  std::uint64_t accepted = 0;
  for (std::uint64_t round = 0; round < scaled(20000); ++round) {
    const RandomIndex index(random);
    const bool unique = random.one_in(2);
    const Row values = index.values_of(random_row(random, index.schema));
    const std::string good = encode(index.codec, values, unique, Tid{PageId{9}, 9});
    const std::string bytes = damaged(random, good);
    const std::vector<std::byte> exact(as_bytes(bytes).begin(), as_bytes(bytes).end());
    const auto decoded = index.codec.decode(exact, unique);
    if (!decoded) {
      ASSERT_EQ(decoded.error().code(), ErrorCode::kCorruption);
      continue;
    }
    ++accepted;
    ASSERT_EQ(hex(encode(index.codec, decoded->values, unique, decoded->tid.value_or(Tid{}))), hex(bytes));
  }
  EXPECT_GT(accepted, 0u);
}

// Goal: definitions and calls that cannot be are refused.
TEST(KeyEncodingTest, RefusesImpossibleDefinitionsAndCalls) {
  const Schema schema = *Schema::create({{"a"}, {"b", ColumnType::kText}});
  const auto created = [&](std::vector<IndexColumn> columns) { return KeyCodec::create(schema, columns).has_value(); };
  EXPECT_TRUE(created({{1, false}, {0, true}}));
  EXPECT_FALSE(created({}));
  EXPECT_FALSE(created({{2, false}}));
  EXPECT_FALSE(created({{0, false}, {0, true}}));
  EXPECT_FALSE(created(std::vector<IndexColumn>(33)));

  const std::vector<IndexColumn> both = {{0, false}, {1, false}};
  const KeyCodec codec = *KeyCodec::create(schema, both);
  std::string key;
  EXPECT_FALSE(codec.encode(Row{1}, true, {}, key).has_value());
  EXPECT_FALSE(codec.encode(Row{1, 2}, true, {}, key).has_value());
  EXPECT_FALSE(codec.encode(Row{Value(), "x"}, true, {}, key).has_value());
  EXPECT_FALSE(codec.encode_row(Row{1}, true, {}, key).has_value());
  EXPECT_FALSE(codec.equal(Row{1, "x", 2}).has_value());
  EXPECT_FALSE(codec.range(Row{1, "x"}, ValueBound{1, true}, std::nullopt).has_value());
  EXPECT_FALSE(codec.starting_with({}, "x").has_value());
  EXPECT_TRUE(codec.starting_with(Row{1}, "x").has_value());
}

}  // namespace
}  // namespace vaultgres
