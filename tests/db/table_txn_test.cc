// Goal: transactions over tables are atomic and isolated: nobody else sees their uncommitted rows, by scan, index or
// place; they see their own; rollback restores rows, indexes and large values; writers of one row wait for each other.
#include <gtest/gtest.h>

#include <atomic>

#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

Options impatient() {
  Options options = small_options();
  options.lock_timeout = std::chrono::milliseconds(50);
  return options;
}

class TableTxnTest : public PeopleTest {
 protected:
  TableTxnTest() : PeopleTest(impatient()), by_id_(unique_id()), by_city_(cities()) {}

  RowId place_of(std::int64_t id) { return by_id_.find({id}).value()->id; }
  /// Everything that `txn` (none: anybody) can see is this.
  void expect_seen(const Transaction* txn, const Rows& rows) {
    const Rows scanned = txn != nullptr ? rows_of(people_, *txn) : rows_of(people_);
    EXPECT_EQ(scanned, rows);
    ASSERT_OK(check_index(by_id_, rows, txn));
    ASSERT_OK(check_index(by_city_, rows, txn));
    for (const auto& [id, row] : rows) {
      const auto found = txn != nullptr ? people_.get(*txn, id) : people_.get(id);
      ASSERT_OK(found);
      EXPECT_EQ(*found, row);
    }
  }
  /// Random changes of `rows` within `txn`.
  void change(TestRandom& random, Transaction& txn, Rows& rows, int changes) {
    std::vector<RowId> ids;
    for (const auto& [id, row] : rows) ids.push_back(id);
    for (int i = 0; i < changes; ++i) {
      const std::size_t bytes = random.one_in(15)  ? random.uniform(3 * kPageBytes)
                                : random.one_in(3) ? random.uniform(kPageBytes / 4)
                                                   : random.uniform(60);
      if (ids.empty() || random.one_in(3)) {
        const Row row = person(++next_id_, bytes);
        const Result<RowId> id = people_.insert(txn, row);
        ASSERT_OK(id);
        ASSERT_TRUE(rows.emplace(*id, row).second) << "the place of a living row was given away";
        ids.push_back(*id);
        continue;
      }
      const RowId id = ids[random.uniform(ids.size())];
      if (random.one_in(3)) {
        const Result<bool> erased = people_.erase(txn, id);
        ASSERT_OK(erased);
        ASSERT_TRUE(*erased);
        rows.erase(id);
        std::erase(ids, id);
      } else {
        const Row row = person(random.one_in(2) ? ++next_id_ : rows[id][0].integer(), bytes);
        ASSERT_OK(people_.update(txn, id, row));
        rows[id] = row;
      }
    }
  }

  Index by_id_;
  Index by_city_;
  std::int64_t next_id_ = 1000;
};

TEST_F(TableTxnTest, OthersSeeAllOfACommitAndNothingBefore) {
  fill(1, 30);
  Rows changed = rows_;
  TestRandom random;
  Transaction txn = *db_.begin();
  Transaction other = *db_.begin();
  change(random, txn, changed, 60);
  if (HasFatalFailure()) return;
  expect_seen(&txn, changed);
  expect_seen(nullptr, rows_);
  expect_seen(&other, rows_);
  std::thread([&] { expect_seen(nullptr, rows_); }).join();
  ASSERT_OK(txn.commit());
  ASSERT_OK(other.rollback());
  expect_seen(nullptr, changed);
  rows_ = changed;
  expect_rows();
}

TEST_F(TableTxnTest, RollbackRestoresRowsIndexesAndLargeValues) {
  TestRandom random;
  for (std::int64_t i = 1; i <= 200; ++i) {
    const Row row = person(i, i % 20 == 0 ? 4 * kPageBytes : random.uniform(kPageBytes / 4));
    rows_[*people_.insert(row)] = row;
  }
  expect_rows();
  for (int round = 0; round < 6; ++round) {
    Rows changed = rows_;
    Transaction txn = *db_.begin();
    change(random, txn, changed, 150);
    if (HasFatalFailure()) return;
    expect_seen(&txn, changed);
    if (round % 2 == 0) {
      ASSERT_OK(txn.rollback());
    } else {
      Transaction dropped = std::move(txn);  // destruction rolls back
    }
    expect_seen(nullptr, rows_);
    expect_rows();
  }
}

