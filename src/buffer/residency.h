// How a page comes into a frame, stays there, and leaves it: its entry in the translation array, and what is known
// about the frame.
//
//   latch   see buffer/latch.h
//   place   | frame or checksum 32 | … | checksum known | mark | resident |
//
// Rules
//
//   * Where a page is changes only under its exclusive latch, whose release raises the version. So every other holder
//     of the latch knows where it is, and a reader without latch that looks at the version first, then at the place,
//     then at the bytes, and validates, has read this page's bytes.
//   * The frame changes hands after that release, and whoever gets it latches the page that comes into it afterwards,
//     before he writes a byte: frame first, then latch. The order is not only for the sake of who waits: taking the
//     latch is the fence between the former page's new version and the new page's bytes. A reader of the former page
//     that has seen such a byte sees that version, too.
//   * A pin is counted under the shared latch. Who evicts has the exclusive one: he sees every pin, or his page is gone
//     before the pin is taken. It forbids nothing else, and nothing is read by virtue of it alone, so that giving it up
//     orders nothing.
//   * Only the mark changes without a latch: by compare-and-swap, of a page that is still where it was seen. The place
//     of a page that is gone is not touched.
//
// README.md has the steps, and what each order is for. A is what the protocol is written in (base/std_atomics.h); plain
// C++14, for the models (tests/models/residency_model.cc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/held_latches.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "buffer/latch.h"

namespace vaultgres {

template <class A>
struct BasicFrame {
  static constexpr std::uint32_t kFree = UINT32_MAX;
  static constexpr std::uint64_t kClean = UINT64_MAX;

  typename A::template Atomic<std::uint32_t> page{kFree};
  typename A::template Atomic<std::uint32_t> pins{0};
  typename A::template Atomic<std::uint64_t> rec_lsn{kClean};
  typename A::template Atomic<bool> copied{false};
  typename A::template Atomic<bool> disk_checksum_known{false};
  typename A::template Atomic<std::uint32_t> disk_checksum{0};  ///< of the page as it stands on disk

  /// The answer holds under the page's exclusive latch; else it is a guess.
  bool may_go() const noexcept {
    return pins.load(A::kRelaxed) == 0 && rec_lsn.load(A::kRelaxed) == kClean && !copied.load(A::kRelaxed);
  }
  void unpin() noexcept { pins.fetch_sub(1, A::kRelaxed); }
};

/// A page's entry: 16 bytes, never freed, never reset.
template <class A>
struct BasicTranslation {
  using Latch = BasicLatch<A>;
  using Frame = BasicFrame<A>;
  static constexpr std::uint64_t kResident = 1;
  static constexpr std::uint64_t kMark = 2;           ///< used since the clock's hand came by
  static constexpr std::uint64_t kChecksumKnown = 4;  ///< not resident: the upper half is the checksum on disk
  static constexpr unsigned kPlaceShift = 32;
  static constexpr std::uint64_t kAbsent = 0;  ///< instead of a place: the page is not resident

  Latch latch;
  typename A::template Atomic<std::uint64_t> place;

  static std::uint32_t frame_of(std::uint64_t place) noexcept {
    return static_cast<std::uint32_t>(place >> kPlaceShift);
  }
  static bool is_resident(std::uint64_t place) noexcept { return (place & kResident) != 0; }
  static bool in_use(std::uint64_t place) noexcept { return (~place & (kResident | kMark)) == 0; }
  /// With the latch it holds; else only for the moment.
  bool is_resident() const noexcept { return is_resident(place.load(A::kRelaxed)); }

  // --- Reading without a latch: begin, read the bytes, and believe them if latch.validate() says so.

  struct Seen {
    std::uint64_t word;   ///< of the latch
    std::uint64_t place;  ///< not older
  };
  /// The latch first: whatever changes after it, the place included, raises the version.
  Seen begin_read() const noexcept {
    const std::uint64_t word = latch.begin_read();
    VG_NOISE(kOptimisticVersionRead);
    return {word, place.load(A::kAcquire)};
  }

  // --- The latch

  bool try_shared() noexcept { return latch.try_shared() && noted(/*exclusive=*/false, /*waited=*/false); }
  bool try_exclusive() noexcept { return latch.try_exclusive() && noted(/*exclusive=*/true, /*waited=*/false); }
  /// Only if nobody changed the page since `version` and nobody holds it.
  bool try_exclusive_at(std::uint64_t version) noexcept {
    return latch.try_exclusive_at(version) && noted(/*exclusive=*/true, /*waited=*/false);
  }
  void lock_shared() noexcept {
    note_latch_wanted(this);
    latch.lock_shared(latch_queue(latch));
    noted(/*exclusive=*/false, /*waited=*/true);
  }
  void lock_exclusive() noexcept {
    note_latch_wanted(this);
    if (VG_SEEDED_BUG(kUnfairLatch)) {
      while (!latch.try_exclusive()) A::pause();
    } else {
      latch.lock_exclusive(latch_queue(latch));
    }
    noted(/*exclusive=*/true, /*waited=*/true);
  }
  void unlock_shared() noexcept {
    note_unlatched(this);
    VG_NOISE(kLatchSharedBeforeUnlock);
    latch.unlock_shared(latch_queue(latch));
  }
  void unlock_exclusive() noexcept { unlock_exclusive_at(Latch::version_of(latch.peek()) + 1); }
  /// When nothing was written: optimistic readers go on.
  void unlock_exclusive_unchanged() noexcept { unlock_exclusive_at(Latch::version_of(latch.peek())); }
  void unlock_exclusive_at(std::uint64_t version) noexcept {
    note_unlatched(this);
    VG_NOISE(kLatchBeforeUnlock);
    latch.unlock_exclusive_at(latch_queue(latch), version);
  }
  /// For who found it exclusive, and will try again without it: in the queue like everybody else.
  void wait_for_holder() noexcept {
    lock_shared();
    unlock_shared();
  }

