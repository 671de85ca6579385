// Goal: where memory ends in a call on a table or an index, alone or within a transaction, in a change of the catalog,
// a scan, a check or a close, the call gives an error and has changed nothing, in rows and in every index; or the
// database is poisoned, and is whole when it is opened again. The same for an open that recovers tables.
//
// Method: a session with a table of two indexes runs with its k-th allocation failing, once or all from there on, for
// many k. The rows that must be there are known after every call.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "db/allocation_support.h"
#include "support/cases.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

const IndexSpec kById{.columns = {{"id"}}, .unique = true};
const IndexSpec kByCityDescending{.columns = {{"city", true}, {"name"}}, .unique = false};

using People = std::map<std::int64_t, Row>;

People people_of(const Rows& rows) {
  People people;
  for (const auto& [id, row] : rows) people.emplace(row[0].integer(), row);
  return people;
}

std::string difference(const People& found, const People& expected) {
  for (const auto& [id, row] : expected) {
    const auto there = found.find(id);
    if (there == found.end()) return "row " + std::to_string(id) + " is missing";
    if (there->second != row) return "row " + std::to_string(id) + " is another";
  }
  return found.size() == expected.size() ? "" : "there are rows too many";
}

/// Uses a table in every way; knows what must be there.
class TableSession {
 public:
  /// `takes_errors_for_success`: as somebody would who does not look at what calls return.
  TableSession(Database& db, People& people, bool takes_errors_for_success)
      : db_(db),
        table_(*db.open_table("people")),
        people_(people),
        takes_errors_for_success_(takes_errors_for_success) {
    for (const auto& [id, row] : rows_of(table_)) ids_[row[0].integer()] = id;
  }

  /// Until the end, or until the database is poisoned.
  void run() {
    change_alone();
    change_in_transaction(true);
    change_in_transaction(false);
    read();
    change_catalog();
    if (alive_) note(expose("checkpoint", [&] { return db_.checkpoint(); }), "checkpoint");
    if (alive_) note(expose("check", [&] { return db_.check(); }), "check");
    if (alive_) note(expose("table_stats", [&] { return db_.table_stats("people"); }), "table_stats");
  }

  bool poisoned() const { return !alive_; }
  /// Once poisoned: what the change that met it may have done although it failed.
  const People& in_doubt() const { return in_doubt_; }
  std::uint64_t errors() const { return errors_; }

 private:
  template <class T>
  bool note(const Result<T>& result, const char* what) {
    if (result) return true;
    ++errors_;
    const ErrorCode code = result.error().code();
    EXPECT_TRUE(code == ErrorCode::kOutOfMemory || code == ErrorCode::kPoisoned ||
                (code == ErrorCode::kConflict && in_transaction_))
        << what << ": " << error_code_name(code) << ": " << result.error().message();
    const auto still = db_.sync();
    if (!still && still.error().code() == ErrorCode::kPoisoned) alive_ = false;
    return false;
  }

  /// One change, of `after` as well when it succeeds.
  bool change(std::uint64_t i, Transaction* txn, People& after, std::map<std::int64_t, RowId>& ids) {
    const std::int64_t fresh = static_cast<std::int64_t>(1000 + i) + (txn != nullptr ? 100 : 0);
    const std::int64_t old = static_cast<std::int64_t>(i * 5 % 60);
    const Row row = person(i % 4 == 0 ? fresh : old, i % 3 == 0 ? 2 * kPageBytes : 40 * i);
    if (i % 4 == 0 || !ids.contains(old)) {
      if (ids.contains(row[0].integer())) return true;
      const auto inserted =
          expose("insert", [&] { return txn != nullptr ? table_.insert(*txn, row) : table_.insert(row); });
      after[row[0].integer()] = row;
      if (!note(inserted, "insert")) return false;
      ids[row[0].integer()] = *inserted;
      return true;
    }
    const RowId id = ids.at(old);
    if (i % 4 == 3) {
      const auto erased = expose("erase", [&] { return txn != nullptr ? table_.erase(*txn, id) : table_.erase(id); });
      after.erase(old);
      if (!note(erased, "erase")) return false;
      EXPECT_TRUE(*erased);
      ids.erase(old);
      return true;
    }
    after[old] = row;
    return note(
        expose("update", [&] { return txn != nullptr ? table_.update(*txn, id, row) : table_.update(id, row); }),
        "update");
  }

  void change_alone() {
    for (std::uint64_t i = 0; i < 12 && alive_; ++i) {
      People after = people_;
      const bool done = change(i, nullptr, after, ids_);
      settle(done, std::move(after), "a single change");
    }
  }

  void change_in_transaction(bool commit) {
    if (!alive_) return;
    Result<Transaction> txn = expose("begin", [&] { return db_.begin(); });
    if (!note(txn, "begin")) return;
    in_transaction_ = true;
    People after = people_;
    auto ids = ids_;
    bool whole = true;
    for (std::uint64_t i = 12; i < 20 && alive_ && whole; ++i) whole = change(i, &*txn, after, ids);
    if (commit && whole && alive_) {
      const bool done = note(expose("commit", [&] { return txn->commit(); }), "commit");
      if (done) ids_ = std::move(ids);
      settle(done, std::move(after), "a commit");
    } else {
      note(expose("rollback", [&] { return txn->rollback(); }), "rollback");
      settle(false, people_, "a rollback");
    }
    in_transaction_ = false;
  }

