#include "txn/entry_load.h"

#include <array>
#include <optional>
#include <utility>

#include "base/payload_buffer.h"
#include "base/try.h"

namespace vaultgres {

namespace {

/// What a leaf has of a large value until its chain is attached.
constexpr std::array<std::byte, sizeof(OverflowRef)> kUnattached{};

}  // namespace

Status EntryLoad::add(Bytes key, Bytes value) {
  VG_TRY(engine_.poison.check());
  VG_TRY(load_.check_order(key));
  // Before the entry is taken, so that no error comes after that.
  VG_TRY(load_.write_full_leaves());
  VG_TRY(attach_written());
  return value.size() > inline_value_max(key.size()) ? add_large(key, value) : load_.take(key, value);
}

Status EntryLoad::add_large(Bytes key, Bytes value) {
  if (!unfreed_row_.empty()) {
    VG_TRY(free_chain(engine_, as_bytes(unfreed_row_)));
    unfreed_row_.clear();
  }
  if (large_.size() == large_.capacity()) large_.reserve(2 * large_.size() + 8);
  LargeValue large{load_.entries(), std::string(as_text(key)), {}};
  VG_ASSIGN(large.chain, build_chain(engine_, txn_, tree_.object(), value, &unfreed_row_));
  VG_TRY(load_.take(key, kUnattached));
  large_.push_back(std::move(large));  // there is room: nothing may fail here
  return {};
}

Status EntryLoad::finish() {
  VG_TRY(engine_.poison.check());
  VG_TRY(load_.finish());
  return attach_written();
}

/// The chains of all entries that stand in the tree.
Status EntryLoad::attach_written() {
  while (attached_ < large_.size() && large_[attached_].entry < load_.written()) {
    VG_TRY(attach(large_[attached_]));
    ++attached_;
  }
  large_.erase(large_.begin(), large_.begin() + static_cast<std::ptrdiff_t>(attached_));
  attached_ = 0;
  return {};
}

Status EntryLoad::attach(const LargeValue& large) {
  const Bytes key = as_bytes(large.key);
  for (bool attached = false; !attached;) {
    PageId leaf = kNoPage;
    unsigned slot = 0;
    {
      VG_ASSIGN(const ExclusiveGuard page, tree_.write_leaf(key));
      const NodeView view(page.page());
      const NodeView::Position position = view.lower_bound(key);
      if (!position.exact || as_text(view.value(position.slot)) != as_text(kUnattached)) {
        return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(page.id())) + " of object " +
                                                 std::to_string(raw(tree_.object())) +
                                                 " lost an entry of the load that has just written it");
      }
      leaf = page.id();
      slot = position.slot;
    }
    // Nobody else changes the tree: the entry stands in the same slot when the leaf is latched again.
    const auto put = [slot](Bytes, Bytes ref, PayloadBuffer& payload) -> std::optional<PageOp> {
      encode_node_replace(payload, slot, kSlotOverflow, ref, OldRoom::kGivenUp);
      return PageOp::kNodeReplace;
    };
    VG_ASSIGN(attached, attach_chain(engine_, txn_, large.chain, leaf, put));
  }
  return {};
}

}  // namespace vaultgres
