// Opening a database: files, lock, creation, recovery, background work; and closing it.
#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>

#include "base/try.h"
#include "buffer/page_image.h"
#include "db/core.h"
#include "db/statement.h"
#include "db/verify_page.h"
#include "io/read_only_view.h"
#include "txn/heap_ghosts.h"
#include "wal/log_space.h"
#include "wal/record.h"

namespace vaultgres::internal {

namespace {

/// Pages that a new data file begins with.
constexpr std::uint32_t kFirstPages = 64;
/// More is no different from for ever, and must not overflow a clock.
constexpr std::chrono::milliseconds kLockTimeoutMax = std::chrono::hours(24 * 365);
/// Object ids that one checkpoint covers in advance.
constexpr std::uint32_t kObjectLease = 1000;
/// Ids up to here are given out: a lease that begins there does not overflow.
constexpr std::uint32_t kObjectsMax = UINT32_MAX - 2 * kObjectLease;
/// Log epochs, the new one included, beside which users are let in before those are over.
constexpr std::size_t kEpochsBesideUsers = 2;

Result<std::uint64_t> random_bits() {
  try {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) ^ device();
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, std::string("the system gives no random bits: ") + e.what());
  }
}

#ifdef VG_TEST_HOOKS
constexpr std::size_t kSegmentBytes = std::size_t{256} << 10;
constexpr std::size_t kMinCacheBytes = std::size_t{256} << 10;
#else
constexpr std::size_t kSegmentBytes = std::size_t{16} << 20;
constexpr std::size_t kMinCacheBytes = std::size_t{2} << 20;
#endif

/// Whether this path leads to the data file of this very database.
Result<bool> is_database(FileSystem& fs, const std::string& path, const DatabaseId& id) {
  const auto file = fs.open(path, OpenMode::kReadOnly);
  if (!file && file.error().code() == ErrorCode::kNotFound) return false;
  if (!file) return file.error();
  const auto superblocks = SuperblockStore::load(**file);
  if (!superblocks && superblocks.error().code() == ErrorCode::kCorruption) return false;
  if (!superblocks) return superblocks.error();
  return superblocks->current().database == id;
}

/// What is in the way of a new database, without the names that only its making knows.
Error not_created(const Error& why, const std::string& directory) {
  if (why.code() == ErrorCode::kLocked) {
    return Error(ErrorCode::kLocked, "somebody else is creating a database in " + directory + " right now");
  }
  const int error = why.os_error();
  const std::string reason = error != 0 ? std::generic_category().message(error) : std::string(why.message());
  const bool unfit = error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM || error == EROFS;
  const char* const way_on = unfit ? "; the directory that is to hold it must be there, and writable"
                                   : "; what was begun is replaced when it is created again";
  return Error(why.code(), "cannot create a database in " + directory + ": " + reason + way_on, error);
}

}  // namespace

Error closed_error() {
  return Error(ErrorCode::kClosed, "the database was closed; open it again and use its new handles");
}

Error forked_error() {
  return Error(ErrorCode::kClosed,
               "the database was opened before a fork: a child process cannot use it; open it in the child, once the "
               "parent has closed it");
}

std::shared_ptr<Core> Core::make(CoreFiles files, Options options) {
  return {new Core(std::move(files), std::move(options)), &dispose};
}

void Core::dispose(Core* core) noexcept {
  if (!core->is_in_fork()) {
    delete core;
    return;
  }
  // Its locks may be held, and its threads waited for, for ever. It can still be reached: no leak, to who looks for
  // one.
  static std::atomic<Core*> left{nullptr};
  core->next_left_ = left.exchange(core);
}

Result<std::shared_ptr<Core>> Core::open(CoreFiles files, Options options) {
  if (options.cache_bytes < kMinCacheBytes) {
    return Error(ErrorCode::kInvalidArgument,
                 "cache_bytes is " + std::to_string(options.cache_bytes) + "; it must be at least 2 MiB");
  }
  if (options.flush_interval_ms < 1 || options.flush_interval_ms > 10000) {
    return Error(ErrorCode::kInvalidArgument, "flush_interval_ms must be 1 to 10,000");
  }
  try {
    return options.read_only ? open_read_only(std::move(files), std::move(options))
                             : open_core(make(std::move(files), std::move(options)));
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "no memory to open the database");
  } catch (const std::system_error& e) {  // a thread that cannot be started
    return Error(ErrorCode::kOutOfMemory, std::string("opening the database: ") + e.what());
  }
}

