#include "space/bitmap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

struct Page {
  alignas(8) std::array<std::byte, kPageBytes> bytes{};
  BitmapHeader& header() { return *reinterpret_cast<BitmapHeader*>(bytes.data() + kPageHeaderBytes); }
};

Status apply(Page& page, PageOp op, Bytes payload) {
  RedoTable table;
  register_bitmap_ops(table);
  return table.find(raw(op)).apply(page.bytes, payload);
}
Status apply_bits(Page& page, PageOp op, const std::vector<std::uint32_t>& bits) {
  PayloadBuffer payload;
  for (const std::uint32_t bit : bits) payload.append_int(bit);
  return apply(page, op, payload.bytes());
}
Page empty_bitmap(std::uint32_t group) {
  Page page;
  PayloadBuffer payload;
  encode_bitmap_init(payload, group);
  EXPECT_TRUE(apply(page, PageOp::kBitmapInit, payload.bytes()));
  return page;
}
std::vector<std::uint32_t> set_bits(const Page& page) {
  std::vector<std::uint32_t> bits;
  for (std::uint32_t bit = 0; bit < kPagesPerBitmap; ++bit) {
    if (bitmap_bit(page.bytes, bit)) bits.push_back(bit);
  }
  return bits;
}

// Goal: every id has its bitmap page, which belongs to the group that it describes.
TEST(Bitmap, PageOfId) {
  EXPECT_EQ(bitmap_page_of(PageId{0}), kFirstBitmapPage);
  EXPECT_EQ(bitmap_page_of(kFirstBitmapPage), kFirstBitmapPage);
  EXPECT_EQ(bitmap_page_of(PageId{kPagesPerBitmap - 1}), kFirstBitmapPage);
  EXPECT_EQ(bitmap_page_of(PageId{kPagesPerBitmap}), PageId{kPagesPerBitmap});
  EXPECT_EQ(bitmap_page_of(PageId{2 * kPagesPerBitmap - 1}), PageId{kPagesPerBitmap});
  const PageId last = bitmap_page_of(PageId{raw(kNoPage) - 1});
  EXPECT_EQ(raw(last) % kPagesPerBitmap, 0u);
  EXPECT_LT(raw(kNoPage) - 1 - raw(last), kPagesPerBitmap);
}

