#include "listing_support.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "base/crc32c.h"
#include "base/try.h"
#include "base/types.h"

namespace vaultgres {
namespace {

constexpr std::size_t kShownBytesMax = 60;

std::string in_quotes(std::string_view bytes) {
  char buffer[32];
  if (bytes.size() > kShownBytesMax) {
    std::snprintf(buffer, sizeof buffer, " bytes 0x%08x", crc32c(0xFFFFFFFFu, as_bytes(bytes)));
    return std::to_string(bytes.size()) + buffer;
  }
  std::string text = "\"";
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      text += c;
    } else {
      std::snprintf(buffer, sizeof buffer, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      text += buffer;
    }
  }
  return text + '"';
}

std::string shown(const Value& value) {
  char bits[24];
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "NULL";
    case Value::Kind::kBool:
      return value.boolean() ? "true" : "false";
    case Value::Kind::kInteger:
      return std::to_string(value.integer());
    case Value::Kind::kDouble:
      std::snprintf(bits, sizeof bits, "0x%016llx",
                    static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(value.number())));
      return bits;
    case Value::Kind::kDate:
      return "date " + std::to_string(value.date().days);
    case Value::Kind::kTimestamp:
      return "timestamp " + std::to_string(value.timestamp().micros);
    case Value::Kind::kText:
      return in_quotes(value.text());
    case Value::Kind::kBytes:
      return in_quotes(value.bytes());
  }
  return "?";
}
/// As a key keeps it: one zero, one NaN.
std::string shown_in_key(const Value& value) {
  if (value.kind() != Value::Kind::kDouble) return shown(value);
  if (std::isnan(value.number())) return shown(std::numeric_limits<double>::quiet_NaN());
  return shown(value.number() == 0 ? 0.0 : value.number());
}

template <class Show>
std::string joined(std::size_t count, Show&& show) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + show(i);
  return text;
}

std::string shown(RowId id) {
  return std::to_string(id.page) + "." + std::to_string(id.slot);
}

std::string heading(const char* kind, const std::string& name, std::uint32_t object) {
  return std::string(kind) + " " + in_quotes(name) + ", object " + std::to_string(object);
}

Result<std::string> list_map(Database& db, const MapInfo& info) {
  VG_ASSIGN(const Map map, db.open_map(info.name));
  std::string text = heading("map", info.name, info.object_id) + "\n";
  Cursor cursor = map.cursor();
  for (;;) {
    VG_ASSIGN(const bool more, cursor.next());
    if (!more) return text;
    text += in_quotes(cursor.key()) + " = " + in_quotes(cursor.value()) + "\n";
  }
}

Result<std::string> list_table(Database& db, const TableInfo& info) {
  VG_ASSIGN(const Table table, db.open_table(info.name));
  std::string text = heading("table", info.name, info.object_id) + "\n";
  for (const Column& column : info.schema.columns()) {
    text += "column " + in_quotes(column.name) + " " + std::string(column_type_name(column.type)) +
            (column.nullable ? " nullable\n" : "\n");
  }
  TableScan scan = table.scan();
  for (;;) {
    VG_ASSIGN(const bool more, scan.next());
    if (!more) return text;
    const Row& row = scan.row();
    text += "row " + shown(scan.id()) + ": " + joined(row.size(), [&](std::size_t i) { return shown(row[i]); }) + "\n";
  }
}

Result<std::string> list_index(Database& db, const IndexInfo& info) {
  VG_ASSIGN(const Index index, db.open_index(info.name));
  const auto& parts = info.spec.columns;
  std::string text =
      heading("index", info.name, info.object_id) + ", of " + in_quotes(info.table) +
      (info.spec.unique ? ", unique: " : ": ") +
      joined(parts.size(),
             [&](std::size_t i) { return in_quotes(parts[i].column) + (parts[i].descending ? " descending" : ""); }) +
      "\n";
  RowCursor cursor = index.range();
  for (;;) {
    VG_ASSIGN(const bool more, cursor.next());
    if (!more) return text;
    const auto key = [&](std::size_t i) { return shown_in_key(cursor.row()[*index.schema().find(parts[i].column)]); };
    text += joined(parts.size(), key) + " -> " + shown(cursor.id()) + "\n";
  }
}

}  // namespace

Result<std::string> list_database(Database& db) {
  std::map<std::string, std::string> sections;  // by name
  VG_ASSIGN(const std::vector<MapInfo> maps, db.maps());
  for (const MapInfo& info : maps) {
    VG_ASSIGN(sections[info.name], list_map(db, info));
  }
  VG_ASSIGN(const std::vector<TableInfo> tables, db.tables());
  for (const TableInfo& info : tables) {
    VG_ASSIGN(sections[info.name], list_table(db, info));
  }
  VG_ASSIGN(const std::vector<IndexInfo> indexes, db.indexes());
  for (const IndexInfo& info : indexes) {
    VG_ASSIGN(sections[info.name], list_index(db, info));
  }
  std::string text;
  for (const auto& [name, section] : sections) text += section;
  return text;
}

}  // namespace vaultgres
