// Goal: superblocks whose checksums are good and whose content cannot be are damage that opening reports, by what is
// wrong with them, in either way to open; the data file keeps its bytes. One damaged copy costs nothing.
//
// Method: fields of both copies, or of one where two contradict each other, become nonsense in turn, and the copies are
// sealed again.
#include <gtest/gtest.h>

#include <functional>

#include "db/damage_support.h"
#include "format/superblock.h"
#include "support/database.h"
#include "support/sim_file_system.h"
#include "wal/block.h"

namespace vaultgres {
namespace {

class HostileSuperblockTest : public ::testing::Test {
 protected:
  using Edit = std::function<void(Superblock&)>;

  HostileSuperblockTest() {
    Database db = *open_on(disk_);
    Map map = *db.create_map("m");
    EXPECT_TRUE(map.put("key", "value"));
    EXPECT_TRUE(db.close());
  }

  /// The page of the newer copy: 0 or 1.
  std::size_t newer() {
    const std::vector<std::byte> bytes = file_bytes(disk_, kDataPath);
    const auto sequence = [&](std::size_t page) {
      return reinterpret_cast<const Superblock*>(bytes.data() + page * kPageBytes)->sequence.get();
    };
    return sequence(1) > sequence(0) ? 1 : 0;
  }
  static void change(SimFileSystem& disk, std::size_t page, const Edit& edit) {
    const std::vector<std::byte> all = file_bytes(disk, kDataPath);
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(page * kPageBytes);
    std::vector<std::byte> bytes(at, at + kPageBytes);
    auto& block = *reinterpret_cast<Superblock*>(bytes.data());
    edit(block);
    block.header.checksum.set(page_checksum(block.database, kSuperblockPages[page], bytes));
    overwrite(disk, kDataPath, page * kPageBytes, bytes);
  }
  static void expect_refused(SimFileSystem& damaged, const std::string& why) {
    for (const bool read_only : {false, true}) {
      const auto disk = damaged.killed();
      const std::vector<std::byte> before = file_bytes(*disk, kDataPath);
      Options options = small_options();
      options.read_only = read_only;
      const Result<Database> db = open_on(*disk, options);
      ASSERT_FALSE(db) << "believed although " << why;
      EXPECT_EQ(db.error().code(), ErrorCode::kCorruption) << db.error().message();
      EXPECT_NE(db.error().message().find(why), std::string::npos) << db.error().message();
      EXPECT_EQ(file_bytes(*disk, kDataPath), before) << why;
    }
  }
  /// With the same nonsense in both copies.
  void expect_refused(const Edit& edit, const std::string& why) {
    const auto disk = disk_.killed();
    for (const std::size_t page : {0u, 1u}) change(*disk, page, edit);
    expect_refused(*disk, why);
  }

