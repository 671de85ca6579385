#include "catalog/catalog_entry.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "base/try.h"

namespace vaultgres {
namespace {

template <class T>
void append(const T& structure, std::string& out) {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
  out.append(reinterpret_cast<const char*>(&structure), sizeof structure);
}

void append_schema(const Schema& schema, std::string& out) {
  CatalogTable table{};
  table.columns.set(static_cast<std::uint16_t>(schema.size()));
  append(table, out);
  for (const Column& column : schema.columns()) {
    CatalogColumn stored{};
    stored.type.set(static_cast<std::uint8_t>(column.type));
    stored.flags.set(column.nullable ? kCatalogNullable : 0);
    stored.name_bytes.set(static_cast<std::uint8_t>(column.name.size()));
    append(stored, out);
    out.append(column.name);
  }
}

void append_index(const IndexDefinition& index, std::string& out) {
  VG_CHECK(!index.columns.empty() && index.columns.size() <= kIndexColumnsMax, "an index without a valid definition");
  CatalogIndex stored{};
  stored.table.set(raw(index.table));
  stored.flags.set(index.unique ? kCatalogUnique : 0);
  stored.columns.set(static_cast<std::uint8_t>(index.columns.size()));
  append(stored, out);
  for (const IndexColumn& column : index.columns) {
    CatalogIndexColumn part{};
    part.column.set(column.column);
    part.flags.set(column.descending ? kCatalogDescending : 0);
    append(part, out);
  }
}

Error bad_entry(std::string_view reason) {
  return Error(ErrorCode::kCorruption, std::string("a catalog row is damaged: ").append(reason));
}

/// What is left of a row's bytes.
class Reader {
 public:
  explicit Reader(Bytes bytes) noexcept : rest_(bytes) {}
  /// False: fewer bytes are left.
  template <class T>
  bool take(T& structure) noexcept {
    if (rest_.size() < sizeof structure) return false;
    std::memcpy(&structure, rest_.data(), sizeof structure);
    rest_ = rest_.subspan(sizeof structure);
    return true;
  }
  bool take(std::size_t size, std::string& text) {
    if (rest_.size() < size) return false;
    text = as_text(rest_.first(size));
    rest_ = rest_.subspan(size);
    return true;
  }
  bool at_end() const noexcept { return rest_.empty(); }

 private:
  Bytes rest_;
};

Result<Schema> take_schema(Reader& reader) {
  CatalogTable table;
  if (!reader.take(table)) return bad_entry("it ends early");
  if (table.reserved.get() != 0) return bad_entry("reserved bytes are not zero");
  std::vector<Column> columns;
  for (unsigned i = 0; i < table.columns.get(); ++i) {
    CatalogColumn stored;
    Column column;
    if (!reader.take(stored) || !reader.take(stored.name_bytes.get(), column.name)) return bad_entry("it ends early");
    if ((stored.flags.get() & ~kCatalogNullable) != 0 || stored.reserved.get() != 0) {
      return bad_entry("a column has unknown flags");
    }
    column.type = static_cast<ColumnType>(stored.type.get());
    column.nullable = (stored.flags.get() & kCatalogNullable) != 0;
    columns.push_back(std::move(column));
  }
  auto schema = Schema::create(std::move(columns));
  if (!schema) return bad_entry(schema.error().message());
  return schema;
}

Result<IndexDefinition> take_index(Reader& reader) {
  CatalogIndex stored;
  if (!reader.take(stored)) return bad_entry("it ends early");
  if ((stored.flags.get() & ~kCatalogUnique) != 0 || stored.reserved.get() != 0) {
    return bad_entry("an index has unknown flags");
  }
  IndexDefinition index{ObjectId{stored.table.get()}, (stored.flags.get() & kCatalogUnique) != 0, {}};
  const unsigned count = stored.columns.get();
  if (count == 0 || count > kIndexColumnsMax) return bad_entry("an index has no or too many columns");
  for (unsigned i = 0; i < count; ++i) {
    CatalogIndexColumn part;
    if (!reader.take(part)) return bad_entry("it ends early");
    if ((part.flags.get() & ~kCatalogDescending) != 0 || part.reserved.get() != 0) {
      return bad_entry("an index column has unknown flags");
    }
    const std::uint16_t column = part.column.get();
    if (column >= kMaxColumns ||
        std::ranges::any_of(index.columns, [&](const IndexColumn& other) { return other.column == column; })) {
      return bad_entry("an index names an impossible column, or one twice");
    }
    index.columns.push_back({column, (part.flags.get() & kCatalogDescending) != 0});
  }
  return index;
}

}  // namespace

std::string encode_catalog_entry(const CatalogEntry& entry) {
  VG_CHECK(entry.schema.has_value() == (entry.kind == ObjectKind::kTable), "a table, and only a table, has a schema");
  VG_CHECK(entry.index.has_value() == (entry.kind == ObjectKind::kIndex), "an index, and only an index, has columns");
  std::string out;
  CatalogHeader header{};
  header.version.set(kCatalogVersion);
  header.kind.set(static_cast<std::uint8_t>(entry.kind));
  header.flags.set(entry.pinned ? kCatalogPinned : 0);
  header.object.set(raw(entry.object));
  header.root.set(raw(entry.root));
  append(header, out);
  if (entry.schema) append_schema(*entry.schema, out);
  if (entry.index) append_index(*entry.index, out);
  return out;
}

Result<CatalogEntry> decode_catalog_entry(Bytes value) {
  Reader reader(value);
  CatalogHeader header;
  if (!reader.take(header)) return bad_entry("it ends early");
  const unsigned version = header.version.get();
  if (version > kCatalogVersion) {
    return Error(ErrorCode::kUnsupported, "a catalog row is of version " + std::to_string(version) +
                                              "; this program knows versions up to " + std::to_string(kCatalogVersion));
  }
  if (version == 0) return bad_entry("its version is zero");
  if ((header.flags.get() & ~kCatalogFlagsAll) != 0) return bad_entry("it has unknown flags");
  CatalogEntry entry;
  entry.kind = static_cast<ObjectKind>(header.kind.get());
  entry.object = ObjectId{header.object.get()};
  entry.root = PageId{header.root.get()};
  entry.pinned = (header.flags.get() & kCatalogPinned) != 0;
  switch (entry.kind) {
    case ObjectKind::kMap:
      break;
    case ObjectKind::kTable: {
      VG_ASSIGN(entry.schema, take_schema(reader));
      break;
    }
    case ObjectKind::kIndex: {
      VG_ASSIGN(entry.index, take_index(reader));
      break;
    }
    default:
      return bad_entry("its kind is unknown");
  }
  if (!reader.at_end()) return bad_entry("it has bytes behind its end");
  return entry;
}

}  // namespace vaultgres
