#include "txn/txn.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/held_latches.h"
#include "base/payload_buffer.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "txn/ghosts.h"
#include "txn/heap_ghosts.h"
#include "txn/row_ops.h"
#include "txn/undo.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {
/// So many keys left behind are worth a look at what can be dropped.
constexpr std::size_t kLeftMany = 256;
/// With so many ghosts to be removed, what readers find can wait.
constexpr std::size_t kFoundGhostsMax = 1024;

/// Where this thread's DeferLockWaits wants to know whom it would have waited for.
thread_local std::shared_ptr<const TxnStatus>* deferred_wait = nullptr;
}  // namespace

DeferLockWaits::DeferLockWaits(std::shared_ptr<const TxnStatus>& holder) noexcept
    : outer_(std::exchange(deferred_wait, &holder)) {}

DeferLockWaits::~DeferLockWaits() {
  deferred_wait = outer_;
}

Status wait_for_holder(const Engine& engine, const std::shared_ptr<const TxnStatus>& holder) {
  assert_may_wait("another transaction");
  if (deferred_wait != nullptr) {
    *deferred_wait = holder;
    return Error(ErrorCode::kConflict, "another transaction holds the key");
  }
  if (holder->wait_finished(std::chrono::steady_clock::now() + engine.lock_timeout)) return {};
  return waited_too_long(engine, *holder);
}

Error waited_too_long(const Engine& engine, const TxnStatus& holder) {
  return Error(ErrorCode::kConflict, "another transaction (number " + std::to_string(raw(holder.id())) +
                                         ") has held the key for longer than the lock timeout of " +
                                         std::to_string(engine.lock_timeout.count()) +
                                         " ms; roll back and try again, or commit transactions sooner");
}

Status wait_while_held(const Engine& engine, const Txn& txn, ObjectId object, Bytes key) {
  for (;;) {
    const VersionTable::Peek peek = engine.versions.peek(object, key);
    if (peek.writer == nullptr || peek.writer->id() == txn.id() || peek.writer->commit_lsn() != 0) return {};
    if (peek.writer->finished()) return {};  // rolled back, and its entry is on its way out
    VG_TRY(wait_for_holder(engine, peek.writer));
  }
}

Status wait_until_filled(const Engine& engine, Lsn commit) {
  assert_may_wait("records in front to be copied");
  engine.log.wait_until_filled(commit);
  return engine.poison.check();  // a log that has failed is filled with nothing
}

std::unique_ptr<Txn> TxnManager::begin() {
  std::unique_ptr<Txn> txn(new Txn(*this, next_id()));
  const std::lock_guard lock(mutex_);
  open_.insert(txn.get());  // before its first record
  return txn;
}

std::unique_ptr<Txn> TxnManager::adopt(const OpenTxn& loser) {
  std::unique_ptr<Txn> txn(new Txn(*this, loser.id));
  txn->first_.store(raw(loser.first), std::memory_order_release);
  txn->last_.store(raw(loser.last), std::memory_order_release);
  const std::lock_guard lock(mutex_);
  open_.insert(txn.get());
  return txn;
}

void Txn::compensated(const Log::Appended& appended) noexcept {
  logged(appended.address);
  if (!keeps_log_space()) return;  // a loser of a crash
  const std::uint64_t used = std::min(raw(appended.lsn) - raw(appended.address), log_space_ - kEndRecordLogBytes);
  log_space_ -= used;
  manager_.engine_.log.unreserve(used);
}

/// However it ends, nobody finds it in the list afterwards, and nobody waits for it.
Txn::~Txn() {
  manager_.leave(*this);
  status_->finish();
}

void TxnManager::leave(const Txn& txn) noexcept {
  const std::lock_guard lock(mutex_);
  open_.erase(&txn);
}

/// When it is committed or rolled back, and the record that says so stands in the log. One that only leaves may still
/// be among those that have changed something: in the log it is open for ever.
void TxnManager::finish(Txn& txn) noexcept {
  const std::lock_guard lock(mutex_);
  open_.erase(&txn);
  if (std::exchange(txn.may_change_, false)) --changing_;
}

