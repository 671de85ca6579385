#include "cli/data_file.h"

#include <algorithm>

#include "base/try.h"
#include "format/superblock.h"

namespace vaultgres::cli {

namespace {

constexpr int kReadAttempts = 3;

bool checksum_right(const DatabaseId& database, PageId id, Bytes page) noexcept {
  return page_header(page).checksum.get() == page_checksum(database, id, page);
}

}  // namespace

Result<DataFile> DataFile::open(const std::string& directory) {
  const std::string path = directory + "/data.vg";
  FileSystem& files = posix_file_system();
  VG_ASSIGN(const bool there, files.exists(path));
  if (!there) return Error(ErrorCode::kNotFound, "there is no database in " + directory + ": no file " + path);
  VG_ASSIGN(std::unique_ptr<File> file, files.open(path, OpenMode::kReadOnly));
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPageBytes));
  DataFile data(std::move(file), std::move(buffer));
  VG_ASSIGN(const std::uint64_t bytes, data.file_->size());
  data.page_count_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes / kPageBytes, raw(kNoPage)));
  VG_TRY(data.find_superblock());
  return data;
}

Status DataFile::find_superblock() {
  std::uint64_t newest = 0;
  for (const PageId id : kSuperblockPages) {
    if (raw(id) >= page_count_) return {};
    VG_ASSIGN(const Bytes page, read(id));
    const auto& block = *reinterpret_cast<const Superblock*>(page.data());
    if (block.magic.get() != kSuperblockMagic || !checksum_right(block.database, id, page)) continue;
    if (current_ && block.sequence.get() <= newest) continue;
    newest = block.sequence.get();
    database_ = block.database;
    current_ = id;
  }
  return {};
}

Result<Bytes> DataFile::read(PageId id) {
  const MutableBytes page = buffer_.span().first(kPageBytes);
  for (int attempt = 1;; ++attempt) {
    VG_TRY(file_->read(std::uint64_t{raw(id)} * kPageBytes, page));
    if (attempt == kReadAttempts || !database_ || checksum_right(*database_, id, page)) return Bytes(page);
  }
}

}  // namespace vaultgres::cli
