// The open database behind all handles: parts, catalog, background work, opening and closing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/gate.h"
#include "base/poison.h"
#include "recovery/checkpoint.h"
#include "recovery/recovery.h"
#include "txn/engine.h"
#include "txn/row_ops.h"
#include "txn/txn.h"
#include "vaultgres/database.h"

namespace vaultgres::internal {

/// What all handles of one map share.
struct MapState {
  std::string name;  ///< as it was when first opened; a rename makes a new state
  ObjectId object{};
  PageId root{};
  std::atomic<bool> dropped{false};
  std::atomic<int> open_writers{0};  ///< transactions that have written to it and are open

  Tree tree(const Engine& engine) const noexcept { return Tree(engine.trees, object, root); }
};

/// Behind a public Map: keeps the core alive.
struct MapHandle {
  std::shared_ptr<Core> core;
  std::shared_ptr<MapState> map;
  std::string name;  ///< by which it was opened
};

/// An open transaction of the public API.
struct OpenTransaction {
  std::unique_ptr<Txn> txn;  ///< null once it has ended
  TxnId id{};
  bool broken = false;  ///< a call failed half-way: only rollback is left
  std::vector<std::shared_ptr<MapState>> written;
};

struct CoreFiles {
  FileSystem* files = nullptr;
  std::unique_ptr<FileSystem> owned;  ///< of a database in memory
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

  // --- Objects (catalog.cc of this folder).
  Result<std::shared_ptr<MapState>> create_map(std::string_view name);
  Result<std::shared_ptr<MapState>> find_map(std::string_view name);
  Status drop_map(std::string_view name);
  Status rename_map(std::string_view from, std::string_view to);
  Result<std::vector<MapInfo>> list_maps();

  // --- Transactions.
  std::shared_ptr<OpenTransaction> begin();
  Status end(OpenTransaction& open, std::optional<CommitMode> commit);

  // --- Care (maintenance.cc, check.cc).
  Status checkpoint();
  bool make_log_room();
  Result<CheckReport> check();
  Result<MapStats> map_stats(std::string_view name);
  Result<DatabaseStats> stats();
  void say(const std::string& line);

 private:
  explicit Core(CoreFiles files, Options options) : files_(std::move(files)), options_(std::move(options)) {}

  // open.cc
  Status open_files();
  static Result<std::shared_ptr<Core>> open_core(std::shared_ptr<Core> core);
  Status refuse_orphaned_log();
  Status create_files();
  Status start();
  Status format();
  void make_engine(TxnId next_txn);
  Status load_catalog();

  void maintain();
  Status maintain_once();
  std::optional<Tree> find_tree(ObjectId object) const;
  Result<ObjectId> next_object();
  std::uint64_t redo_start();
  Result<std::shared_ptr<MapState>> known_map(std::string_view name);

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
  mutable std::mutex catalog_mutex_;  ///< the two maps below
  std::map<std::string, std::shared_ptr<MapState>, std::less<>> maps_;
  std::map<ObjectId, PageId> trees_;  ///< every tree that undo may meet
  std::atomic<std::uint32_t> next_object_{0};
  std::atomic<std::uint32_t> object_lease_{0};  ///< object ids below are covered by the last checkpoint

  std::mutex checkpoint_mutex_;
  bool checkpoint_space_kept_ = false;            ///< under checkpoint_mutex_
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

/// Runs one call: Closed after close(), kOutOfMemory instead of bad_alloc.
template <class Call>
auto run_call(Core& core, Call&& call) -> decltype(call()) {
  const SharedGate::Pass pass = core.enter();
  if (!pass) return closed_error();
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
  }
}

}  // namespace vaultgres::internal
