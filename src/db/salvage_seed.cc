#include "db/salvage_seed.h"

#include <algorithm>
#include <utility>

#include "format/page.h"

namespace vaultgres::internal {

namespace {
constexpr std::array<std::byte, kPageBytes> kZeroPage{};
}  // namespace

/// Of inputs of one length a CRC is linear in its seed: what each bit of the seed changes in the checksum is a matrix,
/// and the way back its inverse (Gauss and Jordan, over bits).
SeedFinder::SeedFinder() {
  const auto checksum = [](std::uint32_t seed) {
    return static_cast<std::uint32_t>(page_checksum(seed, PageId{0}, kZeroPage));
  };
  const std::uint32_t of_zero = checksum(0);
  struct Line {
    std::uint32_t checksum;  ///< changes so
    std::uint32_t seed;      ///< when this changes
  };
  std::array<Line, 32> lines;
  for (unsigned i = 0; i < 32; ++i) lines[i] = {checksum(1u << i) ^ of_zero, 1u << i};
  for (unsigned bit = 0; bit < 32; ++bit) {
    const auto pivot = std::find_if(lines.begin() + bit, lines.end(),
                                    [&](const Line& line) { return (line.checksum >> bit & 1) != 0; });
    std::swap(lines[bit], *pivot);  // there is one: different seeds give different checksums
    for (unsigned i = 0; i < 32; ++i) {
      if (i == bit || (lines[i].checksum >> bit & 1) == 0) continue;
      lines[i].checksum ^= lines[bit].checksum;
      lines[i].seed ^= lines[bit].seed;
    }
  }
  for (unsigned bit = 0; bit < 32; ++bit) seed_of_bit_[bit] = lines[bit].seed;
}

std::uint32_t SeedFinder::seed_of(PageId id, Bytes page) const noexcept {
  const auto stored = static_cast<std::uint32_t>(page_header(page).checksum.get());
  const std::uint32_t wanted = stored ^ static_cast<std::uint32_t>(page_checksum(std::uint32_t{0}, id, page));
  std::uint32_t seed = 0;
  for (unsigned bit = 0; bit < 32; ++bit) {
    if ((wanted >> bit & 1) != 0) seed ^= seed_of_bit_[bit];
  }
  return seed;
}

void SeedFinder::add(PageId id, Bytes page) {
  const bool may_be_page = page_header(page).checksum.get() >> 32 == 0 && page_header(page).reserved.get() == 0;
  if (!may_be_page || page_is_zero(page)) return;
  const std::uint32_t seed = seed_of(id, page);
  if (votes_.size() >= kSeedsMax && !votes_.contains(seed)) return;
  most_ = std::max(most_, ++votes_[seed]);
}

std::optional<std::uint32_t> SeedFinder::found() const {
  if (most_ < 2) return std::nullopt;
  return std::find_if(votes_.begin(), votes_.end(), [&](const auto& vote) { return vote.second == most_; })->first;
}

}  // namespace vaultgres::internal
