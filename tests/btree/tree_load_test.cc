#include "btree/tree_load.h"

#include <bit>
#include <cerrno>
#include <set>

#include "btree/tree_support.h"

namespace vaultgres {
namespace {

/// Entries of many kinds, each kind drawn by chance.
ModelMap random_entries(TestRandom& random, std::size_t count) {
  const bool fixed = random.one_in(3);
  const bool extremes = random.one_in(4);
  const std::string prefix = random.word(random.one_in(2) ? 0 : random.uniform(kKeyBytesMax - 16));
  const std::size_t tail_max = random.one_in(2) ? 12 : kKeyBytesMax - prefix.size();
  const std::size_t value_max = random.one_in(2) ? 12 : kEntryBytesMax;
  const auto size = [&](std::size_t most) {
    return fixed ? most : extremes ? (random.one_in(2) ? 0 : most) : random.uniform(most + 1);
  };
  ModelMap entries;
  if (random.one_in(8)) entries[""] = {"of the empty key", 0};
  while (entries.size() < count) {
    std::string tail = random.one_in(2) ? random.bytes(size(tail_max)) : random.word(size(tail_max));
    if (!fixed && random.one_in(4)) tail = number_key(random.uniform(1000)) + tail;
    tail.resize(std::min(tail.size(), kKeyBytesMax - prefix.size()));
    const std::uint8_t flags = random.one_in(10) ? kSlotOverflow : 0;
    const std::string key = prefix + random.word(2) + tail.substr(0, kKeyBytesMax - prefix.size() - 2);
    entries[key] = {random.bytes(std::min(size(value_max), inline_value_max(key.size()))), flags};
  }
  return entries;
}

Status add_all(TreeLoad& load, const ModelMap& entries) {
  for (const auto& [key, entry] : entries) {
    Status added = load.add(as_bytes(key), as_bytes(entry.value), entry.flags);
    if (!added) return added;
  }
  return {};
}

bool same_but_room(const ModelMap& a, const ModelMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.value == y.second.value && x.second.flags == y.second.flags;
  });
}

/// Loads the entries into a new tree, which then holds just these and takes more.
TreeContent check_load(TreeSpace& space, const ModelMap& entries, unsigned fill_percent = TreeLoad::kFillPercent) {
  const Tree tree = space.create_tree();
  TreeLoad load(tree, fill_percent);
  must(add_all(load, entries));
  must(load.finish());
  EXPECT_EQ(load.entries(), entries.size());
  TreeContent content = space.content(tree);
  EXPECT_TRUE(same_but_room(content.entries, entries)) << entries.size() << " entries";

  TestRandom random(entries.size());
  std::size_t more = 0;
  for (const auto& [key, entry] : entries) {
    if (!random.one_in(entries.size() / 20 + 1)) continue;
    EXPECT_EQ(space.find(tree, key), entry.value);
    const std::string next = key + '\0';
    if (next.size() > kKeyBytesMax || entries.count(next) != 0) continue;
    space.insert(tree, next, "later");
    EXPECT_EQ(space.find(tree, next), "later");
    ++more;
  }
  EXPECT_EQ(space.content(tree).entries.size(), entries.size() + more);
  return content;
}

/// Frees the tree but for its root page; overflow flags go first, as if their chains had been moved out.
void free_all(TreeSpace& space, const Tree& tree) {
  while (!must(tree.free_some(7, [&](Bytes key) { return space.clear_overflow(tree, key); }))) {
  }
}