  SimFileSystem disk_;
};

TEST_F(HostileSuperblockTest, WithAnImpossibleNumberOfEpochs) {
  for (const std::uint32_t count : {std::uint32_t{0}, std::uint32_t{kEpochsMax + 1}, UINT32_MAX}) {
    expect_refused([&](Superblock& block) { block.epoch_count.set(count); }, "an impossible number of log epochs");
  }
}

TEST_F(HostileSuperblockTest, WithAnImpossibleSegmentSize) {
  constexpr std::uint32_t kBlock = kLogBlockBytes;
  for (const std::uint32_t bytes : {std::uint32_t{0}, 3 * kBlock, UINT32_MAX / kBlock * kBlock}) {
    expect_refused([&](Superblock& block) { block.segment_bytes.set(bytes); }, "its log segment size is impossible");
  }
  expect_refused([](Superblock& block) { block.segment_bytes.set(block.segment_bytes.get() + 1); },
                 "its log segment size is impossible");
}

TEST_F(HostileSuperblockTest, WithAnImpossibleEpoch) {
  expect_refused([](Superblock& block) { block.epochs[block.epoch_count.get() - 1].number.set(kEpochNumberMax + 1); },
                 "the number of a log epoch is impossible");
  expect_refused(
      [](Superblock& block) {
        LittleU64& first = block.epochs[block.epoch_count.get() - 1].first;
        first.set(first.get() + 8);
      },
      "a log epoch does not begin a segment");
  expect_refused(
      [](Superblock& block) { block.epochs[block.epoch_count.get() - 1].end.set(block.segment_bytes.get()); },
      "a log epoch that is over has no end");
}

/// Makes two of the one: an older one that ends at `end`, in segments, and the current one that begins at segment 4.
void make_two_epochs(Superblock& block, std::uint64_t end, std::uint64_t older_number) {
  block.epochs[0] = block.epochs[block.epoch_count.get() - 1];
  block.epochs[1] = block.epochs[0];
  block.epoch_count.set(2);
  block.epochs[0].number.set(older_number);
  block.epochs[0].first.set(0);
  block.epochs[0].end.set(end * block.segment_bytes.get());
  block.epochs[1].number.set(7);
  block.epochs[1].first.set(std::uint64_t{4} * block.segment_bytes.get());
}

TEST_F(HostileSuperblockTest, WithEpochsOutOfOrder) {
  for (const std::uint64_t older : {std::uint64_t{7}, std::uint64_t{8}}) {
    expect_refused([&](Superblock& block) { make_two_epochs(block, 3, older); }, "its log epochs are out of order");
  }
  expect_refused([](Superblock& block) { make_two_epochs(block, 5, 6); }, "its log epochs are out of order");
  expect_refused([](Superblock& block) { make_two_epochs(block, 0, 6); }, "a log epoch that is over has no end");
}

TEST_F(HostileSuperblockTest, OfTwoDatabases) {
  const auto disk = disk_.killed();
  change(*disk, 0, [](Superblock& block) { reinterpret_cast<std::byte*>(&block.database)[0] ^= std::byte{1}; });
  expect_refused(*disk, "its two superblocks belong to different databases");
}

TEST_F(HostileSuperblockTest, InThePlaceOfTheOtherCopy) {
  const auto disk = disk_.killed();
  change(*disk, newer(), [](Superblock& block) { block.sequence.set(block.sequence.get() + 1); });
  expect_refused(*disk, "its sequence number belongs to the other copy");
}

TEST_F(HostileSuperblockTest, WithMoreTransactionsThanThereCanHaveBeen) {
  expect_refused([](Superblock& block) { block.next_txn.set(UINT64_MAX); }, "more than there can have been");
}

TEST_F(HostileSuperblockTest, WhoseCheckpointIsNone) {
  expect_refused([](Superblock& block) { block.checkpoint.set(block.checkpoint.get() + 8); },
                 "the checkpoint that the superblock names");
}

// The other copy may be from before the first checkpoint: the database is not made anew for that.
TEST(DamagedSuperblockTest, OneCopyNeverCostsWhatWasAcknowledged) {
  SimFileSystem disk;
  std::vector<std::unique_ptr<SimFileSystem>> killed;
  Database db = *open_on(disk);
  Map map = *db.create_map("m");
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(map.put("key", "value"));
    killed.push_back(disk.killed());
    ASSERT_TRUE(db.checkpoint());
  }
  for (const auto& each : killed) {
    for (const PageId page : kSuperblockPages) {
      const auto damaged = each->killed();
      overwrite(*damaged, kDataPath, raw(page) * kPageBytes + 100, std::vector<std::byte>(64, std::byte{0xEE}));
      Result<Database> reopened = open_on(*damaged);
      ASSERT_TRUE(reopened) << reopened.error().message();
      Result<Map> found = reopened->open_map("m");
      ASSERT_TRUE(found) << "page " << raw(page) << ": " << found.error().message();
      EXPECT_EQ(*found->get("key"), "value");
    }
  }
}

}  // namespace
}  // namespace vaultgres
