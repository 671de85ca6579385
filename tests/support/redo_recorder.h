// Redo equals do: what redo makes of a page is, byte for byte, what the change had made of it.
//
// While a database works, each page has a twin here that is changed by the log records' operations only, and is
// compared with the page after every record: a byte that changed without a record shows at once. After a crash, the
// page after each record that redo applies is compared with the page as it was behind that record.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "btree/node.h"
#include "buffer/change_observer.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"
#include "support/test_page.h"

namespace vaultgres {

/// Takes out of a page what no record says. All there is of that:
///   LSN                  redo sets it behind the record, the twin never
///   checksum             of the copy that was written last; a page in memory has none
///   history flags        of slots of leaves and heap pages: hints that versions in memory may exist
///   free-space classes   of a table's map: hints where rows may find room
inline void mask_unlogged(MutableBytes page) {
  std::memset(page.data(), 0, offsetof(PageHeader, object));
  switch (static_cast<PageType>(page_header(Bytes(page)).type.get())) {
    case PageType::kLeaf:
      return clear_history(page);
    case PageType::kHeap:
      return clear_heap_history(page);
    case PageType::kFreeSpaceMap:
      return mask_free_classes(page);
    default:
      return;
  }
}

/// Sees all databases of the process for as long as it lives.
class RedoRecorder final : public ChangeObserver {
 public:
  RedoRecorder() { change_observer.store(this, std::memory_order_release); }
  RedoRecorder(const RedoRecorder&) = delete;
  RedoRecorder& operator=(const RedoRecorder&) = delete;
  ~RedoRecorder() override {
    change_observer.store(nullptr, std::memory_order_release);
    std::printf("pages compared: %llu as they were changed, %llu redone\n", static_cast<unsigned long long>(changed_),
                static_cast<unsigned long long>(redone_));
  }

  /// The database is down: from now on what redo does is compared; recovered databases' own changes are not looked at.
  void crashed() {
    const std::lock_guard lock(mutex_);
    crashed_ = true;
    twins_.clear();
  }

  std::uint64_t changes_compared() const {
    const std::lock_guard lock(mutex_);
    return changed_;
  }
  std::uint64_t redone_compared() const {
    const std::lock_guard lock(mutex_);
    return redone_;
  }
  /// The first few.
  std::vector<std::string> differences() const {
    const std::lock_guard lock(mutex_);
    return differences_;
  }
  std::string first_difference() const {
    const std::vector<std::string> all = differences();
    return all.empty() ? "" : all.front();
  }

  void on_change(PageId id, Lsn lsn, std::span<const Operation> operations, const RedoTable& redo,
                 Bytes after) override {
    const std::lock_guard lock(mutex_);
    if (crashed_) return;
    TestPage masked;
    std::memcpy(masked.bytes().data(), after.data(), kPageBytes);
    mask_unlogged(masked.bytes());
    images_[{raw(id), raw(lsn)}] = digest(masked);
    auto twin = twins_.find(id);
    if (twin == twins_.end()) {
      twin = twins_.emplace(id, TestPage()).first;
      if (!redo.find(raw(operations.front().op)).initialises) {  // it was there before: begin with what it is now
        std::memcpy(twin->second.bytes().data(), after.data(), kPageBytes);
        return;
      }
      std::memset(twin->second.bytes().data(), 0, kPageBytes);
    }
    ++changed_;
    for (const Operation& operation : operations) {
      const Status applied = redo.find(raw(operation.op)).apply(twin->second.bytes(), operation.payload);
      if (!applied) differs(id, lsn, "the record does not apply: " + std::string(applied.error().message()));
    }
    TestPage twin_masked = twin->second;
    mask_unlogged(twin_masked.bytes());
    for (std::size_t i = 0; i < kPageBytes; ++i) {
      if (masked.bytes()[i] == twin_masked.bytes()[i]) continue;
      differs(id, lsn, "byte " + std::to_string(i) + " is not what the page's records say");
      std::memcpy(twin->second.bytes().data(), after.data(), kPageBytes);  // each difference is told once
      return;
    }
  }

  void on_redo(PageId id, Lsn lsn, Bytes after) override {
    const std::lock_guard lock(mutex_);
    const auto image = images_.find({raw(id), raw(lsn)});
    if (!crashed_ || image == images_.end()) return;  // of a database that was recovered before
    ++redone_;
    TestPage masked;
    std::memcpy(masked.bytes().data(), after.data(), kPageBytes);
    mask_unlogged(masked.bytes());
    if (digest(masked) != image->second) differs(id, lsn, "redo makes something else of it");
  }

 private:
  static std::size_t digest(const TestPage& page) { return std::hash<std::string_view>()(as_text(page.bytes())); }
  void differs(PageId id, Lsn lsn, const std::string& what) {
    if (differences_.size() >= 10) return;
    differences_.push_back("page " + std::to_string(raw(id)) + " at log position " + std::to_string(raw(lsn)) + ": " +
                           what);
  }

  mutable std::mutex mutex_;
  bool crashed_ = false;
  std::map<PageId, TestPage> twins_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::size_t> images_;  // by page and LSN
  std::uint64_t changed_ = 0;
  std::uint64_t redone_ = 0;
  std::vector<std::string> differences_;
};

}  // namespace vaultgres
