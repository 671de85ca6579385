// Goal: a structure change that something is refused for (a page that cannot be read, a frame, room in the log or in
// the file) changes nothing that anybody could see: the tree is sound and holds what it held, every page is the tree's
// or free, and no latch, pin, frame or log space stays taken. Afterwards the same change succeeds.
//
// Method: each kind of change is made on a cold cache, and its k-th read fails, for every k until none is left to fail;
// then with ever so little room in the log, with no more room in the file, and with a disk that refuses writes while
// the cache is full. The cache is as large as the tree, or as small as one thread may be left with.
#include <chrono>
#include <functional>
#include <thread>

#include "btree/tree_support.h"
#include "support/random.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

/// A tree on which one change is to be made.
struct Prepared {
  Tree tree;
  std::string key;              // which the change is for
  std::function<Status()> run;  // the change
};

std::string value() {
  return std::string(kPageBytes / 64, 'v');
}

Prepared to_split(const Tree& tree, const std::string& key) {
  return {tree, key, [tree, key] { return tree.make_room(as_bytes(key), inline_value_max(key.size())); }};
}
Prepared to_merge(const Tree& tree, const std::string& key) {
  return {tree, key, [tree, key] { return tree.merge_at(as_bytes(key)); }};
}

bool is_full(TreeSpace& space, PageId leaf, std::size_t key_bytes) {
  const TestPage image = space.image_of(leaf);
  return !NodeView(image.bytes()).has_room(key_bytes, inline_value_max(key_bytes));
}

void fail_on_problem(PageId page, const std::string& what) {
  ADD_FAILURE() << "page " << raw(page) << ": " << what;
}

// --- Trees of short keys: a root over full leaves

std::vector<PageId> fill(TreeSpace& space, const Tree& tree) {
  for (std::uint64_t i = 0; i < 400; ++i) space.insert(tree, number_key(i), value());
  EXPECT_EQ(space.content(tree).root_level, 1u);
  return space.content(tree).leaves;
}

std::vector<std::string> keys_of(TreeSpace& space, PageId leaf) {
  const TestPage image = space.image_of(leaf);
  const NodeView view(image.bytes());
  std::vector<std::string> keys;
  for (unsigned i = 0; i < view.count(); ++i) keys.push_back(key_of(view, i));
  return keys;
}

/// Takes a leaf's entries but for the first `left` ones.
void thin_out(TreeSpace& space, const Tree& tree, PageId leaf, std::size_t left) {
  const std::vector<std::string> keys = keys_of(space, leaf);
  for (std::size_t i = left; i < keys.size(); ++i) space.remove(tree, keys[i]);
}

Prepared prepare_leaf_split(TreeSpace& space) {
  const Tree tree = space.create_tree();
  const PageId leaf = fill(space, tree)[2];
  EXPECT_TRUE(is_full(space, leaf, 8));
  return to_split(tree, keys_of(space, leaf)[0]);
}

Prepared prepare_root_split(TreeSpace& space) {
  const Tree tree = space.create_tree();
  for (std::uint64_t i = 0; !is_full(space, tree.root(), 8); ++i) space.insert(tree, number_key(i), value());
  return to_split(tree, number_key(3));
}

Prepared prepare_merge_with_right(TreeSpace& space) {
  const Tree tree = space.create_tree();
  const std::vector<PageId> leaves = fill(space, tree);
  thin_out(space, tree, leaves[2], 2);
  thin_out(space, tree, leaves[3], 2);
  return to_merge(tree, keys_of(space, leaves[2])[0]);
}

/// The right one is full.
Prepared prepare_merge_with_left(TreeSpace& space) {
  const Tree tree = space.create_tree();
  const std::vector<PageId> leaves = fill(space, tree);
  thin_out(space, tree, leaves[1], 2);
  thin_out(space, tree, leaves[2], 2);
  return to_merge(tree, keys_of(space, leaves[2])[0]);
}

// --- Trees of the longest keys: few children in a node

