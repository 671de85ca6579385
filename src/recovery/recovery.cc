#include "recovery/recovery.h"

#include <algorithm>
#include <map>
#include <random>

#include "base/try.h"
#include "wal/log_space.h"
#include "wal/record.h"

namespace vaultgres {

namespace {

Result<std::uint64_t> random_salt() {
  try {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) ^ device();
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, std::string("the system gives no random bits: ") + e.what());
  }
}

std::vector<EpochSpan> spans_of(const std::vector<SuperblockState::Epoch>& epochs) {
  std::vector<EpochSpan> spans;
  for (const SuperblockState::Epoch& epoch : epochs) {
    spans.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
  }
  return spans;
}

Error damaged_log(Lsn address, const std::string& what) {
  return Error(ErrorCode::kCorruption, "log record at position " + std::to_string(raw(address)) + ": " + what);
}

/// Who was open, by the checkpoint's list and the records since.
class OpenTable {
 public:
  void seed(const CheckpointTxn& txn) {
    open_[txn.txn.get()] = {TxnId{txn.txn.get()}, Lsn{txn.first.get()}, Lsn{txn.last.get()}};
  }
  void see(const RecordView& record, Lsn address) {
    const std::uint64_t txn = raw(record.txn());
    highest_ = std::max(highest_, txn);
    switch (record.kind()) {
      case RecordKind::kUpdate:
      case RecordKind::kCompensation: {
        OpenTxn& open = open_.try_emplace(txn, OpenTxn{record.txn(), address, address}).first->second;
        open.last = std::max(open.last, address);
        break;
      }
      case RecordKind::kCommit:
      case RecordKind::kRollbackEnd:
        open_.erase(txn);
        break;
      default:
        break;
    }
  }
  std::uint64_t highest() const noexcept { return highest_; }
  std::vector<OpenTxn> losers() const {
    std::vector<OpenTxn> list;
    for (const auto& [id, open] : open_) list.push_back(open);
    return list;
  }

 private:
  std::map<std::uint64_t, OpenTxn> open_;
  std::uint64_t highest_ = 0;
};

/// The checkpoint that the superblock names. One that cannot be read is damage.
Status read_checkpoint(LogReader& reader, const SuperblockState& state, OpenTable& open, LogAnalysis& analysis) {
  std::vector<std::byte> bytes;
  if (Status read = reader.read_at(state.checkpoint, bytes); !read) {
    return read.error().with_context("the checkpoint that the superblock names");
  }
  VG_ASSIGN(const RecordView record, RecordView::parse(bytes));
  if (record.kind() != RecordKind::kCheckpoint) {
    return damaged_log(state.checkpoint, "the superblock says that a checkpoint stands here");
  }
  for (const CheckpointTxn& txn : record.open_txns()) open.seed(txn);
  analysis.next_txn = TxnId{std::max(raw(state.next_txn), record.checkpoint().next_txn.get())};
  return {};
}

/// An epoch's first record names the one before it and where that ended: only this chain is followed.
Status check_epoch(const RecordView& record, Lsn address, std::uint64_t epoch_number,
                   const std::vector<SuperblockState::Epoch>& epochs) {
  const EpochBody& body = record.epoch();
  if (body.number.get() != epoch_number) return damaged_log(address, "it begins another epoch than its block says");
  for (std::size_t i = 1; i < epochs.size(); ++i) {
    if (epochs[i].number != epoch_number) continue;
    if (body.previous_number.get() == epochs[i - 1].number && body.previous_end.get() != raw(epochs[i - 1].end)) {
      return damaged_log(address, "it names another end of the epoch before than the superblock");
    }
  }
  return {};
}

/// The new epoch enters the superblock, synced, before its first block.
Status store_new_epoch(SuperblockStore& superblocks, const LogReader& reader, bool current_is_empty, Lsn durable,
                       LogAnalysis& analysis) {
  SuperblockState next = superblocks.current();
  VG_ASSIGN(const std::uint64_t salt, random_salt());
  const SuperblockState::Epoch fresh{next.epochs.back().number + 1, salt, reader.next_epoch_first(), Lsn{0}};
  if (current_is_empty) {
    next.epochs.pop_back();
  } else {
    next.epochs.back().end = reader.accepted_end();
  }
  if (next.epochs.size() >= kEpochsMax) {
    return Error(ErrorCode::kCorruption, "recovery was cut off " + std::to_string(kEpochsMax) +
                                             " times in a row, and the superblock has no room for another log epoch");
  }
  analysis.old_epochs = next.epochs;
  analysis.epoch = {fresh.number, fresh.salt, fresh.first};
  next.epochs.push_back(fresh);
  next.durable = std::max(next.durable, durable);
  next.next_txn = analysis.next_txn;
  return superblocks.write(std::move(next));
}

}  // namespace

