#include "recovery/recovery.h"

#include <algorithm>
#include <map>
#include <random>

#include "base/seeded_bug.h"
#include "base/try.h"
#include "btree/node.h"
#include "buffer/change_observer.h"
#include "recovery/redo_ahead.h"
#include "space/page_allocator.h"
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

/// No database gets this far: what claims to is damage, and numbers do not overflow.
constexpr std::uint64_t kTxnsMax = std::uint64_t{1} << 62;

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
  if (record.checkpoint().redo_start.get() != raw(state.redo_start) ||
      record.checkpoint().next_object.get() > raw(state.next_object)) {
    return damaged_log(state.checkpoint, "this checkpoint says something else than the superblock that names it");
  }
  for (const CheckpointTxn& txn : record.open_txns()) open.seed(txn);
  analysis.next_txn = TxnId{std::max(raw(state.next_txn), record.checkpoint().next_txn.get())};
  return {};
}

/// A superblock names no checkpoint until creation is through, and then no user has been let in: the log holds no
/// transaction, and has its first segment and a spare one at most. Any other has been written over.
Status check_unfinished(LogReader& reader, const SuperblockState& state, const std::string& log_directory) {
  bool used = reader.highest_segment().value_or(0) > raw(state.epochs.back().first) / state.segment_bytes + 1;
  while (!used) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (!record) return {};
    used = raw(record->view.txn()) != 0;
  }
  return Error(ErrorCode::kCorruption, log_directory +
                                           ": transactions have written this log, or it has more segments than "
                                           "creation makes, but by the superblock the database was never finished: the "
                                           "superblock has been written over");
}

/// What one record tells the analysis.
void see_record(const LogRecord& record, OpenTable& open, LogAnalysis& analysis) {
  const RecordView& view = record.view;
  open.see(view, record.address);
  ++analysis.records;
  if (view.kind() != RecordKind::kCheckpoint) return;
  // Object ids that were given after the checkpoint of the superblock: only a restore reads so far.
  analysis.next_object = ObjectId{std::max(raw(analysis.next_object), view.checkpoint().next_object.get())};
  analysis.next_txn = TxnId{std::max(raw(analysis.next_txn), view.checkpoint().next_txn.get())};
}

/// All records have been seen.
Status finish_analysis(const OpenTable& open, const std::string& log_directory, LogAnalysis& analysis) {
  analysis.losers = open.losers();
  if (analysis.losers.size() > RecordBuilder::kCheckpointTxnsMax) {
    return Error(ErrorCode::kCorruption, log_directory + ": the log names " + std::to_string(analysis.losers.size()) +
                                             " transactions that were open at once, more than there can have been");
  }
  const std::uint64_t highest = std::max(raw(analysis.next_txn), open.highest());
  if (highest > kTxnsMax) {
    return Error(ErrorCode::kCorruption, log_directory + ": the log names transaction " + std::to_string(highest) +
                                             ", more than there can have been");
  }
  analysis.next_txn = TxnId{std::max(raw(analysis.next_txn), open.highest() + 1)};
  analysis.keep_from = analysis.redo_start;
  for (const OpenTxn& loser : analysis.losers) analysis.keep_from = std::min(analysis.keep_from, loser.first);
  return {};
}

/// Whether a recovery may leave out the current epoch, and read what was before it instead. `changed`: a record of it
/// is neither its first nor a checkpoint. Recovery changes nothing before its first checkpoint is in the superblock,
/// and until it is through nobody else does.
bool is_replaceable(const SuperblockState& state, bool changed) {
  return !changed && state.checkpoint < state.epochs.back().first;
}

/// The log itself says nothing of this: its newest segments may be gone as if they had never been.
Status check_against_pages(const LogReader& reader, Lsn written, LostLog lost_log, LogAnalysis& analysis) {
  if (written <= reader.last_block_end()) return {};
  if (lost_log == LostLog::kRefused || raw(written) >= kLogPositionMax) {
    return reader.damaged_tail(
        "the log ends here, but by doublewrite.vg, and by that alone, it was durable up to position " +
        std::to_string(raw(written)) +
        ": the rest of the log is lost, or doublewrite.vg is of another time than data.vg and the log, as beside an "
        "older copy of these");
  }
  analysis.lost_from = reader.accepted_end();
  return {};
}

