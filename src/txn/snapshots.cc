#include "txn/snapshots.h"

#include <atomic>

namespace vaultgres {

SnapshotRegistry::Registration& SnapshotRegistry::Registration::operator=(Registration&& other) noexcept {
  if (this == &other) return *this;
  release();
  slot_ = std::exchange(other.slot_, nullptr);
  snapshot_ = other.snapshot_;
  return *this;
}

void SnapshotRegistry::Registration::release() noexcept {
  if (slot_ != nullptr) Slots::leave(*slot_);
  slot_ = nullptr;
}

SnapshotRegistry::Slots::Slot* SnapshotRegistry::take_slot() noexcept {
  static std::atomic<unsigned> threads{0};
  thread_local const unsigned thread = threads.fetch_add(1, std::memory_order_relaxed);
  // A distance between threads leaves each some slots for several registrations at a time.
  constexpr unsigned kDistance = 8;
  for (StdAtomics::Backoff backoff;; backoff.pause()) {  // no memory for more: until somebody releases one
    if (Slots::Slot* const slot = slots_.try_take(thread * kDistance)) return slot;
  }
}

}  // namespace vaultgres