// Goal: a tree of any size holds what was loaded. Method: each number of entries around the first leaves and the first
// inner nodes, and larger ones; entries of one size and of many.
TEST(TreeLoad, AnyNumberOfEntries) {
  TreeSpace space;
  for (std::size_t count = 0; count < 70; ++count) {
    ModelMap entries;
    for (std::size_t i = 0; i < count; ++i) entries[number_key(i)] = {std::string(inline_value_max(8), 'v'), 0};
    check_load(space, entries);
    ASSERT_FALSE(HasFailure()) << count << " entries";
  }
  for (const std::size_t count : {200u, 1000u, 5000u, 20'000u}) {
    ModelMap entries;
    for (std::size_t i = 0; i < count; ++i) entries[number_key(i * i)] = {std::string(i % 5 == 0 ? 3 : 12, 'v'), 0};
    check_load(space, entries);
    ASSERT_FALSE(HasFailure()) << count << " entries";
  }
}

// Goal: the same for entries of all sizes up to the largest, equal beginnings, overflow flags, any fill.
TEST(TreeLoad, RandomEntries) {
  for (std::uint64_t round = 0; round < scaled(60); ++round) {
    TestRandom random(round);
    TreeSpace space;
    const ModelMap entries = random_entries(random, random.zipf(3000));
    check_load(space, entries, static_cast<unsigned>(random.between(1, 100)));
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

// Goal: the largest entries there are: few in a leaf, few children in a node, so that the tree is deep.
TEST(TreeLoad, LongestKeysAndValues) {
  TreeSpace space;
  ModelMap entries;
  for (std::uint64_t i = 0; i < 400; ++i) {
    // Neighbours differ in the last byte: separators have full length.
    std::string key(kKeyBytesMax, 'k');
    key[0] = static_cast<char>('a' + i / 20 % 20);
    key.back() = static_cast<char>('a' + i % 20);
    entries[key] = {std::string(inline_value_max(key.size()), static_cast<char>('0' + i % 10)), kSlotOverflow};
  }
  ASSERT_EQ(entries.size(), 400u);
  const TreeContent content = check_load(space, entries, 100);
  EXPECT_GE(content.root_level, kPageBytes == 1024 ? 3u : 2u);
}

// Goal: what ends in a leaf without a high fence, so without a prefix, takes a leaf more when it must.
TEST(TreeLoad, LastLeafWithoutPrefix) {
  TreeSpace space;
  const std::string prefix(kKeyBytesMax - 8, 'p');
  for (std::size_t count = 1; count < 2 * kPageBytes / 16; count += count / 8 + 1) {
    ModelMap entries;
    // A first key that has nothing in common with the others would keep the prefix out of the first leaf.
    for (std::uint64_t i = 0; i < count; ++i) entries[prefix + number_key(i)] = {"v", 0};
    check_load(space, entries, 100);
    ASSERT_FALSE(HasFailure()) << count << " entries";
  }
}

// Goal: an entry that is not above the last one, or that no leaf takes, is refused and changes nothing.
TEST(TreeLoad, RefusesWrongEntries) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  TreeLoad load(tree);
  ModelMap entries;
  const auto code = [&](const std::string& key, const std::string& value, std::uint8_t flags = 0) {
    const Status added = load.add(as_bytes(key), as_bytes(value), flags);
    return added ? std::optional<ErrorCode>() : added.error().code();
  };
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const std::string key = number_key(2 * i + 1);
    ASSERT_EQ(code(key, "value"), std::nullopt);
    entries[key] = {"value", 0};
    ASSERT_EQ(code(key, "value"), ErrorCode::kInvalidArgument);
    ASSERT_EQ(code(number_key(2 * i), "value"), ErrorCode::kInvalidArgument);
    ASSERT_EQ(code(key.substr(0, 7), "value"), ErrorCode::kInvalidArgument);
    ASSERT_EQ(code("", "value"), ErrorCode::kInvalidArgument);
    ASSERT_EQ(code(std::string(kKeyBytesMax + 1, '\xFF'), "value"), ErrorCode::kTooLarge);
    ASSERT_EQ(code("\xFF", std::string(inline_value_max(1) + 1, 'v')), ErrorCode::kTooLarge);
    ASSERT_EQ(code("\xFF", "value", kSlotGhost), ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(load.entries(), 3000u);
  must(load.finish());
  EXPECT_TRUE(same_but_room(space.content(tree).entries, entries));
}

// Goal: a load into a tree that holds something already is an error, and leaves it as it is.
TEST(TreeLoad, RefusesAFilledTree) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  space.insert(tree, "there", "already");
  TreeLoad load(tree);
  must(load.add(as_bytes("new"), as_bytes("value")));
  const Status finished = load.finish();
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code(), ErrorCode::kCorruption);
  EXPECT_EQ(space.content(tree).entries.size(), 1u);
}

// Goal: when the data file cannot grow, the tree so far is sound, holds the first of the entries, and can be freed;
// or the load goes on when there is room. Method: it gets 0, 1, 2, … pages, so that each of its records is the first
// that is missing.
TEST(TreeLoad, OutOfSpaceAtEachPage) {
  TestRandom random;
  ModelMap entries;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const std::uint8_t flags = random.one_in(4) ? kSlotOverflow : 0;
    entries["a prefix " + number_key(i) + random.word(kKeyBytesMax / 2)] = {
        random.bytes(inline_value_max(kKeyBytesMax)), flags};
  }
  bool done = false;
  for (unsigned pages = 0; !done; pages += 1 + pages / 40) {
    TreeSpace space;
    const Tree tree = space.create_tree();
    const std::uint64_t before = space.pages_allocated();
    // All free pages but these are taken away.
    if (pages > 0) must(space.allocator->reserve(pages)).release();
    space.disk.inject({.call = IoCall::kAllocate, .os_error = ENOSPC, .sticky = true, .path_contains = "data"});
    const auto free = static_cast<unsigned>(space.allocator->stats().pages_free);
    PageReservation rest;
    if (free > pages) rest = must(space.allocator->reserve(free - pages));

    TreeLoad load(tree);
    Status loaded;
    auto next = entries.begin();
    for (; next != entries.end() && loaded; ++next) {
      loaded = load.add(as_bytes(next->first), as_bytes(next->second.value), next->second.flags);
    }
    if (loaded) loaded = load.finish();
    done = loaded.has_value();
    const TreeContent content = space.content(tree);
    ASSERT_TRUE(std::equal(content.entries.begin(), content.entries.end(), entries.begin(),
                           [](const auto& a, const auto& b) { return a.first == b.first; }));
    ASSERT_EQ(space.pages_allocated(), before - 1 + content.pages + rest.count());
    if (!done) {
      ASSERT_EQ(loaded.error().code(), ErrorCode::kNoSpace);
      ASSERT_LT(content.entries.size(), entries.size());
      ASSERT_TRUE(space.poison.check());
    }
    rest.release();
    if (pages % 2 == 0) {
      space.disk.clear_faults();
      must(add_all(load, ModelMap(next, entries.end())));
      must(load.finish());
      ASSERT_TRUE(same_but_room(space.content(tree).entries, entries));
    } else {
      free_all(space, tree);
      ASSERT_EQ(space.pages_allocated(), before);
    }
    ASSERT_FALSE(HasFailure()) << pages << " pages";
  }
}

