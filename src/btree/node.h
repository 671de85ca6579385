// One B+Tree node: a page of type leaf or internal. Layout in format/node.h, drawing in btree/README.md.
//
// An internal node is a node whose values are 4-byte child ids: entry i leads to the keys [key i, key i+1);
// the key of entry 0 equals the low fence. A leaf holds keys and values. Fences are half-open, [low, high);
// an empty low fence is minus infinity, a node without high fence reaches to plus infinity. The prefix that
// both fences share is stored once. Keys compare as bytes.
#pragma once

#include <cstdint>

#include "base/function_ref.h"
#include "base/types.h"
#include "buffer/redo_table.h"
#include "format/node.h"
#include "format/overflow.h"
#include "format/page.h"

namespace vaultgres {

/// A key is at most an eighth of a page, counted as stored.
inline constexpr std::size_t kKeyBytesMax = kPageBytes / 8;
/// What a leaf stores of an entry beside its head: the rest of the key, and the value. A longer value stands in an
/// overflow chain. Any four entries fit, slotted, beside two fences of the largest size.
inline constexpr std::size_t kEntryBytesMax =
    (kPageBytes - kNodeHeadsOffset - 2 * kKeyBytesMax) / 4 - (4 + 2 + sizeof(CellHeader));
static_assert(kEntryBytesMax >= kKeyBytesMax + sizeof(OverflowRef));
/// The longest value that stands in the leaf beside a key of this length.
constexpr std::size_t inline_value_max(std::size_t key_bytes) noexcept {
  const std::size_t rest = key_bytes > 4 ? key_bytes - 4 : 0;
  return rest < kEntryBytesMax ? kEntryBytesMax - rest : 0;
}

/// Flags of one slot.
enum SlotFlags : std::uint8_t {
  kSlotGhost = 1,     ///< deleted; key and value are kept until nobody needs them
  kSlotHistory = 2,   ///< "may have history" in the version table; unlogged, stale is harmless
  kSlotOverflow = 4,  ///< the value is an OverflowRef (format/overflow.h)
};

/// What becomes of an entry's room when its value gets another length.
enum class OldRoom : bool {
  kGivenUp,  ///< it is free for others at once
  kKept,     ///< for as long as this may be undone the cell keeps room for every value that it held meanwhile
};

/// Reads a node whose bytes may be torn (optimistic guard): every offset, length and count is bounded by
/// the page, so that any bytes are safe to look at; what it says means nothing until validated.
class NodeView {
 public:
  explicit NodeView(Bytes page) noexcept : page_(page) {}

  /// Type leaf or internal, as the level says.
  bool is_node() const noexcept;
  /// The same and a header within bounds: worth looking at. Not a full check.
  bool plausible() const noexcept;
  ObjectId object() const noexcept;
  bool is_leaf() const noexcept;  ///< level 0
  bool is_root() const noexcept;
  unsigned level() const noexcept;
  unsigned count() const noexcept;
  PageId right() const noexcept;  ///< right sibling of the same level, kNoPage at the end
  bool has_ghosts() const noexcept;
  Bytes low_fence() const noexcept;
  Bytes high_fence() const noexcept;
  bool has_high_fence() const noexcept;
  /// low <= key < high
  bool covers(Bytes key) const noexcept;

  struct Position {
    unsigned slot = 0;   ///< first slot whose key is >= the wanted one; count() if none
    bool exact = false;  ///< it is equal
  };
  Position lower_bound(Bytes key) const noexcept;

  /// lower_bound(), flags() and value() at once; without an equal key, `flags` and `value` are empty.
  struct Found {
    Position position;
    std::uint8_t flags = 0;
    Bytes value;
  };
  Found find(Bytes key) const noexcept;

  /// Copies the whole key of `slot` to `out` (at least kKeyBytesMax); its length. Runs of entries: node_run.h.
  std::size_t copy_key(unsigned slot, MutableBytes out) const noexcept;
  /// `visit(slot, key, value, flags)` for the slots from `first` on until it says false. The key lives until the next
  /// slot.
  using VisitEntry = FunctionRef<bool(unsigned slot, Bytes key, Bytes value, std::uint8_t flags)>;
  void visit_up(unsigned first, VisitEntry visit) const;
  /// <0, 0, >0 as the slot's key is below, equal, above.
  int compare_key(unsigned slot, Bytes key) const noexcept;
  Bytes value(unsigned slot) const noexcept;
  std::uint8_t flags(unsigned slot) const noexcept;  ///< SlotFlags

  /// Internal nodes: the slot whose child covers `key` (precondition: covers(key)), and a slot's child.
  unsigned child_slot(Bytes key) const noexcept { return child_towards(key).slot; }
  PageId child(unsigned slot) const noexcept;
  /// Both at once.
  struct Child {
    unsigned slot = 0;
    PageId id = kNoPage;
  };
  Child child_towards(Bytes key) const noexcept;