  void read() {
    if (!alive_) return;
    const Result<Index> by_id = db_.open_index("by_id");
    ASSERT_OK(by_id);
    for (const auto& [number, id] : ids_) {
      const Row key{Value(number)};
      const auto found = expose("find", [&, &place = key] { return by_id->find(place); });
      if (note(found, "find")) {
        EXPECT_TRUE(*found && (*found)->values == people_.at(number)) << number;
      }
      const auto row = expose("get", [&, &place = id] { return table_.get(place); });
      if (note(row, "get")) {
        EXPECT_EQ(*row, std::optional(people_.at(number)));
      }
    }
    TableScan scan = table_.scan();
    walk(
        "scan", [&] { return scan.next(); }, [&] { return scan.row(); });
    const Result<Index> by_city = db_.open_index("by_city");
    ASSERT_OK(by_city);
    RowCursor cursor = by_city->range();
    walk(
        "range", [&] { return cursor.next(); }, [&] { return cursor.row(); });
    const auto count = expose("count", [&] { return table_.count(); });
    if (note(count, "count")) {
      EXPECT_EQ(*count, people_.size());
    }
  }
  /// A walk that does not end by an error gives every row once.
  template <class Next, class RowOf>
  void walk(const char* what, Next&& next, RowOf&& row_of) {
    People met;
    for (;;) {
      const Result<bool> more = expose(what, next);
      if (!note(more, what)) return;
      if (!*more) break;
      const Row row = row_of();
      EXPECT_TRUE(met.emplace(row[0].integer(), row).second) << what << " gives a row twice";
    }
    EXPECT_EQ(difference(met, people_), "") << what;
  }

  void change_catalog() {
    if (!alive_) return;
    const IndexSpec by_name{.columns = {{"name"}, {"city"}}, .unique = false};
    if (note(expose("create_index", [&] { return db_.create_index("third", "people", by_name); }), "create_index") &&
        alive_) {
      note(expose("drop_index", [&] { return db_.drop_index("third"); }), "drop_index");
    }
    if (alive_) settle(false, people_, "an index that came or went");
    if (!alive_) return;
    Schema schema = people_schema();
    Result<TableLoad> load = expose("load_table", [&] { return db_.load_table("l", std::move(schema)); });
    if (!note(load, "load_table")) return;
    for (std::int64_t i = 0; i < 30 && alive_; ++i) {
      const Row row = person(i, i == 7 ? 2 * kPageBytes : 20);
      note(expose("add", [&] { return load->add(row); }), "add");
    }
    if (alive_ && note(expose("finish", [&] { return load->finish(); }), "finish") && alive_) {
      note(expose("drop_table", [&] { return db_.drop_table("l"); }), "drop_table");
    }
  }

  /// The rows must be as they were, or after the change, when that succeeded; either is right once poisoned.
  void settle(bool done, People after, const char* what) {
    done |= takes_errors_for_success_;
    if (done) people_ = after;
    in_doubt_ = alive_ ? people_ : std::move(after);
    if (!alive_) return;
    EXPECT_EQ(difference(people_of(expect_agreement(db_, table_)), people_), "")
        << "after " << what << (done ? "" : " that failed");
  }

  Database& db_;
  Table table_;
  People& people_;
  const bool takes_errors_for_success_;
  People in_doubt_ = people_;
  std::map<std::int64_t, RowId> ids_;
  bool alive_ = true;
  bool in_transaction_ = false;
  std::uint64_t errors_ = 0;
};

/// A disk with people, as somebody left it who was killed with a transaction open.
class TableWithoutMemoryTest : public ::testing::Test {
 protected:
  TableWithoutMemoryTest() {
    const AllocationsFail spared(false);
    options_.lock_timeout = std::chrono::milliseconds(200);
    SimFileSystem disk;
    Database db = *open_on(disk, options_);
    Table table = *db.create_table("people", people_schema());
    EXPECT_TRUE(db.create_index("by_id", "people", kById));
    EXPECT_TRUE(db.create_index("by_city", "people", kByCityDescending));
    std::vector<RowId> ids;
    for (std::int64_t i = 0; i < 120; ++i) {
      people_[i] = person(i, i % 30 == 0 ? 2 * kPageBytes : 10 * i % 400);
      const Result<RowId> id = table.insert(people_[i]);
      EXPECT_TRUE(id);
      ids.push_back(*id);
    }
    Transaction open = *db.begin();
    for (std::int64_t i = 0; i < 30; ++i) {
      EXPECT_TRUE(table.update(open, ids[i * 3], person(5000 + i, i % 7 == 0 ? 2 * kPageBytes : 300)));
      EXPECT_TRUE(table.insert(open, person(6000 + i)));
      EXPECT_TRUE(table.erase(open, ids[i * 3 + 1]));
    }
    people_[200] = person(200);
    EXPECT_TRUE(table.insert(people_[200]));  // so that all before is in the file
    disk.settle();
    killed_ = disk.killed();
  }

