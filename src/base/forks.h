// Forks: a child process has a copy of everything, but one thread only, and every lock as it stood at that instant.
// Whatever has threads, locks or files asks whether it is still in the process that made it.
#pragma once

#include <atomic>
#include <cstdint>

namespace vaultgres {

namespace internal {
/// How many forks lie between the first process and this one. Raised in the child, before fork() returns there, when
/// it has a single thread.
inline std::atomic<std::uint32_t> forks{0};
/// Once is enough, before the first fork that is to be noticed.
void count_forks();
}  // namespace internal

/// Where something was made. Two loads to ask: cheap enough for every call.
class BirthProcess {
 public:
  BirthProcess() : forks_((internal::count_forks(), internal::forks.load(std::memory_order_relaxed))) {}
  /// False in a child process, whose own copy this is. (A child made by clone() or _Fork() is not noticed.)
  bool is_this() const noexcept { return forks_ == internal::forks.load(std::memory_order_relaxed); }

 private:
  std::uint32_t forks_;
};

}  // namespace vaultgres
