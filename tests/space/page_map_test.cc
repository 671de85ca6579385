#include "space/page_map.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "space/page_ids_support.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

BitmapWords fresh_bits(std::uint32_t group) {
  BitmapWords words{};
  words[0] = (1u << bitmap_fixed_bits(group)) - 1;
  return words;
}
void load(PageMap& map, std::uint32_t group, const BitmapWords& words) {
  map.begin_load(group);
  map.finish_load(group, words);
}
/// A map of one loaded group with nothing but the fixed pages in use.
PageMap small_map(std::uint32_t pages) {
  PageMap map;
  map.set_page_count(pages);
  load(map, 0, fresh_bits(0));
  return map;
}

// Goal: the lowest free ids first, all or none, and how many are missing.
TEST(PageMap, ReservesTheLowest) {
  PageMap map = small_map(20);
  std::vector<PageId> ids;
  EXPECT_EQ(map.free_count(), 15u);
  EXPECT_EQ(map.reserve(3, kNoPage, ids).pages, 0u);
  EXPECT_EQ(ids, ids_from(5, 3));
  EXPECT_EQ(map.reserve(13, kNoPage, ids).pages, 1u);
  EXPECT_TRUE(ids.empty());
  EXPECT_EQ(map.free_count(), 12u);
  EXPECT_EQ(map.reserve(12, kNoPage, ids).pages, 0u);
  EXPECT_EQ(map.free_count(), 0u);
  map.give_back(PageId{6});
  EXPECT_EQ(map.reserve(2, kNoPage, ids).pages, 1u);
  map.set_page_count(21);
  EXPECT_EQ(map.reserve(2, kNoPage, ids).pages, 0u);
  EXPECT_EQ(ids, (std::vector<PageId>{PageId{6}, PageId{20}}));
}

// Goal: with a wish, ids from there on come first, then the lowest; a wish beyond the file is none.
TEST(PageMap, ReservesNear) {
  PageMap map = small_map(200);
  std::vector<PageId> ids;
  map.reserve(2, PageId{100}, ids);
  EXPECT_EQ(ids, ids_from(100, 2));
  map.reserve(2, PageId{64}, ids);
  EXPECT_EQ(ids, ids_from(64, 2));
  map.reserve(3, PageId{198}, ids);
  EXPECT_EQ(ids, (std::vector<PageId>{PageId{198}, PageId{199}, PageId{5}}));
  map.reserve(1, PageId{200}, ids);
  EXPECT_EQ(ids, ids_from(6, 1));
}

// Goal: a group that is not loaded is asked for, not guessed at; what is given back while it is being loaded
// is free afterwards, whether or not the bitmap page was read before.
TEST(PageMap, LoadsGroupsOnDemand) {
  PageMap map;
  map.set_page_count(kPagesPerBitmap + 10);
  std::vector<PageId> ids;
  EXPECT_EQ(map.reserve(1, kNoPage, ids).group, 0u);
  EXPECT_EQ(map.reserve(1, PageId{kPagesPerBitmap + 3}, ids).group, 1u);
  map.give_back(PageId{kPagesPerBitmap + 3});  // unknown: its bitmap page says so

  BitmapWords full;
  full.fill(~std::uint64_t{0});
  load(map, 0, full);
  EXPECT_EQ(map.reserve(1, kNoPage, ids).group, 1u);
  BitmapWords words{};
  words[0] = 0x3FF;
  map.begin_load(1);
  map.give_back(PageId{kPagesPerBitmap + 7});
  map.finish_load(1, words);
  EXPECT_EQ(map.free_count(), 1u);
  EXPECT_FALSE(map.reserve(1, kNoPage, ids).group);
  EXPECT_EQ(ids, ids_from(kPagesPerBitmap + 7, 1));
  EXPECT_EQ(map.reserve(1, kNoPage, ids).pages, 1u);
}

// Goal: the highest ids there are can be reserved, and kNoPage never is.
TEST(PageMap, ReachesTheLastId) {
  PageMap map;
  map.set_page_count(raw(kNoPage));
  const std::uint32_t group = map.group_count() - 1;
  load(map, group, fresh_bits(group));
  std::vector<PageId> ids;
  map.reserve(1, PageId{raw(kNoPage) - 1}, ids);
  EXPECT_EQ(ids, ids_from(raw(kNoPage) - 1, 1));
  EXPECT_EQ(map.reserve(1, PageId{raw(kNoPage) - 1}, ids).group, 0u);
}

// Goal: against a set, over two groups with random wishes: never an id twice, never one that exists not, all
// that are free are found.
TEST(PageMap, AgreesWithASet) {
  TestRandom random;
  PageMap map;
  std::set<PageId> free;
  std::vector<PageId> reserved;
  std::uint32_t pages = kPagesPerBitmap - 100;
  map.set_page_count(pages);
  BitmapWords words{};
  for (std::uint32_t bit = 0; bit < kPagesPerBitmap; ++bit) {
    if (bit < 5 || (bit < pages && !random.one_in(100))) {
      words[bit / 64] |= std::uint64_t{1} << bit % 64;
      if (bit >= 5) reserved.push_back(PageId{bit});
    } else if (bit < pages) {
      free.insert(PageId{bit});
    }
  }
  load(map, 0, words);
  std::vector<PageId> ids;
  for (std::uint64_t i = 0; i < scaled(20'000); ++i) {
    if (random.one_in(500)) {
      const auto more = static_cast<std::uint32_t>(random.between(1, 40));
      for (std::uint32_t id = pages; id < pages + more; ++id) {
        if (id % kPagesPerBitmap != 0) free.insert(PageId{id});
      }
      pages += more;
      map.set_page_count(pages);
      if (map.group_count() == 2 && !map.loaded(1)) load(map, 1, fresh_bits(1));
    }
    if (random.one_in(2) && !reserved.empty()) {
      std::swap(reserved[random.uniform(reserved.size())], reserved.back());
      map.give_back(reserved.back());
      free.insert(reserved.back());
      reserved.pop_back();
      continue;
    }
    const auto count = static_cast<unsigned>(random.between(1, 3));
    const PageId near = random.one_in(2) ? kNoPage : PageId{static_cast<std::uint32_t>(random.uniform(pages + 5))};
    const PageMap::Missing missing = map.reserve(count, near, ids);
    ASSERT_FALSE(missing.group);
    if (free.size() < count) {
      ASSERT_EQ(missing.pages, count - free.size());
      continue;
    }
    ASSERT_EQ(ids.size(), count);
    ASSERT_TRUE(near != kNoPage || ids[0] == *free.begin());
    for (const PageId id : ids) {
      ASSERT_EQ(free.erase(id), 1u) << raw(id);
      reserved.push_back(id);
    }
    ASSERT_EQ(map.free_count(), free.size());
  }
}

}  // namespace
}  // namespace vaultgres
