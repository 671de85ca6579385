// Goal: superblocks whose checksums are good and whose content cannot be are damage that opening reports, by what is
// wrong with them, in either way to open; the data file keeps its bytes. One damaged copy costs nothing.
//
// Method: fields of both copies, or of one where two contradict each other, become nonsense in turn, and the copies are
// sealed again.
#include <gtest/gtest.h>

#include <algorithm>
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

std::string first_segment(SimFileSystem& disk) {
  std::vector<std::string> names = *disk.list("/db/log");
  return *std::min_element(names.begin(), names.end());
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

// Whatever crashes leave, a few are needed at once (recovery/recovery.h): the list is never full. One that is has no
// room for the epoch of this opening.
TEST_F(HostileSuperblockTest, WithMoreEpochsThanCrashesLeave) {
  for (std::size_t i = 0; i < kEpochsMax; ++i) ASSERT_OK(open_on(disk_));  // a segment and an epoch each
  const auto list = [](std::size_t count) {
    return [count](Superblock& block) {
      ASSERT_EQ(block.epoch_count.get(), 1u);
      const EpochEntry current = block.epochs[0];
      ASSERT_GE(current.first.get(), count * block.segment_bytes.get());
      for (std::size_t i = 0; i + 1 < count; ++i) {
        block.epochs[i].number.set(i + 1);
        block.epochs[i].salt.set(i);
        block.epochs[i].first.set(i * block.segment_bytes.get());
        block.epochs[i].end.set(i * block.segment_bytes.get() + 100);
      }
      block.epochs[count - 1] = current;
      block.epoch_count.set(static_cast<std::uint32_t>(count));
    };
  };
  expect_refused(list(kEpochsMax), "lists 16 log epochs that are needed: no number of crashes leaves so many");
  // With one fewer it opens, and those that nobody needs are gone.
  for (const std::size_t page : {0u, 1u}) change(disk_, page, list(kEpochsMax - 1));
  {
    Result<Database> db = open_on(disk_);
    ASSERT_OK(db);
    EXPECT_EQ(**db->open_map("m")->get("key"), "value");
  }
  const std::vector<std::byte> bytes = file_bytes(disk_, kDataPath);
  EXPECT_EQ(reinterpret_cast<const Superblock*>(bytes.data() + newer() * kPageBytes)->epoch_count.get(), 1u);
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

TEST_F(HostileSuperblockTest, ThatSaysAnotherThingThanItsCheckpoint) {
  const std::string why = "this checkpoint says something else than the superblock that names it";
  expect_refused([](Superblock& block) { block.redo_start.set(block.redo_start.get() + kLogBlockBytes); }, why);
  expect_refused([](Superblock& block) { block.next_object.set(block.next_object.get() - 1); }, why);
}

/// As creation writes it before it is through.
void make_unfinished(Superblock& block) {
  block.header.lsn.set(0);
  block.checkpoint.set(0);
  block.redo_start.set(0);
  block.next_txn.set(1);
  block.epochs[0] = block.epochs[block.epoch_count.get() - 1];
  block.epoch_count.set(1);
}

// A database that was never finished is made anew.
TEST_F(HostileSuperblockTest, OfADatabaseThatWasNeverFinished) {
  using Field = std::function<void(Superblock&, const Superblock&)>;
  const std::vector<Field> one_more = {
      [](Superblock& block, const Superblock& was) { block.header.lsn.set(was.header.lsn.get()); },
      [](Superblock& block, const Superblock& was) { block.redo_start.set(was.redo_start.get()); },
      [](Superblock& block, const Superblock&) { block.next_txn.set(2); },
      [](Superblock& block, const Superblock&) { make_two_epochs(block, 3, 6); }};
  for (const Field& more : one_more) {
    expect_refused(
        [&](Superblock& block) {
          const Superblock was = block;
          make_unfinished(block);
          more(block, was);
        },
        "it names no checkpoint, but is not of a new database");
  }
  const std::string why = "by the superblock the database was never finished";
  expect_refused(make_unfinished, why);

  // The beginning of the log is no longer there.
  Database db = *open_on(disk_);
  Map map = *db.open_map("m");
  const std::string first = first_segment(disk_);
  for (int i = 0; first_segment(disk_) == first; ++i) {
    ASSERT_TRUE(map.put("key " + std::to_string(i % 100), std::string(kPageBytes / 8, 'v')));
    ASSERT_TRUE(db.checkpoint());
  }
  ASSERT_TRUE(db.close());
  expect_refused(make_unfinished, why);
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
