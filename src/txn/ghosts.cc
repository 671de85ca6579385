#include "txn/ghosts.h"

#include <array>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "wal/log_space.h"

namespace vaultgres {

unsigned purge_leaf(const Engine& engine, const Tree& tree, ExclusiveGuard& leaf) {
  const NodeView view(leaf.page());
  std::array<std::uint16_t, kPageBytes / 8> slots;
  std::array<std::byte, kKeyBytesMax> key;
  unsigned count = 0;
  for (unsigned slot = 0; slot < view.count() && count < slots.size(); ++slot) {
    const std::uint8_t flags = view.flags(slot);
    if ((flags & kSlotGhost) == 0) continue;
    // Without the history bit there is no entry; with it there may be.
    if ((flags & kSlotHistory) != 0 &&
        engine.versions.has_entry(tree.object(), Bytes(key).first(view.copy_key(slot, key)))) {
      continue;
    }
    slots[count++] = static_cast<std::uint16_t>(slot);
  }
  if (count == 0) return 0;
  MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
  PayloadBuffer payload;
  encode_node_purge(payload, std::span<const std::uint16_t>(slots).first(count));
  mini.add(leaf, PageOp::kNodePurge, payload.bytes());
  mini.commit();
  return count;
}

Status purge_at(const Engine& engine, const Tree& tree, Bytes key) {
  bool underfull = false;
  {
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kPurgeLogBytes));
    VG_ASSIGN(ExclusiveGuard leaf, tree.write_leaf(key));
    if (!NodeView(leaf.page()).has_ghosts()) return {};
    purge_leaf(engine, tree, leaf);
    underfull = NodeView(leaf.page()).used_bytes() < NodeView::capacity_bytes() / 4;
  }
  return underfull ? tree.merge_at(key) : Status{};
}

}  // namespace vaultgres
