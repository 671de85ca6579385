// What every operation works with: the open database below the public API.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "base/poison.h"
#include "btree/tree.h"
#include "buffer/buffer_pool.h"
#include "format/superblock.h"
#include "heap/heap.h"
#include "space/page_allocator.h"
#include "txn/snapshots.h"
#include "txn/version_table.h"
#include "wal/log.h"

namespace vaultgres {

/// Which commits a reader is shown, and when a commit is acknowledged.
enum class CommitMode : std::uint8_t {
  kDurable,  ///< readers see what a crash cannot take back; commits wait for the disk
  kRelaxed,  ///< readers see every commit; a crash may lose the newest ones, in order
};

/// References to the parts of one open database. All parts outlive it.
struct Engine {
  BufferPool& pool;
  Log& log;
  PageAllocator& space;
  VersionTable& versions;
  SnapshotRegistry& snapshots;
  Poison& poison;
  TreeContext trees;
  HeapContext heaps;
  CommitMode mode = CommitMode::kDurable;
  std::chrono::milliseconds lock_timeout{5000};
  /// Finds a tree by its object id, also of objects that are being dropped; empty when there is none.
  std::function<std::optional<Tree>(ObjectId)> find_tree;
  /// The same for the rows of a table.
  std::function<std::optional<Heap>(ObjectId)> find_heap;
  /// Reads a log record by its address, of this epoch or of an older one.
  std::function<Status(Lsn address, std::vector<std::byte>& record)> read_record;
  /// Something was left for the collector.
  std::function<void()> wake_collector;
  /// A reader has met a deleted row (its key: the TID) or entry that the version table knows nothing of: a crash has
  /// taken the collector's note of it, say. Never waits, never throws.
  std::function<void(ObjectId, Bytes key)> found_ghost;

  Tree retired() const noexcept { return Tree(trees, kRetiredObject, kRetiredRootPage); }
};

}  // namespace vaultgres