/// A full leaf under a full node that is not the root: that one is split first.
Prepared prepare_split_of_two_levels(TreeSpace& space) {
  const Tree tree = space.create_tree();
  LongKeys keys;
  space.fill_with_long_keys(tree, 2, keys);
  for (;;) {
    std::set<std::string> full_parents;  // by their first keys
    std::optional<std::string> found;
    const auto visit = [&](const NodeView& node, PageId) {
      const std::string low(as_text(node.low_fence()));
      if (node.level() == 1 && !node.has_room(kKeyBytesMax, kChildBytes)) full_parents.insert(low);
      if (node.level() > 0 || full_parents.count(low) == 0 || node.count() < 2) return;
      if (!node.has_room(kKeyBytesMax, inline_value_max(kKeyBytesMax))) found = key_of(node, 0);
    };
    must(tree.walk(visit, &fail_on_problem));
    if (found) return to_split(tree, *found);
    space.insert(tree, keys.next(), "value");
  }
}

/// Nothing is left in a tree of two inner levels: leaves, inner nodes and levels go until the root is a leaf.
Prepared prepare_merge_of_all(TreeSpace& space) {
  const Tree tree = space.create_tree();
  LongKeys keys;
  space.fill_with_long_keys(tree, 2, keys);
  for (const std::string& key : keys.given()) space.remove(tree, key);
  return to_merge(tree, *std::next(keys.given().begin(), 10));
}

/// What a crash between a merge and the collapse above it leaves: a root with a single child, `times` over.
void push_down(TreeSpace& space, const Tree& tree, unsigned times) {
  for (unsigned i = 0; i < times; ++i) {
    TestPage content = space.image_of(tree.root());
    const unsigned level = NodeView(content.bytes()).level();
    page_header(content.bytes()).flags.set(0);
    const PageId child = space.create_root(
        [&](MiniTxn& mini, ExclusiveGuard& page, ObjectId) {
          PayloadBuffer payload;
          encode_page_image(payload, content.bytes());
          mini.add(page, PageOp::kImage, payload.bytes());
        },
        tree.object());
    TestPage root;
    build_node(root.bytes(), tree.object(), level + 1, true, NodeFences{}, kNoPage);
    ASSERT_TRUE(append_entry(root.bytes(), 0, {}, as_bytes(child_value(raw(child)))));
    ASSERT_NO_FATAL_FAILURE(space.replace_node(tree.root(), root.bytes()));
  }
}

constexpr unsigned kSingleChildren = 20;  // more than the pages of a small cache

Prepared prepare_collapse(TreeSpace& space) {
  const Tree tree = space.create_tree();
  for (std::uint64_t i = 0; i < 3; ++i) space.insert(tree, number_key(i), "few");
  push_down(space, tree, kSingleChildren);
  return to_merge(tree, number_key(1));
}

struct ChangeKind {
  const char* name;
  Prepared (*prepare)(TreeSpace& space);
  bool splits;
  bool may_do_less;  // with one neighbour after the other: what is done is done, whatever the next one meets
};
constexpr ChangeKind kChanges[] = {
    {"LeafSplit", &prepare_leaf_split, true, false},
    {"RootSplit", &prepare_root_split, true, false},
    {"SplitOfTwoLevels", &prepare_split_of_two_levels, true, false},
    {"MergeWithRight", &prepare_merge_with_right, false, true},
    {"MergeWithLeft", &prepare_merge_with_left, false, true},
    {"MergeOfAll", &prepare_merge_of_all, false, true},
    {"Collapse", &prepare_collapse, false, false},
};
constexpr std::size_t kSplits = 3;  // the first ones
void PrintTo(const ChangeKind& kind, std::ostream* out) {
  *out << kind.name;
}
constexpr std::size_t kFramesOfAThread = 8;  // see kFramesMin