Result<LogAnalysis> analyse_log(FileSystem& files, const std::string& log_directory, SuperblockStore& superblocks) {
  VG_TRY(superblocks.rewrite());
  const SuperblockState& state = superblocks.current();
  const bool fresh = state.checkpoint == kNoLsn;
  LogAnalysis analysis;
  analysis.next_txn = state.next_txn;
  analysis.next_object = state.next_object;
  analysis.redo_start = fresh ? state.epochs.back().first : state.redo_start;
  VG_ASSIGN(LogReader reader, LogReader::open(files, log_directory, state.database, state.segment_bytes,
                                              spans_of(state.epochs), analysis.redo_start, state.durable));
  if (fresh) {
    // Creation did not reach its first checkpoint: nothing was promised, whatever the log says.
    VG_TRY(store_new_epoch(superblocks, reader, true, state.durable, analysis));
    analysis.keep_from = analysis.redo_start = analysis.epoch.first;
    return analysis;
  }

  OpenTable open;
  VG_TRY(read_checkpoint(reader, state, open, analysis));
  bool current_is_empty = true;
  for (;;) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (!record) break;
    VG_ASSIGN(const RecordView view, RecordView::parse(record->bytes));
    if (view.kind() == RecordKind::kEpoch) VG_TRY(check_epoch(view, record->address, record->epoch, state.epochs));
    open.see(view, record->address);
    ++analysis.records;
    if (record->epoch == state.epochs.back().number) current_is_empty = false;
  }
  analysis.losers = open.losers();
  analysis.next_txn = TxnId{std::max(raw(analysis.next_txn), open.highest() + 1)};
  analysis.keep_from = analysis.redo_start;
  for (const OpenTxn& loser : analysis.losers) analysis.keep_from = std::min(analysis.keep_from, loser.first);

  VG_TRY(reader.rewrite_tail(reader.durable_seen()));
  VG_TRY(store_new_epoch(superblocks, reader, current_is_empty, reader.accepted_end(), analysis));
  return analysis;
}

Status append_epoch_record(Log& log, const LogAnalysis& analysis) {
  const bool first = analysis.old_epochs.empty();
  const std::vector<std::byte> record =
      RecordBuilder::epoch(analysis.epoch.number, first ? 0 : analysis.old_epochs.back().number,
                           first ? Lsn{0} : analysis.old_epochs.back().end);
  LogSpace log_space(log);
  VG_TRY(log_space.reserve(2 * kLogBlockBytes));
  log.append(record);
  return {};
}

namespace {

/// Redoes one record on one of its pages: all of its operations on it, in order.
Status redo_page(const RecordView& record, const LogRecord& where, PageId id, const RedoTable& redo, BufferPool& pool,
                 std::map<PageId, ObjectId>& with_ghosts) {
  VG_ASSIGN(BufferPool::RedoPage page, pool.exclusive_for_redo(id));
  const bool newer = Lsn{page_header(page.guard.page()).lsn.get()} < where.lsn;
  bool absent = page.absent;
  bool carried = false;
  const auto failed = [&](const Status& status) {
    return status.error().with_context("redo of the log record at position " + std::to_string(raw(where.address)) +
                                       " on page " + std::to_string(raw(id)));
  };
  for (const RecordPage& part : record.pages()) {
    if (part.page != id) continue;
    const RedoTable::Entry& entry = redo.find(static_cast<std::uint8_t>(part.op));
    if (entry.apply == nullptr) {
      return damaged_log(where.address, "page operation " + std::to_string(raw(part.op)) + " does not exist");
    }
    if (absent && !entry.initialises) continue;  // a later record carries the page whole, or nobody needs it
    absent = false;
    if (!newer) continue;
    carried = carried || entry.initialises;
    if (Status applied = entry.apply(page.guard.unlogged_bytes(), part.payload); !applied) return failed(applied);
  }
  if (absent) return {};
  if (carried) {
    if (Status sound = pool.check_redone(page.guard); !sound) return failed(sound);
  }
  pool.mark_redone(page.guard, where.address, newer ? std::optional<Lsn>(where.lsn) : std::nullopt);
  const HeapPageView heap_page(page.guard.page());
  if (heap_page.plausible() && heap_page.ghosts() > 0) {
    with_ghosts[id] = heap_page.object();
  } else if (!with_ghosts.empty()) {
    with_ghosts.erase(id);
  }
  return {};
}

}  // namespace

Result<LogReader> open_old_log(FileSystem& files, const std::string& log_directory, const SuperblockStore& superblocks,
                               const LogAnalysis& analysis) {
  const SuperblockState& state = superblocks.current();
  return LogReader::open(files, log_directory, state.database, state.segment_bytes, spans_of(analysis.old_epochs),
                         analysis.redo_start, state.durable);
}

Status redo_log(FileSystem& files, const std::string& log_directory, const SuperblockStore& superblocks,
                const LogAnalysis& analysis, const RedoTable& redo, BufferPool& pool,
                std::map<PageId, ObjectId>& with_ghosts) {
  if (analysis.old_epochs.empty()) return {};
  VG_ASSIGN(LogReader reader, open_old_log(files, log_directory, superblocks, analysis));
  std::vector<PageId> seen;
  for (;;) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (!record) return {};
    VG_ASSIGN(const RecordView view, RecordView::parse(record->bytes));
    seen.clear();
    for (const RecordPage& part : view.pages()) {
      if (std::find(seen.begin(), seen.end(), part.page) != seen.end()) continue;
      seen.push_back(part.page);
      VG_TRY(redo_page(view, *record, part.page, redo, pool, with_ghosts));
    }
  }
}

Status undo_losers(TxnManager& manager, const LogAnalysis& analysis) {
  for (const OpenTxn& loser : analysis.losers) VG_TRY(manager.rollback(manager.adopt(loser)));
  return {};
}

}  // namespace vaultgres
