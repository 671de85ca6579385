// Fills a tree that nobody else can reach yet with entries in ascending key order, large values among them.
//
// The tree stands in `retired` until it is published, so a crash frees what was loaded. A large value goes there in
// four steps; each is a system record, or several, that a crash may be the end of:
//
//   1  its chain is built                        the chain's own row of `retired` leads to each of its pages
//   2  its entry is gathered                     in memory only, with kUnattached, as long as a reference, as its value
//   3  the leaf with the entry is written        the tree has the entry with kUnattached, an ordinary value
//   4  the reference takes the place of that     attach_chain(): the row of `retired` goes with the same record
//
// After 1, 2 and 3 the row frees the chain, and the tree, whose entry leads nowhere, is freed without it. After 4 the
// tree frees the chain with itself, as that of a dropped map. So at no point nobody does, or both. finish() returns
// when step 4 is done for every value: what is published has no kUnattached in it.
#pragma once

#include <string>
#include <vector>

#include "btree/tree_load.h"
#include "txn/overflow.h"

namespace vaultgres {

class EntryLoad {
 public:
  /// `txn`: the one that created the tree, open and without records of its own. All outlive the load.
  EntryLoad(const Engine& engine, Txn& txn, const Tree& tree) : engine_(engine), txn_(txn), tree_(tree), load_(tree) {}

  /// kInvalidArgument: the key is not above the last one. After any error the entry is not added, and the call can be
  /// made again. [no latch held]
  Status add(Bytes key, Bytes value);
  /// Writes the rest; can be called again after an error. Nothing may be added after a success. [no latch held]
  Status finish();

  std::uint64_t entries() const noexcept { return load_.entries(); }

 private:
  struct LargeValue {
    std::uint64_t entry;  ///< its number
    std::string key;
    BuiltChain chain;
  };
  Status add_large(Bytes key, Bytes value);
  Status attach_written();
  Status attach(const LargeValue& large);

  const Engine& engine_;
  Txn& txn_;
  Tree tree_;
  TreeLoad load_;
  std::vector<LargeValue> large_;  ///< built, not attached; ascending
  std::size_t attached_ = 0;       ///< so many of them, the first ones, are by now
  std::string unfreed_row_;        ///< of the chain that found no space, and then none for being freed
};

}  // namespace vaultgres
