// The first look at all pages of a damaged database: what each is and whose, and what unreadable ones were as far as
// others say. Leaves and heap pages then come sorted: object by object, leaves by their low fences, heap pages by their
// numbers. Inner nodes and maps of heap pages are asked about unreadable pages only; nothing is reached through them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "db/salvage_files.h"
#include "db/sorter.h"

namespace vaultgres::internal {

/// What a page is for.
enum class PageUse : std::uint8_t {
  // It can be read.
  kOther,  ///< of no interest: bitmaps, overflow pages
  kFree,
  kLeaf,
  kInner,
  kHeap,
  kMap,
  // It cannot; what it was, if anything else says it.
  kAbsent,  ///< all zeros, and no bitmap says that it should not be
  kLost,    ///< nobody knows
  kLostFree,
  kLostBitmap,
  kLostLeaf,
  kLostInner,
  kLostHeap,
  kLostMap,
  kLostOverflow,
};

/// A leaf that may have entries of its object.
struct FoundLeaf {
  PageId page = kNoPage;
  Lsn lsn{0};
  std::string low;
  std::string high;
  bool has_high = false;
};

/// A heap page, or one that cannot be read and is listed in its table's map.
struct FoundHeapPage {
  std::uint32_t number = 0;
  PageId page = kNoPage;
  bool lost = false;
};

/// Leaves, or heap pages, of one object.
struct FoundGroup {
  ObjectId object{};
  bool heap = false;
};

/// Not thread-safe. 5 bytes for each page of the file, and the sorter's memory.
class FoundPages {
 public:
  /// The temporary file at `path` is made if the fences of all leaves take more than 32 MiB.
  FoundPages(FileSystem& scratch, std::string path);

  /// Looks at all pages. Unreadable ones go into the report.
  Status look(const DamagedFiles& files, SalvageReport& report);

  PageUse use(PageId id) const noexcept { return raw(id) < uses_.size() ? uses_[raw(id)] : PageUse::kAbsent; }
  /// 0: not known.
  ObjectId object(PageId id) const noexcept {
    return raw(id) < uses_.size() ? ObjectId{objects_[raw(id)]} : ObjectId{0};
  }
  /// Somebody knows what an unreadable page was.
  void explain(PageId id, PageUse use, ObjectId object) noexcept;
  std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(uses_.size()); }

  // --- What was found, in ascending order of objects; of an object first leaves, then heap pages.
  /// The next group, whatever is left of the one before.
  Result<std::optional<FoundGroup>> next_group();
  /// Of the group at hand, which has leaves. False: no more.
  Result<bool> next_leaf(FoundLeaf& leaf);
  /// Likewise. Of one number the readable ones first, among them the one that was changed last.
  Result<bool> next_heap_page(FoundHeapPage& page);

 private:
  Status note(PageId id, PageReading reading, Bytes page);
  Status add_leaf(PageId id, Bytes page);
  Status add_heap_page(ObjectId object, std::uint32_t number, PageId id, Lsn lsn, bool lost);
  Status ask_others(const DamagedFiles& files);
  Status ask_inner(Bytes page);
  Status ask_map(Bytes page);
  void ask_bitmap(Bytes page);
  Status advance();
  bool at_group() const noexcept;

  Sorter sorter_;
  std::vector<PageUse> uses_;
  std::vector<std::uint32_t> objects_;
  FoundGroup group_;
  bool started_ = false;
  bool more_ = false;  ///< key_ and value_ are the next that was found
  Bytes key_;
  Bytes value_;
};

/// The use of a page that cannot be read.
constexpr bool is_lost(PageUse use) noexcept {
  return use >= PageUse::kAbsent;
}

}  // namespace vaultgres::internal
