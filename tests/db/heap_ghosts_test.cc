// Goal: the room of rows that were deleted before a crash is given back after it, whoever died with the note of it: the
// collector, a transaction that was rolled back by recovery, or one long before the log that recovery reads. Never
// before undo is complete, and nothing that somebody still needs.
//
// Method: a registered snapshot keeps the collector from what a test deletes until the power is gone.
#include <gtest/gtest.h>

#include "db/core.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class HeapGhostsTest : public ::testing::Test {
 protected:
  static constexpr int kRows = 600;

  static Row row(int id, std::size_t bytes = kPageBytes / 12) { return {id, Value::bytes(std::string(bytes, 'r'))}; }

  /// On `disk`; the table is made when it is not there.
  void open(FileSystem& disk) {
    close();
    Options options = small_options();
    options.cache_bytes = std::size_t{16} << 20;  // an eighth of it remembers what a transaction has deleted
    core_ = *internal::Core::open({&disk, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
    auto table = db_->open_table("t");
    if (!table) {
      table = db_->create_table("t", *Schema::create({{"id", ColumnType::kInt32}, {"data", ColumnType::kBytes}}));
    }
    ASSERT_OK(table);
    table_.emplace(*table);
  }
  void close() {
    hold_ = {};
    table_.reset();
    db_.reset();
    core_.reset();
  }
  /// What is deleted from now on keeps its slots while this process lives.
  void hold_collector() {
    const Engine& engine = core_->engine();
    hold_ = engine.snapshots.enter([&] { return newest_snapshot(engine); });
  }
  void cut_power() {
    ASSERT_OK(db_->sync());
    after_ = disk_.power_cut(disk_.position(), PowerCut::kNone, 0);
    open(*after_);
  }
  void fill() {
    open(disk_);
    for (int i = 0; i < kRows; ++i) {
      const Result<RowId> id = table_->insert(row(i));
      ASSERT_OK(id);
      rows_.push_back(*id);
    }
    // Every tenth is moved.
    for (int i = 0; i < kRows; i += 10)
      ASSERT_OK(table_->update(rows_[static_cast<std::size_t>(i)], row(i, kPageBytes / 5)));
    ASSERT_TRUE(ghosts_go());
    const Result<TableStats> stats = db_->table_stats("t");
    ASSERT_OK(stats);
    EXPECT_GT(stats->moved_rows, 0u);
    pages_ = stats->heap_pages;
  }
  void erase_all(Transaction& txn) {
    for (const RowId id : rows_) {
      const Result<bool> erased = table_->erase(txn, id);
      ASSERT_OK(erased);
      EXPECT_TRUE(*erased);
    }
  }
  /// Rows that are all deleted, and kept from the collector.
  void fill_with_ghosts() {
    ASSERT_NO_FATAL_FAILURE(fill());
    hold_collector();
    auto txn = db_->begin();
    ASSERT_OK(txn);
    ASSERT_NO_FATAL_FAILURE(erase_all(*txn));
    ASSERT_OK(txn->commit());
  }
  std::uint64_t ghosts() {
    const Result<TableStats> stats = db_->table_stats("t");
    EXPECT_TRUE(stats);
    return stats ? stats->ghosts : 0;
  }
  /// Whether the collector comes.
  bool ghosts_go() {
    return comes_true([&] { return ghosts() == 0; });
  }
  /// The same where nobody but a scan meets them. One hands over what it can without waiting, which is nearly all.
  bool ghosts_go_by_scans() {
    unsigned polls = 0;
    return comes_true([&] {
      if (polls++ % 1000 == 0) {
        EXPECT_TRUE(table_->count());
      }
      return ghosts() == 0;
    });
  }
  /// The table is empty, and has room for as much as there was.
  void expect_room() {
    EXPECT_TRUE(ghosts_go()) << ghosts() << " ghosts";
    expect_sound(*db_);
    for (int i = 0; i < kRows; ++i) ASSERT_OK(table_->insert(row(i)));
    EXPECT_LE(db_->table_stats("t")->heap_pages, pages_ + 1);
    expect_sound(*db_);
  }

  SimFileSystem disk_;
  std::unique_ptr<SimFileSystem> after_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::optional<Table> table_;
  SnapshotRegistry::Registration hold_;
  std::vector<RowId> rows_;
  std::uint64_t pages_ = 0;
};

TEST_F(HeapGhostsTest, DeletedShortlyBeforeACrash) {
  ASSERT_NO_FATAL_FAILURE(fill_with_ghosts());
  EXPECT_GE(ghosts(), std::uint64_t{kRows});
  ASSERT_NO_FATAL_FAILURE(cut_power());
  expect_room();
}

// Nothing that recovery reads names these pages: a scan meets the ghosts.
TEST_F(HeapGhostsTest, DeletedLongBeforeACrash) {
  ASSERT_NO_FATAL_FAILURE(fill_with_ghosts());
  ASSERT_OK(db_->checkpoint());
  ASSERT_NO_FATAL_FAILURE(cut_power());
  EXPECT_GE(ghosts(), std::uint64_t{kRows}) << "nobody has met them";
  const Result<std::uint64_t> count = table_->count();
  ASSERT_OK(count);
  EXPECT_EQ(*count, 0u);
  EXPECT_TRUE(ghosts_go_by_scans()) << ghosts() << " ghosts";
  expect_room();
}

// Goal: what recovery rolls back leaves no ghosts, and brings back what was deleted.
TEST_F(HeapGhostsTest, InsertedAndDeletedByTransactionsThatACrashLeavesOpen) {
  ASSERT_NO_FATAL_FAILURE(fill());
  auto inserting = db_->begin();
  ASSERT_OK(inserting);
  for (int i = 0; i < kRows; ++i) ASSERT_OK(table_->insert(*inserting, row(i)));
  auto deleting = db_->begin();
  ASSERT_OK(deleting);
  ASSERT_NO_FATAL_FAILURE(erase_all(*deleting));
  const std::uint64_t pages = db_->table_stats("t")->heap_pages;
  ASSERT_OK(db_->checkpoint());
  ASSERT_OK(db_->sync());
  after_ = disk_.power_cut(disk_.position(), PowerCut::kNone, 0);
  ASSERT_OK(inserting->rollback());
  ASSERT_OK(deleting->rollback());
  open(*after_);
  EXPECT_TRUE(ghosts_go()) << ghosts() << " ghosts";
  EXPECT_EQ(rows_of(*table_).size(), std::size_t{kRows});
  for (int i = 0; i < kRows; ++i) ASSERT_OK(table_->insert(row(i)));
  EXPECT_LE(db_->table_stats("t")->heap_pages, pages + 1);
  expect_sound(*db_);
}

// Goal: a scan hands over what nobody needs, and nothing else: an open transaction's deletions stay what they are.
TEST_F(HeapGhostsTest, ScansLeaveGhostsThatSomebodyNeeds) {
  ASSERT_NO_FATAL_FAILURE(fill());
  auto txn = db_->begin();
  ASSERT_OK(txn);
  ASSERT_NO_FATAL_FAILURE(erase_all(*txn));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(rows_of(*table_).size(), std::size_t{kRows});
    EXPECT_TRUE(rows_of(*table_, *txn).empty());
    ASSERT_TRUE(core_->txns().collect());
  }
  EXPECT_GE(ghosts(), std::uint64_t{kRows});
  ASSERT_OK(txn->rollback());
  EXPECT_EQ(rows_of(*table_).size(), std::size_t{kRows});
  EXPECT_EQ(ghosts(), 0u);
}

