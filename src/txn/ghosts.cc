#include "txn/ghosts.h"

#include <array>

#include "base/payload_buffer.h"
#include "base/schedule_noise.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Whether something of an entry with the history bit must stay: a ghost while the version table leads readers to it,
/// room while whoever wrote it last may be undone.
bool is_needed(const VersionTable& versions, ObjectId object, Bytes key, bool ghost) {
  const VersionTable::Peek peek = versions.peek(object, key);
  return peek.writer != nullptr && (ghost || peek.writer->commit_lsn() == 0);
}

}  // namespace

unsigned purge_leaf(const Engine& engine, const Tree& tree, ExclusiveGuard& leaf) {
  const NodeView view(leaf.page());
  if (!view.has_ghosts() && !view.may_keep_room()) return 0;
  std::array<std::uint16_t, kPageBytes / 8> slots;
  std::array<std::byte, kKeyBytesMax> key;
  unsigned count = 0;
  for (unsigned slot = 0; slot < view.count() && count < slots.size(); ++slot) {
    const std::uint8_t flags = view.flags(slot);
    const bool ghost = (flags & kSlotGhost) != 0;
    if (!ghost && !view.keeps_room(slot)) continue;
    // Without the history bit there is no entry; with it there may be.
    if ((flags & kSlotHistory) != 0 &&
        is_needed(engine.versions, tree.object(), Bytes(key).first(view.copy_key(slot, key)), ghost)) {
      continue;
    }
    slots[count++] = static_cast<std::uint16_t>(slot | (ghost ? 0u : unsigned{kPurgeRoomOnly}));
  }
  if (count == 0) return 0;
  VG_NOISE(kPurgeBefore);
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
    const NodeView view(leaf.page());
    // Without ghosts and without entries: what an earlier call emptied and failed to merge. Nobody else comes here.
    if (!view.has_ghosts() && !view.may_keep_room() && view.count() > 0) return {};
    purge_leaf(engine, tree, leaf);
    underfull = view.is_underfull();
  }
  if (!underfull) return {};
  Status merged = tree.merge_at(key);
  // A neighbour's damage is not the leaf's, whose ghosts are gone: with such a neighbour it stays as small as it is.
  if (!merged && merged.error().code() == ErrorCode::kCorruption) return {};
  return merged;
}

}  // namespace vaultgres
