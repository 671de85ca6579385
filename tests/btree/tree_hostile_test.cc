// Goal: nodes that are sound by themselves, but not what their parents say of them, as stale or forged pages are, are
// damage to whoever meets them: kCorruption, never a wrong answer, and no structure change that builds on them.
//
// Method: pages of a tree get another image, as if they had been read from a damaged file.
#include <chrono>
#include <functional>

#include "btree/tree_support.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

class HostileTreeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint64_t i = 1; i <= kKeys; ++i) space_.insert(tree_, number_key(i * 1000), value());
    leaves_ = space_.content(tree_).leaves;
    ASSERT_GT(leaves_.size(), 6u);
    ASSERT_EQ(space_.content(tree_).root_level, 1u);
  }
  static std::string value() { return std::string(kPageBytes / 64, 'v'); }

  std::string first_key(PageId leaf) {
    const TestPage image = space_.image_of(leaf);
    return std::string(as_text(NodeView(image.bytes()).low_fence()));
  }
  Status read(Tree::Target target) {
    return tree_.read_leaf(
        target, [](const NodeView&) {}, Hint::kNormal);
  }
  template <class T>
  static void expect_damage(const char* what, const Result<T>& result) {
    if (result) {
      ADD_FAILURE() << what << " succeeded";
    } else {
      EXPECT_EQ(result.error().code(), ErrorCode::kCorruption) << what << ": " << result.error().message();
    }
  }

  /// What a node says of itself.
  struct Shape {
    ObjectId object;
    bool root;
    std::string low;
    std::string high;
    bool has_high;
    PageId right;
  };
  /// The node with another shape; entries that do not fit between its fences are left out.
  static TestPage forged(const TestPage& of, FunctionRef<void(Shape&)> change) {
    const NodeView node(of.bytes());
    Shape shape{node.object(),
                node.is_root(),
                std::string(as_text(node.low_fence())),
                std::string(as_text(node.high_fence())),
                node.has_high_fence(),
                node.right()};
    change(shape);
    TestPage page;
    build_node(page.bytes(), shape.object, node.level(), shape.root,
               NodeFences{as_bytes(shape.low), as_bytes(shape.high), shape.has_high}, shape.right);
    node.visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
      const bool kept = !NodeView(page.bytes()).covers(key) || append_entry(page.bytes(), flags, key, value);
      EXPECT_TRUE(kept) << "no room";
      return true;
    });
    return page;
  }
  /// A node above leaves where a leaf should be.
  static TestPage inner_node(const TestPage& leaf) {
    const NodeView node(leaf.bytes());
    TestPage page;
    build_node(page.bytes(), node.object(), 1, false,
               NodeFences{node.low_fence(), node.high_fence(), node.has_high_fence()}, node.right());
    EXPECT_TRUE(append_entry(page.bytes(), 0, node.low_fence(), as_bytes(child_value(5))));
    return page;
  }
  /// The inner node with another child in that place.
  static TestPage with_child(const TestPage& node, unsigned slot, PageId child) {
    TestPage page = node;
    const Bytes there = NodeView(page.bytes()).value(slot);
    store_little(page.bytes().data() + (there.data() - Bytes(page.bytes()).data()), raw(child));
    EXPECT_EQ(NodeView(page.bytes()).child(slot), child);
    return page;
  }
  /// Nothing that is called on the tree while the page says that succeeds; nothing stays latched.
  void expect_damage_while(PageId page, const TestPage& image, const char* what, const std::function<Status()>& call) {
    const Watchdog watchdog(what, std::chrono::seconds(120));
    const TestPage sound = space_.image_of(page);
    ASSERT_NO_FATAL_FAILURE(space_.replace_node(page, image.bytes()));
    const Status done = call();
    ASSERT_FALSE(done) << "not found: " << what;
    EXPECT_EQ(done.error().code(), ErrorCode::kCorruption);
    EXPECT_NE(done.error().message().find(what), std::string::npos) << done.error().message();
    space_.replace(page, sound.bytes());
  }
  /// Its first entry is left.
  void thin_out(PageId leaf) {
    const TestPage image = space_.image_of(leaf);
    const NodeView view(image.bytes());
    for (unsigned i = 1; i < view.count(); ++i) space_.remove(tree_, key_of(view, i));
  }

  static constexpr std::uint64_t kKeys = 400;
  TreeSpace space_;
  Tree tree_ = space_.create_tree();
  std::vector<PageId> leaves_;
};

