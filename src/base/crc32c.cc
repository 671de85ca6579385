#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace vaultgres {

std::uint32_t crc32c(std::uint32_t seed, Bytes bytes) noexcept {
  // ISA-L takes a non-const pointer and an int length; it only reads.
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  return crc32_iscsi(data, static_cast<int>(bytes.size()), seed);
}

}  // namespace vaultgres
