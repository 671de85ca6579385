// The seed of a database's page checksums without its id: found in the pages themselves.
//
// Both superblocks, which hold the id, may be lost. A CRC can be run backwards: from a page and its checksum follows
// the one seed (page_checksum_seed) with which they agree. Of sound pages of one database it is the same; of damaged
// ones any.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "base/types.h"

namespace vaultgres::internal {

class SeedFinder {
 public:
  SeedFinder();

  /// The seed with which the page's checksum is right.
  std::uint32_t seed_of(PageId id, Bytes page) const noexcept;
  void add(PageId id, Bytes page);
  /// That on which most of the pages agree, two at least.
  std::optional<std::uint32_t> found() const;
  /// Enough have agreed.
  bool sure() const noexcept { return most_ >= kSure; }

 private:
  static constexpr unsigned kSure = 64;
  static constexpr std::size_t kSeedsMax = 65536;

  std::array<std::uint32_t, 32> seed_of_bit_;  ///< the change of the seed that changes only this bit of the checksum
  std::map<std::uint32_t, unsigned> votes_;
  unsigned most_ = 0;
};

}  // namespace vaultgres::internal
