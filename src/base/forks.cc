#include "base/forks.h"

#include <pthread.h>

namespace vaultgres::internal {

void count_forks() {
  // An error (no memory for the handler) leaves forks unnoticed, as they were before.
  [[maybe_unused]] static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
}

}  // namespace vaultgres::internal
