// The system tree `retired`: chains and trees that nobody reaches any more, or does not reach yet.
//
// Whoever builds a chain or a tree keeps a row here from its first page on; whoever publishes it erases the
// row in the same transaction; whoever replaces or drops it inserts one. So a crash at any point leaks
// nothing. The collector frees, in steps, what stands in a row that is committed, that no snapshot is older
// than (the version table has no entry for it), and whose transaction is not open.
#pragma once

#include <string>
#include <string_view>

#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// A step of bounded length; true when something is left to be freed now.
Result<bool> collect_retired(const Engine& engine, TxnManager& manager);

struct NewTree {
  PageId root{};
  std::string retired_row;  ///< key of the row that publishing erases
};
/// Allocates and initialises an empty tree, with its row, as one system record. [no latch held]
Result<NewTree> create_tree(const Engine& engine, Txn& txn, ObjectId object);

/// Within `txn`: the tree goes, once `txn` is committed and no snapshot sees it.
Status retire_tree(const Engine& engine, TxnManager& manager, Txn& txn, ObjectId object, PageId root);

}  // namespace vaultgres