Result<std::shared_ptr<Core>> Core::open_core(std::shared_ptr<Core> core) {
  Status started = core->open_files();
  if (started) started = core->start();
  if (!started) {
    core->abandon();
    return started.error();
  }
  return core;
}

/// Opening is what it is for writing, on a view through which nothing is written.
Result<std::shared_ptr<Core>> Core::open_read_only(CoreFiles files, Options options) {
  if (files.owned != nullptr) {
    return Error(ErrorCode::kInvalidArgument, "a database in memory begins empty: read-only, it would stay so");
  }
  options.create_if_missing = false;
  auto owned = std::make_unique<ReadOnlyView>(*files.files, options.cache_bytes);
  ReadOnlyView& view = *owned;
  const std::shared_ptr<Core> core = make({&view, std::move(owned), std::move(files.directory)}, std::move(options));
  Result<std::shared_ptr<Core>> opened = open_core(core);
  if (opened || !view.was_full()) return opened;
  return Error(ErrorCode::kReadOnly, core->files_.directory +
                                         " was not closed cleanly, and recovering it in memory takes more than the "
                                         "cache of " +
                                         std::to_string(core->options_.cache_bytes) +
                                         " bytes allows; open it once for writing (any vaultgres command that writes "
                                         "does), or with a larger cache");
}

Result<RecoveredPages> Core::recover_on(FileSystem& view, std::string directory, Options options, bool undo) {
  options.read_only = true;
  options.create_if_missing = false;
  const std::shared_ptr<Core> core(
      new Core({&view, nullptr, std::move(directory), nullptr, LostLog::kAccepted}, std::move(options)));
  std::map<PageId, GhostPage> with_ghosts;
  Status done = core->open_files();
  if (done && undo) done = core->start();
  if (done && !undo) {
    if (const auto redone = core->start_redone(with_ghosts); !redone) done = redone.error();
  }
  if (done) done = core->pool_->flush_all();
  const RecoveredPages recovered{core->analysis_.losers.size(), core->analysis_.lost_from};
  core->abandon();
  if (!done) return done.error();
  return recovered;
}

/// Nothing to close in order: what was made goes with the core.
void Core::abandon() {
  calls_.close();
  writers_.close();
  closed_.store(true);
  archive_.reset();  // its thread says what goes wrong
}

Status Core::check_writable() const {
  if (!options_.read_only) return {};
  return Error(ErrorCode::kReadOnly, "the database is open read-only; open it for writing to change it");
}

Status Core::open_files() {
  FileSystem& fs = *files_.files;
  const std::string& directory = files_.directory;
  VG_ASSIGN(const bool there, fs.exists(directory));
  std::vector<std::string> names;
  if (there) {
    VG_ASSIGN(names, fs.list(directory));
  }
  const auto has = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (has(kRestoreMarkName) && files_.restore == nullptr) {
    return Error(
        ErrorCode::kCorruption,
        directory + " was being restored from a backup, and that was not finished; remove it and restore again");
  }
  if (has(kBackupPagesName)) {
    return Error(ErrorCode::kInvalidArgument,
                 directory + " is a backup (or half of one); restore it to make a database of it");
  }
  if (!has(kDataName)) {
    if (!options_.create_if_missing) {
      return Error(ErrorCode::kNotFound, "there is no database in " + directory);
    }
    VG_TRY(refuse_orphaned_log());
    for (const std::string& name : names) {
      if (name != kNewDataName && name != kDoublewriteName && name != kLogName && name != kArchiveMarkName) {
        return Error(ErrorCode::kInvalidArgument,
                     "will not create a database in " + directory + ", which holds other files (" + name + ")");
      }
    }
    if (Status created = create_files(); !created) return not_created(created.error(), directory);
  } else {
    VG_ASSIGN(data_, fs.open(directory + "/" + kDataName, OpenMode::kReadWrite));
    VG_TRY(data_->lock(options_.read_only ? LockMode::kShared : LockMode::kExclusive));
    VG_ASSIGN(names, fs.list(directory));  // again: whoever held the lock until now may have removed some
    for (const std::string& name : names) {
      if (name.starts_with(kSortFilePrefix)) VG_TRY(fs.remove(directory + "/" + name));
    }
  }
  const std::string log_directory = directory + "/" + kLogName;
  VG_ASSIGN(const bool log_there, fs.exists(log_directory));
  if (!log_there) return Error(ErrorCode::kCorruption, "the log directory " + log_directory + " is missing");
  const std::string doublewrite = directory + "/" + kDoublewriteName;
  VG_ASSIGN(const bool doublewrite_there, fs.exists(doublewrite));
  VG_ASSIGN(doublewrite_, fs.open(doublewrite, doublewrite_there ? OpenMode::kReadWrite : OpenMode::kCreate));
  return sync_names();
}