/// The new epoch enters the superblock, synced, before its first block. Pages are no newer than `written`.
Status store_new_epoch(SuperblockStore& superblocks, const LogReader& reader, bool replaces_current, Lsn durable,
                       Lsn written, LogAnalysis& analysis) {
  SuperblockState next = superblocks.current();
  VG_ASSIGN(const std::uint64_t salt, random_salt());
  const SuperblockState::Epoch fresh{next.epochs.back().number + 1, salt, reader.next_epoch_first(written), Lsn{0}};
  if (replaces_current) {
    next.epochs.pop_back();
  } else {
    next.epochs.back().end = reader.accepted_end();
  }
  if (next.epochs.size() >= kEpochsMax) {
    return Error(ErrorCode::kCorruption, "the superblock lists " + std::to_string(kEpochsMax) +
                                             " log epochs that are needed: no number of crashes leaves so many");
  }
  analysis.old_epochs = next.epochs;
  analysis.epoch = {fresh.number, fresh.salt, fresh.first};
  next.epochs.push_back(fresh);
  next.durable = std::max(next.durable, durable);
  next.next_txn = analysis.next_txn;
  return superblocks.write(std::move(next));
}

}  // namespace

Result<LogAnalysis> analyse_log(FileSystem& files, const std::string& log_directory, SuperblockStore& superblocks,
                                Lsn written, LostLog lost_log) {
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
    // Creation did not reach its first checkpoint: nothing was promised.
    VG_TRY(check_unfinished(reader, state, log_directory));
    VG_TRY(store_new_epoch(superblocks, reader, true, state.durable, Lsn{0}, analysis));
    analysis.keep_from = analysis.redo_start = analysis.epoch.first;
    return analysis;
  }

  OpenTable open;
  VG_TRY(read_checkpoint(reader, state, open, analysis));
  bool changed = false;  // by the current epoch
  for (;;) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (!record) break;
    see_record(*record, open, analysis);
    const RecordKind kind = record->view.kind();
    changed |=
        record->epoch == state.epochs.back().number && kind != RecordKind::kEpoch && kind != RecordKind::kCheckpoint;
  }
  VG_TRY(finish_analysis(open, log_directory, analysis));
  VG_TRY(check_against_pages(reader, written, lost_log, analysis));

  VG_TRY(reader.rewrite_tail(std::max(reader.durable_seen(), written)));
  const bool replaces_current = is_replaceable(state, changed);
  VG_TRY(store_new_epoch(superblocks, reader, replaces_current, reader.accepted_end(), written, analysis));
  return analysis;
}

namespace {

bool is_behind(const RestorePlan& plan, const LogRecord& record) {
  return (plan.until_lsn && record.lsn > *plan.until_lsn) || (plan.until_time_us && record.time > *plan.until_time_us);
}

/// The epochs up to the point, each with its end.
std::vector<SuperblockState::Epoch> epochs_up_to(const RestorePlan& plan) {
  std::vector<SuperblockState::Epoch> epochs;
  for (const EpochSpan& span : plan.epochs) {
    if (span.first >= plan.reached) break;
    const bool last = span.end == kNoLsn || span.end > plan.reached;
    epochs.push_back({span.number, span.salt, span.first, last ? plan.reached : span.end});
  }
  return epochs;
}

}  // namespace

