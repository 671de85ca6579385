// Goal: whatever instant the power goes, tables hold what was acknowledged, at most the one step under way besides;
// every index of theirs says the same; no page is lost, and the database goes on.
//
// Method: that of power_cut_test.cc, with a workload most of whose changes go to a table with a unique and another
// index: rows that grow and shrink, some beyond their page, some beyond any page; transactions over rows, maps and
// several tables, rolled back or not; refused duplicates; tables made, loaded and dropped, indexes made and dropped
// meanwhile. Failing I/O with the same workload: fault_sweep_test.cc; the order of writes: ordering_test.cc; killed
// processes: stress/kill_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "db/crash_support.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class TableCrashTest : public PowerCutTest {
 protected:
  TableCrashTest() {
    workload_.tables = true;
    workload_.keys = 200;
    workload_.value_bytes_max = kPageBytes / 8;
    workload_.ddl_one_in = 12;
    // A transaction must fit into what an eighth of the cache can remember, whatever the seed.
    workload_.cache_bytes = std::size_t{512} << 10;
  }
};

TEST_F(TableCrashTest, OneThread) {
  workload_.steps = 250;
  record_and_cut(scaled(450));
}

TEST_F(TableCrashTest, FourThreadsSharePagesAndCommits) {
  workload_.threads = 4;
  workload_.steps = 100;
  record_and_cut(scaled(300));
}

TEST_F(TableCrashTest, MoreDataThanCache) {
  workload_.threads = 2;
  workload_.steps = 120;
  workload_.keys = 2000;
  workload_.ops_max = 16;
  workload_.large_one_in = 8;
  workload_.ddl_one_in = 40;
  record_and_cut(scaled(100));
}

TEST_F(TableCrashTest, MostlyChangesOfTheCatalog) {
  workload_.steps = 150;
  workload_.ddl_one_in = 2;
  record_and_cut(scaled(200));
}

TEST_F(TableCrashTest, ManyCheckpoints) {
  workload_.threads = 2;
  workload_.steps = 60;
  workload_.checkpoint_one_in = 3;
  record_and_cut(scaled(100));
}

TEST_F(TableCrashTest, RelaxedCommitsAreLostFromTheEndOnly) {
  workload_.threads = 2;
  workload_.steps = 150;
  workload_.durability = Durability::kRelaxed;
  record_and_cut(scaled(100));
}

TEST_F(TableCrashTest, DuringRecovery) {
  workload_.threads = 2;
  workload_.steps = 100;
  ASSERT_NO_FATAL_FAILURE(record());
  check_recoveries(scaled(5));
}

TEST_F(TableCrashTest, AfterAKillNothingUnsyncedCountsAsDurable) {
  workload_.threads = 2;
  workload_.steps = 100;
  ASSERT_NO_FATAL_FAILURE(record());
  check_kills(scaled(15));
}

// A transaction nearly as large as the cache, never committed: its pages have reached the disk, and all goes.
TEST_F(TableCrashTest, AnOpenTransactionLeavesNothing) {
  workload_.steps = 80;
  workload_.cache_bytes = std::size_t{2} << 20;
  ASSERT_NO_FATAL_FAILURE(record(false));
  const std::size_t from = disk_.position();
  {
    Result<Transaction> txn = left_open_->begin();
    ASSERT_OK(txn);
    Result<Table> table = left_open_->open_table(kWorkloadTable);
    ASSERT_OK(table);
    std::vector<RowId> rows;
    for (const auto& [id, row] : rows_of(*table)) rows.push_back(id);
    TestRandom random(5);
    for (int i = 0; i < 200; ++i) {
      const std::string value(random.one_in(4) ? random.uniform(3 * kPageBytes) : random.uniform(300), 'u');
      if (rows.empty() || random.one_in(2)) {
        const Result<RowId> id = table->insert(*txn, workload_row("new" + std::to_string(i), value));
        ASSERT_OK(id);
        rows.push_back(*id);
      } else if (const RowId id = rows[random.uniform(rows.size())]; random.one_in(4)) {
        ASSERT_OK(table->erase(*txn, id));
        std::erase(rows, id);
      } else {
        ASSERT_OK(table->update(*txn, id, workload_row("new" + std::to_string(i), value)));
      }
      if (i % 100 != 50) continue;
      ASSERT_OK(left_open_->checkpoint());
    }
    check_cuts(disk_, scaled(40), from);
  }
  left_open_.reset();  // rolled back, closed
  check_cuts(disk_, scaled(30), disk_.position() * 9 / 10);
}

