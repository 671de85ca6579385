// Log space for calls that reserve it before a change and give all of it back after it. They are many, and a counter
// that all of them change would go from processor to processor twice for each; so each thread has one of its own, of a
// few. All of them together may stand for `total()` at most, and that counts as reserved all the time: nobody has to
// add them up.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/std_atomics.h"

namespace vaultgres {

/// Orders: a counter goes up before its owner looks at the reservations and at what is prepared, as Log::reserve() does
/// and for the same reason (segment_files.cc); all of it is sequentially consistent. Who finds that it went down sees
/// the log's end behind what was appended of it.
class BriefSpace {
 public:
  using Counter = std::atomic<std::uint64_t>;

  explicit BriefSpace(std::uint64_t total) noexcept : each_(total / kCounters) {}

  /// What one counter stands for at most.
  std::uint64_t each() const noexcept { return each_; }
  std::uint64_t total() const noexcept { return kCounters * each_; }
  /// Null: so much is more than what is left in the thread's counter.
  Counter* try_add(std::uint64_t bytes) noexcept {
    static std::atomic<unsigned> threads{0};
    thread_local const unsigned thread = threads.fetch_add(1, std::memory_order_relaxed);
    Counter& counter = lines_[thread % kCounters].bytes;
    if (counter.fetch_add(bytes, std::memory_order_seq_cst) + bytes <= each_) return &counter;
    subtract(counter, bytes);
    return nullptr;
  }
  static void subtract(Counter& counter, std::uint64_t bytes) noexcept {
    counter.fetch_sub(bytes, std::memory_order_seq_cst);
  }
  /// What is counted now.
  std::uint64_t sum() const noexcept {
    std::uint64_t sum = 0;
    for (const Line& line : lines_) sum += line.bytes.load(std::memory_order_relaxed);
    return sum;
  }

 private:
#ifdef VG_TEST_HOOKS
  static constexpr std::size_t kCounters = 4;  // segments are small there, and a change has to fit in
#else
  static constexpr std::size_t kCounters = 64;
#endif
  struct alignas(StdAtomics::kCacheLine) Line {
    Counter bytes{0};
  };

  const std::uint64_t each_;
  Line lines_[kCounters];
};

}  // namespace vaultgres
