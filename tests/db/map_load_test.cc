// Goal: a load gives the map with all its entries or nothing at all: no name, no entries, no pages.
#include <gtest/gtest.h>

#include <cstdio>

#include "format/overflow.h"
#include "support/disk_fixture.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class MapLoadTest : public DatabaseOnDiskTest {
 protected:
  static std::string key_of(std::uint64_t i) {
    char text[32];
    std::snprintf(text, sizeof text, "key %09llu", static_cast<unsigned long long>(i));
    return text;
  }
  /// Every 97th is large, neighbours now and then.
  static std::string value_of(std::uint64_t i) {
    const std::size_t bytes = i % 97 == 0 || i % 970 == 1 ? 2 * kPageBytes + i % 1000 : i % 50;
    return std::string(bytes, static_cast<char>('a' + i % 26));
  }
  static Content entries(std::uint64_t count) {
    Content content;
    for (std::uint64_t i = 0; i < count; ++i) content.emplace(key_of(i), value_of(i));
    return content;
  }
  static void add_entries(MapLoad& load, std::uint64_t first, std::uint64_t end) {
    for (std::uint64_t i = first; i < end; ++i) ASSERT_OK(load.add(key_of(i), value_of(i)));
    EXPECT_EQ(load.entries(), end);
  }
  static void expect_loaded(Database& db, const std::string& name, const Content& expected) {
    Result<Map> map = db.open_map(name);
    ASSERT_OK(map);
    const Content found = content_of(*map);
    ASSERT_TRUE(found == expected) << found.size() << " entries, not these " << expected.size();
    expect_sound(db);
  }
};

TEST_F(MapLoadTest, ALoadedMapIsLikeAnyOther) {
  const std::uint64_t count = scaled(10000);
  Content expected = entries(count);
  {
    MapLoad load = *db_->load_map("m");
    add_entries(load, 0, count);
    EXPECT_ERROR(kNotFound, db_->open_map("m")) << "the name comes with finish()";
    EXPECT_TRUE(db_->maps()->empty());
    Result<Map> map = load.finish();
    ASSERT_OK(map);
    EXPECT_EQ(map->name(), "m");
    EXPECT_TRUE(content_of(*map) == expected);
    EXPECT_FALSE(load.finish()) << "a second time";
    EXPECT_FALSE(load.add("zzz", ""));
  }
  EXPECT_ERROR(kAlreadyExists, db_->load_map("m"));
  expect_loaded(*db_, "m", expected);
  reopen();
  expect_loaded(*db_, "m", expected);
  Map map = *db_->open_map("m");
  TestRandom random;
  for (std::uint64_t i = 0; i < scaled(2000); ++i) {
    const std::string key = key_of(random.uniform(2 * count));
    if (random.one_in(2)) {
      const Result<bool> erased = map.erase(key);
      ASSERT_OK(erased);
      EXPECT_EQ(*erased, expected.erase(key) == 1);
    } else {
      const std::string value = random.word(random.one_in(20) ? 2 * kPageBytes : random.uniform(100));
      ASSERT_OK(map.put(key, value));
      expected[key] = value;
    }
  }
  expect_loaded(*db_, "m", expected);
  Cursor cursor = map.cursor();
  ASSERT_TRUE(*cursor.last());
  for (auto entry = expected.rbegin(); entry != expected.rend(); ++entry) {
    ASSERT_EQ(cursor.key(), entry->first);
    ASSERT_TRUE(cursor.value() == entry->second) << entry->first;
    ASSERT_EQ(*cursor.prev(), std::next(entry) != expected.rend());
  }
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(20);
}

TEST_F(MapLoadTest, ManyEntries) {
  const std::uint64_t count = scaled(200000);
  MapLoad load = *db_->load_map("m");
  for (std::uint64_t i = 0; i < count; ++i) ASSERT_OK(load.add(key_of(i), std::to_string(i)));
  Map map = *load.finish();
  EXPECT_EQ(*map.count(), count);
  for (std::uint64_t i = 0; i < count; i += 997) EXPECT_EQ(**map.get(key_of(i)), std::to_string(i));
  const MapStats stats = *db_->map_stats("m");
  EXPECT_EQ(stats.entries, count);
  if (count > 1000) {
    EXPECT_GT(stats.leaf_fill, 0.85);
  }
  expect_sound(*db_);
}