/// Whoever made the names that are there may have been killed before he had synced them, or not been able to: nothing
/// may come to rely on them before.
Status Core::sync_names() {
  FileSystem& fs = *files_.files;
  const std::string& directory = files_.directory;
  VG_TRY(fs.sync_directory(directory));
  Status synced = fs.sync_directory(parent_directory(directory));
  if (synced) return {};
  // Where we may not look, or nobody can make anything, we have not made it.
  const int error = synced.error().os_error();
  const bool harmless = error == EACCES || error == EPERM || error == EROFS || error == EINVAL || error == EOPNOTSUPP;
  return harmless ? Status() : synced;
}

/// Segments are made after the data file has its name: without it, somebody has lost or moved it.
Status Core::refuse_orphaned_log() {
  FileSystem& fs = *files_.files;
  const std::string log_directory = files_.directory + "/" + kLogName;
  VG_ASSIGN(const bool there, fs.exists(log_directory));
  if (!there) return {};
  VG_ASSIGN(const std::vector<std::string> segments, fs.list(log_directory));
  if (segments.empty()) return {};
  // Perhaps it got its name from another creator after it was looked for.
  VG_ASSIGN(const bool made_meanwhile, fs.exists(files_.directory + "/" + kDataName));
  if (made_meanwhile) return {};
  return Error(ErrorCode::kCorruption, log_directory + " holds the log of a database whose " + kDataName +
                                           " is missing; bring that file back, or remove the directory");
}

/// A crash before the last rename leaves a file that the next attempt replaces; nothing was promised yet.
Status Core::create_files() {
  FileSystem& fs = *files_.files;
  const std::string& directory = files_.directory;
  VG_ASSIGN(const bool there, fs.exists(directory));
  if (!there) VG_TRY(fs.make_directory(directory));
  const std::string log_directory = directory + "/" + kLogName;
  VG_ASSIGN(const bool log_there, fs.exists(log_directory));
  if (!log_there) VG_TRY(fs.make_directory(log_directory));
  const std::string fresh = directory + "/" + kNewDataName;
  VG_ASSIGN(const bool leftover, fs.exists(fresh));
  if (leftover) {
    // Of a crash, or of somebody who is creating the database right now and holds the lock.
    VG_ASSIGN(const std::unique_ptr<File> old, fs.open(fresh, OpenMode::kReadWrite));
    VG_TRY(old->lock());
    VG_TRY(fs.remove(fresh));
  }
  VG_ASSIGN(data_, fs.open(fresh, OpenMode::kCreate));
  VG_TRY(data_->lock());
  // Whoever made it meanwhile had that name before us: from here on nobody else can.
  VG_ASSIGN(const bool made_meanwhile, fs.exists(directory + "/" + kDataName));
  if (made_meanwhile) {
    static_cast<void>(fs.remove(fresh).has_value());  // perhaps somebody else's, who finds the same
    VG_ASSIGN(data_, fs.open(directory + "/" + kDataName, OpenMode::kReadWrite));
    return data_->lock();
  }
  VG_TRY(data_->allocate(0, std::uint64_t{kFirstPages} * kPageBytes));

  SuperblockState first;
  for (std::size_t half = 0; half < 2; ++half) {
    VG_ASSIGN(const std::uint64_t bits, random_bits());
    store_little(first.database.bytes.data() + 8 * half, bits);
  }
  VG_ASSIGN(const std::uint64_t salt, random_bits());
  first.segment_bytes = kSegmentBytes;
  first.next_object = ObjectId{raw(kFirstUserObject) + kObjectLease};
  first.epochs.push_back({1, salt, Lsn{kSegmentBytes}, Lsn{0}});
  VG_ASSIGN(const SuperblockStore created, SuperblockStore::create(*data_, first));
  // Before it was locked, somebody may have taken our file for a leftover, and made another of the name. A file that
  // has the name now, and is ours and locked, keeps it.
  VG_ASSIGN(const bool ours, is_database(fs, fresh, first.database));
  if (!ours) {
    return Error(ErrorCode::kLocked, "somebody else is creating a database in " + directory + " right now");
  }
  const std::string name = directory + "/" + kDataName;
  VG_TRY(fs.rename(fresh, name));
  data_->renamed(name);
  return {};
}

