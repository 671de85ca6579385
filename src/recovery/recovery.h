// Recovery after a crash, and after a clean close (which leaves nothing to redo).
//
// Recovery counts no write of the dead process as durable: what it reads may come from the page cache. Steps,
// and what a crash after each leaves:
//   1. the newest superblock is written again and synced: as before
//   2. the log is read from redo start to its tail, along the chain of epochs; who was open is found out
//   3. accepted blocks above the last durable LSN found in the log are written again and synced: as before
//   4. a new epoch enters the superblock, synced, before its first block: the next recovery reads the old
//      epoch up to the recorded end, then the new one, empty or not
//   5. torn pages are restored from the doublewrite area: as before
//   6. redo, into the cache; pages are written by the same rules as ever
//   7. undo of what was open, logging compensations in the new epoch: the next recovery goes on behind them
//   8. a checkpoint: the old epochs are over
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "recovery/superblock_store.h"
#include "txn/engine.h"
#include "txn/txn.h"
#include "wal/log_reader.h"

namespace vaultgres {

/// What steps 1 to 4 found and made.
struct LogAnalysis {
  std::vector<SuperblockState::Epoch> old_epochs;  ///< to be redone, oldest first, each with its end
  LogEpoch epoch;                                  ///< the new one, empty
  Lsn keep_from{0};                                ///< log below is not needed
  Lsn redo_start{0};
  std::vector<OpenTxn> losers;
  TxnId next_txn{1};
  ObjectId next_object = kFirstUserObject;
  std::uint64_t records = 0;  ///< from redo start on
};

/// Steps 1 to 4.
Result<LogAnalysis> analyse_log(FileSystem& files, const std::string& log_directory, SuperblockStore& superblocks);

/// The new epoch's first record: names the epoch before and where that ended. Appended before anything else.
Status append_epoch_record(Log& log, const LogAnalysis& analysis);

/// Step 6. Absent pages that are allocated in the end are damage: found by whoever needs them. `with_ghosts` becomes
/// the heap pages, of those that the log names, that end with ghosts on them: whoever was to remove these died with the
/// process.
Status redo_log(FileSystem& files, const std::string& log_directory, const SuperblockStore& superblocks,
                const LogAnalysis& analysis, const RedoTable& redo, BufferPool& pool,
                std::map<PageId, ObjectId>& with_ghosts);

/// Reads records of the old epochs, for undo.
Result<LogReader> open_old_log(FileSystem& files, const std::string& log_directory, const SuperblockStore& superblocks,
                               const LogAnalysis& analysis);

/// Step 7. Needs a working engine.
Status undo_losers(TxnManager& manager, const LogAnalysis& analysis);

}  // namespace vaultgres
