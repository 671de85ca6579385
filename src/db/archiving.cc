// The archive of an open database: where it is, and what log it holds.
#include <algorithm>

#include "base/try.h"
#include "db/core.h"

namespace vaultgres::internal {

/// Where backups and archives of a database in memory go as well.
FileSystem& Core::outside_files() noexcept {
  return files_.owned != nullptr ? posix_file_system() : *files_.files;
}

/// Before anything of the log is removed. Once a database has had an archive, who opens it without, with the program
/// say, must not make a gap: he keeps the log for the next one who knows the archive.
Status Core::open_archive() {
  if (options_.read_only) return {};
  const std::string mark = files_.directory + "/" + kArchiveMarkName;
  VG_ASSIGN(const bool marked, files_.files->exists(mark));
  std::string directory;
  if (!options_.archive_directory.empty()) {
    VG_ASSIGN(directory, directory_path(options_.archive_directory));
    if (!marked) VG_TRY(files_.files->open(mark, OpenMode::kCreate));
    VG_TRY(files_.files->sync_directory(files_.directory));
  } else if (marked) {
    say("the log is kept for the archive, which was not given: " + mark + " says so; remove it to archive no more");
  } else {
    return {};
  }
  LogArchive::Places places{files_.files, files_.directory + "/" + kLogName, &outside_files(), std::move(directory)};
  archive_ = std::make_unique<LogArchive>(std::move(places), superblocks_->current().database,
                                          superblocks_->current().segment_bytes,
                                          [this](const std::string& line) { say(line); });
  return analysis_.old_epochs.empty() ? Status() : archive_->find_old(analysis_.old_epochs.back());
}

/// Others than recovery need the log from here on.
Lsn Core::held_log() const {
  const Lsn backup{backup_held_log_.load()};
  return archive_ != nullptr ? std::min(backup, archive_->held()) : backup;
}

}  // namespace vaultgres::internal
