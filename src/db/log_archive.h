// Copies each finished segment of the log into the archive, before it may be recycled.
//
// A segment is finished when the log is durable beyond it, when its epoch is over, or when the database is closed. Its
// copy is written under another name, synced, renamed, and the directory synced; only then the log may let go of it
// (held()). So a crash at any point leaves a copy that is whole, or none, and the segment where it was. What an epoch
// that is over has left in the log's directory is found by its own records, from the newest back to the last that is in
// the archive: nothing else has to be remembered.
//
// An archive that fails is said through `say`, tried again, and holds the log back: disk usage grows, nothing is lost.
// Nobody waits for more than a segment of it, and nobody holds a lock while something is copied or said.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "db/archive_files.h"
#include "io/file.h"
#include "recovery/superblock_store.h"

namespace vaultgres::internal {

#ifdef VG_TEST_HOOKS
/// How long finish() goes on copying, and how long who needs the log's space waits for a segment.
inline std::atomic<std::chrono::milliseconds> archive_close_wait{std::chrono::seconds(5)};
inline std::atomic<std::chrono::milliseconds> archive_segment_wait{std::chrono::seconds(2)};
#endif

class LogArchive {
 public:
  struct Places {
    FileSystem* files;
    std::string log_directory;
    FileSystem* archive_files;
    std::string archive_directory;  ///< empty: nobody knows it now, and nothing is copied; the log is held all the same
  };
  LogArchive(Places places, const DatabaseId& database, std::size_t segment_bytes,
             std::function<void(const std::string&)> say);
  ~LogArchive();  ///< stops the thread
  LogArchive(const LogArchive&) = delete;
  LogArchive& operator=(const LogArchive&) = delete;

  /// Before anything of the log is removed: what `newest`, the last epoch that is over, and those before it have left.
  /// An error: the log cannot be looked at, and must stay as it is.
  Status find_old(const SuperblockState::Epoch& newest);
  /// The log goes on in this epoch, and is held from its begin on. Starts the thread, which copies what is old.
  void start(const LogEpoch& epoch);
  /// The superblock leads to the epoch, whatever happens from now on, and it is copied as well; `durable` says how far
  /// it is. Not before: one that the next open replaces would look like another timeline.
  void follow(std::function<Lsn()> durable);
  /// The log is needed from here on; what lies above all positions: none of it.
  Lsn held() const noexcept { return Lsn{held_.load(std::memory_order_acquire)}; }
  /// For who needs the log's space: whether a segment is copied within a moment. False at once while one takes long,
  /// and while a failure is said, which is done by the thread that copies.
  bool wait_for_segment();
  /// The log ends here, and nothing is appended any more: copies the rest, as much as a few seconds allow. Ends the
  /// thread.
  void finish(Lsn end);

 private:
  /// What is to be copied.
  struct Item {
    ArchivedSegment name;
    std::uint64_t begin;
    std::uint64_t end;
  };
  using Clock = std::chrono::steady_clock;
  void stop();
  void run();
  enum class Round : std::uint8_t { kCopied, kNothingToDo, kFailed };
  Round round(std::string& line) noexcept;
  Result<bool> copy_next();
  Status copy(const Item& item);
  Status make_directory();
  std::uint64_t durable() const;
  Item item_of(const SuperblockState::Epoch& epoch, std::uint64_t segment, std::uint64_t end) const;
  void set_held() noexcept;

  const Places places_;
  const DatabaseId database_;
  const std::uint64_t segment_bytes_;
  const std::function<void(const std::string&)> say_;

  // Of the thread while it runs; before and after, of who starts and ends it.
  std::deque<Item> old_;   ///< of epochs that are over, ascending
  bool all_held_ = false;  ///< damage hides what lies before the first of old_
  LogEpoch epoch_;
  std::uint64_t next_ = UINT64_MAX;  ///< begin of the next segment of epoch_; none before start()
  std::string said_;                 ///< the last failure; not said again
  std::thread thread_;

  std::atomic<std::uint64_t> held_{UINT64_MAX};
  mutable std::mutex mutex_;  ///< the members below
  std::function<Lsn()> durable_;
  std::condition_variable wake_;
  std::condition_variable round_ended_;
  bool stopping_ = false;
  bool hurry_ = false;       ///< somebody waits
  bool in_round_ = false;    ///< the thread is about to copy a segment …
  Clock::time_point begun_;  ///< … since then
  bool saying_ = false;      ///< the thread tells of a failure
  std::uint64_t rounds_ = 0;
};

}  // namespace vaultgres::internal
