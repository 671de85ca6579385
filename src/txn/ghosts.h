// Ghosts: deleted slots whose key and value stay until no transaction and no snapshot needs them.
#pragma once

#include <cstdint>

#include "txn/engine.h"

namespace vaultgres {

/// Log space that purge_leaf() needs, reserved by its caller before the latch.
inline constexpr std::uint64_t kPurgeLogBytes = log_bytes_for(2 * kPageBytes / 8 + 128);

/// Removes the ghosts of a latched leaf that have no entry in the version table, as one system record; how
/// many. Their number is bounded by the page.
unsigned purge_leaf(const Engine& engine, const Tree& tree, ExclusiveGuard& leaf);

/// Latches the leaf of `key`, purges it, and merges it if it is nearly empty. [no latch held]
Status purge_at(const Engine& engine, const Tree& tree, Bytes key);

}  // namespace vaultgres
