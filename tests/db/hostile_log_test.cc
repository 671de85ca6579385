// Goal: what a log record makes of a page is looked at before anybody believes it. Nonsense under checksums that are
// good is damage that opening reports, not a page of the database: a page that a record carries whole, with the record;
// one that changes have led to, with the page; and pages that the log cannot name.
//
// Method: a process is killed before its pages are written. Page images and changes in its log become nonsense in turn,
// and the log blocks are sealed again.
#include <gtest/gtest.h>

#include <cstring>

#include "recovery/superblock_store.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "wal/log_reader.h"
#include "wal/record.h"

namespace vaultgres {
namespace {

/// A page's change in the log.
struct Change {
  Lsn address{0};  ///< of its record
  std::vector<std::byte> record;
  std::size_t at = 0;  ///< of its payload, in the record
  PageId page{0};

  PagePart& part() { return *reinterpret_cast<PagePart*>(record.data() + at - sizeof(PagePart)); }
};

/// A page image in the log.
struct ImageChange : Change {
  explicit ImageChange(Change change)
      : Change(std::move(change)), head(load_little<std::uint16_t>(record.data() + at)) {
    at += 2;  // the page's bytes from its object id on
  }
  std::size_t head;  ///< so many of them come before the hole

  static constexpr std::size_t kFirstByte = offsetof(PageHeader, object);
  std::byte& byte(std::size_t offset) { return record[at + offset - kFirstByte]; }
  bool has(std::size_t offset) const { return offset - kFirstByte < head; }
};

class HostileLogTest : public ::testing::Test {
 protected:
  HostileLogTest() {
    Database db = *open_on(disk_);
    Map map = *db.create_map("m");
    Table people = *db.create_table("people", people_schema());
    EXPECT_TRUE(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
    for (int i = 0; i < 300; ++i) {
      EXPECT_TRUE(map.put("key " + std::to_string(i), std::string(kPageBytes / 64 + 1, 'v')));
      EXPECT_TRUE(people.insert(person(i, kPageBytes / 64)));
    }
    killed_ = disk_.killed();
  }

  /// Those that recovery will apply. `last`: only those after which no change of another kind comes to the page, so
  /// that what they do to it is still there in the end.
  std::vector<Change> changes(PageOp op, bool last = false) {
    const auto data = *killed_->open("/db/data.vg", OpenMode::kReadOnly);
    state_ = SuperblockStore::load(*data)->current();
    std::vector<EpochSpan> epochs;
    for (const auto& epoch : state_.epochs) epochs.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
    LogReader reader = *LogReader::open(*killed_, "/db/log", state_.database, state_.segment_bytes, epochs,
                                        state_.redo_start, state_.durable);
    std::vector<Change> found;
    std::map<PageId, Lsn> others;
    for (auto record = *reader.next(); record; record = *reader.next()) {
      const RecordView view = *RecordView::parse(record->bytes);
      for (const RecordPage& part : view.pages()) {
        if (part.op != op) {
          others[part.page] = record->address;
          continue;
        }
        PageHeader header;
        const std::size_t read = *data->read_up_to(std::uint64_t{raw(part.page)} * kPageBytes,
                                                   std::as_writable_bytes(std::span(&header, 1)));
        if (read == sizeof header && header.lsn.get() >= raw(record->lsn)) continue;
        const auto at = static_cast<std::size_t>(part.payload.data() - record->bytes.data());
        found.push_back({record->address, {record->bytes.begin(), record->bytes.end()}, at, part.page});
      }
    }
    if (last) std::erase_if(found, [&](const Change& change) { return others[change.page] > change.address; });
    return found;
  }
  /// The record stands where it stood, in blocks whose checksums are good.
  void put_back(FileSystem& disk, const Change& image) const {
    const auto& epoch = state_.epochs.back();
    const BlockSeal seal(state_.database, epoch.number, epoch.salt);
    Bytes rest = image.record;
    for (std::uint64_t position = raw(image.address); !rest.empty();) {
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
  void expect_damage(const ImageChange& image, const char* what) {
    expect_refused(image, what,
                   "redo of the log record at position " + std::to_string(raw(image.address)) + " on page " +
                       std::to_string(raw(image.page)));
  }
  /// Neither way to open believes it, and both say why.
  void expect_refused(const Change& image, const char* what, const std::string& why) {
    for (const bool read_only : {false, true}) {
      const auto disk = killed_->killed();
      ASSERT_NO_FATAL_FAILURE(put_back(*disk, image));
      expect_refused(*disk, read_only, std::string(what) + " of page " + std::to_string(raw(image.page)), why);
    }
  }
  static void expect_refused(SimFileSystem& disk, bool read_only, const std::string& what, const std::string& why) {
    Options options = small_options();
    options.read_only = read_only;
    const Result<Database> db = open_on(disk, options);
    ASSERT_FALSE(db) << what << " is believed";
    EXPECT_EQ(db.error().code(), ErrorCode::kCorruption) << what << ": " << db.error().message();
    EXPECT_NE(db.error().message().find(why), std::string::npos) << db.error().message();
  }

  SimFileSystem disk_;
  std::unique_ptr<SimFileSystem> killed_;
  SuperblockState state_;
};

TEST_F(HostileLogTest, APageThatIsNonsenseIsNotBelieved) {
  const std::vector<Change> found = changes(PageOp::kImage);
  std::map<std::uint8_t, unsigned> types;
  for (const Change& change : found) {
    const ImageChange image(change);
    ImageChange other = image;
    const auto type = std::to_integer<std::uint8_t>(other.byte(offsetof(PageHeader, type)));
    if (++types[type] > 4) continue;  // of each kind a few
    other.byte(offsetof(PageHeader, type)) = std::byte{99};
    ASSERT_NO_FATAL_FAILURE(expect_damage(other, "an unknown type"));
    if (!image.has(kPageHeaderBytes)) continue;  // the rest is zeros
    other = image;
    for (std::size_t at = kPageHeaderBytes; at < kPageHeaderBytes + 8 && other.has(at); ++at) {
      other.byte(at) ^= std::byte{0xFF};
    }
    ASSERT_NO_FATAL_FAILURE(expect_damage(other, "another header"));
  }
  for (const PageType type : {PageType::kLeaf, PageType::kInternal, PageType::kHeap, PageType::kFreeSpaceMap}) {
    EXPECT_GT(types[static_cast<std::uint8_t>(type)], 0u) << "no page of type " << static_cast<unsigned>(type);
  }
  // The log as it was is good.
  const auto disk = killed_->killed();
  ASSERT_NO_FATAL_FAILURE(put_back(*disk, found.front()));
  Database db = *open_on(*disk);
  EXPECT_EQ(*db.open_map("m")->count(), 300u);
  expect_sound(db);
}

// Each operation stays within its page, and yet: an entry in the wrong place.
TEST_F(HostileLogTest, ChangesThatLeadToNonsenseAreNotBelieved) {
  unsigned tried = 0;
  for (Change change : changes(PageOp::kNodeInsert, true)) {
    const auto slot = load_little<std::uint16_t>(change.record.data() + change.at);
    if (slot == 0 || tried == 5 || !RecordView::parse(change.record)->undo()) continue;  // separators are not tried
    ++tried;
    store_little(change.record.data() + change.at, static_cast<std::uint16_t>(0));
    ASSERT_NO_FATAL_FAILURE(expect_refused(change, "an entry in the wrong place", "after the redo of the log"));
  }
  EXPECT_EQ(tried, 5u);
}

TEST_F(HostileLogTest, PagesThatCannotBeAreRefused) {
  Change change = changes(PageOp::kNodeInsert).front();
  change.part().page.set(raw(kSuperblockPages[1]));
  ASSERT_NO_FATAL_FAILURE(expect_refused(change, "a change", "it changes page 1, a superblock"));
  change.part().page.set(50'000'000);
  ASSERT_NO_FATAL_FAILURE(expect_refused(change, "a change", "it names page 50000000 of a data file that had "));
}

TEST_F(HostileLogTest, AnOperationThatDoesNotExistIsRefused) {
  Change change = changes(PageOp::kNodeInsert).front();
  change.part().op.set(200);
  ASSERT_NO_FATAL_FAILURE(expect_refused(change, "a change", "page operation 200 does not exist"));
}

// The superblock names a record that is sound, but no checkpoint.
TEST_F(HostileLogTest, AnotherRecordInThePlaceOfTheCheckpointIsRefused) {
  const Lsn address = changes(PageOp::kNodeInsert).front().address;
  {
    const auto data = *killed_->open("/db/data.vg", OpenMode::kReadWrite);
    SuperblockStore superblocks = *SuperblockStore::load(*data);
    for (int copy = 0; copy < 2; ++copy) {
      SuperblockState next = superblocks.current();
      next.checkpoint = address;
      ASSERT_TRUE(superblocks.write(next));
    }
  }
  for (const bool read_only : {false, true}) {
    expect_refused(*killed_->killed(), read_only, "the superblock", "says that a checkpoint stands here");
  }
}

class HostileUndoLogTest : public HostileLogTest {
 protected:
  /// Killed with a transaction open, whose records are on disk.
  HostileUndoLogTest()
      : running_(std::move(killed_)), db_(*open_on(*running_)), map_(*db_.open_map("m")), txn_(*db_.begin()) {
    EXPECT_TRUE(db_.checkpoint());  // the cleaner has nothing left to write of what was redone
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(map_.put(txn_, "key " + std::to_string(i), "other"));
    EXPECT_TRUE(map_.put("durable", "up to here"));
    killed_ = running_->killed();
  }
  /// The changes that undo has to take back.
  std::vector<Change> updates() {
    std::vector<Change> found = changes(PageOp::kNodeReplace);
    std::erase_if(found, [](const Change& change) { return !RecordView::parse(change.record)->undo(); });
    EXPECT_EQ(found.size(), 3u);
    return found;
  }

  std::unique_ptr<SimFileSystem> running_;
  Database db_;
  Map map_;
  Transaction txn_;
};

// Undo would go round in a circle, and write a record each time.
TEST_F(HostileUndoLogTest, ARecordThatIsBeforeItselfIsRefused) {
  Change change = updates().back();
  reinterpret_cast<RecordHeader*>(change.record.data())->prev.set(raw(change.address));
  ASSERT_NO_FATAL_FAILURE(expect_refused(change, "an update", "it says that undo goes on at"));
}

TEST_F(HostileUndoLogTest, FlagsThatNoEntryHasAreRefused) {
  Change change = updates().back();
  const RecordView view = *RecordView::parse(change.record);
  const auto at = static_cast<std::size_t>(view.undo()->value.data() - change.record.data());
  for (const int flags : {1, 2, 4, 8, 255}) {
    change.record[at] = static_cast<std::byte>(flags);
    ASSERT_NO_FATAL_FAILURE(expect_refused(change, "an update", "says something impossible about how to undo it"));
  }
}

// What undo would have to change is nowhere: neither as a map or index, nor as a table.
TEST_F(HostileUndoLogTest, AnObjectThatTheCatalogDoesNotKnowIsRefused) {
  Change change = updates().back();
  const RecordView view = *RecordView::parse(change.record);
  const auto key_at = static_cast<std::size_t>(view.undo()->key.data() - change.record.data());
  auto& undo = *reinterpret_cast<UndoPart*>(change.record.data() + key_at - sizeof(UndoPart));
  undo.object.set(50'000);
  for (const UndoOp op : {UndoOp::kEraseInserted, UndoOp::kRestoreValue, UndoOp::kEraseInsertedRow, UndoOp::kReviveRow,
                          UndoOp::kRestoreRow}) {
    undo.op.set(raw(op));
    ASSERT_NO_FATAL_FAILURE(
        expect_refused(change, "an update", "changed object 50000, which the catalog does not know"));
  }
}

}  // namespace
}  // namespace vaultgres