/// The tree on pages made from the log, checked without the engine: nodes, fences against separators, right
/// siblings, allocation.
class LoggedTree {
 public:
  LoggedTree(const TreeSpace::Pages& pages, PageId root) : pages_(pages), root_(root) {}

  /// Its leaves' entries.
  ModelMap check() {
    const NodeView root = node_at(root_);
    EXPECT_TRUE(root.is_root() && !root.has_high_fence() && root.low_fence().empty());
    check_node(root_, root.level(), "", "", false);
    for (const auto& [level, nodes] : levels_) {
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        EXPECT_EQ(node_at(nodes[i]).right(), i + 1 < nodes.size() ? nodes[i + 1] : kNoPage);
      }
    }
    std::size_t bits = 0;
    BitmapWords words;
    copy_bitmap_bits(pages_.at(kFirstBitmapPage).bytes(), words);
    for (const std::uint64_t word : words) bits += static_cast<unsigned>(std::popcount(word));
    EXPECT_EQ(bits, raw(kFirstUserPage) + node_count_);
    return entries_;
  }

 private:
  NodeView node_at(PageId id) const { return NodeView(pages_.at(id).bytes()); }
  void check_node(PageId id, unsigned level, const std::string& low, const std::string& high, bool has_high) {
    const NodeView node = node_at(id);
    EXPECT_EQ(text_of(verify_node(node.page())), "ok");
    EXPECT_EQ(node.level(), level);
    EXPECT_EQ(as_text(node.low_fence()), low);
    EXPECT_EQ(node.has_high_fence(), has_high);
    EXPECT_EQ(as_text(node.high_fence()), high);
    EXPECT_TRUE(bitmap_bit(pages_.at(kFirstBitmapPage).bytes(), bitmap_bit_of(id)));
    levels_[level].push_back(id);
    ++node_count_;
    for (unsigned slot = 0; slot < node.count(); ++slot) {
      if (level == 0) {
        entries_[key_of(node, slot)] = {std::string(as_text(node.value(slot))), node.flags(slot)};
      } else {
        const bool last = slot + 1 == node.count();
        check_node(node.child(slot), level - 1, key_of(node, slot), last ? high : key_of(node, slot + 1),
                   !last || has_high);
      }
    }
  }

  const TreeSpace::Pages& pages_;
  PageId root_;
  std::map<unsigned, std::vector<PageId>> levels_;
  std::size_t node_count_ = 0;
  ModelMap entries_;
};