void Core::make_engine(TxnId next_txn) {
  engine_.reset(new Engine{*pool_,
                           *log_,
                           *space_,
                           *versions_,
                           snapshots_,
                           poison_,
                           TreeContext{*pool_, *log_, *space_},
                           HeapContext{*pool_, *log_, *space_},
                           options_.durability == Durability::kDurable ? CommitMode::kDurable : CommitMode::kRelaxed,
                           std::min(options_.lock_timeout, kLockTimeoutMax),
                           {},
                           {},
                           {},
                           {},
                           {}});
  engine_->find_tree = [this](ObjectId object) { return find_tree(object); };
  engine_->find_heap = [this](ObjectId object) { return find_heap(object); };
  engine_->wake_collector = [this] {
    const std::lock_guard lock(maintenance_mutex_);
    maintenance_wanted_ = true;
  };
  engine_->found_ghost = [this](ObjectId object, Bytes key) {
    if (!options_.read_only) txns_->note_ghost(object, key);  // else nobody collects
  };
  engine_->read_record = [this](Lsn address, std::vector<std::byte>& record) -> Status {
    if (address >= log_->epoch().first) return log_->read(address, record);
    if (!old_log_) {
      VG_ASSIGN(old_log_, open_old_log(*files_.files, files_.directory + "/" + kLogName, *superblocks_, analysis_));
    }
    return old_log_->read_at(address, record);
  };
  txns_ = std::make_unique<TxnManager>(*engine_, next_txn);
}