/// With the mutex, so that open() never finds more than there may be: those that it has passed are still counted.
Status TxnManager::admit_change(Txn& txn) {
  if (txn.may_change_) return {};
  const std::lock_guard lock(mutex_);
  if (changing_ == kChangingTxnsMax) {
    return Error(ErrorCode::kTooLarge, std::to_string(kChangingTxnsMax) +
                                           " transactions have changed something and are open; no other can change "
                                           "anything before one of them has ended");
  }
  ++changing_;
  txn.may_change_ = true;
  return {};
}

bool TxnManager::is_open(TxnId id) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(open_.begin(), open_.end(), [&](const Txn* txn) { return txn->id() == id; });
}

std::vector<OpenTxn> TxnManager::open() const {
  const std::lock_guard lock(mutex_);
  std::vector<OpenTxn> list;
  for (const Txn* txn : open_) {
    // Ended or without a record: recovery has nothing to undo. The caller read Log::filled() before, so a
    // commit that lies below it is seen here.
    const std::uint64_t last = txn->last_.load(std::memory_order_acquire);
    if (last == 0 || txn->status_->commit_lsn() != 0 || txn->rolled_back_.load(std::memory_order_acquire)) continue;
    list.push_back({txn->id(), Lsn{txn->first_.load(std::memory_order_acquire)}, Lsn{last}});
  }
  return list;
}

Error TxnManager::out_of_memory(const char* text) {
  const Error error(ErrorCode::kOutOfMemory, text);
  engine_.poison.set(error);  // what it did is decided by the next recovery
  return error;
}

Status TxnManager::commit(std::unique_ptr<Txn> txn, CommitMode mode) {
  try {
    return commit_or_throw(std::move(txn), mode);
  } catch (const std::bad_alloc&) {
    return out_of_memory("no memory while committing a transaction");
  }
}

Status TxnManager::rollback(std::unique_ptr<Txn> txn) {
  try {
    return rollback_or_throw(std::move(txn));
  } catch (const std::bad_alloc&) {
    return out_of_memory("no memory while rolling back a transaction");
  }
}

Status TxnManager::commit_or_throw(std::unique_ptr<Txn> txn, CommitMode mode) {
  if (Status usable = engine_.poison.check(); !usable) {
    txn->status()->finish();
    leave(*txn);
    return usable;
  }
  if (txn->last() == kNoLsn) {
    // What it claimed and then failed to change.
    for (const Txn::Written& written : txn->written()) {
      engine_.versions.withdraw(written.object, as_bytes(written.key), txn->id());
    }
    finish(*txn);
    txn->status()->finish();
    engine_.log.unreserve(txn->log_space_);
    return {};
  }
  VG_CHECK(txn->keeps_log_space(), "a transaction has changed something and keeps no log space for its end");
  MiniTxn end(engine_.pool, engine_.log, RecordKind::kCommit, txn->id(), txn->last());
  const Log::Appended record =
      end.commit([&](const Log::Appended& appended) { txn->status()->set_committed(appended.lsn); });
  finish(*txn);
  engine_.log.unreserve(txn->log_space_);
  // Waiters go on now: whatever they do is behind this commit in the log.
  txn->status()->finish();
  Status durable;
  if (mode == CommitMode::kDurable && !VG_SEEDED_BUG(kAcknowledgeBeforeSync)) {
    durable = engine_.log.flush(record.lsn);
  } else {
    durable = wait_until_filled(engine_, record.lsn);
  }
  settle(record.lsn, std::move(txn->written()));
  return durable;
}

Status TxnManager::rollback_or_throw(std::unique_ptr<Txn> txn) {
  Status undone = engine_.poison.check();
  if (undone && txn->last() != kNoLsn) {
    undone = undo(*txn, kNoLsn);
    if (undone) undone = end_rollback(*txn);
    if (!undone) engine_.poison.set(undone.error().with_context("rolling back a transaction failed"));
  }
  // Pages restored, then entries out. Where they could not be restored, the entries stay: readers under way still
  // find what was before.
  if (undone) {
    VG_NOISE(kRollbackBeforeWithdraw);
    for (const Txn::Written& written : txn->written()) {
      engine_.versions.withdraw(written.object, as_bytes(written.key), txn->id());
    }
    finish(*txn);
  } else {
    leave(*txn);
  }
  engine_.log.unreserve(txn->log_space_);
  txn->status()->finish();
  if (undone) {
    for (Txn::Written& written : txn->written()) written.ghost = true;  // what it inserted is one now
    settle(engine_.log.filled(), std::move(txn->written()));
  }
  return undone;
}

