// What stands behind a public Transaction.
#pragma once

#include <memory>
#include <optional>

#include "db/core.h"
#include "vaultgres/database.h"

namespace vaultgres {

struct Transaction::State {
  std::shared_ptr<internal::Core> core;
  std::shared_ptr<internal::OpenTransaction> open;  ///< null once it has ended

  Status end(std::optional<CommitMode> commit);
};

namespace internal {
Result<std::unique_ptr<Transaction::State>> begin_transaction(const std::shared_ptr<Core>& core);
Error not_active();
Error other_database();
/// The number under which a transaction reads its database.
Result<TxnId> reader_id(const Core& core, const Transaction::State* state);
}  // namespace internal

}  // namespace vaultgres
