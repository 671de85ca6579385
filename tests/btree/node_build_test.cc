#include "btree/node_layout.h"
#include "btree/node_model.h"

namespace vaultgres {
namespace {

/// How long a value the slot's cell keeps room for.
std::optional<std::size_t> kept_bytes_of(const NodeView& view, unsigned slot) {
  if (!view.keeps_room(slot)) return std::nullopt;
  return node::cell_of(view.page().data(), node::Layout::load(view.page().data()), slot).value_bytes_max();
}

/// What a page holds, in order.
ModelMap content_of(const NodeView& view) {
  ModelMap content;
  for (unsigned slot = 0; slot < view.count(); ++slot) {
    content[key_of(view, slot)] = {std::string(as_text(view.value(slot))), view.flags(slot), kept_bytes_of(view, slot)};
  }
  return content;
}
bool same(const ModelMap& a, const ModelMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.value == y.second.value && x.second.flags == y.second.flags &&
           x.second.kept_bytes == y.second.kept_bytes;
  });
}

/// Splits `model` for an entry at `key` of these sizes; all that a split promises is checked. Which half the
/// key then belongs to, and whether it has room there, is the result.
bool check_split(NodeModel& model, const std::string& key, std::size_t value_bytes, SplitPoint* used = nullptr) {
  const NodeView node = model.view();
  const unsigned count = node.count();
  const ModelMap all = model.entries();
  const SplitPoint point = choose_split(node, model.slot_of(key), key.size() + value_bytes);
  EXPECT_GT(point.slot, 0u);
  EXPECT_LT(point.slot, count);
  const std::string separator(as_text(Bytes(point.separator, point.separator_bytes)));
  const std::string left_key = key_of(node, point.slot - 1);
  const std::string right_key = key_of(node, point.slot);
  EXPECT_LT(left_key, separator);
  EXPECT_LE(separator, right_key);
  if (node.level() > 0) {
    EXPECT_EQ(separator, right_key);
  }

  NodePage left;
  NodePage right;
  build_right_half(right.bytes(), node, point);
  build_left_half(left.bytes(), node, point, PageId{123});
  EXPECT_EQ(text_of(verify_node(right.bytes())), "ok");
  EXPECT_EQ(text_of(verify_node(left.bytes())), "ok");
  EXPECT_EQ(right.view().right(), node.right());
  EXPECT_EQ(left.view().right(), PageId{123});
  EXPECT_EQ(as_text(right.view().low_fence()), separator);
  EXPECT_EQ(as_text(left.view().high_fence()), separator);
  ModelMap both = content_of(left.view());
  EXPECT_EQ(both.size(), point.slot);
  both.merge(content_of(right.view()));
  EXPECT_TRUE(same(both, all));

  // Merged again it is the node it was, as far as it fits.
  NodePage merged;
  if (build_merged(merged.bytes(), left.view(), right.view())) {
    EXPECT_EQ(text_of(verify_node(merged.bytes())), "ok");
    EXPECT_TRUE(same(content_of(merged.view()), all));
    EXPECT_EQ(as_text(merged.view().low_fence()), as_text(node.low_fence()));
    EXPECT_EQ(merged.view().has_high_fence(), node.has_high_fence());
    EXPECT_EQ(merged.view().right(), node.right());
  } else {
    ADD_FAILURE() << "what was one node does not fit into one";
  }
  // The left half in place, by the log, is the left half as a new page.
  const NodePage left_as_built(left);
  model.truncate(point.slot, separator, PageId{123});
  EXPECT_TRUE(same(content_of(model.view()), content_of(left_as_built.view())));
  EXPECT_EQ(text_of(verify_node(model.view().page())), "ok");
  EXPECT_EQ(is_fixed(model.view()), is_fixed(left_as_built.view()));
  if (used != nullptr) *used = point;
  const NodeView half = key < separator ? left.view() : right.view();
  return half.has_room(key.size(), value_bytes);
}

