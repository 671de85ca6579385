// Goal: verify_node() looks at each of its rules: a page that breaks only that one is called wrong for it.
// Method: small sound nodes of each kind, with fences "kb" and "kz", so that "k" is the prefix; one change of bytes
// each.
#include "btree/node_layout.h"
#include "btree/node_model.h"

namespace vaultgres {
namespace {

class NodeVerifyTest : public ::testing::Test {
 protected:
  NodeVerifyTest() {
    make(&slots_, 0, {{"kc", "1"}, {"kd", "22"}, {"kelonger", "333"}});
    make(&records_, 0, {{"kclonger", "1"}, {"kdlonger", "2"}});
    make(&children_, 1, {{"kb", child_value(5)}, {"kc", child_value(6)}, {"kdlonger", child_value(7)}});
    make(&child_records_, 1, {{"kblonger", child_value(5)}, {"kclonger", child_value(6)}});
  }

  static void make(NodePage* page, unsigned level, const std::vector<std::pair<std::string, std::string>>& entries) {
    const std::string low = level > 0 ? entries[0].first : "kb";
    build_node(page->bytes(), ObjectId{7}, level, false, NodeFences{as_bytes(low), as_bytes("kz"), true}, PageId{9});
    for (unsigned slot = 0; slot < entries.size(); ++slot) {
      PayloadBuffer payload;
      encode_node_insert(payload, slot, 0, as_bytes(entries[slot].first), as_bytes(entries[slot].second));
      ASSERT_EQ(text_of(apply(page->bytes(), PageOp::kNodeInsert, payload.bytes())), "ok");
    }
    ASSERT_EQ(text_of(verify_node(page->bytes())), "ok");
  }

  static NodeHeader& header(NodePage& page) { return node::header_of(page.bytes().data()); }
  static node::Layout layout(NodePage& page) { return node::Layout::load(page.bytes().data()); }
  static std::byte* slot_word(NodePage& page, unsigned slot) {
    return page.bytes().data() + layout(page).slots_offset() + 2 * slot;
  }
  static CellHeader& cell(NodePage& page, unsigned slot) {
    return *reinterpret_cast<CellHeader*>(page.bytes().data() +
                                          node::cell_of(page.bytes().data(), layout(page), slot).offset);
  }
  static std::byte* record(NodePage& page, unsigned slot) {
    return page.bytes().data() + node::record_offset(layout(page), slot);
  }
  static void expect_wrong(const NodePage& page, const char* what) {
    EXPECT_NE(text_of(verify_node(page.bytes())).find(what), std::string::npos)
        << what << ": " << text_of(verify_node(page.bytes()));
  }

