// A dump: the content of a database as one stream of bytes, for another database, machine or version.
//
//   | DumpHeader | chunk | chunk | …                        chunk: | DumpChunk | payload |
//
// Chunks, in this order: contents (any number), then for each map or table an object, its data (any number), its end
// and, of a table, its indexes; then the end. Written and read from the first byte to the last, without a step back.
// In prose, with every payload: docs/DUMP_FORMAT.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/little.h"

namespace vaultgres {

inline constexpr std::uint64_t kDumpMagic = 0x31504D5544544756;  // "VGTDUMP1", little-endian
inline constexpr std::uint32_t kDumpVersion = 1;

struct DumpHeader {
  LittleU64 magic;    ///< kDumpMagic
  LittleU32 version;  ///< kDumpVersion
  LittleU32 reserved;
};
static_assert(sizeof(DumpHeader) == 16 && offsetof(DumpHeader, version) == 8);

enum class DumpChunkKind : std::uint8_t {
  kContents = 1,   ///< DumpContentsItem and name, any number of times
  kObject = 2,     ///< DumpNamed, the name, its row of the catalog
  kData = 3,       ///< a part of the object's entries or rows, cut anywhere
  kObjectEnd = 4,  ///< DumpObjectEnd
  kIndex = 5,      ///< as kObject
  kEnd = 6,        ///< DumpEnd
};

struct DumpChunk {
  LittleU32 checksum;  ///< CRC32C from 0xFFFFFFFF over the chunk's offset in the dump (8 bytes), what follows, payload
  LittleU32 bytes;     ///< of the payload, at most kDumpChunkBytesMax
  LittleU8 kind;       ///< DumpChunkKind
  LittleU8 reserved[3];
};
static_assert(sizeof(DumpChunk) == 12 && offsetof(DumpChunk, bytes) == 4 && offsetof(DumpChunk, kind) == 8);

/// The longest payload is the catalog row of a table of 1,000 columns with the longest names.
inline constexpr std::size_t kDumpChunkBytesMax = std::size_t{512} << 10;
/// Where the writer cuts data and contents: the same content gives the same bytes.
inline constexpr std::size_t kDumpDataBytes = std::size_t{64} << 10;

struct DumpContentsItem {
  LittleU8 kind;        ///< ObjectKind
  LittleU8 name_bytes;  ///< the name follows
};
static_assert(sizeof(DumpContentsItem) == 2);

struct DumpNamed {
  LittleU16 name_bytes;
  LittleU16 reserved;
};
static_assert(sizeof(DumpNamed) == 4);

/// In the data of a map: this, the key, the value.
struct DumpEntry {
  LittleU16 key_bytes;
  LittleU32 value_bytes;
};
static_assert(sizeof(DumpEntry) == 6 && offsetof(DumpEntry, value_bytes) == 2);

/// In the data of a table: this, then the row (format/row.h).
struct DumpRow {
  LittleU32 bytes;
};
static_assert(sizeof(DumpRow) == 4);

struct DumpObjectEnd {
  LittleU64 count;  ///< entries or rows of the object
};
static_assert(sizeof(DumpObjectEnd) == 8);

struct DumpEnd {
  LittleU64 maps;
  LittleU64 tables;
  LittleU64 indexes;
  LittleU64 entries;  ///< of all maps
  LittleU64 rows;     ///< of all tables
  LittleU32 chain;    ///< CRC32C from 0xFFFFFFFF over the checksums of all chunks before, in their order
  LittleU32 reserved;
};
static_assert(sizeof(DumpEnd) == 48 && offsetof(DumpEnd, chain) == 40);

}  // namespace vaultgres
