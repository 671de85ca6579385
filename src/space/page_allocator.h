// Which pages of the data file are in use: allocation bitmaps, growth.
//
// Bit maps live in pages of their own, one for each kPagesPerBitmap pages; the bits change in the same log
// record as the split, merge or free that needs them. Page ids are first reserved in memory (no latch
// held), then the record that uses them sets their bits. A crash in between loses only memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/poison.h"
#include "buffer/buffer_pool.h"
#include "buffer/mini_txn.h"
#include "io/file.h"

namespace vaultgres {

/// Pages that one bitmap page describes, its own included.
inline constexpr std::uint32_t kPagesPerBitmap = (kPageBytes - 64) * 8;
/// Group g covers the ids [g * kPagesPerBitmap, (g + 1) * kPagesPerBitmap); its bitmap page is the first of
/// them, except in group 0, where it is kFirstBitmapPage.
PageId bitmap_page_of(PageId id) noexcept;

class PageAllocator;

/// Page ids reserved in memory, and their bitmap pages kept resident. Given back when not used.
class PageReservation {
 public:
  PageReservation() = default;
  PageReservation(PageReservation&& other) noexcept { *this = std::move(other); }
  PageReservation& operator=(PageReservation&& other) noexcept;
  ~PageReservation() { release(); }
  std::size_t count() const noexcept { return ids_.size(); }
  PageId operator[](std::size_t i) const noexcept { return ids_[i]; }
  std::span<const PageId> ids() const noexcept { return ids_; }
  /// The record that uses the first `used` ids is committed: they are no longer given back.
  void committed(std::size_t used) noexcept;
  void release() noexcept;

 private:
  friend class PageAllocator;
  PageAllocator* allocator_ = nullptr;
  std::vector<PageId> ids_;
  std::size_t used_ = 0;
  std::vector<LoadPin> pins_;
};

struct SpaceStats {
  std::uint64_t pages = 0;       ///< of the file
  std::uint64_t pages_free = 0;  ///< allocated to nobody
};

/// Thread-safe.
class PageAllocator {
 public:
  /// `fixed_end`: the ids below it are never handed out (superblocks, first bitmap, fixed roots).
  PageAllocator(BufferPool& pool, Log& log, File& data, Poison& poison);
  ~PageAllocator();

  /// Creates the first bitmap with the ids below kFirstUserPage allocated, as one system record. Only for a
  /// new database, before anything else. The file already has at least kFirstUserPage pages.
  Status format();
  /// Loads what is needed to know the free pages. After recovery's redo.
  Status open();

  /// Reserves `count` ids, near `near` if possible. Grows the file (fallocate, then the page count) when
  /// none are free: kNoSpace, nothing changed. [no latch held]
  Result<PageReservation> reserve(unsigned count, PageId near = kNoPage);

  /// Adds to `mini` the bitmap changes for these ids, latching the bitmap pages in ascending order (they
  /// come last in the latch order) and leaving them to `mini`. False when a bitmap page is not resident:
  /// release all latches, load_bitmaps(), try again. At most one call for one MiniTxn. False, too, when a
  /// bitmap contradicts these changes: then the database is poisoned, as load_bitmaps() and reserve() say.
  bool add_to(MiniTxn& mini, std::span<const PageId> allocate, std::span<const PageId> free);
  /// Makes the bitmap pages of these ids resident and keeps them so while the pins live. [no latch held]
  Result<std::vector<LoadPin>> load_bitmaps(std::span<const PageId> ids);
  /// The record that frees these ids is committed: they may be handed out again at once (stale readers fail
  /// to validate).
  void freed(std::span<const PageId> ids) noexcept;
  /// How many pages have been freed since the open, whoever has taken them since. [any thread]
  std::uint64_t freed_count() const noexcept;

  /// Is the page allocated, as the bitmaps say? For check. [no latch held]
  Result<bool> is_allocated(PageId id);
  /// Reads the bitmaps that were not needed yet. [no latch held]
  SpaceStats stats() const;

 private:
  friend class PageReservation;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

void register_bitmap_ops(RedoTable& table);
/// Structure check of a bitmap page at load.
Status verify_bitmap(PageId id, Bytes page);

}  // namespace vaultgres
