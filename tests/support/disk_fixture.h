// What tests of what a database gives back begin with: a database on a simulated disk, opened again at any time.
#pragma once

#include <optional>

#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {

class DatabaseOnDiskTest : public ::testing::Test {
 protected:
  DatabaseOnDiskTest() { reopen(); }
  void reopen() {
    db_.reset();
    db_.emplace(*open_on(disk_));
  }
  /// Soon, no more than `pages` are in use.
  void expect_given_back(std::uint64_t pages) {
    EXPECT_TRUE(comes_true([&] { return pages_in_use(*db_) <= pages; })) << pages_in_use(*db_) << " of " << pages;
    expect_sound(*db_);
  }

  SimFileSystem disk_;
  std::optional<Database> db_;
};

}  // namespace vaultgres
