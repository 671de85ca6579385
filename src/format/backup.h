// What a backup is made of, and how it says that it is whole.
//
//   DIRECTORY/pages.vg      copies of all pages, each at its place; pages 0 and 1 are superblocks
//   DIRECTORY/log/*.log     the log that the copies need, segments by their numbers, only the blocks that are needed
//   DIRECTORY/backup.vg     this header in a block of its own: written last, under another name, and renamed
//
// So a directory without backup.vg is half a backup, whatever else is in it.
#pragma once

#include <cstddef>

#include "format/page.h"

namespace vaultgres {

inline constexpr std::size_t kBackupHeaderBytes = 4096;
inline constexpr std::uint64_t kBackupMagic = 0x3150554B43414256;  // "VBACKUP1", little-endian

struct BackupHeader {
  LittleU64 magic;     ///< kBackupMagic
  LittleU32 checksum;  ///< CRC32C of the block without this field, seeded with the database id
  LittleU32 page_bytes;
  DatabaseId database;
  LittleU32 pages;          ///< in pages.vg
  LittleU32 segment_bytes;  ///< size of a log segment
  LittleU64 log_from;       ///< the log is there from the block of this position …
  LittleU64 log_to;         ///< … up to this one, a block boundary: the earliest point that can be restored
  LittleU64 begin_time;     ///< when it was begun; microseconds since 1970, UTC
  LittleU64 end_time;       ///< of the last flush in the log
};
static_assert(offsetof(BackupHeader, database) == 16 && offsetof(BackupHeader, pages) == 32);
static_assert(offsetof(BackupHeader, log_from) == 40 && sizeof(BackupHeader) == 72);

}  // namespace vaultgres
