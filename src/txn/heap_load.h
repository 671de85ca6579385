// Fills a table that nobody else can reach yet: whole pages, one system record each. Rows stand in the order in which
// they come, so that a copy of a table can be compared with it row by row.
//
// The table stands in `retired` until it is published, so a crash frees what was loaded. A row's chain stands there
// too, by itself. In the page its slot is taken meanwhile, by a ghost; the record that makes it the reference also
// takes the chain's row of `retired` away: at any point exactly one of the two leads to the chain.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "buffer/redo_table.h"
#include "txn/engine.h"
#include "txn/overflow.h"
#include "txn/txn.h"

namespace vaultgres {

class HeapLoad {
 public:
  /// `txn`: the one that created the table, open and without records of its own. All outlive the load.
  HeapLoad(const Engine& engine, Txn& txn, const Heap& heap);

  /// [no latch held]
  Status add(Bytes row);
  /// Writes the last page.
  Status finish();

 private:
  /// A row that is too long for a page.
  struct LongRow {
    unsigned slot = 0;
    BuiltChain chain;
  };
  void begin_page();
  Status flush();
  Status add_long(Bytes row);
  Status take_slot(HeapSlotState state, Bytes content);
  Status attach(const LongRow& row);

  const Engine& engine_;
  Txn& txn_;
  Heap heap_;
  RedoTable ops_;
  unsigned rows_ = 0;               ///< in the page
  std::vector<LongRow> long_rows_;  ///< of them, not yet attached
  std::string unfreed_row_;         ///< of `retired`: of a chain whose building failed; empty: none
  PageId written_ = kNoPage;        ///< the page, once it is in the table and only its long rows are left to do
  alignas(64) std::array<std::byte, kPageBytes> page_;
};

}  // namespace vaultgres
