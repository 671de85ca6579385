// Which leaves are fought over, and where. Idea: "Contention and Space Management in B-Trees" (Alhomssi, Leis, CIDR
// 2021); there the frames of pages count, here a small table, only of those for which somebody sleeps, and by time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/types.h"

namespace vaultgres {

/// Who has changed an entry of a leaf, and sees that others wait for its latch, notes that here, latch in hand. A leaf
/// where that goes on, at one entry and at others in turns, is worth two: then they wait for each other no longer. One
/// entry alone cannot be helped, and a crowd that only comes by does not come back to where it was. Pages whose ids
/// share a place forget each other, and after some minutes a place may be taken for a fresh one; nothing but speed and
/// room depends on it. All times: milliseconds of any clock that goes on.
class HotLeaves {
 public:
  static constexpr unsigned kFightsMax = 100;           ///< elsewhere than where they began
  static constexpr std::uint64_t kAtLeastMs = 3 * 128;  ///< for so long
  static constexpr std::uint64_t kWindowMs = 8 * 128;   ///< but within so much time

  /// The entry before which the leaf is to be split, so that the one where the fights began and the last other one are
  /// parted; mostly none.
  std::optional<unsigned> note(PageId leaf, unsigned slot, std::uint64_t now_ms) noexcept {
    std::atomic<std::uint64_t>& place = places_[raw(leaf) % kPlaces];
    Fights fights = unpack(place.load(std::memory_order_relaxed));
    const auto tick = static_cast<unsigned>(now_ms / kTickMs % kTicks);
    const std::uint64_t ms = (tick + kTicks - fights.begin) % kTicks * kTickMs;  // less than a tick more or less
    const bool goes_on = fights.leaf == raw(leaf) / kPlaces && ms < kWindowMs;
    if (!goes_on) fights = {raw(leaf) / kPlaces, slot, slot, tick, 0};
    const bool came_back = slot == fights.first && fights.other != slot;
    const bool enough = came_back && fights.apart == kFightsMax && ms >= kAtLeastMs + kTickMs;
    const unsigned other = fights.other;
    if (slot != fights.first && slot != other) fights.other = slot;
    if (slot != fights.first && fights.apart < kFightsMax) ++fights.apart;
    if (enough) fights = {raw(leaf) / kPlaces, slot, slot, tick, 0};
    place.store(pack(fights), std::memory_order_relaxed);
    if (!enough) return std::nullopt;
    return slot > other ? slot : other;
  }

 private:
  static constexpr std::uint32_t kPlaces = 256;
  static constexpr std::uint64_t kTickMs = 128;
  static constexpr unsigned kTicks = 1 << 11;

  /// | leaf 24 | first 11 | other 11 | begin 11 | apart 7 |
  struct Fights {
    std::uint32_t leaf;  ///< the bits that the place does not say
    unsigned first;      ///< the slot where they began
    unsigned other;      ///< the last other slot; `first` while there is none
    unsigned begin;      ///< in ticks
    unsigned apart;      ///< those elsewhere than at `first`
  };
  static Fights unpack(std::uint64_t word) noexcept {
    const auto bits = [word](unsigned shift, unsigned count) {
      return static_cast<unsigned>(word >> shift & ((1U << count) - 1));
    };
    return {bits(40, 24), bits(29, 11), bits(18, 11), bits(7, 11), bits(0, 7)};
  }
  static std::uint64_t pack(const Fights& fights) noexcept {
    return std::uint64_t{fights.leaf} << 40 | std::uint64_t{fights.first} << 29 | std::uint64_t{fights.other} << 18 |
           std::uint64_t{fights.begin} << 7 | fights.apart;
  }

  std::array<std::atomic<std::uint64_t>, kPlaces> places_{};
};

}  // namespace vaultgres
