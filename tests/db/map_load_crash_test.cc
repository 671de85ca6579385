// Goal: whatever instant the power goes, a load's map is there with all its entries or there is no trace of it: every
// page is owned once or free, the database goes on, and what was left of the load is given back.
//
// Method: entries are added, most of them large, while another thread's durable commits take the log to the disk after
// any of the load's records. Cuts fall between the building of a chain and its leaf; between its leaf and its
// attaching, which follows at once, only where such a commit came at that very moment.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "db/crash_support.h"
#include "support/scale.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class MapLoadCrashTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kEntries = 1000;

  static Options options() {
    Options options = small_options();
    options.cache_bytes = kPageBytes == 1024 ? std::size_t{256} << 10 : std::size_t{2} << 20;
    return options;
  }
  static std::string key_of(std::uint64_t i) {
    char text[32];
    std::snprintf(text, sizeof text, "key %06llu", static_cast<unsigned long long>(i));
    return text;
  }
  static std::string value_of(std::uint64_t i) {
    const std::size_t bytes = i % 9 == 0 ? kPageBytes * (1 + i % 4) : i % 9 == 1 ? i % 40 : kPageBytes / 2;
    return std::string(bytes, static_cast<char>('a' + i % 26));
  }

  /// A map of somebody else's, and what the database needs without the load.
  void open() {
    db_.emplace(*open_on(disk_, options()));
    other_.emplace(*db_->create_map("other"));
    ASSERT_OK(other_->put("stays", std::string(3 * kPageBytes, 's')));
    pages_without_ = pages_in_use(*db_);
    from_ = disk_.position();
  }
  void add_entries(MapLoad& load) {
    std::atomic<bool> stop{false};
    std::thread committer([&] {
      while (!stop.load()) EXPECT_TRUE(other_->put("count", "again"));
    });
    for (std::uint64_t i = 0; i < kEntries; ++i) {
      const std::string value = value_of(i);
      EXPECT_TRUE(load.add(key_of(i), value));
      expected_.emplace(key_of(i), value);
      if (i % 400 == 300) {
        EXPECT_TRUE(db_->checkpoint());
      }
    }
    stop.store(true);
    committer.join();
  }

  /// `named_from`: from this place of the trace on the map must be there.
  void check_cut(const Cut& cut, std::size_t named_from) {
    const auto after = disk_.power_cut(cut.position, cut.mode, cut.seed);
    Result<Database> db = open_on(*after, options());
    ASSERT_OK(db);
    expect_sound(*db);
    Result<Map> map = db->open_map("m");
    if (map) {
      ++named_;
      const Content found = content_of(*map);
      ASSERT_TRUE(found == expected_) << found.size() << " entries";
      ASSERT_OK(db->drop_map("m"));
    } else {
      ASSERT_LT(cut.position, named_from) << "finish() had returned";
    }
    // Numbers of transactions and pages that the dead load had may be given again while its remains are freed.
    Map other = *db->open_map("other");
    for (int i = 0; i < 3; ++i) ASSERT_OK(other.put("after", std::string(5 * kPageBytes, 'x')));
    ASSERT_TRUE(*other.erase("after"));
    EXPECT_TRUE(comes_true([&] { return pages_in_use(*db) <= pages_without_ + 12; }))
        << pages_in_use(*db) << " of " << pages_without_;
    expect_sound(*db);
    EXPECT_EQ(other.get("stays")->value_or("").size(), 3 * kPageBytes);
  }
  void check_cuts(std::uint64_t count, std::size_t from, std::size_t named_from) {
    TestRandom random(1);
    for (const Cut& cut : choose_cuts(disk_.trace(), from, count, random)) {
      check_cut(cut, named_from);
      if (HasFailure()) FAIL() << describe(cut) << ", of " << disk_.position();
    }
  }

  SimFileSystem disk_;
  std::optional<Database> db_;
  std::optional<Map> other_;
  Content expected_;
  std::uint64_t pages_without_ = 0;
  std::size_t from_ = 0;
  unsigned named_ = 0;
};

TEST_F(MapLoadCrashTest, AllOrNothingWhereverTheLoadIsCut) {
  open();
  {
    MapLoad load = *db_->load_map("m");
    add_entries(load);
    const std::size_t before_finish = disk_.position();
    ASSERT_OK(load.finish());
    const std::size_t finished = disk_.position();
    ASSERT_OK(other_->put("count", "all"));
    check_cuts(scaled(150), from_, finished);
    check_cuts(scaled(30), before_finish, finished);
    check_cut({finished, PowerCut::kNone, 0}, finished);
  }
  EXPECT_GT(named_, 0u);
}

TEST_F(MapLoadCrashTest, NothingOfALoadThatWasGivenUp) {
  open();
  std::size_t given_up = 0;
  {
    MapLoad load = *db_->load_map("m");
    add_entries(load);
    given_up = disk_.position();
  }
  // While the collector frees it.
  EXPECT_TRUE(comes_true([&] { return pages_in_use(*db_) <= pages_without_ + 8; }));
  ASSERT_OK(db_->close());
  check_cuts(scaled(60), given_up, SIZE_MAX);
  EXPECT_EQ(named_, 0u);
}

// The same for what a recovery does with it, and the recovery after that.
TEST_F(MapLoadCrashTest, CutAgainWhileItsRemainsAreFreed) {
  open();
  MapLoad load = *db_->load_map("m");
  add_entries(load);
  TestRandom random(2);
  for (std::uint64_t round = 0; round < scaled(6); ++round) {
    const auto crashed = disk_.power_cut(random.between(from_, disk_.position()), PowerCut::kRandom, random.next());
    {
      Database db = *open_on(*crashed, options());
      EXPECT_ERROR(kNotFound, db.open_map("m"));
      EXPECT_TRUE(comes_true([&] { return pages_in_use(db) <= pages_without_ + 8; }));
    }
    for (const Cut& cut : choose_cuts(crashed->trace(), 0, 8, random)) {
      const auto again = crashed->power_cut(cut.position, cut.mode, cut.seed);
      Database db = *open_on(*again, options());
      expect_sound(db);
      EXPECT_ERROR(kNotFound, db.open_map("m"));
      EXPECT_TRUE(comes_true([&] { return pages_in_use(db) <= pages_without_ + 8; })) << pages_in_use(db);
      expect_sound(db);
      if (HasFailure()) FAIL() << "round " << round << ", " << describe(cut);
    }
  }
}

}  // namespace
}  // namespace vaultgres
