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
// through a descriptor for reading as well. The list of open files makes a second handle of this process fail also
// where flock() is emulated per process (NFS).
//
// Forks. A child process shares the open file descriptions, and the lock with them: it would hold on to it after its
// parent's death. So its descriptors are made useless before fork() returns there, every one, and nothing that the
// child does by mistake reaches the parent's files, or files of its own that have got the numbers. A fork waits for
// opens that are under way. What a descriptor becomes is there from the first open on: a child may get no new one. A
// process that closes all that it does not know (to become a daemon) closes that, too, and its number goes to another
// file: it is looked at before each use, made anew by the next open, and where it is missing descriptors are closed.
//
// Limit of the file's size (RLIMIT_FSIZE). Whoever grows a file beyond it gets a signal that ends the process by
// default: we look first, and answer as the system would if the signal were ignored. In whole blocks: direct I/O
// refuses a transfer that is cut inside one.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "base/aligned_buffer.h"
#include "io/file.h"

namespace vaultgres {
namespace {

static_assert(kIoBufferAlignment % kIoAlignment == 0);

class PosixFile;

/// The open files of this process. Never destroyed: files may be closed by static destructors.
struct OpenFiles {
  std::mutex mutex;
  std::condition_variable opened;
  unsigned opening = 0;  ///< files that may have a descriptor, and are not in the list yet
  PosixFile* first = nullptr;
  int useless = -1;  ///< refuses every transfer, sync and lock
  std::pair<dev_t, ino_t> useless_identity{};
};
OpenFiles& open_files();

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

/// Bytes that a file may grow to.
std::uint64_t file_bytes_max() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
  return limit.rlim_cur / kIoAlignment * kIoAlignment;
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
  explicit PosixFile(int descriptor);
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override;

  IoAttempt read(std::uint64_t offset, MutableBytes into) override;
  IoAttempt write(std::uint64_t offset, Bytes from) override;
  int sync() override { return errno_unless_zero(::fdatasync(descriptor_)); }
  int truncate(std::uint64_t size) override;
  int allocate(std::uint64_t offset, std::uint64_t length) override;
  int size(std::uint64_t* bytes) override;
  int lock(LockMode mode) override;

  /// In a child process, before fork() returns there. Only calls that a signal handler may make.
  static void give_up_all() noexcept;

 private:
  bool set_direct(bool on) noexcept;
  void leave_direct() noexcept;
  IoAttempt read_unaligned(std::uint64_t offset, MutableBytes into);
  int allocate_by_writing(std::uint64_t offset, std::uint64_t length);

  const int descriptor_;
  std::atomic<bool> direct_{false};  // a stale true costs one more EINVAL, nothing else
  // Guarded by the mutex of the open files.
  bool given_up_ = false;  ///< the parent's; the number may be somebody else's by now
  std::optional<LockMode> locked_;
  std::pair<dev_t, ino_t> identity_{};
  PosixFile* previous_ = nullptr;
  PosixFile* next_ = nullptr;
};

/// Before a fork: the list is whole, and stays so.
void hold_open_files() {
  OpenFiles& files = open_files();
  std::unique_lock lock(files.mutex);
  files.opened.wait(lock, [&] { return files.opening == 0; });
  lock.release();
}

OpenFiles& open_files() {
  static auto* const files = [] {
    auto* const made = new OpenFiles;
    // An error (no memory) leaves the child what it has: the lock, then, until it ends.
    static_cast<void>(::pthread_atfork([] { hold_open_files(); }, [] { open_files().mutex.unlock(); },
                                       [] {
                                         PosixFile::give_up_all();
                                         open_files().mutex.unlock();
                                       }));
    return made;
  }();
  return *files;
}

/// While a file is being opened. Not under the mutex: on a file system that hangs, only forks wait for it.
class Opening {
 public:
  Opening() {
    const std::lock_guard guard(open_files().mutex);
    ++open_files().opening;
  }
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;
  ~Opening() {
    OpenFiles& files = open_files();
    const std::lock_guard guard(files.mutex);
    --files.opening;
    files.opened.notify_all();
  }
};

/// Whether the number is still that of the descriptor that was made. Only calls that a signal handler may make.
bool has_useless_descriptor(const OpenFiles& files) noexcept {
  const int flags = ::fcntl(files.useless, F_GETFL);
  struct stat status {};
  return flags >= 0 && (flags & O_PATH) != 0 && ::fstat(files.useless, &status) == 0 &&
         files.useless_identity == std::pair(status.st_dev, status.st_ino);
}

/// errno or 0.
int make_useless_descriptor() {
  OpenFiles& files = open_files();
  const std::lock_guard guard(files.mutex);
  if (has_useless_descriptor(files)) return 0;
  if (const int os_error = open_descriptor("/", O_PATH, &files.useless)) return os_error;
  struct stat status {};
  if (::fstat(files.useless, &status) != 0) return errno;
  files.useless_identity = {status.st_dev, status.st_ino};
  return 0;
}

PosixFile::PosixFile(int descriptor) : descriptor_(descriptor) {
  direct_ = set_direct(true);
  OpenFiles& files = open_files();
  const std::lock_guard guard(files.mutex);
  next_ = files.first;
  if (next_ != nullptr) next_->previous_ = this;
  files.first = this;
}

PosixFile::~PosixFile() {
  OpenFiles& files = open_files();
  const std::lock_guard guard(files.mutex);
  // Closed before it leaves the list, and both under the mutex: who finds no holder in the list finds the lock free.
  if (!given_up_) ::close(descriptor_);
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : files.first) = next_;
}