Status TxnManager::rollback_to(Txn& txn, Lsn last, std::size_t written) {
  const auto undone = [&]() -> Status {
    VG_TRY(engine_.poison.check());
    try {
      return undo(txn, last);
    } catch (const std::bad_alloc&) {
      return Error(ErrorCode::kOutOfMemory, "no memory");
    }
  }();
  if (!undone) {
    engine_.poison.set(undone.error().with_context("rolling back a call failed"));
    return undone;
  }
  // The entries stay: they say what was before the transaction, and that is what the pages say again.
  for (std::size_t i = written; i < txn.written().size(); ++i) txn.written()[i].ghost = true;
  return {};
}

/// Down to the record at `down_to`, which stands; kNoLsn: all.
Status TxnManager::undo(Txn& txn, Lsn down_to) {
  std::vector<std::byte> record;
  Lsn next = txn.last();
  while (next != kNoLsn && next > down_to) {
    VG_TRY(engine_.read_record(next, record));
    VG_ASSIGN(const Lsn before, undo_record(engine_, txn, record));
    if (before >= next) {  // for ever, if it were believed
      return Error(ErrorCode::kCorruption, "log record at position " + std::to_string(raw(next)) +
                                               ": it says that undo goes on at " + std::to_string(raw(before)) +
                                               ", which is not before it");
    }
    next = before;
  }
  return {};
}

Status TxnManager::end_rollback(Txn& txn) {
  LogSpace log_space(engine_.log);
  // Rollback draws on what the transaction keeps; each change has left more than its compensation takes.
  if (!txn.keeps_log_space()) VG_TRY(log_space.reserve(kEndRecordLogBytes));  // a loser of a crash
  MiniTxn end(engine_.pool, engine_.log, RecordKind::kRollbackEnd, txn.id(), txn.last());
  end.commit([&](const Log::Appended&) { txn.rolled_back_.store(true, std::memory_order_release); });
  return {};
}

// --- What is left behind

namespace {
/// How often, a millisecond apart, a change that finds the version table full looks again.
constexpr unsigned kFullWaitsMax = 200;
}  // namespace

Error no_memory_for_version() noexcept {
  return Error(ErrorCode::kOutOfMemory, "no memory to remember what a key had before a change");
}

