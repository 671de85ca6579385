// Are two sets of index entries the same? A sum over a hash of each answers that without sorting either: sums do not
// depend on the order. (Bellare and Micciancio: A New Paradigm for Collision-Free Hashing: Incrementality at Reduced
// Cost, EUROCRYPT 1997; here with a fast hash, against bugs and damage, not against somebody who is looking for
// collisions.) Different sets have the same sum once in 2^64.
#pragma once

#include <cstdint>

#include "base/types.h"

namespace vaultgres::internal {

class EntrySum {
 public:
  void add(Bytes key, Bytes value) noexcept;
  bool operator==(const EntrySum&) const noexcept = default;

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace vaultgres::internal