/// Down to redo: log, pool, pages as the log says. `with_ghosts`: as of redo_log(). True: the database is a new one,
/// and has no pages yet.
Result<bool> Core::start_redone(std::map<PageId, GhostPage>& with_ghosts) {
  register_image_ops(redo_);
  register_node_ops(redo_);
  register_bitmap_ops(redo_);
  register_heap_ops(redo_);
  const std::string log_directory = files_.directory + "/" + kLogName;
  VG_ASSIGN(superblocks_, SuperblockStore::load(*data_));
  const bool fresh = superblocks_->current().checkpoint == kNoLsn;
  if (files_.restore != nullptr) {
    VG_ASSIGN(analysis_, analyse_restored_log(*files_.files, log_directory, *superblocks_, *files_.restore));
    // Whoever opens it next with an archive finds all of its log.
    backup_held_log_.store(raw(analysis_.epoch.first));
  } else {
    VG_ASSIGN(const Lsn written, BufferPool::durable_when_written(*doublewrite_, superblocks_->current().database));
    VG_ASSIGN(analysis_, analyse_log(*files_.files, log_directory, *superblocks_, written, files_.lost_log));
    VG_TRY(open_archive());
    VG_TRY(remove_segments_of_no_epoch(*files_.files, log_directory, superblocks_->current(), held_log()));
  }

  LogOptions log_options;
  log_options.segment_bytes = superblocks_->current().segment_bytes;
  log_options.flush_interval_ms = options_.flush_interval_ms;
#ifdef VG_TEST_HOOKS
  log_options.buffer_bytes = std::size_t{4} << 20;
#endif
  const DatabaseId& database = superblocks_->current().database;
  const Lsn old_end = analysis_.old_epochs.empty() ? analysis_.keep_from : analysis_.old_epochs.back().end;
  VG_ASSIGN(log_, Log::open(*files_.files, log_directory, database, analysis_.epoch,
                            std::min(analysis_.keep_from, held_log()), log_options, poison_, old_end));
  if (archive_ != nullptr) archive_->start(analysis_.epoch);
  VG_TRY(append_epoch_record(*log_, analysis_));

  BufferOptions buffer_options;
  buffer_options.cache_bytes = options_.cache_bytes;
#ifdef VG_TEST_HOOKS
  buffer_options.use_hints = !ignore_hints_in_tests.load();
#endif
  VG_ASSIGN(pool_,
            BufferPool::open(*data_, *doublewrite_, database, *log_, redo_, &verify_page, buffer_options, poison_));
  versions_ = std::make_unique<VersionTable>(options_.cache_bytes / 8);
  space_ = std::make_unique<PageAllocator>(*pool_, *log_, *data_, poison_);
  make_engine(analysis_.next_txn);
  next_object_.store(raw(analysis_.next_object));
  if (!fresh) VG_TRY(pool_->restore_torn_pages(analysis_.redo_start, old_end));
  pool_->start_cleaner();
  VG_TRY(log_->reserve(kCheckpointLogSpace));  // until the log is closed: see checkpoint()
  if (fresh) return true;
  VG_TRY(redo_log(*files_.files, log_directory, *superblocks_, analysis_, redo_, *pool_, with_ghosts));
  if (!analysis_.old_epochs.empty()) pool_->set_old_log_end(analysis_.old_epochs.back().end);
  return false;
}

Status Core::start() {
  std::map<PageId, GhostPage> with_ghosts;
  VG_ASSIGN(const bool fresh, start_redone(with_ghosts));
  if (fresh) {
    VG_TRY(format());
  } else {
    VG_TRY(space_->open());
    VG_TRY(load_catalog(analysis_.losers.empty()));
    if (!analysis_.losers.empty()) VG_TRY(undo());
    if (!options_.read_only) leave_to_collector(with_ghosts);
    if (files_.restore != nullptr) {
      say("restored: " + std::to_string(analysis_.records) + " log records redone, " +
          std::to_string(analysis_.losers.size()) + " open transactions rolled back");
    } else if (analysis_.records > 2) {
      say(std::string(options_.read_only ? "recovered in memory" : "recovered") +
          " after a crash: " + std::to_string(analysis_.records) + " log records redone, " +
          std::to_string(analysis_.losers.size()) + " open transactions rolled back");
    }
  }
  VG_TRY(end_recovery());
  if (fresh) VG_TRY(checkpoint());  // the other superblock says that nothing was promised yet
  opened_ = true;
  if (archive_ != nullptr) archive_->follow([this] { return log_->durable(); });
  if (options_.read_only) {
    log_->refuse_changes();
    return {};
  }
  old_log_needed_ = superblocks_->current().epochs.size() > 1;
  maintenance_ = std::thread([this] { maintain(); });
  return {};
}

/// Whether users may be let in while redo needs the old log. Not again if it still did at the last crash, so that no
/// number of crashes fills the superblock's list. And only beside a spare segment: the open after the next crash needs
/// the old log and this one, and makes its own in the room of the spare.
Result<bool> Core::can_keep_old_log() {
  if (options_.read_only || files_.restore != nullptr) return false;
  if (superblocks_->current().epochs.size() > kEpochsBesideUsers) return false;
  if (pool_->redo_start(log_->filled()) >= log_->epoch().first) return true;  // nothing is needed
  const Status spare = log_->prepare_spare();
  if (!spare && !is_no_space(spare.error())) return spare.error();
  return spare.has_value();
}

