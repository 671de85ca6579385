// The catalog's tree, and transactions over it.
#pragma once

#include "base/try.h"
#include "db/core.h"
#include "db/statement.h"

namespace vaultgres::internal {

Tree catalog_tree(const Engine& engine);

/// A transaction of a call that changes the catalog: rolls back unless committed.
class DdlTxn {
 public:
  DdlTxn(Core& core, TxnManager& manager)
      : core_(core), pass_(core.enter_writing()), manager_(manager), txn_(manager.begin()) {}
  DdlTxn(const DdlTxn&) = delete;
  DdlTxn& operator=(const DdlTxn&) = delete;
  ~DdlTxn() {
    // A rollback that fails has poisoned the database: the next call says so.
    if (txn_ != nullptr) static_cast<void>(manager_.rollback(std::move(txn_)).has_value());
  }
  Txn& operator*() noexcept { return *txn_; }
  /// Runs `step()`, with log room: one that fails is undone before it is tried again.
  template <class Step>
  Status run(Step&& step) {
    return with_log_room(core_, [&]() -> Status {
      const Lsn last = txn_->last();
      const std::size_t written = txn_->written().size();
      Status done = step();
      if (!done && txn_->last() != last) VG_TRY(manager_.rollback_to(*txn_, last, written));
      return done;
    });
  }
  Status commit() { return manager_.commit(std::move(txn_), CommitMode::kDurable); }

 private:
  Core& core_;
  SharedGate::Pass pass_;
  TxnManager& manager_;
  std::unique_ptr<Txn> txn_;
};

}  // namespace vaultgres::internal
