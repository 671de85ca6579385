// Reading and changing the entries of a tree under transactions: visibility, locking, large values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "txn/engine.h"
#include "txn/leaf_batch.h"
#include "txn/txn.h"

namespace vaultgres {

/// What a change does when the key is there, or is not.
enum class PutMode : std::uint8_t {
  kUpsert,        ///< insert or replace
  kInsertUnique,  ///< kDuplicateKey when the key is there
  kUpdate,        ///< kNotFound when it is not
};

/// Puts one entry within `txn`. Waits for another writer of the key. [no latch held]
Status put_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key, Bytes value,
                 PutMode mode = PutMode::kUpsert);
/// Erases one entry within `txn`; false when there was none.
Result<bool> erase_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key);

/// The same as transactions of their own, committed when they return: one log record each where the value
/// is inline.
Status put_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, Bytes value, PutMode mode,
                  CommitMode commit);
Result<bool> erase_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, CommitMode commit);

/// The visible value of `key`, or false. `value` is overwritten. `self`: the reader's own transaction.
Result<bool> get_entry(const Engine& engine, const Tree& tree, Bytes key, TxnId self, std::string& value);

/// The newest snapshot that a reader of this database is shown.
Lsn newest_snapshot(const Engine& engine) noexcept;
/// Until a commit of somebody else (its raw LSN, 0 for none) is one that readers are shown. [no latch held]
Status wait_until_visible(const Engine& engine, std::uint64_t commit);

}  // namespace vaultgres
