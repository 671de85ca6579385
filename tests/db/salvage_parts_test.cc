// Goal: which leaf counts for a key, and what is lost, is decided as it is meant to be, whatever leaves claim; and the
// checksum's seed is found in pages without the database's id.
//
// Method: random leaves over a small key space, each key worked out on its own; random pages under a random id.
#include <gtest/gtest.h>

#include <algorithm>

#include "db/salvage_seed.h"
#include "db/salvage_tree.h"
#include "format/page.h"
#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_page.h"

namespace vaultgres::internal {
namespace {

constexpr unsigned kKeys = 40;

/// Keys as numbers; 0 is the empty key, kKeys lies behind all.
std::string byte_key(unsigned number) {
  return number == 0 ? std::string() : std::string(1, static_cast<char>(number));
}

FoundLeaf leaf_of(unsigned low, unsigned high, std::uint64_t lsn, std::uint32_t page) {
  FoundLeaf leaf;
  leaf.page = PageId{page};
  leaf.lsn = Lsn{lsn};
  leaf.low = byte_key(low);
  leaf.has_high = high < kKeys;
  if (leaf.has_high) leaf.high = byte_key(high);
  return leaf;
}

/// Which page each key comes from; kNoPage: lost. Fails the test unless the segments cover all keys once, in order.
std::vector<PageId> sweep(std::vector<FoundLeaf> leaves) {
  std::stable_sort(leaves.begin(), leaves.end(), [](const FoundLeaf& a, const FoundLeaf& b) { return a.low < b.low; });
  std::size_t next = 0;
  const auto give = [&](FoundLeaf& leaf) -> Result<bool> {
    if (next == leaves.size()) return false;
    leaf = leaves[next++];
    return true;
  };
  LeafSweep sweep(give);
  std::vector<PageId> pages;
  LeafSegment segment;
  std::string at;
  bool open = true;
  while (*sweep.next(segment)) {
    EXPECT_TRUE(open);
    EXPECT_EQ(segment.from, at);
    EXPECT_TRUE(!segment.has_to || segment.to > segment.from);
    while (pages.size() < kKeys && (!segment.has_to || byte_key(static_cast<unsigned>(pages.size())) < segment.to)) {
      pages.push_back(segment.page);
    }
    at = segment.to;
    open = segment.has_to;
  }
  EXPECT_FALSE(open);
  EXPECT_EQ(pages.size(), kKeys);
  return pages;
}

TEST(LeafSweepTest, OfLeavesThatClaimAKeyTheNewestCounts) {
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(5000); ++round) {
    std::vector<FoundLeaf> leaves;
    std::vector<PageId> expected(kKeys, kNoPage);
    std::vector<std::uint64_t> newest(kKeys, 0);
    for (std::uint64_t i = random.uniform(12); i > 0; --i) {
      const auto low = static_cast<unsigned>(random.uniform(kKeys));
      const auto high = static_cast<unsigned>(random.between(low + 1, kKeys));
      const std::uint64_t lsn = 1 + leaves.size() * 7 % 13;  // all different
      leaves.push_back(leaf_of(low, high, lsn, static_cast<std::uint32_t>(100 + leaves.size())));
      for (unsigned key = low; key < high; ++key) {
        if (lsn > newest[key]) newest[key] = lsn, expected[key] = leaves.back().page;
      }
    }
    random.shuffle(leaves);
    ASSERT_EQ(sweep(leaves), expected) << "round " << round;
  }
}

TEST(LeafSweepTest, WithoutLeavesAllIsLost) {
  EXPECT_EQ(sweep({}), std::vector<PageId>(kKeys, kNoPage));
}

TEST(LeafSweepTest, ThousandsOfClaimsToOneKeyTakeNoMemory) {
  std::vector<FoundLeaf> leaves;
  for (std::uint32_t i = 0; i < 5000; ++i) leaves.push_back(leaf_of(i % 3, kKeys, i + 1, i));
  const std::vector<PageId> pages = sweep(leaves);
  EXPECT_EQ(pages.back(), PageId{4999});
  EXPECT_EQ(pages.front(), PageId{4998});  // the newest of those from the start on
}

TEST(SeedFinderTest, SoundPagesAgreeOnTheSeed) {
  TestRandom random;
  DatabaseId database;
  for (std::byte& byte : database.bytes) byte = static_cast<std::byte>(random.next());
  SeedFinder finder;
  EXPECT_FALSE(finder.found());
  for (std::uint32_t i = 0; i < 200; ++i) {
    TestPage page;
    for (std::byte& byte : page.bytes()) byte = static_cast<std::byte>(random.next());
    PageHeader& header = page_header(page.bytes());
    header.reserved.set(0);
    header.checksum.set(page_checksum(database, PageId{i}, page.bytes()));
    EXPECT_EQ(finder.seed_of(PageId{i}, page.bytes()), page_checksum_seed(database));
    if (i % 3 != 0) page.bytes()[100 + i] ^= std::byte{1};  // two of three are damaged
    finder.add(PageId{i}, page.bytes());
    finder.add(PageId{i + 1000}, TestPage().bytes());  // all zeros: says nothing
  }
  ASSERT_TRUE(finder.found());
  EXPECT_EQ(*finder.found(), page_checksum_seed(database));
  EXPECT_TRUE(finder.sure());
}

TEST(SeedFinderTest, PagesThatDoNotAgreeSayNothing) {
  TestRandom random;
  SeedFinder finder;
  for (std::uint32_t i = 0; i < 50; ++i) {
    TestPage page;
    for (std::byte& byte : page.bytes()) byte = static_cast<std::byte>(random.next());
    page_header(page.bytes()).checksum.set(random.next() >> 32);
    page_header(page.bytes()).reserved.set(0);
    finder.add(PageId{i}, page.bytes());
  }
  EXPECT_FALSE(finder.found());
}

}  // namespace
}  // namespace vaultgres::internal
