#include "db/allocation_support.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

namespace vaultgres {
namespace {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// Atomics because threads allocate at once; no order is needed between them.
std::atomic<std::size_t> live{0};
std::atomic<std::size_t> peak{0};
std::atomic<std::uint64_t> calls{0};
std::atomic<std::uint64_t> fail_first{kNever};  // of calls
std::atomic<std::uint64_t> fail_last{kNever};
std::atomic<bool> failed{false};
constinit thread_local bool exposed = true;

bool fails_now() noexcept {
  if (!exposed) return false;
  const std::uint64_t call = calls.fetch_add(1, std::memory_order_relaxed);
  const bool fails =
      call >= fail_first.load(std::memory_order_relaxed) && call <= fail_last.load(std::memory_order_relaxed);
  if (fails) failed.store(true, std::memory_order_relaxed);
  return fails;
}

void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (fails_now()) return nullptr;
  void* const memory = alignment <= alignof(std::max_align_t)
                           ? std::malloc(bytes)
                           : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) return nullptr;
  const std::size_t usable = malloc_usable_size(memory);
  const std::size_t now = live.fetch_add(usable, std::memory_order_relaxed) + usable;
  std::size_t most = peak.load(std::memory_order_relaxed);
  while (now > most && !peak.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
  }
  return memory;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* const memory = allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  live.fetch_sub(malloc_usable_size(memory), std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

std::size_t allocated_bytes() noexcept {
  return live.load(std::memory_order_relaxed);
}
std::size_t allocated_bytes_peak() noexcept {
  return peak.load(std::memory_order_relaxed);
}
void reset_allocated_bytes_peak() noexcept {
  peak.store(allocated_bytes(), std::memory_order_relaxed);
}

AllocationFault::AllocationFault(std::uint64_t at, bool sticky) noexcept {
  failed.store(false, std::memory_order_relaxed);
  const std::uint64_t first = calls.load(std::memory_order_relaxed) + at - 1;
  fail_last.store(sticky ? kNever : first, std::memory_order_relaxed);
  fail_first.store(first, std::memory_order_relaxed);
}
AllocationFault::~AllocationFault() {
  stop();
}
void AllocationFault::stop() noexcept {
  fail_first.store(kNever, std::memory_order_relaxed);
}
bool AllocationFault::hit() const noexcept {
  return failed.load(std::memory_order_relaxed);
}

AllocationsFail::AllocationsFail(bool fail) noexcept : before_(exposed) {
  exposed = fail;
}
AllocationsFail::~AllocationsFail() {
  exposed = before_;
}

// --- Files whose allocations do not fail

namespace {

template <class T>
int errno_of(const Result<T>& result) {
  if (result) return 0;
  return result.error().os_error() != 0 ? result.error().os_error() : EIO;
}

class SparedFile final : public RawFile {
 public:
  explicit SparedFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  ~SparedFile() override {
    const AllocationsFail spared(false);
    file_.reset();
  }

  IoAttempt read(std::uint64_t offset, MutableBytes into) override {
    const AllocationsFail spared(false);
    const Result<std::size_t> bytes = file_->read_up_to(offset, into);
    return {.bytes = bytes.value_or(0), .os_error = errno_of(bytes)};
  }
  IoAttempt write(std::uint64_t offset, Bytes from) override {
    const AllocationsFail spared(false);
    const Status written = file_->write(offset, from);
    return {.bytes = written ? from.size() : 0, .os_error = errno_of(written)};
  }
  int sync() override {
    const AllocationsFail spared(false);
    return errno_of(file_->sync());
  }
  int truncate(std::uint64_t size) override {
    const AllocationsFail spared(false);
    return errno_of(file_->truncate(size));
  }
  int allocate(std::uint64_t offset, std::uint64_t length) override {
    const AllocationsFail spared(false);
    return errno_of(file_->allocate(offset, length));
  }
  int size(std::uint64_t* bytes) override {
    const AllocationsFail spared(false);
    const Result<std::uint64_t> size = file_->size();
    *bytes = size.value_or(0);
    return errno_of(size);
  }
  int lock(LockMode mode) override {
    const AllocationsFail spared(false);
    return errno_of(file_->lock(mode));
  }

 private:
  std::unique_ptr<File> file_;
};

class SparedFileSystem final : public FileSystem {
 public:
  explicit SparedFileSystem(FileSystem& files) : files_(files) {}

 protected:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override {
    const AllocationsFail spared(false);
    Result<std::unique_ptr<File>> opened = files_.open(path, mode);
    if (opened) *file = std::make_unique<SparedFile>(*std::move(opened));
    return errno_of(opened);
  }
  int raw_rename(const std::string& from, const std::string& to) override {
    const AllocationsFail spared(false);
    return errno_of(files_.rename(from, to));
  }
  int raw_remove(const std::string& path) override {
    const AllocationsFail spared(false);
    return errno_of(files_.remove(path));
  }
  int raw_make_directory(const std::string& path) override {
    const AllocationsFail spared(false);
    return errno_of(files_.make_directory(path));
  }
  int raw_sync_directory(const std::string& path) override {
    const AllocationsFail spared(false);
    return errno_of(files_.sync_directory(path));
  }
  int raw_exists(const std::string& path, bool* exists) override {
    const AllocationsFail spared(false);
    const Result<bool> there = files_.exists(path);
    *exists = there.value_or(false);
    return errno_of(there);
  }
  int raw_list(const std::string& path, std::vector<std::string>* names) override {
    const AllocationsFail spared(false);
    Result<std::vector<std::string>> listed = files_.list(path);
    if (listed) *names = *std::move(listed);
    return errno_of(listed);
  }

 private:
  FileSystem& files_;
};

}  // namespace

std::unique_ptr<FileSystem> spare_allocations_of(FileSystem& files) {
  return std::make_unique<SparedFileSystem>(files);
}

}  // namespace vaultgres

void* operator new(std::size_t bytes) {
  return vaultgres::allocate_or_throw(bytes, 1);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return vaultgres::allocate(bytes, 1);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return vaultgres::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return vaultgres::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  vaultgres::release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  vaultgres::release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  vaultgres::release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  vaultgres::release(memory);
}
