// Goal: handles fail in order. A cursor for which there was no memory says so at its first step and nothing throws;
// what was moved from answers every call with an error, or is still the handle that it was; a failed creation has made
// nothing.
#include <gtest/gtest.h>

#include "db/allocation_support.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class HandleTest : public PeopleTest {
 protected:
  HandleTest() : map_(*db_.create_map("m")), by_id_(unique_id()) {
    EXPECT_TRUE(map_.put("k", "v"));
    fill(1, 3);
  }
  Map map_;
  Index by_id_;
};

/// Makes a cursor again and again, each time with one allocation more before the one that fails; `first_step` is its
/// first one. Whatever fails, nothing is thrown, and the step says it.
template <class Make, class Step>
void expect_errors_instead_of_exceptions(Make make, Step first_step) {
  const AllocationsFail spared(false);
  unsigned failed = 0;
  bool hit = true;
  for (std::uint64_t at = 1; hit; ++at) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    ASSERT_LT(at, 1000u);
    AllocationFault fault(at);
    const Result<bool> answer = expose("making a cursor, and its first step", [&] {
      auto cursor = make();
      return first_step(cursor);
    });
    fault.stop();
    hit = fault.hit();
    if (!answer) {
      ++failed;
      EXPECT_EQ(answer.error().code(), ErrorCode::kOutOfMemory) << answer.error().message();
    } else {
      EXPECT_TRUE(*answer);
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(failed, 0u);
}

TEST_F(HandleTest, CursorsWithoutMemoryKeepTheFailure) {
  Transaction txn = *db_.begin();
  const auto next = [](auto& cursor) { return cursor.next(); };
  const KeyRange range{.from = std::string(40, 'a'), .to = std::string(40, 'z')};
  ASSERT_OK(map_.put(std::string(40, 'b'), "v"));
  const IndexRange rows{.from = ValueBound{std::int64_t{1}, true}};
  expect_errors_instead_of_exceptions([&] { return map_.cursor(); }, next);
  expect_errors_instead_of_exceptions([&] { return map_.cursor(txn); }, next);
  expect_errors_instead_of_exceptions([&] { return people_.scan(); }, next);
  expect_errors_instead_of_exceptions([&] { return people_.scan(txn); }, next);
  expect_errors_instead_of_exceptions([&] { return by_id_.range(); }, next);
  expect_errors_instead_of_exceptions([&] { return by_id_.range(txn); }, next);
  expect_errors_instead_of_exceptions([&] { return by_id_.range(); }, [](RowCursor& cursor) { return cursor.last(); });
}

TEST_F(HandleTest, ACursorWithoutMemoryFailsAtEveryStep) {
  const AllocationsFail spared(false);
  const auto without_memory = [](auto make) {
    const AllocationFault fault(1, true);
    const AllocationsFail exposed(true);
    return make();
  };
  Cursor cursor = without_memory([&] { return map_.cursor(); });
  EXPECT_ERROR(kOutOfMemory, cursor.first());
  EXPECT_ERROR(kOutOfMemory, cursor.last());
  EXPECT_ERROR(kOutOfMemory, cursor.seek("a"));
  EXPECT_ERROR(kOutOfMemory, cursor.floor("a"));
  EXPECT_ERROR(kOutOfMemory, cursor.next());
  EXPECT_ERROR(kOutOfMemory, cursor.prev());
  EXPECT_FALSE(cursor.valid());
  EXPECT_EQ(cursor.key(), "");
  RowCursor rows = without_memory([&] { return by_id_.range(); });
  EXPECT_ERROR(kOutOfMemory, rows.first());
  EXPECT_ERROR(kOutOfMemory, rows.last());
  EXPECT_ERROR(kOutOfMemory, rows.next());
  EXPECT_ERROR(kOutOfMemory, rows.prev());
  EXPECT_TRUE(rows.row().empty());
  TableScan scan = without_memory([&] { return people_.scan(); });
  EXPECT_ERROR(kOutOfMemory, scan.next());
  EXPECT_TRUE(scan.row().empty());
}

TEST_F(HandleTest, KeysThatAreTooLongNeedNoMemoryToBeRefused) {
  const AllocationsFail spared(false);
  const std::string key(kMaxKeyBytes + 1, 'k');
  const AllocationFault fault(1, true);
  EXPECT_EQ(test_code(expose("put", [&] { return map_.put(key, "v"); })), ErrorCode::kTooLarge);
  std::string value;
  EXPECT_EQ(test_code(expose("get", [&] { return map_.get(key, value); })), ErrorCode::kTooLarge);
}

// A moved-from cursor cannot go on where the other one does.
TEST_F(HandleTest, CursorsThatWereMovedFrom) {
  Cursor cursor = map_.cursor();
  ASSERT_TRUE(*cursor.next());
  Cursor cursor_now = std::move(cursor);
  EXPECT_ERROR(kInvalidArgument, cursor.first());
  EXPECT_ERROR(kInvalidArgument, cursor.last());
  EXPECT_ERROR(kInvalidArgument, cursor.seek("a"));
  EXPECT_ERROR(kInvalidArgument, cursor.floor("a"));
  EXPECT_ERROR(kInvalidArgument, cursor.next());
  EXPECT_ERROR(kInvalidArgument, cursor.prev());
  EXPECT_FALSE(cursor.valid());
  EXPECT_EQ(cursor.key(), "");
  EXPECT_EQ(cursor.value(), "");
  EXPECT_EQ(cursor_now.key(), "k");

  RowCursor rows = by_id_.range();
  ASSERT_TRUE(*rows.next());
  RowCursor rows_now = std::move(rows);
  EXPECT_ERROR(kInvalidArgument, rows.first());
  EXPECT_ERROR(kInvalidArgument, rows.last());
  EXPECT_ERROR(kInvalidArgument, rows.next());
  EXPECT_ERROR(kInvalidArgument, rows.prev());
  EXPECT_FALSE(rows.valid());
  EXPECT_TRUE(rows.row().empty());
  EXPECT_EQ(rows_now.row(), person(1));

  TableScan scan = people_.scan();
  TableScan scan_now = std::move(scan);
  EXPECT_ERROR(kInvalidArgument, scan.next());
  EXPECT_FALSE(scan.valid());
  EXPECT_TRUE(*scan_now.next());
}

// A handle that was moved from is another copy of it: it has nothing that could be in one place only.
TEST_F(HandleTest, HandlesOfObjectsThatWereMovedFrom) {
  Map map_now = std::move(map_);
  EXPECT_EQ(map_.name(), "m");
  EXPECT_EQ(*map_.get("k"), "v");
  EXPECT_EQ(*map_now.get("k"), "v");
  EXPECT_EQ(*map_.count(), 1u);
  Table people_now = std::move(people_);
  EXPECT_EQ(people_.name(), "people");
  EXPECT_EQ(people_.schema(), people_schema());
  EXPECT_EQ(*people_.count(), 3u);
  EXPECT_EQ(*people_now.count(), 3u);
  Index by_id_now = std::move(by_id_);
  EXPECT_EQ(by_id_.name(), "by_id");
  EXPECT_EQ(by_id_.table_name(), "people");
  EXPECT_TRUE((*by_id_.find({std::int64_t{2}})).has_value());
  EXPECT_TRUE((*by_id_now.find({std::int64_t{2}})).has_value());
}

TEST_F(HandleTest, ATransactionThatWasMovedFromHasEnded) {
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "k", "w"));
  Transaction now = std::move(txn);
  EXPECT_FALSE(txn.active());
  EXPECT_ERROR(kInvalidArgument, txn.commit());
  EXPECT_ERROR(kInvalidArgument, txn.commit(Durability::kRelaxed));
  EXPECT_ERROR(kInvalidArgument, txn.rollback());
  EXPECT_ERROR(kInvalidArgument, map_.put(txn, "k", "x"));
  EXPECT_ERROR(kInvalidArgument, map_.get(txn, "k"));
  EXPECT_ERROR(kInvalidArgument, map_.cursor(txn).next());
  EXPECT_ERROR(kInvalidArgument, people_.insert(txn, person(9)));
  EXPECT_ERROR(kInvalidArgument, people_.scan(txn).next());
  EXPECT_ERROR(kInvalidArgument, by_id_.find(txn, {std::int64_t{1}}));
  EXPECT_ERROR(kInvalidArgument, by_id_.range(txn).first());
  ASSERT_OK(now.commit());
  EXPECT_EQ(*map_.get("k"), "w");
}

