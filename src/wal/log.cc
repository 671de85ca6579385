// Flushing, space, and a thread for each. README.md, "Flush", describes the protocol; group_commit.h and wakeup.h are
// its core. A page latch may be held by callers of append(): nothing here takes one.
#include "wal/log.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/check.h"
#include "base/held_latches.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/std_atomics.h"
#include "base/try.h"
#include "wal/block.h"
#include "wal/group_commit.h"
#include "wal/log_buffer.h"
#include "wal/segment_files.h"
#include "wal/wakeup.h"

namespace vaultgres {
namespace {

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
        seal_(database, log_epoch.number, log_epoch.salt),
        poison_(poison),
        half_interval_(std::max<std::uint64_t>(options.flush_interval_ms, 1) * 1000 / 2),
        slack_(options.segment_bytes / 4),
        brief_(options.segment_bytes / 16),
        commit_(raw(log_epoch.first)) {}
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
  void request_flush() noexcept { flusher_wakeup_.request(); }
  Status reserve(std::uint64_t bytes);
  BriefSpace::Counter* try_reserve_briefly(std::uint64_t bytes) noexcept;
  void unreserve(std::uint64_t bytes) noexcept { reserved_.fetch_sub(bytes, std::memory_order_seq_cst); }
  std::uint64_t reserved() const noexcept { return reserved_.load(std::memory_order_relaxed) + brief_.sum(); }
  void refuse_changes() noexcept { refuses_changes_.store(true, std::memory_order_relaxed); }
  Status recycle(std::uint64_t below);
  Status read(std::uint64_t address, std::vector<std::byte>& record);

  const LogEpoch epoch;
  LogBuffer buffer;
  SegmentFiles segments;
  std::uint64_t durable() const noexcept { return commit_.durable(); }

 private:
  // What group commit asks for.
  using Commit = GroupCommit<StdAtomics>;
  friend Commit;
  bool failed() const noexcept { return poison_.is_set(); }
  bool worth_another(std::uint64_t taken) const noexcept { return buffer.end() - taken >= kOverlapBytes; }
  void take(Commit::Flight& flight) noexcept;
  bool write(const Commit::Flight& flight) noexcept;
  bool sync(std::uint64_t from, std::uint64_t to) noexcept;
  void published(std::uint64_t before, std::uint64_t after) noexcept;

  Status write_blocks(const Commit::Flight& flight);

  bool has_room(std::uint64_t reserved) const noexcept {
    return segments.prepared_end() >= buffer.end() + reserved + brief_.total() + slack_;
  }
  /// Whether a flush for which nobody has reserved a block may pad one. On a full disk the padding of many small
  /// flushes beside a long rollback would take the log that this needs; half of the slack is for others.
  bool may_pad() const noexcept {
    const std::uint64_t end = buffer.end();
    const std::uint64_t reserved = reserved_.load(std::memory_order_seq_cst) + brief_.total();
    return segments.prepared_end() >= end + kLogBlockBytes + reserved + slack_ / 2 ||
           end - std::min(end, durable()) >= kWorthPaddingBytes;
  }
  bool has_room_ahead() const noexcept {
    return has_room(reserved_.load(std::memory_order_seq_cst) + segments.segment_bytes() / 2);
  }
  bool try_reserve(std::uint64_t bytes) noexcept;
  void prepare_ahead();

  void run_flusher();
  void run_preparer();

  Status read_from_files(std::uint64_t address, std::vector<std::byte>& record);

  const BlockSeal seal_;
  Poison& poison_;
  const std::chrono::microseconds half_interval_;
  const std::uint64_t slack_;  // for the padding of flushes between a reservation and its use

  BriefSpace brief_;

  Commit commit_;
  std::uint64_t newest_time_ = 0;  // of a flight, under the mutex of commit_

  std::atomic<std::uint64_t> reserved_{0};
  std::atomic<bool> refuses_changes_{false};
  std::atomic<bool> ahead_failed_{false};  // no room for a segment ahead: reserve() finds out when there is

