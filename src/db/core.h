// The open database behind all handles: parts, catalog, background work, opening and closing.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>

#include "base/forks.h"
#include "base/gate.h"
#include "base/poison.h"
#include "db/file_names.h"
#include "db/log_archive.h"
#include "db/objects.h"
#include "recovery/checkpoint.h"
#include "recovery/recovery.h"
#include "txn/engine.h"
#include "txn/retired.h"
#include "txn/row_ops.h"
#include "txn/txn.h"
#include "vaultgres/database.h"

namespace vaultgres::internal {

/// An open transaction of the public API.
struct OpenTransaction {
  std::unique_ptr<Txn> txn;  ///< null once it has ended
  TxnId id{};
  std::vector<std::shared_ptr<ObjectState>> written;
};

#ifdef VG_TEST_HOOKS
/// Databases opened from now on pay no attention to hints, so that a test can show that these matter.
inline std::atomic<bool> ignore_hints_in_tests{false};
#endif

struct CoreFiles {
  FileSystem* files = nullptr;
  std::unique_ptr<FileSystem> owned;  ///< of a database in memory, or that is open read-only
  std::string directory;
  RestorePlan* restore = nullptr;  ///< its pages and its log are those of a backup
  LostLog lost_log = LostLog::kRefused;
};

/// What Core::recover_on() did.
struct RecoveredPages {
  std::size_t open_transactions = 0;   ///< when the database was left; rolled back only with `undo`
  std::optional<Lsn> lost_log_from{};  ///< pages were written when there was more
};
/// No log is held.
inline constexpr std::uint64_t kNotHeld = UINT64_MAX;

/// When a call gives up waiting for others: the lock timeout after it has begun to, for all its waits together.
class LockDeadline {
 public:
  explicit LockDeadline(std::chrono::milliseconds timeout) noexcept : timeout_(timeout) {}
  /// For who is about to wait.
  std::chrono::steady_clock::time_point at() {
    if (!at_) at_ = std::chrono::steady_clock::now() + timeout_;
    return *at_;
  }

 private:
  std::chrono::milliseconds timeout_;
  std::optional<std::chrono::steady_clock::time_point> at_;
};

class Core : public std::enable_shared_from_this<Core> {
 public:
  static Result<std::shared_ptr<Core>> open(CoreFiles files, Options options);
  /// For salvage: recovery on a view of a database's files, whose pages stand in the view afterwards. Without `undo`
  /// it ends after redo, and looks at no page that the log does not name. A log whose end is lost counts as far as it
  /// goes, unless a page that is looked at is newer.
  static Result<RecoveredPages> recover_on(FileSystem& view, std::string directory, Options options, bool undo);
  ~Core();
  Status close();

