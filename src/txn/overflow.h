// Large values: chains of overflow pages, built before they are published, freed after nobody needs them.
//
// A chain is built back to front, each page by one system record that also moves its row in `retired` (the
// head so far), so a crash at any point leaves a row that leads to every page of the unfinished chain. The
// transaction that publishes the chain erases the row; the one that replaces the value inserts one.
#pragma once

#include <optional>
#include <string>

#include "base/function_ref.h"
#include "base/payload_buffer.h"
#include "format/overflow.h"
#include "format/page_op.h"
#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// Key of a row of `retired`.
std::string retired_key(TxnId txn, std::uint32_t number);

struct BuiltChain {
  OverflowRef ref;
  std::string retired_row;  ///< key of the row that publishing erases
};
/// Writes `value` into a new chain. On an error what was built is freed again; what cannot be (the log has no space,
/// say) is left to the collector, when `txn` has ended, or to who is told the key of its row and calls free_chain().
/// [no latch held]
Result<BuiltChain> build_chain(const Engine& engine, Txn& txn, ObjectId owner, Bytes value,
                               std::string* unfreed_row = nullptr);
/// Frees the rest of a chain whose building failed; its transaction is open, so that nobody else does. [no latch held]
Status free_chain(const Engine& engine, Bytes row_key);

/// For bulk loads: the chain's reference goes into a page of an object that nobody else can reach, and the chain's row
/// of `retired` goes, in one system record. So at any point exactly one of the two leads to the chain: before the
/// record a crash leaves the row, which frees the chain; after it the object, which frees it with itself while it is
/// not published. `put` says, on the latched page, how the reference gets there, or that there is no room. False, and
/// nothing has happened, in that case and when the page has left the cache. [no latch held]
Result<bool> attach_chain(const Engine& engine, const Txn& txn, const BuiltChain& chain, PageId page,
                          FunctionRef<std::optional<PageOp>(Bytes page, Bytes ref, PayloadBuffer& payload)> put);

/// The value of a chain. The caller holds a registered snapshot in which the reference is visible.
Status read_chain(const Engine& engine, ObjectId owner, Bytes ref, std::string& value);

/// Within `txn`: the chain is no longer needed once `txn` is committed and no snapshot sees it.
Status retire_chain(const Engine& engine, TxnManager& manager, Txn& txn, ObjectId owner, Bytes ref);

/// Frees up to `pages_max` pages of the chain behind this row of `retired`, then moves or removes the row.
/// True when the row is gone. Only the collector calls it, when nobody needs the row.
Result<bool> free_chain_some(const Engine& engine, Bytes row_key, const RetiredRow& row, unsigned pages_max);

}  // namespace vaultgres
