// Scans: the visible entries of one leaf at a time, copied out, and where the scan goes on.
#pragma once

#include <cstdint>
#include <string>

#include "btree/node_run.h"
#include "txn/engine.h"

namespace vaultgres {

enum class ScanOrder : std::uint8_t { kForward, kBackward };

/// Entries copied out of one leaf, visible ones only. Reuse one for a scan: it remembers where the next leaf is.
class LeafBatch {
 public:
  std::size_t size() const noexcept { return run_.size(); }
  Bytes key(std::size_t i) const noexcept { return run_.key(i); }
  Bytes value(std::size_t i) const noexcept { return run_.value(i); }
  /// The value is an OverflowRef.
  bool overflow(std::size_t i) const noexcept { return (run_.flags(i) & kSlotOverflow) != 0; }
  /// Where the scan goes on: forward the first key not looked at, backward the last key looked at.
  Bytes bound() const noexcept { return as_bytes(bound_); }
  /// Nothing lies beyond.
  bool at_end() const noexcept { return at_end_; }

 private:
  friend class LeafScan;
  EntryRun run_;
  std::string bound_;
  bool at_end_ = false;
  Tree::Trail trail_;     ///< upwards only
  std::string position_;  ///< where the scan under way begins
  std::string ghost_;     ///< the first in the leaf that has no history to be seen
};

/// The visible entries of the first leaf from `from` on: forward key >= from, backward key < from (or from the very
/// end with `unbounded`), of at most `entries_max` slots; so a batch may be empty without being at the end. Large
/// values stay references: resolve them with read_chain() while `snapshot` is still registered. `from` may be the
/// batch's own bound(). `hint`: of the leaf.
Status scan_leaf(const Engine& engine, const Tree& tree, Bytes from, bool unbounded, ScanOrder order, TxnId self,
                 Lsn snapshot, unsigned entries_max, Hint hint, LeafBatch& batch);

/// How the pages of a scan's next batch are used: a short scan is one use among others; a long one must not push out
/// what others use.
inline Hint scan_hint(Hint object_hint, bool first_batch) noexcept {
  return object_hint == Hint::kPinned || first_batch ? object_hint : Hint::kScan;
}

}  // namespace vaultgres
