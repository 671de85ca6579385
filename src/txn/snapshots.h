// Registered snapshots: which old versions, and which retired pages, somebody may still need.
#pragma once

#include <cstdint>
#include <utility>

#include "base/std_atomics.h"
#include "base/types.h"
#include "txn/snapshot_slots.h"

namespace vaultgres {

/// Readers register the snapshot they read at before they follow anything out of a leaf; the collector asks for the
/// oldest. How they agree: txn/snapshot_slots.h.
///
/// Each thread begins its search for a slot at a place of its own, so it mostly has a cache line to itself.
class SnapshotRegistry {
  using Slots = SnapshotSlots<StdAtomics>;

 public:
  explicit SnapshotRegistry(unsigned slots = 1024) : slots_(slots) {}

  /// A registered snapshot, until it is released or destroyed; by any thread, before the registry goes.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept { *this = std::move(other); }
    Registration& operator=(Registration&& other) noexcept;
    ~Registration() { release(); }
    Lsn snapshot() const noexcept { return snapshot_; }
    void release() noexcept;

   private:
    friend class SnapshotRegistry;
    Slots::Slot* slot_ = nullptr;
    Lsn snapshot_{0};
  };
  /// `now` gives the newest snapshot LSN and is called until one at or above the floor was registered. It
  /// never answers less than what raise_floor() was given before.
  template <class Now>
  Registration enter(Now&& now) {
    Registration registration;
    registration.slot_ = take_slot();
    registration.snapshot_ = Lsn{slots_.enter(*registration.slot_, [&] { return raw(now()); })};
    return registration;
  }

  /// Raises the floor to `newest` and answers the oldest snapshot that is registered, or `newest` if none is
  /// older: nothing at or below the answer is needed in an older version.
  Lsn raise_floor(Lsn newest) noexcept { return Lsn{slots_.raise_floor(raw(newest))}; }
  /// How many are registered now.
  std::size_t registered() const noexcept { return slots_.held(); }

 private:
  Slots::Slot* take_slot() noexcept;

  Slots slots_;
};

}  // namespace vaultgres
