#include "cli/input_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/try.h"
#include "io/io_error.h"

namespace vaultgres::cli {

namespace {
constexpr std::size_t kChunkBytes = 256 * 1024;
}  // namespace

Result<InputFile> InputFile::open(const std::string& path) {
  const bool standard = path == "-";
  std::FILE* const stream = standard ? stdin : std::fopen(path.c_str(), "rbe");
  if (stream == nullptr) return io_error(path, "open", errno);
  InputFile file(stream, standard ? "standard input" : path);
  VG_TRY(file.look());
  return file;
}

Status InputFile::look() {
  struct stat about {};
  if (::fstat(::fileno(stream_.get()), &about) != 0) return io_error(name_, "stat", errno);
  if (S_ISDIR(about.st_mode)) return Error(ErrorCode::kInvalidArgument, name_ + " is a directory, not a file");
  std::setvbuf(stream_.get(), nullptr, _IONBF, 0);  // the chunk is the buffer
  chunk_.resize(kChunkBytes);
  if (!S_ISREG(about.st_mode)) return {};
  start_ = ::ftello(stream_.get());
  if (start_ < 0) return io_error(name_, "seek", errno);
  bytes_ = static_cast<std::uint64_t>(std::max<std::int64_t>(about.st_size - start_, 0));
  return {};
}

Result<std::string_view> InputFile::next_chunk() {
  const std::size_t got = std::fread(chunk_.data(), 1, chunk_.size(), stream_.get());
  if (std::ferror(stream_.get()) != 0) return io_error(name_, "read", errno);
  return std::string_view(chunk_.data(), got);
}

Status InputFile::rewind() {
  if (::fseeko(stream_.get(), start_, SEEK_SET) != 0) return io_error(name_, "seek", errno);
  return {};
}

}  // namespace vaultgres::cli