TEST_F(TableTxnTest, CommitsAndRollbacksInTurnKeepRowsAndIndexesTogether) {
  TestRandom random;
  fill(1, 40);
  for (std::uint64_t round = 0; round < scaled(60); ++round) {
    Rows changed = rows_;
    Transaction txn = *db_.begin();
    change(random, txn, changed, static_cast<int>(random.uniform(25)));
    if (HasFatalFailure()) return;
    if (random.one_in(2)) {
      ASSERT_OK(txn.commit());
      rows_ = std::move(changed);
    } else {
      ASSERT_OK(txn.rollback());
    }
    ASSERT_EQ(expect_agreement(db_, people_), rows_) << "round " << round;
  }
  expect_rows();
}

TEST_F(TableTxnTest, AWriterWaitsForAnotherAndThenConflicts) {
  fill(1, 5);
  const RowId id = place_of(3);
  Transaction txn = *db_.begin();
  ASSERT_OK(people_.update(txn, id, person(3, 50)));
  EXPECT_ERROR(kConflict, people_.update(id, person(3, 60)));
  EXPECT_ERROR(kConflict, people_.erase(id));
  Transaction second = *db_.begin();
  EXPECT_ERROR(kConflict, people_.update(second, id, person(3, 70)));
  const Result<RowId> added = people_.insert(second, person(6));
  ASSERT_OK(added) << "a conflict leaves the transaction as it was";
  ASSERT_OK(second.commit());
  rows_[*added] = person(6);
  ASSERT_OK(txn.commit());
  rows_[id] = person(3, 50);
  expect_rows();
  ASSERT_OK(people_.update(id, person(3, 80)));
}

TEST_F(TableTxnTest, WhetherAKeyIsTakenIsNotDecidedBeforeTheCommit) {
  fill(1, 3);
  Transaction txn = *db_.begin();
  ASSERT_OK(people_.insert(txn, person(4)));
  ASSERT_TRUE(*people_.erase(txn, place_of(1)));
  EXPECT_ERROR(kConflict, people_.insert(person(4)));
  EXPECT_ERROR(kConflict, people_.insert(person(1)));
  EXPECT_ERROR(kDuplicateKey, people_.insert(person(2)));
  ASSERT_OK(txn.rollback());
  EXPECT_ERROR(kDuplicateKey, people_.insert(person(1)));
  const Result<RowId> four = people_.insert(person(4));
  ASSERT_OK(four);
  rows_[*four] = person(4);
  expect_rows();
}

TEST_F(TableTxnTest, ATransactionErasesWhatItInsertedAndInsertsItAgain) {
  fill(1, 3);
  Transaction txn = *db_.begin();
  const RowId first = *people_.insert(txn, person(10));
  EXPECT_TRUE(*people_.erase(txn, first));
  EXPECT_FALSE(*people_.erase(txn, first));
  EXPECT_ERROR(kNotFound, people_.update(txn, first, person(10)));
  EXPECT_EQ(*people_.get(txn, first), std::nullopt);
  const RowId second = *people_.insert(txn, person(10));
  const RowId one = place_of(1);
  EXPECT_TRUE(*people_.erase(txn, one));
  const RowId third = *people_.insert(txn, person(1, 77));
  Rows changed = rows_;
  changed.erase(one);
  changed[second] = person(10);
  changed[third] = person(1, 77);
  expect_seen(&txn, changed);
  expect_seen(nullptr, rows_);
  ASSERT_OK(txn.commit());
  rows_ = changed;
  expect_rows();
}

