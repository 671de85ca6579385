// Database::backup(): a consistent copy while others read and write. docs/ARCHITECTURE.md, "Backup", says in which
// order and why.
#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "db/backup_files.h"
#include "db/core.h"
#include "db/statement.h"
#include "wal/log_copy.h"

namespace vaultgres::internal {

namespace {

constexpr std::uint32_t kPagesAtOnce = 128;

/// Says whether nobody else has it; if so, has it while it lives.
class OneAtATime {
 public:
  explicit OneAtATime(std::atomic<bool>& taken) noexcept : taken_(taken), mine_(!taken.exchange(true)) {}
  OneAtATime(const OneAtATime&) = delete;
  OneAtATime& operator=(const OneAtATime&) = delete;
  ~OneAtATime() {
    if (mine_) taken_.store(false);
  }
  explicit operator bool() const noexcept { return mine_; }

 private:
  std::atomic<bool>& taken_;
  const bool mine_;
};

/// Puts the hold on the log back, however the backup ends.
class HeldLog {
 public:
  HeldLog(std::atomic<std::uint64_t>& held) noexcept : held_(held) {}
  HeldLog(const HeldLog&) = delete;
  HeldLog& operator=(const HeldLog&) = delete;
  ~HeldLog() { held_.store(kNotHeld); }

 private:
  std::atomic<std::uint64_t>& held_;
};

}  // namespace

/// Copies into a directory that is there and empty. One object for one backup.
class BackupCopy {
 public:
  BackupCopy(Core& core, FileSystem& to, const std::string& directory, const CopyProgress& progress)
      : core_(core), to_(to), directory_(directory), steps_(progress, 0) {}

  Status run();
  BackupReport report() const;

 private:
  Status copy_pages();
  Status copy_chunk(File& file, std::uint32_t first, std::uint32_t count);
  Status copy_doubtful_page(PageId id, MutableBytes page);
  Status copy_log();
  Status write_superblocks(File& file);
  Status go_on(std::uint64_t bytes);

