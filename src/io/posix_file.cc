// The machine's own file system: pread, pwrite, fdatasync, with direct I/O where it can be had.
//
// Descriptors. 0 to 2 are never used: a library that writes to "standard error" behind our back would
// otherwise write into the database.
//
// Direct I/O is switched on after opening, by fcntl: an open() with O_DIRECT that fails with EINVAL may
// have created the file already. It is switched off for good when the file system refuses an aligned
// transfer; a descriptor stays the same, and with it the lock.
//
// Lock. flock() belongs to the open file description: closing another descriptor of the same file does
// not drop it (fcntl() locks would be dropped), and the kernel drops it with the process. A shared one is had
// through a descriptor for reading as well. The registry makes a second handle of this process fail also where
// flock() is emulated per process (NFS).
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/aligned_buffer.h"
#include "io/file.h"

namespace vaultgres {
namespace {

static_assert(kIoBufferAlignment % kIoAlignment == 0);

/// Which files this process has locked, and how many handles share each: kAlone when one has it for itself. Never
/// destroyed: files may be closed by static destructors.
struct LockRegistry {
  std::mutex mutex;
  static constexpr int kAlone = -1;
  std::map<std::pair<dev_t, ino_t>, int> held;
};
LockRegistry& lock_registry() {
  static auto* const registry = new LockRegistry;
  return *registry;
}

bool is_aligned(std::uint64_t offset, const std::byte* memory, std::size_t bytes) noexcept {
  return (offset | reinterpret_cast<std::uintptr_t>(memory) | bytes) % kIoAlignment == 0;
}

int errno_unless_zero(int returned) noexcept {
  return returned == 0 ? 0 : errno;
}

IoAttempt attempt_of(ssize_t returned) noexcept {
  if (returned < 0) return {.bytes = 0, .os_error = errno};
  return {.bytes = static_cast<std::size_t>(returned), .os_error = 0};
}

/// open(), on a descriptor above 2; errno or 0.
int open_descriptor(const std::string& path, int flags, int* descriptor) {
  *descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (*descriptor < 0) return errno;
  if (*descriptor > STDERR_FILENO) return 0;
  const int low = std::exchange(*descriptor, ::fcntl(*descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  const int os_error = *descriptor < 0 ? errno : 0;
  ::close(low);
  return os_error;
}

class PosixFile final : public RawFile {
 public:
  explicit PosixFile(int descriptor) : descriptor_(descriptor) { direct_ = set_direct(true); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override;

  IoAttempt read(std::uint64_t offset, MutableBytes into) override;
  IoAttempt write(std::uint64_t offset, Bytes from) override;
  int sync() override { return errno_unless_zero(::fdatasync(descriptor_)); }
  int truncate(std::uint64_t size) override {
    return errno_unless_zero(::ftruncate(descriptor_, static_cast<off_t>(size)));
  }
  int allocate(std::uint64_t offset, std::uint64_t length) override;
  int size(std::uint64_t* bytes) override;
  int lock(LockMode mode) override;

 private:
  bool set_direct(bool on) noexcept;
  void leave_direct() noexcept;
  IoAttempt read_unaligned(std::uint64_t offset, MutableBytes into);
  int allocate_by_writing(std::uint64_t offset, std::uint64_t length);

  const int descriptor_;
  std::atomic<bool> direct_{false};  // a stale true costs one more EINVAL, nothing else
  std::optional<LockMode> locked_;   // guarded by the registry's mutex
  std::pair<dev_t, ino_t> identity_{};
};

PosixFile::~PosixFile() {
  LockRegistry& registry = lock_registry();
  const std::lock_guard guard(registry.mutex);
  // Closed before it leaves the registry, and both under the mutex: who finds the registry free finds the
  // lock free.
  ::close(descriptor_);
  if (!locked_) return;
  const auto held = registry.held.find(identity_);
  if (held->second == LockRegistry::kAlone || --held->second == 0) registry.held.erase(held);
}

bool PosixFile::set_direct(bool on) noexcept {
  const int flags = ::fcntl(descriptor_, F_GETFL);
  if (flags < 0) return false;
  return ::fcntl(descriptor_, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

void PosixFile::leave_direct() noexcept {
  set_direct(false);
  direct_.store(false, std::memory_order_relaxed);
}

IoAttempt PosixFile::read(std::uint64_t offset, MutableBytes into) {
  const bool direct = direct_.load(std::memory_order_relaxed);
  if (direct && !is_aligned(offset, into.data(), into.size())) return read_unaligned(offset, into);
  IoAttempt attempt = attempt_of(::pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset)));
  if (attempt.os_error == EINVAL && direct) {
    leave_direct();
    attempt = attempt_of(::pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset)));
  }
  return attempt;
}

/// The continuation of a read that ended inside a block, mostly at the end of the file: up to one block.
IoAttempt PosixFile::read_unaligned(std::uint64_t offset, MutableBytes into) {
  auto block = AlignedBuffer::make(kIoAlignment);
  if (!block) return {.bytes = 0, .os_error = ENOMEM};
  const std::size_t skipped = offset % kIoAlignment;
  IoAttempt attempt = read(offset - skipped, block->span().first(kIoAlignment));
  if (attempt.os_error != 0) return attempt;
  attempt.bytes = std::min(attempt.bytes - std::min(attempt.bytes, skipped), into.size());
  std::memcpy(into.data(), block->data() + skipped, attempt.bytes);
  return attempt;
}

IoAttempt PosixFile::write(std::uint64_t offset, Bytes from) {
  const bool direct = direct_.load(std::memory_order_relaxed);
  if (direct && !is_aligned(offset, from.data(), from.size())) leave_direct();
  IoAttempt attempt = attempt_of(::pwrite(descriptor_, from.data(), from.size(), static_cast<off_t>(offset)));
  if (attempt.os_error == EINVAL && direct) {
    leave_direct();
    attempt = attempt_of(::pwrite(descriptor_, from.data(), from.size(), static_cast<off_t>(offset)));
  }
  return attempt;
}

int PosixFile::allocate(std::uint64_t offset, std::uint64_t length) {
  const int os_error =
      errno_unless_zero(::fallocate(descriptor_, 0, static_cast<off_t>(offset), static_cast<off_t>(length)));
  return os_error == EOPNOTSUPP ? allocate_by_writing(offset, length) : os_error;
}

/// Zeros behind the file's end only: what is there stays. Whoever allocates has not yet told others of the
/// new space, so nobody writes there meanwhile.
int PosixFile::allocate_by_writing(std::uint64_t offset, std::uint64_t length) {
  constexpr std::size_t kChunk = 64 * 1024;
  auto zeros = AlignedBuffer::make(kChunk);
  if (!zeros) return ENOMEM;
  std::uint64_t at = 0;
  if (const int os_error = size(&at)) return os_error;
  at = std::max(at, offset);
  while (at < offset + length) {
    const auto chunk = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, offset + length - at));
    const IoAttempt attempt = write(at, zeros->span().first(chunk));
    if (attempt.os_error != 0) return attempt.os_error;
    if (attempt.bytes == 0) return EIO;
    at += attempt.bytes;
  }
  return 0;
}

int PosixFile::size(std::uint64_t* bytes) {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return errno;
  *bytes = static_cast<std::uint64_t>(status.st_size);
  return 0;
}

int PosixFile::lock(LockMode mode) {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return errno;
  const std::pair identity(status.st_dev, status.st_ino);
  LockRegistry& registry = lock_registry();
  const std::lock_guard guard(registry.mutex);
  if (locked_) return *locked_ == mode ? 0 : EINVAL;
  const bool shared = mode == LockMode::kShared;
  const auto held = registry.held.find(identity);
  if (held != registry.held.end() && (!shared || held->second == LockRegistry::kAlone)) return EWOULDBLOCK;
  if (::flock(descriptor_, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) return errno;
  if (shared) {
    ++registry.held[identity];
  } else {
    registry.held.emplace(identity, LockRegistry::kAlone);
  }
  identity_ = identity;
  locked_ = mode;
  return 0;
}

class PosixFileSystem final : public FileSystem {
 protected:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override;
  int raw_rename(const std::string& from, const std::string& to) override {
    return errno_unless_zero(::rename(from.c_str(), to.c_str()));
  }
  int raw_remove(const std::string& path) override { return errno_unless_zero(std::remove(path.c_str())); }
  int raw_make_directory(const std::string& path) override { return errno_unless_zero(::mkdir(path.c_str(), 0755)); }
  int raw_sync_directory(const std::string& path) override;
  int raw_exists(const std::string& path, bool* exists) override;
  int raw_list(const std::string& path, std::vector<std::string>* names) override;
};

int PosixFileSystem::raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) {
  int flags = mode == OpenMode::kReadOnly ? O_RDONLY : O_RDWR;
  if (mode == OpenMode::kCreate) flags |= O_CREAT | O_EXCL;
  int descriptor = -1;
  if (const int os_error = open_descriptor(path, flags, &descriptor)) return os_error;
  *file = std::make_unique<PosixFile>(descriptor);
  return 0;
}

int PosixFileSystem::raw_sync_directory(const std::string& path) {
  int descriptor = -1;
  if (const int os_error = open_descriptor(path, O_RDONLY | O_DIRECTORY, &descriptor)) return os_error;
  const int os_error = errno_unless_zero(::fsync(descriptor));
  ::close(descriptor);
  return os_error;
}

int PosixFileSystem::raw_exists(const std::string& path, bool* exists) {
  struct stat status {};
  *exists = ::stat(path.c_str(), &status) == 0;
  return *exists || errno == ENOENT || errno == ENOTDIR ? 0 : errno;
}

int PosixFileSystem::raw_list(const std::string& path, std::vector<std::string>* names) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return errno;
  int os_error = 0;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) {
      os_error = errno;
      break;
    }
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") names->emplace_back(name);
  }
  ::closedir(directory);
  return os_error;
}

}  // namespace

FileSystem& posix_file_system() {
  static auto* const file_system = new PosixFileSystem;  // never destroyed: used by static destructors, too
  return *file_system;
}

}  // namespace vaultgres
