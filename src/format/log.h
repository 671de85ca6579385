// The log's persisted structures: blocks, records, and the parts of a record.
//
// The log is one address space of bytes, cut into segment files (log/%016x.log, the number is position /
// segment bytes) and blocks of 4 KiB. A block is written once. A record starts behind a block's header or
// behind the record before it, and goes on behind the next block's header where it does not fit. After a
// flush the rest of the block is padding and the next record starts a new block.
//
// LSN of a record: the position just after its last byte. Address of a record: the position of its first.
#pragma once

#include <cstddef>

#include "base/little.h"
#include "base/types.h"

namespace vaultgres {

inline constexpr std::size_t kLogBlockBytes = 4096;

struct LogBlockHeader {
  LittleU32 checksum;      ///< CRC32C of the block without this field, seeded with database id, salt, position
  LittleU16 used;          ///< payload bytes in use, behind the header; the rest is zero padding
  LittleU16 first_record;  ///< payload offset + 1 of the first record that starts here; 0: none starts
  LittleU64 epoch;         ///< number of the epoch
  LittleU64 durable;       ///< the durable LSN known when the block was written
  LittleU64 time;          ///< when its flush began: microseconds since 1970, UTC; of one epoch, ascending
};
static_assert(sizeof(LogBlockHeader) == 32 && offsetof(LogBlockHeader, durable) == 16 &&
              offsetof(LogBlockHeader, time) == 24);
inline constexpr std::size_t kLogBlockPayload = kLogBlockBytes - sizeof(LogBlockHeader);

enum class RecordKind : std::uint8_t {
  kEpoch = 1,         ///< first of an epoch; body: EpochBody
  kSystem = 2,        ///< structure change, allocation, purge: redo only
  kUpdate = 3,        ///< a transaction's change: redo and undo
  kCompensation = 4,  ///< undoes one kUpdate: redo, and where undo goes on
  kCommit = 5,        ///< the transaction is committed
  kRollbackEnd = 6,   ///< the last compensation is logged
  kCheckpoint = 7,    ///< body: CheckpointBody and its open transactions
  kSingle = 8,        ///< one change and its commit in one record: redo only
};

/// Every record starts so. All records of an epoch's chain are at least this long.
struct RecordHeader {
  LittleU32 length;  ///< whole record, this header included
  LittleU8 kind;     ///< RecordKind
  LittleU8 parts;    ///< number of page parts that follow (after a compensation's undo_next)
  LittleU16 undo;    ///< 1: an undo part follows the page parts, else 0
  LittleU64 txn;     ///< transaction, 0 for none
  LittleU64 prev;    ///< address of the transaction's previous record, 0 for none
};
static_assert(sizeof(RecordHeader) == 24 && offsetof(RecordHeader, prev) == 16);
inline constexpr std::size_t kRecordBytesMax = 1 << 20;

/// Follows the header of a kCompensation: address of the record that undo continues with, 0: all undone.
struct CompensationHeader {
  LittleU64 undo_next;
};
static_assert(sizeof(CompensationHeader) == 8);

/// A change of one page; `bytes` of operation payload follow. The operation codes are in format/page_op.h.
struct PagePart {
  LittleU32 page;
  LittleU16 bytes;
  LittleU8 op;        ///< PageOp
  LittleU8 reserved;  ///< zero
};
static_assert(sizeof(PagePart) == 8);

/// How to undo the record: `key_bytes` of key and `value_bytes` of value follow.
struct UndoPart {
  LittleU32 object;
  LittleU32 value_bytes;
  LittleU16 key_bytes;
  LittleU8 op;        ///< UndoOp
  LittleU8 reserved;  ///< zero
};
static_assert(sizeof(UndoPart) == 12);

struct EpochBody {
  LittleU64 number;
  LittleU64 previous_number;  ///< 0: there was none
  LittleU64 previous_end;     ///< where the previous epoch's last accepted record ended
  LittleU64 previous_salt;    ///< tells it from an epoch of the same number of another timeline
};
static_assert(sizeof(EpochBody) == 32);

struct CheckpointTxn {
  LittleU64 txn;
  LittleU64 first;  ///< address of its first record
  LittleU64 last;   ///< address of its last record so far
};
static_assert(sizeof(CheckpointTxn) == 24);

struct CheckpointBody {
  LittleU64 redo_start;
  LittleU64 next_txn;
  LittleU32 next_object;
  LittleU32 open_count;  ///< CheckpointTxn entries that follow
};
static_assert(sizeof(CheckpointBody) == 24);

}  // namespace vaultgres
