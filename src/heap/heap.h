// The rows of a table: heap pages, and the map that lists them and knows about how much room each one has.
//
// The heap knows slots and contents; what is visible to whom, and the undo of a change, are decided above, by who
// holds the guards. The protocol (latch order, stubs and bodies, what a crash between any two steps leaves) is in
// README.md of this folder.
//
// Thread safety: all calls may be made by any number of threads at once, free_some() by one that knows that nobody
// reaches the table any more. A Heap is a small value: ids and references; it owns nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "buffer/buffer_pool.h"
#include "buffer/mini_txn.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"
#include "heap/tid.h"
#include "space/page_allocator.h"
#include "wal/log.h"

namespace vaultgres {

/// What a heap works with. All of it outlives the heap.
struct HeapContext {
  BufferPool& pool;
  Log& log;
  PageAllocator& space;
};

/// Log space for what Heap::note_free() makes dirty: a record for each level of the map.
inline constexpr std::uint64_t kMapNoteLogBytes = log_bytes_for(kMapLevelsMax * 64);

/// Where a new row goes.
struct HeapSlotGuard {
  static constexpr std::size_t kOthersMax = 2;
  ExclusiveGuard page;
  unsigned slot = 0;                              ///< unused; for kHeapInsert
  std::array<ExclusiveGuard, kOthersMax> others;  ///< the pages that were asked for with it, in that order
};

class Heap {
 public:
  /// `root`: the first page of the table's map.
  Heap(const HeapContext& context, ObjectId object, PageId root, Hint hint = Hint::kNormal) noexcept
      : context_(&context), object_(object), root_(root), hint_(hint) {}

  ObjectId object() const noexcept { return object_; }
  PageId root() const noexcept { return root_; }
  const HeapContext& context() const noexcept { return *context_; }

  // --- Reading. `visit` may run several times, on bytes that change meanwhile: it bounds what it reads, copies
  // results out, and starts afresh each time; the last run is the one that counts. It takes no page latch and does
  // not wait. kCorruption when a page is none of this table: the caller validates the page that held the TID
  // before it believes that. [no latch held]

  Status read(PageId page, FunctionRef<void(const HeapPageView&)> visit, Hint hint) const;
  Status read(PageId page, FunctionRef<void(const HeapPageView&)> visit) const { return read(page, visit, hint_); }
  /// The row of a TID, wherever its body is. `home` is the TID's own slot; `body` the slot that has the row, the
  /// same one unless `home` is a stub. Both are of one instant: a look into the version table in between sees what
  /// the rules of transactions demand.
  Status read_row(Tid tid, FunctionRef<void(const HeapSlot& home, const HeapSlot& body)> visit) const;

  /// Heap pages so far. They have the numbers 0 to n - 1; a page keeps its number. [no latch held]
  Result<std::uint32_t> page_count() const;
  /// Calls `visit` for the pages from number `from` on, in order, until it says false. No latch is held during
  /// visits; pages that are added meanwhile may be met or not. [no latch held]
  Status pages(std::uint32_t from, FunctionRef<bool(std::uint32_t number, PageId page)> visit) const;

  // --- Latching for a change.

  /// [no latch held]
  Result<ExclusiveGuard> latch(PageId page) const;
  /// Latches these pages, all different, in ascending order; guards[i] becomes that of pages[i]. [no latch held]
  Status latch_all(std::span<const PageId> pages, std::span<ExclusiveGuard> guards) const;
  /// A page with room for `content_bytes` in a new slot, and `others` with it, which it is none of. Adds a page to
  /// the table if there is no room. Precondition: content_bytes <= kHeapContentBytesMax. [no latch held]
  Result<HeapSlotGuard> latch_for_insert(std::size_t content_bytes, std::span<const PageId> others = {}) const;
  /// Adds a page to the table, latched. `build(image, number)` writes a whole heap page with this number. [no latch
  /// held]
  Result<ExclusiveGuard> append_page(FunctionRef<void(MutableBytes image, std::uint32_t number)> build) const;
  /// Log space that a change of one row needs, its compensation included.
  static std::uint64_t log_bytes_of_change(std::size_t content_bytes) noexcept;

