// restore(): a backup becomes a database. docs/ARCHITECTURE.md, "Backup".
#include "db/restore.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "catalog/text_format.h"
#include "db/archive_chain.h"
#include "db/backup_files.h"
#include "db/core.h"
#include "wal/log_copy.h"

namespace vaultgres {

namespace internal {

namespace {

constexpr std::uint32_t kPagesRestoredAtOnce = 128;

class RestoreCopy {
 public:
  RestoreCopy(FileSystem& files, const std::string& backup, const std::string& target, const RestoreOptions& options)
      : files_(files), backup_(backup), target_(target), options_(options), steps_(options.progress, 0) {}

  /// Looks at the backup and at the archive: nothing is made yet.
  Status prepare();
  Status run();
  Result<RestoreReport> recover();

 private:
  Status judge(const RestorePlan& plan) const;
  Status mark(bool begun);
  Status copy_pages();
  Status copy_log();
  Status copy_segment(const std::string& path, const SegmentRange& range, const EpochSpan& epoch,
                      std::uint64_t& newest_time_us);

  FileSystem& files_;
  const std::string backup_;
  const std::string target_;
  const RestoreOptions& options_;
  CopySteps steps_;
  BackupHeader header_{};
  SuperblockState state_;
  std::vector<EpochSpan> backup_epochs_;
  std::vector<ArchiveChain::File> files_of_archive_;
  std::vector<ArchiveChain::Begin> begins_;  ///< of epochs behind the backup's
  bool covers_point_ = false;  ///< the log is known to reach it: its last record may end before all the same
  std::optional<Error> gap_;   ///< why the log ends where it does, although there is more of it
  RestorePlan plan_;
};

Status RestoreCopy::prepare() {
  if (options_.until_lsn && options_.until_time) {
    return Error(ErrorCode::kInvalidArgument, "restore to a log position or to a time, not to both");
  }
  VG_ASSIGN(header_, read_backup_header(files_, backup_));
  const std::string path = backup_ + "/" + kBackupPagesName;
  VG_ASSIGN(const std::unique_ptr<File> pages, files_.open(path, OpenMode::kReadOnly));
  VG_ASSIGN(const SuperblockStore superblocks, SuperblockStore::load(*pages));
  state_ = superblocks.current();
  if (state_.database != header_.database || state_.segment_bytes != header_.segment_bytes.get()) {
    return Error(ErrorCode::kCorruption, path + " belongs to another backup than " + kBackupName + " beside it");
  }
  for (const SuperblockState::Epoch& epoch : state_.epochs) {
    backup_epochs_.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
  }
  plan_.backup_end = Lsn{header_.log_to.get()};
  if (options_.until_lsn) plan_.until_lsn = Lsn{*options_.until_lsn};
  if (options_.until_time) {
    const auto since_1970 =
        std::chrono::duration_cast<std::chrono::microseconds>(options_.until_time->time_since_epoch());
    plan_.until_time_us = static_cast<std::uint64_t>(std::max<std::int64_t>(since_1970.count(), 0));
  }
  VG_ASSIGN(const ArchiveChain chain,
            ArchiveChain::find(files_, options_.archive_directories, state_, plan_.backup_end, plan_.until_lsn));
  plan_.epochs = chain.epochs();
  gap_ = chain.gap();
  plan_.judge = [this](const RestorePlan& plan) { return judge(plan); };
  plan_.highest_epoch = chain.highest_epoch();
  files_of_archive_ = chain.files();
  begins_ = chain.begins();
  const std::uint64_t covered = files_of_archive_.empty() ? 0 : files_of_archive_.back().range.end;
  covers_point_ = plan_.until_lsn && raw(*plan_.until_lsn) <= std::max(covered, raw(plan_.backup_end));
  for (const ArchiveChain::File& file : files_of_archive_) steps_.expect(file.range.end - file.range.begin);
  steps_.expect(std::uint64_t{header_.pages.get()} * kPageBytes + header_.log_to.get() - header_.log_from.get());
  return {};
}

/// Whether the log leads to the point, and the point is one that the copied pages allow.
Status RestoreCopy::judge(const RestorePlan& plan) const {
  const auto text_of = [](Lsn lsn, std::uint64_t time_us) {
    std::string text = "LSN " + std::to_string(raw(lsn)) + " (";
    append_value_text(Value(Timestamp{static_cast<std::int64_t>(time_us)}), text);
    return text + ")";
  };
  if ((plan.until_lsn && *plan.until_lsn < plan.backup_end) ||
      (plan.until_time_us && *plan.until_time_us < plan.backup_time_us)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the point to restore lies before the end of the backup; the earliest is " +
                     text_of(plan.backup_end, plan.backup_time_us) + "; use an older backup");
  }
  // Of one epoch times ascend. Where the clock was set back between two, it passed the point twice.
  for (const ArchiveChain::Begin& epoch : begins_) {
    if (!plan.until_time_us || epoch.first < plan.reached || epoch.time_us > *plan.until_time_us) continue;
    return Error(ErrorCode::kInvalidArgument, "the clock was set back: the log passes the point to restore behind " +
                                                  text_of(plan.reached, plan.reached_time_us) +
                                                  ", and is before it again at " + text_of(epoch.first, epoch.time_us) +
                                                  "; restore to a log position");
  }
  const bool latest = !plan.until_lsn && !plan.until_time_us;
  if (!plan.ended || covers_point_) return {};
  if (plan.until_time_us && plan.reached_time_us >= *plan.until_time_us) return {};
  if (gap_) return *gap_;
  if (latest) return {};
  return Error(ErrorCode::kInvalidArgument, "the log ends at " + text_of(plan.reached, plan.reached_time_us) +
                                                ", before the point to restore; give more of the archive, or restore "
                                                "the latest");
}

/// Crash while it is there: every open refuses the directory, and says why.
Status RestoreCopy::mark(bool begun) {
  const std::string path = target_ + "/" + kRestoreMarkName;
  if (begun) {
    VG_ASSIGN(const std::unique_ptr<File> file, files_.open(path, OpenMode::kCreate));
    VG_TRY(file->sync());
  } else {
    VG_TRY(files_.remove(path));
  }
  return files_.sync_directory(target_);
}

Status RestoreCopy::run() {
  VG_TRY(mark(true));
  VG_TRY(files_.make_directory(target_ + "/" + kLogName));
  VG_TRY(copy_log());
  VG_TRY(copy_pages());
  VG_TRY(files_.sync_directory(target_ + "/" + kLogName));
  return files_.sync_directory(target_);
}

/// Superblocks are looked at when they are loaded; a page that is all zeros has never been written, or was of nobody.
Status RestoreCopy::copy_pages() {
  const std::string from_path = backup_ + "/" + kBackupPagesName;
  VG_ASSIGN(const std::unique_ptr<File> from, files_.open(from_path, OpenMode::kReadOnly));
  VG_ASSIGN(const std::unique_ptr<File> to, files_.open(target_ + "/" + kDataName, OpenMode::kCreate));
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPagesRestoredAtOnce * kPageBytes));
  const std::uint32_t pages = header_.pages.get();
  VG_ASSIGN(const std::uint64_t bytes, from->size());
  if (bytes < std::uint64_t{pages} * kPageBytes) {
    return Error(ErrorCode::kCorruption,
                 from_path + " is shorter than " + kBackupName + " beside it says: the backup is damaged; use another");
  }
  VG_TRY(to->allocate(0, std::uint64_t{pages} * kPageBytes));
  for (std::uint32_t first = 0; first < pages; first += kPagesRestoredAtOnce) {
    const std::uint32_t count = std::min(kPagesRestoredAtOnce, pages - first);
    const MutableBytes chunk = buffer.span().first(count * kPageBytes);
    VG_TRY(from->read(std::uint64_t{first} * kPageBytes, chunk));
    for (std::uint32_t i = 0; i < count; ++i) {
      const PageId id{first + i};
      const Bytes page = chunk.subspan(i * kPageBytes, kPageBytes);
      if (page_header(page).checksum.get() == page_checksum(state_.database, id, page) || page_is_zero(page)) continue;
      return Error(ErrorCode::kCorruption, from_path + ": page " + std::to_string(raw(id)) +
                                               " has a wrong checksum: the backup is damaged; use another");
    }
    VG_TRY(to->write(std::uint64_t{first} * kPageBytes, chunk));
    VG_TRY(steps_.add(chunk.size()));
  }
  return to->sync();
}