  static People read(Database& db) { return people_of(expect_agreement(db, *db.open_table("people"))); }

  /// A session on a copy of the disk with a fault; whether the fault hit.
  bool session_with_fault(std::uint64_t at, bool sticky, bool takes_errors_for_success = false) {
    const AllocationsFail spared(false);
    SCOPED_TRACE("allocation " + std::to_string(at) + (sticky ? " and all later ones" : ""));
    const auto disk = killed_->killed();
    People people = people_;
    People in_doubt;
    bool poisoned = false;
    bool hit = false;
    {
      const auto files = spare_allocations_of(*disk);
      Database db = *open_on(*files, options_);
      std::optional<TableSession> session(std::in_place, db, people, takes_errors_for_success);
      AllocationFault fault(at, sticky);
      session->run();
      hit = fault.hit();
      fault.stop();
      poisoned = session->poisoned();
      in_doubt = session->in_doubt();
      errors_ += session->errors();
      poisoned_ += poisoned;
      if (!poisoned) {
        EXPECT_EQ(difference(read(db), people), "");
        expect_sound(db);
      }
      session.reset();
      const Status closed = db.close();
      EXPECT_EQ(closed.has_value(), !poisoned) << (closed ? "" : closed.error().message());
    }
    Database db = *open_on(*disk, options_);
    const People found = read(db);
    EXPECT_TRUE(difference(found, people).empty() || (poisoned && difference(found, in_doubt).empty()))
        << "after reopening: " << difference(found, people);
    expect_sound(db);
    return hit;
  }

  /// An open of a copy of the disk, with a fault; whether the fault hit.
  bool open_with_fault(std::uint64_t at, bool sticky) {
    const AllocationsFail spared(false);
    SCOPED_TRACE("allocation " + std::to_string(at) + (sticky ? " and all later ones" : ""));
    const auto disk = killed_->killed();
    bool hit = false;
    {
      const auto files = spare_allocations_of(*disk);
      AllocationFault fault(at, sticky);
      const Result<Database> db = expose("open", [&] { return open_as_public(*files, options_); });
      fault.stop();
      hit = fault.hit();
      if (!db) {
        EXPECT_EQ(db.error().code(), ErrorCode::kOutOfMemory) << db.error().message();
        ++errors_;
      }
    }
    Database db = *open_on(*disk, options_);
    EXPECT_EQ(difference(read(db), people_), "");
    expect_sound(db);
    return hit;
  }
  /// As Database::open() does.
  static Result<Database> open_as_public(FileSystem& files, const Options& options) {
    return internal::catch_bad_alloc([&] { return open_on(files, options); });
  }

  /// `run(at, sticky)` for each of the first allocations, then one out of each of as many parts.
  template <class Run>
  void sweep(std::uint64_t runs, Run&& run) {
    CaseCount cases("R6");
    TestRandom random;
    std::uint64_t last = 1;
    for (; run(last, false); last *= 2) ++cases;
    ASSERT_GT(last, 64u);
    for (std::uint64_t i = 0; i < runs && !HasFailure(); ++i) {
      const std::uint64_t at = case_in_part(i, runs, last, random);
      if (run(at, random.one_in(3))) ++cases;
    }
    std::printf("of %llu allocations, %llu errors, %llu poisoned\n", static_cast<unsigned long long>(last),
                static_cast<unsigned long long>(errors_), static_cast<unsigned long long>(poisoned_));
    EXPECT_GT(errors_, 2u);
  }

  Options options_ = small_options();
  std::unique_ptr<SimFileSystem> killed_;
  People people_;
  std::uint64_t errors_ = 0;
  std::uint64_t poisoned_ = 0;
};

TEST_F(TableWithoutMemoryTest, TheKthAllocationOfCallsFails) {
  Watchdog watchdog("sessions", std::chrono::seconds(120));
  sweep(scaled(60), [&](std::uint64_t at, bool sticky) { return session_with_fault(at, sticky); });
}

// The test of the test.
TEST_F(TableWithoutMemoryTest, ControlAnErrorThatIsTakenForASuccessIsNoticed) {
  ::testing::TestPartResultArray complaints;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &complaints);
    for (std::uint64_t at = 1; at < 40 && complaints.size() == 0; ++at) session_with_fault(at, false, true);
  }
  EXPECT_GT(complaints.size(), 0);
}

TEST_F(TableWithoutMemoryTest, TheKthAllocationOfAnOpenThatRecoversFails) {
  Watchdog watchdog("opens", std::chrono::seconds(120));
  sweep(scaled(40), [&](std::uint64_t at, bool sticky) { return open_with_fault(at, sticky); });
}

}  // namespace
}  // namespace vaultgres
