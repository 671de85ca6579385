// Goal: what the log says of how to undo an open transaction is looked at before anybody believes it. Nonsense under
// checksums that are good is damage that opening reports by what is wrong, in either way to open: never a crash, never
// a change of something that the transaction did not change.
//
// Method: a process is killed with a transaction open, which has changed a map and a table. Its records become nonsense
// in turn, and the log blocks are sealed again.
#include <gtest/gtest.h>

#include "db/hostile_log_support.h"
#include "heap/heap_page.h"

namespace vaultgres {
namespace {

class HostileUndoLogTest : public KilledLogTest {
 protected:
  /// Killed with a transaction open, whose records are on disk.
  HostileUndoLogTest()
      : running_(std::move(killed_)),
        db_(*open_on(*running_)),
        map_(*db_.open_map("m")),
        people_(*db_.open_table("people")),
        long_row_(*people_.insert(long_person('a'))),
        txn_(*db_.begin()) {
    EXPECT_TRUE(people_.update(rows_[20], long_person('b'))) << "moves away";
    EXPECT_TRUE(db_.checkpoint());  // the cleaner has nothing left to write of what was redone
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(map_.put(txn_, "key " + std::to_string(i), "other"));
    EXPECT_TRUE(map_.put(txn_, "key 3", std::string(kPageBytes / 10, 'l')));
    EXPECT_TRUE(map_.put(txn_, "new", "other"));
    EXPECT_TRUE(people_.insert(txn_, person(2000)));
    EXPECT_TRUE(people_.erase(txn_, rows_[1]));
    EXPECT_TRUE(people_.update(txn_, rows_[20], long_person('c')));
    EXPECT_TRUE(people_.update(txn_, long_row_, long_person('d')));
    kill();
  }
  /// What is written so far is durable.
  void kill() {
    EXPECT_TRUE(map_.put("durable", "up to here"));
    killed_ = running_->killed();
  }
  static Row long_person(char fill) {
    return {std::int64_t{1000 + fill}, "name", std::int32_t{1},
            Value::bytes(std::string(kInlineRowBytesMax - 60, fill))};
  }
  /// The changes of entries that undo has to take back; those, too, whose pages the cleaner has written meanwhile.
  std::vector<Change> updates() {
    std::vector<Change> found = logged_changes(PageOp::kNodeReplace);
    std::erase_if(found, [](const Change& change) { return !change.view().undo(); });
    EXPECT_EQ(found.size(), 4u);
    return found;
  }
  /// Those of the transaction with this operation, in order.
  std::vector<LoggedRecord> undone_by(UndoOp op) {
    const TxnId txn = updates().front().view().txn();
    std::vector<LoggedRecord> found;
    for (const LoggedRecord& record : records()) {
      const RecordView view = record.view();
      if (view.txn() == txn && view.undo() && view.undo()->op == op) found.push_back(record);
    }
    EXPECT_FALSE(found.empty()) << "none with operation " << static_cast<unsigned>(raw(op));
    return found;
  }
  /// The record of the longest row's update.
  LoggedRecord longest() { return undone_by(UndoOp::kRestoreRow).back(); }
  ObjectId table() { return longest().view().undo()->object; }
  ObjectId map() { return updates().front().view().undo()->object; }
  /// Nothing remains of the record but how to undo it, with a key of so many bytes. The rest is the value.
  static LoggedRecord only_undo(LoggedRecord record, ObjectId object, UndoOp op, std::size_t key_bytes) {
    record.header().parts.set(0);
    auto& undo = *reinterpret_cast<UndoPart*>(record.record.data() + sizeof(RecordHeader));
    const std::size_t rest = record.record.size() - sizeof(RecordHeader) - sizeof undo;
    undo.object.set(raw(object));
    undo.op.set(raw(op));
    undo.reserved.set(0);
    undo.key_bytes.set(static_cast<std::uint16_t>(key_bytes));
    undo.value_bytes.set(static_cast<std::uint32_t>(rest - key_bytes));
    return record;
  }

  static constexpr const char* kImpossible = "says something impossible about how to undo it";