/// What the backup has, and then what the archives have of it and behind it.
Status RestoreCopy::copy_log() {
  const std::uint64_t archived_from = files_of_archive_.empty() ? UINT64_MAX : files_of_archive_.front().range.begin;
  for (const EpochSpan& epoch : backup_epochs_) {
    const std::uint64_t end = epoch.end == kNoLsn ? header_.log_to.get() : block_round_up(raw(epoch.end));
    for (std::uint64_t at = std::max(header_.log_from.get(), raw(epoch.first)); at < std::min(end, archived_from);) {
      const std::uint64_t segment_end = (at / state_.segment_bytes + 1) * state_.segment_bytes;
      const SegmentRange range{at, std::min(end, segment_end), state_.segment_bytes};
      std::uint64_t ignored_time = 0;
      VG_TRY(copy_segment(backup_ + "/" + kLogName + "/" + segment_name(range.number()), range, epoch, ignored_time));
      at = range.end;
    }
  }
  for (const ArchiveChain::File& file : files_of_archive_) {
    std::uint64_t time_us = 0;
    VG_TRY(copy_segment(file.path, file.range, plan_.epochs[file.epoch], time_us));
    if (plan_.until_time_us && time_us > *plan_.until_time_us && Lsn{file.range.begin} >= plan_.backup_end) {
      // The point lies before: what follows is not needed.
      plan_.epochs.resize(file.epoch + 1);
      plan_.epochs.back().end = kNoLsn;
      covers_point_ = true;
      break;
    }
  }
  return {};
}

