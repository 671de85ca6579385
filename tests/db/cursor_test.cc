// Goal: cursors walk both ways, stay inside their range, and survive changes of what they stand on.
#include <gtest/gtest.h>

#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

std::string key_of(unsigned i) {
  char text[16];
  std::snprintf(text, sizeof text, "k%06u", i);
  return text;
}

class CursorTest : public ::testing::Test {
 protected:
  CursorTest() : db_(*Database::open_in_memory(small_options())), map_(*db_.create_map("m")) {}
  void fill(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      ASSERT_OK(map_.put(key_of(i), "v" + std::to_string(i)));
      content_[key_of(i)] = "v" + std::to_string(i);
    }
  }
  Database db_;
  Map map_;
  Content content_;
};

TEST_F(CursorTest, AnEmptyMapHasNoEntryInAnyDirection) {
  Cursor cursor = map_.cursor();
  EXPECT_FALSE(*cursor.next());
  EXPECT_FALSE(*cursor.prev());
  EXPECT_FALSE(*cursor.first());
  EXPECT_FALSE(*cursor.last());
  EXPECT_FALSE(*cursor.seek("x"));
  EXPECT_FALSE(*cursor.floor("x"));
  EXPECT_FALSE(cursor.valid());
}

TEST_F(CursorTest, BothDirectionsGiveEveryEntryOnce) {
  fill(5000);
  Cursor cursor = map_.cursor();
  for (const auto& [key, value] : content_) {
    ASSERT_TRUE(*cursor.next());
    ASSERT_EQ(cursor.key(), key);
    ASSERT_EQ(cursor.value(), value);
  }
  EXPECT_FALSE(*cursor.next());
  for (auto it = content_.rbegin(); it != content_.rend(); ++it) {
    ASSERT_TRUE(*cursor.prev());
    ASSERT_EQ(cursor.key(), it->first);
  }
  EXPECT_FALSE(*cursor.prev());
  ASSERT_TRUE(*cursor.next());
  EXPECT_EQ(cursor.key(), content_.begin()->first);
}

TEST_F(CursorTest, SeekIsTheCeilingAndFloorTheFloor) {
  fill(1000);
  Cursor cursor = map_.cursor();
  ASSERT_TRUE(*cursor.seek("k000500"));
  EXPECT_EQ(cursor.key(), "k000500");
  ASSERT_TRUE(*cursor.seek("k0005000"));
  EXPECT_EQ(cursor.key(), "k000501");
  ASSERT_TRUE(*cursor.floor("k0005000"));
  EXPECT_EQ(cursor.key(), "k000500");
  ASSERT_TRUE(*cursor.floor("k000500"));
  EXPECT_EQ(cursor.key(), "k000500");
  EXPECT_FALSE(*cursor.seek("l"));
  EXPECT_FALSE(*cursor.floor("a"));
  ASSERT_TRUE(*cursor.floor("l"));
  EXPECT_EQ(cursor.key(), key_of(999));
}

// All combinations of ends, inverted and equal ones too, equal a filter of the whole.
TEST_F(CursorTest, EveryRangeEqualsAFilterOfTheWhole) {
  TestRandom random;
  fill(700);
  for (std::uint64_t round = 0; round < scaled(400); ++round) {
    KeyRange range;
    const auto end = [&]() -> std::optional<std::string> {
      if (random.one_in(5)) return std::nullopt;
      if (random.one_in(10)) return std::string();
      return key_of(static_cast<unsigned>(random.uniform(720))) + (random.one_in(3) ? "x" : "");
    };
    range.from = end();
    range.to = random.one_in(6) ? range.from : end();
    range.from_inclusive = random.one_in(2);
    range.to_inclusive = random.one_in(2);
    std::vector<std::string> expected;
    for (const auto& [key, value] : content_) {
      if (range.from && (key < *range.from || (key == *range.from && !range.from_inclusive))) continue;
      if (range.to && (key > *range.to || (key == *range.to && !range.to_inclusive))) continue;
      expected.push_back(key);
    }
    Cursor cursor = map_.cursor(range);
    for (const std::string& key : expected) {
      ASSERT_TRUE(*cursor.next());
      ASSERT_EQ(cursor.key(), key);
    }
    ASSERT_FALSE(*cursor.next());
    Cursor backward = map_.cursor(range);
    if (!expected.empty()) {
      ASSERT_TRUE(*backward.last());
      for (std::size_t i = expected.size(); i-- > 0;) {
        ASSERT_EQ(backward.key(), expected[i]);
        ASSERT_EQ(*backward.prev(), i > 0);
      }
    } else {
      ASSERT_FALSE(*backward.last());
    }
  }
}

