// The public handles: Database and Transaction.
#include "vaultgres/database.h"

#include "base/try.h"
#include "db/core.h"
#include "db/statement.h"
#include "db/table_state.h"
#include "db/transaction_state.h"
#include "io/memory_file_system.h"

namespace vaultgres {

using internal::closed_error;
using internal::Core;
using internal::IndexHandle;
using internal::is_no_space;
using internal::run_call;
using internal::TableHandle;

namespace {
CommitMode commit_mode(Durability durability) {
  return durability == Durability::kDurable ? CommitMode::kDurable : CommitMode::kRelaxed;
}

}  // namespace

Database::Database(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) static_cast<void>(close().has_value());
    core_ = std::move(other.core_);
  }
  return *this;
}
Database::~Database() {
  if (core_ != nullptr) static_cast<void>(close().has_value());
}

Result<Database> Database::open(const std::string& directory, Options options) {
  return internal::catch_bad_alloc([&]() -> Result<Database> {
    VG_ASSIGN(std::string path, internal::directory_path(directory));
    VG_ASSIGN(auto core, Core::open({&posix_file_system(), nullptr, std::move(path)}, std::move(options)));
    return Database(std::move(core));
  });
}

Result<Database> Database::open_in_memory(Options options) {
  return internal::catch_bad_alloc([&]() -> Result<Database> {
    std::unique_ptr<FileSystem> files = make_memory_file_system();
    FileSystem* const raw_files = files.get();
    options.create_if_missing = true;
    VG_ASSIGN(auto core, Core::open({raw_files, std::move(files), "/memory"}, std::move(options)));
    return Database(std::move(core));
  });
}

Status Database::close() {
  if (core_ == nullptr) return closed_error();
  return core_->close();
}

Result<Map> Database::create_map(std::string_view name) {
  return run_call(core_, [&]() -> Result<Map> {
    // Made first: once the map is there, nothing may fail.
    auto handle = std::make_shared<internal::MapHandle>(internal::MapHandle{core_, nullptr, std::string(name)});
    VG_ASSIGN(handle->map, with_log_room_outside(*core_, [&] { return core_->create_map(name); }));
    return Map(std::move(handle));
  });
}

Result<MapLoad> Database::load_map(std::string_view name) {
  return run_call(core_, [&] { return internal::begin_map_load(core_, name); });
}

Result<Map> Database::open_map(std::string_view name) {
  return run_call(core_, [&]() -> Result<Map> {
    VG_ASSIGN(auto state, core_->find_map(name));
    return Map(std::make_shared<internal::MapHandle>(internal::MapHandle{core_, std::move(state), std::string(name)}));
  });
}

Result<Map> Database::open_or_create_map(std::string_view name) {
  Result<Map> found = open_map(name);
  if (found || found.error().code() != ErrorCode::kNotFound) return found;
  Result<Map> created = create_map(name);
  if (created || created.error().code() != ErrorCode::kAlreadyExists) return created;
  found = open_map(name);  // somebody else was faster, or the name is that of a table or index
  return found ? std::move(found) : std::move(created);
}

Status Database::drop_map(std::string_view name) {
  return internal::change_catalog(core_, [&] { return core_->drop(ObjectKind::kMap, name); });
}

Status Database::rename_map(std::string_view from, std::string_view to) {
  return internal::change_catalog(core_, [&] { return core_->rename(ObjectKind::kMap, from, to); });
}

Result<std::vector<MapInfo>> Database::maps() {
  return run_call(core_, [&]() -> Result<std::vector<MapInfo>> { return core_->list_maps(); });
}

// --- Tables and indexes

Result<Table> Database::create_table(std::string_view name, Schema schema) {
  return run_call(core_, [&]() -> Result<Table> {
    // Made first: once the table is there, nothing may fail.
    auto handle = std::make_shared<TableHandle>(TableHandle{core_, nullptr, std::string(name)});
    VG_ASSIGN(handle->table, with_log_room_outside(*core_, [&] { return core_->create_table(name, schema); }));
    return internal::make_table(std::move(handle));
  });
}

Result<TableLoad> Database::load_table(std::string_view name, Schema schema) {
  return run_call(core_, [&] { return internal::begin_load(core_, name, std::move(schema)); });
}

