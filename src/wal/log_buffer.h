// The log's ring of blocks: reserve, fill, complete, close. No I/O, no waiting except for copies.
//
// README.md, "Append", and filled_prefix.h say why it is right. All calls are thread-safe unless they say otherwise.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/std_atomics.h"
#include "base/types.h"
#include "wal/block.h"
#include "wal/filled_prefix.h"

namespace vaultgres {

class LogBuffer {
  using Prefix = FilledPrefix<StdAtomics, 64>;

 public:
  /// Empty, its end at `first`, a block boundary.
  LogBuffer(AlignedBuffer memory, std::uint64_t first) noexcept;

  std::uint64_t end() const noexcept { return prefix_.end(); }
  std::uint64_t filled() const noexcept { return prefix_.filled(); }
  std::size_t bytes() const noexcept { return memory_.size(); }

  /// Of a record: it starts at record_address(begin) and its LSN is `end`.
  using Reservation = Prefix::Place;
  static constexpr std::uint64_t kNoLimit = UINT64_MAX;
  /// A position for a record whose blocks lie wholly below `limit`; false when it does not fit. After true, complete()
  /// must follow soon: a flush waits for it.
  bool reserve(std::size_t record_bytes, std::uint64_t limit, Reservation* reservation) noexcept;
  void copy(const Reservation& reservation, Bytes record) noexcept;
  void complete(const Reservation& reservation) noexcept { prefix_.complete(reservation); }

  /// The current block is full from now on: the next record starts a new one. Returns the end before that.
  std::uint64_t close() noexcept { return prefix_.skip(block_round_up); }
  /// Waits until every record below `position` is filled: for copies that are under way. `position`: at most end().
  void wait_until_filled(std::uint64_t position) noexcept { prefix_.wait_until_filled(position); }

  // Of blocks below the last close(), by whoever took them for a flush.

  /// Headers, checksums and padding of the blocks in [from, end); the last one ends at `end`. `time`: of their flush.
  void seal(std::uint64_t from, std::uint64_t end, const BlockSeal& seal, std::uint64_t durable,
            std::uint64_t time) noexcept;
  /// The bytes at `from`, up to `to` or the end of the ring's memory.
  Bytes contiguous(std::uint64_t from, std::uint64_t to) const noexcept;

  /// Copies out a record whose blocks the caller keeps from being reused. False: no record can be there that ends at
  /// or below filled().
  bool read(std::uint64_t address, std::vector<std::byte>& record) const;

 private:
  std::byte* at(std::uint64_t position) noexcept { return memory_.data() + position % memory_.size(); }
  const std::byte* at(std::uint64_t position) const noexcept { return memory_.data() + position % memory_.size(); }

  AlignedBuffer memory_;
  Prefix prefix_;
};

}  // namespace vaultgres
