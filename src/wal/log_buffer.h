// The log's ring of blocks: reserve, fill, complete, close. No I/O, no waiting except for copies.
//
// README.md, "Append", says why it is right. All calls are thread-safe unless they say otherwise.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/types.h"
#include "wal/block.h"

namespace vaultgres {

class LogBuffer {
 public:
  /// Empty, its end at `first`, a block boundary.
  LogBuffer(AlignedBuffer memory, std::uint64_t first) noexcept;

  std::uint64_t end() const noexcept { return end_.load(std::memory_order_seq_cst); }
  std::uint64_t filled() const noexcept { return filled_.load(std::memory_order_acquire); }
  std::size_t bytes() const noexcept { return memory_.size(); }

  struct Reservation {
    std::uint64_t address = 0;
    std::uint64_t lsn = 0;
    std::size_t slot = 0;
  };
  static constexpr std::uint64_t kNoLimit = UINT64_MAX;
  /// A position for a record whose blocks lie wholly below `limit`; false when it does not fit. After true, complete()
  /// must follow soon: a flush waits for it.
  bool reserve(std::size_t record_bytes, std::uint64_t limit, Reservation* reservation) noexcept;
  void copy(const Reservation& reservation, Bytes record) noexcept;
  void complete(const Reservation& reservation) noexcept;

  /// The current block is full from now on: the next record starts a new one. Returns the end before that.
  std::uint64_t close() noexcept;

  // Of blocks below the last close(), by whoever took them for a flush.

  /// Waits until every record below `position` is filled: for copies that are under way.
  void wait_until_filled(std::uint64_t position) noexcept;
  /// Headers, checksums and padding of the blocks in [from, end); the last one ends at `end`. `time`: of their flush.
  void seal(std::uint64_t from, std::uint64_t end, const BlockSeal& seal, std::uint64_t durable,
            std::uint64_t time) noexcept;
  /// The bytes at `from`, up to `to` or the end of the ring's memory.
  Bytes contiguous(std::uint64_t from, std::uint64_t to) const noexcept;

  /// Copies out a record whose blocks the caller keeps from being reused. False: no record can be there that ends at
  /// or below filled().
  bool read(std::uint64_t address, std::vector<std::byte>& record) const;

 private:
  static constexpr std::size_t kSlots = 64;
  static constexpr std::uint64_t kFree = UINT64_MAX;         // both above every position, so that
  static constexpr std::uint64_t kClaimed = UINT64_MAX - 1;  // publish_filled() passes over them
  static constexpr std::size_t kCacheLine = 64;

  /// Where the record that its owner is copying was reserved: nothing from there on counts as filled.
  struct alignas(kCacheLine) Slot {
    std::atomic<std::uint64_t> begin{kFree};
  };

  std::size_t claim_slot() noexcept;
  void publish_filled() noexcept;
  void lock() noexcept;
  void unlock() noexcept { latch_.store(false, std::memory_order_release); }
  std::byte* at(std::uint64_t position) noexcept { return memory_.data() + position % memory_.size(); }
  const std::byte* at(std::uint64_t position) const noexcept { return memory_.data() + position % memory_.size(); }

  AlignedBuffer memory_;
  alignas(kCacheLine) std::atomic<bool> latch_{false};  // guards changes of end_
  std::atomic<std::uint64_t> end_;
  alignas(kCacheLine) std::atomic<std::uint64_t> filled_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace vaultgres
