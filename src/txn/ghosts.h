// What changes of entries leave behind in leaves, until no transaction and no snapshot needs it: ghosts, deleted slots
// that keep key and value; and the room of values that got another length (OldRoom::kKept), so that undo fits where the
// entry is.
//
// A transaction's change, and its compensation, never gives up room of its entry. Only purge_leaf() does, under the
// leaf's exclusive latch, where the version table has no entry for the key or its last writer has committed: no record
// of his is undone any more. Older snapshots need a ghost, but no room: their values are in the table. Room is not
// noted for the collector: it goes when somebody finds the leaf full, before the leaf is split, or together with
// ghosts. So a crash takes no notes of it either, and what losers left is found in the same way; but nobody may purge
// anything before undo is complete, as the version table knows no losers.
//
// A purge is one redo-only record. A crash before it leaves ghosts and room, as they were.
#pragma once

#include <cstdint>

#include "txn/engine.h"

namespace vaultgres {

/// Log space that purge_leaf() needs, reserved by its caller before the latch.
inline constexpr std::uint64_t kPurgeLogBytes = log_bytes_for(2 * kPageBytes / 8 + 128);

/// Removes the ghosts of a latched leaf and releases the room that its other entries keep, where nobody
/// needs them, as one system record; from how many slots. Their number is bounded by the page.
unsigned purge_leaf(const Engine& engine, const Tree& tree, ExclusiveGuard& leaf);

/// Latches the leaf of `key`, purges it, and merges it if it is nearly empty. [no latch held]
Status purge_at(const Engine& engine, const Tree& tree, Bytes key);

}  // namespace vaultgres
