// Reading and changing the entries of a tree under transactions: visibility, locking, large values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

/// Puts one entry within `txn`. Waits for another writer of the key. `trail`: of the last put into the same tree, if
/// that was nearby. [no latch held]
Status put_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key, Bytes value,
                 PutMode mode = PutMode::kUpsert, Tree::WriteTrail* trail = nullptr);
/// Erases one entry within `txn`; false when there was none.
Result<bool> erase_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key);

/// The same as transactions of their own, committed when they return: one log record each where the value
/// is inline.
Status put_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, Bytes value, PutMode mode,
                  CommitMode commit);
Result<bool> erase_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, CommitMode commit);

/// The visible value of `key`, or false. `value` is overwritten. `self`: the reader's own transaction.
Result<bool> get_entry(const Engine& engine, const Tree& tree, Bytes key, TxnId self, std::string& value);

/// The visible values of many keys, in one snapshot: all answers belong to one state, but for changes of others that
/// leave no version (put_single() and erase_single() where readers see the newest state), which may show as soon as
/// they are made. `values` gets one for each key, none where there is none; memory of those that it has is used again.
/// [no latch held]
Status get_entries(const Engine& engine, const Tree& tree, std::span<const std::string_view> keys, TxnId self,
                   std::vector<std::optional<std::string>>& values);

/// The newest snapshot that a reader of this database is shown.
Lsn newest_snapshot(const Engine& engine) noexcept;
/// Until a commit of somebody else (its raw LSN, 0 for none) is one that readers are shown. [no latch held]
Status wait_until_visible(const Engine& engine, std::uint64_t commit);

}  // namespace vaultgres
