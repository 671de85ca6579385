// What page latches a thread holds: test builds stop on one that is waited for out of order, on any other wait with a
// latch in hand, and on a write to a page that is not latched exclusively. The rules are those of docs/ARCHITECTURE.md,
// "Latches, in order". The product has none of this.
//
// A page's place in the order is what the page says of itself, and a damaged page may say anything. So it counts only
// from when its holder has had a look at it, as he must before he goes on: when he waits for another latch, gives up an
// earlier one, or logs a change. The last latch of a row that is given up first was perhaps not what he hoped for.
#pragma once

#ifdef VG_DEBUG_CHECKS

#include <cstddef>
#include <cstdint>

namespace vaultgres {

/// A page's place in the order of latches.
struct LatchRank {
  enum class Kind : std::uint8_t {
    kNone,  ///< comes after anything, and anything after it: what nobody else can want, or what is held alone
    kHeap,
    kMap,
    kTree,
    kRetired,  ///< the tree of retired pages
    kBitmap,
  };
  Kind kind = Kind::kNone;
  std::uint8_t level = 0;    ///< trees and maps
  std::uint32_t object = 0;  ///< but for bitmaps
  std::uint32_t page = 0;
  std::uint32_t right = 0;  ///< trees: the right sibling
};

/// Before a latch is waited for.
void note_latch_wanted(const void* latch) noexcept;
/// `waited`: by a call that waits if it must; else it came by trying, and its place in the order does not matter.
void note_latched(const void* latch, bool exclusive, bool waited) noexcept;
/// What the latch is for, as soon as the page's bytes may be read.
void note_latch_rank(const void* latch, const LatchRank& rank) noexcept;
void note_unlatched(const void* latch) noexcept;
/// All latches so far are where they belong.
void assert_latch_order() noexcept;

/// Frames that were reserved before the first latch: with some in hand a thread splits no node, which needs its own.
void note_frames_reserved() noexcept;
void note_frames_given_up() noexcept;
void assert_no_frames_reserved() noexcept;

std::size_t held_latch_count() noexcept;
/// Before a page is written to.
void assert_latched_exclusively(const void* latch) noexcept;
/// Before a wait of any other kind than for a latch, or for room in the log's buffer.
void assert_may_wait(const char* for_what) noexcept;
/// Before a page is read: only that page is latched.
void assert_one_latch_held(const char* for_what) noexcept;

}  // namespace vaultgres

#else

namespace vaultgres {

inline void note_latch_wanted(const void*) noexcept {}
inline void note_latched(const void*, bool, bool) noexcept {}
inline void note_unlatched(const void*) noexcept {}
inline void assert_latch_order() noexcept {}
inline void note_frames_reserved() noexcept {}
inline void note_frames_given_up() noexcept {}
inline void assert_no_frames_reserved() noexcept {}
inline void assert_latched_exclusively(const void*) noexcept {}
inline void assert_may_wait(const char*) noexcept {}
inline void assert_one_latch_held(const char*) noexcept {}

}  // namespace vaultgres

#endif
