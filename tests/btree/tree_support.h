// Trees on a simulated disk, with everything that they work with open on it, and a look at what they hold.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "btree/node_model.h"
#include "btree/tree.h"
#include "support/page_space.h"
#include "support/random.h"

namespace vaultgres {

/// Eight bytes, in the order of the numbers.
inline std::string number_key(std::uint64_t number) {
  std::string key(8, '\0');
  store_big(key.data(), number);
  return key;
}

/// Keys of the largest size, each once, the same in every test. Those of a group differ in their last bytes only, so
/// that separators are as long as keys; groups in their first one, so that they have no common prefix. So inner nodes
/// have few children.
class LongKeys {
 public:
  std::string next() {
    for (;;) {
      std::string key(1, static_cast<char>('a' + random_.uniform(8)));
      key += std::string(kKeyBytesMax - 3, 'k') + random_.bytes(2);
      if (given_.insert(key).second) return key;
    }
  }
  const std::set<std::string>& given() const { return given_; }

 private:
  TestRandom random_ = TestRandom::of_seed(7);
  std::set<std::string> given_;
};

inline Status validate_tree_page(PageId id, Bytes page) {
  switch (static_cast<PageType>(page_header(page).type.get())) {
    case PageType::kBitmap:
      return verify_bitmap(id, page);
    case PageType::kLeaf:
    case PageType::kInternal:
      return verify_node(page);
    default:
      return {};
  }
}

/// A tree as a walk finds it.
struct TreeContent {
  ModelMap entries;
  std::vector<PageId> leaves;           // from the left
  std::vector<std::size_t> used_bytes;  // of each leaf
  std::size_t pages = 0;                // inner ones, too
  unsigned root_level = 0;
};

class TreeSpace : public PageSpace {
 public:
  explicit TreeSpace(std::size_t frames = 512) : PageSpace(&register_node_ops, &validate_tree_page, frames) {}

  /// A new, empty tree.
  Tree create_tree(ObjectId object = ObjectId{40}) {
    return Tree(context, object, create_root(&Tree::add_new_root, object));
  }

  void insert(const Tree& tree, const std::string& key, const std::string& value) {
    for (;;) {
      {
        LogSpace log_space(*log);
        must(log_space.reserve(Tree::log_bytes_of_change(key.size(), value.size())));
        ExclusiveGuard leaf = must(tree.write_leaf(as_bytes(key)));
        const NodeView view(leaf.page());
        const NodeView::Position at = view.lower_bound(as_bytes(key));
        ASSERT_FALSE(at.exact);
        if (view.has_room(key.size(), value.size())) {
          MiniTxn mini(*pool, *log, RecordKind::kSystem);
          PayloadBuffer payload;
          encode_node_insert(payload, at.slot, 0, as_bytes(key), as_bytes(value));
          mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
          mini.commit();
          return;
        }
      }
      must(tree.make_room(as_bytes(key), value.size()));
    }
  }

  /// Takes an entry that is there; nothing is merged.
  void remove(const Tree& tree, const std::string& key) {
    LogSpace log_space(*log);
    must(log_space.reserve(Tree::log_bytes_of_change(key.size(), inline_value_max(key.size()))));
    ExclusiveGuard leaf = must(tree.write_leaf(as_bytes(key)));
    const NodeView::Position at = NodeView(leaf.page()).lower_bound(as_bytes(key));
    ASSERT_TRUE(at.exact);
    PayloadBuffer payload;
    encode_node_remove(payload, at.slot);
    MiniTxn mini(*pool, *log, RecordKind::kSystem);
    mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
    mini.commit();
  }

  /// Until the tree has so many inner levels.
  void fill_with_long_keys(const Tree& tree, unsigned levels, LongKeys& keys) {
    while (content(tree).root_level < levels) insert(tree, keys.next(), "value");
  }

  /// The value of an entry that is there becomes, or no longer is, one that stands elsewhere: by its flag only.
  void mark_overflow(const Tree& tree, const std::string& key) {
    must(set_overflow(
        tree, as_bytes(key), [&](const NodeView& leaf, unsigned slot) { return key_of(leaf, slot) == key; },
        kSlotOverflow));
  }
  /// All those of the leaf that covers the key, as if they had been moved out.
  Status clear_overflow(const Tree& tree, Bytes key) {
    return set_overflow(
        tree, key, [](const NodeView& leaf, unsigned slot) { return (leaf.flags(slot) & kSlotOverflow) != 0; }, 0);
  }

  /// As PageSpace::replace(), by a node that is sound by itself: any other would be found at load.
  void replace_node(PageId page, Bytes image) {
    ASSERT_EQ(text_of(verify_node(image)), "ok");
    replace(page, image);
  }

  /// Walks through the tree, which has to be sound, all of its pages allocated.
  TreeContent content(const Tree& tree) {
    TreeContent content;
    std::vector<PageId> links;
    const auto visit = [&](const NodeView& node, PageId id) {
      ++content.pages;
      content.root_level = std::max(content.root_level, node.level());
      if (node.level() > 0) return;
      content.leaves.push_back(id);
      content.used_bytes.push_back(node.used_bytes());
      links.push_back(node.right());
      node.visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
        const auto added =
            content.entries.insert({std::string(as_text(key)), {std::string(as_text(value)), flags}}).second;
        EXPECT_TRUE(added) << "a key twice";
        return true;
      });
    };
    must(tree.walk(visit,
                   [](PageId id, const std::string& what) { ADD_FAILURE() << "page " << raw(id) << ": " << what; }));
    for (std::size_t i = 0; i < links.size(); ++i) {
      EXPECT_EQ(links[i], i + 1 < links.size() ? content.leaves[i + 1] : kNoPage) << "leaf " << i;
      EXPECT_TRUE(must(allocator->is_allocated(content.leaves[i])));
    }
    return content;
  }

  std::string find(const Tree& tree, const std::string& key) {
    std::string found;
    must(tree.read_leaf(as_bytes(key), [&](const NodeView& node) {
      const NodeView::Position at = node.lower_bound(as_bytes(key));
      found = at.exact ? std::string(as_text(node.value(at.slot))) : "nothing";
    }));
    return found;
  }

  const TreeContext context{*pool, *log, *allocator};

 private:
  Status set_overflow(const Tree& tree, Bytes key, FunctionRef<bool(const NodeView& leaf, unsigned slot)> wanted,
                      std::uint8_t flag) {
    LogSpace log_space(*log);
    VG_TRY(log_space.reserve(log_bytes_for(2 * kPageBytes)));
    VG_ASSIGN(ExclusiveGuard page, tree.write_leaf(key));
    const NodeView leaf(page.page());
    MiniTxn mini(*pool, *log, RecordKind::kSystem);
    PayloadBuffer payload;
    for (unsigned slot = 0; slot < leaf.count(); ++slot) {
      if (!wanted(leaf, slot)) continue;
      payload.clear();
      encode_node_replace(payload, slot, flag, leaf.value(slot), OldRoom::kGivenUp);
      mini.add(page, PageOp::kNodeReplace, payload.bytes());
    }
    mini.commit();
    return {};
  }
};

}  // namespace vaultgres
