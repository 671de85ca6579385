// Goal: whoever reads of a page that check() found nobody to own learns whether it is lost, or whether its owner may
// only be unreadable. An index that has as many entries as its table has rows, but not theirs, is noticed, and each row
// that lacks its entry is named.
#include <gtest/gtest.h>

#include "base/payload_buffer.h"
#include "buffer/mini_txn.h"
#include "db/core.h"
#include "db/damage_support.h"
#include "db/entry_sum.h"
#include "support/random.h"
#include "support/scale.h"
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
  void change_leaf(PageOp op, const PayloadBuffer& payload) {
    const Engine& engine = core_->engine();
    LogSpace log_space(engine.log);
    ASSERT_OK(log_space.reserve(log_bytes_for(256)));
    ExclusiveGuard leaf = *tree().write_leaf({});
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    mini.add(leaf, op, payload.bytes());
    mini.commit();
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

TEST_F(WrongIndexTest, AnEntryLeadsToARowThatIsNotThere) {
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

// What is the same in any order is the same; what differs in any way differs.
TEST(EntrySumTest, TellsSetsApart) {
  using internal::EntrySum;
  using Entries = std::vector<std::pair<std::string, std::string>>;
  const auto sum_of = [](const Entries& entries) {
    EntrySum sum;
    for (const auto& [key, value] : entries) sum.add(as_bytes(key), as_bytes(value));
    return sum;
  };
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(2000); ++round) {
    Entries entries;
    for (std::uint64_t i = 0; i < 2 + random.uniform(20); ++i) {
      entries.emplace_back(random.bytes(1 + random.uniform(40)) + std::to_string(i),
                           random.bytes(random.uniform(8)) + "v");
    }
    const EntrySum sum = sum_of(entries);
    Entries other(entries.rbegin(), entries.rend());
    EXPECT_EQ(sum_of(other), sum);
    const auto expect_differs = [&](const Entries& changed, const char* what) {
      EXPECT_NE(sum_of(changed), sum) << what;
    };
    other = entries;
    std::swap(other[0].second, other[1].second);
    if (other != entries) expect_differs(other, "values of two keys exchanged");
    other = entries;
    other[0].first += other[0].second.front();
    other[0].second.erase(0, 1);
    expect_differs(other, "a byte of the value in the key");
    other = entries;
    for (auto& entry : other) entry.first.back() = static_cast<char>(entry.first.back() ^ 1);
    expect_differs(other, "the same bit of each key");
    other = entries;
    other.pop_back();
    expect_differs(other, "one is missing");
  }
}

}  // namespace
}  // namespace vaultgres
