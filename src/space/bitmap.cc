#include "space/bitmap.h"

#include <algorithm>
#include <bit>
#include <string>

namespace vaultgres {
namespace {

const BitmapHeader& bitmap_header(Bytes page) noexcept {
  return *reinterpret_cast<const BitmapHeader*>(page.data() + kPageHeaderBytes);
}
BitmapHeader& bitmap_header(MutableBytes page) noexcept {
  return *reinterpret_cast<BitmapHeader*>(page.data() + kPageHeaderBytes);
}

Error damaged(std::string reason) {
  return Error(ErrorCode::kCorruption, std::move(reason));
}

bool is_bitmap(Bytes page) noexcept {
  return page_header(page).type.get() == static_cast<std::uint8_t>(PageType::kBitmap);
}

std::uint32_t count_bits(Bytes page) noexcept {
  std::uint32_t count = 0;
  for (std::size_t at = kBitmapBitsOffset; at < kPageBytes; at += 8) {
    count += static_cast<std::uint32_t>(std::popcount(load_little<std::uint64_t>(page.data() + at)));
  }
  return count;
}

Status apply_init(MutableBytes page, Bytes payload) {
  if (payload.size() != 4) return damaged("the start of an allocation bitmap has a payload of the wrong size");
  const std::uint32_t first = load_little<std::uint32_t>(payload.data());
  if (first % kPagesPerBitmap != 0) return damaged("an allocation bitmap begins in the middle of a group");
  const std::uint32_t fixed = bitmap_fixed_bits(first / kPagesPerBitmap);
  std::fill(page.begin(), page.end(), std::byte{0});
  page_header(page).type.set(static_cast<std::uint8_t>(PageType::kBitmap));
  bitmap_header(page).first.set(first);
  bitmap_header(page).used.set(fixed);
  page[kBitmapBitsOffset] = static_cast<std::byte>((1u << fixed) - 1);
  static_assert(raw(kFirstUserPage) <= 8, "the fixed bits of group 0 lie in one byte");
  return {};
}

/// Set and clear are one function: each bit must be the other way round before. Everything is checked before
/// the page changes.
Status apply_bits(MutableBytes page, Bytes payload, bool set) {
  if (!is_bitmap(page)) return damaged("bits of an allocation bitmap are changed on a page that is none");
  if (payload.empty() || payload.size() % 4 != 0 || payload.size() / 4 > kPagesPerBitmap) {
    return damaged("a list of bitmap bits has a wrong length");
  }
  const std::size_t count = payload.size() / 4;
  const auto bit_at = [&](std::size_t i) { return load_little<std::uint32_t>(payload.data() + 4 * i); };
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bit = bit_at(i);
    if (bit >= kPagesPerBitmap || (i != 0 && bit <= bit_at(i - 1))) return damaged("a list of bitmap bits is wrong");
    if (bitmap_bit(page, bit) == set) {
      return damaged("page " + std::to_string(std::uint64_t{bitmap_header(page).first.get()} + bit) + " is " +
                     (set ? "allocated" : "freed") + " although its bitmap says that it is so already");
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    page[kBitmapBitsOffset + bit_at(i) / 8] ^= static_cast<std::byte>(1u << bit_at(i) % 8);
  }
  LittleU32& used = bitmap_header(page).used;
  const auto change = static_cast<std::uint32_t>(count);
  used.set(set ? used.get() + change : used.get() - change);
  return {};
}

Status apply_set(MutableBytes page, Bytes payload) {
  return apply_bits(page, payload, true);
}
Status apply_clear(MutableBytes page, Bytes payload) {
  return apply_bits(page, payload, false);
}

}  // namespace

PageId bitmap_page_of(PageId id) noexcept {
  return bitmap_page_of_group(bitmap_group_of(id));
}

bool is_bitmap_of_group(Bytes page, std::uint32_t group) noexcept {
  return is_bitmap(page) && bitmap_header(page).first.get() == group * kPagesPerBitmap;
}

bool bitmap_bit(Bytes page, std::uint32_t bit) noexcept {
  return (static_cast<unsigned>(page[kBitmapBitsOffset + bit / 8]) >> bit % 8 & 1u) != 0;
}

void copy_bitmap_bits(Bytes page, BitmapWords& words) noexcept {
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = load_little<std::uint64_t>(page.data() + kBitmapBitsOffset + 8 * i);
  }
}

void encode_bitmap_init(PayloadBuffer& out, std::uint32_t group) noexcept {
  out.append_int<std::uint32_t>(group * kPagesPerBitmap);
}

void encode_bitmap_bits(PayloadBuffer& out, std::span<const PageId> ids) noexcept {
  for (const PageId id : ids) out.append_int<std::uint32_t>(bitmap_bit_of(id));
}

void register_bitmap_ops(RedoTable& table) {
  table.set(PageOp::kBitmapInit, &apply_init, true);
  table.set(PageOp::kBitmapSet, &apply_set);
  table.set(PageOp::kBitmapClear, &apply_clear);
}

Status verify_bitmap(PageId id, Bytes page) {
  const std::uint32_t group = bitmap_group_of(id);
  if (id != bitmap_page_of_group(group)) return damaged("it is an allocation bitmap where none belongs");
  if (!is_bitmap_of_group(page, group)) return damaged("it is not the allocation bitmap of its group");
  const PageHeader& header = page_header(page);
  if (header.object.get() != 0 || header.flags.get() != 0 || header.reserved.get() != 0) {
    return damaged("an allocation bitmap has an owner, flags or reserved bytes that are not zero");
  }
  for (const LittleU64& reserved : bitmap_header(page).reserved) {
    if (reserved.get() != 0) return damaged("an allocation bitmap's reserved bytes are not zero");
  }
  for (std::uint32_t bit = 0; bit < bitmap_fixed_bits(group); ++bit) {
    if (!bitmap_bit(page, bit)) return damaged("an allocation bitmap says that a page with a fixed place is free");
  }
  const std::uint32_t used = bitmap_header(page).used.get();
  const std::uint32_t counted = count_bits(page);
  if (used != counted) {
    return damaged("an allocation bitmap says that " + std::to_string(used) + " pages are allocated, but has " +
                   std::to_string(counted) + " bits set");
  }
  return {};
}

}  // namespace vaultgres
