// The slots in which readers say what they still need: the protocol by which what is old is thrown away.
//
//   reader      takes a slot      -> stores its snapshot S  -> reads the floor, and takes a newer S if it is above
//   collector   raises the floor  -> reads all slots: the oldest S that it finds, or the new floor, is its answer
//
// Nothing at or below the answer is needed in an older version: no reader has, or will ever have, an older snapshot.
//
// The reader's two accesses and the collector's two are sequentially consistent, so there is one order of them, and
// either the collector's look comes after the reader's store and finds S, or the reader's look comes after the floor
// was raised. With less, both may look before the other's store has arrived: the reader then follows what is freed
// under it. A block of slots that is new is published in the same order, since a collector that does not find the
// block does not find the slots. Who takes a slot makes it hold back everything until he knows his S.
//
// A slot is emptied with release, and read with acquire (as part of the order above): what was read at the snapshot was
// read before anything is dropped because the slot is empty.
//
// Should it not hold, a reader finds that the version it needs is gone: it gets a newer state, or none, of a single
// key, or follows a reference to a large value into pages that are another object's by now.
// tests/models/snapshot_model.cc compiles this file for a model checker and looks for that.
//
// A is what the protocol is written in (base/std_atomics.h); plain C++14, for the models.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "base/schedule_noise.h"

namespace vaultgres {

template <class A>
class SnapshotSlots {
 public:
  /// What stands in a slot; its holder keeps the address.
  using Slot = typename A::template Atomic<std::uint64_t>;

  explicit SnapshotSlots(unsigned slots) : count_(std::max(slots, 1u)) {
    blocks_[0].store(new Place[count_], A::kRelaxed);
  }
  SnapshotSlots(const SnapshotSlots&) = delete;
  SnapshotSlots& operator=(const SnapshotSlots&) = delete;
  ~SnapshotSlots() {
    for (const Block& block : blocks_) delete[] block.load(A::kRelaxed);
  }

  /// An empty slot, now holding snapshot 0: until the true one is stored nothing is dropped. The search begins at
  /// `from`. nullptr: there is no memory for more.
  Slot* try_take(unsigned from) noexcept {
    for (unsigned k = 0; k < kBlocksMax; ++k) {
      Place* const block = block_or_new(k);
      if (block == nullptr) break;
      for (unsigned i = 0; i < count_ << k; ++i) {
        Slot& slot = block[(from + i) % (count_ << k)].slot;
        std::uint64_t empty = kEmpty;
        if (slot.load(A::kRelaxed) == kEmpty &&
            slot.compare_exchange_strong(empty, in_slot(0), A::kSequential, A::kRelaxed)) {
          return &slot;
        }
      }
    }
    return nullptr;
  }
  /// `now` gives the newest snapshot and is called until one at or above the floor was stored, which is the answer.
  template <class Now>
  std::uint64_t enter(Slot& slot, Now&& now) {
    std::uint64_t snapshot = 0;
    do {
      snapshot = now();
      slot.store(in_slot(snapshot), A::kSequential);
      VG_NOISE(kSnapshotStored);
    } while (floor_.load(A::kSequential) > snapshot);
    return snapshot;
  }
  static void leave(Slot& slot) noexcept { slot.store(kEmpty, A::kRelease); }

  /// Raises the floor to `newest`; the oldest snapshot that is held, or `newest` if none is older.
  std::uint64_t raise_floor(std::uint64_t newest) noexcept {
    std::uint64_t seen = floor_.load(A::kSequential);
    while (seen < newest && !floor_.compare_exchange_weak(seen, newest, A::kSequential, A::kSequential)) {
    }
    VG_NOISE(kFloorRaised);
    std::uint64_t oldest = in_slot(newest);
    for_each([&](std::uint64_t held) { oldest = std::min(oldest, held); });
    return oldest - 1;
  }
  std::size_t held() const noexcept {
    std::size_t count = 0;
    for_each([&](std::uint64_t) { ++count; });
    return count;
  }

 private:
  struct alignas(64) Place {
    Slot slot{kEmpty};
  };
  using Block = typename A::template Atomic<Place*>;
  static constexpr std::uint64_t kEmpty = 0;
  static std::uint64_t in_slot(std::uint64_t snapshot) noexcept { return snapshot + 1; }

  /// nullptr: there is no memory for it.
  Place* block_or_new(unsigned k) noexcept {
    Place* block = blocks_[k].load(A::kSequential);
    if (block != nullptr) return block;
    std::unique_ptr<Place[]> made(new (std::nothrow) Place[count_ << k]);
    if (made == nullptr) return nullptr;
    if (!blocks_[k].compare_exchange_strong(block, made.get(), A::kSequential, A::kSequential)) return block;
    return made.release();
  }
  /// What stands in the slots that are not empty.
  template <class Visit>
  void for_each(Visit&& visit) const noexcept {
    for (unsigned k = 0; k < kBlocksMax; ++k) {
      const Place* const block = blocks_[k].load(A::kSequential);
      if (block == nullptr) break;
      for (unsigned i = 0; i < count_ << k; ++i) {
        const std::uint64_t held = block[i].slot.load(A::kSequential);
        if (held != kEmpty) visit(held);
      }
    }
  }

  /// Slots are never given back, only more are made: block k has count_ << k of them.
  static constexpr unsigned kBlocksMax = 20;
  Slot floor_{0};
  const unsigned count_;
  std::array<Block, kBlocksMax> blocks_{};
};

}  // namespace vaultgres
