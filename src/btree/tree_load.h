// Bulk load: fills an empty tree with entries in ascending key order, leaf after leaf, from the left.
//
// Entries gather in memory until it is known where their leaf ends, hence its high fence, its prefix, its form. So
// a leaf is written once, as the page that a split would have left behind, only fuller: in a rightmost leaf, which
// has no high fence, keys that begin alike would stand at full length, and truncating it afterwards would leave the
// saved bytes unused.
//
//   between two records:   leaf 0 -> … -> leaf n-1 -> empty leaf      (gathered in memory: leaf n)
//                          [  , a)        [x, y)      [y,   )
//
// The tree thus ends at any time in an empty leaf, which gives leaf n-1 its right sibling and the parent its last
// separator. One record fills it and puts the next one behind it:
//
//   the last leaf       kImage        its entries, its high fence, the new page as its right sibling
//   the new page        kImage        no entries, the separator as low fence, no high fence: a few bytes
//   the parent          kNodeInsert   separator and new page; when it is full it is split before, by Tree::split()
//   bitmap              kBitmapSet
//
// (The first leaf stands in the root, whose page id never changes: its record makes two new pages and lifts the root
// to level 1.) After each record, so after a crash at any point, the tree is sound, lacks only the entries that were
// not written yet, and can be freed by Tree::free_some(). The log gets one page image for each leaf, zeros left out.
#pragma once

#include <cstdint>
#include <vector>

#include "btree/node_fill.h"
#include "btree/tree.h"

namespace vaultgres {

/// For one thread. The tree is empty at the beginning, and nobody else changes it until finish(). An entry that add()
/// or take() has once accepted is kept: when writing fails (kNoSpace, say), the next call that writes tries it again.
class TreeLoad {
 public:
  /// Leaves some room in each leaf for later inserts. Internal nodes are filled.
  static constexpr unsigned kFillPercent = 90;
  explicit TreeLoad(const Tree& tree, unsigned fill_percent = kFillPercent) noexcept;

  /// kInvalidArgument: the key is not above the last one; kTooLarge: no leaf takes such an entry. Then nothing
  /// happened. `flags`: kSlotOverflow or nothing. [no latch held]
  Status add(Bytes key, Bytes value, std::uint8_t flags = 0);
  /// The two halves of add(): what accepts the entry and writes nothing, and what writes the leaves that are full.
  Status take(Bytes key, Bytes value, std::uint8_t flags = 0);
  Status write_full_leaves();
  /// kInvalidArgument: add() would refuse the key.
  Status check_order(Bytes key) const;
  /// Writes what is still gathered. Nothing may be added afterwards. [no latch held]
  Status finish();

  /// Added so far.
  std::uint64_t entries() const noexcept { return entries_; }
  /// So many of them, the first ones, stand in the tree.
  std::uint64_t written() const noexcept { return entries_ - gathered_.size(); }

 private:
  struct Entry {
    std::uint32_t offset;  // of the key in bytes_; the value follows it
    std::uint16_t key_bytes;
    std::uint16_t value_bytes;
    std::uint16_t shared_bytes;  // first bytes that are those of the entry before, too
    std::uint8_t flags;
  };
  Bytes key_of(const Entry& entry) const noexcept { return Bytes(bytes_).subspan(entry.offset, entry.key_bytes); }
  Bytes value_of(const Entry& entry) const noexcept {
    return Bytes(bytes_).subspan(entry.offset + entry.key_bytes, entry.value_bytes);
  }
  /// Of the leaf that is being gathered: the separator before its first key, which begins with it.
  Bytes low_fence() const noexcept { return Bytes(bytes_).first(low_bytes_); }
  std::size_t separator_bytes_before(std::size_t index) const noexcept;

  Error out_of_order(Bytes last, Bytes key) const;
  std::size_t best_cut() const noexcept;
  Status write_leaf(std::size_t count);
  Status write_last_leaf();
  void forget(std::size_t count) noexcept;
  bool fit_without_prefix() const;
  void build(MutableBytes page, std::size_t count, bool root, const NodeFences& fences, PageId right) const;
  Result<Tree::WritePath> latch_last_leaf() const;

  Tree tree_;
  std::size_t leaf_bytes_max_;
  PageId last_leaf_;  // the empty one
  std::uint64_t entries_ = 0;
  bool finished_ = false;

  // The entries that are not in the tree yet. bytes_ begins with the key of the first.
  std::vector<Entry> gathered_;
  std::vector<std::byte> bytes_;
  std::size_t low_bytes_ = 0;
  NodeFill fill_;            // of the first counted_ entries
  std::size_t counted_ = 0;  // they fit together, whatever comes next
};

}  // namespace vaultgres
