// Where to split a node.
//
// Within a window around the wished-for place the shortest separator is taken, if both halves can be built and
// the half that the new entry goes to has room for it; else the nearest place where that holds. It holds
// somewhere, see kEntryBytesMax: four of the largest entries fit between two of the largest fences. Only a
// node of fixed stride that the new entry makes slotted may need a second split.
//
// Suffix truncation as in "Prefix B-Trees" (Bayer, Unterauer, 1977), with one difference: where the keys on
// both sides have one length, the separator is cut to a multiple of eight bytes, so that the parent's keys are
// likely to have one length too. A fixed stride is worth more there than the few bytes.
#include <array>

#include "base/check.h"
#include "btree/node_change.h"

namespace vaultgres {

namespace {

using node::Layout;

class SplitChooser {
 public:
  SplitChooser(const NodeView& node, unsigned new_slot, std::size_t new_bytes)
      : node_(node), layout_(Layout::load(node.page().data())), new_slot_(new_slot), new_bytes_(new_bytes) {
    sum_up();
  }

  unsigned choose() {
    const unsigned last = layout_.count - 1;
    const unsigned target = target_slot();
    const unsigned first_near = target > reach_ ? std::max(target - reach_, 1u) : 1;
    const Candidate near = best_of(first_near, std::min(target + reach_, last), target, Wish::kShortSeparator);
    return near.new_fits ? near.slot : best_of(1, last, target, Wish::kNear).slot;
  }

  /// The first slot before which there are `part` of `whole` of the entries' bytes.
  unsigned choose_share(std::size_t part, std::size_t whole) const {
    const unsigned count = layout_.count;
    const auto wanted = static_cast<std::uint16_t>(before_[count] * part / whole);
    const auto* slot = std::lower_bound(before_.data(), before_.data() + count, wanted);
    return std::clamp<unsigned>(static_cast<unsigned>(slot - before_.data()), 1, count - 1);
  }

  /// Both halves fit between their fences and have something: eight entries, or a sixteenth of a page.
  bool is_good_at(unsigned slot) const {
    const auto is_something = [](unsigned entries, std::size_t bytes) {
      return entries >= 8 || bytes >= NodeView::capacity_bytes() / 16;
    };
    return candidate_at(slot, 0).halves_fit && is_something(slot, before_[slot]) &&
           is_something(layout_.count - slot, std::size_t{before_[layout_.count]} - before_[slot]);
  }

  SplitPoint point_at(unsigned slot) const {
    SplitPoint point;
    point.slot = slot;
    point.separator_bytes = separator_at(slot, point.separator);
    return point;
  }

 private:
  enum class Wish : bool { kShortSeparator, kNear };
  struct Candidate {
    unsigned slot = 0;
    bool halves_fit = false;
    bool new_fits = false;
    std::size_t separator_bytes = 0;
    unsigned distance = 0;

    bool better_than(const Candidate& other, Wish wish) const {
      if (other.slot == 0) return true;
      if (halves_fit != other.halves_fit) return halves_fit;
      if (new_fits != other.new_fits) return new_fits;
      if (wish == Wish::kShortSeparator && separator_bytes != other.separator_bytes) {
        return separator_bytes < other.separator_bytes;
      }
      return distance < other.distance;
    }
  };

  Candidate best_of(unsigned first, unsigned last, unsigned target, Wish wish) const {
    Candidate best;
    for (unsigned slot = first; slot <= last; ++slot) {
      const Candidate candidate = candidate_at(slot, slot > target ? slot - target : target - slot);
      if (candidate.better_than(best, wish)) best = candidate;
    }
    return best;
  }

  /// before_[i]: bytes of the first i entries, without heads and slots.
  void sum_up() {
    before_[0] = 0;
    for (unsigned slot = 0; slot < layout_.count; ++slot) {
      unsigned bytes = layout_.stride();
      if (!layout_.fixed) bytes = node::cell_of(node_.page().data(), layout_, slot).bytes();
      before_[slot + 1] = static_cast<std::uint16_t>(std::min<unsigned>(before_[slot] + bytes, 0xFFFF));
    }
  }

  /// Ascending inserts go to the right edge again and again, descending ones to the left edge: there a full
  /// node is left behind. In nodes of few entries an insert at the edge says nothing, unless the tree ends there.
  unsigned target_slot() {
    const unsigned count = layout_.count;
    const bool many = count >= 16;
    if (new_slot_ >= count && (many || !layout_.has_high)) {
      reach_ = count / 32;
      return count - 1;
    }
    if (new_slot_ == 0 && (many || layout_.low_bytes == 0)) {
      reach_ = count / 32;
      return 1;
    }
    reach_ = count / 16;
    const unsigned half = before_[count] / 2u;
    const auto* middle = std::lower_bound(before_.data(), before_.data() + count, half);
    return std::clamp<unsigned>(static_cast<unsigned>(middle - before_.data()), 1, count - 1);
  }

