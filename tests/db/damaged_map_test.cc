// Goal: a page of a table's map that has become an older state of itself, with a good checksum, is an error of the scan
// that meets it, not the end of the table; what does not need the map goes on.
#include <gtest/gtest.h>

#include <cstring>

#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "db/core.h"
#include "support/sim_file_system.h"
#include "support/table.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

TEST(DamagedMapTest, AScanDoesNotEndWhereAMapPageHasFewerEntriesThanItHad) {
  SimFileSystem disk;
  const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
  Database db = internal::make_database(core);
  auto table = db.create_table("t", *Schema::create({{"id", ColumnType::kInt64}}));
  ASSERT_OK(table);
  const Result<RowId> row = table->insert({std::int64_t{7}});
  ASSERT_OK(row);
  const Engine& engine = core->engine();
  const Heap heap = (*core->find_table("t"))->heap(engine);
  while (*heap.page_count() <= kMapEntriesMax) {
    ASSERT_OK(heap.append_page(
        [&](MutableBytes image, std::uint32_t number) { build_heap_page(image, heap.object(), number); }));
  }
  ASSERT_EQ(rows_of(*table).size(), 1u);
  PageId first_part;
  {
    const SharedGuard root = *engine.pool.shared(heap.root(), Hint::kNormal);
    ASSERT_EQ(MapPageView(root.page()).level(), 1u);
    first_part = MapPageView(root.page()).id(0);
  }
  {
    LogSpace log_space(engine.log);
    ASSERT_OK(log_space.reserve(log_bytes_for(64)));
    ExclusiveGuard page = *engine.pool.exclusive(first_part, Hint::kNormal);
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_map_truncate(payload, 1);
    mini.add(page, PageOp::kMapTruncate, payload.bytes());
    mini.commit();
    ASSERT_OK(verify_map_page(page.page())) << "would be found at load";
  }
  EXPECT_ERROR(kCorruption, read_rows(table->scan()));
  EXPECT_ERROR(kCorruption, table->count());
  const auto found = table->get(*row);
  ASSERT_OK(found);
  EXPECT_TRUE(found->has_value());
  const auto report = db.check();
  ASSERT_OK(report);
  EXPECT_FALSE(report->problems.empty());
}

}  // namespace
}  // namespace vaultgres