// Goal: a crash after any record leaves a sound tree with the first of the entries, and redo of them all gives the
// pages as they are. Method: the log is replayed record by record into pages of its own.
TEST(TreeLoad, SoundAfterEachRecord) {
  for (std::uint64_t round = 0; round < scaled(6); ++round) {
    TestRandom random(700 + round);
    TreeSpace space;
    const Tree tree = space.create_tree();
    const ModelMap entries = random_entries(random, 500);
    TreeLoad load(tree);
    must(add_all(load, entries));
    must(load.finish());

    std::size_t records = 0;
    std::size_t count = 0;
    TreeSpace::Pages redone = space.replay([&](const TreeSpace::Pages& pages) {
      if (pages.count(tree.root()) == 0) return;
      const ModelMap so_far = LoggedTree(pages, tree.root()).check();
      EXPECT_GE(so_far.size(), count);
      EXPECT_TRUE(same_but_room(
          so_far, ModelMap(entries.begin(), std::next(entries.begin(), static_cast<long>(so_far.size())))));
      count = so_far.size();
      ++records;
    });
    EXPECT_EQ(count, entries.size());
    EXPECT_GT(records, 1u);
    for (auto& [id, page] : redone) {
      TestPage now = space.image_of(id);
      for (TestPage* each : {&now, &page}) page_header(each->bytes()).checksum.set(0);
      EXPECT_TRUE(now == page) << "page " << raw(id);
    }
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

// Goal: a load goes on when its pages leave the cache behind it. Method: the smallest cache, many more pages.
TEST(TreeLoad, SmallCache) {
  TreeSpace space(kFramesMin);
  ModelMap entries;
  for (std::uint64_t i = 0; i < 300; ++i) entries[number_key(i)] = {std::string(inline_value_max(8), 'v'), 0};
  check_load(space, entries);
  EXPECT_GT(space.pool->stats().evictions, 0u);
}

struct Fill {
  std::size_t leaves = 0;
  std::size_t pages = 0;
  double percent = 0;
};
Fill fill_of(const TreeContent& content) {
  Fill fill{content.leaves.size(), content.pages, 0};
  // The last leaf is as full as it happens to be.
  for (std::size_t i = 0; i + 1 < fill.leaves; ++i) fill.percent += static_cast<double>(content.used_bytes[i]);
  fill.percent *= 100.0 / static_cast<double>((fill.leaves - 1) * NodeView::capacity_bytes());
  return fill;
}

// Goal: leaves are as full as wished for, and at the highest fill no more than ascending inserts make; the log gets
// about one image of each. Method: 24-byte entries of one size, and keys that begin alike, both ways.
TEST(TreeLoad, FillsLeaves) {
  const std::uint64_t count = 5000;
  for (const std::string prefix : {"", "shop/order/2026/"}) {
    ModelMap entries;
    for (std::uint64_t i = 0; i < count; ++i) entries[prefix + number_key(1000 * i)] = {std::string(16, 'v'), 0};
    Fill by_percent[101] = {};
    for (const unsigned percent : {50u, 90u, 100u}) {
      TreeSpace space;
      const Tree tree = space.create_tree();
      TreeLoad load(tree, percent);
      const std::uint64_t log_before = raw(space.log->end());
      must(add_all(load, entries));
      must(load.finish());
      const std::uint64_t log_bytes = raw(space.log->end()) - log_before;
      const Fill fill = fill_of(space.content(tree));
      std::printf(
          "%zu-byte keys, 16-byte values, wished fill %u %%: %zu leaves, %zu pages, %.1f %% full, %.2f log bytes"
          " for a leaf byte\n",
          prefix.size() + 8, percent, fill.leaves, fill.pages, fill.percent,
          static_cast<double>(log_bytes) * 100 /
              (fill.percent * static_cast<double>(fill.leaves * NodeView::capacity_bytes())));
      EXPECT_LE(fill.percent, percent + 0.01);
      // A shorter separator is worth a thirty-second; an entry is not divided.
      EXPECT_GE(fill.percent, percent * 31.0 / 32 - 4.0 * 1024 / kPageBytes);
      EXPECT_LE(log_bytes, fill.pages * (kPageBytes + 512));
      by_percent[percent] = fill;
    }
    TreeSpace space;
    const Tree inserted = space.create_tree();
    for (const auto& [key, entry] : entries) space.insert(inserted, key, entry.value);
    const Fill fill = fill_of(space.content(inserted));
    std::printf("the same by ascending inserts: %zu leaves, %zu pages, %.1f %% full\n", fill.leaves, fill.pages,
                fill.percent);
    EXPECT_LE(by_percent[100].leaves, fill.leaves);
    EXPECT_LE(by_percent[100].pages, fill.pages);
  }
}

// Goal: a leaf ends where the separator is short, if that is near. Method: keys in pairs, of which the second is the
// first and more.
TEST(TreeLoad, ChoosesShortSeparators) {
  TreeSpace space;
  const Tree tree = space.create_tree();
  TreeLoad load(tree);
  std::set<std::string> keys;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const std::string first = number_key(i).substr(4);
    keys.insert({first, first + "more"});
  }
  for (const std::string& key : keys) must(load.add(as_bytes(key), {}));
  must(load.finish());
  std::size_t leaves = 0;
  const auto visit = [&](const NodeView& node, PageId) {
    if (node.level() > 0) return;
    EXPECT_LE(node.low_fence().size(), 4u) << "leaf " << leaves;
    ++leaves;
  };
  must(tree.walk(visit, [](PageId, const std::string& what) { ADD_FAILURE() << what; }));
  EXPECT_GT(leaves, 5u);
}

}  // namespace
}  // namespace vaultgres
