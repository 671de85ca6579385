// Which page ids are free, in memory: not allocated on disk and not reserved by anybody.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/types.h"
#include "space/bitmap.h"

namespace vaultgres {

/// One thread at a time. Groups are loaded one by one, when they are looked into; until then nothing in them
/// is handed out. Loading is in two steps, because the bitmap page is read without the owner's lock:
/// begin_load(), read the page, finish_load(). What is given back in between is not lost.
class PageMap {
 public:
  /// The file's length. Never falls.
  void set_page_count(std::uint32_t count);
  std::uint32_t page_count() const noexcept { return page_count_; }
  std::uint32_t group_count() const noexcept { return static_cast<std::uint32_t>(groups_.size()); }

  bool loaded(std::uint32_t group) const noexcept { return groups_[group].state == State::kLoaded; }
  void begin_load(std::uint32_t group);
  void finish_load(std::uint32_t group, const BitmapWords& used) noexcept;

  /// What reserve() needs before it can answer; nothing of either: it has answered.
  struct Missing {
    std::optional<std::uint32_t> group;  ///< to be loaded
    unsigned pages = 0;                  ///< that the file has too few of, all groups being loaded
  };
  /// `count` free ids, no longer free: in the group of `near` from there on, else the lowest ones. All or
  /// none.
  Missing reserve(unsigned count, PageId near, std::vector<PageId>& ids);
  void give_back(PageId id) noexcept;

  /// Free ids of the groups that are loaded.
  std::uint64_t free_count() const noexcept;

 private:
  enum class State : std::uint8_t { kUnknown, kLoading, kLoaded };
  struct Group {
    State state = State::kUnknown;
    std::uint32_t used = 0;        // loaded: bits that are set
    std::uint32_t first_word = 0;  // loaded: there is no free id in the words before it
    /// Loading: cleared bits are ids that were given back meanwhile.
    std::unique_ptr<BitmapWords> words;
  };
  std::uint32_t limit_of(std::uint32_t group) const noexcept;
  std::uint32_t free_in(std::uint32_t group) const noexcept;
  void take(std::uint32_t group, std::uint32_t begin, std::uint32_t end, unsigned count, std::vector<PageId>& ids);

  std::uint32_t page_count_ = 0;
  std::vector<Group> groups_;
  std::uint32_t lowest_ = 0;  // the groups before it are loaded and have nothing free
};

}  // namespace vaultgres
