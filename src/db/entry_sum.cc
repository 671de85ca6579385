#include "db/entry_sum.h"

#include <isa-l/crc64.h>

namespace vaultgres::internal {

namespace {

std::uint64_t crc64(std::uint64_t seed, Bytes bytes) noexcept {
  return crc64_ecma_refl(seed, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

/// A CRC is linear: differences of several entries in the same bits might cancel out in the sum. (The finalizer of
/// SplitMix64, by Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.)
std::uint64_t scramble(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

void EntrySum::add(Bytes key, Bytes value) noexcept {
  // The seed tells where the key ends.
  sum_ += scramble(crc64(crc64(key.size(), key), value));
}

}  // namespace vaultgres::internal