Status TxnManager::make_version_room(unsigned tried) {
  if (tried == kFullWaitsMax) {
    return Error(ErrorCode::kTooLarge,
                 "the transactions in flight have changed more keys than the cache has "
                 "room to remember; commit in smaller steps or open with a larger cache");
  }
  VG_TRY(engine_.log.flush(engine_.log.filled()));  // what waited only to be durable can go now
  drop_versions();
  // What is left is needed by readers under way, for a moment, or by open transactions, perhaps this one.
  if (tried > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return {};
}

/// True: what is left here is still needed; come again.
Result<bool> TxnManager::purge(const Txn::Written& left) {
  if (const std::optional<Tree> tree = engine_.find_tree(left.object)) {
    VG_TRY(purge_at(engine_, *tree, as_bytes(left.key)));
    return false;
  }
  const std::optional<Heap> heap = engine_.find_heap(left.object);
  if (!heap || left.key.size() != kTidBytes) return false;  // the object was dropped
  return purge_row(engine_, *heap, decode_tid(as_bytes(left.key)));
}

void TxnManager::settle(Lsn commit, std::vector<Txn::Written> written) {
  engine_.wake_collector();  // also for a chain that was given up half-built
  if (written.empty()) return;
  bool many = false;
  try {
    const std::lock_guard lock(left_mutex_);
    left_.reserve(left_.size() + written.size());
    for (Txn::Written& key : written) left_.push_back({commit, std::move(key)});
    left_count_.store(left_.size(), std::memory_order_relaxed);
    many = left_.size() >= kLeftMany;
  } catch (const std::bad_alloc&) {
    return;  // the end of the transaction stands; its entries stay until the database is closed
  }
  try {
    if (many) drop_versions();
  } catch (const std::bad_alloc&) {
    // It stands, and what it left is dropped another time.
  }
}

void TxnManager::retire_version(Lsn commit, Txn::Written written) {
  bool many = false;
  {
    const std::lock_guard lock(left_mutex_);
    left_.push_back({commit, std::move(written)});
    left_count_.store(left_.size(), std::memory_order_relaxed);
    many = left_.size() % kLeftMany == 0;
  }
  if (many) drop_versions();
  engine_.wake_collector();
}

void TxnManager::note_ghost(ObjectId object, Bytes key) noexcept {
  try {
    const std::unique_lock lock(left_mutex_, std::try_to_lock);
    if (!lock || ghosts_.size() >= kFoundGhostsMax) return;
    ghosts_.push_back({object, std::string(as_text(key)), true});
  } catch (const std::bad_alloc&) {
    return;
  }
  engine_.wake_collector();
}

void TxnManager::drop_versions() {
  const Lsn floor = engine_.snapshots.raise_floor(newest_snapshot(engine_));
  std::vector<Txn::Written> ready;
  std::list<Txn::Written> ghosts;
  {
    const std::lock_guard lock(left_mutex_);
    const auto kept_end =
        std::partition(left_.begin(), left_.end(), [&](const Left& left) { return left.commit > floor; });
    // All memory before anything is taken out: none of them may be lost.
    ready.reserve(static_cast<std::size_t>(left_.end() - kept_end));
    ghosts.resize(static_cast<std::size_t>(
        std::count_if(kept_end, left_.end(), [](const Left& left) { return left.written.ghost; })));
    for (auto left = kept_end; left != left_.end(); ++left) ready.push_back(std::move(left->written));
    left_.erase(kept_end, left_.end());
    left_count_.store(left_.size(), std::memory_order_relaxed);
  }
  for (const Txn::Written& key : ready) engine_.versions.prune(key.object, as_bytes(key.key), floor);
  auto ghost = ghosts.begin();
  for (Txn::Written& key : ready) {
    if (key.ghost) *ghost++ = std::move(key);
  }
  const std::lock_guard lock(left_mutex_);
  ghosts_.splice(ghosts_.end(), ghosts);
}

namespace {

/// Ghosts in the hands of the collector. Those that it has not looked at when it ends, however it does, are given back.
class TakenGhosts {
 public:
  using List = std::list<Txn::Written>;
  TakenGhosts(std::mutex& mutex, List& from) : mutex_(mutex), from_(from) {
    const std::lock_guard lock(mutex_);
    taken_.swap(from_);
  }
  TakenGhosts(const TakenGhosts&) = delete;
  TakenGhosts& operator=(const TakenGhosts&) = delete;
  ~TakenGhosts() {
    const std::lock_guard lock(mutex_);
    from_.splice(from_.begin(), taken_);
  }

  bool empty() const noexcept { return taken_.empty(); }
  const Txn::Written& front() const noexcept { return taken_.front(); }
  void drop_front() noexcept { taken_.pop_front(); }
  /// To be looked at in the next round, after all others.
  void postpone_front() {
    const std::lock_guard lock(mutex_);
    from_.splice(from_.end(), taken_, taken_.begin());
  }

 private:
  std::mutex& mutex_;
  List& from_;
  List taken_;
};

}  // namespace

Result<bool> TxnManager::collect() {
  drop_versions();
  TakenGhosts ghosts(left_mutex_, ghosts_);
  Status done;
  bool again = false;
  while (!ghosts.empty()) {
    const Result<bool> purged = purge(ghosts.front());
    // One that meets damage, which stays, keeps no other from going. Another failure would meet the next ones, too:
    // all are tried again, this one last.
    if (purged ? *purged : purged.error().code() != ErrorCode::kCorruption) {
      again = true;
      ghosts.postpone_front();
    } else {
      ghosts.drop_front();
    }
    if (purged) continue;
    if (done) done = purged.error();
    if (purged.error().code() != ErrorCode::kCorruption) break;
  }
  if (!done) return done.error();
  return again || left_behind() > 0;
}

}  // namespace vaultgres
