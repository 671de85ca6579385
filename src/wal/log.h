// The write-ahead log: one buffer, reserve-then-fill, group commit without a timer.
//
// Appenders assign LSNs while their pages are latched; between reserving and filling there is only a
// copy. A committer that finds no flush running flushes itself, others join. The durable LSN is the end of
// the contiguous prefix of completed, synced log writes. A block is written once: a flush pads its last
// block and the next record starts a new one, because rewriting a half-filled block that was synced could
// lose an acknowledged commit to a torn sector.
//
// Errors: a failed write or sync poisons the database; appending goes on into nothing, so that nobody
// hangs under a latch, and every flush returns the first cause.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/poison.h"
#include "base/types.h"
#include "format/page.h"
#include "io/file.h"
#include "wal/brief_space.h"

namespace vaultgres {

struct LogOptions {
  std::size_t segment_bytes = std::size_t{16} << 20;  ///< multiple of kLogBlockBytes; tests: 64 KiB
  std::size_t buffer_bytes = std::size_t{16} << 20;   ///< multiple of kLogBlockBytes; at least 2 records
  std::uint32_t flush_interval_ms = 100;              ///< an unsynced record waits no longer than this
};

/// The current epoch as the superblock lists it.
struct LogEpoch {
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  Lsn first{0};  ///< where its first block stands; a multiple of segment_bytes
};

/// All calls are thread-safe.
class Log {
 public:
  /// Starts appending at `epoch.first` (empty so far). `directory` exists. Removes the segment files that hold nothing
  /// of the old log from `keep_from` to `keep_to` (kNoLsn: to the epoch's start). Starts its threads.
  static Result<std::unique_ptr<Log>> open(FileSystem& files, std::string directory, const DatabaseId& database,
                                           const LogEpoch& epoch, Lsn keep_from, const LogOptions& options,
                                           Poison& poison, Lsn keep_to = kNoLsn);
  ~Log();  ///< joins its threads; does not flush

  /// Position at which the next record could start at the earliest. Monotone.
  Lsn end() const noexcept;
  /// Everything below is on disk and synced. Monotone.
  Lsn durable() const noexcept;
  /// Every record below is in the buffer (contiguous filled prefix). Monotone.
  Lsn filled() const noexcept;
  /// Until filled() >= lsn, which is at most end(): only copies are under way. The caller holds no latch.
  void wait_until_filled(Lsn lsn) noexcept;

  struct Appended {
    Lsn address;  ///< of the record's first byte
    Lsn lsn;      ///< just after its last byte
  };
  /// Appends one finished record. `on_reserved(appended)` runs after the position is assigned and before the
  /// record counts as filled; it must be short, take no lock, and wait for nobody. May wait for room in the buffer (the
  /// flusher takes no page latch), for nothing else. Space on disk must have been reserved before.
  Appended append(Bytes record, FunctionRef<void(const Appended&)> on_reserved);
  Appended append(Bytes record);

  /// Waits until durable() >= lsn, flushing itself when nobody does. The caller holds no latch.
  Status flush(Lsn lsn);
  /// Flushes everything appended so far, for who has reserved no block for the padding of a flush: kNoSpace when the
  /// log has room for those only who have. The caller holds no latch.
  Status flush_all();
  /// Asks the flusher thread to flush soon; returns at once.
  void request_flush() noexcept;

  /// Disk space for `bytes` of records yet to come, found now (segments are preallocated and pre-written) so
  /// that append cannot run out of it: kNoSpace and nothing changed. Holds until unreserve(). The caller
  /// holds no latch.
  Status reserve(std::uint64_t bytes);
  void unreserve(std::uint64_t bytes) noexcept;
  /// The same for a few bytes that the calling thread gives back soon (wal/brief_space.h): where they are counted.
  /// Null: reserve() them.
  BriefSpace::Counter* try_reserve_briefly(std::uint64_t bytes) noexcept;
  /// What is reserved now.
  std::uint64_t reserved() const noexcept;
  /// From now on there is a segment besides the one in use, so that on a full disk recycle() is enough for reserve() to
  /// succeed again. Asked before other files take disk space; kNoSpace: then they must not. The caller holds no latch.
  Status prepare_spare();
  /// From now on reserve() answers kReadOnly. No change of the database gets past that.
  void refuse_changes() noexcept;

  /// Segments that lie wholly below `below` may be reused from now on.
  Status recycle(Lsn below);
  /// Whether there are any.
  bool can_recycle(Lsn below) const;

  /// Reads one record that was appended since open or lies at or above keep_from of this epoch, for
  /// rollback. Flushes up to its end when it must. `record` gets the whole record, header included.
  Status read(Lsn address, std::vector<std::byte>& record);

  const LogEpoch& epoch() const noexcept;
  std::size_t segment_bytes() const noexcept;

 private:
  class Impl;
  explicit Log(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vaultgres
