// Goal: a page comes back from its image as it was, and no payload makes the redo of images step out of bounds.
#include "buffer/page_image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "format/page.h"
#include "support/random.h"

namespace vaultgres {
namespace {

constexpr std::size_t kBodyAt = offsetof(PageHeader, object);

class PageImageTest : public ::testing::Test {
 protected:
  PageImageTest() { register_image_ops(redo_); }
  Status apply(PageOp op, MutableBytes page, Bytes payload) {
    return redo_.find(static_cast<std::uint8_t>(op)).apply(page, payload);
  }
  RedoTable redo_;
};

// Random pages: full, empty, with zeros in the middle, at the ends, everywhere.
TEST_F(PageImageTest, AnImageBringsBackAllButLsnAndChecksum) {
  TestRandom random;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::byte> page(kPageBytes);
    for (std::uint64_t piece = random.uniform(5); piece > 0; --piece) {
      const std::size_t first = random.uniform(kPageBytes);
      const std::size_t end = random.between(first, kPageBytes);
      for (std::size_t at = first; at < end; ++at) page[at] = static_cast<std::byte>(random.next());
    }
    PayloadBuffer image;
    encode_page_image(image, page);
    ASSERT_LE(image.bytes().size(), 2 + kPageBytes - kBodyAt);

    std::vector<std::byte> target(kPageBytes, std::byte{0xEE});
    ASSERT_TRUE(apply(PageOp::kImage, target, image.bytes()));
    ASSERT_TRUE(std::equal(page.begin() + kBodyAt, page.end(), target.begin() + kBodyAt)) << "round " << round;
    for (std::size_t at = 0; at < kBodyAt; ++at) ASSERT_EQ(target[at], std::byte{0xEE}) << "not of the image";
  }
}

TEST_F(PageImageTest, TheLongestRunOfZerosIsLeftOut) {
  std::vector<std::byte> page(kPageBytes);
  for (std::size_t at = kBodyAt; at < kBodyAt + 10; ++at) page[at] = std::byte{1};
  for (std::size_t at = kPageBytes - 20; at < kPageBytes; ++at) page[at] = std::byte{2};
  PayloadBuffer image;
  encode_page_image(image, page);
  EXPECT_EQ(image.bytes().size(), 2u + 10 + 20);
}

TEST_F(PageImageTest, AFreedPageIsEmptyAndSaysSo) {
  std::vector<std::byte> page(kPageBytes, std::byte{0x77});
  ASSERT_TRUE(apply(PageOp::kFree, page, {}));
  EXPECT_EQ(page_header(Bytes(page)).type.get(), static_cast<std::uint8_t>(PageType::kFree));
  page_header(MutableBytes(page)).type.set(0);
  EXPECT_TRUE(std::all_of(page.begin() + kBodyAt, page.end(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_FALSE(apply(PageOp::kFree, page, Bytes(page).first(1)));
}

// The page stands between guard bytes; what is refused leaves it as it was.
TEST_F(PageImageTest, HostilePayloadsAreRefusedWithinBounds) {
  TestRandom random;
  constexpr std::size_t kGuard = 64;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> room(kPageBytes + 2 * kGuard, std::byte{0x5A});
    const std::vector<std::byte> before = room;
    std::vector<std::byte> payload(random.one_in(2) ? random.uniform(8) : random.uniform(kPageBytes + 100));
    for (std::byte& byte : payload) byte = static_cast<std::byte>(random.next());
    if (payload.size() >= 2 && random.one_in(2)) {
      store_little(payload.data(), static_cast<std::uint16_t>(payload.size() - 2 + random.uniform(2)));
    }
    const Status applied = apply(PageOp::kImage, MutableBytes(room).subspan(kGuard, kPageBytes), payload);
    if (!applied) {
      ASSERT_EQ(applied.error().code(), ErrorCode::kCorruption);
      ASSERT_EQ(room, before);
    }
    ASSERT_TRUE(std::equal(before.begin(), before.begin() + kGuard, room.begin()));
    ASSERT_TRUE(std::equal(before.end() - kGuard, before.end(), room.end() - kGuard));
  }
}

}  // namespace
}  // namespace vaultgres
