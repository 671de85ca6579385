// A table on a simulated disk, with everything that a heap works with open on it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "heap/page_support.h"
#include "support/page_space.h"

namespace vaultgres {

inline Status validate_page(PageId id, Bytes page) {
  switch (static_cast<PageType>(page_header(page).type.get())) {
    case PageType::kBitmap:
      return verify_bitmap(id, page);
    case PageType::kHeap:
      return verify_heap_page(page);
    case PageType::kFreeSpaceMap:
      return verify_map_page(page);
    default:
      return {};
  }
}

class TableSpace : public PageSpace {
 public:
  explicit TableSpace(std::size_t frames = 512) : PageSpace(&register_heap_ops, &validate_page, frames) {
    context_.emplace(HeapContext{*pool, *log, *allocator});
  }

  /// Everything goes to disk and is opened anew: what was not logged may be gone.
  void reopen(std::size_t frames = 512) {
    context_.reset();
    close();
    must(open_again(frames));
    context_.emplace(HeapContext{*pool, *log, *allocator});
  }

  /// A new, empty table.
  Heap create_table(ObjectId object) { return table(object, create_root(&Heap::add_new_root, object)); }
  Heap table(ObjectId object, PageId root) { return Heap(*context_, object, root); }

  /// Changes to latched pages as one record.
  struct Part {
    ExclusiveGuard* page;
    PageOp op;
    const PayloadBuffer* payload;
  };
  void commit(std::initializer_list<Part> parts) {
    MiniTxn mini(*pool, *log, RecordKind::kSystem);
    for (const Part& part : parts) mini.add(*part.page, part.op, part.payload->bytes());
    mini.commit();
  }

  Tid insert(const Heap& heap, std::string_view row) {
    LogSpace log_space(*log);
    must(log_space.reserve(Heap::log_bytes_of_change(row.size())));
    HeapSlotGuard place = must(heap.latch_for_insert(row.size()));
    EXPECT_FALSE(HeapPageView(place.page.page()).slot(place.slot).used());
    PayloadBuffer payload;
    encode_heap_insert(payload, place.slot, {HeapKind::kRow, false, false}, as_bytes(row));
    commit({{&place.page, PageOp::kHeapInsert, &payload}});
    return {place.page.id(), static_cast<std::uint16_t>(place.slot)};
  }
  void remove(const Heap& heap, Tid tid) {
    LogSpace log_space(*log);
    must(log_space.reserve(Heap::log_bytes_of_change(0)));
    ExclusiveGuard page = must(heap.latch(tid.page));
    PayloadBuffer payload;
    encode_heap_remove(payload, std::span(&tid.slot, 1));
    commit({{&page, PageOp::kHeapRemove, &payload}});
    const bool noted = heap.note_free(page);
    page.release();
    if (!noted) must(heap.note_free(tid.page));
  }
  void set_ghost(const Heap& heap, Tid tid, bool ghost) {
    LogSpace log_space(*log);
    must(log_space.reserve(Heap::log_bytes_of_change(0)));
    ExclusiveGuard page = must(heap.latch(tid.page));
    PayloadBuffer payload;
    encode_heap_set_ghost(payload, tid.slot, ghost);
    commit({{&page, PageOp::kHeapSetGhost, &payload}});
  }
  /// The row of a slot becomes a reference to an overflow chain, in place.
  void set_overflow(const Heap& heap, Tid tid, std::string_view content) {
    LogSpace log_space(*log);
    must(log_space.reserve(Heap::log_bytes_of_change(kHeapContentBytesMax)));
    ExclusiveGuard page = must(heap.latch(tid.page));
    const HeapKind kind = HeapPageView(page.page()).slot(tid.slot).state.kind;
    PayloadBuffer payload;
    encode_heap_update(payload, tid.slot, {kind, false, true}, as_bytes(content));
    commit({{&page, PageOp::kHeapUpdate, &payload}});
  }
  Tid link_of(const Heap& heap, Tid home) {
    Tid link;
    must(heap.read(home.page, [&](const HeapPageView& view) { link = view.slot(home.slot).link(); }));
    return link;
  }
  /// Moves the row of a home slot to another page; its new place.
  Tid move(const Heap& heap, Tid home, std::string_view row) {
    LogSpace log_space(*log);
    must(log_space.reserve(Heap::log_bytes_of_change(row.size())));
    HeapSlotGuard place = must(heap.latch_for_insert(row.size() + kTidBytes, std::span(&home.page, 1)));
    const Tid body{place.page.id(), static_cast<std::uint16_t>(place.slot)};
    std::string content(as_text(encode_tid(home)));
    content += row;
    PayloadBuffer insert;
    encode_heap_insert(insert, place.slot, {HeapKind::kBody, false, false}, as_bytes(content));
    PayloadBuffer update;
    encode_heap_update(update, home.slot, {HeapKind::kStub, false, false}, encode_tid(body));
    const HeapSlot old = HeapPageView(place.others[0].page()).slot(home.slot);
    if (old.state.kind != HeapKind::kStub) {
      commit({{&place.page, PageOp::kHeapInsert, &insert}, {&place.others[0], PageOp::kHeapUpdate, &update}});
      return body;
    }
    // It was moved before: its old body goes in the same record, so its page is wanted as well.
    const Tid old_body = old.link();
    const PageId others[] = {home.page, old_body.page};
    place = HeapSlotGuard{};
    place = must(heap.latch_for_insert(row.size() + kTidBytes, others));
    const Tid again{place.page.id(), static_cast<std::uint16_t>(place.slot)};
    EXPECT_EQ(HeapPageView(place.others[0].page()).slot(home.slot).link(), old_body) << "one mover for each row";
    insert.clear();
    encode_heap_insert(insert, place.slot, {HeapKind::kBody, false, false}, as_bytes(content));
    update.clear();
    encode_heap_update(update, home.slot, {HeapKind::kStub, false, false}, encode_tid(again));
    PayloadBuffer remove;
    encode_heap_remove(remove, std::span(&old_body.slot, 1));
    commit({{&place.page, PageOp::kHeapInsert, &insert},
            {&place.others[0], PageOp::kHeapUpdate, &update},
            {&place.others[1], PageOp::kHeapRemove, &remove}});
    return again;
  }

