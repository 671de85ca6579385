// Log blocks: arithmetic of positions, sealing and checking.
//
// A position is a byte offset in the log, block headers included. See README.md, "Positions".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/types.h"
#include "format/log.h"
#include "format/page.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// No log gets this far: what claims to lie beyond is damage, and sums below cannot overflow.
inline constexpr std::uint64_t kLogPositionMax = std::uint64_t{1} << 62;
/// The same of the numbers of its epochs.
inline constexpr std::uint64_t kEpochNumberMax = std::uint64_t{1} << 62;

constexpr std::uint64_t block_start(std::uint64_t position) noexcept {
  return position - position % kLogBlockBytes;
}
constexpr std::uint64_t block_round_up(std::uint64_t position) noexcept {
  return block_start(position + kLogBlockBytes - 1);
}

/// Where a record starts when the record before it ended at `end`: behind a header that is in the way.
constexpr std::uint64_t record_address(std::uint64_t end) noexcept {
  return end % kLogBlockBytes == 0 ? end + sizeof(LogBlockHeader) : end;
}

/// The LSN of a record of `bytes` bytes at `address`.
constexpr std::uint64_t record_lsn(std::uint64_t address, std::uint64_t bytes) noexcept {
  const std::uint64_t payload = address % kLogBlockBytes - sizeof(LogBlockHeader) + bytes;
  const std::uint64_t rest = payload % kLogBlockPayload;
  return block_start(address) + payload / kLogBlockPayload * kLogBlockBytes +
         (rest == 0 ? 0 : rest + sizeof(LogBlockHeader));
}

inline const LogBlockHeader& log_block_header(Bytes block) noexcept {
  return *reinterpret_cast<const LogBlockHeader*>(block.data());
}

/// Seals and checks the blocks of one epoch of one database.
class BlockSeal {
 public:
  BlockSeal(const DatabaseId& database, std::uint64_t epoch, std::uint64_t salt) noexcept;

  /// Completes the header: everything but `first_record` and `time`, which must stand there.
  void seal(MutableBytes block, std::uint64_t position, std::size_t used, std::uint64_t durable) const noexcept;
  /// Null when `block` is the block of this position; else what is wrong with it.
  const char* fault(Bytes block, std::uint64_t position) const noexcept;

 private:
  std::uint32_t checksum(Bytes block, std::uint64_t position) const noexcept;

  std::uint64_t epoch_;
  std::uint32_t seed_;
};

/// Puts together the record at `address`. `block_at` gives the whole checked block of a position. Errors: those of
/// `block_at`, and kCorruption (a length out of bounds, padding inside a record).
Status gather_record(std::uint64_t address, FunctionRef<Result<Bytes>(std::uint64_t)> block_at,
                     std::vector<std::byte>& record);

/// The name of a segment's file, and back; false when it is not such a name.
std::string segment_name(std::uint64_t number);
bool parse_segment_name(std::string_view name, std::uint64_t* number) noexcept;

}  // namespace vaultgres
