// Goal: statistics of an object that is dropped meanwhile say that it is gone, not that its pages are damaged.
//
// Method: the file system stops the walk at one of its reads; the object is dropped, and many of its pages are given
// back, before it goes on.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "btree/node.h"
#include "support/hooked_file_system.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class StatsOfDroppedTest : public ::testing::Test {
 protected:
  StatsOfDroppedTest() : db_(*open_on(files_)) {
    Map map = *db_.create_map("m");
    Table people = *db_.create_table("people", people_schema());
    EXPECT_TRUE(db_.create_index("by_id", "people", {.columns = {{"id"}, {"data"}}, .unique = false}));
    Transaction txn = *db_.begin();
    const std::size_t data = std::min<std::size_t>(300, kPageBytes / 10);   // it stands in a key
    for (std::int64_t id = 0; id < 1'200'000 / std::int64_t(data); ++id) {  // more than the cache
      EXPECT_TRUE(people.insert(txn, person(id, data)));
      EXPECT_TRUE(map.put(txn, std::to_string(1000000 + id),
                          std::string(std::min<std::size_t>(600, inline_value_max(8)), 'v')));
      if (id % 200 != 0) continue;
      EXPECT_TRUE(txn.commit());
      txn = *db_.begin();
    }
    EXPECT_TRUE(txn.commit());
    EXPECT_TRUE(db_.checkpoint());
  }

  /// Before the `at`-th read of a page from now on, in the thread that reads, `drop()` runs, and pages are given back.
  void drop_at_read(unsigned at, std::function<Status()> drop) {
    const std::thread::id reader = std::this_thread::get_id();
    on_read_ = [this, reader, left = at, drop = std::move(drop)]() mutable {
      if (std::this_thread::get_id() != reader || dropper_.joinable() || left-- > 1) return;
      // In another thread: this one has the latch of the page that it reads.
      std::thread([&] {
        const std::uint64_t pages = pages_in_use(db_);
        dropper_ = std::thread([drop] { EXPECT_EQ(test_text(drop()), ""); });
        EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) + 20 < pages; }));
      }).join();
    };
    armed_.store(true);
  }
  void disarm() {
    armed_.store(false);
    ASSERT_TRUE(dropper_.joinable()) << "the walk read too few pages";
    dropper_.join();
  }

  std::atomic<bool> armed_ = false;
  std::function<void()> on_read_;
  std::thread dropper_;
  SimFileSystem disk_;
  HookedFileSystem files_{disk_, [this](FileCall call, const std::string& path) {
                            if (armed_.load() && call == FileCall::kRead && path.starts_with("/db/data.vg")) on_read_();
                          }};
  Database db_;
};

TEST_F(StatsOfDroppedTest, Map) {
  drop_at_read(60, [this] { return db_.drop_map("m"); });
  EXPECT_ERROR(kNotFound, db_.map_stats("m"));
  disarm();
}

TEST_F(StatsOfDroppedTest, Table) {
  drop_at_read(60, [this] { return db_.drop_table("people"); });
  EXPECT_ERROR(kNotFound, db_.table_stats("people"));
  disarm();
}

TEST_F(StatsOfDroppedTest, Index) {
  drop_at_read(60, [this] { return db_.drop_index("by_id"); });
  EXPECT_ERROR(kNotFound, db_.index_stats("by_id"));
  disarm();
}

}  // namespace
}  // namespace vaultgres
