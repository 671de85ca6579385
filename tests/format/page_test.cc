#include "format/page.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/random.h"

namespace vaultgres {
namespace {

struct RandomPage {
  std::vector<std::byte> bytes = std::vector<std::byte>(kPageBytes);
  DatabaseId database;
  PageId id{};

  explicit RandomPage(TestRandom& random) {
    for (std::byte& b : bytes) b = static_cast<std::byte>(random.next());
    for (std::byte& b : database.bytes) b = static_cast<std::byte>(random.next());
    id = static_cast<PageId>(random.next());
  }
  std::uint64_t checksum() const { return page_checksum(database, id, bytes); }
};

// Goal: any single flipped bit outside the checksum field changes the checksum.
TEST(PageChecksum, DetectsEveryFlippedBit) {
  TestRandom random;
  RandomPage page(random);
  const std::uint64_t checksum = page.checksum();
  for (std::size_t bit = 0; bit < kPageBytes * 8; ++bit) {
    const std::size_t at = bit / 8;
    if (at >= offsetof(PageHeader, checksum) && at < offsetof(PageHeader, object)) continue;
    page.bytes[at] ^= static_cast<std::byte>(1u << bit % 8);
    ASSERT_NE(page.checksum(), checksum) << "bit " << bit;
    page.bytes[at] ^= static_cast<std::byte>(1u << bit % 8);
  }
  EXPECT_EQ(page.checksum(), checksum);
}

// Goal: the field that holds the checksum does not enter it, so that it can be written into the page.
TEST(PageChecksum, LeavesItsOwnFieldOut) {
  TestRandom random;
  RandomPage page(random);
  const std::uint64_t checksum = page.checksum();
  page_header(MutableBytes(page.bytes)).checksum.set(checksum);
  EXPECT_EQ(page.checksum(), checksum);
  EXPECT_EQ(page_header(Bytes(page.bytes)).checksum.get(), checksum);
  EXPECT_EQ(checksum >> 32, 0u) << "the upper half on disk is zero";
}

// Goal: a page read from the wrong place fails: each bit of the page number changes the checksum.
TEST(PageChecksum, DependsOnThePageNumber) {
  TestRandom random;
  const RandomPage page(random);
  for (int bit = 0; bit < 32; ++bit) {
    const auto other = static_cast<PageId>(raw(page.id) ^ (1u << bit));
    EXPECT_NE(page_checksum(page.database, other, page.bytes), page.checksum());
  }
}

// Goal: a page of another database fails: each bit of the database id changes the checksum.
TEST(PageChecksum, DependsOnTheDatabase) {
  TestRandom random;
  const RandomPage page(random);
  for (std::size_t bit = 0; bit < 128; ++bit) {
    DatabaseId other = page.database;
    other.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_NE(page_checksum(other, page.id, page.bytes), page.checksum());
  }
}

// Goal: only a page of zeros counts as never written, wherever its one byte is.
TEST(Page, IsZeroOnlyWhenEveryByteIs) {
  std::vector<std::byte> bytes(kPageBytes);
  EXPECT_TRUE(page_is_zero(bytes));
  for (const std::size_t at : {std::size_t{0}, std::size_t{23}, kPageBytes / 2, kPageBytes - 1}) {
    bytes[at] = std::byte{1};
    EXPECT_FALSE(page_is_zero(bytes)) << at;
    bytes[at] = std::byte{0};
  }
}

}  // namespace
}  // namespace vaultgres
