#include "btree/node_fill.h"

#include "btree/node_layout.h"

namespace vaultgres {

void NodeFill::start(std::size_t prefix_bytes) noexcept {
  entries_.clear();
  prefix_bytes_ = prefix_bytes;
  cells_bytes_ = 0;
  fixed_ = true;
}

void NodeFill::limit_prefix(std::size_t prefix_bytes) noexcept {
  if (prefix_bytes >= prefix_bytes_) return;
  prefix_bytes_ = prefix_bytes;
  cells_bytes_ = 0;
  if (fixed_ && !entries_.empty()) {
    cells_bytes_ = entries_.size() * cell_bytes(entries_.front());
  } else {
    for (const Sizes& entry : entries_) cells_bytes_ += cell_bytes(entry);
  }
}

void NodeFill::add(std::size_t key_bytes, std::size_t value_bytes) {
  const Sizes entry{static_cast<std::uint16_t>(key_bytes), static_cast<std::uint16_t>(value_bytes)};
  entries_.push_back(entry);
  const Sizes& first = entries_.front();
  fixed_ = fixed_ && entry.key_bytes == first.key_bytes && entry.value_bytes == first.value_bytes;
  cells_bytes_ += cell_bytes(entry);
}

std::size_t NodeFill::cell_bytes(const Sizes& entry) const noexcept {
  const auto suffix_bytes = static_cast<unsigned>(entry.key_bytes - prefix_bytes_);
  return sizeof(CellHeader) + node::rest_of(suffix_bytes) + entry.value_bytes;
}

std::size_t NodeFill::bytes(std::size_t fence_bytes) const noexcept {
  const std::size_t count = entries_.size();
  if (fixed_) {
    // A record is the cell with flags in the place of lengths; nothing but a head is beside it.
    return fence_bytes + cells_bytes_ + count * (4 + kRecordFlagBytes) - count * sizeof(CellHeader);
  }
  // A head and a slot each, in fours.
  return fence_bytes + cells_bytes_ + 6 * std::size_t{node::round_up(static_cast<unsigned>(count), 4)};
}

}  // namespace vaultgres
