#include "txn/leaf_batch.h"

#include <algorithm>
#include <array>

#include "base/schedule_noise.h"
#include "base/try.h"
#include "txn/version_table.h"

namespace vaultgres {

/// One call of scan_leaf().
class LeafScan {
 public:
  LeafScan(const Engine& engine, const Tree& tree, Bytes from, bool unbounded, ScanOrder order, TxnId self,
           Lsn snapshot, unsigned entries_max, Hint hint, LeafBatch& batch)
      : engine_(engine),
        tree_(tree),
        unbounded_(unbounded),
        forward_(order == ScanOrder::kForward),
        self_(self),
        snapshot_(snapshot),
        entries_max_(std::max(entries_max, 1u)),
        hint_(hint),
        batch_(batch) {
    goes_on_ = forward_ && !batch_.at_end_ && as_text(from) == batch_.bound_;
    batch_.position_.assign(as_text(from));
  }

  Status run() {
    using Kind = Tree::Target::Kind;
    if (!forward_ && !unbounded_ && from().empty()) {  // no key is below the empty one
      batch_.run_.clear();
      set_bound({}, true);
      return {};
    }
    const Tree::Target target{forward_ ? Kind::kCovering : unbounded_ ? Kind::kLast : Kind::kBelow, from()};
    if (!goes_on_) batch_.trail_.clear();
    VG_TRY(tree_.read_leaf(
        target, [this](const NodeView& leaf) { copy(leaf); }, hint_, batch_.trail_));
    note_ghost();
    if (too_old_) {
      return Error(ErrorCode::kConflict, "the snapshot that this scan reads at is too old; start it again");
    }
    return {};
  }

 private:
  Bytes from() const noexcept { return as_bytes(batch_.position_); }
  void set_bound(Bytes bound, bool at_end) {
    batch_.bound_.assign(as_text(bound));
    batch_.at_end_ = at_end;
  }
  void set_bound_at(const NodeView& leaf, unsigned slot) {
    std::array<std::byte, kKeyBytesMax> key;
    set_bound(Bytes(key).first(leaf.copy_key(slot, key)), false);
  }

  /// Runs while the leaf may change, perhaps more than once.
  void copy(const NodeView& leaf) {
    const unsigned count = leaf.count();
    if (forward_) {
      const unsigned first = std::min(leaf.lower_bound(from()).slot, count);
      const unsigned end = std::min(first + entries_max_, count);
      batch_.run_.copy(leaf, first, end, true);
      if (end < count) {
        set_bound_at(leaf, end);
      } else {
        set_bound(leaf.high_fence(), !leaf.has_high_fence());
      }
    } else {
      const unsigned end = unbounded_ ? count : std::min(leaf.lower_bound(from()).slot, count);
      const unsigned first = end - std::min(end, entries_max_);
      batch_.run_.copy(leaf, first, end, false);
      if (first > 0) {
        set_bound_at(leaf, first);
      } else {
        set_bound(leaf.low_fence(), leaf.low_fence().empty());
      }
    }
    has_ghost_ = false;
    VG_NOISE(kScanBeforeVersions);
    // The look into the version table comes after the slots were copied and before the leaf is validated.
    too_old_ = !batch_.run_.filter(
        kSlotGhost | kSlotHistory,
        [this](Bytes key, std::string& value, std::uint8_t& flags) { return judge(key, value, flags); });
  }

  /// What of a slot that is a ghost or may have history is visible.
  EntryRun::Verdict judge(Bytes key, std::string& value, std::uint8_t& flags) {
    using Verdict = EntryRun::Verdict;
    if ((flags & kSlotHistory) != 0) {
      VersionTable::LookupResult older = engine_.versions.find(tree_.object(), key, snapshot_, self_);
      if (older.found == VersionTable::Found::kTooOld) return Verdict::kStop;
      if (older.found == VersionTable::Found::kOlder) {
        value = std::move(older.state.value);
        flags = older.state.flags;
        return older.state.present ? Verdict::kReplace : Verdict::kDrop;
      }
    }
    if ((flags & kSlotGhost) == 0) return Verdict::kKeep;
    if (!has_ghost_) batch_.ghost_.assign(as_text(key));
    has_ghost_ = true;
    return Verdict::kDrop;
  }

  /// Hands the leaf to the collector, if nobody else has: a ghost with an entry has one who will, and he looks at the
  /// whole leaf.
  void note_ghost() const {
    if (!has_ghost_ || engine_.versions.has_entry(tree_.object(), as_bytes(batch_.ghost_))) return;
    engine_.found_ghost(tree_.object(), as_bytes(batch_.ghost_));
  }

  const Engine& engine_;
  const Tree& tree_;
  const bool unbounded_;
  const bool forward_;
  const TxnId self_;
  const Lsn snapshot_;
  const unsigned entries_max_;
  const Hint hint_;
  LeafBatch& batch_;
  bool goes_on_ = false;
  bool too_old_ = false;
  bool has_ghost_ = false;
};

Status scan_leaf(const Engine& engine, const Tree& tree, Bytes from, bool unbounded, ScanOrder order, TxnId self,
                 Lsn snapshot, unsigned entries_max, Hint hint, LeafBatch& batch) {
  return LeafScan(engine, tree, from, unbounded, order, self, snapshot, entries_max, hint, batch).run();
}

}  // namespace vaultgres
