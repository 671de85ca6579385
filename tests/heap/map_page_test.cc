#include "heap/map_page.h"

#include "heap/page_support.h"

namespace vaultgres {
namespace {

TestPage new_map(unsigned level, std::uint32_t first) {
  TestPage page;
  build_map_page(page.bytes(), ObjectId{7}, false, level, first);
  return page;
}

bool append(TestPage& page, std::uint32_t id) {
  PayloadBuffer payload;
  encode_map_append(payload, PageId{id});
  return apply(page, PageOp::kMapAppend, payload.bytes()).has_value();
}
bool truncate(TestPage& page, unsigned count) {
  PayloadBuffer payload;
  encode_map_truncate(payload, count);
  return apply(page, PageOp::kMapTruncate, payload.bytes()).has_value();
}

// Goal: ids come back in order up to a full page, numbers lead to them, and truncation forgets them. Redo gives the
// same page, classes masked.
TEST(MapPage, AppendAndTruncate) {
  TestPage page = new_map(0, 500);
  TestPage redone = page;
  TestRandom random;
  for (unsigned i = 0; i < kMapEntriesMax; ++i) {
    ASSERT_TRUE(append(page, 1000 + i) && append(redone, 1000 + i));
    set_free_class(page.bytes(), static_cast<unsigned>(random.uniform(i + 1)),
                   static_cast<std::uint8_t>(random.next()));
  }
  const MapPageView view(page.bytes());
  EXPECT_TRUE(view.full());
  EXPECT_FALSE(append(page, 1));
  EXPECT_EQ(text_of(verify_map_page(page.bytes())), "ok");
  for (unsigned i = 0; i < kMapEntriesMax; ++i) {
    ASSERT_EQ(raw(view.id(i)), 1000 + i);
    ASSERT_EQ(view.index_of(500 + i), i);
  }
  EXPECT_EQ(view.index_of(499), kMapEntriesMax);
  EXPECT_EQ(view.index_of(500 + kMapEntriesMax), kMapEntriesMax);
  EXPECT_FALSE(truncate(page, kMapEntriesMax + 1));
  ASSERT_TRUE(truncate(page, 3) && truncate(redone, 3));
  EXPECT_EQ(view.count(), 3u);
  EXPECT_EQ(view.index_of(503), kMapEntriesMax);
  EXPECT_EQ(text_of(verify_map_page(page.bytes())), "ok");
  mask_free_classes(page.bytes());
  mask_free_classes(redone.bytes());
  EXPECT_TRUE(page == redone);
}

// Goal: above level 0 an entry stands for all that a full page below lists.
TEST(MapPage, NumbersOfUpperLevels) {
  TestPage page = new_map(1, kMapEntriesMax * 2 * kMapEntriesMax);
  for (unsigned i = 0; i < 3; ++i) ASSERT_TRUE(append(page, 10 + i));
  const MapPageView view(page.bytes());
  const std::uint32_t first = view.first();
  EXPECT_EQ(view.index_of(first), 0u);
  EXPECT_EQ(view.index_of(first + kMapEntriesMax - 1), 0u);
  EXPECT_EQ(view.index_of(first + kMapEntriesMax), 1u);
  EXPECT_EQ(view.index_of(first + 3 * kMapEntriesMax - 1), 2u);
  EXPECT_EQ(view.index_of(first + 3 * kMapEntriesMax), kMapEntriesMax);
}

// Goal: a page with the class that a row needs has room for it.
TEST(MapPage, ClassesPromiseEnough) {
  for (std::size_t free_bytes = 0; free_bytes <= kPageBytes; ++free_bytes) {
    const std::size_t promised = std::size_t{map_class_of(free_bytes)} * kMapClassBytes;
    ASSERT_LE(promised, free_bytes);
  }
  for (std::size_t row = 0; row <= kHeapContentBytesMax; ++row) {
    ASSERT_GE(std::size_t{map_class_for(row)} * kMapClassBytes, row);
    ASSERT_LT(map_class_for(row), UINT8_MAX);
  }
}

// Goal: verify_map_page() looks at each of its rules: a page that breaks only that one is called wrong for it.
TEST(MapPage, EachRuleIsVerified) {
  struct Broken {
    const char* what;
    std::size_t offset;  // of a byte that is changed
  };
  const Broken all[] = {
      {"it is none", offsetof(PageHeader, type)},
      {"unknown page flags", offsetof(PageHeader, flags)},
      {"reserved bytes are not zero", offsetof(PageHeader, reserved)},
      {"an entry beyond the last is not zero", kMapIdsOffset + 4 * 2},
      {"an entry beyond the last is not zero", kMapClassesOffset + 2},
      {"an entry beyond the last is not zero", kPageBytes - 1},
  };
  for (const Broken& broken : all) {
    TestPage page = new_map(0, 0);
    ASSERT_TRUE(append(page, 5) && append(page, 6));
    ASSERT_EQ(text_of(verify_map_page(page.bytes())), "ok");
    page.bytes()[broken.offset] ^= std::byte{0x80};
    EXPECT_NE(text_of(verify_map_page(page.bytes())).find(broken.what), std::string::npos) << broken.what;
  }
  for (const PageId no_page : {PageId{0}, kNoPage}) {
    TestPage page = new_map(0, 0);
    append_map_entry(page.bytes(), no_page, 1);
    EXPECT_NE(text_of(verify_map_page(page.bytes())).find("an entry is no page"), std::string::npos);
  }
  TestPage page;
  build_map_page(page.bytes(), ObjectId{7}, true, 0, 500);
  EXPECT_NE(text_of(verify_map_page(page.bytes())).find("a root that does not begin"), std::string::npos);
}

// Goal: any bytes are safe to look at, to verify and to apply operations to.
TEST(MapPage, HostileBytes) {
  for (std::uint64_t round = 0; round < scaled(1000); ++round) {
    TestRandom random(round);
    TestPage page = new_map(static_cast<unsigned>(random.uniform(3)), 0);
    for (std::uint64_t i = random.uniform(kMapEntriesMax + 1); i > 0; --i) ASSERT_TRUE(append(page, 5));
    const bool noise = random.one_in(3);
    for (std::size_t i = noise ? 24 : 36; i < (noise ? kPageBytes : 40); ++i) {
      if (noise || random.one_in(2)) page.bytes()[i - (noise ? 0 : 12)] = static_cast<std::byte>(random.next());
    }
    const MapPageView view(page.bytes());
    ASSERT_LE(view.count(), kMapEntriesMax);
    ASSERT_LT(view.level(), kMapLevelsMax);
    static_cast<void>(view.best_class());
    ASSERT_LE(view.index_of(static_cast<std::uint32_t>(random.next())), kMapEntriesMax);
    const Status sound = verify_map_page(page.bytes());
    if (!sound) {
      ASSERT_EQ(sound.error().code(), ErrorCode::kCorruption);
    }
    append(page, static_cast<std::uint32_t>(random.next()));
    truncate(page, static_cast<unsigned>(random.uniform(70000)));
    ASSERT_FALSE(apply(page, PageOp::kMapAppend, as_bytes("abc")));
    ASSERT_FALSE(apply(page, PageOp::kMapTruncate, as_bytes("abc")));
    mask_free_classes(page.bytes());
  }
}

}  // namespace
}  // namespace vaultgres
