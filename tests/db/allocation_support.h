// Every allocation of the test program by operator new, counted, and on demand one that fails. Defines the global
// operators new and delete of the program that it is linked into.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "io/file.h"

namespace vaultgres {

/// Bytes allocated and not yet freed, by all threads.
std::size_t allocated_bytes() noexcept;
/// The most that allocated_bytes() was since reset_allocated_bytes_peak().
std::size_t allocated_bytes_peak() noexcept;
void reset_allocated_bytes_peak() noexcept;

/// While it lives, the `at`-th allocation of this process from now on fails, and with `sticky` all later ones:
/// std::bad_alloc, or null from the nothrow forms. At most one at a time.
class AllocationFault {
 public:
  explicit AllocationFault(std::uint64_t at, bool sticky = false) noexcept;
  ~AllocationFault();
  AllocationFault(const AllocationFault&) = delete;
  AllocationFault& operator=(const AllocationFault&) = delete;

  /// No allocation fails from here on.
  void stop() noexcept;
  bool hit() const noexcept;
};

/// While it lives, whether allocations of this thread are among those that an AllocationFault counts and lets fail. By
/// default they are. A test is spared and exposes what it calls:
///
///   const AllocationsFail spared(false);
///   …
///   { const AllocationsFail exposed(true); status = map.put("k", "v"); }
class AllocationsFail {
 public:
  explicit AllocationsFail(bool fail) noexcept;
  ~AllocationsFail();
  AllocationsFail(const AllocationsFail&) = delete;
  AllocationsFail& operator=(const AllocationsFail&) = delete;

 private:
  const bool before_;
};

/// Runs a call of the library, whose allocations may fail; it must not throw.
template <class Call>
auto expose(const char* what, Call&& call) -> decltype(call()) {
  try {
    const AllocationsFail exposed(true);
    return call();
  } catch (const std::bad_alloc&) {
    ADD_FAILURE() << what << " let std::bad_alloc through";
    return Error(ErrorCode::kOutOfMemory, "thrown");
  }
}

/// The same files, whose own allocations never fail: a system call needs no memory of the program, SimFileSystem does.
/// Outlives the files opened on it.
std::unique_ptr<FileSystem> spare_allocations_of(FileSystem& files);

}  // namespace vaultgres
