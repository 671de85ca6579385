// A dump's bytes as what they say, step by step. Safe on any bytes: it takes no memory for what a length claims, only
// for bytes that are there (a chunk, one entry or row), and accepts nothing but what DumpWriter writes.
//
//   DumpReader reader(source);
//   for (DumpItem item; item.kind != DumpItem::Kind::kEnd;) VG_TRY(reader.next(item));
//
// Errors: kCorruption names the byte of the dump where it is damaged or ends; kUnsupported is a newer version.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/types.h"
#include "catalog/catalog_entry.h"
#include "catalog/row_encoding.h"
#include "format/dump.h"
#include "vaultgres/dump.h"

namespace vaultgres::internal {

/// Names, keys, values and rows are views that live until the reader's next step.
struct DumpItem {
  enum class Kind : std::uint8_t {
    kNone,
    kName,       ///< name, entry.kind: there will be such an object
    kObject,     ///< name, entry: a map or table begins
    kEntry,      ///< key, value
    kRow,        ///< row
    kObjectEnd,  ///< all of it was there
    kIndex,      ///< name, entry: an index of the table that has just ended
    kEnd,        ///< of the dump, as a whole in order
  };
  Kind kind = Kind::kNone;
  std::string_view name;
  CatalogEntry entry;  ///< without ids and places
  std::string_view key;
  std::string_view value;
  Row row;
};

/// Not thread-safe. After an error only the destructor may be called.
class DumpReader {
 public:
  /// Fills the beginning of the buffer with the next bytes; how many, 0 at the end.
  using Source = FunctionRef<Result<std::size_t>(MutableBytes into)>;
  explicit DumpReader(Source source) : source_(source) {}

  Status next(DumpItem& item);
  /// What was read so far.
  const DumpSummary& summary() const noexcept { return summary_; }

 private:
  enum class State : std::uint8_t { kStart, kContents, kData, kIndexes, kEnded };

  Error damaged(const std::string& what) const;
  Status fill(MutableBytes into, const char* what);
  Status read_header();
  Status read_chunk();
  Status check_order(DumpChunkKind kind) const;
  Status use_chunk(DumpItem& item, bool& done);
  Status next_name(DumpItem& item);
  Status described(DumpItem& item);
  Status begin_object(DumpItem& item);
  Status index(DumpItem& item);
  Status object_end() const;
  Status end();
  bool gather(std::size_t bytes);
  Bytes record() const noexcept;
  void used_record(std::size_t bytes) noexcept;
  Result<bool> next_record(DumpItem& item);
  Result<bool> entry(DumpItem& item);
  Result<bool> row(DumpItem& item);

  Source source_;
  State state_ = State::kStart;
  std::vector<std::byte> chunk_;  ///< payload of the chunk at hand
  std::size_t used_ = 0;          ///< of it
  DumpChunkKind kind_ = DumpChunkKind::kContents;
  std::uint64_t chunk_offset_ = 0;  ///< of the chunk at hand, in the dump
  std::uint32_t chain_ = 0xFFFFFFFFu;
  std::uint32_t chain_before_ = 0xFFFFFFFFu;  ///< without the chunk at hand

  // The object at hand.
  ObjectKind object_kind_ = ObjectKind::kMap;
  std::optional<RowCodec> codec_;  ///< of a table
  std::string record_;             ///< an entry or row that lies in several chunks, as far as it was read
  bool record_used_ = false;       ///< record_ is what the last step gave
  std::string last_key_;
  std::uint64_t count_ = 0;
  std::uint64_t names_ = 0;
  DumpSummary summary_;
};

}  // namespace vaultgres::internal
