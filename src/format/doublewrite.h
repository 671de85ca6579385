// The doublewrite area: copies of the pages of one batch, synced before they are written in place.
//
// File doublewrite.vg: one block of kDoublewriteHeaderBytes with this header, then `count` pages in the order of
// their ids. A crash while the area is written leaves a header or copies with wrong checksums: ignored, the pages in
// place are untouched. A crash while the pages are written in place leaves the area whole.
#pragma once

#include <cstddef>

#include "format/page.h"

namespace vaultgres {

inline constexpr std::size_t kDoublewriteHeaderBytes = 4096;
inline constexpr std::size_t kDoublewritePagesMax = 128;
inline constexpr std::uint64_t kDoublewriteMagic = 0x31454C4255444756;  // "VGDUBLE1", little-endian

struct DoublewriteHeader {
  LittleU64 magic;     ///< kDoublewriteMagic
  LittleU64 durable;   ///< position; the log was durable up to here, so no page is newer that was ever written
  LittleU32 checksum;  ///< CRC32C of the header without this field, seeded with the database id
  LittleU32 count;     ///< pages that follow
  LittleU32 pages[kDoublewritePagesMax];
};
static_assert(offsetof(DoublewriteHeader, checksum) == 16 && offsetof(DoublewriteHeader, pages) == 24);
static_assert(sizeof(DoublewriteHeader) == 24 + 4 * kDoublewritePagesMax);
static_assert(sizeof(DoublewriteHeader) <= kDoublewriteHeaderBytes);

/// Of the header, its checksum field taken as zero. `seed`: page_checksum_seed() of the database.
std::uint32_t doublewrite_checksum(std::uint32_t seed, const DoublewriteHeader& header) noexcept;

/// The header of an area that begins with these bytes. Null: it is torn, of another database, or was never written.
const DoublewriteHeader* doublewrite_header(std::uint32_t seed, Bytes area) noexcept;

}  // namespace vaultgres
