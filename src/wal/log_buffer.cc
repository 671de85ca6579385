#include "wal/log_buffer.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/check.h"

namespace vaultgres {

LogBuffer::LogBuffer(AlignedBuffer memory, std::uint64_t first) noexcept : memory_(std::move(memory)), prefix_(first) {
  VG_CHECK(memory_.size() % kLogBlockBytes == 0 && memory_.size() >= 2 * kLogBlockBytes, "log buffer too small");
  VG_CHECK(first % kLogBlockBytes == 0, "the log starts at a block boundary");
}

bool LogBuffer::reserve(std::size_t record_bytes, std::uint64_t limit, Reservation* reservation) noexcept {
  static std::atomic<unsigned> threads{0};
  thread_local const unsigned thread = threads.fetch_add(1, std::memory_order_relaxed);
  const auto lsn_of = [&](std::uint64_t begin) {
    const std::uint64_t lsn = record_lsn(record_address(begin), record_bytes);
    return block_round_up(lsn) <= limit ? lsn : Prefix::kNoRoom;
  };
  return prefix_.reserve(thread, lsn_of, reservation);
}

void LogBuffer::copy(const Reservation& reservation, Bytes record) noexcept {
  const std::uint64_t address = record_address(reservation.begin);
  std::uint64_t position = address;
  while (!record.empty()) {
    const std::size_t offset = position % kLogBlockBytes;
    const std::size_t part = std::min(record.size(), kLogBlockBytes - offset);
    if (offset == sizeof(LogBlockHeader)) {
      // This record enters the block. Where it ends, the next one starts; if none does, seal() clears the field.
      std::size_t first_record = 0;
      if (position == address) {
        first_record = 1;
      } else if (offset + part < kLogBlockBytes) {
        first_record = part + 1;
      }
      auto& header = *reinterpret_cast<LogBlockHeader*>(at(position - offset));
      header.first_record.set(static_cast<std::uint16_t>(first_record));
    }
    std::memcpy(at(position), record.data(), part);
    record = record.subspan(part);
    position += part;
    if (position % kLogBlockBytes == 0) position += sizeof(LogBlockHeader);
  }
}

void LogBuffer::seal(std::uint64_t from, std::uint64_t end, const BlockSeal& seal, std::uint64_t durable,
                     std::uint64_t time) noexcept {
  for (std::uint64_t block = from; block < end; block += kLogBlockBytes) {
    const MutableBytes bytes{at(block), kLogBlockBytes};
    const std::size_t used_to = std::min<std::uint64_t>(end - block, kLogBlockBytes);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(used_to), bytes.end(), std::byte{0});
    reinterpret_cast<LogBlockHeader*>(bytes.data())->time.set(time);
    seal.seal(bytes, block, used_to - sizeof(LogBlockHeader), durable);
  }
}

Bytes LogBuffer::contiguous(std::uint64_t from, std::uint64_t to) const noexcept {
  const std::uint64_t to_memory_end = memory_.size() - from % memory_.size();
  return {at(from), std::min(to - from, to_memory_end)};
}

bool LogBuffer::read(std::uint64_t address, std::vector<std::byte>& record) const {
  const std::uint64_t limit = filled();
  record.clear();
  std::size_t length = sizeof(RecordHeader);
  bool header_seen = false;
  std::uint64_t position = address;
  while (record.size() < length) {
    if (record_lsn(position, length - record.size()) > limit) return false;
    const std::size_t part =
        std::min(length - record.size(), kLogBlockBytes - static_cast<std::size_t>(position % kLogBlockBytes));
    record.insert(record.end(), at(position), at(position) + part);
    position = record_address(position + part);
    if (header_seen || record.size() < length) continue;
    header_seen = true;
    length = reinterpret_cast<const RecordHeader*>(record.data())->length.get();
    if (length < sizeof(RecordHeader) || length > kRecordBytesMax) return false;
  }
  return true;
}

}  // namespace vaultgres
