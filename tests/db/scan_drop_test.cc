// Goal: a scan of a table that is dropped meanwhile reads none of its pages any more, which may be somebody else's: not
// even ahead.
#include <gtest/gtest.h>

#include "support/database.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

TEST(ScanDropTest, AScanReadsNothingAheadOfATableThatIsGone) {
  SimFileSystem disk;
  {
    Database db = *open_on(disk);
    TableLoad load = *db.load_table("t", *Schema::create({{"data", ColumnType::kBytes}}));
    for (int i = 0; i < 2000; ++i) ASSERT_OK(load.add({Value::bytes(std::string(kPageBytes / 5, 'r'))}));
    ASSERT_OK(load.finish());
  }
  const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
  Database db = internal::make_database(core);
  TableScan scan = db.open_table("t")->scan();
  const auto step = [&] {  // how many pages it had to read
    const std::uint64_t before = pages_visited().loaded;
    const Result<bool> more = scan.next();
    EXPECT_TRUE(more && *more);
    return pages_visited().loaded - before;
  };
  step();
  const std::uint32_t first_page = scan.id().page;
  std::uint64_t rows_per_page = 1;
  std::uint64_t run = step();
  for (; scan.id().page == first_page; run = step()) ++rows_per_page;
  while (run == 0) run = step();
  ASSERT_GT(run, 1u) << "nothing is read ahead";
  for (std::uint64_t i = 1; i < run * rows_per_page; ++i) ASSERT_EQ(step(), 0u);
  // Here the next pages would come. They stay what they are while somebody might read the table.
  const Engine& engine = core->engine();
  const auto hold = engine.snapshots.enter([&] { return newest_snapshot(engine); });
  ASSERT_OK(db.drop_table("t"));
  const std::uint64_t before = pages_visited().loaded;
  EXPECT_ERROR(kNotFound, scan.next());
  EXPECT_EQ(pages_visited().loaded, before);
}

}  // namespace
}  // namespace vaultgres
