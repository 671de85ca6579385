#include "btree/node_run.h"

#include "btree/node_layout.h"

namespace vaultgres {

using node::Layout;

/// The leaf, its header decoded once.
struct EntryRun::Source {
  const std::byte* page;
  Layout layout;
};

namespace {

constexpr std::size_t kPieceBytes = 16;
constexpr std::size_t kAheadBytes = 768;

/// Copies at least `bytes`, up to the next piece. Both sides must have room for it.
inline void copy_pieces(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  for (std::size_t at = 0; at < bytes; at += kPieceBytes) std::memcpy(to + at, from + at, kPieceBytes);
}

/// The part that all keys of a leaf share: mostly short, then one store.
class Prefix {
 public:
  Prefix(const std::byte* page, const Layout& l) noexcept : bytes_(l.prefix_bytes) {
    std::memcpy(text_, page + kPageBytes - l.low_bytes, bytes_);
    std::memcpy(&start_, text_, sizeof start_);
  }
  /// Copies the prefix, and up to seven bytes more.
  void copy_to(std::byte* to) const noexcept {
    std::memcpy(to, &start_, sizeof start_);
    if (bytes_ > sizeof start_) [[unlikely]]
      std::memcpy(to + sizeof start_, text_ + sizeof start_, bytes_ - sizeof start_);
  }

 private:
  std::size_t bytes_;
  std::uint64_t start_;
  std::byte text_[kKeyBytesMax + sizeof start_] = {};
};

/// What records of one stride have in common.
struct Records {
  const std::byte* page;
  unsigned fences;  // where record 0 ends
  unsigned stride;
  unsigned tail_bytes;  // rest and value
  unsigned prefix_bytes;
  unsigned head_bytes;  // of the head, as much as the key has

  std::size_t width() const noexcept { return std::size_t{prefix_bytes} + head_bytes + tail_bytes; }
};

/// Copies the records [first, end) upwards from `to`, which has room for a little more; returns all flags or-ed.
/// kPieces: what a tail takes, 0 for any other length.
template <unsigned kPieces>
std::uint8_t copy_some_records(const Records records, const Prefix& prefix, unsigned first, unsigned end, std::byte* to,
                               std::uint8_t* flags) noexcept {
  // Everything in locals: stores of bytes could change anything else.
  const std::size_t width = records.width();
  const std::size_t prefix_bytes = records.prefix_bytes;
  const std::size_t tail_at = prefix_bytes + records.head_bytes;
  const std::size_t tail_bytes = records.tail_bytes;
  const std::size_t stride = records.stride;
  // Whole pieces may be read as long as they end within the page: the first records lie at its very end.
  const std::byte* const last_safe = records.page + kPageBytes - kPieces * kPieceBytes;
  const std::byte* head = records.page + kNodeHeadsOffset + 4 * first;
  const std::byte* from = records.page + records.fences - (first + 1) * stride;
  for (std::size_t ahead = 0; ahead < std::min<std::size_t>(kAheadBytes, (end - first) * stride); ahead += 64) {
    __builtin_prefetch(from - ahead);
  }
  unsigned any = 0;
  for (unsigned slot = first; slot < end; ++slot, to += width, from -= stride, head += 4) {
    __builtin_prefetch(from - kAheadBytes);
    const auto mine = load_little<std::uint8_t>(from);
    any |= mine;
    *flags++ = mine;
    prefix.copy_to(to);
    store_big(to + prefix_bytes, load_little<std::uint32_t>(head));
    const std::byte* tail = from + kRecordFlagBytes;
    if (kPieces > 0 && tail <= last_safe) [[likely]] {
      copy_pieces(to + tail_at, tail, kPieces * kPieceBytes);
    } else {
      std::memcpy(to + tail_at, tail, tail_bytes);
    }
  }
  return static_cast<std::uint8_t>(any);
}

}  // namespace

void EntryRun::copy(const NodeView& leaf, unsigned first, unsigned end, bool ascending) {
  clear();
  const Source from{leaf.page().data(), Layout::load(leaf.page().data())};
  end = std::min(end, from.layout.count);
  if (first >= end) return;
  if (from.layout.fixed) {
    copy_records(from, first, end, ascending);
  } else {
    copy_cells(from, first, end, ascending);
  }
}

void EntryRun::copy_records(const Source& from, unsigned first, unsigned end, bool ascending) {
  const Layout& l = from.layout;
  if (node::record_offset(l, end - 1) == 0) return;  // not so on a sound page
  const unsigned suffix = l.suffix_of(l.key_bytes);
  const Records records{from.page,      l.fence_begin(),     l.stride(), l.stride() - unsigned{kRecordFlagBytes},
                        l.prefix_bytes, std::min(suffix, 4u)};
  const std::size_t width = records.width();
  const std::size_t count = end - first;
  // Entries, slack, flags.
  std::byte* const to = room_for(count * width + kSlackBytes + count);
  auto* const flags = reinterpret_cast<std::uint8_t*>(to + count * width + kSlackBytes);
  const Prefix prefix(from.page, l);
  const auto copy = [&] {
    switch ((records.tail_bytes + kPieceBytes - 1) / kPieceBytes) {
      case 1:
        return copy_some_records<1>(records, prefix, first, end, to, flags);
      case 2:
        return copy_some_records<2>(records, prefix, first, end, to, flags);
      case 3:
        return copy_some_records<3>(records, prefix, first, end, to, flags);
      default:
        return copy_some_records<0>(records, prefix, first, end, to, flags);
    }
  };
  any_flags_ = copy();
  bytes_used_ = count * width;
  count_ = count;
  key_bytes_ = l.prefix_bytes + suffix;
  value_bytes_ = l.value_bytes;
  if (any_flags_ == 0) {
    uniform_ = true;
    first_ = ascending ? to : to + (count - 1) * width;
    step_ = ascending ? static_cast<std::ptrdiff_t>(width) : -static_cast<std::ptrdiff_t>(width);
    return;
  }
  entries_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * width;
    entries_[ascending ? i : count - 1 - i] = {
        static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at + key_bytes_),
        static_cast<std::uint32_t>(value_bytes_), static_cast<std::uint16_t>(key_bytes_), flags[i]};
  }
}

