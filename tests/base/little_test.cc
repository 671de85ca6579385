#include "base/little.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "support/random.h"

namespace vaultgres {
namespace {

template <class T>
class LittleTest : public testing::Test {};
using Widths = testing::Types<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(LittleTest, Widths);

// Goal: the byte order on disk is fixed, independent of the host: byte i holds bits 8i to 8i+7.
TYPED_TEST(LittleTest, StoresTheLowestByteFirst) {
  TestRandom random;
  for (int round = 0; round < 1000; ++round) {
    const auto value = static_cast<TypeParam>(random.next());
    std::array<std::byte, sizeof(TypeParam)> little{};
    std::array<std::byte, sizeof(TypeParam)> big{};
    store_little(little.data(), value);
    store_big(big.data(), value);
    for (std::size_t i = 0; i < sizeof value; ++i) {
      EXPECT_EQ(little[i], static_cast<std::byte>(std::uint64_t{value} >> (8 * i)));
    }
    std::reverse(big.begin(), big.end());
    EXPECT_EQ(big, little);
  }
}

// Goal: load undoes store, at every alignment.
TYPED_TEST(LittleTest, LoadsWhatWasStoredAtAnyAddress) {
  TestRandom random;
  std::array<std::byte, 32> memory{};
  for (std::size_t offset = 0; offset < 16; ++offset) {
    const auto value = static_cast<TypeParam>(random.next());
    store_little(memory.data() + offset, value);
    EXPECT_EQ(load_little<TypeParam>(memory.data() + offset), value);
    store_big(memory.data() + offset, value);
    EXPECT_EQ(load_big<TypeParam>(memory.data() + offset), value);
    auto* field = reinterpret_cast<Little<TypeParam>*>(memory.data() + offset);
    field->set(value);
    EXPECT_EQ(field->get(), value);
  }
}

// Goal: big-endian bytes compare as the numbers do. Little-endian ones do not (256 against 1).
TEST(Big, ComparesAsTheNumbers) {
  TestRandom random;
  for (int round = 0; round < 1000; ++round) {
    const std::uint32_t a = static_cast<std::uint32_t>(random.next()) >> random.uniform(32);
    const std::uint32_t b = static_cast<std::uint32_t>(random.next()) >> random.uniform(32);
    std::array<std::byte, 4> a_bytes{};
    std::array<std::byte, 4> b_bytes{};
    store_big(a_bytes.data(), a);
    store_big(b_bytes.data(), b);
    EXPECT_EQ(std::memcmp(a_bytes.data(), b_bytes.data(), 4) < 0, a < b) << a << " " << b;
  }
}

}  // namespace
}  // namespace vaultgres
