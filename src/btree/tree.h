// A concurrent B+Tree: descent, leaf access, splits, merges.
//
// The tree knows keys, values and slot flags; what is visible to whom is decided above, in callbacks that
// run on a leaf. The protocol (latch order, restarts, what a reader may see between any two steps) is in
// README.md of this folder.
//
// Thread safety: all calls may be made by any number of threads at once. A Tree is a small value: ids and
// references; it owns nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/poison.h"
#include "btree/hot_leaves.h"
#include "btree/node.h"
#include "buffer/buffer_pool.h"
#include "buffer/mini_txn.h"
#include "space/page_allocator.h"
#include "wal/log.h"

namespace vaultgres {

/// What a tree works with. All of it outlives the tree.
struct TreeContext {
  BufferPool& pool;
  Log& log;
  PageAllocator& space;
  std::unique_ptr<HotLeaves> hot_leaves = std::make_unique<HotLeaves>();
};

class TreeLoad;      // btree/tree_load.h
class TreeEstimate;  // btree/estimate.cc
class MultiDescent;  // btree/multi_descent.cc

class Tree {
 public:
  Tree(const TreeContext& context, ObjectId object, PageId root, Hint hint = Hint::kNormal) noexcept
      : context_(&context), object_(object), root_(root), hint_(hint) {}

  ObjectId object() const noexcept { return object_; }
  PageId root() const noexcept { return root_; }
  const TreeContext& context() const noexcept { return *context_; }

  /// Which leaf a reader wants, or which node above it.
  struct Target {
    enum class Kind : std::uint8_t {
      kCovering,  ///< low <= key < high
      kBelow,     ///< low < key <= high: where a backward scan from `key` (exclusive) begins; key not empty
      kLast,      ///< the rightmost leaf
    };
    Kind kind = Kind::kCovering;
    Bytes key;
    unsigned level = 0;  ///< of a leaf; the root when the tree is lower
  };
  /// Runs `visit` on the target leaf. It may run several times, on bytes that change meanwhile: it bounds
  /// what it reads, copies results out, and starts afresh each time; the last run is the one that counts.
  /// It takes no page latch and does not wait. [no latch held]
  Status read_leaf(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint) const;
  Status read_leaf(Bytes key, FunctionRef<void(const NodeView&)> visit) const {
    return read_leaf(Target{Target::Kind::kCovering, key}, visit, hint_);
  }

  /// Runs `visit(i, leaf, found)` on the leaf that covers keys[i], with what leaf.find() says of the key, for each i,
  /// in any order; the rules are those of read_leaf(). The descents go side by side: while one waits for memory the
  /// others go on, and pages that are not resident are read several at a time. After an error some leaves have been
  /// visited. [no latch held]
  using VisitFound = FunctionRef<void(std::size_t i, const NodeView& leaf, const NodeView::Found& found)>;
  Status read_leaves(std::span<const Bytes> keys, VisitFound visit) const;

  /// Where a scan upwards stands: the leaf that it read last, at the version that it read. As long as the leaf is
  /// unchanged, the next leaf is found from there without a descent. It holds no latch, and is looked at only within
  /// read_leaf() of a tree of the same pool.
  class Trail {
   public:
    void clear() noexcept { leaf_ = OptimisticGuard(); }

   private:
    friend class Tree;
    OptimisticGuard leaf_;
    PageId right_ = kNoPage;
  };
  /// The same, by way of the trail if that leads there; it then stands on the leaf that was read.
  Status read_leaf(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint, Trail& trail) const;

  /// Where somebody has changed a leaf of this tree, who is about to change it again: as long as nobody else has, it
  /// needs no descent. It holds no latch.
  class WriteTrail {
   public:
    void note(const ExclusiveGuard& leaf) noexcept {
      page_ = leaf.id();
      version_ = leaf.next_version();
    }

   private:
    friend class Tree;
    PageId page_ = kNoPage;
    std::uint64_t version_ = 0;
  };
  /// The leaf that covers `key`, latched exclusively; the trail's, if that is it. [no latch held]
  Result<ExclusiveGuard> write_leaf(Bytes key, const WriteTrail* trail = nullptr) const;

  /// Splits the leaf that covers `key` (and what is above it, first) unless an entry of this size has room
  /// there. The caller then latches the leaf again and looks again. [no latch held]
  Status make_room(Bytes key, std::size_t value_bytes) const;

  /// Somebody has changed entry `slot` of a leaf that he has latched. Where others wait for that latch, as they have
  /// done often of late: the key before which the leaf is to be split.
  std::optional<std::string> fought_over(const ExclusiveGuard& leaf, unsigned slot) const noexcept;
  /// Splits a leaf just before this key, if that is one of its entries and not too near to an end (split_before()).
  /// Best effort: what is busy is left. [no latch held]
  Status split_at(Bytes key) const;

  /// Merges the leaf that covers `key`, if it is underfull, with its neighbours under the same parent, where one page
  /// holds both and stays a quarter empty, or one of them is empty; goes on upwards; collapses the root. Best effort:
  /// what is missing in the cache is loaded once, what is busy is left. [no latch held]
  Status merge_at(Bytes key) const;

  /// Log space that a change of one entry of this tree needs, its compensation included.
  static std::uint64_t log_bytes_of_change(std::size_t key_bytes, std::size_t value_bytes) noexcept;