  /// The map learns how much room the page has: after rows were removed or released. `page` stays latched: maps come
  /// after heap pages in the order. False when the map is not in the cache: then the other one, later. The caller has
  /// reserved kMapNoteLogBytes of log space.
  bool note_free(const ExclusiveGuard& page) const { return note_room(page.id(), page.page()); }
  /// The same, by loading what is missing. [no latch held]
  Status note_free(PageId page) const;

  // --- Whole tables.

  /// Writes an empty map into `page`, allocated and exclusively held, as part of `mini`.
  static void add_new_root(MiniTxn& mini, ExclusiveGuard& page, ObjectId object);
  /// Frees up to `pages_max` pages of a table that nobody can reach any more, the last ones first; true when only
  /// the root is left (its freeing is the caller's record). Each step is one system record. A page with overflow
  /// rows is handed to `spill(page)` first, which moves the chains out and the rows away. [no latch held]
  Result<bool> free_some(unsigned pages_max, FunctionRef<Status(PageId page)> spill) const;
  /// Calls `visit` for every page of the table, map pages too, each under a shared latch; checks them and what they
  /// say about each other. `problem` gets each violation; an unreadable page is one, and what it lists is skipped.
  /// Errors of the environment end the walk. [no latch held]
  Status walk(FunctionRef<void(PageId id, Bytes page)> visit,
              FunctionRef<void(PageId id, const std::string& what)> problem) const;

 private:
  static constexpr unsigned kCandidatesMax = 16;
  struct Candidates {
    std::array<PageId, kCandidatesMax> pages;
    unsigned count = 0;
  };
  /// A map page as it was at one instant.
  struct MapState {
    unsigned level = 0;
    unsigned count = 0;
    std::uint32_t first = 0;
    PageId last = kNoPage;  ///< its last entry
    bool full() const noexcept { return count >= kMapEntriesMax; }
  };
  enum class Fit : std::uint8_t { kYes, kNo, kForeign };

  // heap.cc
  Error damaged(PageId id, const char* what) const;
  const char* heap_problem(Bytes page) const noexcept;
  const char* map_problem(Bytes page) const noexcept;
  Status read_page(PageId id, Hint hint, FunctionRef<const char*(Bytes)> problem, FunctionRef<void(Bytes)> visit) const;
  Result<bool> try_read_row(Tid tid, FunctionRef<void(const HeapSlot&, const HeapSlot&)> visit) const;
  Status read_row_latched(Tid tid, FunctionRef<void(const HeapSlot&, const HeapSlot&)> visit) const;

  // heap_room.cc
  Result<ExclusiveGuard> find_room(std::size_t content_bytes, std::span<const PageId> others) const;
  Result<ExclusiveGuard> latch_hinted(PageId hinted, bool& contended) const;
  bool note_room(PageId id, Bytes page) const;
  void note_full(PageId id) const;
  void set_class(ExclusiveGuard& map, unsigned index, std::uint8_t free_class) const;
  Fit fit(const ExclusiveGuard& page, std::size_t content_bytes, std::span<const PageId> others) const;
  Status collect(PageId id, std::uint8_t free_class, Candidates& found) const;
  void lower_class(PageId parent, PageId child) const;
  void raise_class(PageId parent, std::uint32_t number, std::uint8_t free_class) const;

  // heap_map.cc
  Status read_map(PageId id, FunctionRef<void(const MapPageView&)> visit) const;
  Result<MapState> map_state(PageId id) const;
  Status list_from(std::uint32_t number, std::vector<PageId>& ids) const;
  Result<PageId> leaf_with_room() const;
  Status add_map_page(PageId parent, const MapState& expected) const;
  Status raise_root(const MapState& expected) const;
  Result<bool> free_last(FunctionRef<Status(PageId page)> spill) const;
  Status free_heap_page(PageId map, PageId heap, FunctionRef<Status(PageId page)> spill) const;
  Status free_map_page(PageId parent, PageId map) const;

  const HeapContext* context_;
  ObjectId object_;
  PageId root_;
  Hint hint_;
};

/// Registers the operations on heap pages and maps.
void register_heap_ops(RedoTable& table);

}  // namespace vaultgres
