// The bytes of a dump, as its objects come. The format is in format/dump.h; what to write when is up to the caller:
//
//   begin, add_name …, then per object: begin_object, add_entry or add_row …, end_object, add_index …; finish
#pragma once

#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "base/types.h"
#include "catalog/catalog_entry.h"
#include "format/dump.h"
#include "vaultgres/dump.h"

namespace vaultgres::internal {

/// The catalog row of an object as it stands in a dump: ids and places mean nothing elsewhere.
CatalogEntry without_places(CatalogEntry entry);

/// Not thread-safe. After an error only the destructor may be called.
class DumpWriter {
 public:
  using Sink = FunctionRef<Status(Bytes)>;
  explicit DumpWriter(Sink sink) : sink_(sink) {}

  Status begin();
  /// Of everything that follows, in that order.
  Status add_name(ObjectKind kind, std::string_view name);
  Status begin_object(std::string_view name, const CatalogEntry& entry);
  /// Keys ascend.
  Status add_entry(std::string_view key, std::string_view value);
  /// As RowCodec::encode() writes it.
  Status add_row(std::string_view row);
  Status end_object();
  Status add_index(std::string_view name, const CatalogEntry& entry);
  Status finish();

  const DumpSummary& summary() const noexcept { return summary_; }

 private:
  Status write(Bytes bytes);
  Status write_chunk(DumpChunkKind kind, Bytes payload);
  Status write_pending(DumpChunkKind kind);
  Status add_data(Bytes bytes);
  Status add_described(DumpChunkKind kind, std::string_view name, const CatalogEntry& entry);

  Sink sink_;
  std::string pending_;      ///< of contents or data: the chunk that is not full yet
  std::uint64_t count_ = 0;  ///< of the object's entries or rows
  std::uint32_t chain_ = 0xFFFFFFFFu;
  DumpSummary summary_;
};

/// Of a chunk: its header's checksum.
std::uint32_t dump_checksum(std::uint64_t offset, const DumpChunk& chunk, Bytes payload) noexcept;
/// Of all chunks before, and this one.
std::uint32_t extend_dump_chain(std::uint32_t chain, std::uint32_t checksum) noexcept;

}  // namespace vaultgres::internal
