// The files of a backup, and of a restore that is under way.
#pragma once

#include <string>

#include "db/file_names.h"
#include "format/backup.h"
#include "io/file.h"
#include "vaultgres/backup.h"

namespace vaultgres::internal {

/// Written, synced, renamed, and its directory synced: from then on the backup is whole.
Status write_backup_header(FileSystem& files, const std::string& directory, BackupHeader header);
/// kInvalidArgument: there is no backup, or half of one.
Result<BackupHeader> read_backup_header(FileSystem& files, const std::string& directory);

/// Makes the directory, and its name durable. kAlreadyExists when there is something of that name.
Status make_new_directory(FileSystem& files, const std::string& directory);
/// Removes what was made, files and directories; an error of its own is added to `why`.
Error remove_again(FileSystem& files, const std::string& directory, const Error& why);

/// How far a copy is, and whether it shall go on.
class CopySteps {
 public:
  CopySteps(const CopyProgress& progress, std::uint64_t bytes_total) : progress_(progress), total_(bytes_total) {}
  void expect(std::uint64_t bytes) { total_ += bytes; }
  /// kConflict when the caller wants no more.
  Status add(std::uint64_t bytes);

 private:
  const CopyProgress& progress_;
  std::uint64_t done_ = 0;
  std::uint64_t total_;
};

std::uint64_t now_us();
std::chrono::system_clock::time_point time_of(std::uint64_t microseconds);

}  // namespace vaultgres::internal
