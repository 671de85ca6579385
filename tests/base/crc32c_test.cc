#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "support/random.h"

namespace vaultgres {
namespace {

/// Bit by bit, as the polynomial says.
std::uint32_t crc32c_by_definition(std::uint32_t crc, Bytes bytes) {
  for (const std::byte b : bytes) {
    crc ^= static_cast<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
  }
  return crc;
}

// Goal: the published check value, so that other programs can read our files.
TEST(Crc32c, HasThePublishedCheckValue) {
  EXPECT_EQ(crc32c(0xFFFFFFFFu, as_bytes("123456789")) ^ 0xFFFFFFFFu, 0xE3069283u);
}

// Goal: equal to the definition for any seed, length and alignment.
TEST(Crc32c, EqualsTheDefinition) {
  TestRandom random;
  for (int round = 0; round < 300; ++round) {
    const std::string text = random.bytes(random.uniform(700));
    const std::size_t skipped = random.uniform(text.size() + 1);
    const Bytes bytes = as_bytes(text).subspan(skipped);
    const auto seed = static_cast<std::uint32_t>(random.next());
    EXPECT_EQ(crc32c(seed, bytes), crc32c_by_definition(seed, bytes));
  }
}

// Goal: seed property. The checksum of a whole is that of the tail, seeded with that of the head; and
// two different seeds never give one text the same checksum.
TEST(Crc32c, ContinuesFromItsSeed) {
  TestRandom random;
  for (int round = 0; round < 300; ++round) {
    const std::string text = random.bytes(random.between(1, 300));
    const Bytes bytes = as_bytes(text);
    const std::size_t cut = random.uniform(bytes.size() + 1);
    const auto seed = static_cast<std::uint32_t>(random.next());
    EXPECT_EQ(crc32c(crc32c(seed, bytes.first(cut)), bytes.subspan(cut)), crc32c(seed, bytes));
    const std::uint32_t other = seed ^ (1u << random.uniform(32));
    EXPECT_NE(crc32c(seed, bytes), crc32c(other, bytes));
  }
}

// Goal: nothing read, nothing changed.
TEST(Crc32c, OfNothingIsTheSeed) {
  EXPECT_EQ(crc32c(42, {}), 42u);
}

}  // namespace
}  // namespace vaultgres