  std::unique_ptr<SimFileSystem> running_;
  Database db_;
  Map map_;
  Table people_;
  RowId long_row_;
  Transaction txn_;
};

TEST_F(HostileUndoLogTest, WithoutNonsenseAllIsUndone) {
  expect_all_there(*killed_->killed());
}

// Undo would go round in a circle, and write a record each time.
TEST_F(HostileUndoLogTest, ARecordThatIsBeforeItselfIsRefused) {
  Change change = updates().back();
  change.header().prev.set(raw(change.address));
  ASSERT_NO_FATAL_FAILURE(expect_refused(change, "an update", "it says that undo goes on at"));
}

TEST_F(HostileUndoLogTest, FlagsThatNoEntryHasAreRefused) {
  Change change = updates().back();
  const std::size_t at = change.undo_value_at();
  for (const int flags : {1, 2, 4, 8, 255}) {
    change.record[at] = static_cast<std::byte>(flags);
    ASSERT_NO_FATAL_FAILURE(expect_refused(change, "an update", "says something impossible about how to undo it"));
  }
}

// What undo would have to change is nowhere: neither as a map or index, nor as a table.
TEST_F(HostileUndoLogTest, AnObjectThatTheCatalogDoesNotKnowIsRefused) {
  Change change = updates().back();
  UndoPart& undo = change.undo();
  undo.object.set(50'000);
  for (const UndoOp op : {UndoOp::kEraseInserted, UndoOp::kRestoreValue, UndoOp::kEraseInsertedRow, UndoOp::kReviveRow,
                          UndoOp::kRestoreRow}) {
    undo.op.set(raw(op));
    ASSERT_NO_FATAL_FAILURE(
        expect_refused(change, "an update", "changed object 50000, which the catalog does not know"));
  }
}

// What undo would have to change is something else.
TEST_F(HostileUndoLogTest, AnObjectOfTheWrongKindIsRefused) {
  const ObjectId index = [&] {
    for (const LoggedRecord& record : undone_by(UndoOp::kEraseInserted)) {
      if (record.view().undo()->object != map()) return record.view().undo()->object;
    }
    ADD_FAILURE() << "no entry of the index";
    return ObjectId{0};
  }();
  const std::string changed = "changed object ";
  for (const UndoOp op : {UndoOp::kEraseInsertedRow, UndoOp::kReviveRow, UndoOp::kRestoreRow}) {
    LoggedRecord record = undone_by(op).back();
    for (const ObjectId object : {map(), index, kCatalogObject}) {
      record.undo().object.set(raw(object));
      ASSERT_NO_FATAL_FAILURE(expect_refused(
          record, "a row", changed + std::to_string(raw(object)) + ", which the catalog does not know as a table"));
    }
  }
  for (const UndoOp op : {UndoOp::kEraseInserted, UndoOp::kRestoreValue}) {
    LoggedRecord record = undone_by(op).back();
    record.undo().object.set(raw(table()));
    ASSERT_NO_FATAL_FAILURE(
        expect_refused(record, "an entry",
                       changed + std::to_string(raw(table())) + ", which the catalog does not know as a map or index"));
  }
}

TEST_F(HostileUndoLogTest, AnEntryThatIsNotThereIsRefused) {
  for (const UndoOp op : {UndoOp::kEraseInserted, UndoOp::kRestoreValue}) {
    LoggedRecord record = undone_by(op).front();
    record.record[record.undo_key_at()] ^= std::byte{1};
    ASSERT_NO_FATAL_FAILURE(expect_refused(record, "another key",
                                           "a transaction that is undone has changed an entry, but it is not there"));
  }
}

TEST_F(HostileUndoLogTest, AnEntryThatCannotBeIsRefused) {
  const std::size_t rest = longest().record.size() - sizeof(RecordHeader) - sizeof(UndoPart);
  ASSERT_GT(rest, kKeyBytesMax + 1);
  for (const UndoOp op : {UndoOp::kEraseInserted, UndoOp::kRestoreValue}) {
    ASSERT_NO_FATAL_FAILURE(
        expect_refused(only_undo(longest(), map(), op, kKeyBytesMax + 1), "a key that is too long", kImpossible));
  }
  ASSERT_GT(rest, inline_value_max(8) + 9);
  LoggedRecord record = only_undo(longest(), map(), UndoOp::kRestoreValue, 8);
  record.record[record.undo_value_at()] = std::byte{0};
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a value that is too long", kImpossible));

  record = updates().back();
  UndoPart& undo = record.undo();
  undo.key_bytes.set(static_cast<std::uint16_t>(undo.key_bytes.get() + undo.value_bytes.get()));
  undo.value_bytes.set(0);
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "no value, nor flags", kImpossible));

