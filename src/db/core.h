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

#include "base/gate.h"
#include "base/poison.h"
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

/// Temporary files in the database's directory; what a crash leaves of them is removed by the next open.
inline constexpr char kSortFilePrefix[] = "sort.";

#ifdef VG_TEST_HOOKS
/// Databases opened from now on pay no attention to hints, so that a test can show that these matter.
inline std::atomic<bool> ignore_hints_in_tests{false};
#endif

struct CoreFiles {
  FileSystem* files = nullptr;
  std::unique_ptr<FileSystem> owned;  ///< of a database in memory, or that is open read-only
  std::string directory;
};

class Core : public std::enable_shared_from_this<Core> {
 public:
  static Result<std::shared_ptr<Core>> open(CoreFiles files, Options options);
  ~Core();
  Status close();

  // --- Calls. Every public call passes the gate; a change passes the writers' gate too, which check and drop
  // hold for a while.
  SharedGate::Pass enter() { return calls_.enter(); }
  SharedGate::Pass enter_writing() { return writers_.enter(); }
  const Engine& engine() const noexcept { return *engine_; }
  TxnManager& txns() noexcept { return *txns_; }
  bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  CommitMode mode() const noexcept { return engine_->mode; }

  // --- Objects (catalog.cc, ddl.cc, index_build.cc).
  Result<std::shared_ptr<MapState>> find_map(std::string_view name) const;
  Result<std::shared_ptr<TableState>> find_table(std::string_view name) const;
  Result<std::shared_ptr<IndexState>> find_index(std::string_view name) const;
  Result<std::shared_ptr<ObjectState>> find_object(ObjectKind kind, std::string_view name) const;
  Result<std::shared_ptr<ObjectState>> find_object(std::string_view name) const;
  /// By id; null when there is none. With the name that it has now.
  std::shared_ptr<TableState> find_table(ObjectId object, std::string& name) const;
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

  /// Passes the gate of a table that is written to; kConflict when somebody holds it for longer than the lock timeout.
  /// `is_writer`: of a transaction that has written to it, for whose end a holder waits.
  Status enter_table(ObjectState& table, bool is_writer, SharedGate::Pass& pass);
  /// What every changing call asks first. (Log::reserve() refuses as well, whoever asks.)
  Status check_writable() const;

  // --- Transactions.
  std::shared_ptr<OpenTransaction> begin();
  Status end(OpenTransaction& open, std::optional<CommitMode> commit);

  // --- Care (maintenance.cc, check.cc).
  /// `last`: none comes after it.
  Status checkpoint(bool last = false);
  /// How often log room was made.
  std::uint64_t log_rooms() const noexcept { return log_rooms_.load(); }
  /// For a reservation that found no log space when it had been made so often. True: try it again.
  bool make_log_room(std::uint64_t made_before);
  bool make_log_room() { return make_log_room(log_rooms()); }
  /// For a change that found no space, of whatever kind, and has its gates passed. True: try it again.
  bool make_room(std::uint64_t log_rooms_before);
  /// Waits for the end of a transaction that has what a call needs; kConflict at the deadline, kClosed when the
  /// database is closed meanwhile.
  Status wait_for_end(const TxnStatus& holder, std::chrono::steady_clock::time_point deadline) const;
  Result<CheckReport> check();
  Result<MapStats> tree_stats(std::string_view name, const ObjectState& object, const Tree& tree);
  Result<TableStats> table_stats(std::string_view name);
  Result<DatabaseStats> stats();
  void say(const std::string& line);

 private:
  explicit Core(CoreFiles files, Options options) : files_(std::move(files)), options_(std::move(options)) {}

  // open.cc
  Status open_files();
  static Result<std::shared_ptr<Core>> open_core(std::shared_ptr<Core> core);
  static Result<std::shared_ptr<Core>> open_read_only(CoreFiles files, Options options);
  Status refuse_orphaned_log();
  Status create_files();
  Status start();
  Status format();
  void leave_to_collector(const std::map<PageId, ObjectId>& with_ghosts);
  void make_engine(TxnId next_txn);
  Status load_catalog(bool undone);

  void maintain();
  Status maintain_once();
  Status collect_all();
  std::optional<Tree> find_tree(ObjectId object) const;
  std::optional<Heap> find_heap(ObjectId object) const;
  Result<ObjectId> next_object();
  std::uint64_t redo_start();
  Lsn log_needed_from(Lsn pages_need_from) const;

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

  std::mutex open_mutex_;
  std::set<std::shared_ptr<OpenTransaction>> open_;

  std::mutex maintenance_mutex_;
  std::condition_variable maintenance_wake_;
  bool maintenance_wanted_ = true;  ///< rows of `retired` may be left from before
  bool stopping_ = false;
  std::thread maintenance_;
  std::mutex say_mutex_;
  bool opened_ = false;  ///< recovery is through
  std::mutex close_mutex_;
  std::atomic<bool> closed_{false};
};

Error closed_error();
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

/// Runs one call: Closed after close(), kOutOfMemory instead of bad_alloc.
template <class Call>
auto run_call(Core& core, Call&& call) -> decltype(call()) {
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
