// Large values: chains of overflow pages, built before they are published, freed after nobody needs them.
//
// A chain is built back to front, each page by one system record that also moves its row in `retired` (the
// head so far), so a crash at any point leaves a row that leads to every page of the unfinished chain. The
// transaction that publishes the chain erases the row; the one that replaces the value inserts one.
#pragma once

#include <string>

#include "format/overflow.h"
#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// Key of a row of `retired`.
std::string retired_key(TxnId txn, std::uint32_t number);

struct BuiltChain {
  OverflowRef ref;
  std::string retired_row;  ///< key of the row that publishing erases
};
/// Writes `value` into a new chain. On an error what was built is left to the collector. [no latch held]
Result<BuiltChain> build_chain(const Engine& engine, Txn& txn, ObjectId owner, Bytes value);

/// The value of a chain. The caller holds a registered snapshot in which the reference is visible.
Status read_chain(const Engine& engine, ObjectId owner, Bytes ref, std::string& value);

/// Within `txn`: the chain is no longer needed once `txn` is committed and no snapshot sees it.
Status retire_chain(const Engine& engine, TxnManager& manager, Txn& txn, ObjectId owner, Bytes ref);

/// Frees up to `pages_max` pages of the chain behind this row of `retired`, then moves or removes the row.
/// True when the row is gone. Only the collector calls it, when nobody needs the row.
Result<bool> free_chain_some(const Engine& engine, Bytes row_key, const RetiredRow& row, unsigned pages_max);

}  // namespace vaultgres
