#include "db/log_archive.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "base/try.h"
#include "db/file_names.h"
#include "wal/log_copy.h"
#include "wal/segment_reader.h"

namespace vaultgres::internal {

namespace {

/// How often the thread looks whether a segment is finished, and when it tries again what has failed.
constexpr std::chrono::milliseconds kArchivePause{50};
constexpr std::chrono::milliseconds kArchivePauseAfterFailure{500};

std::chrono::milliseconds close_wait() {
#ifdef VG_TEST_HOOKS
  return archive_close_wait.load();
#else
  return std::chrono::seconds(5);
#endif
}

/// A segment that takes longer is not waited for by who needs the log's space.
std::chrono::milliseconds segment_wait() {
#ifdef VG_TEST_HOOKS
  return archive_segment_wait.load();
#else
  return std::chrono::seconds(2);
#endif
}

std::string failure_line(const Error& error) {
  std::string line = "archiving the log failed, it is kept until that succeeds: " + std::string(error.message());
  if (error.code() == ErrorCode::kCorruption) {
    line +=
        "; the log from there on is of no use to the backups made so far: to begin anew, close the database, remove "
        "archive.vg from its directory, open it once without the archive, then again with it, and make a new backup";
  }
  return line;
}

}  // namespace

LogArchive::LogArchive(Places places, const DatabaseId& database, std::size_t segment_bytes,
                       std::function<void(const std::string&)> say)
    : places_(std::move(places)), database_(database), segment_bytes_(segment_bytes), say_(std::move(say)) {}

LogArchive::~LogArchive() {
  stop();
}

// --- What was there at open

LogArchive::Item LogArchive::item_of(const SuperblockState::Epoch& epoch, std::uint64_t segment,
                                     std::uint64_t end) const {
  return {{epoch.number, epoch.salt, segment},
          segment * segment_bytes_,
          std::min(block_round_up(end), (segment + 1) * segment_bytes_)};
}

/// Backwards, because an epoch's first record says where the one before it ended. It ends where a file is missing: that
/// was let go of once. An archive that cannot be asked has nothing: what it already has is found when it is copied.
Status LogArchive::find_old(const SuperblockState::Epoch& newest) {
  VG_ASSIGN(SegmentReader reader, SegmentReader::make(*places_.files, places_.log_directory, segment_bytes_));
  // What a process that was killed has renamed may still be lost.
  const bool trusted = !places_.archive_directory.empty() &&
                       places_.archive_files->sync_directory(places_.archive_directory).has_value();
  SuperblockState::Epoch epoch = newest;
  std::uint64_t end = raw(epoch.end);
  while (end > 0) {
    const Item item = item_of(epoch, (end - 1) / segment_bytes_, end);
    if (trusted) {
      const auto archived = places_.archive_files->exists(places_.archive_directory + "/" + archive_name(item.name));
      if (archived && *archived) break;
    }
    VG_ASSIGN(const bool there, places_.files->exists(reader.path_of(item.begin)));
    if (!there) break;
    VG_ASSIGN(const Bytes block, reader.block(item.begin));
    old_.push_front(item);
    if (BlockSeal(database_, epoch.number, epoch.salt).fault(block, item.begin) != nullptr) {
      all_held_ = true;  // copying it says what is wrong
      break;
    }
    end = item.begin;
    const EpochBody* const begun = epoch_begun_by(block);
    if (begun == nullptr) continue;
    epoch.number = begun->previous_number.get();
    epoch.salt = begun->previous_salt.get();
    end = std::min(end, begun->previous_end.get());  // damage must not lead upwards
  }
  set_held();
  return {};
}

// --- While the database is open

void LogArchive::start(const LogEpoch& epoch) {
  epoch_ = epoch;
  next_ = raw(epoch.first);
  set_held();
  if (!places_.archive_directory.empty()) thread_ = std::thread([this] { run(); });
}

void LogArchive::follow(std::function<Lsn()> durable) {
  const std::lock_guard lock(mutex_);
  durable_ = std::move(durable);
}

std::uint64_t LogArchive::durable() const {
  const std::lock_guard lock(mutex_);
  return durable_ ? raw(durable_()) : 0;
}

void LogArchive::set_held() noexcept {
  const std::uint64_t first = old_.empty() ? next_ : old_.front().begin;
  held_.store(all_held_ ? 0 : first, std::memory_order_release);
}

void LogArchive::run() {
  std::chrono::milliseconds pause = kArchivePause;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, pause, [&] { return stopping_ || hurry_; });
    if (stopping_) return;
    hurry_ = false;
    in_round_ = true;
    begun_ = Clock::now();
    lock.unlock();
    std::string line;
    const Round done = round(line);
    lock.lock();
    in_round_ = false;
    saying_ = !line.empty();
    ++rounds_;
    round_ended_.notify_all();
    pause = done == Round::kCopied   ? std::chrono::milliseconds(0)
            : done == Round::kFailed ? kArchivePauseAfterFailure
                                     : kArchivePause;
    if (!saying_) continue;
    lock.unlock();
    try {
      say_(line);
    } catch (const std::bad_alloc&) {
      // Not said.
    }
    lock.lock();
    saying_ = false;
  }
}

