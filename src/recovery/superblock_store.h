// The two superblocks: loading the newer valid one, writing the older one.
//
// A crash while one is written leaves the other. Recovery writes the newest again and syncs it before it
// touches the other: what it read may have come from the page cache and not be on disk.
#pragma once

#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "format/superblock.h"
#include "io/file.h"
#include "wal/log.h"

namespace vaultgres {

/// The superblock in memory.
struct SuperblockState {
  DatabaseId database;
  std::uint64_t sequence = 0;
  Lsn durable{0};     ///< everything below was durable when it was written
  Lsn checkpoint{0};  ///< address of the checkpoint record; 0: the database was never finished
  Lsn redo_start{0};
  TxnId next_txn{1};
  ObjectId next_object = kFirstUserObject;
  std::uint32_t segment_bytes = 0;
  struct Epoch {
    std::uint64_t number = 0;
    std::uint64_t salt = 0;
    Lsn first{0};
    Lsn end{0};  ///< 0: the current one
  };
  std::vector<Epoch> epochs;  ///< oldest first; the last is the current one
};

/// Not thread-safe: its owner serialises checkpoints.
class SuperblockStore {
 public:
  /// kUnsupported for another format version or page size, kCorruption when neither copy is good.
  static Result<SuperblockStore> load(File& data);
  /// For a new database.
  static Result<SuperblockStore> create(File& data, const SuperblockState& first);

  const SuperblockState& current() const noexcept { return state_; }
  /// Writes the newest copy again, in its place, and syncs it.
  Status rewrite();
  /// Writes `next`, with the next sequence, over the older copy and syncs it; then it is current.
  Status write(SuperblockState next);

 private:
  SuperblockStore(File& data, AlignedBuffer page) : data_(&data), page_(std::move(page)) {}
  Status write_page(const SuperblockState& state);

  File* data_;
  AlignedBuffer page_;
  SuperblockState state_;
};

}  // namespace vaultgres