/// The redone pages are dirty since their old records: once they are written, those epochs of the log are over. That is
/// left to the cleaner, where it can be, and nobody waits for it.
Status Core::end_recovery() {
  VG_ASSIGN(const bool later, can_keep_old_log());
  if (later) {
    const Status done = checkpoint();
    if (done || !is_no_space(done.error())) return done;  // on a full disk the old log must go first
  }
  VG_TRY(pool_->flush_all());
  return checkpoint();
}

/// Undo of what a crash left open: steps 7 and 8 of recovery.
Status Core::undo() {
  VG_ASSIGN(std::vector<std::unique_ptr<Txn>> losers, adopt_losers(*engine_, *txns_, analysis_));
  VG_TRY(pool_->flush_all());
  {
    LogSpace listed(*log_);
    VG_TRY(listed.reserve(losers.size() * kListedLogBytes));
    VG_TRY(checkpoint());
  }
  VG_TRY(undo_losers(*txns_, std::move(losers)));
  old_log_.reset();
  return load_catalog(true);  // undo may have changed it
}

/// Pages of objects that are dropped are given back without that.
void Core::leave_to_collector(const std::map<PageId, GhostPage>& with_ghosts) {
  // With a name: of an object whose row in the catalog is a ghost, pages may be freed.
  std::map<ObjectId, bool> lives{{kCatalogObject, true}, {kRetiredObject, true}};
  for (const auto& [page, left] : with_ghosts) {
    const auto [known, first] = lives.try_emplace(left.object);
    if (first) known->second = has_name(left.object);
    if (!known->second) continue;
    std::string key = left.leaf ? left.low_fence : std::string(as_text(encode_tid({page, kWholePage})));
    txns_->retire_version(Lsn{0}, {left.object, std::move(key), true});
  }
}

/// The pages that every database has: first bitmap, roots of the system trees.
Status Core::format() {
  VG_TRY(log_->prepare_spare());  // each later open makes a segment while it needs another: there must be room for both
  VG_TRY(space_->format());
  VG_ASSIGN(FrameTicket frames, pool_->reserve_frames(2));
  VG_TRY(log_->reserve(log_bytes_for(4 * kPageBytes)));
  {
    MiniTxn mini(*pool_, *log_, RecordKind::kSystem);
    Tree::add_new_root(mini, mini.own(pool_->create(kCatalogRootPage, frames)), kCatalogObject);
    Tree::add_new_root(mini, mini.own(pool_->create(kRetiredRootPage, frames)), kRetiredObject);
    mini.commit();
  }
  log_->unreserve(log_bytes_for(4 * kPageBytes));
  return load_catalog(true);
}

Result<ObjectId> Core::next_object() {
  const std::uint32_t id = next_object_.load();
  if (id > kObjectsMax) return Error(ErrorCode::kTooLarge, "as many objects were made as there are object ids");
  if (id >= object_lease_.load()) VG_TRY(checkpoint());  // covers the next ids
  return ObjectId{next_object_.fetch_add(1)};
}

Result<ObjectId> Core::reserve_object_id() {
  const std::lock_guard ddl(ddl_mutex_);
  return next_object();
}

Status Core::checkpoint(bool last) {
  const std::lock_guard lock(checkpoint_mutex_);
  const std::uint32_t lease = std::min(next_object_.load(), kObjectsMax + 1) + kObjectLease;
  // Space for one is reserved from open to close, and used up only by a checkpoint that brings it back: where there is
  // none besides, on a full disk, only one that lets go of a segment is written.
  LogSpace for_the_next(*log_);
  const std::uint64_t log_bytes = kCheckpointLogSpace + txns_->open().size() * kListedLogBytes;
  if (Status reserved = for_the_next.reserve(log_bytes); !reserved && !last) {
    const Lsn filled = log_->filled();
    if (!log_->can_recycle(log_needed_from(pool_->redo_start(filled)))) return reserved;
  }
  VG_TRY(write_checkpoint(*engine_, *txns_, *superblocks_, ObjectId{lease}, held_log()));
  object_lease_.store(lease);
  checkpoint_end_.store(raw(log_->end()));
  checkpoints_.fetch_add(1);
  return {};
}

