#include "db/backup_files.h"

#include <cstring>

#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/try.h"
#include "wal/block.h"

namespace vaultgres::internal {

namespace {

std::uint32_t header_checksum(const BackupHeader& header, Bytes block) {
  constexpr std::size_t kAt = offsetof(BackupHeader, checksum);
  const std::uint32_t seeded = crc32c(0xFFFFFFFFu, header.database.bytes);
  return crc32c(crc32c(seeded, block.first(kAt)), block.subspan(kAt + sizeof header.checksum));
}

Error no_backup(const std::string& directory, const std::string& why) {
  return Error(ErrorCode::kInvalidArgument, directory + " is no backup: " + why);
}

}  // namespace

Status write_backup_header(FileSystem& files, const std::string& directory, BackupHeader header) {
  VG_ASSIGN(AlignedBuffer block, AlignedBuffer::make(kBackupHeaderBytes));
  header.magic.set(kBackupMagic);
  std::memcpy(block.data(), &header, sizeof header);
  header.checksum.set(header_checksum(header, block.span()));
  std::memcpy(block.data(), &header, sizeof header);
  const std::string path = directory + "/" + kBackupName;
  {
    VG_ASSIGN(const std::unique_ptr<File> file, files.open(path + ".new", OpenMode::kCreate));
    VG_TRY(file->write(0, block.span()));
    VG_TRY(file->sync());
  }
  VG_TRY(files.rename(path + ".new", path));
  return files.sync_directory(directory);
}

Result<BackupHeader> read_backup_header(FileSystem& files, const std::string& directory) {
  const std::string path = directory + "/" + kBackupName;
  auto opened = files.open(path, OpenMode::kReadOnly);
  if (!opened && opened.error().code() == ErrorCode::kNotFound) {
    VG_ASSIGN(const bool begun, files.exists(directory + "/" + kBackupPagesName));
    if (begun) return no_backup(directory, "it was not finished; remove it and make another");
    VG_ASSIGN(const bool there, files.exists(directory));
    return no_backup(directory, there ? std::string("it holds no ") + kBackupName : "there is no such directory");
  }
  if (!opened) return opened.error();
  VG_ASSIGN(AlignedBuffer block, AlignedBuffer::make(kBackupHeaderBytes));
  VG_ASSIGN(const std::size_t bytes, (*opened)->read_up_to(0, block.span()));
  BackupHeader header{};
  std::memcpy(&header, block.data(), sizeof header);
  if (bytes != kBackupHeaderBytes || header.checksum.get() != header_checksum(header, block.span())) {
    return Error(ErrorCode::kCorruption, path + " is damaged: its checksum is wrong; use another backup");
  }
  if (header.magic.get() != kBackupMagic) return no_backup(directory, path + " is of another kind");
  if (header.page_bytes.get() != kPageBytes) {
    return Error(ErrorCode::kUnsupported, directory + " has pages of " + std::to_string(header.page_bytes.get()) +
                                              " bytes; this program reads pages of " + std::to_string(kPageBytes));
  }
  const std::uint64_t from = header.log_from.get();
  const std::uint64_t to = header.log_to.get();
  if (from % kLogBlockBytes != 0 || to % kLogBlockBytes != 0 || from >= to || to >= kLogPositionMax) {
    return Error(ErrorCode::kCorruption, path + " says that its log goes from " + std::to_string(from) + " to " +
                                             std::to_string(to) + ", which cannot be");
  }
  return header;
}

Status make_new_directory(FileSystem& files, const std::string& directory) {
  VG_ASSIGN(const bool there, files.exists(directory));
  if (there) {
    return Error(ErrorCode::kAlreadyExists, directory + " is there already; give the name of a new directory");
  }
  const std::string parent = parent_directory(directory);
  VG_TRY(files.make_directory(directory));
  const Status synced = files.sync_directory(parent);
  return synced ? synced : Status(remove_again(files, directory, synced.error()));
}

namespace {

Status remove_directory(FileSystem& files, const std::string& directory) {
  VG_ASSIGN(const std::vector<std::string> names, files.list(directory));
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    VG_TRY(name == kLogName ? remove_directory(files, path) : files.remove(path));
  }
  return files.remove(directory);
}

}  // namespace

Error remove_again(FileSystem& files, const std::string& directory, const Error& why) {
  const Status removed = remove_directory(files, directory);
  if (removed) return why;
  return Error(why.code(),
               std::string(why.message()) + "; what was made of " + directory +
                   " is of no use and could not be removed (" + std::string(removed.error().message()) + ")",
               why.os_error());
}

Status CopySteps::add(std::uint64_t bytes) {
  done_ += bytes;
  if (!progress_ || progress_(done_, std::max(done_, total_))) return {};
  return Error(ErrorCode::kConflict, "ended because the caller asked for it; what was made is removed");
}

std::uint64_t now_us() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
}

std::chrono::system_clock::time_point time_of(std::uint64_t microseconds) {
  return std::chrono::system_clock::time_point(std::chrono::microseconds(static_cast<std::int64_t>(microseconds)));
}

}  // namespace vaultgres::internal
