// A table on a simulated disk, with everything that a heap works with open on it.
#pragma once

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include "buffer/page_image.h"
#include "format/superblock.h"
#include "heap/page_support.h"
#include "space/bitmap.h"
#include "support/sim_file_system.h"
#include "wal/log_reader.h"
#include "wal/log_space.h"
#include "wal/record.h"

namespace vaultgres {

template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  return *std::move(result);
}
inline void must(const Status& status) {
  ASSERT_TRUE(status) << status.error().message();
}

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

class TableSpace {
 public:
  static constexpr std::size_t kSegment = 64 << 10;

  explicit TableSpace(std::size_t frames = 512) {
    register_image_ops(redo_);
    register_bitmap_ops(redo_);
    register_heap_ops(redo_);
    must(disk.make_directory("log"));
    data_ = must(disk.open("data", OpenMode::kCreate));
    doublewrite_ = must(disk.open("doublewrite", OpenMode::kCreate));
    must(data_->allocate(0, std::uint64_t{16} * kPageBytes));
    open_layers(frames);
    must(allocator->format());
  }
  ~TableSpace() { close_layers(); }

  /// Everything goes to disk and is opened anew: what was not logged may be gone.
  void reopen(std::size_t frames = 512) {
    must(log->flush(log->filled()));
    must(pool->flush_all());
    log_first_ = (raw(log->end()) / kSegment + 2) * kSegment;
    close_layers();
    open_layers(frames);
    must(allocator->open());
  }

  /// A new, empty table.
  Heap create_table(ObjectId object) {
    for (;;) {
      LogSpace log_space(*log);
      must(log_space.reserve(log_bytes_for(kPageBytes + 1024)));
      PageReservation pages = must(allocator->reserve(1));
      FrameTicket frames = must(pool->reserve_frames(1));
      MiniTxn mini(*pool, *log, RecordKind::kSystem);
      Heap::add_new_root(mini, mini.own(pool->create(pages[0], frames)), object);
      if (!allocator->add_to(mini, pages.ids(), {})) continue;
      mini.commit();
      pages.committed(1);
      return table(object, pages[0]);
    }
  }
  Heap table(ObjectId object, PageId root) { return Heap(*context, object, root); }

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
    must(log->flush(log->filled()));
    const EpochSpan span{epoch_, epoch_ * 77, Lsn{log_first_}, kNoLsn};
    LogReader reader = must(LogReader::open(disk, "log", database_, kSegment, {span}, Lsn{log_first_}, kNoLsn));
    std::map<PageId, TestPage> pages;
    for (auto record = must(reader.next()); record; record = must(reader.next())) {
      const RecordView view = must(RecordView::parse(record->bytes));
      for (const RecordPage& part : view.pages()) {
        must(redo_.find(raw(part.op)).apply(pages[part.page].bytes(), part.payload));
        page_header(pages[part.page].bytes()).lsn.set(raw(record->lsn));
      }
    }
    EXPECT_GT(pages.size(), 1u);
    for (auto& [id, redone] : pages) {
      const SharedGuard guard = must(pool->shared(id, Hint::kScan));
      TestPage page;
      std::memcpy(page.bytes().data(), guard.page().data(), kPageBytes);
      for (TestPage* each : {&page, &redone}) {
        page_header(each->bytes()).checksum.set(0);
        const auto type = static_cast<PageType>(page_header(Bytes(each->bytes())).type.get());
        if (type == PageType::kHeap) clear_heap_history(each->bytes());
        if (type == PageType::kFreeSpaceMap) mask_free_classes(each->bytes());
      }
      EXPECT_TRUE(page == redone) << "page " << raw(id) << " after redo is another";
    }
  }

  SimFileSystem disk;
  Poison poison;
  std::unique_ptr<Log> log;
  std::unique_ptr<BufferPool> pool;
  std::unique_ptr<PageAllocator> allocator;
  std::unique_ptr<HeapContext> context;

 private:
  void open_layers(std::size_t frames) {
    LogOptions log_options;
    log_options.segment_bytes = kSegment;
    log_options.buffer_bytes = std::size_t{4} << 20;
    const LogEpoch epoch{++epoch_, epoch_ * 77, Lsn{log_first_}};
    log = must(Log::open(disk, "log", database_, epoch, Lsn{log_first_}, log_options, poison));
    must(log->reserve(1024));  // for good: this log's first record is of no operation
    log->append(RecordBuilder::epoch(epoch_, epoch_ - 1, kNoLsn));
    BufferOptions options;
    options.cache_bytes = frames * kPageBytes;
    pool = must(BufferPool::open(*data_, *doublewrite_, database_, *log, redo_, &validate_page, options, poison));
    pool->start_cleaner();
    allocator = std::make_unique<PageAllocator>(*pool, *log, *data_, poison);
    context = std::make_unique<HeapContext>(HeapContext{*pool, *log, *allocator});
  }
  void close_layers() {
    context.reset();
    allocator.reset();
    pool.reset();
    log.reset();
  }

  const DatabaseId database_{};
  RedoTable redo_;
  std::unique_ptr<File> data_;
  std::unique_ptr<File> doublewrite_;
  std::uint64_t epoch_ = 0;
  std::uint64_t log_first_ = kSegment;
};

}  // namespace vaultgres
