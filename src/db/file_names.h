// The names in the directories of databases and backups.
#pragma once

#include <string>

namespace vaultgres::internal {

// Of a database.
inline constexpr char kDataName[] = "data.vg";
inline constexpr char kNewDataName[] = "data.vg.new";
inline constexpr char kDoublewriteName[] = "doublewrite.vg";
inline constexpr char kLogName[] = "log";
/// Temporary files; what a crash leaves of them is removed by the next open.
inline constexpr char kSortFilePrefix[] = "sort.";
/// Its log is archived: no opening lets go of what is not in the archive yet. Empty.
inline constexpr char kArchiveMarkName[] = "archive.vg";
/// While it is being restored: nobody takes it for a database before this is gone.
inline constexpr char kRestoreMarkName[] = "restore.vg";

// Of a backup, which has kLogName, too.
inline constexpr char kBackupName[] = "backup.vg";
inline constexpr char kBackupPagesName[] = "pages.vg";

/// Where a directory, whose name ends with no slash, has its own name.
inline std::string parent_directory(const std::string& directory) {
  const std::size_t slash = directory.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : directory.substr(0, slash);
}

}  // namespace vaultgres::internal
