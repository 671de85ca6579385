// Backups: what Database::backup() answers, and restoring one, to its end or to a later point of an archived log.
//
//   if (auto done = db->backup("shop.backup"); !done) return report(done.error());      // while others read and write
//   …
//   auto restored = vaultgres::restore("shop.backup", "shop.vg");                         // a database again
//
// A backup is a directory that no call takes for a database. It holds a copy of every page and the log that makes them
// consistent: restoring is a recovery. With Options::archive_directory the log goes on in the archive, and a restore
// can follow it to any commit since the backup's end:
//
//   vaultgres::RestoreOptions options;
//   options.archive_directories = {"shop.archive"};
//   options.until_time = before_the_mistake;
//   auto restored = vaultgres::restore("shop.backup", "shop.vg", options);
//
// The restored database has the id of its source, with which all pages are sealed, and begins a new epoch of the log:
// its archive and that of the source are told apart, also in one directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/options.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// Called now and then by the thread that made the call, with bytes copied so far and in all, about. False ends the
/// work with kConflict, and what was made is removed.
using CopyProgress = std::function<bool(std::uint64_t bytes_done, std::uint64_t bytes_total)>;

struct BackupReport {
  std::uint64_t pages = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t lsn = 0;                       ///< the earliest point that can be restored: the backup's end …
  std::chrono::system_clock::time_point time;  ///< … and the time of it
};

struct RestoreOptions {
  /// Where Options::archive_directory put the log, in any order. None: the backup's end is restored.
  std::vector<std::string> archive_directories;
  /// The last commit at or below this log position (DatabaseStats::log_durable after a commit is one for it).
  std::optional<std::uint64_t> until_lsn;
  /// All commits that were acknowledged by then, none that was begun later. Refused where the clock was set back
  /// between two openings and the log passes that time twice. At most one of the two; neither: the latest.
  std::optional<std::chrono::system_clock::time_point> until_time;
  CopyProgress progress;
  /// Of the recovery.
  std::size_t cache_bytes = Options().cache_bytes;
  /// As Options::on_log.
  std::function<void(std::string_view)> on_log;
};

struct RestoreReport {
  std::uint64_t lsn = 0;                       ///< of the last record that was restored
  std::chrono::system_clock::time_point time;  ///< when the flush that made it durable began
  std::uint64_t records = 0;                   ///< of the log, redone
  std::uint64_t rolled_back = 0;               ///< transactions that were open at this point
};

/// Makes a database of a backup; `directory` must not be there. It is complete, checked by recovery, closed in order
/// and durable when this returns; a crash before leaves a directory that no call opens, to be removed. An error removes
/// what was made, or says what stays. kInvalidArgument: no backup, half of one, or a point that it does not reach (the
/// text says which it does); kAlreadyExists: `directory` is there; kCorruption names the damaged page or file;
/// kNotFound names the part of the archive that is missing.
Result<RestoreReport> restore(const std::string& backup, const std::string& directory, RestoreOptions options = {});

}  // namespace vaultgres
