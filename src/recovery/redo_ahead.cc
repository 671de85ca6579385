#include "recovery/redo_ahead.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "wal/record.h"

namespace vaultgres {

namespace {

/// Reads under way at a time.
constexpr unsigned kReaders = 16;
constexpr std::size_t kPagesMax = 8192;

}  // namespace

/// A part of the cache only: pages that redo has changed stay in it until they are written.
RedoAhead::RedoAhead(LogReader log, BufferPool& pool)
    : log_(std::move(log)), pool_(pool), pages_max_(std::min<std::size_t>(pool.stats().frames / 4, kPagesMax)) {}

void RedoAhead::before(Lsn address) {
  if (ended_ || address < collected_to_) return;
  collect();
  load();
}

void RedoAhead::collect() {
  pages_.clear();
  while (pages_.size() < pages_max_) {
    const Result<std::optional<LogRecord>> record = log_.next();
    ended_ = !record || !*record;
    if (ended_) return;
    collected_to_ = (*record)->lsn;
    const Result<RecordView> view = RecordView::parse((*record)->bytes);
    if (!view) continue;
    for (const RecordPage& part : view->pages()) pages_.push_back(part.page);
  }
}

void RedoAhead::load() {
  std::sort(pages_.begin(), pages_.end());
  pages_.erase(std::unique(pages_.begin(), pages_.end()), pages_.end());
  std::atomic<std::size_t> next{0};
  const auto read = [&] {
    try {
      for (std::size_t i = next++; i < pages_.size(); i = next++) {
        static_cast<void>(pool_.load(pages_[i], Hint::kNormal).has_value());
      }
    } catch (const std::bad_alloc&) {
      // For an error's text.
    }
  };
  std::vector<std::thread> readers;
  try {
    readers.reserve(kReaders - 1);
    while (readers.size() < std::min<std::size_t>(kReaders - 1, pages_.size() / 8)) readers.emplace_back(read);
  } catch (const std::exception&) {
    // No thread, no memory: fewer, then.
  }
  read();
  for (std::thread& reader : readers) reader.join();
}

}  // namespace vaultgres
