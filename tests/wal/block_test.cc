// Goal: position arithmetic equals walking byte by byte; a block is valid at its own position, in its own epoch and
// database only, and not with any bit changed.
#include "wal/block.h"

#include <gtest/gtest.h>

#include "support/random.h"
#include "wal/wal_support.h"

namespace vaultgres {
namespace {

TEST(Block, LsnEqualsWalkingByteByByte) {
  TestRandom random(1);
  for (int round = 0; round < 2000; ++round) {
    const std::uint64_t address = 7 * kLogBlockBytes + random.between(sizeof(LogBlockHeader), kLogBlockBytes - 1);
    const std::uint64_t bytes = random.one_in(4) ? random.between(1, 3) * kLogBlockPayload : random.between(1, 20000);
    std::uint64_t at = address;
    for (std::uint64_t i = 0; i < bytes; ++i) {
      if (at % kLogBlockBytes == 0) at += sizeof(LogBlockHeader);
      ++at;
    }
    ASSERT_EQ(record_lsn(address, bytes), at) << address << " + " << bytes;
  }
  EXPECT_EQ(record_address(8192), 8192 + sizeof(LogBlockHeader));
  EXPECT_EQ(record_address(8192 + 100), 8192u + 100);
}

TEST(Block, ValidOnlyWhereAndAsItWasSealed) {
  TestRandom random(2);
  const BlockSeal seal(test_database(), 3, 33);
  std::vector<std::byte> block(kLogBlockBytes);
  for (std::byte& b : block) b = std::byte(random.next());
  reinterpret_cast<LogBlockHeader*>(block.data())->first_record.set(1);
  seal.seal(block, 65536, 1000, 4096);
  EXPECT_EQ(seal.fault(block, 65536), nullptr);
  EXPECT_NE(seal.fault(block, 65536 + 4096), nullptr);
  EXPECT_NE(BlockSeal(test_database(), 3, 34).fault(block, 65536), nullptr);
  EXPECT_NE(BlockSeal(test_database(), 4, 33).fault(block, 65536), nullptr);
  EXPECT_NE(BlockSeal(DatabaseId{}, 3, 33).fault(block, 65536), nullptr);
  EXPECT_NE(seal.fault(Bytes(block).first(4000), 65536), nullptr);
  for (int round = 0; round < 500; ++round) {
    const std::size_t bit = random.uniform(kLogBlockBytes * 8);
    block[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_NE(seal.fault(block, 65536), nullptr) << bit;
    block[bit / 8] ^= std::byte(1 << bit % 8);
  }
}

TEST(Block, SegmentNames) {
  std::uint64_t number = 0;
  for (const std::uint64_t n : {std::uint64_t{0}, std::uint64_t{0xabc}, UINT64_MAX}) {
    EXPECT_TRUE(parse_segment_name(segment_name(n), &number));
    EXPECT_EQ(number, n);
  }
  EXPECT_EQ(segment_name(0x1f), "000000000000001f.log");
  for (const char* bad :
       {"", ".log", "1f.log", "000000000000001f.tmp", "00000000000000-f.log", "0000000000000g1f.log"}) {
    EXPECT_FALSE(parse_segment_name(bad, &number)) << bad;
  }
}

}  // namespace
}  // namespace vaultgres