Result<Table> Database::open_table(std::string_view name) {
  return run_call(core_, [&]() -> Result<Table> {
    VG_ASSIGN(auto state, core_->find_table(name));
    return internal::make_table(std::make_shared<TableHandle>(TableHandle{core_, std::move(state), std::string(name)}));
  });
}

Status Database::drop_table(std::string_view name) {
  return internal::change_catalog(core_, [&] { return core_->drop(ObjectKind::kTable, name); });
}

Status Database::rename_table(std::string_view from, std::string_view to) {
  return internal::change_catalog(core_, [&] { return core_->rename(ObjectKind::kTable, from, to); });
}

Result<std::vector<TableInfo>> Database::tables() {
  return run_call(core_, [&]() -> Result<std::vector<TableInfo>> { return core_->list_tables(); });
}

Result<Index> Database::create_index(std::string_view name, std::string_view table, const IndexSpec& spec) {
  return run_call(core_, [&]() -> Result<Index> {
    // Made first: once the index is there, nothing may fail.
    auto handle = std::make_shared<IndexHandle>(
        IndexHandle{core_, nullptr, nullptr, std::string(name), std::string(table), spec});
    VG_TRY(core_->create_index(name, table, spec, *handle));
    return internal::make_index(std::move(handle));
  });
}

Result<Index> Database::open_index(std::string_view name) {
  return run_call(core_, [&]() -> Result<Index> {
    auto handle = std::make_shared<IndexHandle>(IndexHandle{core_, nullptr, nullptr, std::string(name), {}, {}});
    VG_ASSIGN(handle->index, core_->find_index(name));
    handle->table = core_->find_table(handle->index->definition.table, handle->table_name);
    if (handle->table == nullptr) return handle->index->dropped_error();
    handle->spec = internal::spec_of(handle->table->schema(), handle->index->definition);
    return internal::make_index(std::move(handle));
  });
}

Status Database::drop_index(std::string_view name) {
  return internal::change_catalog(core_, [&] { return core_->drop(ObjectKind::kIndex, name); });
}

Status Database::rename_index(std::string_view from, std::string_view to) {
  return internal::change_catalog(core_, [&] { return core_->rename(ObjectKind::kIndex, from, to); });
}

Result<std::vector<IndexInfo>> Database::indexes() {
  return run_call(core_, [&]() -> Result<std::vector<IndexInfo>> { return core_->list_indexes(nullptr); });
}

Result<std::vector<IndexInfo>> Database::indexes(std::string_view table) {
  return run_call(core_, [&]() -> Result<std::vector<IndexInfo>> {
    VG_ASSIGN(const auto state, core_->find_table(table));
    return core_->list_indexes(state.get());
  });
}

Status Database::set_pinned(std::string_view name, bool pinned) {
  return internal::change_catalog(core_, [&] { return core_->set_pinned(name, pinned); });
}

Status Database::sync() {
  return run_call(core_, [&]() -> Status {
    VG_TRY(core_->engine().poison.check());  // also when all is durable already
    const std::uint64_t log_rooms = core_->log_rooms();
    Status done = core_->engine().log.flush_all();
    if (!done && internal::is_no_space(done.error()) && core_->make_log_room(log_rooms)) {
      done = core_->engine().log.flush_all();
    }
    return done;
  });
}

Status Database::checkpoint() {
  return run_call(core_, [&]() -> Status {
    VG_TRY(core_->check_writable());
    VG_TRY(core_->engine().pool.flush_all());  // and of the log all that their pages need
    return core_->checkpoint();
  });
}

Result<CheckReport> Database::check() {
  return run_call(core_, [&] { return core_->check(); });
}

Result<BackupReport> Database::backup(const std::string& directory, const CopyProgress& progress) {
  return run_call(core_, [&]() -> Result<BackupReport> {
    VG_ASSIGN(const std::string path, internal::directory_path(directory));
    return core_->backup(path, progress);
  });
}

Result<DatabaseStats> Database::stats() {
  return run_call(core_, [&] { return core_->stats(); });
}

