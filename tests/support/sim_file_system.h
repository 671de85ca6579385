// A file system in memory for tests: records what is done to it, fails on demand, and rebuilds what a kill
// or a power cut would have left (power_cut.h says what that may be).
//
//   SimFileSystem disk;
//   … run the engine on `disk`; call disk.mark("committed 7") whenever something was acknowledged …
//   for (std::size_t at = 0; at <= disk.position(); ++at) {
//     auto after = disk.power_cut(at, PowerCut::kTorn, seed);
//     … open the database on *after; every mark in disk.marks(at) must be there …
//   }
//
// Thread-safe; every operation is atomic with regard to every other. Must outlive the files opened on it.
// Paths: relative ones begin in an existing empty directory, absolute ones in another; ".." is not known.
#pragma once

#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "io/file.h"
#include "support/power_cut.h"
#include "support/sim_image.h"

namespace vaultgres {

enum class IoCall : std::uint8_t {
  kOpen,
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kAllocate,
  kRename,
  kRemove,
  kDirectorySync,
  kMakeDirectory,
  kList,
  kExists,
  kSize,
  kLock,
};
inline constexpr IoCall kIoCalls[] = {IoCall::kOpen,          IoCall::kRead,          IoCall::kWrite,  IoCall::kSync,
                                      IoCall::kTruncate,      IoCall::kAllocate,      IoCall::kRename, IoCall::kRemove,
                                      IoCall::kDirectorySync, IoCall::kMakeDirectory, IoCall::kList,   IoCall::kExists,
                                      IoCall::kSize,          IoCall::kLock};
const char* io_call_name(IoCall call) noexcept;

/// What goes wrong with a call. With os_error 0 a transfer is only made shorter.
struct IoFault {
  static constexpr std::size_t kNoLimit = SIZE_MAX;

  IoCall call = IoCall::kWrite;
  std::uint64_t at = 1;                     ///< the at-th matching call from now on
  int os_error = 0;                         ///< e.g. EIO, ENOSPC, EINTR
  bool sticky = false;                      ///< every matching call from then on
  std::size_t transfer_at_most = kNoLimit;  ///< bytes moved by a read or write; 0: it says "nothing moved"
  std::string path_contains = {};           ///< only calls whose path contains this
  /// Of a sync that fails: a random half of the writes that it was to make durable have become so, by this seed; 0:
  /// none of them. Those others never will.
  std::uint64_t kept_seed = 0;
  /// Of a write or a sync that fails: it says that it has not. The negative control of a test of failing calls.
  bool lies = false;
};

/// Told of every operation that is about to take effect (not of calls that fail, nor of ignored syncs).
/// Called with the file system locked: must not call it. The order of calls is the order of effects.
class SimObserver {
 public:
  virtual ~SimObserver() = default;
  virtual void on_write(const std::string& /*path*/, std::uint64_t /*offset*/, Bytes /*bytes*/) {}
  virtual void on_sync(const std::string& /*path*/) {}
  virtual void on_truncate(const std::string& /*path*/, std::uint64_t /*size*/) {}
  virtual void on_allocate(const std::string& /*path*/, std::uint64_t /*offset*/, std::uint64_t /*length*/) {}
  virtual void on_create(const std::string& /*path*/) {}
  virtual void on_make_directory(const std::string& /*path*/) {}
  virtual void on_rename(const std::string& /*from*/, const std::string& /*to*/) {}
  virtual void on_remove(const std::string& /*path*/) {}
  virtual void on_sync_directory(const std::string& /*path*/) {}
};

class SimFileSystem final : public FileSystem {
 public:
  SimFileSystem() = default;
  SimFileSystem(const SimFileSystem&) = delete;
  SimFileSystem& operator=(const SimFileSystem&) = delete;

  // --- the trace ---

  /// Notes an acknowledgement; the trace position after it.
  std::size_t mark(std::string text);
  /// The number of entries in the trace: power may be cut before each of them, and after the last.
  std::size_t position() const;
  SimTrace trace() const;
  /// The marks among the first `position` entries.
  std::vector<std::string> marks(std::size_t position) const;
  /// Everything that is there becomes durable, and the trace starts anew.
  void settle();

  // --- after a crash ---

  /// The disk after a power cut that followed the first `position` entries, with nothing unsynced on it.
  /// Ascending positions are cheap: the replay goes on where it was.
  std::unique_ptr<SimFileSystem> power_cut(std::size_t position, PowerCut mode, std::uint64_t seed);
  /// How many unsynced operations there are at the position: what seeds of PowerCut choose among.
  std::size_t unsynced(std::size_t position);
  /// The machine after the process was killed there: reads see everything, what was not synced still is not
  /// (a later power cut may lose it), locks are free.
  std::unique_ptr<SimFileSystem> killed(std::size_t position) const;
  std::unique_ptr<SimFileSystem> killed() const { return killed(position()); }