/// The cleaner, which may be at work, holds something for moments only.
void expect_nothing_held(const TreeSpace& space) {
  BufferPool::Held held;
  for (unsigned look = 0; look < 10'000; ++look) {
    held = space.pool->held();
    if (held.latches + held.pins + held.frames == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << held.latches << " latches, " << held.pins << " pins, " << held.frames << " frames are held";
}

/// What must be there before and after.
class Scene {
 public:
  explicit Scene(const ChangeKind& kind, std::size_t frames = 512) : space(frames), change(kind.prepare(space)) {
    before_ = space.content(change.tree);
    others_ = space.pages_allocated() - before_.pages;
    log_reserved_ = space.log->reserved();
  }

  /// Nothing is held, and what stands in the tree has not changed. How many pages it has now.
  std::size_t expect_sound() {
    expect_nothing_held(space);
    EXPECT_EQ(space.log->reserved(), log_reserved_);
    const TreeContent content = space.content(change.tree);
    const auto same = [](const auto& a, const auto& b) {
      return a.first == b.first && a.second.value == b.second.value && a.second.flags == b.second.flags;
    };
    EXPECT_TRUE(std::equal(content.entries.begin(), content.entries.end(), before_.entries.begin(),
                           before_.entries.end(), same));
    EXPECT_EQ(space.pages_allocated() - content.pages, others_) << "a page is neither free nor the tree's, or both";
    return content.pages;
  }
  std::size_t pages_before() const { return before_.pages; }

  TreeSpace space;
  Prepared change;

 private:
  TreeContent before_;
  std::uint64_t others_ = 0;
  std::uint64_t log_reserved_ = 0;
};

/// A fault of all calls of this kind from the `at`-th on, or of that one.
void inject(TreeSpace& space, IoCall call, const char* path, int os_error, std::uint64_t at = 1, bool sticky = true) {
  IoFault fault;
  fault.call = call;
  fault.at = at;
  fault.os_error = os_error;
  fault.sticky = sticky;
  fault.path_contains = path;
  space.disk.inject(fault);
}

/// Reserves all log space but so many bytes, and lets the log have no more. What was reserved.
std::uint64_t leave_log_room(TreeSpace& space, std::uint64_t left) {
  inject(space, IoCall::kOpen, "log/", ENOSPC);  // a new segment cannot be made
  std::uint64_t taken = 0;
  for (std::uint64_t bytes = PageSpace::kSegment; bytes > 0;) {
    if (space.log->reserve(bytes)) {
      taken += bytes;
    } else {
      bytes /= 2;
    }
  }
  space.log->unreserve(std::min(left, taken));
  return taken - std::min(left, taken);
}

std::string name_of(const ::testing::TestParamInfo<ChangeKind>& kind) {
  return kind.param.name;
}

class StructureFaultTest : public ::testing::TestWithParam<ChangeKind> {
 protected:
  /// How many pages the tree has after the change, when nothing fails.
  std::size_t pages_after() const {
    Scene scene(GetParam());
    must(scene.change.run());
    const std::size_t pages = scene.expect_sound();
    EXPECT_EQ(pages < scene.pages_before(), is_merge());
    return pages;
  }
  bool is_merge() const { return !GetParam().splits; }
  /// One split under another may be done.
  void expect_unchanged(Scene& scene) const {
    const std::size_t pages = scene.expect_sound();
    if (!is_merge()) {
      EXPECT_LT(pages, pages_after_);
    }
  }
  /// It works now. (A merge that was done in part may leave the rest to later ones.)
  void expect_success(Scene& scene) const {
    must(scene.change.run());
    const std::size_t pages = scene.expect_sound();
    if (is_merge()) {
      EXPECT_LT(pages, scene.pages_before());
    } else {
      EXPECT_EQ(pages, pages_after_);
    }
  }

  void fail_each_read(std::size_t frames_left) {
    std::uint64_t at = 1;
    for (bool failed = true; failed; ++at) {
      Watchdog watchdog("a change whose read " + std::to_string(at) + " fails", std::chrono::seconds(120));
      Scene scene(GetParam());
      scene.space.evict_all();
      std::vector<FrameTicket> others = scene.space.take_frames(scene.space.pool->stats().frames - frames_left);
      inject(scene.space, IoCall::kRead, "data", EIO, at, /*sticky=*/false);
      const Status done = scene.change.run();
      failed = scene.space.disk.faults_hit() > 0;
      scene.space.disk.clear_faults();
      others.clear();
      if (!done) {
        EXPECT_EQ(done.error().code(), ErrorCode::kIo) << done.error().message();
        expect_unchanged(scene);
        expect_success(scene);
      } else if (const std::size_t pages = scene.expect_sound(); pages != pages_after_) {
        EXPECT_TRUE(failed && GetParam().may_do_less) << "the error is lost";
        EXPECT_LT(pages, scene.pages_before());
      }
      ASSERT_FALSE(HasFailure()) << "read " << at << " fails, " << frames_left << " frames";
    }
    EXPECT_GT(at, 3u) << "nothing was read";
  }

  const std::size_t pages_after_ = pages_after();
};

TEST_P(StructureFaultTest, AReadThatFails) {
  fail_each_read(512);
}

TEST_P(StructureFaultTest, AReadThatFailsInASmallCache) {
  fail_each_read(kFramesOfAThread);
}

TEST_P(StructureFaultTest, TooLittleRoomInTheLog) {
  std::uint64_t refused = 0;
  for (std::uint64_t left = 0;; left += kPageBytes / 4) {
    Scene scene(GetParam());
    const std::uint64_t taken = leave_log_room(scene.space, left);
    const Status done = scene.change.run();
    scene.space.log->unreserve(taken);
    scene.space.disk.clear_faults();
    if (!done) {
      ++refused;
      EXPECT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
      expect_unchanged(scene);
      expect_success(scene);
    } else if (scene.expect_sound() == pages_after_) {
      break;
    }
    ASSERT_FALSE(HasFailure()) << left << " bytes of log";
    ASSERT_LT(left, 1000 * kPageBytes);
  }
  EXPECT_GT(refused, 3u);
}

std::vector<PageId> pages_below_root(const Tree& tree) {
  std::vector<PageId> pages;
  const auto visit = [&](const NodeView& node, PageId id) {
    if (!node.is_root()) pages.push_back(id);
  };
  must(tree.walk(visit, &fail_on_problem));
  return pages;
}

// A damaged bitmap: it says of the tree's pages that they are free, and of all free ones that they are in use. Nobody
// believes anything any more.
TEST_P(StructureFaultTest, ABitmapThatContradictsTheTree) {
  Scene scene(GetParam());
  TreeSpace& space = scene.space;
  const Tree& tree = scene.change.tree;
  const std::vector<PageId> pages = pages_below_root(tree);
  PageReservation free = must(space.allocator->reserve(static_cast<unsigned>(space.allocator->stats().pages_free)));
  space.forge_bitmaps(free.ids(), pages);
  free.release();
  const std::uint64_t in_use = space.pages_allocated();
  const std::uint64_t log_reserved = space.log->reserved();

  const Status done = scene.change.run();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kPoisoned);
  EXPECT_NE(done.error().message().find("bitmap"), std::string::npos) << done.error().message();
  expect_nothing_held(space);
  EXPECT_EQ(space.pages_allocated(), in_use);
  EXPECT_EQ(space.log->reserved(), log_reserved);
  EXPECT_EQ(pages_below_root(tree), pages);
}

INSTANTIATE_TEST_SUITE_P(Changes, StructureFaultTest, ::testing::ValuesIn(kChanges), &name_of);

class SplitFaultTest : public StructureFaultTest {};

TEST_P(SplitFaultTest, TooLittleRoomInTheFile) {
  for (std::size_t left = 0;; ++left) {
    Scene scene(GetParam());
    const auto free_pages = static_cast<std::size_t>(scene.space.allocator->stats().pages_free);
    ASSERT_GE(free_pages, left);
    PageReservation others;
    if (free_pages > left) others = must(scene.space.allocator->reserve(static_cast<unsigned>(free_pages - left)));
    inject(scene.space, IoCall::kAllocate, "data", ENOSPC);
    const Status done = scene.change.run();
    others.release();
    scene.space.disk.clear_faults();
    if (done) {
      EXPECT_GE(left, 2u);
      EXPECT_EQ(scene.expect_sound(), pages_after_);
      break;
    }
    EXPECT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
    expect_unchanged(scene);
    expect_success(scene);
    ASSERT_FALSE(HasFailure()) << left << " pages are free";
  }
}

// Frames come back when changed pages are written. When that fails nobody waits for them any more.
TEST_P(SplitFaultTest, NoFrameAndADiskThatRefusesWrites) {
  Scene scene(GetParam(), kFramesMin);
  TreeSpace& space = scene.space;
  const Tree& tree = scene.change.tree;
  const std::string& key = scene.change.key;
  std::vector<PageId> path;
  const auto visit = [&](const NodeView& node, PageId id) {
    if (node.covers(as_bytes(key))) path.push_back(id);
  };
  must(tree.walk(visit, &fail_on_problem));
  space.evict_all();
  // In the cache is what the split begins with, all of it changed.
  must(space.allocator->load_bitmaps(path));
  for (const PageId id : path) space.replace(id, space.image_of(id).bytes());
  ASSERT_LT(2 * path.size(), kFramesMin) << "so many changed pages are written at once";
  inject(space, IoCall::kWrite, "d", EIO);  // data and doublewrite
  std::vector<FrameTicket> others = space.take_frames(space.pool->stats().frames_free);
  Watchdog watchdog("a split without frames", std::chrono::seconds(120));
  const Status done = scene.change.run();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kPoisoned) << done.error().message();
  others.clear();
  space.disk.clear_faults();
  EXPECT_EQ(scene.expect_sound(), scene.pages_before());
}

