// The sticky first failure of a database: after a failed write or sync nothing is believed any more.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "vaultgres/result.h"

namespace vaultgres {

/// Thread-safe. Set once, never cleared: only reopening the database heals.
class Poison {
 public:
  /// The first cause stays; later ones are dropped.
  void set(const Error& cause) noexcept;
  bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }
  /// Ok, or kPoisoned with the first cause's text and errno.
  Status check() const noexcept;

 private:
  std::atomic<bool> set_{false};
  mutable std::mutex mutex_;
  std::optional<Error> cause_;
};

}  // namespace vaultgres