Result<LogAnalysis> analyse_restored_log(FileSystem& files, const std::string& log_directory,
                                         SuperblockStore& superblocks, RestorePlan& plan) {
  const SuperblockState& state = superblocks.current();
  LogAnalysis analysis;
  analysis.next_txn = state.next_txn;
  analysis.next_object = state.next_object;
  analysis.redo_start = state.redo_start;
  VG_ASSIGN(LogReader reader, LogReader::open(files, log_directory, state.database, state.segment_bytes, plan.epochs,
                                              analysis.redo_start, plan.backup_end));
  OpenTable open;
  VG_TRY(read_checkpoint(reader, state, open, analysis));
  plan.reached = analysis.redo_start;
  for (;;) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (record && record->lsn <= plan.backup_end) plan.backup_time_us = record->time;
    plan.ended = !record;
    if (plan.ended || (is_behind(plan, *record) && record->lsn > plan.backup_end)) break;
    see_record(*record, open, analysis);
    plan.reached = record->lsn;
    plan.reached_time_us = record->time;
  }
  VG_TRY(plan.judge(plan));
  VG_TRY(finish_analysis(open, log_directory, analysis));
  plan.records = analysis.records;
  plan.losers = analysis.losers.size();
  analysis.old_epochs = epochs_up_to(plan);

  SuperblockState next = state;
  VG_ASSIGN(const std::uint64_t salt, random_salt());
  const std::uint64_t number = std::max(plan.highest_epoch, plan.epochs.back().number) + 1;
  analysis.epoch = {number, salt, reader.next_epoch_first()};
  // The old ones are read by this recovery only, which ends with a checkpoint.
  next.epochs = {{number, salt, analysis.epoch.first, Lsn{0}}};
  next.durable = std::max(next.durable, plan.reached);
  next.next_txn = analysis.next_txn;
  VG_TRY(superblocks.write(std::move(next)));
  return analysis;
}

Status remove_segments_of_no_epoch(FileSystem& files, const std::string& log_directory, const SuperblockState& state,
                                   Lsn held) {
  VG_ASSIGN(const std::vector<std::string> names, files.list(log_directory));
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    if (!parse_segment_name(name, &number) || number >= kLogPositionMax / state.segment_bytes) continue;
    const Lsn begin{number * state.segment_bytes};
    const Lsn end{raw(begin) + state.segment_bytes};
    const bool needed = end > held || std::any_of(state.epochs.begin(), state.epochs.end(), [&](const auto& epoch) {
                          return epoch.first < end && (epoch.end == kNoLsn || begin < epoch.end);
                        });
    if (!needed) VG_TRY(files.remove(log_directory + "/" + name));
  }
  return {};
}

Status append_epoch_record(Log& log, const LogAnalysis& analysis) {
  const bool first = analysis.old_epochs.empty();
  const std::vector<std::byte> record = RecordBuilder::epoch(
      analysis.epoch.number, first ? 0 : analysis.old_epochs.back().number,
      first ? Lsn{0} : analysis.old_epochs.back().end, first ? 0 : analysis.old_epochs.back().salt);
  LogSpace log_space(log);
  VG_TRY(log_space.reserve(2 * kLogBlockBytes));
  log.append(record);
  return {};
}

namespace {

/// Which pages the log may name. A crash can take back growth of the data file, so pages behind its end may be named.
/// But the file grows from one bitmap group into the next, whose bitmap page is logged before any other page of it; and
/// once that page is clean, the file's length is durable, too. So a log that is damaged does not make the file larger
/// than by a group for each such page that it names. (Nothing makes the file shorter.)
class NamedPages {
 public:
  explicit NamedPages(std::uint32_t page_count) noexcept : page_count_(page_count) {
    limit_ = (std::uint64_t{page_count} + kPagesPerBitmap - 1) / kPagesPerBitmap * kPagesPerBitmap;
  }

  Status check(PageId id, Lsn address) {
    if (id < kFirstBitmapPage) {
      return damaged_log(address, "it changes page " + std::to_string(raw(id)) + ", a superblock");
    }
    if (raw(id) == limit_) limit_ += kPagesPerBitmap;
    if (raw(id) < limit_) return {};
    return damaged_log(address, "it names page " + std::to_string(raw(id)) + " of a data file that had " +
                                    std::to_string(page_count_) + " pages: it cannot have grown so far");
  }

