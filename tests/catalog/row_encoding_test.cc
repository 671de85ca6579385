#include "catalog/row_encoding.h"

#include <gtest/gtest.h>

#include <bit>

#include "catalog/literal_support.h"
#include "catalog/random_values_support.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

std::string encode(const RowCodec& codec, const Row& row) {
  std::string bytes;
  const Status encoded = codec.encode(row, bytes);
  EXPECT_TRUE(encoded.has_value()) << (encoded ? "" : encoded.error().message());
  return bytes;
}

// Goal: the bytes are those of the format: no bitmap without NULLs, fixed columns in place, one end less than texts.
TEST(RowEncodingTest, BytesAreThoseOfTheFormat) {
  const RowCodec codec(*Schema::create({{"id", ColumnType::kInt32},
                                        {"name", ColumnType::kText},
                                        {"born", ColumnType::kInt16, true},
                                        {"note", ColumnType::kText, true}}));
  EXPECT_EQ(encode(codec, {258, "Ann", 1999, "hi"}), view("\x01\x02\x01\0\0\xCF\x07\x03\0Annhi", 14));
  EXPECT_EQ(encode(codec, {258, "Ann", Value(), Value()}), view("\x11\x03\x02\x01\0\0\0\0\x03\0Ann", 13));
  const RowCodec numbers(*Schema::create({{"a", ColumnType::kInt64}, {"b", ColumnType::kInt16}}));
  EXPECT_EQ(encode(numbers, {1, 2}).size(), 11u);
}

// Goal: rows of random schemas come back, as a whole and column by column; doubles bit by bit; texts as views.
TEST(RowEncodingTest, RowsComeBack) {
  TestRandom random(1);
  for (std::uint64_t round = 0; round < scaled(1500); ++round) {
    const RowCodec codec(random_schema(random, 1 + random.uniform(random.one_in(10) ? 100 : 12)));
    const Row row = random_row(random, codec.schema());
    const std::string bytes = encode(codec, row);
    Row decoded;
    const Status status = codec.decode(as_bytes(bytes), decoded);
    ASSERT_TRUE(status.has_value()) << status.error().message();
    ASSERT_EQ(decoded, row);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto column = codec.decode_column(as_bytes(bytes), i);
      ASSERT_TRUE(column.has_value());
      ASSERT_EQ(*column, row[i]);
      if (row[i].kind() == Value::Kind::kDouble) {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(column->number()), std::bit_cast<std::uint64_t>(row[i].number()));
      }
      ASSERT_EQ(column->is_view(), is_text_like(codec.schema()[i].type) && !row[i].is_null());
    }
  }
}

// Goal: ends are as wide as they need to be, on both sides of the edge; the last text has none.
TEST(RowEncodingTest, EndsAreWideWhenTheyMust) {
  const RowCodec two(*Schema::create({{"a", ColumnType::kText}, {"b", ColumnType::kBytes}}));
  for (const std::size_t size : {std::size_t{65535}, std::size_t{65536}}) {
    const Row row = {std::string(size, 'a'), Value::bytes(std::string(70000, 'b'))};
    const std::string bytes = encode(two, row);
    EXPECT_EQ(bytes.size(), 1 + (size > 65535 ? 4 : 2) + size + 70000);
    Row decoded;
    ASSERT_TRUE(two.decode(as_bytes(bytes), decoded).has_value());
    EXPECT_EQ(decoded, row);
  }
}

// Goal: rows that are none of the table are refused before anything is written.
TEST(RowEncodingTest, RefusesOtherRows) {
  const RowCodec codec(*Schema::create({{"a", ColumnType::kInt16}}));
  std::string out;
  EXPECT_FALSE(codec.encode(Row{}, out).has_value());
  EXPECT_FALSE(codec.encode(Row{Value()}, out).has_value());
  EXPECT_FALSE(codec.encode(Row{40000}, out).has_value());
  EXPECT_FALSE(codec.encode(Row{"x"}, out).has_value());
  EXPECT_FALSE(codec.encode(Row{1, 2}, out).has_value());
}

// Goal: any bytes either decode to a row that encodes to the same bytes, or are refused as damage; single columns
// never read outside whatever stands there.
TEST(RowEncodingTest, DecoderTakesAnyBytes) {
  TestRandom random(2);
  std::uint64_t accepted = 0;
  for (std::uint64_t round = 0; round < scaled(20000); ++round) {
    const RowCodec codec(random_schema(random, 1 + random.uniform(10)));
    const std::string bytes = damaged(random, encode(codec, random_row(random, codec.schema())));
    const std::vector<std::byte> exact(as_bytes(bytes).begin(), as_bytes(bytes).end());
    Row decoded;
    const Status status = codec.decode(exact, decoded);
    for (std::size_t i = 0; i < codec.schema().size(); ++i) {
      const auto column = codec.decode_column(exact, i);
      if (status) {
        ASSERT_EQ(*column, decoded[i]);
      } else if (column && column->kind() == Value::Kind::kText) {
        ASSERT_LE(column->text().size(), exact.size());
      }
    }
    if (!status) {
      ASSERT_EQ(status.error().code(), ErrorCode::kCorruption);
      continue;
    }
    ++accepted;
    ASSERT_EQ(encode(codec, decoded), bytes);
  }
  EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace vaultgres
