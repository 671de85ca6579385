#include "wal/log_copy.h"

#include <algorithm>

#include "base/try.h"

namespace vaultgres {

namespace {

constexpr std::size_t kCopyBytes = std::size_t{256} << 10;

Error damaged(const std::string& path, std::uint64_t position, std::size_t offset, const char* fault) {
  return Error(ErrorCode::kCorruption, path + ": offset " + std::to_string(offset) + " (log position " +
                                           std::to_string(position) + "): the log block cannot be used: " + fault);
}

}  // namespace

Status copy_log_blocks(FileSystem& from_files, const std::string& from, FileSystem& to_files, const std::string& to,
                       const SegmentRange& range, const BlockSeal& seal, std::uint64_t* newest_time) {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(std::min(kCopyBytes, range.segment_bytes)));
  VG_ASSIGN(const std::unique_ptr<File> source, from_files.open(from, OpenMode::kReadOnly));
  VG_ASSIGN(const std::unique_ptr<File> copy, to_files.open(to, OpenMode::kCreate));
  for (std::uint64_t at = range.begin; at < range.end;) {
    const std::size_t offset = at % range.segment_bytes;
    const MutableBytes part = buffer.span().first(std::min<std::uint64_t>(range.end - at, buffer.size()));
    VG_ASSIGN(const std::size_t bytes, source->read_up_to(offset, part));
    for (std::size_t block = 0; block < part.size(); block += kLogBlockBytes) {
      const std::size_t there = std::min(kLogBlockBytes, bytes - std::min(bytes, block));
      if (const char* fault = seal.fault(part.subspan(block, there), at + block)) {
        return damaged(from, at + block, offset + block, fault);
      }
    }
    if (newest_time != nullptr) {
      *newest_time = log_block_header(part.last(kLogBlockBytes)).time.get();
    }
    VG_TRY(copy->write(offset, part));
    at += part.size();
  }
  return copy->sync();
}

}  // namespace vaultgres
