// Goal: rows of the catalog that are sound by themselves, but say of objects what cannot be, are damage that opening
// reports: never two objects with one id, nor a table that is none.
//
// Method: rows are put into the catalog's tree behind the database's back; then it is opened again.
#include <gtest/gtest.h>

#include "catalog/catalog_entry.h"
#include "db/catalog_rows.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "txn/row_ops.h"

namespace vaultgres {
namespace {

class HostileCatalogTest : public ::testing::Test {
 protected:
  HostileCatalogTest() : core_(*internal::Core::open({&disk_, nullptr, "/db"}, small_options())) {
    db_.emplace(internal::make_database(core_));
    EXPECT_TRUE(db_->create_map("map"));
    EXPECT_TRUE(db_->create_table("table", people_schema()));
  }

  CatalogEntry entry_of(std::string_view name) {
    const auto object = *core_->find_object(name);
    CatalogEntry entry;
    entry.kind = object->kind;
    entry.object = object->object;
    entry.root = object->root;
    return entry;
  }
  void add_row(std::string_view name, const CatalogEntry& entry) {
    const std::shared_ptr<internal::OpenTransaction> open = core_->begin();
    ASSERT_OK(put_entry(core_->engine(), core_->txns(), *open->txn, internal::catalog_tree(core_->engine()),
                        as_bytes(name), as_bytes(encode_catalog_entry(entry))));
    ASSERT_OK(core_->end(*open, CommitMode::kDurable));
  }
  /// What opening the database again says.
  std::string open_again() {
    EXPECT_TRUE(db_->close());
    db_.reset();
    core_.reset();
    const Result<Database> db = open_on(disk_);
    if (db) return "it opens";
    EXPECT_EQ(db.error().code(), ErrorCode::kCorruption);
    return std::string(db.error().message());
  }

  SimFileSystem disk_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
};

TEST_F(HostileCatalogTest, TwoObjectsWithOneIdAreRefused) {
  ASSERT_NO_FATAL_FAILURE(add_row("twin", entry_of("map")));
  EXPECT_NE(open_again().find("which another object has"), std::string::npos);
}

TEST_F(HostileCatalogTest, AnObjectWithTheIdOfTheCatalogIsRefused) {
  CatalogEntry entry = entry_of("map");
  entry.object = kCatalogObject;
  entry.root = kCatalogRootPage;
  ASSERT_NO_FATAL_FAILURE(add_row("catalog", entry));
  EXPECT_NE(open_again().find("which another object has"), std::string::npos);
}

TEST_F(HostileCatalogTest, AnIndexOfAMapIsRefused) {
  CatalogEntry entry = entry_of("map");
  entry.kind = ObjectKind::kIndex;
  entry.index = IndexDefinition{entry.object, false, {{0, false}}};
  entry.object = ObjectId{raw(entry.object) + 500};
  ASSERT_NO_FATAL_FAILURE(add_row("index", entry));
  EXPECT_NE(open_again().find("an index \"index\" without its table"), std::string::npos);
}

}  // namespace
}  // namespace vaultgres