constexpr char kFences[] = "its fences differ from its parent's separators";
constexpr char kObject[] = "belongs to another object";
constexpr char kLevel[] = "its level is not one below";

using Kind = Tree::Target::Kind;

// A leaf stands where another one belongs, so that what it does not hold would be taken for absent.
TEST_F(HostileTreeTest, ALeafThatDoesNotCoverTheKeyIsNotRead) {
  const std::size_t last = leaves_.size() - 1;
  const std::string in_second = first_key(leaves_[2]);
  const std::string in_last = first_key(leaves_[last]);
  space_.replace_node(leaves_[2], space_.image_of(leaves_[4]).bytes());
  space_.replace_node(leaves_[last], space_.image_of(leaves_[5]).bytes());
  for (const std::string& damaged : {in_second, in_last}) {
    expect_damage("read_leaf", read({Kind::kCovering, as_bytes(damaged)}));
    expect_damage("write_leaf", tree_.write_leaf(as_bytes(damaged)));
    Tree::Trail trail;
    expect_damage("read_leaf along a trail",
                  tree_.read_leaf(
                      {Kind::kCovering, as_bytes(damaged)}, [](const NodeView&) {}, Hint::kScan, trail));
  }
  expect_damage("read_leaf below", read({Kind::kBelow, as_bytes(in_second + "x")}));
  expect_damage("read_leaf of the last", read({Kind::kLast, {}}));
  EXPECT_TRUE(read({Kind::kCovering, as_bytes(first_key(leaves_[1]))})) << "the others are as before";
}

// Whoever goes on from a page with its latch in hand would wait for himself, as soon as somebody else waits for the
// page.
TEST_F(HostileTreeTest, ANodeThatLeadsToItselfIsNotLatchedTwice) {
  constexpr char kItself[] = "leads back to itself";
  const std::string key = first_key(leaves_[2]);
  const std::string end = first_key(leaves_[4]);
  const TestPage root = with_child(space_.image_of(tree_.root()), 2, tree_.root());
  expect_damage_while(tree_.root(), root, kItself, [&] {
    const auto size = tree_.estimate(as_bytes(key), as_bytes(end));
    return size ? Status() : Status(size.error());
  });
  space_.replace_node(tree_.root(), root.bytes());
  std::string problems;
  EXPECT_TRUE(tree_.walk([](const NodeView&, PageId) {}, [&](PageId, const std::string& what) { problems += what; }));
  EXPECT_NE(problems.find(kItself), std::string::npos) << problems;
}

// A leaf as it was before it was split still covers the key, but reaches further than its parent says. A split or merge
// that believed it would put the keys behind that place into the tree a second time.
TEST_F(HostileTreeTest, ALeafFromBeforeItsSplitIsNeitherSplitNorMerged) {
  const std::string low = first_key(leaves_[2]);
  const auto number = load_big<std::uint64_t>(low.data());
  const TestPage before = space_.image_of(leaves_[2]);
  const std::size_t pages = space_.content(tree_).pages;
  for (std::uint64_t i = 1; space_.content(tree_).pages == pages; ++i)
    space_.insert(tree_, number_key(number + i), value());
  space_.replace_node(leaves_[2], before.bytes());
  expect_damage("make_room", tree_.make_room(as_bytes(low), kPageBytes / 4));
  // Nearly empty, with the fences that it had.
  TestPage empty = before;
  RedoTable ops;
  register_node_ops(ops);
  PayloadBuffer payload;
  encode_node_remove(payload, 1);
  while (NodeView(empty.bytes()).count() > 1) {
    ASSERT_TRUE(ops.find(raw(PageOp::kNodeRemove)).apply(empty.bytes(), payload.bytes()));
  }
  space_.replace_node(leaves_[2], empty.bytes());
  expect_damage("merge_at", tree_.merge_at(as_bytes(low)));
}

// The neighbour that a merge would join is not the one that its parent means.
TEST_F(HostileTreeTest, ALeafIsNotMergedWithAForgedNeighbour) {
  const TestPage leaf = space_.image_of(leaves_[2]);
  const std::string low = first_key(leaves_[2]);
  space_.replace_node(leaves_[3], space_.image_of(leaves_[5]).bytes());
  std::vector<std::string> keys;
  NodeView(leaf.bytes()).visit_up(0, [&](unsigned, Bytes each, Bytes, std::uint8_t) {
    keys.emplace_back(as_text(each));
    return true;
  });
  for (std::size_t i = 1; i < keys.size(); ++i) space_.remove(tree_, keys[i]);
  expect_damage("merge_at", tree_.merge_at(as_bytes(low)));
}

