// A row of a table as bytes: what a heap slot or an overflow chain of a table holds.
//
//   | tag | null bitmap | fixed values … | ends … | text and bytes … |
//
// null bitmap   only if the tag has kRowHasNulls: a bit per nullable column, in their order, 1: NULL; the lowest
//               bit first; unused bits are zero, and one bit is set at least.
// fixed values  in the order of the columns, little-endian, of their type's width: int16 2, int32 and date 4, int64,
//               timestamp and double 8, bool 1. Zeros where the column is NULL: so each column has its fixed place.
// ends          one per text or bytes column but the last: where its bytes end, counted from the first byte behind the
//               ends. 2 bytes each, or 4 if the tag has kRowWideEnds. The last one's bytes end with the row. A NULL
//               has no bytes.
//
// The columns are those of the table's schema in the catalog.
#pragma once

#include <cstdint>

namespace vaultgres {

/// The tag: bits 0-3 the version, then flags; bits 6 and 7 are zero.
inline constexpr std::uint8_t kRowVersion = 1;
inline constexpr std::uint8_t kRowVersionMask = 0x0F;
inline constexpr std::uint8_t kRowHasNulls = 0x10;
inline constexpr std::uint8_t kRowWideEnds = 0x20;  ///< iff an end is above 0xFFFF
inline constexpr std::uint8_t kRowFlags = kRowHasNulls | kRowWideEnds;

}  // namespace vaultgres
