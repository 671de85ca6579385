// The header that every page of the data file starts with, the page types, and the checksum.
//
//   0      8         16      20    21     22        24
//   | lsn  | checksum | object | type | flags | reserved | body …
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/little.h"
#include "base/types.h"

namespace vaultgres {

enum class PageType : std::uint8_t {
  kAbsent = 0,  ///< never written: all zeros
  kSuperblock = 1,
  kBitmap = 2,  ///< allocation bitmap
  kFreeSpaceMap = 3,
  kHeap = 4,
  kLeaf = 5,
  kInternal = 6,
  kOverflow = 7,
  kFree = 8,
};

enum PageFlags : std::uint8_t {
  kPageFlagRoot = 1,       ///< the root of its tree
  kPageFlagHasGhosts = 2,  ///< a leaf with at least one ghost slot
};

struct PageHeader {
  LittleU64 lsn;       ///< position just after the last log record that changed the page
  LittleU64 checksum;  ///< page_checksum(); the upper 32 bits are zero
  LittleU32 object;    ///< tree, table or chain that owns the page; 0: the database itself
  LittleU8 type;       ///< PageType
  LittleU8 flags;      ///< PageFlags
  LittleU16 reserved;  ///< zero
};
static_assert(sizeof(PageHeader) == 24 && alignof(PageHeader) == 1);
static_assert(offsetof(PageHeader, checksum) == 8 && offsetof(PageHeader, object) == 16);
static_assert(offsetof(PageHeader, type) == 20 && offsetof(PageHeader, flags) == 21);

inline constexpr std::size_t kPageHeaderBytes = sizeof(PageHeader);

/// 128 random bits, made when the database is created.
struct DatabaseId {
  std::array<std::byte, 16> bytes{};
  friend bool operator==(const DatabaseId&, const DatabaseId&) = default;
};

/// All that the checksums of a database's pages know of it: CRC32C of its id.
std::uint32_t page_checksum_seed(const DatabaseId& database) noexcept;
/// CRC32C over the page without its checksum field, seeded with the database id and the page's number.
std::uint64_t page_checksum(std::uint32_t seed, PageId id, Bytes page) noexcept;
inline std::uint64_t page_checksum(const DatabaseId& database, PageId id, Bytes page) noexcept {
  return page_checksum(page_checksum_seed(database), id, page);
}

inline const PageHeader& page_header(Bytes page) noexcept {
  return *reinterpret_cast<const PageHeader*>(page.data());
}
inline PageHeader& page_header(MutableBytes page) noexcept {
  return *reinterpret_cast<PageHeader*>(page.data());
}

/// True when every byte is zero: a page that was allocated in the file but never written.
bool page_is_zero(Bytes page) noexcept;

}  // namespace vaultgres