// A forged parent: the neighbour that it names is the leaf itself, or the parent.
TEST_F(HostileTreeTest, ALeafIsNotMergedWithItselfOrItsParent) {
  const TestPage sound = space_.image_of(tree_.root());
  const std::size_t last = leaves_.size() - 1;
  const auto expect_no_merge = [&](std::size_t leaf, std::size_t neighbour) {
    const std::string low = first_key(leaves_[leaf]);
    for (const PageId named : {leaves_[leaf], tree_.root()}) {
      const TestPage image = with_child(sound, static_cast<unsigned>(neighbour), named);
      ASSERT_NO_FATAL_FAILURE(space_.replace_node(tree_.root(), image.bytes()));
      const auto merged = tree_.merge_at(as_bytes(low));
      ASSERT_FALSE(merged);
      EXPECT_NE(merged.error().message().find("leads to one page by two separators"), std::string::npos)
          << merged.error().message();
    }
    space_.replace_node(tree_.root(), sound.bytes());
  };
  for (const std::size_t leaf : {std::size_t{2}, last}) thin_out(leaves_[leaf]);
  ASSERT_NO_FATAL_FAILURE(expect_no_merge(2, 3));
  ASSERT_NO_FATAL_FAILURE(expect_no_merge(last, last - 1));
}

TEST_F(HostileTreeTest, ANodeWithAWrongRootFlagIsNotSplit) {
  const std::string low = first_key(leaves_[2]);
  const auto split = [&] { return tree_.make_room(as_bytes(low), kPageBytes / 4); };
  expect_damage_while(leaves_[2], forged(space_.image_of(leaves_[2]), [](Shape& shape) { shape.root = true; }),
                      "its root flag is wrong", split);
  // The same of a root that is to be split, and of one that is a leaf.
  const Tree leaf = space_.create_tree(ObjectId{41});
  for (std::uint64_t i = 0; i < 4; ++i) space_.insert(leaf, number_key(i), value());
  expect_damage_while(leaf.root(), forged(space_.image_of(leaf.root()), [](Shape& shape) { shape.root = false; }),
                      "its root flag is wrong", [&] { return leaf.make_room(as_bytes(number_key(2)), kPageBytes); });
}

// Its parent has no room for another child, and cannot be split.
TEST_F(HostileTreeTest, ALeafBelowANodeWithAWrongRootFlagIsNotSplit) {
  const Tree tree = space_.create_tree(ObjectId{41});
  LongKeys keys;
  space_.fill_with_long_keys(tree, 2, keys);
  std::vector<PageId> parents;
  must(tree.walk(
      [&](const NodeView& node, PageId id) {
        if (node.level() == 1) parents.push_back(id);
      },
      [](PageId, const std::string& what) { ADD_FAILURE() << what; }));
  const auto mark = [&](bool root) {
    for (const PageId parent : parents) {
      const TestPage image = forged(space_.image_of(parent), [&](Shape& shape) { shape.root = root; });
      space_.replace_node(parent, image.bytes());
    }
  };
  mark(true);
  std::string key;
  Status room;
  do {
    if (!key.empty()) space_.insert(tree, key, "value");
    key = keys.next();
    room = tree.make_room(as_bytes(key), 5);
  } while (room);
  EXPECT_EQ(room.error().code(), ErrorCode::kCorruption);
  EXPECT_NE(room.error().message().find("its root flag is wrong"), std::string::npos) << room.error().message();
  mark(false);
  EXPECT_EQ(space_.content(tree).entries.size(), keys.given().size() - 1);
  must(tree.make_room(as_bytes(key), 5));
}

// Nothing that is in a leaf takes so much room; but a caller that asks for more than a page has is told so.
TEST_F(HostileTreeTest, ALeafOfOneEntryIsNotSplit) {
  thin_out(leaves_[2]);
  const std::size_t pages = space_.content(tree_).pages;
  expect_damage("make_room", tree_.make_room(as_bytes(first_key(leaves_[2])), kPageBytes));
  EXPECT_EQ(space_.content(tree_).pages, pages);
}

