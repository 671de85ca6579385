// Copies of a run of a leaf's entries, for scans: taken in one go while the leaf may change, believed after the leaf
// was validated. Both forms of a leaf keep what follows a key's head, rest and value, in one piece; so an entry is
// three stores and a copy.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "btree/node.h"

namespace vaultgres {

class EntryRun {
 public:
  std::size_t size() const noexcept { return count_; }
  Bytes key(std::size_t i) const noexcept {
    if (uniform_) return {first_ + static_cast<std::ptrdiff_t>(i) * step_, key_bytes_};
    return {bytes_.get() + entries_[i].key_offset, entries_[i].key_bytes};
  }
  Bytes value(std::size_t i) const noexcept {
    if (uniform_) return {first_ + static_cast<std::ptrdiff_t>(i) * step_ + key_bytes_, value_bytes_};
    return {bytes_.get() + entries_[i].value_offset, entries_[i].value_bytes};
  }
  std::uint8_t flags(std::size_t i) const noexcept {
    return uniform_ ? std::uint8_t{0} : entries_[i].flags;
  }  ///< SlotFlags
  /// The flags that any of the entries has.
  std::uint8_t any_flags() const noexcept { return any_flags_; }

  void clear() noexcept {
    count_ = 0;
    uniform_ = false;
    any_flags_ = 0;
    entries_.clear();
    bytes_used_ = 0;
  }
  /// Replaces the run by the entries of the slots [first, end), those below the leaf's count; the last one first if
  /// not `ascending`. Safe on any bytes; on bytes that change meanwhile some entries may be missing.
  void copy(const NodeView& leaf, unsigned first, unsigned end, bool ascending);

  enum class Verdict : std::uint8_t { kKeep, kDrop, kReplace, kStop };
  /// Asks `judge(i, value, flags)` about every entry that has one of the flags of `mask`: it may put another value and
  /// other flags in their place. False when it said kStop; the run is then good for nothing.
  template <class Judge>
  bool filter(std::uint8_t mask, Judge&& judge);

 private:
  struct Entry {
    std::uint32_t key_offset;
    std::uint32_t value_offset;
    std::uint32_t value_bytes;
    std::uint16_t key_bytes;
    std::uint8_t flags;
  };
  /// Copies go in pieces of 16 bytes, the last of which may overhang.
  static constexpr std::size_t kSlackBytes = 64;

  struct Source;
  void copy_records(const Source& from, unsigned first, unsigned end, bool ascending);
  void copy_cells(const Source& from, unsigned first, unsigned end, bool ascending);
  /// Room for so many bytes behind those in use, and the slack.
  std::byte* room_for(std::size_t bytes);
  std::uint32_t append(Bytes value);

  std::unique_ptr<std::byte[]> bytes_;
  std::size_t bytes_used_ = 0;
  std::size_t bytes_max_ = 0;
  std::size_t count_ = 0;
  std::uint8_t any_flags_ = 0;
  /// Entries of one key length, one value length and no flags lie at even distances and are not listed.
  bool uniform_ = false;
  const std::byte* first_ = nullptr;
  std::ptrdiff_t step_ = 0;
  std::size_t key_bytes_ = 0;
  std::size_t value_bytes_ = 0;
  std::vector<Entry> entries_;
};

template <class Judge>
bool EntryRun::filter(std::uint8_t mask, Judge&& judge) {
  if ((any_flags_ & mask) == 0) return true;
  any_flags_ = 0;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    Entry entry = entries_[i];
    if ((entry.flags & mask) != 0) {
      std::string value;
      switch (judge(key(i), value, entry.flags)) {
        case Verdict::kKeep:
          break;
        case Verdict::kDrop:
          continue;
        case Verdict::kReplace:
          entry.value_offset = append(as_bytes(value));
          entry.value_bytes = static_cast<std::uint32_t>(value.size());
          break;
        case Verdict::kStop:
          return false;
      }
    }
    any_flags_ |= entry.flags;
    entries_[kept++] = entry;
  }
  entries_.resize(kept);
  count_ = kept;
  return true;
}

}  // namespace vaultgres
