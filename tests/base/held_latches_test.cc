// Goal: a latch that is waited for out of order stops the program, whatever the order between two kinds of pages is,
// and so does any other wait with a latch in hand, or a write to a page that is not latched exclusively; what is in
// order, was only tried, or turned out to be a damaged page does not.
#include "base/held_latches.h"

#include <gtest/gtest.h>

namespace vaultgres {
namespace {

using Kind = LatchRank::Kind;

/// Stands for pages: only addresses count.
int pages[8];

void take(unsigned page, const LatchRank& rank, bool waited = true) {
  if (waited) note_latch_wanted(&pages[page]);
  note_latched(&pages[page], true, waited);
  note_latch_rank(&pages[page], rank);
}
void give_up(unsigned page) {
  note_unlatched(&pages[page]);
}

LatchRank node(std::uint8_t level, std::uint32_t page, std::uint32_t right = 0) {
  return {Kind::kTree, level, 40, page, right};
}
LatchRank heap_page(std::uint32_t page, std::uint32_t object = 50) {
  return {Kind::kHeap, 0, object, page, 0};
}
LatchRank map_page(std::uint8_t level) {
  return {Kind::kMap, level, 50, 7, 0};
}
LatchRank bitmap_page(std::uint32_t page) {
  return {Kind::kBitmap, 0, 0, page, 0};
}
constexpr LatchRank kRetiredLeaf{Kind::kRetired, 0, 2, 4, 0};

/// Takes both, and goes on as somebody does who believes them.
void take_in_turn(const LatchRank& first, const LatchRank& second) {
  take(0, first);
  take(1, second);
  assert_latch_order();
  give_up(1);
  give_up(0);
}

TEST(HeldLatches, WhatIsInOrderPasses) {
  take(0, heap_page(10));
  take(1, heap_page(12));
  take(2, map_page(1));
  take(3, map_page(0));
  take(4, bitmap_page(2));
  assert_latch_order();
  EXPECT_EQ(held_latch_count(), 5u);
  for (unsigned page = 5; page-- > 0;) give_up(page);
  take(0, node(2, 20));
  take(1, node(1, 21, 22));
  take(2, node(1, 22));
  take(3, kRetiredLeaf);
  take(4, bitmap_page(2));
  take(5, bitmap_page(8192));
  assert_latch_order();
  give_up(0);  // in any order
  give_up(4);
  for (const unsigned page : {1, 2, 3, 5}) give_up(page);
  EXPECT_EQ(held_latch_count(), 0u);
  assert_may_wait("anything");
}

TEST(HeldLatchesDeathTest, WhatIsOutOfOrderStops) {
  EXPECT_DEATH(take_in_turn(node(1, 20), node(2, 21)), "latches out of order") << "a parent after its child";
  EXPECT_DEATH(take_in_turn(node(0, 21), node(0, 20, 21)), "latches out of order") << "a left sibling";
  EXPECT_DEATH(take_in_turn(node(1, 20), {Kind::kTree, 0, 41, 30, 0}), "latches out of order") << "two trees";
  EXPECT_DEATH(take_in_turn(heap_page(12), heap_page(10)), "latches out of order") << "descending heap pages";
  EXPECT_DEATH(take_in_turn(heap_page(10, 50), heap_page(12, 51)), "latches out of order") << "two tables";
  EXPECT_DEATH(take_in_turn(map_page(0), heap_page(10)), "latches out of order") << "a heap page after the map";
  EXPECT_DEATH(take_in_turn(map_page(0), map_page(1)), "latches out of order") << "the map upwards";
  EXPECT_DEATH(take_in_turn(kRetiredLeaf, node(0, 20)), "latches out of order") << "a node after one of retired";
  EXPECT_DEATH(take_in_turn(bitmap_page(2), node(0, 20)), "latches out of order") << "a node after a bitmap page";
  EXPECT_DEATH(take_in_turn(bitmap_page(8192), bitmap_page(2)), "latches out of order") << "descending bitmap pages";
}

TEST(HeldLatchesDeathTest, AWaitWithALatchInHandStops) {
  take(0, node(0, 20));
  EXPECT_DEATH(assert_may_wait("a frame"), "waited for: a frame");
  assert_one_latch_held("a read");
  take(1, bitmap_page(2));
  EXPECT_DEATH(assert_one_latch_held("a read"), "a read with 2 latches");
  EXPECT_DEATH(note_latch_wanted(&pages[0]), "a latch that it holds");
  give_up(1);
  give_up(0);
  EXPECT_DEATH(give_up(0), "does not hold it");
}

TEST(HeldLatchesDeathTest, ASplitWithFramesInHandStops) {
  assert_no_frames_reserved();
  note_frames_reserved();
  EXPECT_DEATH(assert_no_frames_reserved(), "a thread that has reserved frames");
  note_frames_given_up();
  assert_no_frames_reserved();
}

TEST(HeldLatchesDeathTest, AWriteWithoutTheExclusiveLatchStops) {
  note_latched(&pages[0], /*exclusive=*/false, /*waited=*/true);
  note_latched(&pages[1], /*exclusive=*/true, /*waited=*/true);
  assert_latched_exclusively(&pages[1]);
  EXPECT_DEATH(assert_latched_exclusively(&pages[0]), "without its exclusive latch") << "a shared one";
  EXPECT_DEATH(assert_latched_exclusively(&pages[2]), "without its exclusive latch") << "none";
  give_up(1);
  give_up(0);
}

TEST(HeldLatches, WhatWasOnlyTriedMayStandAnywhere) {
  take(0, kRetiredLeaf);
  take(1, node(0, 20), false);
  assert_latch_order();
  give_up(1);
  give_up(0);
}

TEST(HeldLatches, ADamagedPageIsForgivenUnlessItIsBelieved) {
  take(0, node(1, 20));
  take(1, node(2, 21));  // says of itself that it stands above its parent
  give_up(1);
  give_up(0);
  EXPECT_EQ(held_latch_count(), 0u);
}

}  // namespace
}  // namespace vaultgres
