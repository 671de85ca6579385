// Records in the log of a killed process, as recovery reads them, and blocks whose checksums are good with other
// records in their place.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "db/damage_support.h"
#include "recovery/recovery.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "wal/log.h"
#include "wal/log_reader.h"
#include "wal/record.h"

namespace vaultgres {

struct LoggedRecord {
  Lsn address{0};
  std::vector<std::byte> record;

  RecordView view() const { return *RecordView::parse(record); }
  RecordHeader& header() { return *reinterpret_cast<RecordHeader*>(record.data()); }
  UndoPart& undo() { return *reinterpret_cast<UndoPart*>(record.data() + undo_key_at() - sizeof(UndoPart)); }
  std::size_t undo_value_at() const { return undo_key_at() + view().undo()->key.size(); }
  std::size_t undo_key_at() const { return static_cast<std::size_t>(view().undo()->key.data() - record.data()); }
};

/// A page's change in the log.
struct Change : LoggedRecord {
  std::size_t at = 0;  ///< of its payload, in the record
  PageId page{0};

  PagePart& part() { return *reinterpret_cast<PagePart*>(record.data() + at - sizeof(PagePart)); }
};

class KilledLogTest : public ::testing::Test {
 protected:
  KilledLogTest() {
    Database db = *open_on(disk_);
    Map map = *db.create_map("m");
    Table people = *db.create_table("people", people_schema());
    EXPECT_TRUE(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
    for (int i = 0; i < 300; ++i) {
      EXPECT_TRUE(map.put("key " + std::to_string(i), std::string(kPageBytes / 64 + 1, 'v')));
      rows_.push_back(*people.insert(person(i, kPageBytes / 64)));
    }
    killed_ = disk_.killed();
  }

  /// What recovery will read of the log of killed_, in order.
  std::vector<LoggedRecord> records() {
    const auto data = *killed_->open(kDataPath, OpenMode::kReadOnly);
    state_ = SuperblockStore::load(*data)->current();
    std::vector<EpochSpan> epochs;
    for (const auto& epoch : state_.epochs) epochs.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
    LogReader reader = *LogReader::open(*killed_, "/db/log", state_.database, state_.segment_bytes, epochs,
                                        state_.redo_start, state_.durable);
    std::vector<LoggedRecord> found;
    for (auto record = *reader.next(); record; record = *reader.next()) {
      found.push_back({record->address, {record->bytes.begin(), record->bytes.end()}});
    }
    return found;
  }
  std::vector<Change> logged_changes(PageOp op) {
    std::vector<Change> found;
    for (const LoggedRecord& record : records()) {
      for (const RecordPage& part : record.view().pages()) {
        const auto at = static_cast<std::size_t>(part.payload.data() - record.record.data());
        if (part.op == op) found.push_back({record, at, part.page});
      }
    }
    return found;
  }
  /// Those that recovery will apply. `last`: only those after which no change of another kind comes to the page, so
  /// that what they do to it is still there in the end.
  std::vector<Change> changes(PageOp op, bool last = false) {
    const auto data = *killed_->open(kDataPath, OpenMode::kReadOnly);
    std::vector<Change> found;
    std::map<PageId, Lsn> others;
    for (const LoggedRecord& record : records()) {
      for (const RecordPage& part : record.view().pages()) {
        if (part.op != op) {
          others[part.page] = record.address;
          continue;
        }
        PageHeader header;
        const std::size_t read = *data->read_up_to(std::uint64_t{raw(part.page)} * kPageBytes,
                                                   std::as_writable_bytes(std::span(&header, 1)));
        if (read == sizeof header && header.lsn.get() > raw(record.address)) continue;
        const auto at = static_cast<std::size_t>(part.payload.data() - record.record.data());
        found.push_back({record, at, part.page});
      }
    }
    if (last) std::erase_if(found, [&](const Change& change) { return others[change.page] > change.address; });
    return found;
  }
  /// The record stands where it stood, in blocks whose checksums are good.
  void put_back(FileSystem& disk, const LoggedRecord& changed) const {
    std::size_t number = state_.epochs.size() - 1;
    while (state_.epochs[number].first > changed.address) --number;
    const auto& epoch = state_.epochs[number];
    const BlockSeal seal(state_.database, epoch.number, epoch.salt);
    Bytes rest = changed.record;
    for (std::uint64_t position = raw(changed.address); !rest.empty();) {
      std::array<std::byte, kLogBlockBytes> block;
      const std::uint64_t start = block_start(position);
      const auto file = *disk.open("/db/log/" + segment_name(start / state_.segment_bytes), OpenMode::kReadWrite);
      ASSERT_OK(file->read(start % state_.segment_bytes, block));
      ASSERT_EQ(seal.fault(block, start), nullptr);
      const std::size_t part = std::min<std::size_t>(rest.size(), start + kLogBlockBytes - position);
      std::memcpy(block.data() + (position - start), rest.data(), part);
      const LogBlockHeader& header = log_block_header(block);
      seal.seal(block, start, header.used.get(), header.durable.get());
      ASSERT_OK(file->write(start % state_.segment_bytes, block));
      rest = rest.subspan(part);
      position = record_address(position + part);
    }
  }
  /// What a recovery leaves that was killed when its first record was durable, and these others, which it never wrote.
  /// Their addresses.
  static std::vector<Lsn> begin_recovery(SimFileSystem& disk, const std::vector<std::vector<std::byte>>& others = {}) {
    const auto data = *disk.open(kDataPath, OpenMode::kReadWrite);
    SuperblockStore superblocks = *SuperblockStore::load(*data);
    const LogAnalysis analysis = *analyse_log(disk, "/db/log", superblocks, Lsn{0});
    LogOptions options;
    options.segment_bytes = superblocks.current().segment_bytes;
    options.buffer_bytes = 4 * kMiB;
    Poison poison;
    const auto log = *Log::open(disk, "/db/log", superblocks.current().database, analysis.epoch, analysis.keep_from,
                                options, poison, analysis.old_epochs.back().end);
    EXPECT_TRUE(append_epoch_record(*log, analysis));
    std::vector<Lsn> addresses;
    for (const auto& record : others) {
      EXPECT_TRUE(log->reserve(log_bytes_for(record.size())));
      addresses.push_back(log->append(record).address);
    }
    EXPECT_TRUE(log->reserve(2 * kLogBlockBytes));
    EXPECT_TRUE(log->flush(log->end()));
    return addresses;
  }
  /// Neither way to open believes it, and both say why.
  void expect_refused(const LoggedRecord& changed, const std::string& what, const std::string& why) {
    for (const bool read_only : {false, true}) {
      const auto disk = killed_->killed();
      ASSERT_NO_FATAL_FAILURE(put_back(*disk, changed));
      expect_refused(*disk, read_only, what, why);
    }
  }
  static void expect_refused(SimFileSystem& disk, bool read_only, const std::string& what, const std::string& why) {
    Options options = small_options();
    options.read_only = read_only;
    const Result<Database> db = open_on(disk, options);
    ASSERT_FALSE(db) << what << " is believed";
    EXPECT_EQ(db.error().code(), ErrorCode::kCorruption) << what << ": " << db.error().message();
    EXPECT_NE(db.error().message().find(why), std::string::npos) << what << ": " << db.error().message();
  }
  /// All that was committed.
  static void expect_all_there(SimFileSystem& disk) {
    Result<Database> db = open_on(disk);
    ASSERT_OK(db);
    const Result<Map> map = db->open_map("m");
    ASSERT_OK(map);
    for (int i = 0; i < 300; ++i) {
      EXPECT_EQ(**map->get("key " + std::to_string(i)), std::string(kPageBytes / 64 + 1, 'v')) << i;
    }
    expect_sound(*db);
  }

  SimFileSystem disk_;
  std::vector<RowId> rows_;  ///< of people 0 to 299
  std::unique_ptr<SimFileSystem> killed_;
  SuperblockState state_;
};

}  // namespace vaultgres
