#include "format/doublewrite.h"

#include "base/crc32c.h"

namespace vaultgres {

std::uint32_t doublewrite_checksum(std::uint32_t seed, const DoublewriteHeader& header) noexcept {
  DoublewriteHeader copy = header;
  copy.checksum.set(0);
  return crc32c(seed, std::as_bytes(std::span(&copy, 1)));
}

const DoublewriteHeader* doublewrite_header(std::uint32_t seed, Bytes area) noexcept {
  if (area.size() < kDoublewriteHeaderBytes) return nullptr;
  const auto& header = *reinterpret_cast<const DoublewriteHeader*>(area.data());
  const bool sound = header.magic.get() == kDoublewriteMagic &&
                     header.checksum.get() == doublewrite_checksum(seed, header) &&
                     header.count.get() <= kDoublewritePagesMax;
  return sound ? &header : nullptr;
}

}  // namespace vaultgres