// Goal: a full node of any shape can be split, both halves are sound and hold together what it held, and the
// entry that the split was for has room; only an entry that costs the node its fixed stride may need another.
// Method: random leaves filled to the brim with entries of all sizes up to the largest.
TEST(NodeBuild, SplitsOfAnyLeaf) {
  for (std::uint64_t round = 0; round < scaled(400); ++round) {
    TestRandom random(round);
    const bool has_fences = random.one_in(2);
    const std::size_t fence_bytes = random.between(1, kKeyBytesMax);
    NodeModel model(0, has_fences ? std::string(fence_bytes, 'a') : "", has_fences ? std::string(fence_bytes, 'z') : "",
                    has_fences);
    const std::size_t key_max = random.one_in(2) ? 12 : kKeyBytesMax;
    const std::size_t value_max = random.one_in(2) ? 16 : kEntryBytesMax;
    const bool fixed = random.one_in(2);
    const bool extremes = random.one_in(3);
    const bool kept = random.one_in(3);
    const unsigned order = static_cast<unsigned>(random.uniform(3));
    std::string key;
    std::string value;
    for (;;) {
      const auto size = [&](std::size_t least, std::size_t most) {
        return fixed ? most : extremes ? (random.one_in(2) ? least : most) : random.between(least, most);
      };
      key = random.word(size(8, key_max));
      key[0] = order == 0 ? key[0] : 'm';
      if (order == 1) store_big(key.data() + 1, static_cast<std::uint32_t>(model.entries().size()));
      if (order == 2) store_big(key.data() + 1, static_cast<std::uint32_t>(~model.entries().size()));
      value = random.bytes(size(0, std::min(value_max, inline_value_max(fixed ? key_max : key.size()))));
      if (!model.view().covers(as_bytes(key)) || model.entries().count(key) != 0) continue;
      if (!model.insert(key, value)) break;
      if (random.one_in(5)) model.set_ghost(key, true);
      if (random.one_in(5)) model.mark_history(key, true);
      if (kept && random.one_in(3)) {
        const std::size_t other = random.uniform(inline_value_max(key.size()) + 1);
        model.replace(key, random.bytes(other), 0, OldRoom::kKept);  // if there is room
      }
    }
    ASSERT_GE(model.view().count(), 4u);
    const bool room = check_split(model, key, value.size());
    EXPECT_TRUE(room) << "round " << round;
    if (HasFailure()) {
      FAIL() << "round " << round;
    }
    ASSERT_NO_FATAL_FAILURE(model.check_redone());
  }
}

// Goal: an odd entry into a full node of fixed stride finds room after a few splits. Method: the smallest
// entries there are, so that the slotted form is twice as large, and the largest new one.
TEST(NodeBuild, OddEntryIntoAFullFixedNode) {
  NodeModel model(0, "", "", false);
  std::string key(3, 'k');
  std::uint32_t number = 0;
  do {
    std::string bytes(4, '\0');
    store_big(bytes.data(), ++number);
    key = bytes;
  } while (model.insert(key, ""));
  const std::string odd = std::string("\0\0\0", 3) + std::string(kKeyBytesMax - 3, '\x01');
  unsigned splits = 0;
  while (!model.view().has_room(odd.size(), inline_value_max(odd.size()))) {
    SplitPoint point;
    check_split(model, odd, inline_value_max(odd.size()), &point);
    ++splits;
    if (!(odd < std::string(as_text(Bytes(point.separator, point.separator_bytes))))) break;
    ASSERT_LT(splits, 6u);
  }
  EXPECT_GE(splits, 1u);
}

// Goal: ascending inserts leave full leaves behind, descending ones too, and random ones about half.
TEST(NodeBuild, SplitsFollowThePattern) {
  const auto fill = [](bool ascending, bool has_high) {
    NodeModel model(0, "", has_high ? std::string(8, '\xFF') : "", has_high);
    std::string key(8, '\0');
    std::uint64_t number = 1u << 30;
    do {
      store_big(key.data(), ascending ? ++number : --number);
    } while (model.insert(key, std::string(kPageBytes / 512, 'v')));
    const unsigned count = model.view().count();
    SplitPoint point;
    EXPECT_TRUE(check_split(model, key, kPageBytes / 512, &point));
    return static_cast<double>(point.slot) / count;
  };
  EXPECT_GT(fill(true, false), 0.9);
  EXPECT_GT(fill(true, true), 0.9);
  EXPECT_LT(fill(false, true), 0.1);

  TestRandom random;
  NodeModel model(0, "", "", false);
  std::string key;
  do {
    key = random.bytes(8);
  } while (model.entries().count(key) != 0 || model.insert(key, "value"));
  SplitPoint point;
  store_big(key.data(), ~std::uint64_t{0} / 3);
  const unsigned count = model.view().count();
  check_split(model, key, 5, &point);
  EXPECT_GT(point.slot, count / 3);
  EXPECT_LT(point.slot, count - count / 3);
}

