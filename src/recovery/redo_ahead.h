// Redo wants pages from anywhere in the file, one after the other. This reads them before it comes to them, several at
// a time and in the order of the file.
#pragma once

#include <vector>

#include "buffer/buffer_pool.h"
#include "wal/log_reader.h"

namespace vaultgres {

class RedoAhead {
 public:
  /// `log` reads what redo will read, from the same start. `pool` outlives this.
  RedoAhead(LogReader log, BufferPool& pool);

  /// Redo comes to the record at this address. Loads what it and those behind it need, unless that was done. Never an
  /// error: what is wrong with the log or with a page is found again, and told, by redo itself.
  void before(Lsn address);

 private:
  void collect();
  void load();

  LogReader log_;
  BufferPool& pool_;
  const std::size_t pages_max_;
  std::vector<PageId> pages_;  // that are to be loaded, ascending
  Lsn collected_to_{0};        // records below have been looked at
  bool ended_ = false;
};

}  // namespace vaultgres