  NodePage slots_;          // a leaf with slots
  NodePage records_;        // a leaf of fixed stride
  NodePage children_;       // an internal node with slots
  NodePage child_records_;  // an internal node of fixed stride
};

TEST_F(NodeVerifyTest, NodesAreOfTheKindsThatTheyShouldBe) {
  EXPECT_FALSE(is_fixed(slots_.view()) || is_fixed(children_.view()));
  EXPECT_TRUE(is_fixed(records_.view()) && is_fixed(child_records_.view()));
}

TEST_F(NodeVerifyTest, Fences) {
  header(slots_).flags.set(0);
  expect_wrong(slots_, "a high fence without its flag");
  header(children_).prefix_bytes.set(0);
  expect_wrong(children_, "but the fences share 1");
}

TEST_F(NodeVerifyTest, AStrideWithoutEntries) {
  NodePage page;
  build_node(page.bytes(), ObjectId{7}, 0, false, NodeFences{as_bytes("kb"), as_bytes("kz"), true}, PageId{9});
  header(page).value_bytes.set(1);
  expect_wrong(page, "a stride without entries");
}

TEST_F(NodeVerifyTest, ACapacityThatIsNoMultipleOfFour) {
  header(slots_).capacity.set(static_cast<std::uint16_t>(layout(slots_).capacity - 1));
  expect_wrong(slots_, "no multiple of four");
}

// The first cell made ends where the fences begin.
TEST_F(NodeVerifyTest, ACellBeyondTheHeap) {
  cell(slots_, 0).value.set(2);
  expect_wrong(slots_, "entry 0: its cell lies outside the heap");
}

TEST_F(NodeVerifyTest, CellsThatOverlap) {
  std::memcpy(slot_word(slots_, 1), slot_word(slots_, 0), 2);
  expect_wrong(slots_, "entry 1: its cell overlaps another");
}

TEST_F(NodeVerifyTest, AGhostThatThePageDenies) {
  const unsigned word = load_little<std::uint16_t>(slot_word(slots_, 1));
  store_little(slot_word(slots_, 1), static_cast<std::uint16_t>(word | unsigned{kSlotGhost} << kSlotOffsetBits));
  expect_wrong(slots_, "entry 1: a ghost that the page denies");
}

TEST_F(NodeVerifyTest, UnknownFlagsOfARecord) {
  *record(records_, 1) = std::byte{0x80};
  expect_wrong(records_, "entry 1: unknown flags");
}

TEST_F(NodeVerifyTest, AnEntryThatShouldHaveAnOverflowChain) {
  const std::string value(inline_value_max(2), 'v');
  NodePage page;
  make(&page, 0, {{"kc", value}, {"kd", "odd, so that there are slots"}});
  // The second cell, the lowest, goes to make room for a byte more of the first.
  PayloadBuffer payload;
  encode_node_remove(payload, 1);
  ASSERT_EQ(text_of(apply(page.bytes(), PageOp::kNodeRemove, payload.bytes())), "ok");
  ASSERT_FALSE(is_fixed(page.view()));
  const unsigned offset = node::cell_of(page.bytes().data(), layout(page), 0).offset;
  std::memmove(page.bytes().data() + offset - 1, page.bytes().data() + offset, sizeof(CellHeader));
  store_little(slot_word(page, 0), static_cast<std::uint16_t>(offset - 1));
  cell(page, 0).value.set(static_cast<std::uint16_t>(value.size() + 1));
  if (layout(page).heap_begin == offset) {
    header(page).heap_begin.set(static_cast<std::uint16_t>(offset - 1));
  } else {
    header(page).dead_bytes.set(static_cast<std::uint16_t>(layout(page).dead_bytes - 1));
  }
  expect_wrong(page, "entry 0: it is too long");
}

TEST_F(NodeVerifyTest, AKeyBelowTheLowFence) {
  store_little(slots_.bytes().data() + kNodeHeadsOffset, std::uint32_t{'a'} << 24);
  expect_wrong(slots_, "entry 0: its key is below the low fence");
}

TEST_F(NodeVerifyTest, TheLowFenceStoredAgain) {
  cell(children_, 0).suffix_bytes.set(1);
  expect_wrong(children_, "entry 0: it stores the low fence again");
  record(child_records_, 0)[kRecordFlagBytes] = std::byte{1};
  expect_wrong(child_records_, "entry 0: it stores the low fence again");
}

TEST_F(NodeVerifyTest, AFirstKeyThatIsNotTheLowFence) {
  store_little(children_.bytes().data() + kNodeHeadsOffset, std::uint32_t{'a'} << 24);
  expect_wrong(children_, "entry 0: its key is below the low fence");
  store_little(child_records_.bytes().data() + kNodeHeadsOffset, std::uint32_t{0x62FFFFFF});
  expect_wrong(child_records_, "entry 0: its key is not the low fence");
}

TEST_F(NodeVerifyTest, NoChild) {
  store_little(record(child_records_, 1) + layout(child_records_).stride() - kChildBytes, raw(kNoPage));
  expect_wrong(child_records_, "entry 1: no child");
  cell(children_, 1).value.set(kChildBytes - 1);
  header(children_).dead_bytes.set(1);
  expect_wrong(children_, "entry 1: no child");
}

}  // namespace
}  // namespace vaultgres
