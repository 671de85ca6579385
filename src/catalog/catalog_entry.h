// The value of a catalog row: what stands behind a name.
#pragma once

#include <string>
#include <string_view>

#include "base/types.h"
#include "vaultgres/result.h"

namespace vaultgres {

enum class ObjectKind : std::uint8_t { kMap = 1 };

struct CatalogEntry {
  ObjectKind kind = ObjectKind::kMap;
  ObjectId object{};
  PageId root{};
};

std::string encode_catalog_entry(const CatalogEntry& entry);
Result<CatalogEntry> decode_catalog_entry(Bytes value);

/// 1 to 255 bytes of UTF-8 without control characters.
Status check_name(std::string_view name);

}  // namespace vaultgres
