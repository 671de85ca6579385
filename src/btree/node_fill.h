// How full a leaf becomes, counted while its entries are only gathered and its high fence is not known yet.
#pragma once

#include <cstdint>
#include <vector>

namespace vaultgres {

/// Entries of a leaf by their sizes, under the prefix that its fences would share. Costs a few additions for each
/// entry; the sizes are gone through again only when entries of several lengths lose some of their prefix.
class NodeFill {
 public:
  /// No entries; every key yet to come starts with these bytes.
  void start(std::size_t prefix_bytes) noexcept;
  /// The fences share no more than this.
  void limit_prefix(std::size_t prefix_bytes) noexcept;
  /// Precondition: the key is not shorter than the prefix.
  void add(std::size_t key_bytes, std::size_t value_bytes);

  /// Bytes in use by entries, arrays and fences of these lengths together: append_entry() takes all entries into an
  /// empty leaf exactly if this is at most NodeView::capacity_bytes().
  std::size_t bytes(std::size_t fence_bytes) const noexcept;

 private:
  struct Sizes {
    std::uint16_t key_bytes;
    std::uint16_t value_bytes;
  };
  std::size_t cell_bytes(const Sizes& entry) const noexcept;

  std::vector<Sizes> entries_;
  std::size_t prefix_bytes_ = 0;
  std::size_t cells_bytes_ = 0;  // in slotted form
  bool fixed_ = true;            // all entries so far have the lengths of the first
};

}  // namespace vaultgres
