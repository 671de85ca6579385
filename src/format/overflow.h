// Overflow chains: values that are too large for a leaf, cut into pages of their own.
#pragma once

#include <cstddef>

#include "format/page.h"

namespace vaultgres {

/// The value of a leaf slot with kSlotOverflow.
struct OverflowRef {
  LittleU64 bytes;  ///< length of the whole value
  LittleU32 head;   ///< first page of the chain
  LittleU32 reserved;
};
static_assert(sizeof(OverflowRef) == 16 && offsetof(OverflowRef, head) == 8);

/// A page of a chain: this behind the page header (type kOverflow, object: the owner), then `bytes` bytes.
struct OverflowHeader {
  LittleU32 next;   ///< next page of the chain, kNoPage at its end
  LittleU32 bytes;  ///< bytes of the value on this page
};
static_assert(sizeof(OverflowHeader) == 8);
inline constexpr std::size_t kOverflowPageBytes = kPageBytes - kPageHeaderBytes - sizeof(OverflowHeader);

/// Kinds of rows of the system tree `retired`.
enum class RetiredKind : std::uint8_t {
  kChain = 1,  ///< page: the first page that is left of an overflow chain
  kTree = 2,   ///< page: the root of a tree
  kTable = 3,  ///< page: the root of a table's map
};

/// A row of `retired`: key is transaction (8 bytes, big-endian) and a number within it (4 bytes,
/// big-endian); the value is this.
struct RetiredRow {
  LittleU32 page;
  LittleU32 object;  ///< owner
  LittleU8 kind;     ///< RetiredKind
  LittleU8 reserved[3];
};
static_assert(sizeof(RetiredRow) == 12);
inline Bytes bytes_of(const RetiredRow& row) noexcept {
  return std::as_bytes(std::span(&row, 1));
}

}  // namespace vaultgres
