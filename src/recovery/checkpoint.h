// Fuzzy checkpoints: where recovery will begin, written down without stopping anybody.
//
// Order: read the filled end of the log; ask the pool for the redo start and the transactions for the open
// ones (a commit below the filled end is seen as one); log the checkpoint, sync it; write the older
// superblock, sync it; recycle the segments below all that is still needed. A crash between any two steps
// leaves the previous superblock, whose checkpoint record and log are still there.
#pragma once

#include "buffer/mini_txn.h"
#include "recovery/superblock_store.h"
#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// Log space of a checkpoint, besides kListedLogBytes for each open transaction.
inline constexpr std::uint64_t kCheckpointLogSpace = log_bytes_for(4096) + kLogBlockBytes;

/// Checkpoints are serialised by the caller, who has reserved kCheckpointLogSpace; the open transactions keep their
/// shares. `next_object`: no object id at or above it has been given. `held`: log from there on stays.
Status write_checkpoint(const Engine& engine, const TxnManager& manager, SuperblockStore& superblocks,
                        ObjectId next_object, Lsn held);

}  // namespace vaultgres
