// Goal: whoever reads of a page that check() found nobody to own learns whether it is lost, or whether its owner may
// only be unreadable.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace vaultgres
