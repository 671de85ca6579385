// Flushing, space, and a thread for each. README.md, "Flush", describes the protocol.
//
// Locks: sync_mutex_ before flush_mutex_; threads_mutex_ is held for moments, with nothing taken inside. A page latch
// may be held by callers of append(): nothing here takes one.
#include "wal/log.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/held_latches.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "wal/block.h"
#include "wal/log_buffer.h"
#include "wal/segment_files.h"

namespace vaultgres {
namespace {

constexpr std::size_t kFlushesMax = 4;
/// A flush beside a running one pads a block and costs a write: it must carry this much.
constexpr std::uint64_t kOverlapBytes = 32 << 10;
/// Beside so much, a block of padding is less than what compensations leave of the space that is kept for them.
constexpr std::uint64_t kWorthPaddingBytes = 256 << 10;

using Clock = std::chrono::steady_clock;

std::uint64_t now_us() noexcept {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
}

}  // namespace

class Log::Impl {
 public:
  Impl(FileSystem& files, std::string directory, const DatabaseId& database, const LogEpoch& log_epoch,
       const LogOptions& options, Poison& poison, AlignedBuffer memory)
      : epoch(log_epoch),
        buffer(std::move(memory), raw(log_epoch.first)),
        segments(files, std::move(directory), options.segment_bytes, poison),
        durable(raw(log_epoch.first)),
        seal_(database, log_epoch.number, log_epoch.salt),
        poison_(poison),
        half_interval_(std::max<std::uint64_t>(options.flush_interval_ms, 1) * 1000 / 2),
        slack_(options.segment_bytes / 4),
        taken_(raw(log_epoch.first)) {
    flights_.reserve(kFlushesMax);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  void start() {
    flusher_ = std::thread([this] { run_flusher(); });
    preparer_ = std::thread([this] { run_preparer(); });
  }

  Appended append(Bytes record, FunctionRef<void(const Appended&)> on_reserved);
  Status flush(std::uint64_t lsn);
  Status flush_all();
  void request_flush() noexcept { wake(flush_wanted_, flusher_wakes_); }
  Status reserve(std::uint64_t bytes);
  void unreserve(std::uint64_t bytes) noexcept { reserved_.fetch_sub(bytes, std::memory_order_seq_cst); }
  std::uint64_t reserved() const noexcept { return reserved_.load(std::memory_order_relaxed); }
  void refuse_changes() noexcept { refuses_changes_.store(true, std::memory_order_relaxed); }
  Status recycle(std::uint64_t below);
  Status read(std::uint64_t address, std::vector<std::byte>& record);

  const LogEpoch epoch;
  LogBuffer buffer;
  SegmentFiles segments;
  /// Changes under flush_mutex_. Release pairs with acquire: who sees the new value may reuse the ring's blocks.
  std::atomic<std::uint64_t> durable;

 private:
  /// One flush under way: the blocks in [from, to), the last record ends at `end`.
  struct Flight {
    std::uint64_t from = 0;
    std::uint64_t end = 0;
    std::uint64_t to = 0;
    std::uint64_t time = 0;
    bool written = false;
    bool synced = false;
  };

  bool may_lead() const noexcept;
  void lead(std::unique_lock<std::mutex>& lock);
  Status write(const Flight& flight);
  Status sync(Flight& flight);
  void publish() noexcept;

  bool has_room(std::uint64_t reserved) const noexcept {
    return segments.prepared_end() >= buffer.end() + reserved + slack_;
  }
  /// Whether a flush for which nobody has reserved a block may pad one. On a full disk the padding of many small
  /// flushes beside a long rollback would take the log that this needs; half of the slack is for others.
  bool may_pad() const noexcept {
    const std::uint64_t end = buffer.end();
    return segments.prepared_end() >= end + kLogBlockBytes + reserved_.load(std::memory_order_seq_cst) + slack_ / 2 ||
           end - std::min(end, durable.load(std::memory_order_acquire)) >= kWorthPaddingBytes;
  }
  bool try_reserve(std::uint64_t bytes) noexcept;
  void prepare_ahead();

  void run_flusher();
  void run_preparer();
  void wake(std::atomic<bool>& wish, std::condition_variable& sleeper) noexcept;

  Status read_from_files(std::uint64_t address, std::vector<std::byte>& record);

  const BlockSeal seal_;
  Poison& poison_;
  const std::chrono::microseconds half_interval_;
  const std::uint64_t slack_;  // for the padding of flushes between a reservation and its use

  std::mutex flush_mutex_;
  std::condition_variable flush_ended_;
  std::uint64_t taken_;  // below: durable, or in flight, or lost by a failure
  std::uint64_t newest_time_ = 0;
  std::vector<Flight*> flights_;  // in the order of the log; each lives on its leader's stack

  std::mutex sync_mutex_;  // one sync at a time

  std::atomic<std::uint64_t> reserved_{0};
  std::atomic<bool> refuses_changes_{false};
  std::atomic<bool> ahead_failed_{false};  // no room for a segment ahead: reserve() finds out when there is

  std::mutex threads_mutex_;
  std::condition_variable flusher_wakes_;
  std::condition_variable preparer_wakes_;
  bool stop_ = false;
  std::atomic<bool> armed_{false};  // something is not durable: look every half interval
  std::atomic<bool> flush_wanted_{false};
  std::atomic<bool> prepare_wanted_{false};
  std::thread flusher_;
  std::thread preparer_;  // a segment may take seconds: no flush waits for it
};

Log::Impl::~Impl() {
  {
    const std::lock_guard lock(threads_mutex_);
    stop_ = true;
  }
  flusher_wakes_.notify_one();
  preparer_wakes_.notify_one();
  if (flusher_.joinable()) flusher_.join();
  if (preparer_.joinable()) preparer_.join();
}

// --- appending ---

Log::Appended Log::Impl::append(Bytes record, FunctionRef<void(const Appended&)> on_reserved) {
  VG_CHECK(record.size() >= sizeof(RecordHeader) && record.size() <= kRecordBytesMax, "log record of impossible size");
  VG_CHECK(record.size() <= (buffer.bytes() / kLogBlockBytes - 1) * kLogBlockPayload, "log record beyond the buffer");
  LogBuffer::Reservation place;
  bool poisoned = poison_.is_set();
  while (!buffer.reserve(record.size(),
                         poisoned ? LogBuffer::kNoLimit : durable.load(std::memory_order_acquire) + buffer.bytes(),
                         &place)) {
    poisoned = !flush(buffer.end());
  }
  VG_NOISE(kLogReserved);
  const Appended appended{Lsn{place.address}, Lsn{place.lsn}};
  on_reserved(appended);
  // Without a limit its place in the ring may belong to a flush that hangs in a write.
  if (!poisoned) buffer.copy(place, record);
  VG_NOISE(kLogCopied);
  buffer.complete(place);
  if (poisoned) return appended;
  // Sequentially consistent, as end_ and the flusher's disarming are: either this sees armed_ false, or the
  // flusher sees the new end.
  if (!armed_.load(std::memory_order_seq_cst)) wake(armed_, flusher_wakes_);
  if (place.lsn - durable.load(std::memory_order_relaxed) > buffer.bytes() / 2) request_flush();
  return appended;
}

// --- flushing ---

Status Log::Impl::flush(std::uint64_t lsn) {
  if (durable.load(std::memory_order_acquire) >= lsn) return {};
  if (lsn > buffer.end()) {
    return Error(ErrorCode::kCorruption, "position " + std::to_string(lsn) +
                                             " was to be made durable, but the log ends at " +
                                             std::to_string(buffer.end()));
  }
  std::unique_lock lock(flush_mutex_);
  while (durable.load(std::memory_order_relaxed) < lsn) {
    VG_TRY(poison_.check());
    if (taken_ < lsn && may_lead()) {
      lead(lock);
    } else {
      flush_ended_.wait(lock);
    }
  }
  return {};
}

Status Log::Impl::flush_all() {
  const std::uint64_t end = buffer.end();
  const auto is_taken = [&] {  // then it needs no padding of its own
    const std::lock_guard lock(flush_mutex_);
    return taken_ >= end;
  };
  if (durable.load(std::memory_order_acquire) < end && !may_pad() && !is_taken()) {
    VG_TRY(segments.prepare([&] { return may_pad(); },
                            [&] { return has_room(reserved_.load(std::memory_order_seq_cst)); }));
  }
  return flush(end);
}

bool Log::Impl::may_lead() const noexcept {
  if (flights_.empty()) return true;
  return flights_.size() < kFlushesMax && buffer.end() - taken_ >= kOverlapBytes;
}

void Log::Impl::lead(std::unique_lock<std::mutex>& lock) {
  Flight flight;
  flight.from = taken_;
  flight.end = buffer.close();
  flight.to = block_round_up(flight.end);
  taken_ = flight.to;
  newest_time_ = flight.time = std::max(newest_time_, now_us());  // a clock that is set back stands still here
  flights_.push_back(&flight);
  lock.unlock();
  VG_NOISE(kFlushClosed);

  Status done;
  try {
    done = write(flight);
    VG_NOISE(kFlushWritten);
    if (done) done = sync(flight);
  } catch (const std::bad_alloc&) {  // the flight must not stay in the list
    done = Error(ErrorCode::kOutOfMemory, "no memory while writing the log");
  }
  if (!done) poison_.set(done.error());

  lock.lock();
  publish();
  flush_ended_.notify_all();
  // One that overtook stays in the list until the flushes before it have ended, one way or the other.
  while (done && durable.load(std::memory_order_relaxed) < flight.to && !poison_.is_set()) flush_ended_.wait(lock);
  std::erase(flights_, &flight);
}

Status Log::Impl::write(const Flight& flight) {
  buffer.wait_until_filled(flight.end);
  buffer.seal(flight.from, flight.end, seal_, durable.load(std::memory_order_acquire), flight.time);
  if (segments.prepared_end() < flight.to) VG_TRY(segments.prepare_up_to(flight.to));
  for (std::uint64_t at = flight.from; at < flight.to;) {
    const Bytes part = buffer.contiguous(at, flight.to);
    VG_TRY(segments.write(at, part));
    at += part.size();
  }
  return {};
}

/// For every flush that is written by now. Never two at a time: of two concurrent syncs of a file the kernel tells only
/// one about a lost write, so the other's success proves nothing.
Status Log::Impl::sync(Flight& flight) {
  {
    const std::lock_guard lock(flush_mutex_);
    flight.written = true;
  }
  const std::lock_guard sync_lock(sync_mutex_);
  VG_TRY(poison_.check());  // the sync before this one may have failed for both
  std::array<Flight*, kFlushesMax> covered{};
  std::size_t count = 0;
  Flight range = flight;
  {
    const std::lock_guard lock(flush_mutex_);
    if (flight.synced) return {};
    // The leader of each of these comes to sync_mutex_ next, so it stays where it is.
    for (Flight* other : flights_) {
      if (!other->written || other->synced) continue;
      covered[count++] = other;
      range.from = std::min(range.from, other->from);
      range.to = std::max(range.to, other->to);
    }
  }
  if (Status synced = segments.sync(range.from, range.to); !synced && !VG_SEEDED_BUG(kIgnoreFailedSync)) {
    poison_.set(synced.error());  // before the next one may sync
    return synced;
  }
  VG_NOISE(kFlushSynced);
  const std::lock_guard lock(flush_mutex_);
  for (std::size_t i = 0; i < count; ++i) covered[i]->synced = true;
  return {};
}

/// The durable prefix grows by the flushes at the front that are synced; under flush_mutex_. After a failure it never
/// grows again.
void Log::Impl::publish() noexcept {
  if (poison_.is_set()) return;
  const std::uint64_t before = durable.load(std::memory_order_relaxed);
  while (!flights_.empty() && flights_.front()->synced) {
    durable.store(flights_.front()->to, std::memory_order_release);
    flights_.erase(flights_.begin());
  }
  const std::uint64_t after = durable.load(std::memory_order_relaxed);
  if (before / segments.segment_bytes() != after / segments.segment_bytes()) segments.finish(after);
}

// --- space ---

bool Log::Impl::try_reserve(std::uint64_t bytes) noexcept {
  std::uint64_t before = reserved_.load(std::memory_order_seq_cst);
  do {
    if (!has_room(before + bytes)) return false;
  } while (!reserved_.compare_exchange_weak(before, before + bytes, std::memory_order_seq_cst));
  if (has_room(before + bytes)) return true;
  unreserve(bytes);  // a segment was given back meanwhile
  return false;
}

Status Log::Impl::reserve(std::uint64_t bytes) {
  VG_TRY(poison_.check());
  if (refuses_changes_.load(std::memory_order_relaxed)) {
    return Error(ErrorCode::kReadOnly, "the database is open read-only; open it for writing to change it");
  }
  if (!try_reserve(bytes)) {
    VG_TRY(segments.prepare([&] { return try_reserve(bytes); },
                            [&] { return has_room(reserved_.load(std::memory_order_seq_cst)); }));
    ahead_failed_.store(false, std::memory_order_relaxed);
  }
  const std::uint64_t ahead = reserved_.load(std::memory_order_relaxed) + segments.segment_bytes() / 2;
  if (!has_room(ahead) && !ahead_failed_.load(std::memory_order_relaxed)) wake(prepare_wanted_, preparer_wakes_);
  return {};
}

/// The last segment is half used: the next one is made before somebody has to wait for it.
void Log::Impl::prepare_ahead() {
  const auto reserved = [&] { return reserved_.load(std::memory_order_seq_cst); };
  Status prepared = segments.prepare([&] { return has_room(reserved() + segments.segment_bytes() / 2); },
                                     [&] { return has_room(reserved()); });
  if (!prepared) ahead_failed_.store(true, std::memory_order_relaxed);
}

Status Log::Impl::recycle(std::uint64_t below) {
  VG_TRY(poison_.check());
  return segments.recycle(std::min(below, durable.load(std::memory_order_acquire)));
}

// --- the threads ---

void Log::Impl::wake(std::atomic<bool>& wish, std::condition_variable& sleeper) noexcept {
  if (wish.load(std::memory_order_seq_cst) || wish.exchange(true, std::memory_order_seq_cst)) return;
  // Empty, but needed: the sleeper may be between looking at the wish and going to sleep.
  { const std::lock_guard lock(threads_mutex_); }
  sleeper.notify_one();
}

void Log::Impl::run_preparer() {
  std::unique_lock lock(threads_mutex_);
  for (;;) {
    preparer_wakes_.wait(lock, [&] { return stop_ || prepare_wanted_.load(); });
    if (stop_) return;
    lock.unlock();
    prepare_wanted_.store(false);  // first: whoever comes too late to be served now wakes again
    try {
      prepare_ahead();
    } catch (const std::bad_alloc&) {
      ahead_failed_.store(true, std::memory_order_relaxed);
    }
    lock.lock();
  }
}

void Log::Impl::run_flusher() {
  const auto wanted = [&] { return stop_ || flush_wanted_.load(); };
  bool was_armed = false;
  std::uint64_t seen_end = 0;  // what was appended half an interval ago
  Clock::time_point next_look;
  std::unique_lock lock(threads_mutex_);
  while (!poison_.is_set()) {
    if (!was_armed) {
      flusher_wakes_.wait(lock, [&] { return wanted() || armed_.load(); });
    } else {
      flusher_wakes_.wait_until(lock, next_look, wanted);
    }
    if (stop_) return;
    lock.unlock();
    // A failure of a flush is in the poison.
    if (flush_wanted_.exchange(false)) static_cast<void>(flush(buffer.end()));
    const Clock::time_point now = Clock::now();
    if (was_armed && now >= next_look && durable.load(std::memory_order_acquire) < seen_end && may_pad()) {
      static_cast<void>(flush(buffer.end()));
    }
    if (!was_armed || now >= next_look) {
      seen_end = buffer.end();
      next_look = now + half_interval_;
    }
    // Disarmed first, then the look: an append that comes too late for the look finds armed_ false and wakes.
    armed_.store(false, std::memory_order_seq_cst);
    was_armed = durable.load(std::memory_order_acquire) < buffer.end();
    if (was_armed) armed_.store(true, std::memory_order_seq_cst);
    lock.lock();
  }
}

// --- reading back ---

Status Log::Impl::read(std::uint64_t address, std::vector<std::byte>& record) {
  VG_TRY(poison_.check());
  const std::uint64_t end = buffer.end();
  if (address < raw(epoch.first) || address >= end) {
    return Error(ErrorCode::kCorruption, "there is no log record at position " + std::to_string(address) +
                                             ": this epoch goes from " + std::to_string(raw(epoch.first)) + " to " +
                                             std::to_string(end));
  }
  // A flush ends behind a record: one that begins below the durable position is whole in the files.
  if (address < durable.load(std::memory_order_acquire)) return read_from_files(address, record);
  buffer.wait_until_filled(end);
  {
    // Blocks of the ring are reused when durable has passed them, and it cannot while this is held.
    const std::lock_guard lock(flush_mutex_);
    if (address >= durable.load(std::memory_order_relaxed) && buffer.read(address, record)) return {};
  }
  VG_TRY(flush(end));
  return read_from_files(address, record);
}

Status Log::Impl::read_from_files(std::uint64_t address, std::vector<std::byte>& record) {
  VG_ASSIGN(AlignedBuffer memory, AlignedBuffer::make(kLogBlockBytes));
  const auto block_at = [&](std::uint64_t position) -> Result<Bytes> {
    const std::string path = segments.path(position / segments.segment_bytes());
    VG_TRY(segments.read(position, memory.span()));
    if (const char* fault = seal_.fault(memory.span(), position)) {
      return Error(ErrorCode::kCorruption,
                   path + ": log block at position " + std::to_string(position) + " is damaged: " + fault);
    }
    return Bytes(memory.span());
  };
  return gather_record(address, block_at, record);
}

// --- the interface ---

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Log::~Log() = default;

Result<std::unique_ptr<Log>> Log::open(FileSystem& files, std::string directory, const DatabaseId& database,
                                       const LogEpoch& epoch, Lsn keep_from, const LogOptions& options, Poison& poison,
                                       Lsn keep_to) {
  VG_CHECK(options.segment_bytes % kLogBlockBytes == 0 && options.segment_bytes >= 4 * kLogBlockBytes,
           "a log segment is a whole number of blocks, at least 4");
  VG_CHECK(raw(epoch.first) % options.segment_bytes == 0, "an epoch starts at the start of a segment");
  VG_ASSIGN(AlignedBuffer memory, AlignedBuffer::make(options.buffer_bytes));
  auto impl = std::make_unique<Impl>(files, std::move(directory), database, epoch, options, poison, std::move(memory));
  VG_TRY(impl->segments.open(raw(epoch.first), raw(keep_from), raw(keep_to == kNoLsn ? epoch.first : keep_to)));
  impl->start();
  return std::unique_ptr<Log>(new Log(std::move(impl)));
}

Lsn Log::end() const noexcept {
  return Lsn{impl_->buffer.end()};
}
Lsn Log::durable() const noexcept {
  return Lsn{impl_->durable.load(std::memory_order_acquire)};
}
Lsn Log::filled() const noexcept {
  return Lsn{impl_->buffer.filled()};
}

Log::Appended Log::append(Bytes record, FunctionRef<void(const Appended&)> on_reserved) {
  return impl_->append(record, on_reserved);
}
Log::Appended Log::append(Bytes record) {
  return impl_->append(record, [](const Appended&) {});
}
Status Log::flush(Lsn lsn) {
  assert_may_wait("the log to be durable");
  return impl_->flush(raw(lsn));
}
Status Log::flush_all() {
  assert_may_wait("all of the log to be durable");
  return impl_->flush_all();
}
void Log::request_flush() noexcept {
  impl_->request_flush();
}
Status Log::reserve(std::uint64_t bytes) {
  assert_may_wait("log space");
  return impl_->reserve(bytes);
}
void Log::unreserve(std::uint64_t bytes) noexcept {
  impl_->unreserve(bytes);
}
std::uint64_t Log::reserved() const noexcept {
  return impl_->reserved();
}
void Log::refuse_changes() noexcept {
  impl_->refuse_changes();
}
Status Log::prepare_spare() {
  assert_may_wait("a spare log segment");
  return impl_->segments.prepare_spare();
}
Status Log::recycle(Lsn below) {
  assert_may_wait("log segments to be given back");
  return impl_->recycle(raw(below));
}
bool Log::can_recycle(Lsn below) const {
  return impl_->segments.can_recycle(raw(below));
}
Status Log::read(Lsn address, std::vector<std::byte>& record) {
  assert_may_wait("a log record to be read");
  return impl_->read(raw(address), record);
}
const LogEpoch& Log::epoch() const noexcept {
  return impl_->epoch;
}
std::size_t Log::segment_bytes() const noexcept {
  return impl_->segments.segment_bytes();
}

}  // namespace vaultgres
