// The map of a table: which heap pages it has, in order, and about how much room each one has.
//
//   0     24      40                 40 + 4n            40 + 5n   n = kMapEntriesMax; the rest is zero
//   | page | map    | id 0 … id n-1   | class 0 … class n-1 |
//   | hdr  | header |
//
// Level 0 lists heap pages, level k + 1 lists map pages of level k. Every page but the last of its level is full,
// so a heap page's number says where it is listed. Ids are logged. Classes are hints: unlogged, masked in
// comparisons.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/page.h"

namespace vaultgres {

struct MapHeader {
  LittleU8 level;
  LittleU8 reserved;  ///< zero
  LittleU16 count;    ///< entries
  LittleU32 first;    ///< number of the first heap page listed here or below
  LittleU64 reserved_too;
};
static_assert(sizeof(MapHeader) == 16 && alignof(MapHeader) == 1);
static_assert(offsetof(MapHeader, count) == 2 && offsetof(MapHeader, first) == 4);
static_assert(offsetof(MapHeader, reserved_too) == 8);

inline constexpr std::size_t kMapIdsOffset = kPageHeaderBytes + sizeof(MapHeader);
inline constexpr unsigned kMapEntriesMax = (kPageBytes - kMapIdsOffset) / 5;
inline constexpr std::size_t kMapClassesOffset = kMapIdsOffset + 4 * kMapEntriesMax;
static_assert(kMapIdsOffset == 40 && kMapClassesOffset + kMapEntriesMax <= kPageBytes);

/// A page of class c has room for a row of c units at least. Level 1 and above: the best class below.
inline constexpr unsigned kMapClassBytes = kPageBytes / 256;

}  // namespace vaultgres