/// The log that a failed reservation needs may be held by changed pages only: writes them. What the archive alone
/// holds is waited for, but no longer than a healthy one takes for a segment: the caller has passed gates.
bool Core::make_log_room(std::uint64_t made_before) {
  const std::lock_guard lock(log_room_mutex_);
  if (log_rooms() != made_before) return true;  // somebody has just done it
  const Lsn filled = log_->filled();
  if (!log_->can_recycle(log_needed_from(filled))) {
    if (archive_ == nullptr || archive_->held() != log_needed_from(filled)) return false;
    static_cast<void>(log_->flush_all().has_value());  // it copies what is durable
    if (!archive_->wait_for_segment() || !log_->can_recycle(log_needed_from(filled))) return false;
  }
  if (!log_->flush(log_->filled()) || !pool_->flush_all() || !checkpoint()) return false;
  log_rooms_.fetch_add(1);
  return true;
}

std::uint64_t Core::redo_start() {
  const std::lock_guard lock(checkpoint_mutex_);
  return raw(superblocks_->current().redo_start);
}

/// Nobody needs what lies before, neither pages, which need it from there on, nor open transactions.
Lsn Core::log_needed_from(Lsn pages_need_from) const {
  return std::min(recovery_needs_from(pages_need_from), held_log());
}

/// The same for a recovery from here on, which needs nothing that is only to be archived.
Lsn Core::recovery_needs_from(Lsn pages_need_from) const {
  Lsn from = pages_need_from;
  for (const OpenTxn& open : txns_->open()) from = std::min(from, open.first);
  return from;
}

void Core::say(const std::string& line) {
  if (!options_.on_log) return;
  const std::lock_guard lock(say_mutex_);
  options_.on_log(line);
}

// --- Closing

/// What deleted rows and entries hold is given back now: nobody would look for it after the next open.
void Core::collect_all() {
  bool more = true;
  for (unsigned round = 0; more && round < 16; ++round) {  // one or two, as nobody reads any more
    try {
      const Result<bool> collected = txns_->collect();
      more = collected && *collected;  // what has no room, or stands beside damage, stays
    } catch (const std::bad_alloc&) {
      return;  // it stays, too
    }
  }
}

Status Core::close() {
  if (is_in_fork()) return forked_error();
  const std::lock_guard closing(close_mutex_);
  if (closed_.exchange(true)) return {};
  calls_.close();
  Status result;
  {
    const std::lock_guard lock(open_mutex_);
    for (const std::shared_ptr<OpenTransaction>& open : open_) {
      if (open->txn != nullptr) {
        if (Status undone = txns_->rollback(std::move(open->txn)); !undone && result) result = undone;
      }
    }
    open_.clear();
  }
  writers_.close();
  {
    const std::lock_guard lock(maintenance_mutex_);
    stopping_ = true;
  }
  maintenance_wake_.notify_all();
  if (maintenance_.joinable()) maintenance_.join();
  if (result) result = poison_.check();
  if (opened_ && !options_.read_only) {  // not opened: recovery is not through, and its log must stay what it is
    try {
      if (result) result = log_->flush(log_->end());
      if (result) collect_all();
      if (result) result = poison_.check();
      if (result) result = pool_->flush_all();
      if (result) result = checkpoint(true);
      if (result && archive_ != nullptr) archive_->finish(log_->durable());
    } catch (const std::bad_alloc&) {
      result = Error(ErrorCode::kOutOfMemory, "no memory to close in order; the next open recovers");
    }
  }
  archive_.reset();  // it looks at the log
  pool_.reset();
  log_.reset();
  doublewrite_.reset();
  data_.reset();                                 // the lock goes with it …
  if (options_.read_only) files_.owned.reset();  // … or with the view, which holds it as well
  return result;
}

Core::~Core() {
  try {
    if (Status closed = close(); !closed) say("closing failed: " + std::string(closed.error().message()));
  } catch (const std::bad_alloc&) {
    // No memory to say so.
  }
}

}  // namespace vaultgres::internal