// The same for a load: the name is free, and no page is lost.
TEST_F(TableCrashTest, AnUnfinishedLoadLeavesNothing) {
  workload_.steps = 40;
  workload_.cache_bytes = std::size_t{2} << 20;
  ASSERT_NO_FATAL_FAILURE(record(false));
  const std::size_t from = disk_.position();
  {
    Result<TableLoad> load = left_open_->load_table("loaded", workload_schema());
    ASSERT_OK(load);
    for (int i = 0; i < 3000; ++i) {
      const std::string value(i % 100 == 0 ? 3 * kPageBytes : 100 + i % 300, 'l');
      ASSERT_OK(load->add(workload_row(std::to_string(i), value)));
      if (i % 1000 != 500) continue;
      ASSERT_OK(left_open_->checkpoint());
    }
    check_cuts(disk_, scaled(30), from);
  }
  left_open_.reset();  // given up, closed
  check_cuts(disk_, scaled(30), from);
}

// Goal: whatever part of a renaming is in the log, the undo of somebody else's changes finds the table. Its catalog row
// is so long that it stands in a chain, as the row of no map does.
TEST(TableRenameTest, AnOpenWriterOfAWideTableIsUndoneWhereverARenamingIsCut) {
  SimFileSystem disk;
  auto db = open_on(disk);
  ASSERT_OK(db);
  std::vector<Column> columns;
  for (int i = 0; i < 300; ++i) {
    columns.push_back({"column " + std::to_string(i) + std::string(100, 'x'), ColumnType::kInt64, true});
  }
  auto table = db->create_table("before", *Schema::create(columns));
  ASSERT_OK(table);
  Row row(columns.size());
  row[0] = Value(1);
  ASSERT_OK(table->insert(row));
  auto txn = db->begin();
  ASSERT_OK(txn);
  ASSERT_OK(table->insert(*txn, row));
  auto map = db->create_map("map");
  ASSERT_OK(map);
  std::vector<std::size_t> acknowledged{disk.position()};  // where each renaming ended
  // Somebody else's commits take a part of a renaming to the disk.
  std::atomic<bool> stop{false};
  std::thread others([&] {
    while (!stop.load()) ASSERT_OK(map->put("key", "value"));
  });
  const char* names[] = {"before", "after"};
  constexpr std::size_t kRenamings = 20;
  for (std::size_t i = 0; i < kRenamings; ++i) {
    ASSERT_OK(db->rename_table(names[i % 2], names[1 - i % 2]));
    acknowledged.push_back(disk.position());
  }
  stop.store(true);
  others.join();
  unsigned renamed = 0;
  constexpr std::size_t kStates = 160;
  constexpr std::size_t kStatesEach = kStates / kRenamings;
  for (std::size_t i = 0; i < kStates; ++i) {
    const std::size_t begin = acknowledged[i / kStatesEach];
    const std::size_t at = begin + (acknowledged[i / kStatesEach + 1] - begin) * (i % kStatesEach) / kStatesEach;
    const auto image = disk.power_cut(at, PowerCut::kAll, i);
    auto again = open_on(*image);
    ASSERT_OK(again);
    auto found = again->open_table("after");
    renamed += found ? 1 : 0;
    if (!found) found = again->open_table("before");
    ASSERT_OK(found);
    const auto rows = found->count();
    ASSERT_OK(rows);
    EXPECT_EQ(*rows, 1u);
    expect_sound(*again);
    if (::testing::Test::HasFailure()) FAIL() << "cut at " << at;
  }
  std::printf("%u of %u states renamed\n", renamed, static_cast<unsigned>(kStates));
  EXPECT_GT(renamed, 0u);
  EXPECT_LT(renamed, kStates);
  ASSERT_OK(txn->rollback());
}

}  // namespace
}  // namespace vaultgres
