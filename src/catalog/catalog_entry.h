// The value of a catalog row: what stands behind a name. The bytes are in format/catalog.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "catalog/key_encoding.h"
#include "catalog/name.h"
#include "format/catalog.h"
#include "vaultgres/result.h"
#include "vaultgres/value.h"

namespace vaultgres {

struct IndexDefinition {
  ObjectId table{};
  bool unique = false;
  std::vector<IndexColumn> columns;  ///< 1 to kIndexColumnsMax, each column once
  friend bool operator==(const IndexDefinition&, const IndexDefinition&) = default;
};

struct CatalogEntry {
  ObjectKind kind = ObjectKind::kMap;
  ObjectId object{};
  PageId root{};  ///< map, index: the tree's root; table: the root of its map of heap pages
  bool pinned = false;
  std::optional<Schema> schema;          ///< of a table, and only there
  std::optional<IndexDefinition> index;  ///< of an index, and only there
  friend bool operator==(const CatalogEntry&, const CatalogEntry&) = default;
};

/// Precondition: schema and index as the kind says; the index's columns within their limits.
std::string encode_catalog_entry(const CatalogEntry& entry);

/// Safe on any bytes. kUnsupported: of a newer version. kCorruption: nothing that the encoder makes. Whether an
/// index fits its table's schema is seen by KeyCodec::create.
Result<CatalogEntry> decode_catalog_entry(Bytes value);

}  // namespace vaultgres
