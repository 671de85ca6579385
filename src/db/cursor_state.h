// What stands behind a public Cursor: a range, a batch of entries of one leaf, a place in it.
#pragma once

#include <optional>
#include <string>

#include "db/core.h"

namespace vaultgres::internal {

struct CursorState {
  CursorState(MapHandle map, KeyRange keys) : handle(std::move(map)), range(std::move(keys)) {}

  enum class Place : std::uint8_t {
    kBefore,  ///< before the first entry of the range
    kOn,      ///< on entry `index` of the batch
    kAfter,   ///< behind the last entry of the range
  };

  Result<bool> seek_forward(Bytes from);                   ///< first entry with a key >= from
  Result<bool> seek_backward(Bytes from, bool unbounded);  ///< last entry with a key < from
  Result<bool> step(ScanOrder order);
  /// The common step: to an entry that was copied out already. False: step() has to look.
  bool step_within_batch(ScanOrder order) noexcept {
    if (place != Place::kOn || batch_order_ != order || index_ + 1 >= inside_ || batch_.overflow(index_ + 1) ||
        handle.core->is_closed() || handle.map->dropped.load(std::memory_order_acquire)) {
      return false;
    }
    ++index_;
    large_ = false;
    return true;
  }
  Bytes key() const noexcept { return batch_.key(index_); }
  Bytes value() const noexcept { return large_ ? as_bytes(large_value_) : batch_.value(index_); }

  MapHandle handle;
  KeyRange range;
  TxnId self = kNoTxn;
  Place place = Place::kBefore;
  std::optional<Error> error;     ///< stays until a seek
  std::optional<Error> unusable;  ///< stays: its transaction had ended when it was made

 private:
  Result<bool> fill(Bytes from, bool unbounded, ScanOrder order);
  Result<bool> arrive(std::size_t at);
  bool inside(Bytes key) const noexcept;
  std::size_t count_inside() const noexcept;
  Result<bool> out(ScanOrder order) noexcept;

  LeafBatch batch_;
  ScanOrder batch_order_ = ScanOrder::kForward;
  std::size_t index_ = 0;
  std::size_t inside_ = 0;  ///< so many entries of the batch, its first ones, lie within the range
  unsigned batch_max_ = 0;
  std::string large_value_;
  bool large_ = false;
};

}  // namespace vaultgres::internal