TEST_F(TableTxnTest, OneTransactionOverMapsAndTables) {
  Map map = *db_.create_map("m");
  Table other = *db_.create_table("other", people_schema());
  fill(1, 3);
  for (const bool commit : {false, true}) {
    Transaction txn = *db_.begin();
    ASSERT_OK(map.put(txn, "k", "v"));
    const RowId row = *people_.insert(txn, person(10));
    ASSERT_OK(other.insert(txn, person(11)));
    EXPECT_EQ(*other.count(), 0u);
    if (!commit) {
      ASSERT_OK(txn.rollback());
      EXPECT_EQ(*map.get("k"), std::nullopt);
      EXPECT_EQ(*other.count(), 0u);
      expect_rows();
      continue;
    }
    ASSERT_OK(txn.commit());
    EXPECT_EQ(**map.get("k"), "v");
    EXPECT_EQ(*other.count(), 1u);
    rows_[row] = person(10);
    expect_rows();
  }
}

TEST_F(TableTxnTest, ATableWithOpenWritersIsNeitherDroppedNorIndexed) {
  fill(1, 3);
  Transaction txn = *db_.begin();
  const RowId id = *people_.insert(txn, person(10));
  EXPECT_ERROR(kConflict, db_.drop_table("people"));
  EXPECT_ERROR(kConflict, db_.drop_index("by_city"));
  EXPECT_ERROR(kConflict, db_.create_index("x", "people", {.columns = {{"name"}}, .unique = false}));
  ASSERT_OK(people_.insert(txn, person(11))) << "refused changes of the catalog leave the transaction as it was";
  ASSERT_OK(txn.rollback());
  expect_rows();
  ASSERT_OK(db_.create_index("x", "people", {.columns = {{"name"}}, .unique = false}));
  rows_[*people_.insert(person(12))] = person(12);
  EXPECT_FALSE(rows_.contains(id) && rows_[id] != person(12));
  expect_rows();
  ASSERT_OK(db_.drop_table("people"));
}

// Goal: a row that was moved and is changed in its new place stays hidden from others although the page of its old
// place, which does not change, is evicted meanwhile. A page as recovery has written it knows nothing of history.
TEST(MovedRowTest, AChangeIsHiddenWhileTheHomeIsEvicted) {
  const Row before = person(0, kPageBytes / 6);
  SimFileSystem disk;
  RowId id;
  std::unique_ptr<SimFileSystem> killed;
  {
    auto db = open_on(disk);
    ASSERT_OK(db);
    auto people = db->create_table("people", people_schema());
    ASSERT_OK(people);
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(kPageBytes / 40); ++i) {
      const auto row = people->insert(person(i));
      ASSERT_OK(row);
      if (i == 0) id = *row;
    }
    ASSERT_OK(people->update(id, before));  // beyond its page, which is full
    killed = disk.killed();
  }
  auto db = open_on(*killed);
  ASSERT_OK(db);
  auto people = db->open_table("people");
  ASSERT_OK(people);
  ASSERT_EQ(db->table_stats("people")->moved_rows, 1u);
  // Enough to push out what is clean; a scan alone leaves others' pages in the cache.
  auto load = db->load_table("others", people_schema());
  ASSERT_OK(load);
  for (std::int64_t i = 0; i < 40000; ++i) ASSERT_OK(load->add(person(i, 60)));
  const auto others = load->finish();
  ASSERT_OK(others);
  std::vector<RowId> ids;
  TableScan scan = others->scan();
  for (auto more = scan.next(); more && *more; more = scan.next()) ids.push_back(scan.id());
  ASSERT_EQ(ids.size(), 40000u);
  ASSERT_OK(db->checkpoint());

  auto txn = db->begin();
  ASSERT_OK(txn);
  Row changed = before;
  changed[1] = Value("uncommitted");
  ASSERT_OK(people->update(*txn, id, changed));
  for (int i = 0; i < 4; ++i) {
    for (const RowId other : ids) ASSERT_OK(others->get(other));
  }
  const auto seen = people->get(id);
  ASSERT_OK(seen);
  ASSERT_TRUE(seen->has_value());
  EXPECT_EQ(**seen, before);
  ASSERT_OK(txn->rollback());
  EXPECT_EQ(**people->get(id), before);
  expect_sound(*db);
}

