#include "base/poison.h"

namespace vaultgres {

void Poison::set(const Error& cause) noexcept {
  const std::lock_guard lock(mutex_);
  if (cause_) return;
  cause_.emplace(cause);
  set_.store(true, std::memory_order_release);  // pairs with the acquire in is_set()
}

Status Poison::check() const noexcept {
  if (!is_set()) [[likely]]
    return {};
  const std::lock_guard lock(mutex_);
  const Error error(ErrorCode::kPoisoned, cause_->message().data(), cause_->os_error());
  return error.with_context(
      "an earlier write or sync failed, so nothing more is accepted until the database is reopened; the first cause");
}

}  // namespace vaultgres
