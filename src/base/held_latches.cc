#include "base/held_latches.h"

#ifdef VG_DEBUG_CHECKS

#include <array>
#include <cstdio>

#include "base/check.h"

namespace vaultgres {

namespace {

struct HeldLatch {
  const void* latch;
  bool exclusive;
  bool in_place;  // nothing more to be looked at
  LatchRank rank;
};

/// One for each page that a record frees may lie in a group of its own, and so change a bitmap page.
constexpr std::size_t kHeldMax = 160;
struct Held {
  std::array<HeldLatch, kHeldMax> latches;  // in the order in which they were taken
  std::size_t count = 0;
};
constinit thread_local Held held{};
constinit thread_local int frame_reservations = 0;  // below zero where those of another thread were given up

bool may_follow(const LatchRank& earlier, const LatchRank& later) noexcept {
  using Kind = LatchRank::Kind;
  if (earlier.kind == Kind::kNone || later.kind == Kind::kNone) return true;
  if (earlier.kind != later.kind) return earlier.kind < later.kind;
  if (earlier.kind == Kind::kBitmap) return earlier.page < later.page;
  if (earlier.object != later.object) return false;
  switch (earlier.kind) {
    case Kind::kHeap:
      return earlier.page < later.page;
    case Kind::kMap:
      return earlier.level > later.level;
    default:
      return earlier.level > later.level || (earlier.level == later.level && earlier.right == later.page);
  }
}

[[noreturn]] void stop(const HeldLatch& earlier, const HeldLatch& later) noexcept {
  const auto print = [](const char* what, const LatchRank& rank) {
    static constexpr const char* kNames[] = {"page", "heap page", "map page", "node", "node of retired", "bitmap page"};
    std::fprintf(stderr, "%s: %s %u of object %u, level %u\n", what, kNames[static_cast<unsigned>(rank.kind)],
                 rank.page, rank.object, unsigned{rank.level});
  };
  print("latched first", earlier.rank);
  print("waited for with it in hand", later.rank);
  check_failed(__FILE__, __LINE__, "may_follow(earlier, later)", "latches out of order");
}

void look_at(std::size_t index) noexcept {
  HeldLatch& later = held.latches[index];
  if (later.in_place) return;
  later.in_place = true;
  for (std::size_t i = 0; i < index; ++i) {
    if (!may_follow(held.latches[i].rank, later.rank)) stop(held.latches[i], later);
  }
}

}  // namespace

void assert_latch_order() noexcept {
  for (std::size_t i = 0; i < held.count; ++i) look_at(i);
}

void note_latch_wanted(const void* latch) noexcept {
  assert_latch_order();
  for (std::size_t i = 0; i < held.count; ++i) {
    VG_CHECK(held.latches[i].latch != latch, "a thread waits for a latch that it holds");
  }
}

void note_latched(const void* latch, bool exclusive, bool waited) noexcept {
  VG_CHECK(held.count < kHeldMax, "more latches in one hand than anybody needs");
  held.latches[held.count++] = {latch, exclusive, !waited, {}};
}

void note_latch_rank(const void* latch, const LatchRank& rank) noexcept {
  for (std::size_t i = held.count; i-- > 0;) {
    if (held.latches[i].latch != latch) continue;
    held.latches[i].rank = rank;
    return;
  }
}

void note_unlatched(const void* latch) noexcept {
  std::size_t index = held.count;
  while (index > 0 && held.latches[index - 1].latch != latch) --index;
  VG_CHECK(index > 0, "a latch is given up by a thread that does not hold it");
  if (index < held.count) assert_latch_order();
  for (; index < held.count; ++index) held.latches[index - 1] = held.latches[index];
  --held.count;
}

void note_frames_reserved() noexcept {
  ++frame_reservations;
}

void note_frames_given_up() noexcept {
  --frame_reservations;
}

void assert_no_frames_reserved() noexcept {
  VG_CHECK(frame_reservations <= 0, "a node is split by a thread that has reserved frames");
}

std::size_t held_latch_count() noexcept {
  return held.count;
}

void assert_latched_exclusively(const void* latch) noexcept {
  for (std::size_t i = 0; i < held.count; ++i) {
    if (held.latches[i].latch == latch && held.latches[i].exclusive) return;
  }
  check_failed(__FILE__, __LINE__, "latched exclusively", "a page is written to without its exclusive latch");
}

void assert_may_wait(const char* for_what) noexcept {
  if (held.count == 0) return;
  std::fprintf(stderr, "waited for: %s\n", for_what);
  check_failed(__FILE__, __LINE__, "held.count == 0", "a wait under a page latch");
}

void assert_one_latch_held(const char* for_what) noexcept {
  if (held.count == 1) return;
  std::fprintf(stderr, "%s with %zu latches\n", for_what, held.count);
  check_failed(__FILE__, __LINE__, "held.count == 1", "a wait under the latch of another page");
}

}  // namespace vaultgres

#endif
