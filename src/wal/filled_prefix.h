// How far a log is filled. Many threads write into it at a time: each gets a place, one behind the other, and fills it;
// they finish in any order. What is filled without a gap, from the beginning on, may be read.
//
//            filled           end
//   =========|-----|====|------|        end     the next place begins there; whoever reserves moves it
//            slot       slot            filled  everything below is filled; whoever finishes raises it
//                                       slot    where a place begins that is not filled yet
//
//   who fills                               who looks (has finished, or waits for the others)
//     1. claims a slot, writes end into it    1. reads end
//     2. moves end behind its place           2. reads all slots
//     3. writes its own begin into the slot   3. raises filled to the lowest of them
//     4. fills the place
//     5. frees the slot, and looks
//
// Slot before end, end before slots: who sees the end that a place has moved sees its slot. To move it is a
// sequentially consistent exchange, so it releases, and those that follow go on releasing what came before. Between 2
// and 3 the slot says too little, never too much.
//
// Place before slot and filled: they are released and acquired, so who sees that it is filled sees what is there. Who
// claims a slot acquires it and releases its own begin, so that this holds also for who finds the next owner in it.
//
// Two at once: each frees its slot, then looks at the other's. End and slots are sequentially consistent there, so one
// of them sees both free; else nobody would raise filled to the end.
//
// No look at the slots: filled stands where the place begins, so nobody was before it; and the end still stands where
// the place ends, so nobody is behind it. As long as few write that is the rule.
//
// Nor when the slot that was the lowest at somebody's look (front) still says something lower than one's own begin: its
// owner is not done. When he has freed it, he sees one's own slot free, which came before in the sequentially
// consistent order, and looks himself, or leaves it to one in front of him; the last of these looks. So while one of
// many is kept from his processor, the others do not look in vain.
//
// Nobody waits but for a slot, when all are taken, and nobody who has one does. What is moved only grows.
//
// A is what the protocol is written in (base/std_atomics.h); plain C++14, for the models.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/schedule_noise.h"

namespace vaultgres {

template <class A, unsigned kSlots>
class FilledPrefix {
 public:
  /// Between reserve() and complete().
  struct Place {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    unsigned slot = 0;
  };
  static constexpr std::uint64_t kNoRoom = UINT64_MAX;

  explicit FilledPrefix(std::uint64_t first) noexcept {
    end_.store(first, A::kRelaxed);
    filled_.store(first, A::kRelaxed);
    front_.store(0, A::kRelaxed);
    for (Slot& slot : slots_) slot.begin.store(kFree, A::kRelaxed);
  }

  std::uint64_t end() const noexcept { return end_.load(A::kSequential); }
  /// Who sees it sees everything below.
  std::uint64_t filled() const noexcept { return filled_.load(A::kAcquire); }

  /// `end_of(begin)`: where a place would end that begins there, above `begin`; kNoRoom: it may not. Then false.
  /// `home`: a number of the calling thread's own. After true complete() must follow soon: others wait for it.
  template <class EndOf>
  bool reserve(unsigned home, const EndOf& end_of, Place* place) noexcept {
    std::uint64_t begin = 0;
    place->slot = claim(home, &begin);
    auto& slot = slots_[place->slot].begin;
    const std::uint64_t claimed = begin;
    VG_NOISE(kLogClaimed);
    do {
      place->begin = begin;
      place->end = end_of(begin);
      if (place->end == kNoRoom) {
        slot.store(kFree, A::kSequential);
        look();  // it was in the way of others
        return false;
      }
    } while (!end_.compare_exchange_weak(begin, place->end, A::kSequential, A::kRelaxed));
    if (place->begin != claimed) slot.store(place->begin, A::kRelease);
    return true;
  }

  /// The place is filled.
  void complete(const Place& place) noexcept {
    slots_[place.slot].begin.store(kFree, A::kSequential);
    std::uint64_t begin = place.begin;
    if (filled_.compare_exchange_strong(begin, place.end, A::kAcquireRelease, A::kRelaxed) &&
        end_.load(A::kSequential) == place.end) {
      return;
    }
    if (slots_[front_.load(A::kRelaxed)].begin.load(A::kSequential) < place.begin) return;
    look();
  }

  /// Moves the end to `from_end(end)`, where it is not before; what lies between counts as filled. Returns the end
  /// before that.
  template <class FromEnd>
  std::uint64_t skip(const FromEnd& from_end) noexcept {
    std::uint64_t end = end_.load(A::kRelaxed);
    while (!end_.compare_exchange_weak(end, from_end(end), A::kSequential, A::kRelaxed)) {
    }
    return end;
  }

  /// `position`: at most the end.
  void wait_until_filled(std::uint64_t position) noexcept {
    typename A::Backoff backoff;
    while (filled() < position && look() < position) backoff.pause();
  }

 private:
  static constexpr std::uint64_t kFree = UINT64_MAX;  // above every position

  /// Begins where nothing before it belongs to its owner; nothing from there on counts as filled.
  struct alignas(A::kCacheLine) Slot {
    typename A::template Atomic<std::uint64_t> begin;
  };

  unsigned claim(unsigned home, std::uint64_t* begin) noexcept {
    typename A::Backoff backoff;
    for (unsigned i = 0;; ++i) {
      const unsigned slot = (home + i) % kSlots;
      std::uint64_t expected = slots_[slot].begin.load(A::kRelaxed);
      if (expected == kFree) {
        *begin = end_.load(A::kRelaxed);
        if (slots_[slot].begin.compare_exchange_strong(expected, *begin, A::kAcquire, A::kRelaxed)) return slot;
      }
      if (i % kSlots == kSlots - 1) backoff.pause();
    }
  }

  /// Raises `filled` as far as it goes; returns how far that is.
  std::uint64_t look() noexcept {
    std::uint64_t limit = end_.load(A::kSequential);
    VG_NOISE(kLogEndRead);
    unsigned front = 0;
    for (unsigned i = 0; i < kSlots; ++i) {
      const std::uint64_t begin = slots_[i].begin.load(A::kSequential);
      if (begin >= limit) continue;
      limit = begin;
      front = i;
    }
    if (front_.load(A::kRelaxed) != front) front_.store(front, A::kRelaxed);
    std::uint64_t filled = filled_.load(A::kAcquire);
    while (filled < limit) {
      if (filled_.compare_exchange_weak(filled, limit, A::kAcquireRelease, A::kAcquire)) return limit;
    }
    return filled;
  }

  // Together: who fills a place changes both, one soon after the other.
  alignas(A::kCacheLine) typename A::template Atomic<std::uint64_t> end_;
  typename A::template Atomic<std::uint64_t> filled_;
  alignas(A::kCacheLine) typename A::template Atomic<unsigned> front_;  // any slot will do
  Slot slots_[kSlots];
};

}  // namespace vaultgres