Result<MapStats> Database::map_stats(std::string_view name) {
  return run_call(core_, [&]() -> Result<MapStats> {
    VG_ASSIGN(const auto map, core_->find_map(name));
    return core_->tree_stats(name, *map, map->tree(core_->engine()));
  });
}

Result<TableStats> Database::table_stats(std::string_view name) {
  return run_call(core_, [&] { return core_->table_stats(name); });
}

Result<MapStats> Database::index_stats(std::string_view name) {
  return run_call(core_, [&]() -> Result<MapStats> {
    VG_ASSIGN(const auto index, core_->find_index(name));
    return core_->tree_stats(name, *index, index->tree(core_->engine()));
  });
}

// --- Transactions

Transaction::Transaction(std::unique_ptr<State> state) : state_(std::move(state)) {}
Transaction::Transaction(Transaction&&) noexcept = default;
Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    if (active()) static_cast<void>(rollback().has_value());
    state_ = std::move(other.state_);
  }
  return *this;
}
Transaction::~Transaction() {
  if (active()) static_cast<void>(rollback().has_value());
}

bool Transaction::active() const noexcept {
  return state_ != nullptr && state_->open != nullptr;
}

Result<Transaction> Database::begin() {
  VG_ASSIGN(std::unique_ptr<Transaction::State> state, internal::begin_transaction(core_));
  return Transaction(std::move(state));
}

Status Transaction::commit() {
  if (!active()) return internal::not_active();
  return state_->end(state_->core->mode());
}
Status Transaction::commit(Durability durability) {
  if (!active()) return internal::not_active();
  return state_->end(commit_mode(durability));
}
Status Transaction::rollback() {
  if (!active()) return internal::not_active();
  return state_->end(std::nullopt);
}

Status Transaction::State::end(std::optional<CommitMode> commit) {
  const std::shared_ptr<internal::OpenTransaction> ended = std::move(open);
  open = nullptr;
  return run_call(*core, [&] { return core->end(*ended, commit); });
}

namespace internal {

Database make_database(std::shared_ptr<Core> core) {
  return Database(std::move(core));
}

Result<std::string> directory_path(const std::string& directory) {
  if (directory.empty()) return Error(ErrorCode::kInvalidArgument, "the name of the directory is empty");
  std::string path = directory;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Result<std::unique_ptr<Transaction::State>> begin_transaction(const std::shared_ptr<Core>& core) {
  return run_call(core, [&]() -> Result<std::unique_ptr<Transaction::State>> {
    auto state = std::make_unique<Transaction::State>();
    state->core = core;
    state->open = core->begin();
    return state;
  });
}

Error not_active() {
  return Error(ErrorCode::kInvalidArgument, "the transaction has ended; begin a new one");
}

Error other_database() {
  return Error(ErrorCode::kInvalidArgument, "the transaction belongs to another database");
}

Result<TxnId> reader_id(const Core& core, const Transaction::State* state) {
  if (state == nullptr || state->open == nullptr) return not_active();
  if (state->core.get() != &core) return other_database();
  if (core.is_in_fork()) return forked_error();
  if (core.is_closed()) return closed_error();
  return state->open->id;
}

std::shared_ptr<OpenTransaction> Core::begin() {
  auto open = std::make_shared<OpenTransaction>();
  open->txn = txns_->begin();
  open->id = open->txn->id();
  const std::lock_guard lock(open_mutex_);
  open_.insert(open);
  return open;
}

Status Core::end(OpenTransaction& open, std::optional<CommitMode> commit) {
  std::unique_ptr<Txn> txn;
  {
    const std::lock_guard lock(open_mutex_);
    txn = std::move(open.txn);
    std::erase_if(open_, [&](const std::shared_ptr<OpenTransaction>& other) { return other.get() == &open; });
  }
  if (txn == nullptr) return closed_error();
  Status result;
  {
    const SharedGate::Pass pass = enter_writing();
    result = commit ? txns_->commit(std::move(txn), *commit) : txns_->rollback(std::move(txn));
  }
  for (const std::shared_ptr<ObjectState>& object : open.written) object->open_writers.fetch_sub(1);
  return result;
}

}  // namespace internal

}  // namespace vaultgres
