// Recovery after a crash, and after a clean close (which leaves nothing to redo).
//
// Recovery counts no write of the dead process as durable: what it reads may come from the page cache. Steps,
// and what a crash after each leaves:
//   1. the newest superblock is written again and synced: as before
//   2. the log is read from redo start to its tail, along the chain of epochs; who was open is found out
//   3. accepted blocks above the last durable LSN found in the log are written again and synced: as before
//   4. a new epoch enters the superblock, synced, before its first block: the next recovery reads the old
//      epoch up to the recorded end, and replaces the new one
//   5. torn pages are restored from the doublewrite area: as before
//   6. redo, into the cache; pages that it changed are written by the same rules as ever: as before
//   7. if anybody was open: all pages that redo changed are written, then a checkpoint, that lists who was open with
//      the record where undo goes on. Before it is in the superblock: as before. After: the next recovery begins with
//      it, and keeps the new epoch
//   8. undo of what was open, logging compensations in the new epoch: the next recovery goes on behind them
//   9. a checkpoint, and users are let in. Pages that redo changed and that are not written yet hold redo start in the
//      old epoch: the next recovery reads it again, and keeps the new epoch
//  10. the cleaner has written these pages, and a checkpoint: the old epochs are over
//
// Where the superblock lists more than one old epoch, or the disk has no room for a spare segment, step 10 comes before
// step 9.
//
// So an epoch without a checkpoint that the superblock names holds no change, and is replaced by the next recovery, as
// if it had never been. (But for a bitmap page that step 6 may have to finish: an epoch that logged this is kept.) And
// a checkpoint of recovery needs of the epochs before only that in which those who were open wrote: earlier recoveries
// that were cut off in undo are over, because where undo goes on stands in the checkpoint. However often recovery is
// cut off, the superblock lists a few epochs: that of those who were open, that of the recovery before, the new one.
// The list, of kEpochsMax, is never full. For this a checkpoint must be able to list whoever was open: so no more than
// it can list may have changed something at once (TxnManager::admit_change()). Each is counted from before its first
// record to behind its last, so that at no place of the log more are open, wherever a crash cuts it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "recovery/superblock_store.h"
#include "txn/engine.h"
#include "txn/txn.h"
#include "wal/log_reader.h"

namespace vaultgres {

/// What steps 1 to 4 found and made.
struct LogAnalysis {
  std::vector<SuperblockState::Epoch> old_epochs;  ///< redo and undo read them; oldest first, each with its end
  LogEpoch epoch;                                  ///< the new one, empty
  Lsn keep_from{0};                                ///< log below is not needed
  Lsn redo_start{0};
  std::vector<OpenTxn> losers;
  TxnId next_txn{1};
  ObjectId next_object = kFirstUserObject;
  std::uint64_t records = 0;       ///< from redo start on
  std::optional<Lsn> lost_from{};  ///< the log goes no further, and there was more
};

enum class LostLog : std::uint8_t {
  kRefused,
  kAccepted,  ///< for salvage: what is left counts
};

/// Steps 1 to 4. `written`: how far the log was durable when pages were written last, as the doublewrite area says. A
/// log that ends before has lost its end.
Result<LogAnalysis> analyse_log(FileSystem& files, const std::string& log_directory, SuperblockStore& superblocks,
                                Lsn written, LostLog lost_log = LostLog::kRefused);

/// Files between epochs, of one that is over and that nobody needs: they would stay as long as what lies before them.
/// The superblock that no longer lists it is synced. `held`: what is from there on stays.
Status remove_segments_of_no_epoch(FileSystem& files, const std::string& log_directory, const SuperblockState& state,
                                   Lsn held);

/// Up to where a restore recovers, and along which epochs.
struct RestorePlan {
  std::vector<EpochSpan> epochs;               ///< the chain, oldest first; the last one goes on up to its tail
  std::uint64_t highest_epoch = 0;             ///< the greatest number of an epoch that anybody has seen
  Lsn backup_end{0};                           ///< the copied pages need the log up to here
  std::optional<Lsn> until_lsn;                ///< nothing that ends above
  std::optional<std::uint64_t> until_time_us;  ///< nothing that was flushed later
  /// Asked when the log was read, before anything is changed: whether that is what was wished for.
  std::function<Status(const RestorePlan&)> judge;

  // What came of it.
  Lsn reached{0};  ///< LSN of the last record that was taken
  std::uint64_t reached_time_us = 0;
  std::uint64_t backup_time_us = 0;  ///< of the last record below the backup's end
  bool ended = false;                ///< no record came behind
  std::uint64_t records = 0;
  std::uint64_t losers = 0;
};

/// Steps 2 and 4 for a restore: the log is read along the plan's epochs, and ends where the plan says. What lies behind
/// belongs to a timeline that this one leaves. A crash leaves a directory that is marked as half restored: there is no
/// step 3.
Result<LogAnalysis> analyse_restored_log(FileSystem& files, const std::string& log_directory,
                                         SuperblockStore& superblocks, RestorePlan& plan);

/// The new epoch's first record: names the epoch before and where that ended. Appended before anything else.
Status append_epoch_record(Log& log, const LogAnalysis& analysis);

/// A heap page or leaf with ghosts on it.
struct GhostPage {
  ObjectId object;
  std::string low_fence{};  ///< of a leaf
  bool leaf = false;
};

/// Step 6. Absent pages that are allocated in the end are damage: found by whoever needs them. `with_ghosts` becomes
/// the pages, of those that the log names, that end with ghosts on them: whoever was to remove these died with the
/// process.
Status redo_log(FileSystem& files, const std::string& log_directory, const SuperblockStore& superblocks,
                const LogAnalysis& analysis, const RedoTable& redo, BufferPool& pool,
                std::map<PageId, GhostPage>& with_ghosts);

/// Reads records of the old epochs, for undo.
Result<LogReader> open_old_log(FileSystem& files, const std::string& log_directory, const SuperblockStore& superblocks,
                               const LogAnalysis& analysis);

/// Before step 7, so that its checkpoint lists them.
Result<std::vector<std::unique_ptr<Txn>>> adopt_losers(const Engine& engine, TxnManager& manager,
                                                       const LogAnalysis& analysis);

/// Step 8. Needs a working engine.
Status undo_losers(TxnManager& manager, std::vector<std::unique_ptr<Txn>> losers);

}  // namespace vaultgres