 private:
  const std::uint32_t page_count_;  ///< of the file that the crash left
  std::uint64_t limit_;
};

/// Redoes one record on one of its pages: all of its operations on it, in order.
Status redo_page(const LogRecord& record, Lsn log_end, PageId id, const RedoTable& redo, BufferPool& pool,
                 std::map<PageId, GhostPage>& with_ghosts) {
  VG_ASSIGN(BufferPool::RedoPage page, pool.exclusive_for_redo(id));
  const Lsn page_lsn{page_header(page.guard.page()).lsn.get()};
  if (page_lsn > log_end) return lost_log("page " + std::to_string(raw(id)), page_lsn, log_end);
  const bool newer = page_lsn < record.lsn || (VG_SEEDED_BUG(kRedoAgain) && page_lsn == record.lsn);
  bool absent = page.absent;
  bool carried = false;
  const auto failed = [&](const Status& status) {
    return status.error().with_context("redo of the log record at position " + std::to_string(raw(record.address)) +
                                       " on page " + std::to_string(raw(id)));
  };
  for (const RecordPage& part : record.view.pages()) {
    if (part.page != id) continue;
    const RedoTable::Entry& entry = redo.find(static_cast<std::uint8_t>(part.op));
    if (entry.apply == nullptr) {
      return damaged_log(record.address, "page operation " + std::to_string(raw(part.op)) + " does not exist");
    }
    if (absent && !entry.initialises) continue;  // a later record carries the page whole, or nobody needs it
    absent = false;
    if (!newer) continue;
    carried = carried || entry.initialises;
    if (VG_SEEDED_BUG(kRedoLeavesOut) && part.op == PageOp::kNodeSetGhost) continue;
    if (Status applied = entry.apply(page.guard.unlogged_bytes(), part.payload); !applied) return failed(applied);
  }
  if (absent) {
    pool.drop_absent(std::move(page));
    return {};
  }
  if (carried) {
    if (Status sound = pool.check_redone(page.guard); !sound) return failed(sound);
  }
  pool.mark_redone(page.guard, record.address, newer ? std::optional<Lsn>(record.lsn) : std::nullopt);
#ifdef VG_TEST_HOOKS
  if (ChangeObserver* observer = change_observer.load(std::memory_order_acquire); observer != nullptr && newer) {
    observer->on_redo(id, record.lsn, page.guard.page());
  }
#endif
  const HeapPageView heap_page(page.guard.page());
  const NodeView node(page.guard.page());
  if (heap_page.plausible() && heap_page.ghosts() > 0) {
    with_ghosts[id] = {heap_page.object()};
  } else if (node.plausible() && node.is_leaf() && node.has_ghosts()) {
    with_ghosts[id] = {node.object(), std::string(as_text(node.low_fence())), true};
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
                std::map<PageId, GhostPage>& with_ghosts) {
  if (analysis.old_epochs.empty()) return {};
  VG_ASSIGN(LogReader reader, open_old_log(files, log_directory, superblocks, analysis));
  VG_ASSIGN(LogReader reader_ahead, open_old_log(files, log_directory, superblocks, analysis));
  RedoAhead ahead(std::move(reader_ahead), pool);
  NamedPages named(pool.page_count());
  std::vector<PageId> seen;
  for (;;) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (!record) return pool.check_redone();
    ahead.before(record->address);
    seen.clear();
    for (const RecordPage& part : record->view.pages()) {
      if (std::find(seen.begin(), seen.end(), part.page) != seen.end()) continue;
      seen.push_back(part.page);
      VG_TRY(named.check(part.page, record->address));
      VG_TRY(redo_page(*record, analysis.old_epochs.back().end, part.page, redo, pool, with_ghosts));
    }
  }
}

Result<std::vector<std::unique_ptr<Txn>>> adopt_losers(const Engine& engine, TxnManager& manager,
                                                       const LogAnalysis& analysis) {
  std::vector<std::unique_ptr<Txn>> losers;
  std::vector<std::byte> bytes;
  for (OpenTxn loser : analysis.losers) {
    VG_TRY(engine.read_record(loser.last, bytes));
    VG_ASSIGN(const RecordView record, RecordView::parse(bytes));
    if (record.kind() == RecordKind::kCompensation) {
      if (record.undo_next() >= loser.last) return damaged_log(loser.last, "it says that undo goes on behind it");
      loser.last = record.undo_next();
    }
    losers.push_back(manager.adopt(loser));
  }
  return losers;
}

Status undo_losers(TxnManager& manager, std::vector<std::unique_ptr<Txn>> losers) {
  for (std::unique_ptr<Txn>& loser : losers) VG_TRY(manager.rollback(std::move(loser)));
  return {};
}

}  // namespace vaultgres