// Goal: chains find their entries whatever their neighbours are: all large, a few, the first and the last.
TEST_F(MapLoadTest, LargeValuesAmongSmallOnes) {
  const std::uint64_t count = scaled(3000);
  const auto is_large = [&](int round, std::uint64_t i) {
    return round == 0 || (round == 1 && i % 7 == 0) || (round == 2 && (i == 0 || i + 1 == count));
  };
  for (int round = 0; round < 3; ++round) {
    const std::string name = "m" + std::to_string(round);
    Content expected;
    MapLoad load = *db_->load_map(name);
    for (std::uint64_t i = 0; i < count; ++i) {
      std::string value = is_large(round, i) ? key_of(i) + std::string(kPageBytes, 'v') : key_of(i);
      ASSERT_OK(load.add(key_of(i), value));
      expected.emplace(key_of(i), std::move(value));
    }
    expect_sound(*db_);  // half-way, with chains that wait for their leaf
    ASSERT_OK(load.finish());
    expect_loaded(*db_, name, expected);
  }
}

// Goal: the rows of `retired` that chains have while they wait leave no pages behind.
TEST_F(MapLoadTest, WhatWaitedInRetiredLeavesNothingThere) {
  const std::uint64_t count = scaled(2000) + 100;
  {
    MapLoad load = *db_->load_map("m");
    for (std::uint64_t i = 0; i < count; ++i) ASSERT_OK(load.add(key_of(i), std::string(kPageBytes / 2, 'v')));
    ASSERT_OK(load.finish());
  }
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(20);
}

TEST_F(MapLoadTest, TheNewMapSurvivesAPowerCutAfterFinish) {
  MapLoad load = *db_->load_map("m");
  add_entries(load, 0, 500);
  ASSERT_OK(load.finish());
  for (const PowerCut mode : {PowerCut::kNone, PowerCut::kAll, PowerCut::kTorn}) {
    const auto after = disk_.power_cut(disk_.position(), mode, 1);
    Database db = *open_on(*after);
    expect_loaded(db, "m", entries(500));
  }
}

TEST_F(MapLoadTest, NoEntryOrOne) {
  {
    MapLoad load = *db_->load_map("none");
    Map map = *load.finish();
    EXPECT_EQ(*map.count(), 0u);
    ASSERT_OK(map.put("k", "v"));
    expect_loaded(*db_, "none", {{"k", "v"}});
  }
  const std::string large(3 * kPageBytes, 'l');
  int number = 0;
  for (const Content& one :
       {Content{{"", ""}}, Content{{"k", "v"}}, Content{{std::string(kKeyBytesMax, 'k'), large}}}) {
    const std::string name = "one" + std::to_string(number++);
    MapLoad load = *db_->load_map(name);
    ASSERT_OK(load.add(one.begin()->first, one.begin()->second));
    ASSERT_OK(load.finish());
    expect_loaded(*db_, name, one);
  }
}

TEST_F(MapLoadTest, WithoutFinishNothingStays) {
  const std::uint64_t before = pages_in_use(*db_);
  for (const std::uint64_t count : {0u, 1u, 2u, 3000u}) {
    {
      MapLoad load = *db_->load_map("m");
      add_entries(load, 0, count);
      expect_sound(*db_);
      if (count == 1) {  // a move takes it along
        MapLoad other = std::move(load);
        EXPECT_EQ(load.entries(), 0u);
        ASSERT_OK(other.add(key_of(1), value_of(1)));
      }
    }
    EXPECT_ERROR(kNotFound, db_->open_map("m"));
    expect_given_back(before);
  }
  ASSERT_OK(db_->create_map("m"));
}