// Goal: separators are the shortest that separate; those between keys of one length come in eights.
TEST(NodeBuild, SeparatorsAreTruncated) {
  NodeModel model(0, "", "", false);
  for (unsigned i = 0; i < 4; ++i) {
    ASSERT_TRUE(model.insert("common/" + std::string(1, static_cast<char>('a' + i)) + std::string(20 + i, 'x'), "v"));
  }
  SplitPoint point = choose_split(model.view(), 1, 4);
  EXPECT_EQ(point.separator_bytes, 8u);
  NodeModel even(0, "", "", false);
  for (unsigned i = 0; i < 4; ++i) ASSERT_TRUE(even.insert(std::string(20, static_cast<char>('a' + i)), "v"));
  point = choose_split(even.view(), 1, 4);
  EXPECT_EQ(point.separator_bytes, 8u);
  NodeModel uneven(0, "", "", false);
  for (unsigned i = 0; i < 4; ++i) ASSERT_TRUE(uneven.insert(std::string(20 + i, static_cast<char>('a' + i)), "v"));
  point = choose_split(uneven.view(), 1, 4);
  EXPECT_EQ(point.separator_bytes, 1u);
}

// Goal: no half is made that has no room for its own fences, also when the new entry fits into neither. Method: keys
// without values take every byte of a leaf; the second begins with all of the first, so that the separator between them
// is longer than what the right half is rid of. Descending keys would leave one entry on the left.
TEST(NodeBuild, NoHalfIsTooSmallForItsFences) {
  constexpr unsigned kKeys = 12;
  for (const std::size_t value_bytes : {std::size_t{1}, kPageBytes}) {
    NodeModel model(0, "", "", false);
    std::size_t room =
        kPageBytes - kNodeHeadsOffset - kKeys * 6;  // but for heads and slots, a cell is as long as its key
    std::string key(kPageBytes / 32, 'b');
    for (unsigned i = 0; i < kKeys; ++i) {
      const std::size_t length = i == 0 ? key.size() : room / (kKeys - i);
      key.resize(length, static_cast<char>('b' + i));
      if (i > 1) key[0] = static_cast<char>('b' + i);
      ASSERT_TRUE(model.insert(key, "")) << i;
      room -= length;
    }
    ASSERT_EQ(model.view().used_bytes(), NodeView::capacity_bytes());
    SplitPoint point;
    EXPECT_EQ(check_split(model, "a", value_bytes, &point), value_bytes == 1);
    EXPECT_EQ(point.slot, 2u);
  }
}

// Goal: internal nodes split and merge with their children's order kept. Method: random separators, full node.
TEST(NodeBuild, SplitsOfInternalNodes) {
  for (std::uint64_t round = 0; round < scaled(60); ++round) {
    TestRandom random(500 + round);
    const std::string low = random.one_in(2) ? "" : "b";
    NodeModel model(2, low, random.one_in(2) ? "" : "zz", random.one_in(2));
    model = NodeModel(2, low, "zz", true);
    ASSERT_TRUE(model.insert(low, child_value(0)));
    const bool fixed = random.one_in(2);
    const std::size_t longest = random.one_in(3) ? kKeyBytesMax : 12;
    std::string key;
    for (std::uint32_t id = 1;; ++id) {
      key = "c" + random.word(fixed ? longest - 1 : random.uniform(longest));
      if (model.entries().count(key) != 0) continue;
      if (!model.insert(key, child_value(id))) break;
    }
    EXPECT_TRUE(check_split(model, key, 4)) << "round " << round;
    if (HasFailure()) {
      FAIL() << "round " << round;
    }
  }
}