INSTANTIATE_TEST_SUITE_P(Splits, SplitFaultTest,
                         ::testing::ValuesIn(std::begin(kChanges), std::begin(kChanges) + kSplits), &name_of);

// A damaged bitmap, as it is found when a database is opened: it calls pages of the tree free, and hands out the one
// that is being split, or its parent.
TEST(SplitFault, ANewPageThatIsTheOneToSplit) {
  for (const bool is_root : {false, true}) {
    TreeSpace space;
    const Prepared change = is_root ? prepare_root_split(space) : prepare_leaf_split(space);
    const PageId root = change.tree.root();
    const PageId leaf = must(change.tree.write_leaf(as_bytes(change.key))).id();
    PageReservation free = must(space.allocator->reserve(static_cast<unsigned>(space.allocator->stats().pages_free)));
    const PageId called_free[] = {leaf, root};
    space.forge_bitmaps(free.ids(), std::span(called_free).first(is_root ? 1 : 2));
    free.release();
    space.close();
    must(space.open_again(512));

    const TreeContext context{*space.pool, *space.log, *space.allocator};
    const Tree tree(context, change.tree.object(), root);
    const Watchdog watchdog("a split into the page that is split", std::chrono::seconds(120));
    const Status done = tree.make_room(as_bytes(change.key), inline_value_max(change.key.size()));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::kCorruption) << done.error().message();
    expect_nothing_held(space);
    must(tree.walk([](const NodeView&, PageId) {}, &fail_on_problem));
  }
}

