// Reads log blocks from segment files, many at a time. Knows nothing of what is in them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/aligned_buffer.h"
#include "base/types.h"
#include "io/file.h"

namespace vaultgres {

/// One thread at a time.
class SegmentReader {
 public:
  static Result<SegmentReader> make(FileSystem& files, std::string directory, std::size_t segment_bytes);

  /// The block at `position`, a block boundary; shorter than a block when the file is missing or ends before. Valid
  /// until the next call.
  Result<Bytes> block(std::uint64_t position);
  /// Counts reads from disk: while it stays, every block that was returned is still the same.
  std::uint64_t loads() const noexcept { return loads_; }
  /// What was read is forgotten: the next block() sees the files as they are.
  void forget() noexcept;

  std::string path_of(std::uint64_t position) const;

 private:
  SegmentReader(FileSystem& files, std::string directory, std::size_t segment_bytes, AlignedBuffer buffer)
      : files_(&files), directory_(std::move(directory)), segment_bytes_(segment_bytes), buffer_(std::move(buffer)) {}
  Status load(std::uint64_t position);
  Status open(std::uint64_t number);

  FileSystem* files_;
  std::string directory_;
  std::size_t segment_bytes_;
  AlignedBuffer buffer_;

  static constexpr std::uint64_t kNone = UINT64_MAX;
  std::uint64_t open_number_ = kNone;  // the segment of file_; a null file_: it does not exist
  std::unique_ptr<File> file_;
  std::uint64_t loaded_at_ = kNone;  // position of the buffer's first byte
  std::size_t loaded_bytes_ = 0;
  std::uint64_t loads_ = 0;
};

}  // namespace vaultgres
