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

// Goal: ranges that end at any entry, so at every leaf's first and last too, have just the entries between. Entries of
// one length and of many.
TEST_F(CursorTest, RangesThatEndAtALeafsBoundEndThere) {
  for (const bool one_length : {true, false}) {
    Map map = *db_.create_map(one_length ? "fixed" : "slotted");
    constexpr unsigned kCount = 1200;
    for (unsigned i = 0; i < kCount; ++i) {
      ASSERT_OK(map.put(key_of(i), std::string(one_length ? 16 : 10 + i % 20, 'v')));
    }
    for (unsigned i = 0; i + 1 < kCount; ++i) {
      for (const unsigned length : {1u, 2u, 70u, 150u}) {
        const unsigned last = std::min(i + length, kCount - 1);
        const bool to_inclusive = length != 70;
        const KeyRange range{
            .from = key_of(i), .from_inclusive = length != 2, .to = key_of(last), .to_inclusive = to_inclusive};
        const unsigned begin = length == 2 ? i + 1 : i;
        const unsigned end = to_inclusive ? last + 1 : last;
        if (length > 2 && i % 16 != 0) continue;
        Cursor cursor = map.cursor(range);
        for (unsigned at = begin; at < end; ++at) {
          ASSERT_TRUE(*cursor.next());
          ASSERT_EQ(cursor.key(), key_of(at));
        }
        ASSERT_FALSE(*cursor.next());
        for (unsigned at = end; at-- > begin;) {
          ASSERT_TRUE(*cursor.prev());
          ASSERT_EQ(cursor.key(), key_of(at));
        }
        ASSERT_FALSE(*cursor.prev());
      }
    }
  }
}

// Goal: turning round anywhere, within a batch, at its ends and after a seek, the cursor stands where a model does.
TEST_F(CursorTest, ARandomWalkFollowsTheModel) {
  TestRandom random;
  fill(1500);
  const std::vector<std::pair<std::string, std::string>> entries(content_.begin(), content_.end());
  const auto count = static_cast<std::int64_t>(entries.size());
  Cursor cursor = map_.cursor();
  std::int64_t at = -1;
  for (std::uint64_t round = 0; round < scaled(400); ++round) {
    const std::uint64_t how = random.uniform(8);
    if (how < 2) {
      at = static_cast<std::int64_t>(random.uniform(entries.size()));
      const std::string& key = entries[static_cast<std::size_t>(at)].first;
      ASSERT_TRUE(*(how == 0 ? cursor.seek(key) : cursor.floor(key)));
    }
    const bool forward = random.one_in(2);
    for (std::uint64_t steps = random.uniform(random.one_in(3) ? 400 : 6); steps > 0; --steps) {
      at = std::clamp<std::int64_t>(at + (forward ? 1 : -1), -1, count);
      const bool there = at >= 0 && at < count;
      ASSERT_EQ(*(forward ? cursor.next() : cursor.prev()), there);
      ASSERT_EQ(cursor.valid(), there);
      if (!there) continue;
      ASSERT_EQ(cursor.key(), entries[static_cast<std::size_t>(at)].first);
      ASSERT_EQ(cursor.value(), entries[static_cast<std::size_t>(at)].second);
    }
  }
}

// Goal: while a transaction has changed entries among others, its own cursors see its state and all others that before
// it, in leaves of one stride and in slotted ones, both ways.
TEST_F(CursorTest, EachScanSeesItsOwnVersionOfChangedEntries) {
  TestRandom random;
  for (const bool one_length : {true, false}) {
    Map map = *db_.create_map(one_length ? "fixed" : "slotted");
    const auto value_of = [&](const std::string& text) {
      return text + std::string(one_length ? 16 - text.size() : random.uniform(30), '.');
    };
    Content before;
    for (unsigned i = 0; i < 800; ++i) {
      before[key_of(i)] = value_of("old");
      ASSERT_OK(map.put(key_of(i), before[key_of(i)]));
    }
    Content after = before;
    Transaction txn = *db_.begin();
    for (unsigned i = 0; i < 800; ++i) {
      const std::uint64_t how = random.uniform(6);
      if (how == 0) {
        ASSERT_TRUE(*map.erase(txn, key_of(i)));
        after.erase(key_of(i));
      } else if (how <= 2) {
        after[key_of(i)] = how == 1 ? value_of("new") : std::string(random.uniform(40), 'n');
        ASSERT_OK(map.put(txn, key_of(i), after[key_of(i)]));
      }
    }
    const auto walk = [](Cursor cursor, bool forward) {
      Content seen;
      for (auto more = forward ? cursor.first() : cursor.last(); *more;
           more = forward ? cursor.next() : cursor.prev()) {
        EXPECT_TRUE(seen.emplace(cursor.key(), cursor.value()).second);
      }
      return seen;
    };
    for (const bool forward : {true, false}) {
      EXPECT_EQ(walk(map.cursor(), forward), before);
      EXPECT_EQ(walk(map.cursor(txn), forward), after);
    }
    ASSERT_OK(txn.commit());
    for (const bool forward : {true, false}) EXPECT_EQ(walk(map.cursor(), forward), after);
  }
}

}  // namespace
}  // namespace vaultgres
