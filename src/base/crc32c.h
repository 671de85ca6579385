// CRC32C by ISA-L: the checksum of pages, log blocks and superblocks.
#pragma once

#include <cstdint>

#include "base/types.h"

namespace vaultgres {

/// Continues `seed` over `bytes`. A seed from a database id and an address makes a page that is read
/// from the wrong place, or from another database, fail its check.
std::uint32_t crc32c(std::uint32_t seed, Bytes bytes) noexcept;

}  // namespace vaultgres
