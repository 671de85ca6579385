// Files behind one small interface: the engine does all its I/O through it, so that the tests can
// inject faults, record every write and replay power cuts. Nothing else in src/ calls the system's
// file functions (scripts/check looks).
//
// Two levels. RawFile and the virtual calls of FileSystem make one attempt each, as a system call does:
// they may be interrupted (EINTR) or transfer less than asked. File (final, not virtual) continues them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// Direct I/O needs buffers, offsets and lengths that are multiples of this many bytes.
inline constexpr std::size_t kIoAlignment = 4096;

/// One attempt: bytes transferred (0 at end of file for a read), or errno.
struct IoAttempt {
  std::size_t bytes = 0;
  int os_error = 0;
};

/// Any number of holders share a file, or one has it for itself.
enum class LockMode : std::uint8_t { kShared, kExclusive };

/// What one open file can do. All calls may be made by several threads at once.
class RawFile {
 public:
  virtual ~RawFile() = default;
  virtual IoAttempt read(std::uint64_t offset, MutableBytes into) = 0;
  virtual IoAttempt write(std::uint64_t offset, Bytes from) = 0;
  virtual int sync() = 0;                                                ///< fdatasync; errno or 0
  virtual int truncate(std::uint64_t size) = 0;                          ///< errno or 0
  virtual int allocate(std::uint64_t offset, std::uint64_t length) = 0;  ///< grow, zero-filled; errno or 0
  virtual int size(std::uint64_t* bytes) = 0;                            ///< errno or 0
  /// Without waiting, dropped by the kernel with the process; errno or 0, EWOULDBLOCK when others hold it.
  virtual int lock(LockMode mode) = 0;
};

/// An open file. Owned by whoever opened it; thread-safe. Errors carry the path and the offset.
class File {
 public:
  File(std::string path, std::unique_ptr<RawFile> raw) : path_(std::move(path)), raw_(std::move(raw)) {}

  /// Fills all of `into` or fails; kCorruption ("file ends at …") when the file ends before.
  Status read(std::uint64_t offset, MutableBytes into);
  /// Reads up to the end of the file; the number of bytes read.
  Result<std::size_t> read_up_to(std::uint64_t offset, MutableBytes into);
  /// Writes all of `from` or fails. kNoSpace for ENOSPC, EDQUOT and EFBIG, else kIo.
  Status write(std::uint64_t offset, Bytes from);
  /// After an error the unsynced writes may be lost although reads still see them: never call again, poison.
  Status sync();
  Status truncate(std::uint64_t size);
  /// Makes the file at least offset + length long with zeros that are allocated on disk.
  Status allocate(std::uint64_t offset, std::uint64_t length);
  Result<std::uint64_t> size();
  /// kLocked when another process, or another handle of this process, holds it (shared: holds it exclusively).
  /// Holds until the file is closed. The holder may ask again for what it has, not for the other.
  Status lock(LockMode mode = LockMode::kExclusive);

  const std::string& path() const noexcept { return path_; }
  /// It was given another name, by which errors call it from now on. While nobody else uses it.
  void renamed(std::string path) noexcept { path_ = std::move(path); }

 private:
  std::string path_;
  std::unique_ptr<RawFile> raw_;
};

enum class OpenMode : std::uint8_t { kReadOnly, kReadWrite, kCreate /* read-write, must not exist */ };

/// Directories and names. Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Direct I/O where the file system can; falls back to buffered I/O where it cannot (EINVAL). Never
  /// returns descriptors 0 to 2; close-on-exec.
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode);
  Status rename(const std::string& from, const std::string& to);  ///< replaces `to`
  Status remove(const std::string& path);
  Status make_directory(const std::string& path);
  /// Makes creations, renames and removals inside `path` durable.
  Status sync_directory(const std::string& path);
  Result<bool> exists(const std::string& path);
  Result<std::vector<std::string>> list(const std::string& path);  ///< names, sorted, without . and ..

 protected:
  // One attempt each, errno or 0.
  virtual int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) = 0;
  virtual int raw_rename(const std::string& from, const std::string& to) = 0;
  virtual int raw_remove(const std::string& path) = 0;
  virtual int raw_make_directory(const std::string& path) = 0;
  virtual int raw_sync_directory(const std::string& path) = 0;
  virtual int raw_exists(const std::string& path, bool* exists) = 0;
  virtual int raw_list(const std::string& path, std::vector<std::string>* names) = 0;
};

/// The machine's own file system. Lives for ever.
FileSystem& posix_file_system();

}  // namespace vaultgres