void EntryRun::copy_cells(const Source& from, unsigned first, unsigned end, bool ascending) {
  const Layout& l = from.layout;
  const unsigned fences = l.fence_begin();
  const std::size_t cell_mean = (fences - std::min(l.heap_begin, fences)) / l.count + 1;
  entries_.reserve(end - first);
  room_for((end - first) * (l.prefix_bytes + 4 + cell_mean));
  const Prefix prefix(from.page, l);
  for (unsigned i = 0; i < end - first; ++i) {
    const unsigned slot = ascending ? first + i : end - 1 - i;
    const node::Cell cell = node::cell_of(from.page, l, slot);
    if (cell.offset == 0) continue;  // not so on a sound page
    const std::size_t tail_at = l.prefix_bytes + std::min(cell.suffix_bytes, 4u);
    const std::size_t tail_bytes = node::rest_of(cell.suffix_bytes) + cell.value_bytes;
    std::byte* const to = room_for(tail_at + tail_bytes);
    prefix.copy_to(to);
    store_big(to + l.prefix_bytes, node::head_at(from.page, slot));
    const unsigned tail = cell.offset + unsigned{sizeof(CellHeader)};
    if (tail_bytes <= 3 * kPieceBytes && tail + 3 * kPieceBytes <= kPageBytes) {
      copy_pieces(to + tail_at, from.page + tail, tail_bytes);
    } else {
      std::memcpy(to + tail_at, from.page + tail, tail_bytes);
    }
    const auto flags = static_cast<std::uint8_t>(node::slot_word(from.page, l, slot) >> kSlotOffsetBits);
    const std::size_t key_bytes = l.prefix_bytes + cell.suffix_bytes;
    entries_.push_back({static_cast<std::uint32_t>(bytes_used_), static_cast<std::uint32_t>(bytes_used_ + key_bytes),
                        cell.value_bytes, static_cast<std::uint16_t>(key_bytes), flags});
    any_flags_ |= flags;
    bytes_used_ += tail_at + tail_bytes;
  }
  count_ = entries_.size();
}

std::byte* EntryRun::room_for(std::size_t bytes) {
  const std::size_t needed = bytes_used_ + bytes + kSlackBytes;
  if (needed > bytes_max_) {
    const std::size_t room = bytes_used_ == 0 ? needed : 2 * needed;
    std::unique_ptr<std::byte[]> larger(new std::byte[room]);
    if (bytes_used_ > 0) std::memcpy(larger.get(), bytes_.get(), bytes_used_);
    bytes_ = std::move(larger);
    bytes_max_ = room;
  }
  return bytes_.get() + bytes_used_;
}

std::uint32_t EntryRun::append(Bytes value) {
  std::byte* const to = room_for(value.size());
  if (!value.empty()) std::memcpy(to, value.data(), value.size());
  const auto offset = static_cast<std::uint32_t>(bytes_used_);
  bytes_used_ += value.size();
  return offset;
}

}  // namespace vaultgres