// A leaf that covers the key, but reaches further than its parent says, or less far, or to no end.
TEST_F(HostileTreeTest, ALeafWithOtherFencesIsNeitherSplitNorMerged) {
  const std::size_t last = leaves_.size() - 1;
  struct Case {
    std::size_t leaf;
    std::function<void(Shape&)> change;
  };
  const Case cases[] = {
      {2, [](Shape& shape) { shape.high.clear(), shape.has_high = false; }},
      {2, [](Shape& shape) { shape.high += "x"; }},
      {2, [](Shape& shape) { shape.low.clear(); }},
      {last, [](Shape& shape) { shape.high = number_key((kKeys + 1) * 1000), shape.has_high = true; }},
      {last, [&](Shape& shape) { shape.low = first_key(leaves_[2]); }},
  };
  for (const bool merging : {false, true}) {
    for (const Case& each : cases) {
      const PageId leaf = leaves_[each.leaf];
      const std::string low = first_key(leaf);
      expect_damage_while(leaf, forged(space_.image_of(leaf), each.change), kFences, [&] {
        return merging ? tree_.merge_at(as_bytes(low)) : tree_.make_room(as_bytes(low), kPageBytes / 4);
      });
    }
    for (const std::size_t leaf : {std::size_t{2}, last}) thin_out(leaves_[leaf]);
  }
}

// The last leaf of an inner node reaches to that node's end, says the node above.
TEST_F(HostileTreeTest, ALastLeafThatReachesBeyondItsParentIsNotMerged) {
  const Tree tree = space_.create_tree(ObjectId{41});
  LongKeys keys;
  space_.fill_with_long_keys(tree, 2, keys);
  PageId last = kNoPage;
  must(tree.walk(
      [&](const NodeView& node, PageId) {
        if (node.level() == 1 && node.has_high_fence()) last = node.child(node.count() - 1);
      },
      [](PageId, const std::string& what) { ADD_FAILURE() << what; }));
  ASSERT_NE(last, kNoPage);
  TestPage image;
  std::string low;
  {
    const TestPage sound = space_.image_of(last);
    const NodeView view(sound.bytes());
    low = as_text(view.low_fence());
    std::string high(as_text(view.high_fence()));
    high[0] = static_cast<char>(high[0] + 1);
    build_node(image.bytes(), view.object(), 0, false, NodeFences{as_bytes(low), as_bytes(high), true}, view.right());
  }
  expect_damage_while(last, image, kFences, [&] { return tree.merge_at(as_bytes(low)); });
}

// The neighbour on either side is not what the parent says of it.
TEST_F(HostileTreeTest, ALeafIsNotMergedWithAWrongNeighbour) {
  const std::size_t last = leaves_.size() - 1;
  for (const std::size_t leaf : {std::size_t{2}, last}) {
    thin_out(leaves_[leaf]);
    const PageId neighbour = leaves_[leaf == last ? last - 1 : leaf + 1];
    const TestPage sound = space_.image_of(neighbour);
    const auto expect = [&](const TestPage& image, const char* what) {
      expect_damage_while(neighbour, image, what, [&] { return tree_.merge_at(as_bytes(first_key(leaves_[leaf]))); });
    };
    expect(forged(sound, [](Shape& shape) { shape.object = ObjectId{41}; }), kObject);
    expect(inner_node(sound), kLevel);
    expect(forged(sound, [](Shape& shape) { shape.low.clear(); }), kFences);
    expect(forged(sound, [](Shape& shape) { shape.high += "x"; }), kFences);
    // The left one of the two has the link.
    const PageId left = leaf == last ? neighbour : leaves_[leaf];
    const TestPage astray = forged(space_.image_of(left), [&](Shape& shape) { shape.right = leaves_[0]; });
    expect_damage_while(left, astray, "its right sibling is not its parent's next child",
                        [&] { return tree_.merge_at(as_bytes(first_key(leaves_[leaf]))); });
    ASSERT_FALSE(HasFailure()) << "leaf " << leaf;
  }
  EXPECT_EQ(space_.content(tree_).leaves, leaves_);
}

// --- Freeing

class HostileFreeTest : public HostileTreeTest {
 protected:
  Result<bool> free_some() {
    return tree_.free_some(3, [](Bytes) { return Status{}; });
  }
  Status free() {
    auto done = free_some();
    return done ? Status{} : Status{done.error()};
  }
};

