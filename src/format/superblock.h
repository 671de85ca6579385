// The superblock: pages 0 and 1 of the data file hold one copy each, written in turn.
//
// The newer valid copy (greater sequence) counts. Its checkpoint record must be readable, else the
// database is damaged. Written and synced: at creation, at every checkpoint, and before a new log epoch
// gets its first block.
#pragma once

#include <cstddef>

#include "format/page.h"

namespace vaultgres {

inline constexpr std::uint64_t kSuperblockMagic = 0x315347544C554156;  // "VAULTGS1", little-endian
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kEpochsMax = 16;

/// Pages with fixed places.
inline constexpr PageId kSuperblockPages[2] = {PageId{0}, PageId{1}};
inline constexpr PageId kFirstBitmapPage{2};
inline constexpr PageId kCatalogRootPage{3};
inline constexpr PageId kRetiredRootPage{4};
inline constexpr PageId kFirstUserPage{5};

/// Objects with fixed ids.
inline constexpr ObjectId kCatalogObject{1};
inline constexpr ObjectId kRetiredObject{2};
inline constexpr ObjectId kFirstUserObject{16};

/// One timeline of the log. Every recovery starts a new one.
struct EpochEntry {
  LittleU64 number;
  LittleU64 salt;   ///< random; enters the checksum of each of its blocks
  LittleU64 first;  ///< position of its first block, at the start of a segment
  LittleU64 end;    ///< where it ended (position); zero for the current epoch
};
static_assert(sizeof(EpochEntry) == 32);

struct Superblock {
  PageHeader header;         ///< type kSuperblock; lsn: the durable LSN when it was written
  LittleU64 magic;           ///< kSuperblockMagic
  LittleU32 format_version;  ///< kFormatVersion
  LittleU32 page_bytes;
  DatabaseId database;
  LittleU64 sequence;       ///< grows by one with every write of a superblock
  LittleU64 checkpoint;     ///< position of the newest checkpoint record
  LittleU64 redo_start;     ///< redo begins with the first record at or after this position
  LittleU64 next_txn;       ///< at least one above every transaction number in use
  LittleU32 next_object;    ///< at least one above every object number in use
  LittleU32 segment_bytes;  ///< size of a log segment file
  LittleU32 epoch_count;    ///< 1 to kEpochsMax; the last is the current one
  LittleU32 reserved;
  EpochEntry epochs[kEpochsMax];
};
static_assert(offsetof(Superblock, magic) == 24 && offsetof(Superblock, database) == 40);
static_assert(offsetof(Superblock, sequence) == 56 && offsetof(Superblock, checkpoint) == 64);
static_assert(offsetof(Superblock, redo_start) == 72 && offsetof(Superblock, next_txn) == 80);
static_assert(offsetof(Superblock, next_object) == 88 && offsetof(Superblock, segment_bytes) == 92);
static_assert(offsetof(Superblock, epoch_count) == 96 && offsetof(Superblock, epochs) == 104);
static_assert(sizeof(Superblock) == 104 + kEpochsMax * 32 && sizeof(Superblock) <= 1024);

}  // namespace vaultgres
