#include "wal/segment_reader.h"

#include <algorithm>

#include "base/try.h"
#include "wal/block.h"

namespace vaultgres {
namespace {

#ifdef VG_TEST_HOOKS
constexpr std::size_t kReadBytes = std::size_t{32} << 10;  // of logs that are short, opened often
#else
constexpr std::size_t kReadBytes = std::size_t{256} << 10;
#endif

}  // namespace

Result<SegmentReader> SegmentReader::make(FileSystem& files, std::string directory, std::size_t segment_bytes) {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(std::min(kReadBytes, segment_bytes)));
  return SegmentReader(files, std::move(directory), segment_bytes, std::move(buffer));
}

std::string SegmentReader::path_of(std::uint64_t position) const {
  return directory_ + "/" + segment_name(position / segment_bytes_);
}

Result<Bytes> SegmentReader::block(std::uint64_t position) {
  if (position < loaded_at_ || position - loaded_at_ >= buffer_.size()) VG_TRY(load(position));
  const std::size_t offset = position - loaded_at_;
  if (offset >= loaded_bytes_) return Bytes{};
  return Bytes(buffer_.span().subspan(offset, std::min(kLogBlockBytes, loaded_bytes_ - offset)));
}

/// The aligned stretch around `position`, so that walking backwards also finds most blocks loaded.
Status SegmentReader::load(std::uint64_t position) {
  VG_TRY(open(position / segment_bytes_));
  const std::size_t in_segment = position % segment_bytes_;
  const std::size_t offset = in_segment - in_segment % buffer_.size();
  loaded_at_ = kNone;
  ++loads_;
  std::size_t bytes = 0;
  if (file_ != nullptr) {
    const std::size_t wanted = std::min(buffer_.size(), segment_bytes_ - offset);
    VG_ASSIGN(bytes, file_->read_up_to(offset, buffer_.span().first(wanted)));
  }
  loaded_at_ = position - in_segment + offset;
  loaded_bytes_ = bytes;
  return {};
}

Status SegmentReader::open(std::uint64_t number) {
  if (number == open_number_) return {};
  open_number_ = kNone;
  file_.reset();
  auto opened = files_->open(directory_ + "/" + segment_name(number), OpenMode::kReadOnly);
  if (!opened && opened.error().code() != ErrorCode::kNotFound) return opened.error();
  if (opened) file_ = *std::move(opened);
  open_number_ = number;
  return {};
}

void SegmentReader::forget() noexcept {
  open_number_ = kNone;
  file_.reset();
  loaded_at_ = kNone;
  ++loads_;
}

}  // namespace vaultgres