TEST_F(TableTxnTest, AnEndedTransactionSaysSo) {
  fill(1, 3);
  const RowId id = rows_.begin()->first;
  Transaction txn = *db_.begin();
  ASSERT_OK(txn.commit());
  EXPECT_ERROR(kInvalidArgument, people_.insert(txn, person(4)));
  EXPECT_ERROR(kInvalidArgument, people_.update(txn, id, person(4)));
  EXPECT_ERROR(kInvalidArgument, people_.erase(txn, id));
  EXPECT_ERROR(kInvalidArgument, people_.get(txn, id));
  EXPECT_ERROR(kInvalidArgument, by_id_.find(txn, {1}));
  EXPECT_ERROR(kInvalidArgument, by_id_.range(txn).next());
  EXPECT_ERROR(kInvalidArgument, by_id_.range(txn).first());
  EXPECT_ERROR(kInvalidArgument, by_id_.range(txn).last());
  auto map = db_.create_map("map");
  ASSERT_OK(map);
  EXPECT_ERROR(kInvalidArgument, map->cursor(txn).first());
  EXPECT_ERROR(kInvalidArgument, people_.scan(txn).next());
  expect_rows();
}

// Pairs of rows change together: each reader, in a transaction or not, meets a row of a pair that is whole, and a
// unique key at most once, while rows grow, move and go back by rollback.
TEST_F(TableTxnTest, ReadersNeverSeeAnUncommittedRow) {
  const Watchdog watchdog("readers and a writer", std::chrono::seconds(120));
  fill(1, 50);
  const auto is_committed = [](const Row& row) { return row[1].text() != "uncommitted"; };
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> seen{0};
  const auto read = [&](const std::function<Result<bool>()>& next, const std::function<const Row&()>& row) {
    for (;;) {
      const Result<bool> more = next();
      ASSERT_OK(more);
      if (!*more) return;
      ASSERT_TRUE(is_committed(row()));
      seen.fetch_add(1);
    }
  };
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      while (!done.load() && !HasFatalFailure()) {
        if (t == 0) {
          TableScan scan = people_.scan();
          read([&] { return scan.next(); }, [&]() -> const Row& { return scan.row(); });
        } else {
          RowCursor cursor = by_city_.range();
          read([&] { return cursor.next(); }, [&]() -> const Row& { return cursor.row(); });
        }
        const auto found = by_id_.find({7});
        ASSERT_OK(found);
        ASSERT_TRUE(found->has_value()) << "a row that no commit ever took away is missing";
        ASSERT_TRUE(is_committed((*found)->values));
      }
    });
  }
  TestRandom random;
  std::vector<RowId> ids;
  for (const auto& [id, row] : rows_) ids.push_back(id);
  for (std::uint64_t round = 0; (round < scaled(400) || seen.load() == 0) && !HasFatalFailure(); ++round) {
    Transaction txn = *db_.begin();
    std::map<RowId, Row> last;
    for (int i = 0; i < 6; ++i) {
      const RowId id = ids[random.uniform(ids.size())];
      Row row = person(rows_[id][0].integer(), random.uniform(kPageBytes / 4));
      row[2] = static_cast<std::int32_t>(random.uniform(7));
      last[id] = row;
      row[1] = "uncommitted";
      ASSERT_OK(people_.update(txn, id, row));
    }
    if (random.one_in(2)) {
      ASSERT_OK(txn.rollback());
      continue;
    }
    for (const auto& [id, row] : last) ASSERT_OK(people_.update(txn, id, row));
    ASSERT_OK(txn.commit());
    for (const auto& [id, row] : last) rows_[id] = row;
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(seen.load(), 0u);
  expect_rows();
}

}  // namespace
}  // namespace vaultgres