  Wakeup<StdAtomics> flusher_wakeup_;  // armed: something is not durable, look every half interval
  Wakeup<StdAtomics> preparer_wakeup_;
  std::thread flusher_;
  std::thread preparer_;  // a segment may take seconds: no flush waits for it
};

Log::Impl::~Impl() {
  flusher_wakeup_.stop();
  preparer_wakeup_.stop();
  if (flusher_.joinable()) flusher_.join();
  if (preparer_.joinable()) preparer_.join();
}

// --- appending ---

Log::Appended Log::Impl::append(Bytes record, FunctionRef<void(const Appended&)> on_reserved) {
  VG_CHECK(record.size() >= sizeof(RecordHeader) && record.size() <= kRecordBytesMax, "log record of impossible size");
  VG_CHECK(record.size() <= (buffer.bytes() / kLogBlockBytes - 1) * kLogBlockPayload, "log record beyond the buffer");
  LogBuffer::Reservation place;
  bool poisoned = poison_.is_set();
  while (!buffer.reserve(record.size(), poisoned ? LogBuffer::kNoLimit : durable() + buffer.bytes(), &place)) {
    poisoned = !flush(buffer.end());
  }
  VG_NOISE(kLogReserved);
  const Appended appended{Lsn{record_address(place.begin)}, Lsn{place.end}};
  on_reserved(appended);
  // Without a limit its place in the ring may belong to a flush that hangs in a write.
  if (!poisoned) buffer.copy(place, record);
  VG_NOISE(kLogCopied);
  buffer.complete(place);
  if (poisoned) return appended;
  flusher_wakeup_.left_something();
  if (place.end > durable() + buffer.bytes() / 2) request_flush();
  return appended;
}

// --- flushing ---

Status Log::Impl::flush(std::uint64_t lsn) {
  if (lsn > durable() && lsn > buffer.end()) {
    return Error(ErrorCode::kCorruption, "position " + std::to_string(lsn) +
                                             " was to be made durable, but the log ends at " +
                                             std::to_string(buffer.end()));
  }
  return commit_.flush(lsn, *this) ? Status() : poison_.check();
}

Status Log::Impl::flush_all() {
  const std::uint64_t end = buffer.end();
  if (durable() < end && !may_pad() && !commit_.is_taken(end)) {  // taken: it needs no padding of its own
    VG_TRY(segments.prepare([&] { return may_pad(); },
                            [&] { return has_room(reserved_.load(std::memory_order_seq_cst)); }));
  }
  return flush(end);
}

void Log::Impl::take(Commit::Flight& flight) noexcept {
  flight.end = buffer.close();
  flight.to = block_round_up(flight.end);
  newest_time_ = flight.time = std::max(newest_time_, now_us());  // a clock that is set back stands still here
}

bool Log::Impl::write(const Commit::Flight& flight) noexcept {
  VG_NOISE(kFlushClosed);
  try {
    if (Status written = write_blocks(flight); !written) poison_.set(written.error());
  } catch (const std::bad_alloc&) {
    poison_.set(Error(ErrorCode::kOutOfMemory, "no memory while writing the log"));
  }
  VG_NOISE(kFlushWritten);
  return !failed();
}

Status Log::Impl::write_blocks(const Commit::Flight& flight) {
  buffer.wait_until_filled(flight.to);  // the padding counts, so that durable never overtakes filled
  buffer.seal(flight.from, flight.end, seal_, durable(), flight.time);
  if (segments.prepared_end() < flight.to) VG_TRY(segments.prepare_up_to(flight.to));
  for (std::uint64_t at = flight.from; at < flight.to;) {
    const Bytes part = buffer.contiguous(at, flight.to);
    VG_TRY(segments.write(at, part));
    at += part.size();
  }
  return {};
}

bool Log::Impl::sync(std::uint64_t from, std::uint64_t to) noexcept {
  try {
    Status synced = segments.sync(from, to);
    if (!synced && !VG_SEEDED_BUG(kIgnoreFailedSync)) poison_.set(synced.error());
  } catch (const std::bad_alloc&) {
    poison_.set(Error(ErrorCode::kOutOfMemory, "no memory while writing the log"));
  }
  VG_NOISE(kFlushSynced);
  return !failed();
}

void Log::Impl::published(std::uint64_t before, std::uint64_t after) noexcept {
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
  if (!has_room_ahead() && !ahead_failed_.load(std::memory_order_relaxed)) preparer_wakeup_.request();
  return {};
}

/// While there is room ahead that is all to look at.
BriefSpace::Counter* Log::Impl::try_reserve_briefly(std::uint64_t bytes) noexcept {
  if (poison_.is_set() || refuses_changes_.load(std::memory_order_relaxed)) return nullptr;
  BriefSpace::Counter* const counter = brief_.try_add(bytes);
  if (counter == nullptr || has_room_ahead()) return counter;
  BriefSpace::subtract(*counter, bytes);
  return nullptr;
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
  return segments.recycle(std::min(below, durable()));
}

// --- the threads ---

void Log::Impl::run_preparer() {
  while (preparer_wakeup_.sleep()) {
    preparer_wakeup_.take_request();
    try {
      prepare_ahead();
    } catch (const std::bad_alloc&) {
      ahead_failed_.store(true, std::memory_order_relaxed);
    }
  }
}

void Log::Impl::run_flusher() {
  bool armed = false;
  std::uint64_t seen_end = 0;  // what was appended half an interval ago
  Clock::time_point next_look;
  while (!failed() && (armed ? flusher_wakeup_.sleep_until(next_look) : flusher_wakeup_.sleep())) {
    // A failure of a flush is in the poison.
    if (flusher_wakeup_.take_request()) static_cast<void>(flush(buffer.end()));
    const Clock::time_point now = Clock::now();
    if (armed && now >= next_look && durable() < seen_end && may_pad()) static_cast<void>(flush(buffer.end()));
    if (!armed || now >= next_look) {
      seen_end = buffer.end();
      next_look = now + half_interval_;
    }
    armed = flusher_wakeup_.rearm([&] { return durable() < buffer.end(); });
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
  if (address < durable()) return read_from_files(address, record);
  buffer.wait_until_filled(end);
  // Blocks of the ring are reused when durable has passed them.
  const bool was_read =
      commit_.while_nothing_ends([&] { return address >= durable() && buffer.read(address, record); });
  if (was_read) return {};
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
  return Lsn{impl_->durable()};
}
Lsn Log::filled() const noexcept {
  return Lsn{impl_->buffer.filled()};
}

void Log::wait_until_filled(Lsn lsn) noexcept {
  assert_may_wait("records in front to be copied");
  impl_->buffer.wait_until_filled(raw(lsn));
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
BriefSpace::Counter* Log::try_reserve_briefly(std::uint64_t bytes) noexcept {
  assert_may_wait("log space");
  return impl_->try_reserve_briefly(bytes);
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