// Goal: a new bitmap has the pages with fixed places allocated and is a good page, whatever stood there.
TEST(Bitmap, InitialisesFixedPages) {
  Page page;
  page.bytes.fill(std::byte{0xA5});
  PayloadBuffer payload;
  encode_bitmap_init(payload, 0);
  ASSERT_TRUE(apply(page, PageOp::kBitmapInit, payload.bytes()));
  EXPECT_EQ(set_bits(page), (std::vector<std::uint32_t>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(verify_bitmap(kFirstBitmapPage, page.bytes));
  page = empty_bitmap(3);
  EXPECT_EQ(set_bits(page), std::vector<std::uint32_t>{0});
  EXPECT_TRUE(verify_bitmap(PageId{3 * kPagesPerBitmap}, page.bytes));
  RedoTable table;
  register_bitmap_ops(table);
  EXPECT_TRUE(table.find(raw(PageOp::kBitmapInit)).initialises);
  EXPECT_FALSE(table.find(raw(PageOp::kBitmapSet)).initialises);
}

// Goal: bits change as told, those around them do not, and clearing is the reverse of setting.
TEST(Bitmap, SetsAndClears) {
  Page page = empty_bitmap(1);
  const Page before = page;
  const std::vector<std::uint32_t> bits{1, 7, 8, 63, 64, 1000, kPagesPerBitmap - 1};
  ASSERT_TRUE(apply_bits(page, PageOp::kBitmapSet, bits));
  std::vector<std::uint32_t> expected = bits;
  expected.insert(expected.begin(), 0);
  EXPECT_EQ(set_bits(page), expected);
  EXPECT_TRUE(verify_bitmap(PageId{kPagesPerBitmap}, page.bytes));
  BitmapWords words;
  copy_bitmap_bits(page.bytes, words);
  EXPECT_EQ(words[0], 1u << 0 | 1u << 1 | 1u << 7 | 1u << 8 | std::uint64_t{1} << 63);
  ASSERT_TRUE(apply_bits(page, PageOp::kBitmapClear, bits));
  EXPECT_EQ(page.bytes, before.bytes);
}

// Goal: changes that the page or the payload contradicts are damage and change nothing.
TEST(Bitmap, RefusesContradictions) {
  Page page = empty_bitmap(1);
  ASSERT_TRUE(apply_bits(page, PageOp::kBitmapSet, {5, 6}));
  const Page before = page;
  const auto refused = [&](PageOp op, const std::vector<std::uint32_t>& bits) {
    const Status status = apply_bits(page, op, bits);
    return !status && status.error().code() == ErrorCode::kCorruption && page.bytes == before.bytes;
  };
  EXPECT_TRUE(refused(PageOp::kBitmapSet, {4, 5}));
  EXPECT_TRUE(refused(PageOp::kBitmapClear, {5, 7}));
  EXPECT_TRUE(refused(PageOp::kBitmapSet, {}));
  EXPECT_TRUE(refused(PageOp::kBitmapSet, {9, 8}));
  EXPECT_TRUE(refused(PageOp::kBitmapSet, {8, 8}));
  EXPECT_TRUE(refused(PageOp::kBitmapClear, {5, 5}));
  EXPECT_TRUE(refused(PageOp::kBitmapSet, {kPagesPerBitmap}));
  EXPECT_TRUE(refused(PageOp::kBitmapSet, {0xFFFFFFFFu}));
  const std::array<std::byte, 5> odd{};
  for (const PageOp op : {PageOp::kBitmapSet, PageOp::kBitmapClear, PageOp::kBitmapInit}) {
    EXPECT_FALSE(apply(page, op, odd));
    EXPECT_FALSE(apply(page, op, {}));
  }
  PayloadBuffer payload;
  payload.append_int<std::uint32_t>(17);  // no group begins there
  EXPECT_FALSE(apply(page, PageOp::kBitmapInit, payload.bytes()));
  EXPECT_EQ(page.bytes, before.bytes);
  Page leaf;
  page_header(MutableBytes(leaf.bytes)).type.set(static_cast<std::uint8_t>(PageType::kLeaf));
  EXPECT_FALSE(apply_bits(leaf, PageOp::kBitmapSet, {5}));
}

// Goal: random payloads never crash, and whatever they leave is a good page.
TEST(Bitmap, RandomPayloads) {
  TestRandom random;
  Page page = empty_bitmap(2);
  for (std::uint64_t i = 0; i < scaled(3000); ++i) {
    std::vector<std::uint32_t> bits(random.uniform(6));
    for (std::uint32_t& bit : bits) bit = static_cast<std::uint32_t>(1 + random.uniform(kPagesPerBitmap + 2));
    if (!random.one_in(4)) std::sort(bits.begin(), bits.end());
    const Page before = page;
    const Status status = apply_bits(page, random.one_in(2) ? PageOp::kBitmapSet : PageOp::kBitmapClear, bits);
    ASSERT_TRUE(status || page.bytes == before.bytes);
    ASSERT_TRUE(verify_bitmap(PageId{2 * kPagesPerBitmap}, page.bytes));
  }
}

// Goal: damage that a good checksum may cover is found when the page is loaded.
TEST(Bitmap, VerifyFindsDamage) {
  const PageId id{kPagesPerBitmap};
  const Page good = empty_bitmap(1);
  ASSERT_TRUE(verify_bitmap(id, good.bytes));
  EXPECT_FALSE(verify_bitmap(PageId{kPagesPerBitmap + 1}, good.bytes));
  EXPECT_FALSE(verify_bitmap(PageId{2 * kPagesPerBitmap}, good.bytes));
  EXPECT_FALSE(verify_bitmap(PageId{0}, good.bytes));
  const auto found = [&](auto change) {
    Page page = good;
    change(page);
    const Status status = verify_bitmap(id, page.bytes);
    return !status && status.error().code() == ErrorCode::kCorruption;
  };
  EXPECT_TRUE(found([](Page& page) { page.header().used.set(2); }));
  EXPECT_TRUE(found([](Page& page) { page.header().reserved[3].set(1); }));
  EXPECT_TRUE(found([](Page& page) { page.bytes[kPageBytes - 1] = std::byte{1}; }));
  EXPECT_TRUE(found([](Page& page) { page.bytes[kBitmapBitsOffset] = std::byte{2}; }));
  EXPECT_TRUE(found([](Page& page) { page_header(MutableBytes(page.bytes)).type.set(5); }));
  EXPECT_TRUE(found([](Page& page) { page_header(MutableBytes(page.bytes)).object.set(5); }));
}

}  // namespace
}  // namespace vaultgres