// Goal: wherever the power goes while recovery's ghosts are being removed, the rows are the same, and the room comes
// back in the end.
TEST_F(HeapGhostsTest, CutsWhileTheyAreRemoved) {
  ASSERT_NO_FATAL_FAILURE(fill());
  hold_collector();
  auto txn = db_->begin();
  ASSERT_OK(txn);
  for (std::size_t i = 0; i < rows_.size(); i += 2) ASSERT_OK(table_->erase(*txn, rows_[i]));
  ASSERT_OK(txn->commit());
  const Rows rows = rows_of(*table_);
  ASSERT_EQ(rows.size(), std::size_t{kRows} / 2);
  ASSERT_OK(db_->sync());
  auto first = disk_.power_cut(disk_.position(), PowerCut::kNone, 0);
  open(*first);
  ASSERT_TRUE(ghosts_go());
  ASSERT_OK(db_->checkpoint());
  const std::size_t end = first->position();
  TestRandom random;
  for (std::uint64_t i = 0; i < scaled(25); ++i) {
    const std::size_t at = random.uniform(end + 1);
    const PowerCut mode = kPowerCuts[random.uniform(std::size(kPowerCuts))];
    auto image = first->power_cut(at, mode, random.next());
    open(*image);
    ASSERT_EQ(rows_of(*table_), rows) << "cut at " << at;
    ASSERT_TRUE(ghosts_go_by_scans()) << "cut at " << at;
    expect_sound(*db_);
    close();
    if (HasFailure()) FAIL() << "cut at " << at;
  }
}

}  // namespace
}  // namespace vaultgres
