#include "db/salvage_tree.h"

#include <algorithm>

#include "base/try.h"
#include "btree/key_text.h"
#include "btree/node.h"

namespace vaultgres::internal {

std::string range_text(const std::string& from, const std::string& to, bool has_to) {
  if (from.empty() && !has_to) return "all keys";
  std::string text = from.empty() ? "the keys" : "the keys from " + key_text(as_bytes(from));
  text += from.empty() || has_to ? "" : " on";
  if (has_to) text += (from.empty() ? " below " : " up to ") + key_text(as_bytes(to));
  return text;
}

Status LeafSweep::load_pending() {
  FoundLeaf leaf;
  VG_ASSIGN(const bool more, next_leaf_(leaf));
  pending_.reset();
  if (more) pending_ = std::move(leaf);
  return {};
}

/// All leaves whose low fence is at or below `key` are among the claims.
Status LeafSweep::admit_up_to(const std::string& key) {
  while (pending_ && pending_->low <= key) {
    if (claims_.size() == kClaimsMax) {
      claims_.erase(std::min_element(claims_.begin(), claims_.end(),
                                     [](const FoundLeaf& a, const FoundLeaf& b) { return a.lsn < b.lsn; }));
    }
    claims_.push_back(*std::move(pending_));
    VG_TRY(load_pending());
  }
  return {};
}

void LeafSweep::drop_passed() {
  std::erase_if(claims_, [&](const FoundLeaf& leaf) { return leaf.has_high && leaf.high <= at_; });
}

/// Of those that claim at_.
const FoundLeaf* LeafSweep::newest() const noexcept {
  const FoundLeaf* best = nullptr;
  for (const FoundLeaf& leaf : claims_) {
    if (leaf.low <= at_ && (best == nullptr || leaf.lsn > best->lsn)) best = &leaf;
  }
  return best;
}

/// Where the first claim begins that counts more than `best`; null: none does.
const std::string* LeafSweep::next_newer(const FoundLeaf& best) const noexcept {
  const std::string* first = nullptr;
  for (const FoundLeaf& leaf : claims_) {
    if (leaf.low > at_ && leaf.lsn > best.lsn && (first == nullptr || leaf.low < *first)) first = &leaf.low;
  }
  return first;
}

/// Keys that nobody claims, up to the next leaf.
void LeafSweep::lost_segment(LeafSegment& segment) const {
  const std::string* to = pending_ ? &pending_->low : nullptr;
  for (const FoundLeaf& leaf : claims_) {
    if (to == nullptr || leaf.low < *to) to = &leaf.low;
  }
  segment.page = kNoPage;
  segment.has_to = to != nullptr;
  segment.to = to != nullptr ? *to : std::string();
}

/// Keys of a leaf, up to its end or to where a newer one begins.
Status LeafSweep::segment_of(const FoundLeaf& leaf, LeafSegment& segment) {
  for (bool newer = false; pending_ && !newer && (!leaf.has_high || pending_->low < leaf.high);) {
    newer = pending_->lsn > leaf.lsn;
    VG_TRY(admit_up_to(std::string(pending_->low)));
  }
  const std::string* newer = next_newer(leaf);
  const bool cut = newer != nullptr && (!leaf.has_high || *newer < leaf.high);
  segment.page = leaf.page;
  segment.has_to = cut || leaf.has_high;
  segment.to = cut ? *newer : leaf.high;
  return {};
}

Result<bool> LeafSweep::next(LeafSegment& segment) {
  if (!started_) VG_TRY(load_pending());
  started_ = true;
  if (ended_) return false;
  VG_TRY(admit_up_to(at_));
  drop_passed();
  segment.from = at_;
  if (const FoundLeaf* found = newest()) {
    VG_TRY(segment_of(FoundLeaf(*found), segment));  // a copy: claims come and go
  } else {
    lost_segment(segment);
  }
  ended_ = !segment.has_to;
  at_ = segment.to;
  return true;
}

// --- Entries

Result<TreeReader> TreeReader::make(const DamagedFiles& files, FoundPages& found, ChainReader& chains) {
  VG_ASSIGN(AlignedBuffer page, AlignedBuffer::make(kPageBytes));
  return TreeReader(files, found, chains, std::move(page));
}

Status TreeReader::read(ObjectId object, Entry entry, Lost lost) {
  const auto next_leaf = [&](FoundLeaf& leaf) { return found_.next_leaf(leaf); };
  LeafSweep sweep(next_leaf);
  LeafSegment segment;
  for (;;) {
    VG_ASSIGN(const bool more, sweep.next(segment));
    if (!more) return {};
    const MutableBytes page = page_.span().first(kPageBytes);
    if (segment.page == kNoPage || files_.read(segment.page, page) != PageReading::kGood) {
      const KeyRange keys{.from = segment.from, .to = segment.has_to ? std::optional(segment.to) : std::nullopt};
      lost(range_text(segment.from, segment.to, segment.has_to) + ": no leaf that holds them can be read", keys);
      continue;
    }
    VG_TRY(read_segment(object, segment, entry, lost));
  }
}

Status TreeReader::read_segment(ObjectId object, const LeafSegment& segment, Entry entry, Lost lost) {
  const NodeView node(page_.span().first(kPageBytes));
  const Lsn lsn{page_header(node.page()).lsn.get()};
  Status failed;
  node.visit_up(node.lower_bound(as_bytes(segment.from)).slot,
                [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
                  if (segment.has_to && as_text(key) >= segment.to) return false;
                  if ((flags & kSlotGhost) != 0) return true;
                  if ((flags & kSlotOverflow) == 0) {
                    failed = entry(as_text(key), as_text(value));
                    return failed.has_value();
                  }
                  const Status read = chains_.read(object, value, lsn, value_);
                  if (read) {
                    failed = entry(as_text(key), value_);
                  } else if (read.error().code() == ErrorCode::kCorruption) {
                    lost("the value of the key " + key_text(key) + ": " + std::string(read.error().message()), {});
                  } else {
                    failed = read;
                  }
                  return failed.has_value();
                });
  return failed;
}

}  // namespace vaultgres::internal
