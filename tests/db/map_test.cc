// Goal: maps do what their header says, one thread, every call; results equal a std::map's.
#include <gtest/gtest.h>

#include "support/scale.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class MapTest : public ::testing::Test {
 protected:
  MapTest() : db_(*Database::open_in_memory(small_options())), map_(*db_.create_map("m")) {}
  Database db_;
  Map map_;
};

TEST_F(MapTest, PutGetEraseOnAnEmptyMap) {
  EXPECT_EQ(*map_.get("a"), std::nullopt);
  EXPECT_FALSE(*map_.erase("a"));
  ASSERT_OK(map_.put("a", "1"));
  EXPECT_EQ(**map_.get("a"), "1");
  ASSERT_OK(map_.put("a", "2"));
  EXPECT_EQ(**map_.get("a"), "2");
  EXPECT_TRUE(*map_.contains("a"));
  EXPECT_TRUE(*map_.erase("a"));
  EXPECT_FALSE(*map_.erase("a"));
  EXPECT_FALSE(*map_.contains("a"));
  expect_sound(db_);
}

TEST_F(MapTest, TheEmptyKeyAndTheEmptyValueAreOrdinary) {
  ASSERT_OK(map_.put("", ""));
  EXPECT_EQ(**map_.get(""), "");
  ASSERT_OK(map_.put(std::string(1, '\0'), "nul"));
  EXPECT_EQ(content_of(map_), (Content{{"", ""}, {std::string(1, '\0'), "nul"}}));
}

TEST_F(MapTest, InsertRefusesAKeyThatIsThere) {
  ASSERT_OK(map_.insert("k", "1"));
  EXPECT_ERROR(kDuplicateKey, map_.insert("k", "2"));
  EXPECT_EQ(**map_.get("k"), "1");
  ASSERT_TRUE(*map_.erase("k"));
  ASSERT_OK(map_.insert("k", "3"));
  EXPECT_EQ(**map_.get("k"), "3");
}

TEST_F(MapTest, KeysAtTheLimitWorkAndOneByteMoreIsRefused) {
  const std::string longest(kKeyBytesMax, 'x');
  ASSERT_OK(map_.put(longest, "v"));
  EXPECT_EQ(**map_.get(longest), "v");
  EXPECT_ERROR(kTooLarge, map_.put(longest + "x", "v"));
  EXPECT_ERROR(kTooLarge, map_.get(longest + "x"));
  EXPECT_ERROR(kTooLarge, map_.erase(longest + "x"));
}

// Goal: visits and loads say what reads found in the cache. Method: gets of one leaf only hit; then others, in a cache
// that holds a fraction, miss, too. Visits are counted by the thousand.
TEST_F(MapTest, VisitsAndLoadsAreCounted) {
  ASSERT_OK(map_.put("k", "v"));
  const DatabaseStats before = *db_.stats();
  for (int i = 0; i < 20000; ++i) ASSERT_OK(map_.get("k"));
  const DatabaseStats hits = *db_.stats();
  EXPECT_EQ(hits.page_loads, before.page_loads);
  EXPECT_GE(hits.page_visits, before.page_visits + 20000 - 2048);
  EXPECT_LE(hits.page_visits, before.page_visits + 20000 + 2048);
  const std::uint64_t pages = 4 * before.cache_pages;
  for (std::uint64_t i = 0; i < 8 * pages; ++i) {
    ASSERT_OK(map_.put("k" + std::to_string(i), std::string(kPageBytes / 8, 'v')));
  }
  const DatabaseStats filled = *db_.stats();
  for (std::uint64_t i = 0; i < 8 * pages; i += 8) ASSERT_OK(map_.get("k" + std::to_string(i)));
  EXPECT_GT(db_.stats()->page_loads, filled.page_loads + pages / 4);
}

TEST_F(MapTest, ValuesOfAllSizesAroundTheInlineLimit) {
  TestRandom random;
  Content expected;
  const std::size_t page = kPageBytes;
  for (const std::size_t bytes : {std::size_t{0}, inline_value_max(5) - 1, inline_value_max(5), inline_value_max(5) + 1,
                                  page - 33, page - 32, page - 31, page, 2 * page, 10 * page + 7}) {
    const std::string key = "k" + std::to_string(bytes);
    expected[key] = random.bytes(bytes);
    ASSERT_OK(map_.put(key, expected[key]));
    EXPECT_EQ(**map_.get(key), expected[key]);
  }
  EXPECT_EQ(content_of(map_), expected);
  expect_sound(db_);
  for (auto& [key, value] : expected) {  // every size to every other, by one step
    value = random.bytes(random.uniform(3 * page));
    ASSERT_OK(map_.put(key, value));
  }
  EXPECT_EQ(content_of(map_), expected);
  expect_sound(db_);
}