  // --- Calls. Every public call passes the gate; a change passes the writers' gate too, which check and drop
  // hold for a while.
  SharedGate::Pass enter() { return calls_.enter(); }
  SharedGate::Pass enter_writing() { return writers_.enter(); }
  const Engine& engine() const noexcept { return *engine_; }
  TxnManager& txns() noexcept { return *txns_; }
  bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire) || is_in_fork(); }
  /// In a child process, which has no thread of it, and none of its files: nothing of it may be touched.
  bool is_in_fork() const noexcept { return !born_.is_this(); }
  CommitMode mode() const noexcept { return engine_->mode; }

  // --- Objects (catalog.cc, ddl.cc, index_build.cc).
  Result<std::shared_ptr<MapState>> find_map(std::string_view name) const;
  Result<std::shared_ptr<TableState>> find_table(std::string_view name) const;
  Result<std::shared_ptr<IndexState>> find_index(std::string_view name) const;
  Result<std::shared_ptr<ObjectState>> find_object(ObjectKind kind, std::string_view name) const;
  Result<std::shared_ptr<ObjectState>> find_object(std::string_view name) const;
  /// By id; null when there is none. With the name that it has now.
  std::shared_ptr<TableState> find_table(ObjectId object, std::string& name) const;
  /// Whether a map, table or index of this id is there.
  bool has_name(ObjectId object) const;
  std::vector<MapInfo> list_maps() const;
  std::vector<TableInfo> list_tables() const;
  std::vector<IndexInfo> list_indexes(const TableState* of) const;

  Result<std::shared_ptr<MapState>> create_map(std::string_view name);
  Result<std::shared_ptr<TableState>> create_table(std::string_view name, Schema schema);
  /// Into `made`: the index and its table.
  Status create_index(std::string_view name, std::string_view table, const IndexSpec& spec, IndexHandle& made);
  Status drop(ObjectKind kind, std::string_view name);
  Status rename(ObjectKind kind, std::string_view from, std::string_view to);
  Status set_pinned(std::string_view name, bool pinned);

  /// A new object id, for a call that does not hold ddl_mutex_.
  Result<ObjectId> reserve_object_id();
  Status check_name_free(std::string_view name) const;
  /// Gives the name to an object that the transaction has made, and commits it.
  Status publish(OpenTransaction& open, std::string_view name, const CatalogEntry& entry, const NewObject& made,
                 const std::shared_ptr<ObjectState>& state);

  /// Passes the gate of a table that is written to; kConflict when somebody holds it beyond the deadline. `is_writer`:
  /// of a transaction that has written to it, for whose end a holder waits.
  Status enter_table(ObjectState& table, bool is_writer, LockDeadline& deadline, SharedGate::Pass& pass);
  /// What every changing call asks first. (Log::reserve() refuses as well, whoever asks.)
  Status check_writable() const;

  // --- Transactions.
  std::shared_ptr<OpenTransaction> begin();
  Status end(OpenTransaction& open, std::optional<CommitMode> commit);

  // --- Care (maintenance.cc, check.cc).
  /// `last`: none comes after it.
  Status checkpoint(bool last = false);
  /// How often log room was made, and how many pages were freed, by anybody.
  struct Rooms {
    std::uint64_t log = 0;
    std::uint64_t pages = 0;
  };
  Rooms rooms() const noexcept;
  std::uint64_t log_rooms() const noexcept { return log_rooms_.load(); }
  /// For a reservation that found no log space when it had been made so often. True: try it again.
  bool make_log_room(std::uint64_t made_before);
  bool make_log_room() { return make_log_room(log_rooms()); }
  /// For a change that found no space, of whatever kind, when room had been made so often, and has its gates passed.
  /// True: try it again. The more attempts of it have failed, the more is made: others wait at the gates meanwhile.
  bool make_room(const Rooms& before, unsigned failed_attempts = 1);
  /// Waits for the end of a transaction that has what a call needs; kConflict at the deadline, kClosed when the
  /// database is closed meanwhile.
  Status wait_for_end(const TxnStatus& holder, std::chrono::steady_clock::time_point deadline) const;
  Result<CheckReport> check();
  Result<BackupReport> backup(const std::string& directory, const CopyProgress& progress);
  Result<MapStats> tree_stats(std::string_view name, const ObjectState& object, const Tree& tree);
  Result<TableStats> table_stats(std::string_view name);
  Result<DatabaseStats> stats();
  void say(const std::string& line);

 private:
  friend class BackupCopy;
  explicit Core(CoreFiles files, Options options) : files_(std::move(files)), options_(std::move(options)) {}
  static std::shared_ptr<Core> make(CoreFiles files, Options options);
  /// Ends it with its last handle; in a child process it stays as it is.
  static void dispose(Core* core) noexcept;

  // open.cc
  Status open_files();
  static Result<std::shared_ptr<Core>> open_core(std::shared_ptr<Core> core);
  static Result<std::shared_ptr<Core>> open_read_only(CoreFiles files, Options options);
  Status sync_names();
  Status refuse_orphaned_log();
  Status create_files();
  void abandon();
  Result<bool> start_redone(std::map<PageId, GhostPage>& with_ghosts);
  Status start();
  Status format();
  Status undo();
  Result<bool> can_keep_old_log();
  Status end_recovery();
  Status open_archive();
  FileSystem& outside_files() noexcept;
  void leave_to_collector(const std::map<PageId, GhostPage>& with_ghosts);
  void make_engine(TxnId next_txn);
  Status load_catalog(bool undone);

  void maintain();
  Status maintain_once();
  bool is_old_log_over();
  void collect_all();
  std::optional<Tree> find_tree(ObjectId object) const;
  std::optional<Heap> find_heap(ObjectId object) const;
  Result<ObjectId> next_object();
  std::uint64_t redo_start();
  Lsn held_log() const;
  Lsn log_needed_from(Lsn pages_need_from) const;
  Lsn recovery_needs_from(Lsn pages_need_from) const;

  template <class State>
  Result<std::shared_ptr<State>> find(ObjectKind kind, std::string_view name) const;
  Status put_catalog_row(Txn& txn, std::string_view name, const CatalogEntry& entry, PutMode mode);
  Status erase_catalog_row(Txn& txn, std::string_view name);
  void add_object(std::string_view name, const std::shared_ptr<ObjectState>& state);
  void remove_object(const ObjectState& state);
  Status wait_for_writers(const ObjectState& object) const;
  Status drop_marked(std::span<const std::shared_ptr<ObjectState>> gone);
  Status drop_index(const std::shared_ptr<IndexState>& index);
  std::string name_of(const ObjectState& state) const;
  Status build_index(const TableState& table, const IndexState& index);

  const BirthProcess born_;
  Core* next_left_ = nullptr;  ///< of those that a child process leaves as they are
  CoreFiles files_;
  Options options_;
  Poison poison_;
  RedoTable redo_;
  std::unique_ptr<File> data_;
  std::unique_ptr<File> doublewrite_;
  std::optional<SuperblockStore> superblocks_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<BufferPool> pool_;
  std::unique_ptr<PageAllocator> space_;
  std::unique_ptr<VersionTable> versions_;
  SnapshotRegistry snapshots_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<TxnManager> txns_;
  LogAnalysis analysis_;
  std::optional<LogReader> old_log_;  ///< while recovery undoes

  SharedGate calls_;
  SharedGate writers_;

  std::mutex ddl_mutex_;              ///< one change of the catalog at a time
  mutable std::mutex catalog_mutex_;  ///< the maps below
  std::map<std::string, std::shared_ptr<ObjectState>, std::less<>> objects_;
  std::map<ObjectId, PageId> trees_;   ///< every tree that undo may meet: of maps and indexes
  std::map<ObjectId, PageId> tables_;  ///< every table that undo may meet
  std::atomic<std::uint32_t> next_object_{0};
  std::atomic<std::uint32_t> object_lease_{0};  ///< object ids below are covered by the last checkpoint

  /// One collects at a time. Order: gates, collector_mutex_, log_room_mutex_, checkpoint_mutex_.
  std::mutex collector_mutex_;
  std::mutex log_room_mutex_;
  std::atomic<std::uint64_t> log_rooms_{0};

  std::mutex checkpoint_mutex_;
  std::atomic<std::uint64_t> checkpoint_end_{0};  ///< log position of the last one
  std::atomic<std::uint64_t> checkpoints_{0};

  std::mutex say_mutex_;
  std::unique_ptr<LogArchive> archive_;                   ///< null: none
  std::atomic<bool> backup_runs_{false};                  ///< one at a time
  std::atomic<std::uint64_t> backup_held_log_{kNotHeld};  ///< log from here on is needed by a backup

  std::mutex open_mutex_;
  std::set<std::shared_ptr<OpenTransaction>> open_;

  std::mutex maintenance_mutex_;
  std::condition_variable maintenance_wake_;
  bool old_log_needed_ = false;  ///< by redo, if there is a crash now; the maintenance thread's, as the next
  std::optional<std::uint64_t> batches_before_look_;  ///< of pages, when redo was last seen to need it
  bool maintenance_wanted_ = true;                    ///< rows of `retired` may be left from before
  bool stopping_ = false;
  std::thread maintenance_;
  bool opened_ = false;  ///< recovery is through
  std::mutex close_mutex_;
  std::atomic<bool> closed_{false};
};

Error closed_error();
/// Of handles in a child process.
Error forked_error();
/// Without slashes at its end; kInvalidArgument when it is empty.
Result<std::string> directory_path(const std::string& directory);
/// Of a cursor that has no state: there was no memory for one, or it was moved to another cursor.
Error no_cursor(bool no_memory);

/// Runs a part of a call: kOutOfMemory instead of bad_alloc.
template <class Part>
auto catch_bad_alloc(Part&& part) -> decltype(part()) {
  try {
    return part();
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
  }
}

/// Runs one call: Closed after close() and in a child process, kOutOfMemory instead of bad_alloc.
template <class Call>
auto run_call(Core& core, Call&& call) -> decltype(call()) {
  if (core.is_in_fork()) [[unlikely]]
    return forked_error();
  const SharedGate::Pass pass = core.enter();
  if (!pass) return closed_error();
  return catch_bad_alloc(call);
}
/// The same of a handle that may have been moved from.
template <class Call>
auto run_call(const std::shared_ptr<Core>& core, Call&& call) -> decltype(call()) {
  if (core == nullptr) return closed_error();
  return run_call(*core, call);
}

}  // namespace vaultgres::internal
