// The catalog's tree, and transactions over it.
#pragma once

#include "db/core.h"

namespace vaultgres::internal {

Tree catalog_tree(const Engine& engine);

/// A transaction of a call that changes the catalog: rolls back unless committed.
class DdlTxn {
 public:
  DdlTxn(Core& core, TxnManager& manager) : pass_(core.enter_writing()), manager_(manager), txn_(manager.begin()) {}
  DdlTxn(const DdlTxn&) = delete;
  DdlTxn& operator=(const DdlTxn&) = delete;
  ~DdlTxn() {
    // A rollback that fails has poisoned the database: the next call says so.
    if (txn_ != nullptr) static_cast<void>(manager_.rollback(std::move(txn_)).has_value());
  }
  Txn& operator*() noexcept { return *txn_; }
  Status commit() { return manager_.commit(std::move(txn_), CommitMode::kDurable); }

 private:
  SharedGate::Pass pass_;
  TxnManager& manager_;
  std::unique_ptr<Txn> txn_;
};

}  // namespace vaultgres::internal