  /// Room for one more entry of this size, after compaction if need be.
  bool has_room(std::size_t key_bytes, std::size_t value_bytes) const noexcept;
  /// Room for the value of `slot` to become this long.
  bool has_room_to_replace(unsigned slot, std::size_t value_bytes, OldRoom old_room) const noexcept;
  /// The slot's cell keeps room, see OldRoom::kKept.
  bool keeps_room(unsigned slot) const noexcept;
  /// Some cell may: the node is slotted.
  bool may_keep_room() const noexcept;
  /// Bytes in use by entries, fences and arrays, without holes: used / capacity is the fill.
  std::size_t used_bytes() const noexcept;
  static std::size_t capacity_bytes() noexcept;
  /// Worth merging: its entries take less than a quarter of the room that its fences leave, which may be the longest
  /// keys.
  bool is_underfull() const noexcept;

  Bytes page() const noexcept { return page_; }

 private:
  Bytes page_;
};

// --- Page operations. Each is a payload builder for MiniTxn::add and an apply function for the RedoTable.
// Payload bytes are appended to a small buffer that the caller owns.

class PayloadBuffer;  // base/payload_buffer.h

void encode_node_insert(PayloadBuffer& out, unsigned slot, std::uint8_t flags, Bytes key, Bytes value);
void encode_node_remove(PayloadBuffer& out, unsigned slot);
void encode_node_replace(PayloadBuffer& out, unsigned slot, std::uint8_t flags, Bytes value, OldRoom old_room);
void encode_node_set_ghost(PayloadBuffer& out, unsigned slot, bool ghost);
/// Keeps slots [0, keep), sets the high fence and the right sibling.
void encode_node_truncate(PayloadBuffer& out, unsigned keep, Bytes high_fence, PageId right);
/// Removes these slots, given in ascending order; one with kPurgeRoomOnly stays and gives up the room that it keeps.
inline constexpr std::uint16_t kPurgeRoomOnly = 0x8000;
void encode_node_purge(PayloadBuffer& out, std::span<const std::uint16_t> slots);

/// Sets or clears a slot's history flag: neither logged nor written for its own sake, see kSlotHistory.
void set_history(MutableBytes page, unsigned slot, bool on);
/// Clears the history flag of every slot: what two pages are compared without.
void clear_history(MutableBytes page);

/// Registers the apply functions of the operations above.
void register_node_ops(RedoTable& table);

// --- Whole pages, for PageOp::kImage (buffer/page_image.h elides the hole). `out` is a page, overwritten.

struct NodeFences {
  Bytes low;
  Bytes high;
  bool has_high = false;
};
/// An empty node.
void build_node(MutableBytes out, ObjectId object, unsigned level, bool root, const NodeFences& fences, PageId right);
/// Appends an entry at the end while building; false when it does not fit.
bool append_entry(MutableBytes page, std::uint8_t flags, Bytes key, Bytes value);

/// The separator between neighbouring keys of a leaf that have their first `shared` bytes in common is this many
/// first bytes of the right one.
std::size_t separator_bytes(std::size_t shared, std::size_t left_bytes, std::size_t right_bytes) noexcept;

struct SplitPoint {
  unsigned slot = 0;  ///< first slot of the right half; 0 < slot < count
  std::size_t separator_bytes = 0;
  std::byte separator[kPageBytes / 8];
};
/// Where to split so that `new_slot` (where an entry of that size is to go) finds room: ascending and
/// descending inserts leave full nodes behind, else the middle; among near points the shortest separator.
/// Precondition: count() >= 2.
SplitPoint choose_split(const NodeView& node, unsigned new_slot, std::size_t new_bytes);
/// Just before `slot`; none where that is no place to split, a half would not fit between its fences, or a half would
/// have fewer than eight entries that take less than a sixteenth of a page.
std::optional<SplitPoint> split_before(const NodeView& node, unsigned slot);
/// Where to cut so that about `part` of `whole` of the entries' bytes stand before it. Precondition: count() >= 2.
SplitPoint choose_share(const NodeView& node, std::size_t part, std::size_t whole);
/// The right half of a split as a new page: slots [split.slot, count), fences [separator, high).
void build_right_half(MutableBytes out, const NodeView& node, const SplitPoint& split);
/// The left half as a new page (for a root split, both halves are new).
void build_left_half(MutableBytes out, const NodeView& node, const SplitPoint& split, PageId right);
/// A root over two children at level + 1; the root keeps its page id.
void build_new_root(MutableBytes out, ObjectId object, unsigned level, PageId left, Bytes separator, PageId right);
/// Both nodes' entries in one node with fences [left.low, right.high) and right's sibling; false when they
/// do not fit under the merged, shorter prefix. `left` and `right` are neighbours of one level.
bool build_merged(MutableBytes out, const NodeView& left, const NodeView& right);
/// The boundary between two such neighbours moves to `cut`, a place in the left or in the right one; false when entries
/// do not fit in their new node.
bool build_shifted(MutableBytes left_out, MutableBytes right_out, const NodeView& left, const NodeView& right,
                   const SplitPoint& cut, bool cut_in_left);

/// Everything about one page that can be checked without others: bounds, order, fences, heads, hints,
/// prefix, space accounting, flags. kCorruption says what is wrong. Used at load and by `check`.
Status verify_node(Bytes page);

}  // namespace vaultgres
