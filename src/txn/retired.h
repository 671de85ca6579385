// The system tree `retired`: chains, trees and tables that nobody reaches any more, or does not reach yet.
//
// Whoever builds a chain, a tree or a table keeps a row here from its first page on; whoever publishes it erases the
// row in the same transaction; whoever replaces or drops it inserts one. So a crash at any point leaks
// nothing. The collector frees, in steps, what stands in a row that is committed, that no snapshot is older
// than (the version table has no entry for it), and whose transaction is not open.
#pragma once

#include <string>
#include <string_view>

#include "format/overflow.h"
#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// One pass of the collector over the rows, in their order. However many steps it takes, a row that cannot go yet is
/// looked at once, unless there is no page for what the freeing of an object takes; what becomes free to go behind its
/// back is for the next pass. One thread at a time: between two latches nobody else may free what it is at
/// (Core::collector_mutex_).
class RetiredPass {
 public:
  RetiredPass(const Engine& engine, TxnManager& manager) noexcept : engine_(engine), manager_(manager) {}

  /// Frees a bounded number of pages; true: it has freed something, call again. False or an error: the pass is over.
  Result<bool> step();

 private:
  const Engine& engine_;
  TxnManager& manager_;
  std::string from_;  ///< where the next step goes on
};

struct NewObject {
  PageId root{};
  std::string retired_row;  ///< key of the row that publishing erases
};
/// Allocates and initialises an empty tree or table, with its row, as one system record. [no latch held]
Result<NewObject> create_object(const Engine& engine, Txn& txn, RetiredKind kind, ObjectId object);
/// Within `txn`: it belongs to whoever names its root, once `txn` is committed.
Status publish_object(const Engine& engine, TxnManager& manager, Txn& txn, const NewObject& made);

/// Within `txn`: the tree or table goes, once `txn` is committed and no snapshot sees it.
Status retire_object(const Engine& engine, TxnManager& manager, Txn& txn, RetiredKind kind, ObjectId object,
                     PageId root);

}  // namespace vaultgres
