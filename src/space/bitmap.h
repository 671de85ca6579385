// Bitmap pages: reading their bits, and the operations that change them.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/payload_buffer.h"
#include "base/types.h"
#include "format/bitmap.h"
#include "format/superblock.h"
#include "space/page_allocator.h"

namespace vaultgres {

static_assert(kPagesPerBitmap == kBitmapBytes * 8);

constexpr std::uint32_t bitmap_group_of(PageId id) noexcept {
  return raw(id) / kPagesPerBitmap;
}
constexpr std::uint32_t bitmap_bit_of(PageId id) noexcept {
  return raw(id) % kPagesPerBitmap;
}
constexpr PageId bitmap_page_of_group(std::uint32_t group) noexcept {
  return group == 0 ? kFirstBitmapPage : PageId{group * kPagesPerBitmap};
}
/// The first pages of a group are allocated for ever: its bitmap page, in group 0 all pages with fixed places.
constexpr std::uint32_t bitmap_fixed_bits(std::uint32_t group) noexcept {
  return group == 0 ? raw(kFirstUserPage) : 1;
}

/// Is this a bitmap page, and the one that describes this group? Does not count the bits.
bool is_bitmap_of_group(Bytes page, std::uint32_t group) noexcept;
/// Only of a page that is_bitmap_of_group().
bool bitmap_bit(Bytes page, std::uint32_t bit) noexcept;

using BitmapWords = std::array<std::uint64_t, kPagesPerBitmap / 64>;
/// All bits: bit i is bit i % 64 of word i / 64.
void copy_bitmap_bits(Bytes page, BitmapWords& words) noexcept;

// Payloads of the operations. kBitmapInit: u32 first page id. kBitmapSet, kBitmapClear: u32 bit numbers, at
// least one, ascending without repetition.
void encode_bitmap_init(PayloadBuffer& out, std::uint32_t group) noexcept;
/// `ids` belong to one group and ascend.
void encode_bitmap_bits(PayloadBuffer& out, std::span<const PageId> ids) noexcept;

}  // namespace vaultgres
