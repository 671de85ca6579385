#include "catalog/catalog_entry.h"

#include <gtest/gtest.h>

#include "catalog/literal_support.h"
#include "catalog/random_values_support.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

CatalogEntry random_entry(TestRandom& random) {
  CatalogEntry entry;
  entry.kind = static_cast<ObjectKind>(1 + random.uniform(3));
  entry.object = ObjectId{static_cast<std::uint32_t>(random.next())};
  entry.root = PageId{static_cast<std::uint32_t>(random.next())};
  entry.pinned = random.one_in(2);
  if (entry.kind == ObjectKind::kTable) entry.schema = random_schema(random, 1 + random.uniform(8));
  if (entry.kind == ObjectKind::kIndex) {
    entry.index = IndexDefinition{ObjectId{static_cast<std::uint32_t>(random.next())}, random.one_in(2), {}};
    const std::uint64_t columns = 1 + random.uniform(kIndexColumnsMax);
    for (std::uint64_t i = 0; i < columns; ++i) {
      entry.index->columns.push_back({static_cast<std::uint16_t>(i * 31 + random.uniform(31)), random.one_in(2)});
    }
  }
  return entry;
}

// Goal: the bytes of each kind are those of the format.
TEST(CatalogEntryTest, BytesAreThoseOfTheFormat) {
  CatalogEntry entry;
  entry.object = ObjectId{17};
  entry.root = PageId{0x0102};
  EXPECT_EQ(encode_catalog_entry(entry), view("\x01\x01\0\0\x11\0\0\0\x02\x01\0\0", 12));
  entry.kind = ObjectKind::kTable;
  entry.pinned = true;
  entry.schema = *Schema::create({{"id", ColumnType::kInt64}, {"t", ColumnType::kText, true}});
  EXPECT_EQ(encode_catalog_entry(entry), view("\x01\x02\x01\0\x11\0\0\0\x02\x01\0\0"
                                              "\x02\0\0\0"
                                              "\x03\0\x02\0"
                                              "id"
                                              "\x06\x01\x01\0"
                                              "t",
                                              27));
  entry = {ObjectKind::kIndex, ObjectId{18}, PageId{9}, false, std::nullopt, {}};
  entry.index = IndexDefinition{ObjectId{17}, true, {{1, true}, {0, false}}};
  EXPECT_EQ(encode_catalog_entry(entry), view("\x01\x03\0\0\x12\0\0\0\x09\0\0\0"
                                              "\x11\0\0\0\x01\x02\0\0"
                                              "\x01\0\x01\0"
                                              "\0\0\0\0",
                                              28));
}

// Goal: entries come back, the largest schema included.
TEST(CatalogEntryTest, EntriesComeBack) {
  TestRandom random(1);
  for (std::uint64_t round = 0; round < scaled(2000); ++round) {
    const CatalogEntry entry = random_entry(random);
    const auto decoded = decode_catalog_entry(as_bytes(encode_catalog_entry(entry)));
    ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
    ASSERT_EQ(*decoded, entry);
  }
  std::vector<Column> columns;
  for (std::size_t i = 1000; i < 1000 + kMaxColumns; ++i)
    columns.push_back({std::string(251, 'c') + std::to_string(i)});
  CatalogEntry largest{ObjectKind::kTable, ObjectId{16}, PageId{5}, false, *Schema::create(columns), {}};
  EXPECT_EQ(*decode_catalog_entry(as_bytes(encode_catalog_entry(largest))), largest);
}

// Goal: any bytes either decode to an entry that encodes to the same bytes, or are refused; every byte counts: with
// another version, with set reserved bytes or flags, or cut anywhere, a row is refused.
TEST(CatalogEntryTest, DecoderTakesAnyBytes) {
  TestRandom random(2);
  for (std::uint64_t round = 0; round < scaled(20000); ++round) {
    const std::string good = encode_catalog_entry(random_entry(random));
    const std::string bytes = damaged(random, good);
    const std::vector<std::byte> exact(as_bytes(bytes).begin(), as_bytes(bytes).end());
    const auto decoded = decode_catalog_entry(exact);
    if (decoded) {
      ASSERT_EQ(encode_catalog_entry(*decoded), bytes);
    } else {
      ASSERT_TRUE(decoded.error().code() == ErrorCode::kCorruption ||
                  decoded.error().code() == ErrorCode::kUnsupported);
    }
    for (std::size_t size = 0; round < scaled(200) && size < good.size(); ++size) {
      ASSERT_FALSE(decode_catalog_entry(as_bytes(good).first(size)).has_value());
    }
  }
}

// Goal: each field has its own error.
TEST(CatalogEntryTest, ErrorsNameTheReason) {
  CatalogEntry table{ObjectKind::kTable, ObjectId{16}, PageId{5}, false, {}, {}};
  table.schema = *Schema::create({{"a"}, {"b"}});
  CatalogEntry index{ObjectKind::kIndex, ObjectId{17}, PageId{6}, false, {}, {}};
  index.index = IndexDefinition{ObjectId{16}, false, {{0, false}, {1, false}}};
  const auto error_of = [](const CatalogEntry& entry, std::size_t where, int byte) {
    std::string bytes = encode_catalog_entry(entry);
    bytes[where] = static_cast<char>(byte);
    const auto decoded = decode_catalog_entry(as_bytes(bytes));
    return decoded ? "" : std::string(decoded.error().message());
  };
  EXPECT_EQ(error_of(table, 0, 2), "a catalog row is of version 2; this program knows versions up to 1");
  EXPECT_EQ(error_of(table, 0, 0), "a catalog row is damaged: its version is zero");
  EXPECT_EQ(error_of(table, 1, 4), "a catalog row is damaged: its kind is unknown");
  EXPECT_EQ(error_of(table, 1, 1), "a catalog row is damaged: it has bytes behind its end");
  EXPECT_EQ(error_of(table, 3, 1), "a catalog row is damaged: it has unknown flags");
  EXPECT_EQ(error_of(table, 12, 3), "a catalog row is damaged: it ends early");
  EXPECT_EQ(error_of(table, 14, 1), "a catalog row is damaged: reserved bytes are not zero");
  EXPECT_EQ(error_of(table, 16, 10), "a catalog row is damaged: column \"a\" is of an unknown type");
  EXPECT_EQ(error_of(table, 17, 2), "a catalog row is damaged: a column has unknown flags");
  EXPECT_EQ(error_of(table, 20, 'b'), "a catalog row is damaged: two columns have the name \"b\"");
  EXPECT_EQ(error_of(index, 16, 2), "a catalog row is damaged: an index has unknown flags");
  EXPECT_EQ(error_of(index, 17, 0), "a catalog row is damaged: an index has no or too many columns");
  EXPECT_EQ(error_of(index, 20, 1), "a catalog row is damaged: an index names an impossible column, or one twice");
  EXPECT_EQ(error_of(index, 22, 2), "a catalog row is damaged: an index column has unknown flags");
}

}  // namespace
}  // namespace vaultgres
