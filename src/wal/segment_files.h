// The segment files of the running log: preparing, writing, syncing, recycling.
//
// README.md, "Segments". All calls are thread-safe. Locks: prepare_mutex_ before map_mutex_.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/function_ref.h"
#include "base/poison.h"
#include "base/types.h"
#include "io/file.h"

namespace vaultgres {

class SegmentFiles {
 public:
  SegmentFiles(FileSystem& files, std::string directory, std::size_t segment_bytes, Poison& poison) noexcept
      : files_(files), directory_(std::move(directory)), segment_bytes_(segment_bytes), poison_(poison) {}

  /// Removes the files that hold nothing of [keep_from, keep_to), the log from before that is still needed, and
  /// prepares the segment of `first`, where the log goes on.
  Status open(std::uint64_t first, std::uint64_t keep_from, std::uint64_t keep_to);

  std::size_t segment_bytes() const noexcept { return segment_bytes_; }
  /// Everything below is prepared: a block in it can be relied on once it is written and synced.
  std::uint64_t prepared_end() const noexcept { return prepared_end_.load(std::memory_order_seq_cst); }

  /// Prepares segments until `enough()`. kNoSpace: the disk is full; those made by this call are removed again
  /// unless somebody else needs them (`enough_without()` is asked after prepared_end() went down). Failed writes and
  /// syncs poison.
  Status prepare(FunctionRef<bool()> enough, FunctionRef<bool()> enough_without);
  /// Until prepared_end() >= position.
  Status prepare_up_to(std::uint64_t position);
  /// Two segments of this log exist from now on, in use or waiting for it: README.md, "A full disk". kNoSpace: there is
  /// no room for the second.
  Status prepare_spare();

  /// Blocks of prepared segments, across segment boundaries.
  Status write(std::uint64_t position, Bytes bytes);
  /// Syncs the segments that overlap [from, to).
  Status sync(std::uint64_t from, std::uint64_t to);
  /// One block. kCorruption or kNotFound when the file ends before or is missing.
  Status read(std::uint64_t position, MutableBytes block);
  /// The files wholly below `position` are not written any more: closes them.
  void finish(std::uint64_t position) noexcept;
  /// The segments wholly below `below` are kept for reuse, or removed.
  Status recycle(std::uint64_t below);
  /// Whether there are any.
  bool can_recycle(std::uint64_t below);

  std::string path(std::uint64_t number) const;

 private:
  using FilePointer = std::shared_ptr<File>;

  Status prepare_next();
  Result<FilePointer> reuse(std::uint64_t number);
  Result<FilePointer> create(std::uint64_t number);
  Status fill(File& file, Bytes zeros);
  bool give_back_last(FunctionRef<bool()> enough_without, std::size_t waiting);
  FilePointer find(std::uint64_t number);
  /// A failure that is not a lack of space makes the state of the disk unknown.
  Status poisoning(Status status);

  FileSystem& files_;
  const std::string directory_;
  const std::size_t segment_bytes_;
  Poison& poison_;
  std::atomic<std::uint64_t> prepared_end_{0};  // changes under prepare_mutex_

  std::mutex prepare_mutex_;         // held while segments are made, renamed and removed
  std::vector<std::uint64_t> free_;  // files that wait for reuse, all made since open
  std::uint64_t first_ = 0;          // number of the first segment made since open
  std::atomic<bool> has_spare_{false};

  std::mutex map_mutex_;                           // never held during I/O
  std::map<std::uint64_t, FilePointer> segments_;  // by number; null: closed
};

}  // namespace vaultgres