TEST_F(MapTest, PagesOfLargeValuesAreGivenBack) {
  const std::string value(50 * kPageBytes, 'v');
  ASSERT_OK(map_.put("warm", value));
  std::uint64_t pages = 0;
  for (int round = 0; round < 30; ++round) {
    ASSERT_OK(map_.put("k", value));
    ASSERT_TRUE(*map_.erase("k"));
    // Freed in the background.
    ASSERT_TRUE(comes_true([&] { return pages_in_use(db_) < 80 + db_.stats()->cache_pages / 64; })) << round;
    if (round == 3) pages = db_.stats()->pages;
  }
  EXPECT_LE(db_.stats()->pages, pages + 128) << "the file grows although its pages are free";
  expect_sound(db_);
}

TEST_F(MapTest, RandomOperationsEqualASortedMap) {
  TestRandom random;
  Content expected;
  const std::uint64_t operations = scaled(60000);
  for (std::uint64_t i = 0; i < operations; ++i) {
    const std::string key = random.word(random.uniform(4)) + std::string(random.uniform(12), 'p') + random.word(1);
    switch (random.uniform(8)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        std::string value = random.bytes(random.uniform(120));
        ASSERT_OK(map_.put(key, value));
        expected[key] = std::move(value);
        break;
      }
      case 4:
      case 5:
      case 6: {
        const Result<bool> erased = map_.erase(key);
        ASSERT_OK(erased);
        ASSERT_EQ(*erased, expected.erase(key) == 1);
        break;
      }
      default: {
        const auto value = map_.get(key);
        ASSERT_OK(value);
        const auto found = expected.find(key);
        ASSERT_EQ(value->has_value(), found != expected.end());
        if (value->has_value()) {
          ASSERT_EQ(**value, found->second);
        }
      }
    }
    if (i % 20000 == 0) expect_sound(db_);
  }
  EXPECT_EQ(content_of(map_), expected);
  expect_sound(db_);
}

TEST_F(MapTest, EmptyingAMapGivesItsPagesBack) {
  for (int i = 0; i < 20000; ++i) ASSERT_OK(map_.put("key" + std::to_string(i), std::string(40, 'v')));
  const std::uint64_t full = pages_in_use(db_);
  for (int i = 0; i < 20000; ++i) ASSERT_TRUE(*map_.erase("key" + std::to_string(i)));
  EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) * 4 < full; })) << pages_in_use(db_) << " of " << full;
  EXPECT_EQ(*map_.count(), 0u);
  expect_sound(db_);
}

TEST_F(MapTest, ObjectsAreCreatedListedRenamedAndDropped) {
  EXPECT_ERROR(kAlreadyExists, db_.create_map("m"));
  EXPECT_ERROR(kInvalidArgument, db_.create_map(""));
  EXPECT_ERROR(kNotFound, db_.open_map("n"));
  ASSERT_OK(map_.put("k", "v"));
  ASSERT_OK(db_.rename_map("m", "n"));
  EXPECT_ERROR(kNotFound, db_.open_map("m"));
  EXPECT_EQ(**db_.open_map("n")->get("k"), "v");
  EXPECT_EQ(db_.open_map("n")->name(), "n");
  EXPECT_EQ(**map_.get("k"), "v") << "a handle stays with its map";
  ASSERT_OK(db_.create_map("m"));
  EXPECT_ERROR(kAlreadyExists, db_.rename_map("m", "n"));
  EXPECT_EQ(db_.maps()->size(), 2u);
  for (int i = 0; i < 3000; ++i)
    ASSERT_OK(map_.put("k" + std::to_string(i), std::string(i % 50 == 0 ? 3000 : 30, 'v')));
  ASSERT_OK(db_.drop_map("n"));
  EXPECT_ERROR(kNotFound, map_.get("k"));
  EXPECT_ERROR(kNotFound, map_.put("k", "v"));
  EXPECT_EQ(db_.maps()->size(), 1u);
  expect_sound(db_);
  EXPECT_TRUE(comes_true([&] { return pages_in_use(db_) <= 30; })) << "the dropped map's pages were not given back";
  expect_sound(db_);
}

TEST_F(MapTest, AMapWithOpenWritersIsNotDropped) {
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "k", "v"));
  EXPECT_ERROR(kConflict, db_.drop_map("m"));
  ASSERT_OK(txn.commit());
  ASSERT_OK(db_.drop_map("m"));
}

TEST_F(MapTest, CallsAfterCloseSayClosed) {
  Transaction txn = *db_.begin();
  Cursor cursor = map_.cursor();
  ASSERT_OK(db_.close());
  ASSERT_OK(db_.close());
  EXPECT_ERROR(kClosed, map_.put("k", "v"));
  EXPECT_ERROR(kClosed, map_.get("k"));
  EXPECT_ERROR(kClosed, map_.put(txn, "k", "v"));
  EXPECT_ERROR(kClosed, cursor.next());
  EXPECT_ERROR(kClosed, db_.begin());
  EXPECT_ERROR(kClosed, txn.commit());
}

}  // namespace
}  // namespace vaultgres
