#include "catalog/catalog_entry.h"

#include <cstring>

#include "base/little.h"
#include "btree/node.h"

namespace vaultgres {
namespace {
struct Persisted {
  LittleU8 version;
  LittleU8 kind;
  LittleU16 reserved;
  LittleU32 object;
  LittleU32 root;
};
static_assert(sizeof(Persisted) == 12);
}  // namespace

std::string encode_catalog_entry(const CatalogEntry& entry) {
  Persisted p{};
  p.version.set(1);
  p.kind.set(static_cast<std::uint8_t>(entry.kind));
  p.object.set(raw(entry.object));
  p.root.set(raw(entry.root));
  return std::string(reinterpret_cast<const char*>(&p), sizeof p);
}

Result<CatalogEntry> decode_catalog_entry(Bytes value) {
  Persisted p;
  if (value.size() != sizeof p) return Error(ErrorCode::kCorruption, "a catalog row has the wrong length");
  std::memcpy(&p, value.data(), sizeof p);
  if (p.version.get() != 1 || p.kind.get() != 1) return Error(ErrorCode::kUnsupported, "a catalog row is of an unknown kind");
  return CatalogEntry{ObjectKind::kMap, ObjectId{p.object.get()}, PageId{p.root.get()}};
}

Status check_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.size() > kKeyBytesMax) {
    return Error(ErrorCode::kInvalidArgument, "a name must have 1 to 255 bytes");
  }
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return Error(ErrorCode::kInvalidArgument, "a name must not hold control characters");
  }
  return {};
}
}  // namespace vaultgres