  /// Whether `entries` of `bytes` and perhaps the new entry fit between fences of this length. The halves'
  /// prefixes are at least as long as this node's, which is what the bytes are counted under.
  bool fits(unsigned entries, unsigned bytes, std::size_t fences, bool with_new) const {
    std::size_t arrays = 4 * std::size_t{entries};
    std::size_t extra = 0;
    const bool same_stride = layout_.fixed && new_bytes_ == layout_.key_bytes + layout_.value_bytes;
    if (!layout_.fixed) {
      const unsigned total = entries + (with_new ? 1 : 0);
      arrays = 6 * std::size_t{node::round_up(total, 4)};
      extra = with_new ? sizeof(CellHeader) + new_bytes_ : 0;
    } else if (with_new && same_stride) {
      extra = 4 + layout_.stride();
    } else if (with_new) {
      arrays = 6 * std::size_t{node::round_up(entries + 1, 4)};
      extra = (sizeof(CellHeader) - kRecordFlagBytes) * entries + sizeof(CellHeader) + new_bytes_;
    }
    return kNodeHeadsOffset + arrays + bytes + extra + fences <= kPageBytes;
  }

  Candidate candidate_at(unsigned slot, unsigned distance) const {
    const std::size_t separator = separator_at(slot, {});
    const unsigned count = layout_.count;
    const std::size_t left_fences = layout_.low_bytes + separator;
    const std::size_t right_fences = separator + layout_.high_bytes;
    const unsigned left = before_[slot];
    const unsigned right = before_[count] - left;
    // A new entry between the two halves' keys may go to either side.
    const bool new_left = new_slot_ <= slot;
    const bool new_right = new_slot_ >= slot;
    Candidate candidate{.slot = slot, .separator_bytes = separator, .distance = distance};
    candidate.halves_fit = fits(slot, left, left_fences, false) && fits(count - slot, right, right_fences, false);
    candidate.new_fits = fits(slot, left, left_fences, new_left) && fits(count - slot, right, right_fences, new_right);
    return candidate;
  }

  /// The separator between `slot` - 1 and `slot`: its length, and its bytes if `out` is not empty.
  std::size_t separator_at(unsigned slot, MutableBytes out) const {
    std::array<std::byte, kKeyBytesMax> left;
    std::array<std::byte, kKeyBytesMax> right;
    const std::size_t right_bytes = node_.copy_key(slot, right);
    std::size_t bytes = right_bytes;
    // In an internal node the separator is the right half's first key: its low fence and its parent's key.
    if (layout_.level == 0) {
      const std::size_t left_bytes = node_.copy_key(slot - 1, left);
      std::size_t shared = layout_.prefix_bytes;
      while (shared < std::min(left_bytes, right_bytes) && left[shared] == right[shared]) ++shared;
      bytes = separator_bytes(shared, left_bytes, right_bytes);
    }
    if (!out.empty()) std::memcpy(out.data(), right.data(), bytes);
    return bytes;
  }

  const NodeView& node_;
  Layout layout_;
  unsigned new_slot_;
  std::size_t new_bytes_;
  unsigned reach_ = 0;
  std::array<std::uint16_t, node::kEntriesMax + 1> before_;  // NOLINT: sum_up() fills what is used
};

}  // namespace

std::size_t separator_bytes(std::size_t shared, std::size_t left_bytes, std::size_t right_bytes) noexcept {
  auto bytes = static_cast<unsigned>(shared + 1);
  if (left_bytes == right_bytes) bytes = node::round_up(bytes, 8);
  return std::min<std::size_t>(bytes, right_bytes);
}

SplitPoint choose_split(const NodeView& node, unsigned new_slot, std::size_t new_bytes) {
  SplitChooser chooser(node, new_slot, new_bytes);
  const unsigned slot = chooser.choose();
  VG_CHECK(slot > 0, "a node that is split has at least two entries");
  return chooser.point_at(slot);
}

std::optional<SplitPoint> split_before(const NodeView& node, unsigned slot) {
  if (slot == 0 || slot >= node.count()) return std::nullopt;
  const SplitChooser chooser(node, slot, 0);
  if (!chooser.is_good_at(slot)) return std::nullopt;
  return chooser.point_at(slot);
}

SplitPoint choose_share(const NodeView& node, std::size_t part, std::size_t whole) {
  const SplitChooser chooser(node, 0, 0);
  return chooser.point_at(chooser.choose_share(part, whole));
}

}  // namespace vaultgres
