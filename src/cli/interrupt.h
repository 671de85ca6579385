// Ctrl-C as a wish that long work ends in order.
#pragma once

#include <csignal>

namespace vaultgres::cli {

/// While it lives, the first SIGINT is a request, which also ends a waiting read; a second one ends the process.
class InterruptGuard {
 public:
  InterruptGuard() noexcept;
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool requested() const noexcept;

 private:
  struct sigaction before_ {};
};

}  // namespace vaultgres::cli
