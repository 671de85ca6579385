#include "btree/node_model.h"

namespace vaultgres {
namespace {

/// How the keys and values of one run look.
struct Shape {
  std::string prefix;
  std::size_t key_bytes_min = 0;  // after the prefix
  std::size_t key_bytes_max = 0;
  std::size_t value_bytes_min = 0;
  std::size_t value_bytes_max = 0;
  bool has_fences = false;
  unsigned alphabet = 256;
};

Shape random_shape(TestRandom& random) {
  Shape shape;
  const std::size_t prefix = random.one_in(2) ? 0 : random.uniform(random.one_in(2) ? 12 : kKeyBytesMax - 2);
  shape.prefix = random.bytes(prefix);
  shape.has_fences = prefix > 0;
  const std::size_t longest = kKeyBytesMax - prefix;
  const std::size_t usual = std::min<std::size_t>(longest, random.one_in(3) ? longest : 20);
  shape.key_bytes_max = random.between(1, usual);
  shape.key_bytes_min = random.one_in(2) ? shape.key_bytes_max : random.uniform(shape.key_bytes_max + 1);
  shape.value_bytes_max = random.uniform((random.one_in(3) ? inline_value_max(prefix + shape.key_bytes_max) : 24) + 1);
  shape.value_bytes_min = random.one_in(2) ? shape.value_bytes_max : random.uniform(shape.value_bytes_max + 1);
  // Few letters, zero among them: shared heads, and keys that differ in trailing zeros only.
  shape.alphabet = random.one_in(2) ? 256 : static_cast<unsigned>(random.between(1, 3));
  return shape;
}

std::string letters(TestRandom& random, std::size_t length, unsigned alphabet) {
  std::string text = random.bytes(length);
  for (char& c : text) c = static_cast<char>(static_cast<unsigned char>(c) % alphabet);
  return text;
}

std::string random_key(TestRandom& random, const Shape& shape) {
  return shape.prefix + letters(random, random.between(shape.key_bytes_min, shape.key_bytes_max), shape.alphabet);
}
std::string random_value(TestRandom& random, const Shape& shape) {
  return random.bytes(random.between(shape.value_bytes_min, shape.value_bytes_max));
}

NodeModel make_leaf(const Shape& shape) {
  if (!shape.has_fences) return NodeModel(0, "", "", false);
  // Everything that starts with the prefix lies between; the fences share it whole.
  std::string high = shape.prefix;
  high.push_back('\xFF');
  return NodeModel(0, shape.prefix, high, true);
}

void change_once(NodeModel& model, const Shape& shape, TestRandom& random, bool shrinking) {
  const auto some_key = [&] {
    return std::next(model.entries().begin(), static_cast<long>(random.uniform(model.entries().size())))->first;
  };
  const std::uint8_t flags = random.one_in(10) ? kSlotOverflow : 0;
  const std::uint64_t dice = random.uniform(100);
  if (model.entries().empty() || dice < (shrinking ? 15u : 60u)) {
    const std::string key = random_key(random, shape);
    if (shape.has_fences && !model.view().covers(as_bytes(key))) return;
    if (model.entries().count(key) != 0) {
      model.replace(key, random_value(random, shape), flags, random.one_in(3) ? OldRoom::kKept : OldRoom::kGivenUp);
    } else {
      model.insert(key, random_value(random, shape), flags);
    }
  } else if (dice < 75) {
    model.remove(some_key());
  } else if (dice < 85) {
    // Now and then a value of another length: the form of the node has to follow.
    const bool odd = random.one_in(4);
    model.replace(
        some_key(),
        odd ? random.bytes(random.uniform(30) % (inline_value_max(kKeyBytesMax) + 1)) : random_value(random, shape),
        flags, random.one_in(3) ? OldRoom::kGivenUp : OldRoom::kKept);
  } else if (dice < 92) {
    model.set_ghost(some_key(), !random.one_in(3));
  } else if (dice < 98) {
    model.mark_history(some_key(), random.one_in(2));
  } else {
    const bool all = random.one_in(2);
    model.purge([&](const std::string&) { return all || random.one_in(3); });
  }
}

// Goal: whatever is done to a leaf, it says what a std::map says, passes verify_node, refuses exactly what
// has_room refuses, and redo without history bits gives the same bytes. Method: random runs of all
// operations with keys and values of all shapes, growing until full and shrinking again.
TEST(NodeChange, AgreesWithAMap) {
  for (std::uint64_t round = 0; round < scaled(250); ++round) {
    TestRandom random(round);
    const Shape shape = random_shape(random);
    NodeModel model = make_leaf(shape);
    const std::uint64_t steps = random.between(20, 900);
    for (std::uint64_t step = 0; step < steps; ++step) {
      change_once(model, shape, random, step * 3 / steps == 1);
      if (step % 32 == 0 || step + 1 == steps) {
        ASSERT_NO_FATAL_FAILURE(model.check(random)) << "round " << round << " step " << step;
      }
    }
  }
}

// Goal: the same for internal nodes, whose first key is the low fence. Method: as above, over child ids.
TEST(NodeChange, InternalNodesAgreeWithAMap) {
  for (std::uint64_t round = 0; round < scaled(80); ++round) {
    TestRandom random(1000 + round);
    const bool leftmost = random.one_in(2);
    const std::string low = leftmost ? "" : random.bytes(random.between(1, 12));
    NodeModel model(3, low, "", false);
    ASSERT_TRUE(model.insert(low, child_value(1)));
    const std::size_t fixed_bytes = random.one_in(2) ? random.between(1, 12) : 0;
    for (unsigned step = 0; step < 700; ++step) {
      const std::string key = random.bytes(fixed_bytes != 0 ? fixed_bytes : random.between(1, 40));
      if (key <= low) continue;
      if (model.entries().count(key) != 0 || (random.one_in(3) && model.entries().size() > 1)) {
        const auto victim =
            std::next(model.entries().begin(), static_cast<long>(1 + random.uniform(model.entries().size() - 1)));
        model.remove(victim->first);
      } else {
        model.insert(key, child_value(static_cast<std::uint32_t>(random.uniform(1000000))));
      }
      if (step % 64 == 0) {
        ASSERT_NO_FATAL_FAILURE(model.check(random)) << "round " << round;
      }
    }
    ASSERT_NO_FATAL_FAILURE(model.check(random));
    const NodeView node = model.view();
    for (int i = 0; i < 50; ++i) {
      std::string key = model.near_key(random);
      if (key < low) continue;
      const auto after = model.entries().upper_bound(key);
      const unsigned slot = node.child_slot(as_bytes(key));
      ASSERT_EQ(slot, static_cast<unsigned>(std::distance(model.entries().begin(), after)) - 1);
      ASSERT_EQ(child_value(raw(node.child(slot))), std::prev(after)->second.value);
    }
  }
}

// Goal: an empty low fence does not cost an internal node its fixed stride, and keys of one length keep it.
TEST(NodeChange, LeftmostInternalNodeHasAFixedStride) {
  NodeModel model(1, "", "", false);
  ASSERT_TRUE(model.insert("", child_value(1)));
  std::string key(8, 'k');
  while (true) {
    store_big(key.data(), std::uint64_t{model.entries().size()} * 7919);
    if (!model.insert(key, child_value(2))) break;
  }
  EXPECT_TRUE(is_fixed(model.view()));
  if (kPageBytes == 8192) {
    EXPECT_GE(model.view().count(), 600u);
  }
  TestRandom random;
  model.check(random);
}

// Goal: 8-byte keys with 16-byte values fill a leaf with 300 entries or more.
TEST(NodeChange, SmallEntriesFillALeaf) {
  NodeModel model(0, "", "", false);
  std::string key(8, '\0');
  do {
    store_big(key.data(), (std::uint64_t{model.entries().size()} + 1) * 0x9E3779B97F4A7C15u);
  } while (model.insert(key, std::string(16, 'v')));
  EXPECT_TRUE(is_fixed(model.view()));
  if (kPageBytes == 8192) {
    EXPECT_GE(model.view().count(), 300u);
  }
}

// Goal: keys that differ in trailing zeros only stay apart and in order, the empty key first, in both forms.
TEST(NodeChange, TrailingZerosTellKeysApart) {
  TestRandom random;
  for (const std::size_t value_bytes : {0u, 1u}) {
    NodeModel model(0, "", "", false);
    for (std::size_t length = 0; length < 12; ++length) {
      ASSERT_TRUE(model.insert(std::string(length, '\0'), std::string(length * value_bytes, 'v')));
      ASSERT_TRUE(model.insert("a" + std::string(length, '\0'), "v"));
    }
    ASSERT_NO_FATAL_FAILURE(model.check(random));
    EXPECT_FALSE(is_fixed(model.view()));
  }
}

// Goal: heads of all ones, the greatest there are, are found among hints that are all ones for "none".
TEST(NodeChange, GreatestHeads) {
  TestRandom random;
  NodeModel model(0, "", "", false);
  for (unsigned i = 0; i < 40; ++i) {
    const std::string tail{static_cast<char>(i)};
    ASSERT_TRUE(model.insert(std::string(4, '\xFF') + tail, ""));
    ASSERT_TRUE(model.insert(std::string(3, '\xFF') + tail + tail, ""));
    ASSERT_NO_FATAL_FAILURE(model.check(random));
  }
  model.check_search(std::string(4, '\xFF'));
  model.check_search(std::string(9, '\xFF'));
}

// Goal: a page can be filled to its last byte, by an entry at the front, in the middle, at the end, in
// either form, and one byte more is refused with the page unchanged. Method: for every key length of the
// last entry, look up the greatest value that has_room admits, insert it, and compare with what is used.
TEST(NodeChange, ExactFit) {
  TestRandom random;
  for (const bool fixed : {true, false}) {
    for (std::size_t key_bytes = 1; key_bytes <= kKeyBytesMax; key_bytes += kPageBytes == 8192 ? 37 : 3) {
      for (const char first : {'a', 'm', 'z'}) {
        NodeModel model(0, "", "", false);
        const std::size_t value_bytes = inline_value_max(key_bytes);
        const std::size_t usual_bytes = 6;
        // As many as leave room for one more of the largest.
        for (unsigned i = 0; model.view().has_room(kKeyBytesMax, inline_value_max(kKeyBytesMax)); ++i) {
          std::string key = "b0000" + std::string(1, 'x');
          store_big(key.data() + 1, i * 2654435761u);
          if (i % 2 != 0) key[0] = 'y';
          if (model.entries().count(key) != 0) continue;
          ASSERT_TRUE(model.insert(key, std::string(fixed ? usual_bytes : i % (usual_bytes + 1), 'v')));
        }
        std::size_t longest = value_bytes + 1;
        while (longest > 0 && !model.view().has_room(key_bytes, longest - 1)) --longest;
        if (longest == 0) continue;  // not even an empty value
        const std::string key = std::string(1, first) + std::string(key_bytes - 1, 'k');
        if (longest <= value_bytes) {
          ASSERT_FALSE(model.insert(key, std::string(longest, 'w')));
        }
        ASSERT_TRUE(model.insert(key, std::string(longest - 1, 'w')));
        ASSERT_NO_FATAL_FAILURE(model.check(random));
        if (longest <= value_bytes && !is_fixed(model.view())) {
          // Free and full to the byte, but for heads and slots coming in fours.
          EXPECT_LT(NodeView::capacity_bytes() - model.view().used_bytes(), 4u * 6u);
        }
      }
    }
  }
}

// Goal: every combination of the largest sizes, plus and minus one, is held four times between two fences of
// the largest size; longer ones are refused. Method: build exactly that.
TEST(NodeChange, FourLargestEntriesBetweenTwoLargestFences) {
  TestRandom random;
  for (const std::size_t key_bytes : {std::size_t{2}, kKeyBytesMax / 2, kKeyBytesMax - 1, kKeyBytesMax}) {
    for (const std::size_t value_bytes : {inline_value_max(key_bytes) - 1, inline_value_max(key_bytes)}) {
      for (const std::size_t fence_bytes : {kKeyBytesMax - 1, kKeyBytesMax}) {
        for (const bool odd : {false, true}) {
          NodeModel model(0, std::string(fence_bytes, 'a'), std::string(fence_bytes, 'z'), true);
          for (const char first : {'d', 'c', 'e', 'b'}) {
            const std::size_t less = odd && first == 'c' ? 1 : 0;
            ASSERT_TRUE(model.insert(std::string(key_bytes - less, first), std::string(value_bytes, 'v')));
          }
          ASSERT_EQ(is_fixed(model.view()), !odd);
          // Slotted with all four of the largest size: the largest content there is.
          if (odd) {
            model.remove(std::string(key_bytes - 1, 'c'));
            ASSERT_TRUE(model.insert(std::string(key_bytes, 'c'), std::string(value_bytes, 'v')));
            ASSERT_FALSE(is_fixed(model.view()));
          }
          ASSERT_NO_FATAL_FAILURE(model.check(random));
        }
      }
    }
  }
  NodeModel model(0, "", "", false);
  EXPECT_FALSE(model.insert(std::string(kKeyBytesMax + 1, 'k'), ""));
  EXPECT_FALSE(model.insert("k", std::string(inline_value_max(1) + 1, 'v')));
  EXPECT_TRUE(model.insert("k", std::string(inline_value_max(1), 'v')));
  EXPECT_FALSE(model.replace("k", std::string(inline_value_max(1) + 1, 'v')));
}

// Goal: slots that grow over the rest of a removed cell are zero where they are free. Method: sixteen cells that
// fill the page to its last byte; the lowest goes; two tiny entries make the slots grow into its place.
TEST(NodeChange, SlotsGrowOverARemovedCell) {
  TestRandom random;
  const std::size_t cell_bytes = (kPageBytes - kNodeHeadsOffset - 16 * 6) / 16;
  const std::size_t value_bytes = std::min(inline_value_max(kKeyBytesMax), cell_bytes - sizeof(CellHeader)) - 2;
  const std::size_t key_bytes = cell_bytes - sizeof(CellHeader) - value_bytes + 4;
  NodeModel model(0, "", "", false);
  for (char c = 'a'; c < 'a' + 16; ++c) {
    const std::size_t less = c == 'a' ? 1 : 0;  // one of another length: slotted
    ASSERT_TRUE(model.insert(std::string(key_bytes, c), std::string(value_bytes - less, 'v')));
  }
  ASSERT_FALSE(is_fixed(model.view()));
  model.remove(std::string(key_bytes, 'a' + 15));
  ASSERT_TRUE(model.insert("x", ""));
  ASSERT_TRUE(model.insert("y", ""));
  model.check(random);
}

// Goal: an internal node whose only entry left is the first takes another stride with the next one.
TEST(NodeChange, InternalNodeChangesItsStride) {
  TestRandom random;
  NodeModel model(1, "", "", false);
  ASSERT_TRUE(model.insert("", child_value(1)));
  for (const std::size_t key_bytes : {12u, 2u, 30u, 8u}) {
    ASSERT_TRUE(model.insert(std::string(key_bytes, 'k'), child_value(0x01020304)));
    ASSERT_TRUE(is_fixed(model.view()));
    ASSERT_NO_FATAL_FAILURE(model.check(random));
    model.remove(std::string(key_bytes, 'k'));
  }
}

// Goal: a ghost is kept whole, says so on the page, can be revived with another value, and purge takes ghosts only.
TEST(NodeChange, GhostsLiveAndGo) {
  TestRandom random;
  NodeModel model(0, "", "", false);
  for (const char* key : {"a", "b", "c", "d"}) ASSERT_TRUE(model.insert(key, "1234"));
  EXPECT_FALSE(model.view().has_ghosts());
  model.set_ghost("b", true);
  model.set_ghost("d", true);
  model.mark_history("b", true);
  EXPECT_TRUE(model.view().has_ghosts());
  EXPECT_EQ(as_text(model.view().value(1)), "1234");
  ASSERT_TRUE(model.replace("b", "new and longer"));
  EXPECT_EQ(model.view().flags(1), kSlotHistory);
  model.check(random);
  model.purge([](const std::string&) { return true; });
  EXPECT_EQ(model.view().count(), 3u);
  model.check(random);
}

}  // namespace
}  // namespace vaultgres
