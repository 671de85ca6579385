#include "txn/snapshots.h"

#include <algorithm>
#include <memory>
#include <new>
#include <thread>

namespace vaultgres {

SnapshotRegistry::SnapshotRegistry(unsigned slots) : count_(std::max(slots, 1u)) {
  blocks_[0].store(new Slot[count_], std::memory_order_relaxed);
}

SnapshotRegistry::~SnapshotRegistry() {
  for (const std::atomic<Slot*>& block : blocks_) delete[] block.load(std::memory_order_relaxed);
}

SnapshotRegistry::Registration& SnapshotRegistry::Registration::operator=(Registration&& other) noexcept {
  if (this == &other) return *this;
  release();
  slot_ = std::exchange(other.slot_, nullptr);
  snapshot_ = other.snapshot_;
  return *this;
}

void SnapshotRegistry::Registration::release() noexcept {
  // Release, pairs with the scan in raise_floor(): what was read at this snapshot was read before anything
  // is dropped because the slot is empty.
  if (slot_ != nullptr) slot_->store(kEmpty, std::memory_order_release);
  slot_ = nullptr;
}

std::atomic<std::uint64_t>* SnapshotRegistry::take_slot() noexcept {
  static std::atomic<unsigned> threads{0};
  thread_local const unsigned thread = threads.fetch_add(1, std::memory_order_relaxed);
  // A distance between threads leaves each some slots for several registrations at a time.
  constexpr unsigned kDistance = 8;
  for (;;) {
    for (unsigned k = 0; k < kBlocksMax; ++k) {
      Slot* block = blocks_[k].load(std::memory_order_seq_cst);
      const unsigned count = count_ << k;
      if (block == nullptr) {
        std::unique_ptr<Slot[]> made(new (std::nothrow) Slot[count]);
        if (made == nullptr) break;
        // A scan that does not see the block came before this in the order of all sequentially consistent
        // accesses, and its floor is seen by whoever registers here.
        if (blocks_[k].compare_exchange_strong(block, made.get(), std::memory_order_seq_cst)) block = made.release();
      }
      for (unsigned i = 0; i < count; ++i) {
        std::atomic<std::uint64_t>& slot = block[(thread * kDistance + i) % count].snapshot;
        std::uint64_t empty = kEmpty;
        if (slot.load(std::memory_order_relaxed) == kEmpty &&
            slot.compare_exchange_strong(empty, in_slot(Lsn{0}), std::memory_order_seq_cst)) {
          return &slot;
        }
      }
    }
    std::this_thread::yield();  // no memory for more: until somebody releases one
  }
}

Lsn SnapshotRegistry::raise_floor(Lsn newest) noexcept {
  std::uint64_t seen = floor_.load(std::memory_order_seq_cst);
  while (seen < raw(newest) && !floor_.compare_exchange_weak(seen, raw(newest), std::memory_order_seq_cst)) {
  }
  VG_NOISE(kFloorRaised);
  std::uint64_t oldest = in_slot(newest);
  for (unsigned k = 0; k < kBlocksMax; ++k) {
    const Slot* block = blocks_[k].load(std::memory_order_seq_cst);
    if (block == nullptr) break;
    for (unsigned i = 0; i < count_ << k; ++i) {
      const std::uint64_t snapshot = block[i].snapshot.load(std::memory_order_seq_cst);
      if (snapshot != kEmpty) oldest = std::min(oldest, snapshot);
    }
  }
  return Lsn{oldest - 1};
}

std::size_t SnapshotRegistry::registered() const noexcept {
  std::size_t registered = 0;
  for (unsigned k = 0; k < kBlocksMax; ++k) {
    const Slot* block = blocks_[k].load(std::memory_order_acquire);
    if (block == nullptr) break;
    for (unsigned i = 0; i < count_ << k; ++i) {
      registered += block[i].snapshot.load(std::memory_order_relaxed) != kEmpty;
    }
  }
  return registered;
}

}  // namespace vaultgres