TEST_F(MapLoadTest, ALoadThatClosingInterruptsLeavesNothing) {
  const std::uint64_t before = pages_in_use(*db_);
  {
    MapLoad load = *db_->load_map("m");
    add_entries(load, 0, 2000);
    ASSERT_OK(db_->close());
    EXPECT_ERROR(kClosed, load.add(key_of(2000), ""));
    EXPECT_ERROR(kClosed, load.finish());
  }
  reopen();
  EXPECT_TRUE(db_->maps()->empty());
  expect_given_back(before);
}

// Goal: closing while another thread adds is safe, whoever is faster, and leaves nothing.
TEST_F(MapLoadTest, ClosingDuringAnAdd) {
  for (int round = 0; round < 5; ++round) {
    const std::uint64_t before = pages_in_use(*db_);
    std::thread loader([&] {
      Result<MapLoad> load = db_->load_map("m");
      if (!load) return;
      for (std::uint64_t i = 0; load->add(key_of(i), value_of(i)); ++i) {
      }
    });
    const std::uint64_t begin = db_->stats()->log_end;
    while (db_->stats()->log_end < begin + (std::uint64_t{64} << 10)) std::this_thread::yield();
    ASSERT_OK(db_->close());
    loader.join();
    reopen();
    EXPECT_TRUE(db_->maps()->empty());
    expect_given_back(before);
  }
}

TEST_F(MapLoadTest, ARefusedEntryDoesNotEndTheLoad) {
  MapLoad load = *db_->load_map("m");
  const std::string large(2 * kPageBytes, 'v');
  Content expected;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const std::string key = key_of(2 * i + 1);
    ASSERT_OK(load.add(key, value_of(i)));
    expected.emplace(key, value_of(i));
    if (i % 10 != 0) continue;
    EXPECT_ERROR(kInvalidArgument, load.add(key, "again"));
    EXPECT_ERROR(kInvalidArgument, load.add(key_of(2 * i), large));
    EXPECT_ERROR(kInvalidArgument, load.add("", large));
    EXPECT_ERROR(kTooLarge, load.add(std::string(kKeyBytesMax + 1, 'z'), ""));
  }
  EXPECT_EQ(load.entries(), expected.size());
  const Status refused = load.add("key 000000003", "");
  ASSERT_FALSE(refused);
  const std::string_view message = refused.error().message();
  EXPECT_NE(message.find("\"key 000000003\""), std::string::npos) << message;
  EXPECT_NE(message.find("\"key 000005999\""), std::string::npos) << message;
  const Status binary = load.add(std::string("\x01\xFE", 2), "");
  ASSERT_FALSE(binary);
  EXPECT_NE(binary.error().message().find("x'01fe'"), std::string::npos) << binary.error().message();
  expect_sound(*db_);
  ASSERT_OK(load.finish());
  expect_loaded(*db_, "m", expected);
}

TEST_F(MapLoadTest, WhoTakesTheNameMeanwhileKeepsIt) {
  const std::uint64_t before = pages_in_use(*db_);
  MapLoad load = *db_->load_map("m");
  add_entries(load, 0, 1000);
  ASSERT_OK(db_->create_table("m", people_schema()));
  EXPECT_ERROR(kAlreadyExists, load.finish());
  EXPECT_ERROR(kInvalidArgument, load.add(key_of(5000), ""));
  EXPECT_ERROR(kAlreadyExists, load.finish());
  ASSERT_OK(db_->drop_table("m"));
  ASSERT_OK(load.finish());
  expect_loaded(*db_, "m", entries(1000));
  ASSERT_OK(db_->drop_map("m"));
  expect_given_back(before);
}