Status RestoreCopy::copy_segment(const std::string& path, const SegmentRange& range, const EpochSpan& epoch,
                                 std::uint64_t& newest_time_us) {
  const BlockSeal seal(state_.database, epoch.number, epoch.salt);
  VG_TRY(copy_log_blocks(files_, path, files_, target_ + "/" + kLogName + "/" + segment_name(range.number()), range,
                         seal, &newest_time_us));
  return steps_.add(range.end - range.begin);
}

Result<RestoreReport> RestoreCopy::recover() {
  Options options;
  options.create_if_missing = false;
  options.cache_bytes = options_.cache_bytes;
  options.on_log = options_.on_log;
  {
    VG_ASSIGN(const std::shared_ptr<Core> core, Core::open({&files_, nullptr, target_, &plan_}, std::move(options)));
    VG_TRY(core->close());
  }
  VG_TRY(mark(false));
  RestoreReport report;
  report.lsn = raw(plan_.reached);
  report.time = time_of(plan_.reached_time_us);
  report.records = plan_.records;
  report.rolled_back = plan_.losers;
  return report;
}

}  // namespace

Result<RestoreReport> restore(FileSystem& files, const std::string& backup, const std::string& target,
                              const RestoreOptions& options) {
  RestoreCopy copy(files, backup, target, options);
  VG_TRY(copy.prepare());
  VG_TRY(make_new_directory(files, target));
  Result<RestoreReport> restored = catch_bad_alloc([&]() -> Result<RestoreReport> {
    VG_TRY(copy.run());
    return copy.recover();
  });
  if (restored) return restored;
  return remove_again(files, target, restored.error().with_context("restoring " + backup));
}

}  // namespace internal

Result<RestoreReport> restore(const std::string& backup, const std::string& directory, RestoreOptions options) {
  return internal::catch_bad_alloc([&]() -> Result<RestoreReport> {
    VG_ASSIGN(const std::string from, internal::directory_path(backup));
    VG_ASSIGN(const std::string to, internal::directory_path(directory));
    return internal::restore(posix_file_system(), from, to, options);
  });
}

}  // namespace vaultgres
