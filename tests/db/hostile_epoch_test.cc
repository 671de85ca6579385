// Goal: an epoch of the log that does not say what the superblock says of it, and of the one before, is damage that
// opening reports, in either way to open; the files keep their bytes, and with the right record back all is there.
//
// Method: a process is killed, and the recovery after it, too, when its epoch's first record is durable. This record,
// or the superblock, gets another number, salt or end, and is sealed again.
#include <gtest/gtest.h>

#include <functional>

#include "db/hostile_log_support.h"

namespace vaultgres {
namespace {

class HostileEpochTest : public KilledLogTest {
 protected:
  HostileEpochTest() {
    begin_recovery(*killed_);
    for (const LoggedRecord& record : records()) {
      if (record.view().kind() == RecordKind::kEpoch && record.address > state_.epochs[1].first) first_ = record;
    }
    EXPECT_EQ(state_.epochs.size(), 2u);
    EXPECT_FALSE(first_.record.empty());
  }
  EpochBody& body() { return *reinterpret_cast<EpochBody*>(first_.record.data() + sizeof(RecordHeader)); }

  /// All files, by name.
  static std::map<std::string, std::vector<std::byte>> bytes_of(SimFileSystem& disk) {
    std::map<std::string, std::vector<std::byte>> bytes{{kDataPath, file_bytes(disk, kDataPath)}};
    const std::vector<std::string> names = *disk.list("/db/log");
    for (const std::string& name : names) bytes[name] = file_bytes(disk, "/db/log/" + name);
    return bytes;
  }
  void expect_refused_and_kept(SimFileSystem& disk, const std::string& what, const std::string& why) {
    const auto before = bytes_of(disk);
    for (const bool read_only : {false, true}) expect_refused(disk, read_only, what, why);
    EXPECT_TRUE(bytes_of(disk) == before) << what << " changes a file";
  }
  void expect_record_refused(LittleU64& field, const std::string& why) {
    const LoggedRecord right = first_;
    field.set(field.get() + 1);
    const auto disk = killed_->killed();
    ASSERT_NO_FATAL_FAILURE(put_back(*disk, first_));
    expect_refused_and_kept(*disk, "the record", why);
    ASSERT_NO_FATAL_FAILURE(put_back(*disk, right));
    expect_all_there(*disk);
    std::copy(right.record.begin(), right.record.end(), first_.record.begin());
  }
  void expect_superblock_refused(const std::function<void(SuperblockState&)>& change, const std::string& why) {
    const auto disk = killed_->killed();
    {
      const auto data = *disk->open(kDataPath, OpenMode::kReadWrite);
      SuperblockStore superblocks = *SuperblockStore::load(*data);
      SuperblockState next = superblocks.current();
      change(next);
      for (int copy = 0; copy < 2; ++copy) ASSERT_OK(superblocks.write(next));
    }
    expect_refused_and_kept(*disk, "the superblock", why);
  }

  LoggedRecord first_;
};

TEST_F(HostileEpochTest, ARecordOfAnotherEpochThanItsBlock) {
  expect_record_refused(body().number, "the epoch's first record names another epoch");
}

TEST_F(HostileEpochTest, ARecordThatNamesAnotherPredecessor) {
  const std::string why = "the epoch's first record names another predecessor than the superblock";
  expect_record_refused(body().previous_number, why);
  expect_record_refused(body().previous_end, why);
  expect_record_refused(body().previous_salt, why);
}

TEST_F(HostileEpochTest, ASuperblockThatEndsTheEpochBeforeElsewhere) {
  const std::vector<LoggedRecord> all = records();
  const auto last = std::find_if(all.begin(), all.end(),
                                 [&](const LoggedRecord& record) { return record.address > state_.epochs[1].first; }) -
                    1;
  // A record less of it, or more than there is.
  expect_superblock_refused([&](SuperblockState& next) { next.epochs[0].end = last->address; },
                            "the epoch's first record names another predecessor than the superblock");
  expect_superblock_refused(
      [&](SuperblockState& next) { next.epochs[0].end = Lsn{raw(next.epochs[0].end) + kLogBlockBytes}; },
      "the epoch goes on to ");
}

TEST_F(HostileEpochTest, ASuperblockThatNamesTheEpochBeforeOtherwise) {
  expect_superblock_refused([](SuperblockState& next) { ++next.epochs[0].salt; }, "its checksum is wrong");
}

}  // namespace
}  // namespace vaultgres