TEST_F(HandleTest, ADatabaseThatWasMovedFromIsClosed) {
  Database now = std::move(db_);
  EXPECT_ERROR(kClosed, db_.create_map("n"));
  EXPECT_ERROR(kClosed, db_.load_map("n"));
  EXPECT_ERROR(kClosed, db_.open_map("m"));
  EXPECT_ERROR(kClosed, db_.open_or_create_map("m"));
  EXPECT_ERROR(kClosed, db_.drop_map("m"));
  EXPECT_ERROR(kClosed, db_.rename_map("m", "n"));
  EXPECT_ERROR(kClosed, db_.maps());
  EXPECT_ERROR(kClosed, db_.create_table("t", people_schema()));
  EXPECT_ERROR(kClosed, db_.load_table("t", people_schema()));
  EXPECT_ERROR(kClosed, db_.open_table("people"));
  EXPECT_ERROR(kClosed, db_.drop_table("people"));
  EXPECT_ERROR(kClosed, db_.rename_table("people", "t"));
  EXPECT_ERROR(kClosed, db_.tables());
  EXPECT_ERROR(kClosed, db_.create_index("i", "people", {.columns = {{"id"}}}));
  EXPECT_ERROR(kClosed, db_.open_index("by_id"));
  EXPECT_ERROR(kClosed, db_.drop_index("by_id"));
  EXPECT_ERROR(kClosed, db_.rename_index("by_id", "i"));
  EXPECT_ERROR(kClosed, db_.indexes());
  EXPECT_ERROR(kClosed, db_.indexes("people"));
  EXPECT_ERROR(kClosed, db_.set_pinned("m", true));
  EXPECT_ERROR(kClosed, db_.begin());
  EXPECT_ERROR(kClosed, db_.sync());
  EXPECT_ERROR(kClosed, db_.checkpoint());
  EXPECT_ERROR(kClosed, db_.check());
  EXPECT_ERROR(kClosed, db_.stats());
  EXPECT_ERROR(kClosed, db_.map_stats("m"));
  EXPECT_ERROR(kClosed, db_.table_stats("people"));
  EXPECT_ERROR(kClosed, db_.index_stats("by_id"));
  EXPECT_ERROR(kClosed, db_.close());
  EXPECT_EQ(*map_.get("k"), "v");
  db_ = std::move(now);
  ASSERT_OK(db_.maps());
}

