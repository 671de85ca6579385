#include "cli/output_file.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"

namespace vaultgres::cli {

namespace {
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}
}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path) {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kBufferBytes));
  Result<std::unique_ptr<File>> file = posix_file_system().open(path, OpenMode::kCreate);
  if (!file && file.error().code() == ErrorCode::kAlreadyExists) {
    return Error(ErrorCode::kAlreadyExists, path + " is there already, and is not overwritten");
  }
  if (!file) return file.error();
  return OutputFile(*std::move(file), std::move(buffer));
}

OutputFile::~OutputFile() {
  // What is left of it is no use to anybody; if it stays, its reader notices.
  if (file_ != nullptr) static_cast<void>(posix_file_system().remove(file_->path()).has_value());
}

Status OutputFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), buffer_.size() - used_);
    std::memcpy(buffer_.data() + used_, bytes.data(), part);
    used_ += part;
    bytes.remove_prefix(part);
    if (used_ == buffer_.size()) VG_TRY(write_buffer());
  }
  return {};
}

/// All that is in the buffer, and zeros up to the end of the block.
Status OutputFile::write_buffer() {
  const std::size_t blocks = (used_ + kIoAlignment - 1) / kIoAlignment * kIoAlignment;
  std::memset(buffer_.data() + used_, 0, blocks - used_);
  VG_TRY(file_->write(written_, buffer_.span().first(blocks)));
  written_ += used_;
  used_ = 0;
  return {};
}

Status OutputFile::finish() {
  VG_TRY(write_buffer());
  VG_TRY(file_->truncate(written_));
  VG_TRY(file_->sync());
  VG_TRY(posix_file_system().sync_directory(directory_of(file_->path())));
  file_.reset();
  return {};
}

}  // namespace vaultgres::cli
