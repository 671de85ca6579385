// A data file on a simulated disk with everything up to the page allocator open on it: what tests of the allocator and
// of the layers above it begin with.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/function_ref.h"
#include "buffer/buffer_pool.h"
#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "format/superblock.h"
#include "space/bitmap.h"
#include "space/page_allocator.h"
#include "support/sim_file_system.h"
#include "support/test_page.h"
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

class PageSpace {
 public:
  static constexpr std::size_t kSegment = 64 << 10;
  static constexpr std::uint32_t kFirstFilePages = 16;
  using Pages = std::map<PageId, TestPage>;

  /// A new data file. `register_ops`: page operations besides images and those of bitmaps.
  PageSpace(void (*register_ops)(RedoTable&), PageValidator validate, std::size_t frames) : validate_(validate) {
    register_image_ops(redo_);
    register_bitmap_ops(redo_);
    register_ops(redo_);
    must(disk.make_directory("log"));
    data_ = must(disk.open("data", OpenMode::kCreate));
    doublewrite_ = must(disk.open("doublewrite", OpenMode::kCreate));
    must(data_->allocate(0, std::uint64_t{kFirstFilePages} * kPageBytes));
    open_layers(frames);
    must(allocator->format());
  }
  PageSpace(const PageSpace&) = delete;
  PageSpace& operator=(const PageSpace&) = delete;
  ~PageSpace() { close_layers(); }

  /// Everything goes to disk. The next log begins behind this one, whose records are gone.
  void close() {
    must(log->flush(log->filled()));
    must(pool->flush_all());
    log_first_ = (raw(log->end()) / kSegment + 2) * kSegment;
    close_layers();
  }
  /// What PageAllocator::open() says.
  Status open_again(std::size_t frames) {
    open_layers(frames);
    return allocator->open();
  }

  /// A page for what `add_new_root` begins on it.
  template <class AddNewRoot>
  PageId create_root(AddNewRoot add_new_root, ObjectId object) {
    for (;;) {
      LogSpace log_space(*log);
      must(log_space.reserve(log_bytes_for(kPageBytes + 1024)));
      PageReservation pages = must(allocator->reserve(1));
      FrameTicket frames = must(pool->reserve_frames(1));
      MiniTxn mini(*pool, *log, RecordKind::kSystem);
      add_new_root(mini, mini.own(pool->create(pages[0], frames)), object);
      if (!allocator->add_to(mini, pages.ids(), {})) continue;
      mini.commit();
      pages.committed(1);
      return pages[0];
    }
  }

  /// Of the file, those with fixed places included.
  std::uint64_t pages_allocated() const {
    const SpaceStats stats = allocator->stats();
    return stats.pages - stats.pages_free;
  }

  /// The page as it is.
  TestPage image_of(PageId id) {
    TestPage image;
    const SharedGuard page = must(pool->shared(id, Hint::kScan));
    std::memcpy(image.bytes().data(), page.page().data(), kPageBytes);
    return image;
  }
  /// Gives the page another image, as if it had been read from a damaged file.
  void replace(PageId id, Bytes image) {
    LogSpace log_space(*log);
    must(log_space.reserve(log_bytes_for(kPageBytes + 512)));
    ExclusiveGuard page = must(pool->exclusive(id, Hint::kNormal));
    PayloadBuffer payload;
    encode_page_image(payload, image);
    MiniTxn mini(*pool, *log, RecordKind::kSystem);
    mini.add(page, PageOp::kImage, payload.bytes());
    mini.commit();
  }

  /// The bitmaps say this of the pages, which nobody else learns.
  void forge_bitmaps(std::span<const PageId> allocated, std::span<const PageId> free) {
    LogSpace log_space(*log);
    must(log_space.reserve(log_bytes_for(4 * kPageBytes)));
    MiniTxn mini(*pool, *log, RecordKind::kSystem);
    ASSERT_TRUE(allocator->add_to(mini, allocated, free));
    mini.commit();
  }

  /// So many frames, which nobody else has meanwhile; not the calling thread's own, which may need some.
  std::vector<FrameTicket> take_frames(std::size_t count) {
    std::vector<FrameTicket> taken;
    std::thread([&] {
      while (taken.size() < count) taken.push_back(must(pool->reserve_frames(1)));
    }).join();
    return taken;
  }
  /// Every page goes to disk and out of the cache. Nobody holds one.
  void evict_all() {
    must(log->flush(log->filled()));
    must(pool->flush_all());
    static_cast<void>(take_frames(pool->stats().frames - pool->held().frames));
  }

  /// All pages that the log names, made from nothing but the log. `visit(pages)` sees them after each of its records.
  Pages replay(FunctionRef<void(const Pages& pages)> visit) {
    must(log->flush(log->filled()));
    const EpochSpan span{epoch_, epoch_ * 77, Lsn{log_first_}, kNoLsn};
    LogReader reader = must(LogReader::open(disk, "log", database_, kSegment, {span}, Lsn{log_first_}, kNoLsn));
    Pages pages;
    for (auto record = must(reader.next()); record; record = must(reader.next())) {
      const RecordView view = must(RecordView::parse(record->bytes));
      for (const RecordPage& part : view.pages()) {
        must(redo_.find(raw(part.op)).apply(pages[part.page].bytes(), part.payload));
        page_header(pages[part.page].bytes()).lsn.set(raw(record->lsn));
      }
      visit(pages);
    }
    return pages;
  }

  File& data() { return *data_; }

  SimFileSystem disk;
  Poison poison;
  std::unique_ptr<Log> log;
  std::unique_ptr<BufferPool> pool;
  std::unique_ptr<PageAllocator> allocator;

 private:
  void open_layers(std::size_t frames) {
    LogOptions log_options;
    log_options.segment_bytes = kSegment;
    log_options.buffer_bytes = std::size_t{4} << 20;
    log_options.flush_interval_ms = 3'600'000;  // no padding but of flushes that somebody needs
    const LogEpoch epoch{++epoch_, epoch_ * 77, Lsn{log_first_}};
    log = must(Log::open(disk, "log", database_, epoch, Lsn{log_first_}, log_options, poison));
    must(log->reserve(1024));  // for good: this log's first record is of no operation
    log->append(RecordBuilder::epoch(epoch_, epoch_ - 1, kNoLsn, 0));
    BufferOptions options;
    options.cache_bytes = frames * kPageBytes;
    pool = must(BufferPool::open(*data_, *doublewrite_, database_, *log, redo_, validate_, options, poison));
    pool->start_cleaner();
    allocator = std::make_unique<PageAllocator>(*pool, *log, *data_, poison);
  }
  void close_layers() {
    allocator.reset();
    pool.reset();
    log.reset();
  }

  const DatabaseId database_{};
  const PageValidator validate_;
  RedoTable redo_;
  std::unique_ptr<File> data_;
  std::unique_ptr<File> doublewrite_;
  std::uint64_t epoch_ = 0;
  std::uint64_t log_first_ = kSegment;
};

}  // namespace vaultgres