TEST_F(HandleTest, LoadsThatWereMovedFromHaveEnded) {
  TableLoad rows = *db_.load_table("t", people_schema());
  TableLoad rows_now = std::move(rows);
  EXPECT_ERROR(kInvalidArgument, rows.add(person(1)));
  EXPECT_ERROR(kInvalidArgument, rows.finish());
  EXPECT_EQ(rows.rows(), 0u);
  MapLoad entries = *db_.load_map("n");
  MapLoad entries_now = std::move(entries);
  EXPECT_ERROR(kInvalidArgument, entries.add("k", "v"));
  EXPECT_ERROR(kInvalidArgument, entries.finish());
  EXPECT_EQ(entries.entries(), 0u);
  ASSERT_OK(entries_now.add("k", "v"));
  ASSERT_OK(entries_now.finish());
  ASSERT_OK(rows_now.add(person(1)));
  ASSERT_OK(rows_now.finish());
}

// The handle is made before the object, so that an error means that there is none.
TEST_F(HandleTest, ACreationThatReportsAnErrorHasMadeNothing) {
  const AllocationsFail spared(false);
  const IndexSpec by_city{.columns = {{"city"}, {"id"}}, .unique = false};
  bool hit = true;
  for (std::uint64_t at = 1; hit; ++at) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    ASSERT_LT(at, 5000u);
    SimFileSystem disk;
    const std::unique_ptr<FileSystem> files = spare_allocations_of(disk);
    Database db = *open_on(*files);
    ASSERT_OK(db.create_table("people", people_schema()));
    Schema schema = people_schema();
    AllocationFault fault(at);
    const bool table = expose("create_table", [&] { return db.create_table("t", std::move(schema)); }).has_value();
    const bool index = expose("create_index", [&] { return db.create_index("i", "people", by_city); }).has_value();
    fault.stop();
    hit = fault.hit();
    if (!db.create_map("probe")) continue;  // poisoned: who calls knows that it is undecided
    EXPECT_EQ(db.open_table("t").has_value(), table);
    EXPECT_EQ(db.open_index("i").has_value(), index);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace vaultgres
