#include "recovery/redo_ahead.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#include "base/in_parallel.h"

namespace vaultgres {

namespace {

constexpr std::size_t kPagesMax = 4096;
/// With smaller batches a thread for each would cost more than it saves.
constexpr std::size_t kThreadPagesMin = 32;

}  // namespace

/// A part of the cache only: two batches are in it, and pages that redo has changed stay until they are written.
RedoAhead::RedoAhead(LogReader log, BufferPool& pool)
    : pool_(pool), pages_max_(std::min<std::size_t>(pool.stats().frames / 8, kPagesMax)), log_(std::move(log)) {}

RedoAhead::~RedoAhead() {
  stopped_ = true;
  if (loading_.joinable()) loading_.join();
}

void RedoAhead::before(Lsn address) {
  if (all_loaded_ || address < loaded_to_) return;
  if (loading_.joinable()) {
    loading_.join();
  } else {
    load_batch();
  }
  loaded_to_ = collected_to_;
  all_loaded_ = ended_;
  if (all_loaded_ || pages_max_ < kThreadPagesMin) return;
  try {
    loading_ = std::thread([this] { load_batch(); });
  } catch (const std::exception&) {
    // No thread: when redo comes to it.
  }
}

void RedoAhead::load_batch() noexcept {
  try {
    collect();
    load();
  } catch (const std::exception&) {
    ended_ = true;  // redo reads for itself from here on
  }
}

void RedoAhead::collect() {
  pages_.clear();
  while (pages_.size() < pages_max_ && !stopped_) {
    const Result<std::optional<LogRecord>> record = log_.next();
    ended_ = !record || !*record;
    if (ended_) return;
    collected_to_ = (*record)->lsn;
    for (const RecordPage& part : (*record)->view.pages()) pages_.push_back(part.page);
  }
}

void RedoAhead::load() {
  std::sort(pages_.begin(), pages_.end());
  pages_.erase(std::unique(pages_.begin(), pages_.end()), pages_.end());
  std::atomic<std::size_t> next{0};
  in_parallel(static_cast<unsigned>(std::clamp<std::size_t>(pages_.size() / 8, 1, kPartsMax)), [&](unsigned) {
    for (std::size_t i = next++; i < pages_.size() && !stopped_; i = next++) {
      static_cast<void>(pool_.load(pages_[i], Hint::kNormal).has_value());
    }
  });
}

}  // namespace vaultgres
