#include "db/allocation_support.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

#include "support/forwarding_file_system.h"

namespace vaultgres {
namespace {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// Atomics because threads allocate at once; no order is needed between them.
std::atomic<std::size_t> bytes_live{0};
std::atomic<std::size_t> bytes_peak{0};
std::atomic<std::uint64_t> calls_made{0};
std::atomic<std::uint64_t> fail_first{kNever};  // of calls
std::atomic<std::uint64_t> fail_last{kNever};
std::atomic<bool> some_call_failed{false};
constinit thread_local bool thread_is_exposed = true;

bool fails_now() noexcept {
  if (!thread_is_exposed) return false;
  const std::uint64_t call = calls_made.fetch_add(1, std::memory_order_relaxed);
  const bool fails =
      call >= fail_first.load(std::memory_order_relaxed) && call <= fail_last.load(std::memory_order_relaxed);
  if (fails) some_call_failed.store(true, std::memory_order_relaxed);
  return fails;
}

void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (fails_now()) return nullptr;
  void* const memory = alignment <= alignof(std::max_align_t)
                           ? std::malloc(bytes)
                           : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) return nullptr;
  const std::size_t usable = malloc_usable_size(memory);
  const std::size_t now = bytes_live.fetch_add(usable, std::memory_order_relaxed) + usable;
  std::size_t most = bytes_peak.load(std::memory_order_relaxed);
  while (now > most && !bytes_peak.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
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
  bytes_live.fetch_sub(malloc_usable_size(memory), std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

std::size_t allocated_bytes() noexcept {
  return bytes_live.load(std::memory_order_relaxed);
}
std::size_t allocated_bytes_peak() noexcept {
  return bytes_peak.load(std::memory_order_relaxed);
}
void reset_allocated_bytes_peak() noexcept {
  bytes_peak.store(allocated_bytes(), std::memory_order_relaxed);
}

AllocationFault::AllocationFault(std::uint64_t at, bool sticky) noexcept {
  some_call_failed.store(false, std::memory_order_relaxed);
  const std::uint64_t first = calls_made.load(std::memory_order_relaxed) + at - 1;
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
  return some_call_failed.load(std::memory_order_relaxed);
}

AllocationsFail::AllocationsFail(bool fail) noexcept : before_(thread_is_exposed) {
  thread_is_exposed = fail;
}
AllocationsFail::~AllocationsFail() {
  thread_is_exposed = before_;
}

// --- Files whose allocations do not fail

namespace {

class SparedFileSystem final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;

 private:
  int around(FileCall /*call*/, const std::string& /*path*/, FunctionRef<int()> forward) override {
    const AllocationsFail spared(false);
    return forward();
  }
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