TEST_F(HostileFreeTest, NoPageGoesThatIsNotTheTrees) {
  const std::uint64_t allocated = space_.pages_allocated();
  const auto other_object = [](Shape& shape) { shape.object = ObjectId{41}; };
  const TestPage root = space_.image_of(tree_.root());
  const unsigned last = NodeView(root.bytes()).count() - 1;
  const auto expect = [&](PageId page, const TestPage& image, const char* what) {
    expect_damage_while(page, image, what, [&] { return free(); });
  };
  expect(tree_.root(), forged(root, other_object), kObject);
  expect(tree_.root(), with_child(root, last, tree_.root()), "leads to itself");
  expect(tree_.root(), with_child(root, last, kFirstBitmapPage), "reached as a tree node, but it is none");
  expect(leaves_.back(), forged(space_.image_of(leaves_.back()), other_object), kObject);
  expect(leaves_.back(), inner_node(space_.image_of(leaves_.back())), kLevel);
  EXPECT_EQ(space_.pages_allocated(), allocated);
  EXPECT_EQ(space_.content(tree_).entries.size(), kKeys);
}

TEST_F(HostileFreeTest, NoInnerNodeGoesThatIsNotTheTrees) {
  tree_ = space_.create_tree(ObjectId{41});
  LongKeys keys;
  space_.fill_with_long_keys(tree_, 2, keys);
  const TestPage root = space_.image_of(tree_.root());
  const unsigned last = NodeView(root.bytes()).count() - 1;
  const PageId inner = NodeView(root.bytes()).child(last);
  const std::uint64_t allocated = space_.pages_allocated();
  expect_damage_while(tree_.root(), with_child(root, last, leaves_[0]), kObject, [&] { return free(); });
  expect_damage_while(tree_.root(), with_child(root, last, tree_.root()), kLevel, [&] { return free(); });
  expect_damage_while(inner, forged(space_.image_of(inner), [](Shape& shape) { shape.object = ObjectId{42}; }), kObject,
                      [&] { return free(); });
  EXPECT_EQ(space_.pages_allocated(), allocated);
  EXPECT_EQ(space_.content(tree_).entries.size(), keys.given().size());
}

// Its values are to be moved out first, by way of its low fence. When that changes nothing, there is no end to it.
TEST_F(HostileFreeTest, ALeafThatKeepsItsOverflowValuesDoesNotGo) {
  constexpr char kNotFound[] = "is not the leaf that its low fence leads to";
  space_.mark_overflow(tree_, number_key(kKeys * 1000));
  const std::uint64_t allocated = space_.pages_allocated();
  expect_damage_while(leaves_.back(), space_.image_of(leaves_.back()), kNotFound, [&] { return free(); });
  EXPECT_EQ(space_.pages_allocated(), allocated);
  // The same of a root that is a leaf.
  tree_ = space_.create_tree(ObjectId{41});
  space_.insert(tree_, "key", "value");
  space_.mark_overflow(tree_, "key");
  expect_damage_while(tree_.root(), space_.image_of(tree_.root()), kNotFound, [&] { return free(); });
}

// What moves the values out fails.
TEST_F(HostileFreeTest, ALeafWhoseOverflowValuesCannotBeMovedDoesNotGo) {
  const auto refuse = [](Bytes) -> Status { return Error(ErrorCode::kNoSpace, "no room for them"); };
  space_.mark_overflow(tree_, number_key(kKeys * 1000));
  const std::uint64_t allocated = space_.pages_allocated();
  const auto freed = tree_.free_some(3, refuse);
  ASSERT_FALSE(freed);
  EXPECT_EQ(freed.error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(space_.pages_allocated(), allocated);
  tree_ = space_.create_tree(ObjectId{41});
  space_.insert(tree_, "key", "value");
  space_.mark_overflow(tree_, "key");
  EXPECT_FALSE(tree_.free_some(3, refuse));
}

// The bitmap says that it is free already.
TEST_F(HostileFreeTest, APageThatIsFreeIsNotFreed) {
  space_.forge_bitmaps({}, std::span(&leaves_.back(), 1));
  const std::uint64_t allocated = space_.pages_allocated();
  const auto freed = free_some();
  ASSERT_FALSE(freed);
  EXPECT_EQ(freed.error().code(), ErrorCode::kPoisoned) << freed.error().message();
  EXPECT_EQ(space_.pages_allocated(), allocated);
}

}  // namespace
}  // namespace vaultgres
