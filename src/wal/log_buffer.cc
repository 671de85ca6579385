#include "wal/log_buffer.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <thread>

#include "base/check.h"
#include "base/schedule_noise.h"

namespace vaultgres {
namespace {

/// Spins a little, then lets others run: whoever is waited for may have lost the processor.
class Backoff {
 public:
  void pause() noexcept {
    if (++rounds_ > kSpins) std::this_thread::yield();
  }

 private:
  static constexpr int kSpins = 64;
  int rounds_ = 0;
};

}  // namespace

LogBuffer::LogBuffer(AlignedBuffer memory, std::uint64_t first) noexcept
    : memory_(std::move(memory)), end_(first), filled_(first) {
  VG_CHECK(memory_.size() % kLogBlockBytes == 0 && memory_.size() >= 2 * kLogBlockBytes, "log buffer too small");
  VG_CHECK(first % kLogBlockBytes == 0, "the log starts at a block boundary");
}

void LogBuffer::lock() noexcept {
  Backoff backoff;
  while (latch_.load(std::memory_order_relaxed) || latch_.exchange(true, std::memory_order_acquire)) backoff.pause();
}

std::size_t LogBuffer::claim_slot() noexcept {
  static std::atomic<std::size_t> threads{0};
  thread_local const std::size_t home = threads.fetch_add(1, std::memory_order_relaxed);
  Backoff backoff;
  for (std::size_t i = home;; ++i) {
    std::atomic<std::uint64_t>& begin = slots_[i % kSlots].begin;
    std::uint64_t expected = kFree;
    // Acquire: whoever reads what this thread writes into the slot next also sees the copy of the owner before.
    if (begin.load(std::memory_order_relaxed) == kFree && begin.compare_exchange_strong(expected, kClaimed)) {
      return i % kSlots;
    }
    if ((i - home) % kSlots == kSlots - 1) backoff.pause();
  }
}

bool LogBuffer::reserve(std::size_t record_bytes, std::uint64_t limit, Reservation* reservation) noexcept {
  reservation->slot = claim_slot();
  std::atomic<std::uint64_t>& slot = slots_[reservation->slot].begin;
  lock();
  const std::uint64_t begin = end_.load(std::memory_order_relaxed);
  reservation->address = record_address(begin);
  reservation->lsn = record_lsn(reservation->address, record_bytes);
  const bool fits = block_round_up(reservation->lsn) <= limit;
  if (fits) {
    slot.store(begin, std::memory_order_seq_cst);  // before end_: who sees the new end sees the slot
    end_.store(reservation->lsn, std::memory_order_seq_cst);
  }
  unlock();
  if (!fits) slot.store(kFree, std::memory_order_seq_cst);
  return fits;
}

void LogBuffer::copy(const Reservation& reservation, Bytes record) noexcept {
  std::uint64_t position = reservation.address;
  while (!record.empty()) {
    const std::size_t offset = position % kLogBlockBytes;
    const std::size_t part = std::min(record.size(), kLogBlockBytes - offset);
    if (offset == sizeof(LogBlockHeader)) {
      // This record enters the block. Where it ends, the next one starts; if none does, seal() clears the field.
      std::size_t first_record = 0;
      if (position == reservation.address) {
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

void LogBuffer::complete(const Reservation& reservation) noexcept {
  slots_[reservation.slot].begin.store(kFree, std::memory_order_seq_cst);
  publish_filled();
}

void LogBuffer::publish_filled() noexcept {
  std::uint64_t limit = end_.load(std::memory_order_seq_cst);  // before the slots
  VG_NOISE(kLogEndRead);
  for (const Slot& slot : slots_) limit = std::min(limit, slot.begin.load(std::memory_order_seq_cst));
  std::uint64_t filled = filled_.load(std::memory_order_relaxed);
  // Release: pairs with filled(); who sees the new value sees the copies below it.
  while (filled < limit && !filled_.compare_exchange_weak(filled, limit, std::memory_order_acq_rel)) {
  }
}

std::uint64_t LogBuffer::close() noexcept {
  lock();
  const std::uint64_t end = end_.load(std::memory_order_relaxed);
  end_.store(block_round_up(end), std::memory_order_seq_cst);
  unlock();
  return end;
}

void LogBuffer::wait_until_filled(std::uint64_t position) noexcept {
  Backoff backoff;
  while (filled() < position) backoff.pause();
  // The padding counts as well, so that durable never overtakes filled. Everything below is complete, so no slot is in
  // the way.
  publish_filled();
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
