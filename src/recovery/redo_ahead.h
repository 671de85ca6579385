// Redo wants pages from anywhere in the file, one after the other. This reads them before it comes to them, several at
// a time and in the order of the file, batch by batch: while redo is at one, a thread loads the next.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "buffer/buffer_pool.h"
#include "wal/log_reader.h"

namespace vaultgres {

class RedoAhead {
 public:
  /// `log` reads what redo will read, from the same start. `pool` outlives this.
  RedoAhead(LogReader log, BufferPool& pool);
  ~RedoAhead();
  RedoAhead(const RedoAhead&) = delete;
  RedoAhead& operator=(const RedoAhead&) = delete;

  /// Redo comes to the record at this address. Waits until what it and some behind it need is loaded, unless that was
  /// done. Never an error: what is wrong with the log or with a page is found again, and told, by redo itself.
  void before(Lsn address);

 private:
  void load_batch() noexcept;
  void collect();
  void load();

  BufferPool& pool_;
  const std::size_t pages_max_;
  Lsn loaded_to_{0};  // what records below need is loaded
  bool all_loaded_ = false;
  std::atomic<bool> stopped_{false};
  std::thread loading_;  // the next batch; until it is joined, what follows is its own
  LogReader log_;
  std::vector<PageId> pages_;  // of the batch, ascending
  Lsn collected_to_{0};        // records below have been looked at
  bool ended_ = false;
};

}  // namespace vaultgres