  Core& core_;
  FileSystem& to_;
  const std::string directory_;
  CopySteps steps_;
  const std::uint64_t begin_time_ = now_us();
  SuperblockState state_;  ///< with which a recovery of the copy begins
  std::uint64_t log_from_ = 0;
  std::uint64_t log_to_ = 0;
  std::uint64_t end_time_ = 0;
  std::uint64_t log_bytes_ = 0;
  std::uint32_t pages_ = 0;
  AlignedBuffer buffer_;
};

Status BackupCopy::run() {
  const auto checkpoint = [&]() -> Status {
    VG_TRY(core_.pool_->flush_all());  // so that there is little log to copy
    return core_.checkpoint();
  };
  VG_TRY(with_log_room_outside(core_, checkpoint));
  {
    // No checkpoint goes on, and no segment goes, before the hold is set.
    const std::lock_guard lock(core_.checkpoint_mutex_);
    state_ = core_.superblocks_->current();
    log_from_ = block_start(raw(core_.recovery_needs_from(state_.redo_start)));
    core_.backup_held_log_.store(log_from_);
  }
  const HeldLog held(core_.backup_held_log_);
  VG_TRY(copy_pages());
  VG_TRY(to_.make_directory(directory_ + "/" + kLogName));
  // Pages that came from frames may be ahead of the durable log.
  VG_TRY(with_log_room_outside(core_, [&] { return core_.log_->flush_all(); }));
  log_to_ = raw(core_.log_->durable());
  VG_TRY(copy_log());
  {
    VG_ASSIGN(const std::unique_ptr<File> pages, to_.open(directory_ + "/" + kBackupPagesName, OpenMode::kReadWrite));
    VG_TRY(write_superblocks(*pages));
  }
  VG_TRY(to_.sync_directory(directory_ + "/" + kLogName));
  VG_TRY(to_.sync_directory(directory_));
  BackupHeader header{};
  header.page_bytes.set(kPageBytes);
  header.database = state_.database;
  header.pages.set(pages_);
  header.segment_bytes.set(state_.segment_bytes);
  header.log_from.set(log_from_);
  header.log_to.set(log_to_);
  header.begin_time.set(begin_time_);
  header.end_time.set(end_time_);
  return write_backup_header(to_, directory_, header);
}

BackupReport BackupCopy::report() const {
  BackupReport report;
  report.pages = pages_;
  report.log_bytes = log_bytes_;
  report.lsn = log_to_;
  report.time = time_of(end_time_);
  return report;
}

/// What others do meanwhile: close() waits for this call.
Status BackupCopy::go_on(std::uint64_t bytes) {
  if (core_.is_closed()) return closed_error();
  VG_TRY(core_.poison_.check());
  return steps_.add(bytes);
}

Status BackupCopy::copy_pages() {
  pages_ = core_.pool_->page_count();  // pages beyond come with the log
  steps_.expect(std::uint64_t{pages_} * kPageBytes);
  VG_ASSIGN(buffer_, AlignedBuffer::make(kPagesAtOnce * kPageBytes));
  VG_ASSIGN(const std::unique_ptr<File> file, to_.open(directory_ + "/" + kBackupPagesName, OpenMode::kCreate));
  VG_TRY(to_.sync_directory(directory_));  // before anything else is there that a database has, too
  VG_TRY(file->allocate(0, std::uint64_t{pages_} * kPageBytes));
  for (std::uint32_t first = 0; first < pages_; first += kPagesAtOnce) {
    VG_TRY(copy_chunk(*file, first, std::min(kPagesAtOnce, pages_ - first)));
    VG_TRY(go_on(std::uint64_t{kPagesAtOnce} * kPageBytes));
  }
  return file->sync();
}

Status BackupCopy::copy_chunk(File& file, std::uint32_t first, std::uint32_t count) {
  const MutableBytes chunk = buffer_.span().first(count * kPageBytes);
  VG_TRY(core_.data_->read(std::uint64_t{first} * kPageBytes, chunk));
  for (std::uint32_t i = 0; i < count; ++i) {
    const PageId id{first + i};
    const MutableBytes page = chunk.subspan(i * kPageBytes, kPageBytes);
    if (id == kSuperblockPages[0] || id == kSuperblockPages[1]) {
      std::memset(page.data(), 0, page.size());
    } else if (!core_.pool_->is_sound_copy(id, page)) {
      VG_TRY(copy_doubtful_page(id, page));
    }
  }
  return file.write(std::uint64_t{first} * kPageBytes, chunk);
}

/// Half of a write, or only in its frame, or damaged; or of nobody: then what it says is of no matter. Whoever
/// allocates it after this look has it in the log from its first byte on.
Status BackupCopy::copy_doubtful_page(PageId id, MutableBytes page) {
  VG_ASSIGN(const bool in_use, core_.space_->is_allocated(id));
  if (in_use) return core_.pool_->copy_page(id, page);
  std::memset(page.data(), 0, page.size());
  return {};
}

Status BackupCopy::copy_log() {
  const std::uint64_t segment_bytes = state_.segment_bytes;
  steps_.expect(log_to_ - log_from_);
  for (const SuperblockState::Epoch& epoch : state_.epochs) {
    const BlockSeal seal(state_.database, epoch.number, epoch.salt);
    const std::uint64_t end = epoch.end == kNoLsn ? log_to_ : block_round_up(raw(epoch.end));
    for (std::uint64_t at = std::max(log_from_, raw(epoch.first)); at < end;) {
      const std::string name = std::string("/") + kLogName + "/" + segment_name(at / segment_bytes);
      const SegmentRange range{at, std::min(end, (at / segment_bytes + 1) * segment_bytes), state_.segment_bytes};
      VG_TRY(copy_log_blocks(*core_.files_.files, core_.files_.directory + name, to_, directory_ + name, range, seal,
                             &end_time_));
      log_bytes_ += range.end - range.begin;
      VG_TRY(go_on(range.end - range.begin));
      at = range.end;
    }
  }
  return {};
}

/// The log must reach the backup's end: a hole below is damage.
Status BackupCopy::write_superblocks(File& file) {
  state_.durable = Lsn{log_to_};
  const Result<SuperblockStore> written = SuperblockStore::create(file, state_);
  return written ? Status() : Status(written.error());
}

Result<BackupReport> Core::backup(const std::string& directory, const CopyProgress& progress) {
  VG_TRY(check_writable());
  const OneAtATime alone(backup_runs_);  // progress() may ask for another in this thread
  if (!alone) return Error(ErrorCode::kConflict, "another backup of this database is under way; wait for its end");
  FileSystem& to = outside_files();
  BackupCopy copy(*this, to, directory, progress);
  VG_TRY(make_new_directory(to, directory));
  const Status done = catch_bad_alloc([&] { return copy.run(); });
  if (!done) return remove_again(to, directory, done.error().with_context("backup into " + directory));
  return copy.report();
}

}  // namespace vaultgres::internal
