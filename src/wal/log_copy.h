// Copies checked blocks of log segments: for backups, for the archive, and back.
#pragma once

#include <string>

#include "base/aligned_buffer.h"
#include "io/file.h"
#include "wal/block.h"

namespace vaultgres {

/// Blocks of one segment, all of one epoch.
struct SegmentRange {
  std::uint64_t begin;  ///< position; a block boundary
  std::uint64_t end;    ///< the same, within the segment or at its end
  std::size_t segment_bytes;
  std::uint64_t number() const noexcept { return begin / segment_bytes; }
};

/// Copies the blocks into the new file `to`, where they stand at the same offsets as in `from`, and syncs it. The name
/// is not durable yet. Every block is checked: kCorruption names the one that is not what it should be. `newest_time`
/// becomes that of the last block.
Status copy_log_blocks(FileSystem& from_files, const std::string& from, FileSystem& to_files, const std::string& to,
                       const SegmentRange& range, const BlockSeal& seal, std::uint64_t* newest_time = nullptr);

}  // namespace vaultgres
