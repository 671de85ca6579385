// A pool over a simulated disk, with one page operation: fill the page's body with a number.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "buffer/buffer_pool.h"
#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "support/sim_file_system.h"

namespace vaultgres {

inline constexpr PageOp kFill{200};

inline Status apply_fill(MutableBytes page, Bytes payload) {
  page_header(page).type.set(static_cast<std::uint8_t>(PageType::kHeap));
  for (std::size_t at = kPageHeaderBytes; at + 8 <= kPageBytes; at += 8)
    std::memcpy(page.data() + at, payload.data(), 8);
  return {};
}

inline std::uint64_t number_on(Bytes page) {
  return load_little<std::uint64_t>(page.data() + kPageHeaderBytes);
}

/// True when all words of the body say the same: the page is not torn.
inline bool is_whole(Bytes page) {
  const std::uint64_t first = number_on(page);
  for (std::size_t at = kPageHeaderBytes; at + 8 <= kPageBytes; at += 8) {
    if (load_little<std::uint64_t>(page.data() + at) != first) return false;
  }
  return true;
}

class PoolWorld {
 public:
  static constexpr std::uint32_t kPages = 400;

  /// The test validator's idea of a page that is not sound although its checksum is.
  static constexpr std::uint64_t kUnsound = 0xBAD;

  explicit PoolWorld(FileSystem& disk, std::size_t frames = 32, bool fresh = true, std::uint64_t epoch = 1,
                     BufferOptions options = {}) {
    if (fresh) {
      EXPECT_TRUE(disk.make_directory("/db"));
      EXPECT_TRUE(disk.make_directory("/db/log"));
      EXPECT_TRUE(disk.sync_directory("/"));
    }
    data_ = *disk.open("/db/data", fresh ? OpenMode::kCreate : OpenMode::kReadWrite);
    doublewrite_ = *disk.open("/db/double", fresh ? OpenMode::kCreate : OpenMode::kReadWrite);
    if (fresh) {
      EXPECT_TRUE(data_->allocate(0, std::uint64_t{kPages} * kPageBytes));
      EXPECT_TRUE(data_->sync());
      EXPECT_TRUE(disk.sync_directory("/db"));
    }
    register_image_ops(redo_);
    redo_.set(kFill, &apply_fill, true);
    LogOptions log_options;
    log_options.segment_bytes = 64 * 1024;
    log_options.buffer_bytes = 2 << 20;
    log_ = *Log::open(disk, "/db/log", database_, {epoch, 77 + epoch, Lsn{epoch << 30}}, Lsn{epoch << 30}, log_options,
                      poison_);
    EXPECT_TRUE(log_->reserve(fresh ? 16 << 20 : 128 << 10));
    options.cache_bytes = frames * kPageBytes;
    pool_ = *BufferPool::open(*data_, *doublewrite_, database_, *log_, redo_, &validate, options, poison_);
  }

  BufferPool& pool() { return *pool_; }
  Log& log() { return *log_; }
  Poison& poison() { return poison_; }
  File& data() { return *data_; }
  File& doublewrite() { return *doublewrite_; }
  const RedoTable& redo() const { return redo_; }
  const DatabaseId& database() const { return database_; }

  /// A new page with this number.
  Status create(PageId id, std::uint64_t number) {
    auto ticket = pool_->reserve_frames(1);
    if (!ticket) return ticket.error();
    ExclusiveGuard guard = pool_->create(id, *ticket);
    fill(guard, number);
    return {};
  }
  Lsn fill(ExclusiveGuard& guard, std::uint64_t number) {
    MiniTxn mini(*pool_, *log_, RecordKind::kSystem);
    std::byte payload[8];
    store_little(payload, number);
    mini.add(guard, kFill, payload);
    return mini.commit().lsn;
  }
  Status change(PageId id, std::uint64_t number) {
    auto guard = pool_->exclusive(id, Hint::kNormal);
    if (!guard) return guard.error();
    fill(*guard, number);
    return {};
  }
  Result<std::uint64_t> read(PageId id) {
    auto guard = pool_->shared(id, Hint::kNormal);
    if (!guard) return guard.error();
    EXPECT_TRUE(is_whole(guard->page()));
    return number_on(guard->page());
  }
  /// Pushes every page below 200 out of the cache, by creating others.
  void evict_all() {
    for (std::uint32_t i = 200; i < 200 + 3 * pool_->stats().frames; ++i) {
      if (i % 8 == 0) {
        EXPECT_TRUE(pool_->flush_all());  // clean pages can go
      }
      EXPECT_TRUE(create(PageId{i}, i));
    }
    EXPECT_TRUE(pool_->flush_all());
  }

 private:
  static Status validate(PageId, Bytes page) {
    if (number_on(page) == kUnsound) return Error(ErrorCode::kCorruption, "unsound");
    return {};
  }

  DatabaseId database_{};
  Poison poison_;
  RedoTable redo_;
  std::unique_ptr<File> data_;
  std::unique_ptr<File> doublewrite_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<BufferPool> pool_;
};

}  // namespace vaultgres