  record = updates().back();
  record.record[record.undo_value_at()] = std::byte{kSlotOverflow};
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a reference of another size", kImpossible));
}

// An entry gets a value from undo that it never had, while its leaf becomes fuller and fuller.
TEST_F(HostileUndoLogTest, AnEntryWithoutRoomForWhatWasThereBeforeIsRefused) {
  const std::string key = "key 150";
  bool found = false;
  for (int i = 0; i < 80 && !found; ++i) {
    EXPECT_TRUE(map_.put(key + "/" + std::to_string(i), std::string(kPageBytes / 64 + 1, 'w')));
    kill();
    LoggedRecord record = only_undo(updates()[3], map(), UndoOp::kRestoreValue, key.size());
    ASSERT_LE(record.view().undo()->value.size() - 1, inline_value_max(key.size()));
    std::memcpy(record.record.data() + record.undo_key_at(), key.data(), key.size());
    record.record[record.undo_value_at()] = std::byte{0};
    const auto disk = killed_->killed();
    ASSERT_NO_FATAL_FAILURE(put_back(*disk, record));
    const Result<Database> db = open_on(*disk);
    if (db) continue;  // it has room
    EXPECT_EQ(db.error().code(), ErrorCode::kCorruption);
    EXPECT_NE(
        db.error().message().find("a transaction that is undone has changed an entry, but there is no room for what"),
        std::string::npos)
        << db.error().message();
    found = true;
  }
  EXPECT_TRUE(found) << "the leaf was never full";
}

TEST_F(HostileUndoLogTest, ARecordOfAnotherTransactionIsRefused) {
  Change change = updates()[1];
  change.header().txn.set(raw(change.view().txn()) + 500);
  ASSERT_NO_FATAL_FAILURE(expect_refused(change, "an update", "leads to a log record of transaction "));
}

// The record stands in the transaction's chain and says nothing of undo.
TEST_F(HostileUndoLogTest, ARecordThatCannotBeUndoneIsRefused) {
  const std::vector<std::byte> data = file_bytes(*killed_, kDataPath);
  const std::size_t last = data.size() / kPageBytes - 1;  // free: what is done to it is left out
  ASSERT_TRUE(std::all_of(data.begin() + static_cast<std::ptrdiff_t>(last * kPageBytes), data.end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
  for (const RecordKind kind : {RecordKind::kUpdate, RecordKind::kSystem}) {
    LoggedRecord record = updates()[1];
    record.header().kind.set(static_cast<std::uint8_t>(kind));
    record.header().parts.set(1);
    record.header().undo.set(0);
    auto& part = *reinterpret_cast<PagePart*>(record.record.data() + sizeof(RecordHeader));
    part.page.set(static_cast<std::uint32_t>(last));
    part.bytes.set(static_cast<std::uint16_t>(record.record.size() - sizeof(RecordHeader) - sizeof part));
    ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a record without undo", kImpossible));
  }
}

// A call that failed has been undone, within the transaction that is open.
TEST_F(HostileUndoLogTest, ACompensationThatGoesOnBehindItselfIsRefused) {
  EXPECT_ERROR(kDuplicateKey, people_.insert(txn_, person(0)));
  kill();
  const TxnId txn = updates().front().view().txn();
  std::vector<LoggedRecord> found = records();
  std::erase_if(found, [&](const LoggedRecord& record) { return record.view().txn() != txn; });
  LoggedRecord record = found.back();
  ASSERT_EQ(record.view().kind(), RecordKind::kCompensation);
  ASSERT_NO_FATAL_FAILURE(expect_all_there(*killed_->killed()));
  auto& next = *reinterpret_cast<CompensationHeader*>(record.record.data() + sizeof(RecordHeader));
  for (const std::uint64_t by : {0, 24}) {
    next.undo_next.set(raw(record.address) + by);
    ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a compensation", "it says that undo goes on behind it"));
  }
}

TEST_F(HostileUndoLogTest, MoreOpenTransactionsThanACheckpointCanListAreRefused) {
  const TxnId txn = updates().front().view().txn();
  const Lsn address = updates().front().address;
  std::vector<CheckpointTxn> listed(RecordBuilder::kCheckpointTxnsMax);
  for (std::size_t i = 0; i < listed.size(); ++i) {
    listed[i].txn.set(raw(txn) + i);
    listed[i].first.set(raw(address));
    listed[i].last.set(raw(address));
  }
  // One more: its record is there, too.
  const std::uint64_t next_txn = raw(txn) + listed.size();
  std::vector<std::byte> update(sizeof(RecordHeader));
  auto& header = *reinterpret_cast<RecordHeader*>(update.data());
  header.length.set(static_cast<std::uint32_t>(update.size()));
  header.kind.set(static_cast<std::uint8_t>(RecordKind::kUpdate));
  header.txn.set(next_txn);
  const std::vector<Lsn> addresses =
      begin_recovery(*killed_, {RecordBuilder::checkpoint(address, next_txn, 5000, listed), update});
  {
    const auto data = *killed_->open(kDataPath, OpenMode::kReadWrite);
    SuperblockStore superblocks = *SuperblockStore::load(*data);
    SuperblockState next = superblocks.current();
    next.checkpoint = addresses[0];
    next.redo_start = address;
    next.next_object = ObjectId{5000};
    ASSERT_OK(superblocks.write(next));
  }
  for (const bool read_only : {false, true}) {
    expect_refused(*killed_->killed(), read_only, "the checkpoint",
                   "transactions that were open at once, more than there can have been");
  }
}

TEST_F(HostileUndoLogTest, ARowThatCannotBeIsRefused) {
  ASSERT_NO_FATAL_FAILURE(expect_refused(only_undo(longest(), table(), UndoOp::kEraseInsertedRow, kTidBytes - 1),
                                         "a short row id", kImpossible));
  ASSERT_GT(longest().record.size() - sizeof(RecordHeader) - sizeof(UndoPart) - kTidBytes,
            sizeof(RowUndo) + kInlineRowBytesMax);
  ASSERT_NO_FATAL_FAILURE(expect_refused(only_undo(longest(), table(), UndoOp::kRestoreRow, kTidBytes),
                                         "a row that is too long", kImpossible));
  LoggedRecord record = undone_by(UndoOp::kReviveRow).back();
  record.undo().op.set(raw(UndoOp::kRestoreRow));
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "no row", kImpossible));
  record = longest();
  record.record[record.undo_value_at()] |= std::byte{kRowUndoOverflow};
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a reference of another size", kImpossible));
}

TEST_F(HostileUndoLogTest, ARowThatIsNotThereIsRefused) {
  const Tid tid{decode_tid(longest().view().undo()->key).page, 60'000};
  const TidBytes key = encode_tid(tid);
  const std::string row = "row " + std::to_string(raw(tid.page)) + ":60000 of table ";
  for (const UndoOp op : {UndoOp::kEraseInsertedRow, UndoOp::kReviveRow, UndoOp::kRestoreRow}) {
    LoggedRecord record = undone_by(op).back();
    std::memcpy(record.record.data() + record.undo_key_at(), key.data(), key.size());
    ASSERT_NO_FATAL_FAILURE(expect_refused(record, "another row", row));
  }
  // No page of a table.
  LoggedRecord record = undone_by(UndoOp::kReviveRow).back();
  const TidBytes no_heap = encode_tid({kCatalogRootPage, 0});
  std::memcpy(record.record.data() + record.undo_key_at(), no_heap.data(), no_heap.size());
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a page of the catalog", "reached as a heap page, but it is none"));
}

TEST_F(HostileUndoLogTest, ARowWhoseBodyIsNotThereIsRefused) {
  const LoggedRecord moved = undone_by(UndoOp::kRestoreRow).front();
  RowUndo undo;
  std::memcpy(&undo, moved.record.data() + moved.undo_value_at(), sizeof undo);
  ASSERT_EQ(undo.flags.get(), kRowUndoMoved);
  const Tid home = decode_tid(longest().view().undo()->key);
  const Tid other_home{PageId{rows_[100].page}, rows_[100].slot};
  // Another row's body; a row; nothing; something on the page of the home.
  for (const Tid body : {decode_tid(undo.body), other_home, Tid{other_home.page, 60'000}, Tid{home.page, 0}}) {
    undo.body = encode_tid(body);
    LoggedRecord record = longest();
    std::memcpy(record.record.data() + record.undo_value_at(), &undo, sizeof undo);
    ASSERT_NO_FATAL_FAILURE(
        expect_refused(record, "a body", "a transaction that is undone has moved it, but its bodies are not there"));
  }
}

TEST_F(HostileUndoLogTest, ARowWithoutRoomForWhatWasThereBeforeIsRefused) {
  const TidBytes full = encode_tid({PageId{rows_[100].page}, rows_[100].slot});
  LoggedRecord record = longest();
  std::memcpy(record.record.data() + record.undo_key_at(), full.data(), full.size());
  ASSERT_NO_FATAL_FAILURE(expect_refused(record, "a row of a full page",
                                         "a transaction that is undone has left no room for what was there before"));
}

}  // namespace
}  // namespace vaultgres
