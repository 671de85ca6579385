// Goal: sets of entries have the same sum in whatever order; sets that differ, in whatever way indexes are known to go
// wrong, do not.
#include "db/entry_sum.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/random.h"
#include "support/scale.h"

namespace vaultgres::internal {
namespace {

TEST(EntrySumTest, TellsSetsApart) {
  using Entries = std::vector<std::pair<std::string, std::string>>;
  const auto sum_of = [](const Entries& entries) {
    EntrySum sum;
    for (const auto& [key, value] : entries) sum.add(as_bytes(key), as_bytes(value));
    return sum;
  };
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(2000); ++round) {
    Entries entries;
    for (std::uint64_t i = 0; i < 2 + random.uniform(20); ++i) {
      entries.emplace_back(random.bytes(1 + random.uniform(40)) + std::to_string(i),
                           random.bytes(random.uniform(8)) + "v");
    }
    const EntrySum sum = sum_of(entries);
    Entries other(entries.rbegin(), entries.rend());
    EXPECT_EQ(sum_of(other), sum);
    const auto expect_differs = [&](const Entries& changed, const char* what) {
      EXPECT_NE(sum_of(changed), sum) << what;
    };
    other = entries;
    std::swap(other[0].second, other[1].second);
    if (other != entries) expect_differs(other, "values of two keys exchanged");
    other = entries;
    other[0].first += other[0].second.front();
    other[0].second.erase(0, 1);
    expect_differs(other, "a byte of the value in the key");
    other = entries;
    for (auto& entry : other) entry.first.back() = static_cast<char>(entry.first.back() ^ 0x80);
    expect_differs(other, "the same bit of each key");
    other = entries;
    other.pop_back();
    expect_differs(other, "one is missing");
  }
}

}  // namespace
}  // namespace vaultgres::internal
