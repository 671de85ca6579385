// Goal: descents side by side come to the leaves that they would come to alone, whatever becomes of the tree meanwhile,
// and say the same of damage.
#include "btree/tree_support.h"
#include "buffer/page_visits.h"

namespace vaultgres {
namespace {

class MultiDescentTest : public ::testing::Test {
 protected:
  /// The low fence of the leaf that each key was visited on last; nothing for keys that were not.
  using Leaves = std::vector<std::optional<std::string>>;

  static std::vector<Bytes> bytes_of(const std::vector<std::string>& keys) {
    std::vector<Bytes> bytes;
    for (const std::string& key : keys) bytes.push_back(as_bytes(key));
    return bytes;
  }
  Result<Leaves> read_together(const std::vector<std::string>& keys) {
    Leaves leaves(keys.size());
    VG_TRY(tree_.read_leaves(bytes_of(keys), [&](std::size_t i, const NodeView& leaf, const NodeView::Found& found) {
      leaves[i] = std::string(as_text(leaf.low_fence()));
      const NodeView::Found expected = leaf.find(as_bytes(keys[i]));
      EXPECT_EQ(found.position.slot, expected.position.slot);
      EXPECT_EQ(found.position.exact, expected.position.exact);
      EXPECT_EQ(found.flags, expected.flags);
      EXPECT_EQ(as_text(found.value), as_text(expected.value));
    }));
    return leaves;
  }
  Result<Leaves> read_alone(const std::vector<std::string>& keys) {
    Leaves leaves(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      VG_TRY(tree_.read_leaf(as_bytes(keys[i]),
                             [&](const NodeView& leaf) { leaves[i] = std::string(as_text(leaf.low_fence())); }));
    }
    return leaves;
  }
  void expect_equal(const std::vector<std::string>& keys) {
    EXPECT_EQ(must(read_together(keys)), must(read_alone(keys)));
  }

  /// Up to `most`, of those in the tree and others.
  std::vector<std::string> some_keys(std::size_t most) {
    std::vector<std::string> keys(random_.uniform(most + 1));
    for (std::string& key : keys) {
      key = random_.one_in(4) ? random_.bytes(random_.uniform(kKeyBytesMax + 1)) : number_key(random_.uniform(kKeys));
    }
    return keys;
  }
  void fill(std::uint64_t keys = kKeys) {
    for (std::uint64_t i = 0; i < keys; ++i) space_.insert(tree_, number_key(i), std::string(kPageBytes / 40, 'v'));
  }

  static constexpr std::uint64_t kKeys = 4000;
  TestRandom random_;
  TreeSpace space_{1024};
  const Tree tree_ = space_.create_tree();
};

TEST_F(MultiDescentTest, EveryKeyFindsItsLeaf) {
  expect_equal({});
  expect_equal(some_keys(100));  // one page
  fill();
  for (int round = 0; round < 200; ++round) expect_equal(some_keys(round % 2 == 0 ? 20 : 100));
}

TEST_F(MultiDescentTest, EveryKeyFindsItsLeafInADeepTree) {
  LongKeys long_keys;
  space_.fill_with_long_keys(tree_, 3, long_keys);
  const std::vector<std::string> there(long_keys.given().begin(), long_keys.given().end());
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> keys = some_keys(20);
    for (int i = 0; i < 30; ++i) keys.push_back(there[random_.uniform(there.size())]);
    expect_equal(keys);
  }
}

TEST_F(MultiDescentTest, VisitsAreCountedAsThoseOfSingleReads) {
  fill();
  std::vector<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.push_back(number_key(random_.uniform(kKeys)));
  const std::uint64_t before = page_visits.tree;
  must(read_alone(keys));
  const std::uint64_t alone = page_visits.tree - before;
  must(read_together(keys));
  EXPECT_EQ(page_visits.tree - before - alone, alone);
}

// Method: the pages are on disk; more and more of the cache is somebody else's.
TEST_F(MultiDescentTest, AbsentPagesAreLoaded) {
  fill();
  const Leaves all = must(read_alone({number_key(0), number_key(kKeys - 1)}));
  for (const std::size_t left : {1000u, 40u, 12u, 4u}) {
    SCOPED_TRACE(std::to_string(left) + " frames");
    space_.evict_all();
    const std::vector<FrameTicket> taken = space_.take_frames(space_.pool->stats().frames - left);
    for (int round = 0; round < 5; ++round) expect_equal(some_keys(100));
  }
  const BufferPool::Held held = space_.pool->held();
  EXPECT_EQ(held.latches + held.pins + held.frames, 0u);
}

// Goal: a leaf that is not what it was when its lane came to it is not believed. Method: while the first keys are at
// their leaves, and so are the others, all leaves split, or are merged; or while the others wait for their leaves to be
// loaded.
TEST_F(MultiDescentTest, LeavesThatChangeMeanwhileAreFoundAnew) {
  fill();
  for (int time = 0; time < 4; ++time) {
    const bool split = time % 2 == 0;
    if (time == 2) {
      for (std::uint64_t k = 0; k < kKeys; ++k) {
        if (k % 7 != 0) space_.insert(tree_, number_key(k), std::string(kPageBytes / 40, 'v'));
      }
    }
    if (time >= 2) space_.evict_all();
    std::vector<std::string> keys;
    for (std::uint64_t i = 0; i < 60; ++i) keys.push_back(number_key(i * kKeys / 60));
    Leaves leaves(keys.size());
    bool changed = false;
    must(tree_.read_leaves(bytes_of(keys), [&](std::size_t i, const NodeView& leaf, const NodeView::Found&) {
      leaves[i] = std::string(as_text(leaf.low_fence()));
      if (std::exchange(changed, true)) return;
      for (std::uint64_t k = 0; k < kKeys; ++k) {
        const std::string key = number_key(k) + "new";
        if (split) {
          space_.insert(tree_, key, std::string(kPageBytes / 20, 'n'));
        } else {
          space_.remove(tree_, key);
          if (k % 7 != 0) space_.remove(tree_, number_key(k));
          must(tree_.merge_at(as_bytes(key)));
        }
      }
    }));
    EXPECT_EQ(leaves, must(read_alone(keys))) << (split ? "split" : "merged");
  }
}

TEST_F(MultiDescentTest, DamageIsToldAsByASingleRead) {
  fill();
  const std::vector<PageId> leaves = space_.content(tree_).leaves;
  const TestPage second = space_.image_of(leaves[1]);
  const std::string key(as_text(NodeView(space_.image_of(leaves[2]).bytes()).low_fence()));
  TestPage foreign = space_.image_of(leaves[2]);
  page_header(foreign.bytes()).object.set(raw(tree_.object()) + 1);
  for (const Bytes image : {Bytes(second.bytes()), Bytes(foreign.bytes())}) {
    space_.replace(leaves[2], image);
    for (const std::vector<std::string>& keys :
         {std::vector<std::string>{key}, std::vector<std::string>{number_key(0), key, number_key(kKeys - 1)}}) {
      const auto together = read_together(keys);
      const auto alone = read_alone({key});
      ASSERT_FALSE(together);
      ASSERT_FALSE(alone);
      EXPECT_EQ(together.error().code(), ErrorCode::kCorruption);
      EXPECT_EQ(together.error().message(), alone.error().message());
    }
  }
}

}  // namespace
}  // namespace vaultgres