  // --- trouble ---

  void inject(IoFault fault);
  void clear_faults();
  /// How often an injected fault has hit so far.
  std::uint64_t faults_hit() const;
  /// Calls of that kind so far, failed ones included.
  std::uint64_t calls(IoCall call) const;
  /// Files may hold this many bytes in total (in units of 4 KiB); growing further gives `os_error`.
  void limit_space(std::optional<std::uint64_t> bytes, int os_error = ENOSPC);
  std::uint64_t used_bytes() const;
  /// From now on syncs (kSync or kDirectorySync) of paths that contain this say "done" and do nothing: the
  /// negative control of a crash test.
  void ignore_syncs(IoCall kind, std::string path_contains = "");
  /// Transfers must be aligned to this many bytes (buffer, offset, length), else EINVAL; 1: anything goes.
  void require_alignment(std::size_t bytes);
  void set_observer(SimObserver* observer);

 protected:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override;
  int raw_rename(const std::string& from, const std::string& to) override;
  int raw_remove(const std::string& path) override;
  int raw_make_directory(const std::string& path) override;
  int raw_sync_directory(const std::string& path) override;
  int raw_exists(const std::string& path, bool* exists) override;
  int raw_list(const std::string& path, std::vector<std::string>* names) override;

 private:
  friend class SimFile;

  /// A file that has a name or is open.
  struct Node {
    std::string path;
    std::size_t open_count = 0;
    unsigned sharers = 0;  ///< handles that share its lock …
    bool locked = false;   ///< … or one has it for itself
    bool linked = true;
  };
  struct ArmedFault {
    IoFault fault;
    std::uint64_t seen = 0;
  };
  /// A place for a name: its directory, which exists, and the last part of the path.
  struct Place {
    InodeId directory = kNoInode;
    InodeId inode = kNoInode;  ///< what is there, or kNoInode
    std::string name;
    std::string path;  ///< in its shortest form
  };

  explicit SimFileSystem(SimImage image);

  int find(const std::string& path, Place* place) const;
  /// What faults make of one call.
  struct FaultHit {
    int os_error = 0;
    std::size_t transfer_at_most = IoFault::kNoLimit;
    std::uint64_t kept_seed = 0;
    bool lies = false;
  };
  FaultHit hit(IoCall call, const std::string& path);  ///< counts the call
  int fault(IoCall call, const std::string& path) { return hit(call, path).os_error; }
  bool sync_is_ignored(IoCall kind, const std::string& path) const;
  void record(SimTraceEntry entry);
  int record_failure(SimTraceEntry entry, int os_error);
  bool has_room(InodeId inode, std::uint64_t new_size) const;
  std::uint64_t used_bytes_locked() const;
  void unlink(InodeId inode);
  void move_paths(const std::string& from, const std::string& to);
  void close(InodeId inode, std::optional<LockMode> held);

  // One call each on an open file; SimFile forwards.
  IoAttempt read(InodeId inode, std::uint64_t offset, MutableBytes into);
  IoAttempt write(InodeId inode, std::uint64_t offset, Bytes from);
  int sync(InodeId inode);
  int truncate(InodeId inode, std::uint64_t size);
  int allocate(InodeId inode, std::uint64_t offset, std::uint64_t length);
  int size(InodeId inode, std::uint64_t* bytes);
  int lock(InodeId inode, LockMode mode, std::optional<LockMode>* held);

  mutable std::mutex mutex_;  // guards everything down to observer_
  SimImage base_;             // durable before the trace
  SimImage live_;             // what reads see
  SimTrace trace_;
  std::map<InodeId, Node> nodes_;
  InodeId next_inode_ = kRootDirectory + 1;
  std::vector<ArmedFault> faults_;
  std::uint64_t faults_hit_ = 0;
  std::array<std::uint64_t, std::size(kIoCalls)> calls_{};
  std::optional<std::uint64_t> space_limit_;
  int no_space_ = ENOSPC;
  std::vector<std::pair<IoCall, std::string>> ignored_syncs_;
  std::size_t alignment_ = 1;
  SimObserver* observer_ = nullptr;

  std::mutex replay_mutex_;  // taken before mutex_; guards replay_
  std::optional<PowerCutReplay> replay_;
  PowerCutReplay& replay_at(std::size_t position);
};

}  // namespace vaultgres
