// The allocation bitmap: one bit for each page of its group, set while the page is allocated.
//
//   0          24            64                                  kPageBytes
//   | PageHeader | BitmapHeader | bits: page first + i is bit i % 8 of byte i / 8 |
#pragma once

#include <cstddef>

#include "format/page.h"

namespace vaultgres {

struct BitmapHeader {
  LittleU32 first;  ///< id of the page that bit 0 stands for; a multiple of the number of bits
  LittleU32 used;   ///< number of bits that are set
  LittleU64 reserved[4];
};
static_assert(sizeof(BitmapHeader) == 40 && alignof(BitmapHeader) == 1);
static_assert(offsetof(BitmapHeader, used) == 4 && offsetof(BitmapHeader, reserved) == 8);

inline constexpr std::size_t kBitmapBitsOffset = kPageHeaderBytes + sizeof(BitmapHeader);
inline constexpr std::size_t kBitmapBytes = kPageBytes - kBitmapBitsOffset;
static_assert(kBitmapBitsOffset == 64 && kBitmapBytes % 8 == 0);

}  // namespace vaultgres
