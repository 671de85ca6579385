// Registered snapshots: which old versions, and which retired pages, somebody may still need.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/schedule_noise.h"
#include "base/types.h"

namespace vaultgres {

/// Readers register the snapshot they read at before they follow anything out of a leaf; the collector
/// asks for the oldest. The handshake: a reader stores S in its slot, then reads the floor and takes a newer
/// S if the floor is above it; the collector raises the floor, then scans the slots. All four accesses are
/// sequentially consistent, so either the collector sees the reader's S or the reader sees the new floor.
///
/// Each thread begins its search for a slot at a place of its own, so it mostly has a cache line to itself.
class SnapshotRegistry {
 public:
  explicit SnapshotRegistry(unsigned slots = 1024);
  SnapshotRegistry(const SnapshotRegistry&) = delete;
  SnapshotRegistry& operator=(const SnapshotRegistry&) = delete;
  ~SnapshotRegistry();

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
    std::atomic<std::uint64_t>* slot_ = nullptr;
    Lsn snapshot_{0};
  };
  /// `now` gives the newest snapshot LSN and is called until one at or above the floor was registered. It
  /// never answers less than what raise_floor() was given before.
  template <class Now>
  Registration enter(Now&& now) {
    Registration registration;
    registration.slot_ = take_slot();
    do {
      registration.snapshot_ = now();
      registration.slot_->store(in_slot(registration.snapshot_), std::memory_order_seq_cst);
      VG_NOISE(kSnapshotStored);
    } while (floor_.load(std::memory_order_seq_cst) > raw(registration.snapshot_));
    return registration;
  }

  /// Raises the floor to `newest` and answers the oldest snapshot that is registered, or `newest` if none is
  /// older: nothing at or below the answer is needed in an older version.
  Lsn raise_floor(Lsn newest) noexcept;
  /// How many are registered now.
  std::size_t registered() const noexcept;

 private:
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> snapshot{kEmpty};
  };
  static constexpr std::uint64_t kEmpty = 0;
  static constexpr std::uint64_t in_slot(Lsn snapshot) noexcept { return raw(snapshot) + 1; }

  /// An empty slot, now holding snapshot 0: until the true one is stored nothing is dropped.
  std::atomic<std::uint64_t>* take_slot() noexcept;

  /// Slots are never given back, only more are made: block k has count_ << k of them.
  static constexpr unsigned kBlocksMax = 20;
  std::atomic<std::uint64_t> floor_{0};
  const unsigned count_;
  std::array<std::atomic<Slot*>, kBlocksMax> blocks_{};
};

}  // namespace vaultgres
