#include "db/dump_writer.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/try.h"

namespace vaultgres::internal {

namespace {

template <class T>
Bytes bytes_of(const T& structure) {
  return std::as_bytes(std::span(&structure, 1));
}

}  // namespace

std::uint32_t dump_checksum(std::uint64_t offset, const DumpChunk& chunk, Bytes payload) noexcept {
  LittleU64 place;
  place.set(offset);
  const std::uint32_t seed = crc32c(0xFFFFFFFFu, bytes_of(place));
  return crc32c(crc32c(seed, bytes_of(chunk).subspan(offsetof(DumpChunk, bytes))), payload);
}

std::uint32_t extend_dump_chain(std::uint32_t chain, std::uint32_t checksum) noexcept {
  LittleU32 stored;
  stored.set(checksum);
  return crc32c(chain, bytes_of(stored));
}

CatalogEntry without_places(CatalogEntry entry) {
  entry.object = ObjectId{0};
  entry.root = PageId{0};
  if (entry.index) entry.index->table = ObjectId{0};
  return entry;
}

Status DumpWriter::write(Bytes bytes) {
  summary_.bytes += bytes.size();
  return sink_(bytes);
}

Status DumpWriter::write_chunk(DumpChunkKind kind, Bytes payload) {
  DumpChunk chunk{};
  chunk.bytes.set(static_cast<std::uint32_t>(payload.size()));
  chunk.kind.set(static_cast<std::uint8_t>(kind));
  const std::uint32_t checksum = dump_checksum(summary_.bytes, chunk, payload);
  chunk.checksum.set(checksum);
  chain_ = extend_dump_chain(chain_, checksum);
  VG_TRY(write(bytes_of(chunk)));
  return write(payload);
}

Status DumpWriter::write_pending(DumpChunkKind kind) {
  if (pending_.empty()) return {};
  VG_TRY(write_chunk(kind, as_bytes(pending_)));
  pending_.clear();
  return {};
}

Status DumpWriter::begin() {
  DumpHeader header{};
  header.magic.set(kDumpMagic);
  header.version.set(kDumpVersion);
  return write(bytes_of(header));
}

Status DumpWriter::add_name(ObjectKind kind, std::string_view name) {
  if (pending_.size() + sizeof(DumpContentsItem) + name.size() > kDumpDataBytes) {
    VG_TRY(write_pending(DumpChunkKind::kContents));
  }
  DumpContentsItem item;
  item.kind.set(static_cast<std::uint8_t>(kind));
  item.name_bytes.set(static_cast<std::uint8_t>(name.size()));
  pending_.append(as_text(bytes_of(item))).append(name);
  return {};
}

Status DumpWriter::add_described(DumpChunkKind kind, std::string_view name, const CatalogEntry& entry) {
  VG_TRY(write_pending(DumpChunkKind::kContents));
  DumpNamed named{};
  named.name_bytes.set(static_cast<std::uint16_t>(name.size()));
  std::string payload(as_text(bytes_of(named)));
  payload.append(name).append(encode_catalog_entry(without_places(entry)));
  return write_chunk(kind, as_bytes(payload));
}

Status DumpWriter::begin_object(std::string_view name, const CatalogEntry& entry) {
  VG_TRY(add_described(DumpChunkKind::kObject, name, entry));
  ++(entry.kind == ObjectKind::kMap ? summary_.maps : summary_.tables);
  count_ = 0;
  return {};
}

Status DumpWriter::add_data(Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes part = bytes.first(std::min(bytes.size(), kDumpDataBytes - pending_.size()));
    pending_.append(as_text(part));
    bytes = bytes.subspan(part.size());
    if (pending_.size() == kDumpDataBytes) VG_TRY(write_pending(DumpChunkKind::kData));
  }
  return {};
}

Status DumpWriter::add_entry(std::string_view key, std::string_view value) {
  DumpEntry entry;
  entry.key_bytes.set(static_cast<std::uint16_t>(key.size()));
  entry.value_bytes.set(static_cast<std::uint32_t>(value.size()));
  VG_TRY(add_data(bytes_of(entry)));
  VG_TRY(add_data(as_bytes(key)));
  VG_TRY(add_data(as_bytes(value)));
  ++count_;
  ++summary_.entries;
  return {};
}

Status DumpWriter::add_row(std::string_view bytes) {
  DumpRow row;
  row.bytes.set(static_cast<std::uint32_t>(bytes.size()));
  VG_TRY(add_data(bytes_of(row)));
  VG_TRY(add_data(as_bytes(bytes)));
  ++count_;
  ++summary_.rows;
  return {};
}

Status DumpWriter::end_object() {
  VG_TRY(write_pending(DumpChunkKind::kData));
  DumpObjectEnd end;
  end.count.set(count_);
  return write_chunk(DumpChunkKind::kObjectEnd, bytes_of(end));
}

Status DumpWriter::add_index(std::string_view name, const CatalogEntry& entry) {
  ++summary_.indexes;
  return add_described(DumpChunkKind::kIndex, name, entry);
}

Status DumpWriter::finish() {
  VG_TRY(write_pending(DumpChunkKind::kContents));  // of nothing but names: there are no objects
  DumpEnd end{};
  end.maps.set(summary_.maps);
  end.tables.set(summary_.tables);
  end.indexes.set(summary_.indexes);
  end.entries.set(summary_.entries);
  end.rows.set(summary_.rows);
  end.chain.set(chain_);
  return write_chunk(DumpChunkKind::kEnd, bytes_of(end));
}

}  // namespace vaultgres::internal