void PosixFile::give_up_all() noexcept {
  const OpenFiles& files = open_files();
  const bool replace = has_useless_descriptor(files);
  for (PosixFile* file = files.first; file != nullptr; file = file->next_) {
    if (std::exchange(file->given_up_, true)) continue;
    file->locked_.reset();
    // The number stays taken, so that it does not become that of another file.
    if (!replace || ::dup3(files.useless, file->descriptor_, O_CLOEXEC) < 0) ::close(file->descriptor_);
  }
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
  const std::uint64_t bytes_max = file_bytes_max();
  if (offset >= bytes_max && !from.empty()) return {.bytes = 0, .os_error = EFBIG};
  from = from.first(static_cast<std::size_t>(std::min<std::uint64_t>(from.size(), bytes_max - offset)));
  IoAttempt attempt = attempt_of(::pwrite(descriptor_, from.data(), from.size(), static_cast<off_t>(offset)));
  if (attempt.os_error == EINVAL && direct) {
    leave_direct();
    attempt = attempt_of(::pwrite(descriptor_, from.data(), from.size(), static_cast<off_t>(offset)));
  }
  return attempt;
}

int PosixFile::truncate(std::uint64_t size) {
  std::uint64_t now = 0;
  if (size > file_bytes_max() && this->size(&now) == 0 && size > now) return EFBIG;
  return errno_unless_zero(::ftruncate(descriptor_, static_cast<off_t>(size)));
}

int PosixFile::allocate(std::uint64_t offset, std::uint64_t length) {
  if (offset + length > file_bytes_max()) return EFBIG;
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
  OpenFiles& files = open_files();
  const std::lock_guard guard(files.mutex);
  if (locked_) return *locked_ == mode ? 0 : EINVAL;
  for (const PosixFile* other = files.first; other != nullptr; other = other->next_) {
    if (!other->locked_ || other->identity_ != identity) continue;
    if (mode == LockMode::kExclusive || *other->locked_ == LockMode::kExclusive) return EWOULDBLOCK;
  }
  if (::flock(descriptor_, (mode == LockMode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) return errno;
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
  const Opening opening;
  if (const int os_error = make_useless_descriptor()) return os_error;
  int descriptor = -1;
  if (const int os_error = open_descriptor(path, flags, &descriptor)) return os_error;
  file->reset(new (std::nothrow) PosixFile(descriptor));
  if (*file != nullptr) return 0;
  ::close(descriptor);
  return ENOMEM;
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
  // Names take memory: one that cannot be had is thrown, past the directory.
  const auto close = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close)> directory(::opendir(path.c_str()));
  if (directory == nullptr) return errno;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) return errno;
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") names->emplace_back(name);
  }
}

}  // namespace

FileSystem& posix_file_system() {
  static auto* const file_system = new PosixFileSystem;  // never destroyed: used by static destructors, too
  return *file_system;
}

}  // namespace vaultgres
