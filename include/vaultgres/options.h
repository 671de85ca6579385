// How a database is opened. Every default is meant to be right: there is nothing to tune.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace vaultgres {

/// When a commit is acknowledged.
enum class Durability : std::uint8_t {
  kDurable,  ///< an acknowledged commit survives a crash of process, machine or power
  kRelaxed,  ///< a crash may lose the newest commits (of the last 100 ms); never reorders, never tears one
};

struct Options {
  /// Bytes of memory for cached pages: a hard limit, at least 2 MiB. The whole process stays within this and
  /// 64 MiB for everything else.
  std::size_t cache_bytes = std::size_t{256} << 20;
  /// Make the database when the directory does not exist, is empty, or has what an interrupted creation left.
  bool create_if_missing = true;
  /// Only reads: nothing in the directory is written, synced, made or removed, so it may lie on a read-only mount, and
  /// the database must be there. Any number of such handles and processes have it open at once; they and one that has
  /// it open for writing exclude each other (kLocked). Changing calls return kReadOnly. After a crash it is recovered
  /// in memory, which takes up to cache_bytes beside the cache; where that is not enough, opening returns kReadOnly.
  /// Commits that the dead process had written but not synced are then shown, and a power cut could still take them.
  bool read_only = false;
  /// The default of every commit, and what readers are shown: in a durable database only what a crash cannot
  /// take back, in a relaxed one every commit.
  Durability durability = Durability::kDurable;
  /// How long a call waits for others that hold its keys, all its waits together, from the first on, before kConflict.
  std::chrono::milliseconds lock_timeout{5000};
  /// In relaxed mode the log is synced at least this often, unless the disk is full: 1 to 10,000.
  std::uint32_t flush_interval_ms = 100;
  /// A directory for copies of the log, so that a backup can be restored to any later commit (vaultgres/backup.h). Made
  /// when it is not there; one for each database. Each segment of the log (16 MiB), and what there is of the last one
  /// at close, is copied there before it may be overwritten. While that fails the log is kept: on_log says why, and
  /// disk usage grows; on a full disk changes then fail with kNoSpace until a segment is copied. Closing goes on
  /// copying for five seconds at most; the next opening copies the rest. A later opening without it copies nothing and
  /// keeps the log, too, for the next one with it; who wants no archive any more removes `archive.vg` from the
  /// database's directory. Empty: none.
  std::string archive_directory;
  /// Gets a line of text when something worth knowing happens (recovery, damage found). Called from any
  /// thread, one call at a time. It may use the database, but must not close it.
  std::function<void(std::string_view)> on_log;
};

/// Limits, checked by every call that takes such a thing.
inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::uint64_t kMaxValueBytes = std::uint64_t{1} << 31;

}  // namespace vaultgres