  /// Calls `visit(level, page, parent)` for every page of the tree, parents before children, each under a
  /// shared latch of itself and of its parent; checks the structure between pages (type, object, level,
  /// fences against separators, siblings). `problem` gets each violation; an unreadable page is a problem of
  /// its own and its subtree is skipped. Errors of the environment end the walk. [no latch held]
  Status walk(FunctionRef<void(const NodeView& node, PageId id)> visit,
              FunctionRef<void(PageId id, const std::string& what)> problem) const;

  /// About how much stands between two keys, ghosts not included.
  struct Estimate {
    double entries = 0;
    double bytes = 0;  ///< keys and values, large ones at their full length
  };
  /// In [from, to), or from `from` on, by reading the ways to both ends and a few nodes between them: see estimate.cc.
  /// [no latch held]
  Result<Estimate> estimate(Bytes from, std::optional<Bytes> to) const;

  /// Up to `pieces` - 1 separators, ascending, within the range: between each two of them, and at its ends, stand about
  /// as many nodes. None in a tree of one leaf. It reads inner nodes only, at most some four for each piece and
  /// those above them. [no latch held]
  Result<std::vector<std::string>> cut(Bytes from, std::optional<Bytes> to, unsigned pieces) const;

  /// Writes an empty root into `page`, allocated and exclusively held, as part of `mini`.
  static void add_new_root(MiniTxn& mini, ExclusiveGuard& page, ObjectId object);

  /// Frees up to `pages_max` pages of a tree that nobody can reach any more, last leaves first; true when
  /// only the root page is left (its freeing is the caller's record). Each step is one system record. A leaf
  /// with overflow values is handed to `spill(key)` first (a key that it covers), which moves them out.
  Result<bool> free_some(unsigned pages_max, FunctionRef<Status(Bytes key)> spill) const;

 private:
  friend class TreeLoad;
  friend class TreeEstimate;
  friend class MultiDescent;
  struct WritePath {
    ExclusiveGuard parent;  ///< empty when `node` is the root
    ExclusiveGuard node;
    unsigned slot = 0;  ///< of node in parent
  };
  enum class Attempt : std::uint8_t { kDone, kLostRace, kMissing };

  // descent.cc
  enum class Parent : bool { kNo, kYes };
  Result<WritePath> latch_path(Bytes key, unsigned level) const;
  Result<OptimisticGuard> read_root() const;
  Result<OptimisticGuard> read_child(const OptimisticGuard& node, PageId child, unsigned level, Hint hint) const;
  Result<Attempt> try_read_leaf(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint,
                                Trail* trail = nullptr) const;
  bool try_follow(Trail& trail, Bytes key, FunctionRef<void(const NodeView&)> visit, Hint hint) const;
  Status read_leaf_latched(const Target& target, FunctionRef<void(const NodeView&)> visit, Hint hint) const;
  std::optional<ExclusiveGuard> try_write_again(Bytes key, const WriteTrail& trail) const;
  Result<Attempt> try_write_leaf(Bytes key, ExclusiveGuard& leaf) const;
  Result<Attempt> try_latch_path(Bytes key, unsigned level, WritePath& path) const;
  Result<WritePath> try_latch_leaf_first(Bytes key) const;
  Result<WritePath> latch_path_latched(Bytes key, unsigned level, Parent parent) const;
  const char* child_problem(const NodeView& child, unsigned level) const noexcept;
  Status check_child(const NodeView& child, unsigned level, PageId id) const;
  Error damaged(PageId id, const char* what) const;

  // cut.cc
  Result<unsigned> copy_separators(unsigned level, Bytes from, std::optional<Bytes> to,
                                   std::vector<std::string>& separators) const;

  // structure.cc
  struct SplitWish {
    Bytes key;
    unsigned level = 0;           ///< of the node that covers it
    std::size_t key_bytes = 0;    ///< room for an entry of this size, there
    std::size_t value_bytes = 0;  ///< likewise
    bool before_key = false;      ///< instead of room: the boundary between two leaves just before the key
  };
  Status split(const SplitWish& wish) const;
  Result<std::optional<SplitPoint>> split_point(const SplitWish& wish, const NodeView& node, PageId id) const;
  enum class Neighbour : bool { kRight, kLeft };
  /// kNoRoom: one page is too small for both, or there is no such neighbour. kOnlyChild: there is none of either side.
  enum class Merged : std::uint8_t { kNo, kNoRoom, kDone, kDoneAndParentSmall, kOnlyChild };
  Result<bool> merge(Bytes key, unsigned level) const;
  Result<Merged> merge_with_neighbours(Bytes key, unsigned level, bool& any) const;
  /// A node, its neighbour and their parent, all latched.
  struct Pair {
    ExclusiveGuard parent;
    ExclusiveGuard left;
    ExclusiveGuard right;
    unsigned right_slot = 0;  ///< the right one's in the parent
  };
  Result<std::optional<Merged>> latch_pair(Bytes key, unsigned level, Neighbour side, Pair& pair,
                                           std::vector<LoadPin>& pins) const;
  Result<Merged> merge_with(Bytes key, unsigned level, Neighbour side) const;
  Result<Merged> share_with_neighbours(Bytes key, unsigned level, bool& any) const;
  Result<Merged> share_with(Bytes key, unsigned level, Neighbour side) const;
  Status collapse_root() const;
  struct LastPage {
    PageId parent;  ///< kNoPage: the root is all that is left
    PageId id;
  };
  Result<LastPage> last_page() const;

  const TreeContext* context_;
  ObjectId object_;
  PageId root_;
  Hint hint_;
};

}  // namespace vaultgres