// --- Freeing a tree: what is gone is gone, the next try goes on with the rest

/// A tree of two inner levels that is to be freed; the values of two of its leaves stand elsewhere.
class FreedTree {
 public:
  FreedTree() : before_(space.pages_allocated()), tree_(space.create_tree()) {
    LongKeys keys;
    space.fill_with_long_keys(tree_, 2, keys);
    space.mark_overflow(tree_, *keys.given().begin());
    space.mark_overflow(tree_, *keys.given().rbegin());
  }

  Status free_all() {
    for (bool only_root = false; !only_root;) {
      VG_ASSIGN(only_root, tree_.free_some(3, [&](Bytes key) { return space.clear_overflow(tree_, key); }));
    }
    return {};
  }
  void expect_all_free() {
    expect_nothing_held(space);
    EXPECT_EQ(space.pages_allocated(), before_ + 1) << "not only the root is left";
    EXPECT_EQ(NodeView(space.image_of(tree_.root()).bytes()).count(), 0u);
  }

  TreeSpace space;

 private:
  const std::uint64_t before_;
  const Tree tree_;
};

/// By the frames that are left. With the fewest that are enough, what has been read is gone when it is needed again.
class FreeingFaultTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(FreeingFaultTest, AReadThatFails) {
  std::uint64_t at = 1;
  for (bool failed = true; failed; ++at) {
    Watchdog watchdog("a freeing whose read " + std::to_string(at) + " fails", std::chrono::seconds(120));
    FreedTree freeing;
    TreeSpace& space = freeing.space;
    space.evict_all();
    std::vector<FrameTicket> others = space.take_frames(space.pool->stats().frames - GetParam());
    inject(space, IoCall::kRead, "data", EIO, at, /*sticky=*/false);
    const Status done = freeing.free_all();
    failed = space.disk.faults_hit() > 0;
    space.disk.clear_faults();
    others.clear();
    ASSERT_EQ(done.has_value(), !failed);
    if (failed) {
      EXPECT_EQ(done.error().code(), ErrorCode::kIo) << done.error().message();
      expect_nothing_held(space);
      must(freeing.free_all());
    }
    freeing.expect_all_free();
    ASSERT_FALSE(HasFailure()) << "read " << at << " fails";
  }
  EXPECT_GT(at, 10u);
}

TEST(FreeingFault, NoRoomInTheLog) {
  FreedTree freeing;
  TreeSpace& space = freeing.space;
  const std::uint64_t allocated = space.pages_allocated();
  const std::uint64_t taken = leave_log_room(space, 0);
  const Status done = freeing.free_all();
  space.log->unreserve(taken);
  space.disk.clear_faults();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
  EXPECT_EQ(space.pages_allocated(), allocated);
  must(freeing.free_all());
  freeing.expect_all_free();
}

INSTANTIATE_TEST_SUITE_P(Frames, FreeingFaultTest, ::testing::Values(512, 4));

}  // namespace
}  // namespace vaultgres