TEST_F(MapLoadTest, TwoLoadsAtOnceAndOthersAtWork) {
  MapLoad one = *db_->load_map("one");
  MapLoad two = *db_->load_map("two");
  TableLoad table = *db_->load_table("table", people_schema());
  Map map = *db_->create_map("m");
  for (std::uint64_t i = 0; i < 1500; ++i) {
    ASSERT_OK(one.add(key_of(i), value_of(i)));
    ASSERT_OK(two.add(key_of(i), value_of(i)));
    ASSERT_OK(table.add(person(static_cast<std::int64_t>(i), i % 97 == 0 ? 2 * kPageBytes : 20)));
    if (i % 10 == 0) {
      ASSERT_OK(map.put(std::to_string(i), value_of(i)));
    }
    if (i == 700) {
      ASSERT_OK(db_->checkpoint());
      expect_sound(*db_);
    }
  }
  ASSERT_OK(two.finish());
  ASSERT_OK(one.finish());
  ASSERT_OK(table.finish());
  expect_loaded(*db_, "one", entries(1500));
  expect_loaded(*db_, "two", entries(1500));
}

// Goal: on a full disk a load waits for space: what was added stays, the entry that was refused can be added again,
// and neither counts twice. Method: again and again the disk is full within the next few hundred pages.
TEST_F(MapLoadTest, GoesOnWhenAFullDiskHasSpaceAgain) {
  const auto value = [](std::uint64_t i) {
    return std::string(i % 9 == 0 ? kPageBytes * (1 + i % 5) : i % 50, static_cast<char>('a' + i % 26));
  };
  unsigned refused = 0;
  TestRandom random;
  std::uint64_t loads = 0;
  for (; loads < scaled(6) || (refused == 0 && loads < 50); ++loads) {
    const std::string name = "m" + std::to_string(loads);
    Content expected;
    MapLoad load = *db_->load_map(name);
    for (std::uint64_t i = 0; i < 3000; ++i) {
      if (random.one_in(300)) disk_.limit_space(disk_.used_bytes() + random.uniform(300) * kPageBytes);
      const Status added = load.add(key_of(i), value(i));
      expected.emplace(key_of(i), value(i));
      if (added) continue;
      ++refused;
      ASSERT_EQ(added.error().code(), ErrorCode::kNoSpace) << added.error().message();
      EXPECT_EQ(load.entries(), i);
      expect_sound(*db_);
      disk_.limit_space(std::nullopt);
      ASSERT_OK(load.add(key_of(i), value(i)));
    }
    if (random.one_in(2)) disk_.limit_space(disk_.used_bytes());
    Result<Map> map = load.finish();
    disk_.limit_space(std::nullopt);
    if (!map) {
      ++refused;
      ASSERT_EQ(map.error().code(), ErrorCode::kNoSpace) << map.error().message();
      map = load.finish();
    }
    ASSERT_OK(map);
    expect_loaded(*db_, name, expected);
  }
  std::printf("%u times no space\n", refused);
  EXPECT_GT(refused, 0u);
  for (std::uint64_t i = 0; i < loads; ++i) ASSERT_OK(db_->drop_map("m" + std::to_string(i)));
  expect_given_back(20);
}

// Goal: a large value that finds no space half-way gives back what it took, at once or, when the log has no space even
// for that, at the next try: repeated tries take no more than one. Not at the load's end only.
TEST_F(MapLoadTest, ALargeValueWithoutSpaceTakesNone) {
  MapLoad load = *db_->load_map("m");
  ASSERT_OK(load.add("a", "small"));
  const std::string large(std::size_t{2500} * kPageBytes, 'l');
  disk_.limit_space(disk_.used_bytes() + large.size());
  const std::uint64_t before = pages_in_use(*db_);
  const std::uint64_t needed = large.size() / kOverflowPageBytes + 30;
  for (int i = 0; i < 6; ++i) {
    EXPECT_ERROR(kNoSpace, load.add("b", large));
    EXPECT_LE(pages_in_use(*db_), before + needed);
    expect_sound(*db_);
  }
  disk_.limit_space(std::nullopt);
  ASSERT_OK(load.add("b", large));
  EXPECT_LE(pages_in_use(*db_), before + needed);
  ASSERT_OK(load.finish());
  EXPECT_TRUE(**db_->open_map("m")->get("b") == large);
  expect_sound(*db_);
}

}  // namespace
}  // namespace vaultgres
