#include "wal/block.h"

#include <algorithm>
#include <charconv>

#include "base/crc32c.h"
#include "base/seeded_bug.h"
#include "base/try.h"

namespace vaultgres {
namespace {

constexpr std::size_t kChecksumBytes = sizeof(LogBlockHeader::checksum);
constexpr std::size_t kSegmentDigits = 16;
constexpr std::string_view kSegmentSuffix = ".log";

std::uint32_t crc32c_of_int(std::uint32_t seed, std::uint64_t value) noexcept {
  LittleU64 bytes;
  bytes.set(value);
  return crc32c(seed, {reinterpret_cast<const std::byte*>(&bytes), sizeof bytes});
}

Error bad_record(std::uint64_t address, const std::string& what) {
  return Error(ErrorCode::kCorruption, "log record at position " + std::to_string(address) + ": " + what);
}

}  // namespace

BlockSeal::BlockSeal(const DatabaseId& database, std::uint64_t epoch, std::uint64_t salt) noexcept
    : epoch_(epoch), seed_(crc32c_of_int(crc32c(0, database.bytes), salt)) {}

std::uint32_t BlockSeal::checksum(Bytes block, std::uint64_t position) const noexcept {
  return crc32c(crc32c_of_int(seed_, position), block.subspan(kChecksumBytes));
}

void BlockSeal::seal(MutableBytes block, std::uint64_t position, std::size_t used,
                     std::uint64_t durable) const noexcept {
  auto& header = *reinterpret_cast<LogBlockHeader*>(block.data());
  if (header.first_record.get() > used) header.first_record.set(0);  // nothing followed the record that ends here
  header.used.set(static_cast<std::uint16_t>(used));
  header.epoch.set(epoch_);
  header.durable.set(durable);
  header.checksum.set(checksum(block, position));
}

const char* BlockSeal::fault(Bytes block, std::uint64_t position) const noexcept {
  if (block.size() != kLogBlockBytes) return "the file is missing or ends before it";
  const LogBlockHeader& header = log_block_header(block);
  if (header.checksum.get() != checksum(block, position) && !VG_SEEDED_BUG(kLogBlockUnchecked)) {
    return "its checksum is wrong";
  }
  if (header.epoch.get() != epoch_) return "it names another epoch";
  const std::uint16_t used = header.used.get();
  if (used == 0 || used > kLogBlockPayload) return "its length is out of bounds";
  if (header.first_record.get() > used) return "its first record starts behind its end";
  return nullptr;
}

Status gather_record(std::uint64_t address, FunctionRef<Result<Bytes>(std::uint64_t)> block_at,
                     std::vector<std::byte>& record) {
  if (address % kLogBlockBytes < sizeof(LogBlockHeader)) return bad_record(address, "no record can start there");
  record.clear();
  std::size_t length = sizeof(RecordHeader);  // until the header has been gathered
  bool header_seen = false;
  for (std::uint64_t at = address;; at = block_start(at) + kLogBlockBytes + sizeof(LogBlockHeader)) {
    VG_ASSIGN(const Bytes block, block_at(block_start(at)));
    const std::size_t used = sizeof(LogBlockHeader) + log_block_header(block).used.get();
    std::size_t offset = at % kLogBlockBytes;
    while (offset < used && record.size() < length) {
      const std::size_t part = std::min(used - offset, length - record.size());
      record.insert(record.end(), block.begin() + static_cast<std::ptrdiff_t>(offset),
                    block.begin() + static_cast<std::ptrdiff_t>(offset + part));
      offset += part;
      if (header_seen || record.size() < length) continue;
      header_seen = true;
      length = reinterpret_cast<const RecordHeader*>(record.data())->length.get();
      if (length < sizeof(RecordHeader) || length > kRecordBytesMax) {
        return bad_record(address, "its length of " + std::to_string(length) + " bytes is out of bounds");
      }
    }
    if (header_seen && record.size() == length) return {};
    if (used != kLogBlockBytes) return bad_record(address, "it runs into padding");
  }
}

std::string segment_name(std::uint64_t number) {
  char digits[kSegmentDigits];
  const auto [end, error] = std::to_chars(std::begin(digits), std::end(digits), number, 16);
  const auto count = static_cast<std::size_t>(end - digits);
  return std::string(kSegmentDigits - count, '0').append(digits, count).append(kSegmentSuffix);
}

bool parse_segment_name(std::string_view name, std::uint64_t* number) noexcept {
  if (name.size() != kSegmentDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) return false;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kSegmentDigits, *number, 16);
  return error == std::errc() && end == name.data() + kSegmentDigits;
}

}  // namespace vaultgres