  // --- The latch of a page that is resident: its place; kAbsent, and no latch, if it is not. Those named try_ don't
  // wait, and may find the latch taken.

  std::uint64_t shared_if_resident() noexcept {
    if (!is_resident()) return kAbsent;
    VG_NOISE(kSharedCheckedResident);
    lock_shared();
    return place_or_unlock_shared();
  }
  std::uint64_t exclusive_if_resident() noexcept {
    if (!is_resident()) return kAbsent;
    VG_NOISE(kExclusiveCheckedResident);
    lock_exclusive();
    return place_or_unlock_exclusive();
  }
  std::uint64_t try_shared_if_resident() noexcept { return try_shared() ? place_or_unlock_shared() : kAbsent; }
  std::uint64_t try_exclusive_if_resident() noexcept { return try_exclusive() ? place_or_unlock_exclusive() : kAbsent; }
  /// Pinned, not latched. A shared latch is enough for it, and does not disturb readers.
  template <class Frames>
  std::uint64_t pin_if_resident(Frames& frames) noexcept {
    const std::uint64_t now = shared_if_resident();
    if (now == kAbsent) return kAbsent;
    VG_NOISE(kPinLatched);
    frames[frame_of(now)].pins.fetch_add(1, A::kRelaxed);
    unlock_shared();
    return now;
  }

  // --- In: get a frame, latch the page, write its bytes, enter(), unlock_exclusive().

  /// False, and no latch: the page is resident.
  bool latch_absent() noexcept {
    lock_exclusive();
    return VG_SEEDED_BUG(kNoRecheckBeforeLoad) || absent_or_unlock();
  }
  bool try_latch_absent() noexcept { return try_exclusive() && absent_or_unlock(); }
  /// The frame, which nobody else has, is the page's. `mark`: kMark or 0.
  void enter(Frame& frame, std::uint32_t number, std::uint32_t page, std::uint32_t pins, std::uint64_t mark) noexcept {
    frame.page.store(page, A::kRelaxed);
    frame.pins.store(pins, A::kRelaxed);
    // Release: who sees the place and not yet the latch sees the bytes, too.
    place.store(std::uint64_t{number} << kPlaceShift | kResident | mark, A::kRelease);
  }

  // --- Out

  /// Under the exclusive latch. The frame is whoever's calls it, from when he has released the latch.
  void leave(Frame& frame) noexcept {
    const std::uint64_t on_disk =
        frame.disk_checksum_known.load(A::kRelaxed)
            ? std::uint64_t{frame.disk_checksum.load(A::kRelaxed)} << kPlaceShift | kChecksumKnown
            : kAbsent;
    place.store(on_disk, A::kRelease);
    VG_NOISE(kEvictPlaceCleared);
    frame.page.store(Frame::kFree, A::kRelaxed);
  }
  /// Only tries: a page that is latched, pinned or dirty stays. `table` has the entries of all pages.
  static bool try_evict(BasicTranslation* table, Frame& frame, std::uint32_t number) noexcept {
    const std::uint32_t page = frame.page.load(A::kRelaxed);
    return page != Frame::kFree && table[page].try_evict(frame, number);
  }

  // --- The mark

  /// Of the page that was seen there. False: it has changed since.
  bool mark(std::uint64_t seen) noexcept { return is_resident(seen) && change_place(seen, seen | kMark); }
  bool unmark(std::uint64_t seen) noexcept { return change_place(seen, seen & ~kMark); }

 private:
  /// Always true.
  bool noted(bool exclusive, bool waited) noexcept {
    note_latched(this, exclusive, waited);
    VG_NOISE(kLatchTaken);
    return true;
  }
  std::uint64_t place_or_unlock_shared() noexcept {
    const std::uint64_t now = place.load(A::kRelaxed);
    if (is_resident(now)) return now;
    unlock_shared();
    return kAbsent;
  }
  std::uint64_t place_or_unlock_exclusive() noexcept {
    const std::uint64_t now = place.load(A::kRelaxed);
    if (is_resident(now)) return now;
    unlock_exclusive();
    return kAbsent;
  }
  bool absent_or_unlock() noexcept {
    if (!is_resident()) return true;
    unlock_exclusive();
    return false;
  }
  bool try_evict(Frame& frame, std::uint32_t number) noexcept {
    if (!try_exclusive()) return false;
    VG_NOISE(kEvictLatched);
    // All that was seen before may have changed, who has the frame included: only this look counts.
    const std::uint64_t now = place.load(A::kRelaxed);
    const bool may_go = is_resident(now) && frame_of(now) == number && frame.may_go();
    if (!may_go && !VG_SEEDED_BUG(kNoRecheckBeforeEviction)) {
      unlock_exclusive();
      return false;
    }
    leave(frame);
    // The version rises before the frame changes hands.
    VG_SEEDED_BUG(kVersionsRestart) ? unlock_exclusive_at(0) : unlock_exclusive();
    VG_NOISE(kEvictBeforeHandover);
    return true;
  }
  bool change_place(std::uint64_t seen, std::uint64_t changed) noexcept {
    return place.compare_exchange_strong(seen, changed, A::kRelaxed, A::kRelaxed);
  }
};

}  // namespace vaultgres