  std::string row_of(const Heap& heap, Tid tid) {
    std::string row;
    const Status read = heap.read_row(tid, [&](const HeapSlot& home, const HeapSlot& body) {
      row = home.used() ? std::string(as_text(body.row())) : "no row";
    });
    return read ? row : "error: " + std::string(read.error().message());
  }
  /// Checks the table; the number of pages that it has, map pages too.
  std::size_t check(const Heap& heap) {
    std::set<PageId> pages;
    must(heap.walk([&](PageId id, Bytes) { EXPECT_TRUE(pages.insert(id).second) << "page " << raw(id) << " twice"; },
                   [&](PageId id, const std::string& what) { ADD_FAILURE() << "page " << raw(id) << ": " << what; }));
    for (const PageId id : pages) EXPECT_TRUE(must(allocator->is_allocated(id)));
    return pages.size();
  }
  std::vector<std::string> problems(const Heap& heap) {
    std::vector<std::string> found;
    must(
        heap.walk([](PageId, Bytes) {},
                  [&](PageId id, const std::string& what) { found.push_back(std::to_string(raw(id)) + ": " + what); }));
    return found;
  }

  /// Every page that the log names, made anew from nothing but the log, is the page as it is. Call it before any
  /// reopen().
  void expect_redo_gives_the_same() {
    Pages pages = replay([](const Pages&) {});
    EXPECT_GT(pages.size(), 1u);
    for (auto& [id, redone] : pages) {
      TestPage page = image_of(id);
      for (TestPage* each : {&page, &redone}) {
        page_header(each->bytes()).checksum.set(0);
        const auto type = static_cast<PageType>(page_header(Bytes(each->bytes())).type.get());
        if (type == PageType::kHeap) clear_heap_history(each->bytes());
        if (type == PageType::kFreeSpaceMap) mask_free_classes(each->bytes());
      }
      EXPECT_TRUE(page == redone) << "page " << raw(id) << " after redo is another";
    }
  }

 private:
  std::optional<HeapContext> context_;
};

}  // namespace vaultgres
