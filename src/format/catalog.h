// A row of the catalog. Its key is the object's name, its value is
//
//   map     | CatalogHeader |
//   table   | CatalogHeader | CatalogTable | { CatalogColumn | name } … |
//   index   | CatalogHeader | CatalogIndex | CatalogIndexColumn … |
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/little.h"

namespace vaultgres {

inline constexpr std::uint8_t kCatalogVersion = 1;

/// As stored.
enum class ObjectKind : std::uint8_t {
  kMap = 1,
  kTable = 2,
  kIndex = 3,
};

enum CatalogFlags : std::uint16_t {
  kCatalogPinned = 1,  ///< its pages leave the cache last
};
inline constexpr std::uint16_t kCatalogFlagsAll = kCatalogPinned;

struct CatalogHeader {
  LittleU8 version;  ///< kCatalogVersion
  LittleU8 kind;     ///< ObjectKind
  LittleU16 flags;   ///< CatalogFlags; the others are zero
  LittleU32 object;
  LittleU32 root;  ///< map, index: the tree's root; table: the root of its map of heap pages
};
static_assert(sizeof(CatalogHeader) == 12 && offsetof(CatalogHeader, kind) == 1);
static_assert(offsetof(CatalogHeader, flags) == 2 && offsetof(CatalogHeader, object) == 4);
static_assert(offsetof(CatalogHeader, root) == 8);

struct CatalogTable {
  LittleU16 columns;
  LittleU16 reserved;  ///< zero
};
static_assert(sizeof(CatalogTable) == 4 && offsetof(CatalogTable, reserved) == 2);

enum CatalogColumnFlags : std::uint8_t {
  kCatalogNullable = 1,
};

struct CatalogColumn {
  LittleU8 type;        ///< ColumnType
  LittleU8 flags;       ///< CatalogColumnFlags; the others are zero
  LittleU8 name_bytes;  ///< the name follows
  LittleU8 reserved;    ///< zero
};
static_assert(sizeof(CatalogColumn) == 4 && offsetof(CatalogColumn, flags) == 1);
static_assert(offsetof(CatalogColumn, name_bytes) == 2 && offsetof(CatalogColumn, reserved) == 3);

enum CatalogIndexFlags : std::uint8_t {
  kCatalogUnique = 1,
};

struct CatalogIndex {
  LittleU32 table;  ///< object id of the table
  LittleU8 flags;   ///< CatalogIndexFlags; the others are zero
  LittleU8 columns;
  LittleU16 reserved;  ///< zero
};
static_assert(sizeof(CatalogIndex) == 8 && offsetof(CatalogIndex, flags) == 4);
static_assert(offsetof(CatalogIndex, columns) == 5 && offsetof(CatalogIndex, reserved) == 6);

enum CatalogIndexColumnFlags : std::uint8_t {
  kCatalogDescending = 1,
};

struct CatalogIndexColumn {
  LittleU16 column;   ///< place in the table's schema
  LittleU8 flags;     ///< CatalogIndexColumnFlags; the others are zero
  LittleU8 reserved;  ///< zero
};
static_assert(sizeof(CatalogIndexColumn) == 4 && offsetof(CatalogIndexColumn, flags) == 2);
static_assert(offsetof(CatalogIndexColumn, reserved) == 3);

}  // namespace vaultgres
