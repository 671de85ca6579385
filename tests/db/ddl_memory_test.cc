// Goal: whatever allocation fails in a call that creates, drops, renames or loads something, what it reports is what
// has happened, in memory and on disk; or the database is poisoned, and has the one or the other when it is opened
// again.
//
// Method: each allocation of a call fails in turn. A call that failed has changed nothing; one that succeeded is taken
// back by its opposite. The disk is looked at as a kill would leave it.
#include <gtest/gtest.h>

#include "db/allocation_support.h"
#include "support/cases.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

const IndexSpec kByCity{.columns = {{"city"}, {"id"}}, .unique = false};

/// Everything that a catalog says, and how much there is of it.
std::string catalog_of(Database& db) {
  std::string text;
  const std::vector<MapInfo> maps = *db.maps();
  const std::vector<TableInfo> tables = *db.tables();
  const std::vector<IndexInfo> indexes = *db.indexes();
  for (const MapInfo& map : maps) text += "map " + map.name + "\n";
  for (const TableInfo& table : tables) {
    text += "table " + table.name + " " + std::to_string(*db.open_table(table.name)->count()) + "\n";
  }
  for (const IndexInfo& index : indexes) {
    std::uint64_t rows = 0;
    RowCursor cursor = db.open_index(index.name)->range();
    for (Result<bool> more = cursor.first(); more && *more; more = cursor.next()) ++rows;
    text += "index " + index.name + " of " + index.table + " " + std::to_string(rows) + "\n";
  }
  return text;
}

struct DdlCall {
  const char* name;
  Status (*run)(Database& db);     ///< exposed: every call that it makes of the library
  Status (*before)(Database& db);  ///< makes what `run` takes away or builds on
  Status (*undo)(Database& db);    ///< the opposite of `run`
};

Status nothing(Database&) {
  return {};
}

Status load_people(Database& db) {
  Schema schema = people_schema();
  Result<TableLoad> load = expose("load_table", [&] { return db.load_table("loaded", std::move(schema)); });
  if (!load) return load.error();
  for (std::int64_t i = 0; i < 40; ++i) {
    const Row row = person(i, i == 7 ? 2 * kPageBytes : 20);
    if (Status added = expose("add", [&] { return load->add(row); }); !added) return added;
  }
  return status_of(expose("finish", [&] { return load->finish(); }));
}

const DdlCall kCalls[] = {
    {"create_map", [](Database& db) { return status_of(expose("create_map", [&] { return db.create_map("new"); })); },
     nothing, [](Database& db) { return db.drop_map("new"); }},
    {"create_table",
     [](Database& db) {
       Schema schema = people_schema();
       return status_of(expose("create_table", [&] { return db.create_table("new", std::move(schema)); }));
     },
     nothing, [](Database& db) { return db.drop_table("new"); }},
    {"create_index",
     [](Database& db) {
       return status_of(expose("create_index", [&] { return db.create_index("new", "people", kByCity); }));
     },
     nothing, [](Database& db) { return db.drop_index("new"); }},
    {"load_table", load_people, nothing, [](Database& db) { return db.drop_table("loaded"); }},
    {"rename_table",
     [](Database& db) { return expose("rename_table", [&] { return db.rename_table("people", "persons"); }); }, nothing,
     [](Database& db) { return db.rename_table("persons", "people"); }},
    {"rename_index",
     [](Database& db) { return expose("rename_index", [&] { return db.rename_index("by_id", "by_number"); }); },
     nothing, [](Database& db) { return db.rename_index("by_number", "by_id"); }},
    {"drop_map", [](Database& db) { return expose("drop_map", [&] { return db.drop_map("gone"); }); },
     [](Database& db) { return status_of(db.create_map("gone")); },
     [](Database& db) { return status_of(db.create_map("gone")); }},
    {"drop_table", [](Database& db) { return expose("drop_table", [&] { return db.drop_table("gone"); }); },
     [](Database& db) { return status_of(db.create_table("gone", people_schema())); },
     [](Database& db) { return status_of(db.create_table("gone", people_schema())); }},
    {"drop_index", [](Database& db) { return expose("drop_index", [&] { return db.drop_index("gone"); }); },
     [](Database& db) { return status_of(db.create_index("gone", "people", kByCity)); },
     [](Database& db) { return status_of(db.create_index("gone", "people", kByCity)); }},
};

class DdlWithoutMemoryTest : public ::testing::TestWithParam<DdlCall> {
 protected:
  DdlWithoutMemoryTest() {
    open();
    EXPECT_TRUE(db_->create_map("m"));
    Table people = *db_->create_table("people", people_schema());
    EXPECT_TRUE(db_->create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
    for (std::int64_t i = 0; i < 60; ++i) EXPECT_TRUE(people.insert(person(i)));
    EXPECT_TRUE(GetParam().before(*db_));
    before_ = catalog_of(*db_);
    EXPECT_EQ(test_text(GetParam().run(*db_)), "");
    after_ = catalog_of(*db_);
    EXPECT_EQ(test_text(GetParam().undo(*db_)), "");
    EXPECT_EQ(catalog_of(*db_), before_);
  }
  void open() {
    db_.reset();
    files_ = spare_allocations_of(*disk_);
    db_.emplace(*open_on(*files_));
  }
  /// What a kill now would leave.
  std::string catalog_on_disk() {
    const auto killed = disk_->killed();
    Database db = *open_on(*killed);
    expect_sound(db);
    return catalog_of(db);
  }

  std::unique_ptr<SimFileSystem> disk_ = std::make_unique<SimFileSystem>();
  std::unique_ptr<FileSystem> files_;
  std::optional<Database> db_;
  std::string before_;
  std::string after_;
};

INSTANTIATE_TEST_SUITE_P(Calls, DdlWithoutMemoryTest, ::testing::ValuesIn(kCalls),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(DdlWithoutMemoryTest, WhatItReportsIsWhatHasHappened) {
  Watchdog watchdog(GetParam().name, std::chrono::seconds(60));
  const AllocationsFail spared(false);
  CaseCount cases("R6");
  unsigned failed = 0;
  unsigned poisoned = 0;
  bool hit = true;
  for (std::uint64_t at = 1; hit; ++at, ++cases) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    ASSERT_LT(at, 5000u);
    watchdog.feed(GetParam().name + (", allocation " + std::to_string(at)));
    AllocationFault fault(at);
    const Status done = GetParam().run(*db_);
    fault.stop();
    hit = fault.hit();
    if (!db_->open_map("m")->contains("k")) {
      ++poisoned;
      open();
      const std::string content = catalog_of(*db_);
      ASSERT_TRUE(content == before_ || content == after_) << content;
      expect_sound(*db_);
      if (content == after_) {
        ASSERT_OK(GetParam().undo(*db_));
      }
    } else if (done) {
      ASSERT_EQ(catalog_of(*db_), after_);
      ASSERT_OK(GetParam().undo(*db_));
    } else {
      ++failed;
      ASSERT_EQ(done.error().code(), ErrorCode::kOutOfMemory) << done.error().message();
      ASSERT_EQ(catalog_of(*db_), before_);
      if (failed % 4 == 0) {
        ASSERT_EQ(catalog_on_disk(), before_);
      }
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(failed, 0u);
  std::printf("%u errors, %u poisoned\n", failed, poisoned);
  expect_sound(*db_);
  open();
  EXPECT_EQ(catalog_of(*db_), before_);
  expect_sound(*db_);
}

}  // namespace
}  // namespace vaultgres
