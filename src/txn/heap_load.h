// Fills a table that nobody else can reach yet: whole pages, one system record each.
//
// The table stands in `retired` until it is published, so a crash frees what was loaded. A row's chain stands there
// too, by itself, until the record that inserts the reference also takes that row of `retired` away: at any point
// exactly one of the two leads to the chain.
#pragma once

#include <array>

#include "buffer/redo_table.h"
#include "txn/engine.h"
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
  void begin_page();
  Status flush();
  Status add_long(Bytes row);

  const Engine& engine_;
  Txn& txn_;
  Heap heap_;
  RedoTable ops_;
  unsigned rows_ = 0;  ///< in the page
  alignas(64) std::array<std::byte, kPageBytes> page_;
};

}  // namespace vaultgres