TEST_F(CursorTest, SeekToAnExcludedEndFindsTheNextEntry) {
  fill(3);
  Cursor cursor = map_.cursor({.from = key_of(0), .from_inclusive = false, .to = std::nullopt, .to_inclusive = false});
  ASSERT_TRUE(*cursor.seek(key_of(0)));
  EXPECT_EQ(cursor.key(), key_of(1));
}

TEST_F(CursorTest, APrefixRangeEqualsAFilter) {
  ASSERT_OK(map_.put("a", ""));
  ASSERT_OK(map_.put("ab", ""));
  ASSERT_OK(map_.put("a\xFF", ""));
  ASSERT_OK(map_.put("a\xFF\xFF", ""));
  ASSERT_OK(map_.put("b", ""));
  ASSERT_OK(map_.put("\xFF", ""));
  ASSERT_OK(map_.put("\xFF\xFF", ""));
  EXPECT_EQ(*map_.count(KeyRange::prefix("a")), 4u);
  EXPECT_EQ(*map_.count(KeyRange::prefix("a\xFF")), 2u);
  EXPECT_EQ(*map_.count(KeyRange::prefix("\xFF")), 2u);
  EXPECT_EQ(*map_.count(KeyRange::prefix("")), 7u);
}

TEST_F(CursorTest, DeletingWhatItStandsOnNeitherSkipsNorRepeats) {
  fill(3000);
  Cursor cursor = map_.cursor();
  for (unsigned i = 0; i < 3000; ++i) {
    ASSERT_TRUE(*cursor.next());
    ASSERT_EQ(cursor.key(), key_of(i));
    ASSERT_TRUE(*map_.erase(cursor.key()));
  }
  EXPECT_FALSE(*cursor.next());
  fill(3000);
  ASSERT_TRUE(*cursor.last());
  for (unsigned i = 3000; i-- > 0;) {
    ASSERT_EQ(cursor.key(), key_of(i));
    ASSERT_TRUE(*map_.erase(key_of(i)));
    ASSERT_EQ(*cursor.prev(), i > 0);
  }
  EXPECT_EQ(*map_.count(), 0u);
}

TEST_F(CursorTest, TurningRoundAfterTheTreeChangedFindsThePlaceAgain) {
  fill(2000);
  Cursor cursor = map_.cursor();
  ASSERT_TRUE(*cursor.seek(key_of(1000)));
  for (unsigned i = 900; i < 1100; ++i) ASSERT_TRUE(*map_.erase(key_of(i)));
  ASSERT_TRUE(*cursor.prev());
  EXPECT_EQ(cursor.key(), key_of(899));
  ASSERT_TRUE(*cursor.next());
  EXPECT_EQ(cursor.key(), key_of(1100));
}

TEST_F(CursorTest, LargeValuesAreReadWhole) {
  TestRandom random;
  Content expected;
  for (unsigned i = 0; i < 40; ++i) {
    expected[key_of(i)] = random.bytes(i % 3 == 0 ? 5 * kPageBytes : 20);
    ASSERT_OK(map_.put(key_of(i), expected[key_of(i)]));
  }
  EXPECT_EQ(content_of(map_), expected);
}

}  // namespace
}  // namespace vaultgres