// Goal: a slotted internal node can be split into a half of long separators of one length, although a half in the fixed
// form, which entry 0 has a whole record in, would not fit. Method: the odd one, which goes off, came first.
TEST(NodeBuild, SplitsOffLongSeparatorsOfOneLength) {
  for (std::size_t longest = kKeyBytesMax / 4; longest <= kKeyBytesMax; longest += kPageBytes / 512) {
    NodeModel model(1, "", "", false);
    ASSERT_TRUE(model.insert("", child_value(0)));
    ASSERT_TRUE(model.insert("zz", child_value(1)));
    std::string key(longest, 'k');
    std::uint32_t id = 1;
    do {
      store_big(key.data() + 1, ++id);
    } while (model.insert(key, child_value(id)));
    EXPECT_TRUE(check_split(model, std::string(longest, 'z'), 4)) << longest;
    ASSERT_FALSE(HasFailure()) << longest;
  }
}

// Goal: neighbours that do not fit into one node are refused, those that just fit are merged, counted under
// the shorter prefix. Method: two halves whose common prefix is lost by merging, grown entry by entry.
TEST(NodeBuild, MergeCountsUnderTheShorterPrefix) {
  const std::string a(kKeyBytesMax / 2, 'a');
  const std::string b = "b" + std::string(kKeyBytesMax / 2, 'b');
  NodeModel left(0, a, a + "\xFF", true);
  NodeModel right(0, a + "\xFF", b + "\xFF", true);
  bool merged_once = false;
  bool refused_once = false;
  for (unsigned i = 0; i < 4000 && !refused_once; ++i) {
    std::string tail(4, '\0');
    store_big(tail.data(), i);
    if (!left.insert(a + tail, "v")) break;
    if (!right.insert(b + tail, "v")) break;
    NodePage out;
    const bool merged = build_merged(out.bytes(), left.view(), right.view());
    ASSERT_FALSE(merged && refused_once);
    merged_once |= merged;
    refused_once |= !merged;
    if (!merged) continue;
    ASSERT_EQ(text_of(verify_node(out.bytes())), "ok");
    ModelMap both = left.entries();
    both.insert(right.entries().begin(), right.entries().end());
    ASSERT_TRUE(same(content_of(out.view()), both));
  }
  EXPECT_TRUE(merged_once);
  EXPECT_TRUE(refused_once);
}

// Goal: appending fills a page as inserting does, stops where it is full, and reads back.
TEST(NodeBuild, AppendUntilFull) {
  for (std::uint64_t round = 0; round < scaled(50); ++round) {
    TestRandom random(900 + round);
    const bool fixed = random.one_in(2);
    NodePage page;
    build_node(page.bytes(), ObjectId{3}, 0, round % 2 == 0, NodeFences{}, kNoPage);
    ModelMap expected;
    for (std::uint32_t number = 0;; ++number) {
      std::string key(4, '\0');
      store_big(key.data(), number);
      if (!fixed) key += random.bytes(random.uniform(30));
      const std::string value = random.bytes(fixed ? 7 : random.uniform(17));
      const std::uint8_t flags = random.one_in(9) ? kSlotGhost : 0;
      if (!append_entry(page.bytes(), flags, as_bytes(key), as_bytes(value))) break;
      expected[key] = {value, flags};
    }
    ASSERT_EQ(text_of(verify_node(page.bytes())), "ok");
    ASSERT_TRUE(same(content_of(page.view()), expected));
    EXPECT_EQ(page.view().is_root(), round % 2 == 0);
    EXPECT_GT(page.view().used_bytes() * 100, NodeView::capacity_bytes() * 85);
  }
}

// Goal: a new root leads below the separator to the left child and from it on to the right one.
TEST(NodeBuild, NewRoot) {
  NodePage page;
  build_new_root(page.bytes(), ObjectId{9}, 4, PageId{11}, as_bytes("middle"), PageId{22});
  ASSERT_EQ(text_of(verify_node(page.bytes())), "ok");
  const NodeView root = page.view();
  EXPECT_TRUE(root.is_root() && !root.is_leaf() && root.level() == 4 && root.object() == ObjectId{9});
  EXPECT_EQ(root.right(), kNoPage);
  EXPECT_EQ(root.child(root.child_slot(as_bytes(""))), PageId{11});
  EXPECT_EQ(root.child(root.child_slot(as_bytes("middld"))), PageId{11});
  EXPECT_EQ(root.child(root.child_slot(as_bytes("middle"))), PageId{22});
  EXPECT_EQ(root.child(root.child_slot(as_bytes("z"))), PageId{22});
}

}  // namespace
}  // namespace vaultgres
