// One heap page: slots and rows. Layout in format/heap_page.h, drawing in heap/README.md.
//
// A slot's number is stable while its row lives. Content and room are separate: a row that shrinks keeps its room
// until kHeapRelease, and a slot that is updated to a longer row never gives the longer room back by itself. So
// whatever an update did, the content before it fits in place.
#pragma once

#include <cstdint>
#include <span>

#include "base/types.h"
#include "buffer/redo_table.h"
#include "format/heap_page.h"
#include "heap/tid.h"

namespace vaultgres {

class PayloadBuffer;  // base/payload_buffer.h

/// Four of the largest rows fit in one page, moved ones with their home TIDs too. Larger rows go to overflow
/// chains, and the slot holds an OverflowRef (format/overflow.h).
inline constexpr std::size_t kHeapCellsBytesMax = kPageBytes - kHeapSlotsOffset;
inline constexpr std::size_t kHeapContentBytesMax =
    kHeapCellsBytesMax / 4 - sizeof(HeapSlotWord) - sizeof(HeapCellHeader);
inline constexpr std::size_t kInlineRowBytesMax = kHeapContentBytesMax - kTidBytes;

/// What a slot is, apart from its content.
struct HeapSlotState {
  HeapKind kind = HeapKind::kUnused;
  bool ghost = false;     ///< deleted; the content is kept until nobody needs it
  bool overflow = false;  ///< the row is an OverflowRef
  friend bool operator==(const HeapSlotState&, const HeapSlotState&) = default;
};

struct HeapSlot {
  HeapSlotState state;
  bool history = false;  ///< "may have history" in the version table; unlogged, stale is harmless
  Bytes content;         ///< as stored

  bool used() const noexcept { return state.kind != HeapKind::kUnused; }
  /// A row that a scan returns: not a ghost; in its place, or a stub for the body that holds it.
  bool live() const noexcept { return !state.ghost && (state.kind == HeapKind::kRow || state.kind == HeapKind::kStub); }
  /// kRow and kBody: the row or its OverflowRef. Empty for others.
  Bytes row() const noexcept {
    if (state.kind == HeapKind::kRow) return content;
    return state.kind == HeapKind::kBody && content.size() >= kTidBytes ? content.subspan(kTidBytes) : Bytes{};
  }
  /// kStub: where the body is. kBody: where its home is. Tid{} for others.
  Tid link() const noexcept {
    const bool linked = state.kind == HeapKind::kStub || state.kind == HeapKind::kBody;
    return linked && content.size() >= kTidBytes ? decode_tid(content.first(kTidBytes)) : Tid{};
  }
};

/// Reads a page whose bytes may be torn (optimistic guard): every offset, length and count is bounded, so that any
/// bytes are safe to look at; what it says means nothing until validated.
class HeapPageView {
 public:
  explicit HeapPageView(Bytes page) noexcept : page_(page) {}

  /// Type heap and a header within bounds. Not a full check.
  bool plausible() const noexcept;
  ObjectId object() const noexcept { return ObjectId{page_header(page_).object.get()}; }
  std::uint32_t number() const noexcept;
  unsigned slots() const noexcept;
  unsigned ghosts() const noexcept;
  /// Unused when there is no such slot.
  HeapSlot slot(unsigned slot) const noexcept;
  /// Room of the slot's cell; 0 when unused.
  unsigned capacity(unsigned slot) const noexcept;

  /// The slot for a new row: the lowest unused one, or a new one.
  unsigned free_slot() const noexcept;
  /// The longest content for which there is room in a new row, 0 if there is none for any; after compaction if
  /// need be.
  std::size_t free_bytes() const noexcept;
  bool has_room(std::size_t content_bytes) const noexcept;
  bool has_room_to_update(unsigned slot, std::size_t content_bytes) const noexcept;
  /// What kHeapRelease of this slot would gain.
  unsigned surplus_bytes(unsigned slot) const noexcept;

  Bytes page() const noexcept { return page_; }

 private:
  Bytes page_;
};

// --- Page operations: payload builders for MiniTxn::add; register_heap_page_ops() registers their twins.

/// `slot` is unused, or the first one beyond the array. Content: see HeapKind.
void encode_heap_insert(PayloadBuffer& out, unsigned slot, HeapSlotState state, Bytes content);
/// The slot gets this state and content; its history flag stays.
void encode_heap_update(PayloadBuffer& out, unsigned slot, HeapSlotState state, Bytes content);
/// The slots, ascending, become unused.
void encode_heap_remove(PayloadBuffer& out, std::span<const std::uint16_t> slots);
void encode_heap_set_ghost(PayloadBuffer& out, unsigned slot, bool ghost);
/// The slots, ascending, give up the room that their content does not use.
void encode_heap_release(PayloadBuffer& out, std::span<const std::uint16_t> slots);

void register_heap_page_ops(RedoTable& table);

/// Sets or clears a slot's history flag: neither logged nor written for its own sake.
void set_heap_history(MutableBytes page, unsigned slot, bool on);
/// Clears the history flag of every slot: what two pages are compared without.
void clear_heap_history(MutableBytes page);

/// An empty page, for PageOp::kImage. `out` is a page, overwritten.
void build_heap_page(MutableBytes out, ObjectId object, std::uint32_t number);

/// Everything about one page that can be checked without others. Used at load and by `check`.
Status verify_heap_page(Bytes page);

}  // namespace vaultgres
