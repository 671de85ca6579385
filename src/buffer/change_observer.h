// Test builds only: told of every logged change of a page and of every page that redo has changed, so that a test can
// hold the two against each other.
#pragma once

#ifdef VG_TEST_HOOKS

#include <atomic>
#include <span>

#include "base/types.h"
#include "buffer/redo_table.h"

namespace vaultgres {

/// Called under the page's exclusive latch, from any thread; must not touch the pool. Of all databases of the process.
class ChangeObserver {
 public:
  struct Operation {
    PageOp op;
    Bytes payload;
  };
  virtual ~ChangeObserver() = default;
  /// One record's operations on the page, in order, and the page behind them.
  virtual void on_change(PageId id, Lsn lsn, std::span<const Operation> operations, const RedoTable& redo,
                         Bytes after) = 0;
  /// Redo of that record has changed the page.
  virtual void on_redo(PageId id, Lsn lsn, Bytes after) = 0;
};

/// None, or what a test has put here; it stays there for as long as a database is open.
inline std::atomic<ChangeObserver*> change_observer{nullptr};

}  // namespace vaultgres

#endif
