// Goal: whoever reads of a page that check() found nobody to own learns whether it is lost, or whether its owner may
// only be unreadable. An index that has as many entries as its table has rows, but not theirs, is noticed, and each row
// that lacks its entry is named.
#include <gtest/gtest.h>

#include "base/function_ref.h"
#include "base/payload_buffer.h"
#include "buffer/mini_txn.h"
#include "db/core.h"
#include "db/damage_support.h"
#include "support/sim_file_system.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

TEST(CheckTest, APageThatNobodyOwnsInASoundDatabase) {
  SimFileSystem disk;
  const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
  Database db = internal::make_database(core);
  const Engine& engine = core->engine();
  PageReservation lost = *engine.space.reserve(1);
  {
    LogSpace log_space(engine.log);
    ASSERT_OK(log_space.reserve(log_bytes_for(64)));
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    ASSERT_TRUE(engine.space.add_to(mini, lost.ids(), {}));
    mini.commit();
    lost.committed(1);
  }
  const auto report = db.check();
  ASSERT_OK(report);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_EQ(report->problems[0].page, raw(lost[0]));
  EXPECT_EQ(report->problems[0].what, "is allocated, but nothing owns it");
}

TEST(CheckTest, PagesThatOnlyADamagedOneLedTo) {
  SimFileSystem disk;
  PageId root{};
  {
    const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
    Database db = internal::make_database(core);
    Map map = *db.create_map("m");
    for (int i = 0; i < 100; ++i) ASSERT_OK(map.put(std::to_string(i), std::string(kPageBytes / 10, 'v')));
    ASSERT_GT(db.map_stats("m")->leaf_pages, 5u);
    root = (*core->find_map("m"))->root;
    ASSERT_OK(db.close());
  }
  overwrite(disk, "/db/data.vg", std::uint64_t{raw(root)} * kPageBytes, std::vector<std::byte>(kPageBytes));
  Database db = *open_on(disk);
  const auto report = db.check();
  ASSERT_OK(report);
  ASSERT_GT(report->problems.size(), 5u);
  EXPECT_EQ(report->problems[0].page, raw(root));
  for (std::size_t i = 1; i < report->problems.size(); ++i) {
    EXPECT_EQ(report->problems[i].what,
              "is allocated, but nothing that could be read leads to it; its owner may be among the problems above");
  }
}

/// A table whose rows have the numbers 0, 10, 20, …, and an index over these; the first leaf of that can be changed
/// without the table.
class WrongIndexTest : public ::testing::Test {
 protected:
  static constexpr int kRows = 200;

  void create(bool unique) {
    Table table = *db_.create_table("t", *Schema::create({{"n", ColumnType::kInt64}}));
    for (int i = 0; i < kRows; ++i) ASSERT_OK(table.insert({Value(10 * i)}));
    ASSERT_OK(db_.create_index("i", "t", {.columns = {{"n"}}, .unique = unique}));
    expect_sound(db_);
  }

  Tree tree() const { return (*core_->find_index("i"))->tree(core_->engine()); }
  /// `latch()` gives the page. Log is reserved before, as always.
  void change(PageOp op, const PayloadBuffer& payload, FunctionRef<Result<ExclusiveGuard>()> latch) {
    const Engine& engine = core_->engine();
    LogSpace log_space(engine.log);
    ASSERT_OK(log_space.reserve(log_bytes_for(payload.bytes().size())));
    ExclusiveGuard page = *latch();
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    mini.add(page, op, payload.bytes());
    mini.commit();
  }
  void change_leaf(PageOp op, const PayloadBuffer& payload) {
    change(op, payload, [&] { return tree().write_leaf({}); });
  }
  std::pair<std::string, std::string> entry(unsigned slot) const {
    std::pair<std::string, std::string> entry;
    EXPECT_TRUE(tree().read_leaf({}, [&](const NodeView& leaf) {
      std::array<std::byte, kKeyBytesMax> key;
      entry.first = as_text(Bytes(key).first(leaf.copy_key(slot, key)));
      entry.second = as_text(leaf.value(slot));
    }));
    return entry;
  }
  void expect_rows_without_entry(std::size_t rows) {
    const auto report = db_.check();
    ASSERT_OK(report);
    EXPECT_EQ(report->problems.size(), rows);
    for (const CheckProblem& problem : report->problems) {
      EXPECT_EQ(problem.object, "i");
      EXPECT_NE(problem.what.find("has no entry for the row "), std::string::npos) << problem.what;
    }
  }

  SimFileSystem disk_;
  const std::shared_ptr<internal::Core> core_ = *internal::Core::open({&disk_, nullptr, "/db"}, small_options());
  Database db_ = internal::make_database(core_);
};

TEST_F(WrongIndexTest, TwoEntriesLeadToEachOthersRows) {
  ASSERT_NO_FATAL_FAILURE(create(true));
  const auto first = entry(3);
  const auto second = entry(4);
  ASSERT_NE(first.second, second.second);
  for (const auto& [slot, value] : {std::pair(3u, second.second), std::pair(4u, first.second)}) {
    PayloadBuffer payload;
    encode_node_replace(payload, slot, 0, as_bytes(value), OldRoom::kGivenUp);
    ASSERT_NO_FATAL_FAILURE(change_leaf(PageOp::kNodeReplace, payload));
  }
  expect_rows_without_entry(2);
}

TEST_F(WrongIndexTest, AnEntryLeadsToAnotherRow) {
  ASSERT_NO_FATAL_FAILURE(create(false));
  auto [key, value] = entry(3);
  {
    PayloadBuffer payload;
    encode_node_remove(payload, 3);
    ASSERT_NO_FATAL_FAILURE(change_leaf(PageOp::kNodeRemove, payload));
  }
  key.back() = static_cast<char>(key.back() ^ 0x40);  // of the TID
  PayloadBuffer payload;
  encode_node_insert(payload, 3, 0, as_bytes(key), as_bytes(value));
  ASSERT_NO_FATAL_FAILURE(change_leaf(PageOp::kNodeInsert, payload));
  expect_rows_without_entry(1);
}

// A row that was never let in, however it came there, is damage that is named; the check goes on.
TEST_F(WrongIndexTest, ARowCanHaveNoEntry) {
  Table table = *db_.create_table("t", *Schema::create({{"s", ColumnType::kText}}));
  ASSERT_OK(db_.create_index("i", "t", {.columns = {{"s"}}}));
  const RowId id = *table.insert({Value("short")});
  std::string row;
  ASSERT_OK((*core_->find_table("t"))->codec.encode(Row{Value(std::string(kKeyBytesMax + 1, 'l'))}, row));
  PayloadBuffer payload;
  encode_heap_update(payload, id.slot, {HeapKind::kRow}, as_bytes(row));
  const auto latch = [&] { return core_->engine().pool.exclusive(PageId{id.page}, Hint::kNormal); };
  ASSERT_NO_FATAL_FAILURE(change(PageOp::kHeapUpdate, payload, latch));
  const auto report = db_.check();
  ASSERT_OK(report);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_EQ(report->problems[0].object, "i");
  EXPECT_EQ(report->problems[0].page, id.page);
  EXPECT_NE(report->problems[0].what.find("can have no entry for the row "), std::string::npos)
      << report->problems[0].what;
}

}  // namespace
}  // namespace vaultgres