bool LogArchive::wait_for_segment() {
  if (places_.archive_directory.empty()) return false;
  std::unique_lock lock(mutex_);
  const Lsn before = held();
  const Clock::time_point until = (in_round_ ? begun_ : Clock::now()) + segment_wait();
  const std::uint64_t enough = rounds_ + (in_round_ ? 2 : 1);  // one that begins after this
  hurry_ = true;
  wake_.notify_one();
  round_ended_.wait_until(lock, until, [&] { return stopping_ || saying_ || held() > before || rounds_ >= enough; });
  return held() > before;
}

/// Copies one segment. `line` becomes what is to be said.
LogArchive::Round LogArchive::round(std::string& line) noexcept {
  try {
    const Result<bool> copied = copy_next();
    if (copied) {
      said_.clear();
      return *copied ? Round::kCopied : Round::kNothingToDo;
    }
    if (copied.error().message() != said_) {
      line = failure_line(copied.error());
      said_ = copied.error().message();
    }
  } catch (const std::bad_alloc&) {
    // The next look tries again.
  }
  return Round::kFailed;
}

/// The next segment that is finished. False: there is none.
Result<bool> LogArchive::copy_next() {
  if (!old_.empty()) {
    VG_TRY(copy(old_.front()));
    old_.pop_front();
  } else {
    const std::uint64_t durable = this->durable();
    if (durable < next_ + segment_bytes_) return false;
    VG_TRY(copy(item_of({epoch_.number, epoch_.salt, epoch_.first, Lsn{0}}, next_ / segment_bytes_, durable)));
    next_ += segment_bytes_;
  }
  set_held();
  return true;
}

Status LogArchive::make_directory() {
  VG_ASSIGN(const bool there, places_.archive_files->exists(places_.archive_directory));
  if (there) return {};
  VG_TRY(places_.archive_files->make_directory(places_.archive_directory));
  return places_.archive_files->sync_directory(parent_directory(places_.archive_directory));
}

/// A crash after the rename, before the directory was synced, leaves the name perhaps: it is synced again.
Status LogArchive::copy(const Item& item) {
  VG_TRY(make_directory());
  FileSystem& to = *places_.archive_files;
  const std::string path = places_.archive_directory + "/" + archive_name(item.name);
  VG_ASSIGN(const bool there, to.exists(path));
  if (!there) {
    const std::string fresh = path + ".new";
    VG_ASSIGN(const bool begun, to.exists(fresh));
    if (begun) VG_TRY(to.remove(fresh));
    if (Status copied = copy_log_blocks(*places_.files, places_.log_directory + "/" + segment_name(item.name.segment),
                                        to, fresh, {item.begin, item.end, segment_bytes_},
                                        BlockSeal(database_, item.name.epoch, item.name.salt));
        !copied) {
      static_cast<void>(to.remove(fresh));  // the disk may be full
      return copied;
    }
    VG_TRY(to.rename(fresh, path));
  }
  return to.sync_directory(places_.archive_directory);
}

// --- Closing

void LogArchive::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LogArchive::finish(Lsn end) {
  stop();
  if (places_.archive_directory.empty()) return;
  const Clock::time_point until = Clock::now() + close_wait();
  std::string line;
  Round done;
  do {
    done = round(line);
  } while (done == Round::kCopied && Clock::now() < until);
  if (done == Round::kNothingToDo && raw(end) > next_) {
    old_.push_back(item_of({epoch_.number, epoch_.salt, epoch_.first, end}, next_ / segment_bytes_, raw(end)));
    done = round(line);
  } else if (done == Round::kCopied) {
    line = "the archive is behind, and closing does not wait for it: the next open with it copies the rest of the log";
  }
  if (!line.empty()) say_(line);
}

}  // namespace vaultgres::internal
