#include "wal/log_reader.h"

#include <algorithm>

#include "base/check.h"
#include "base/seeded_bug.h"
#include "base/try.h"

namespace vaultgres {

Result<LogReader> LogReader::open(FileSystem& files, std::string directory, const DatabaseId& database,
                                  std::size_t segment_bytes, std::vector<EpochSpan> epochs, Lsn start,
                                  Lsn known_durable) {
  VG_CHECK(!epochs.empty(), "a log has at least one epoch");
  if (segment_bytes == 0 || segment_bytes % kLogBlockBytes != 0) {
    return Error(ErrorCode::kCorruption,
                 directory + ": log segments of " + std::to_string(segment_bytes) + " bytes cannot be");
  }
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const EpochSpan& span = epochs[i];
    const bool last = i + 1 == epochs.size();
    const bool ordered = (span.end == kNoLsn ? last : span.first <= span.end) &&
                         (i == 0 || epochs[i - 1].end <= span.first) &&
                         std::max({raw(span.first), raw(span.end), raw(start)}) < kLogPositionMax;
    if (raw(span.first) % segment_bytes != 0 || !ordered) {
      return Error(ErrorCode::kCorruption,
                   directory + ": the list of log epochs contradicts itself at epoch " + std::to_string(span.number));
    }
  }
  VG_ASSIGN(const std::vector<std::string> names, files.list(directory));
  std::vector<std::uint64_t> segments;
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    if (parse_segment_name(name, &number) && number < kLogPositionMax / segment_bytes) segments.push_back(number);
  }
  std::sort(segments.begin(), segments.end());
  VG_ASSIGN(SegmentReader reader, SegmentReader::make(files, directory, segment_bytes));
  return LogReader(files, std::move(directory), database, segment_bytes, std::move(epochs), std::move(segments), start,
                   known_durable, std::move(reader));
}

LogReader::LogReader(FileSystem& files, std::string directory, const DatabaseId& database, std::size_t segment_bytes,
                     std::vector<EpochSpan> epochs, std::vector<std::uint64_t> segments, Lsn start, Lsn known_durable,
                     SegmentReader reader)
    : files_(&files),
      directory_(std::move(directory)),
      database_(database),
      segment_bytes_(segment_bytes),
      epochs_(std::move(epochs)),
      segments_(std::move(segments)),
      start_(std::max(raw(start), raw(epochs_.front().first))),
      reader_(std::move(reader)),
      seal_(seal_of(epochs_.front())),
      durable_seen_(raw(known_durable)) {
  while (epoch_index_ + 1 < epochs_.size() && raw(epochs_[epoch_index_ + 1].first) <= start_) ++epoch_index_;
  seal_ = seal_of(epoch());
  accepted_end_ = start_;
  position_ = start_;
  last_block_end_ = block_start(start_);
}

std::optional<std::uint64_t> LogReader::highest_segment() const noexcept {
  if (segments_.empty()) return std::nullopt;
  return segments_.back();
}

Lsn LogReader::next_epoch_first(Lsn written) const noexcept {
  std::uint64_t number = raw(epochs_.back().first) / segment_bytes_ + 1;
  const std::uint64_t end = std::max({accepted_end_, last_block_end_, raw(written)});
  number = std::max(number, (end + segment_bytes_ - 1) / segment_bytes_);
  if (!segments_.empty()) number = std::max(number, segments_.back() + 1);
  return Lsn{number * segment_bytes_};
}

Error LogReader::damaged(std::uint64_t position, const std::string& why) const {
  return Error(ErrorCode::kCorruption, reader_.path_of(position) + ": offset " +
                                           std::to_string(position % segment_bytes_) + " (log position " +
                                           std::to_string(position) + "): " + why);
}

// --- reading in order ---

Result<std::optional<LogRecord>> LogReader::next() {
  while (!ended_) {
    if (is_over(epoch()) && position_ >= raw(epoch().end)) {
      ended_ = !enter_next_epoch();
      continue;
    }
    hole_ = kNone;
    auto record = next_of_epoch();
    if (hole_ != kNone) {
      VG_TRY(judge_hole());
      last_block_end_ = hole_;
      ended_ = true;
    } else if (!record) {
      return record.error();
    } else if (*record && (*record)->address >= Lsn{start_}) {
      return record;
    }
  }
  return std::optional<LogRecord>();
}

bool LogReader::enter_next_epoch() noexcept {
  last_block_end_ = block_round_up(accepted_end_);
  if (epoch_index_ + 1 == epochs_.size()) return false;
  ++epoch_index_;
  seal_ = seal_of(epoch());
  checked_ = kNone;
  sought_ = true;
  position_ = raw(epoch().first);
  accepted_end_ = position_;
  return true;
}

/// Sets position_ to the first record that starts in the block of start_ or behind. False: look again.
Result<bool> LogReader::seek() {
  const std::uint64_t at = block_start(position_);
  VG_ASSIGN(const Bytes block, checked_block(at));
  const std::size_t first_record = log_block_header(block).first_record.get();
  if (first_record == 0) {
    position_ = at + kLogBlockBytes;
    return false;
  }
  position_ = at + sizeof(LogBlockHeader) + first_record - 1;
  sought_ = true;
  return true;
}

/// One record, or nothing: look again. An error with hole_ set: there is a block that is not valid.
Result<std::optional<LogRecord>> LogReader::next_of_epoch() {
  if (!sought_) {
    VG_ASSIGN(const bool found, seek());
    if (!found) return std::optional<LogRecord>();
  }
  const std::uint64_t address = record_address(position_);
  VG_ASSIGN(const Bytes block, checked_block(block_start(address)));
  const LogBlockHeader& header = log_block_header(block);
  if (address % kLogBlockBytes >= sizeof(LogBlockHeader) + header.used.get()) {  // padding
    position_ = block_start(address) + kLogBlockBytes;
    if (is_over(epoch()) && position_ >= raw(epoch().end)) {
      return damaged(address, "no record ends at " + std::to_string(raw(epoch().end)) + ", where the epoch should end");
    }
    return std::optional<LogRecord>();
  }
  if (address % kLogBlockBytes == sizeof(LogBlockHeader) && header.first_record.get() != 1) {
    return damaged(address, "the block does not begin with a record although the record before is complete");
  }
  VG_TRY(gather_record(
      address, [this](std::uint64_t position) { return checked_block(position); }, record_));
  const std::uint64_t lsn = record_lsn(address, record_.size());
  VG_ASSIGN(const RecordView view, check_record(address, lsn));
  position_ = lsn;
  accepted_end_ = lsn;
  return std::optional<LogRecord>({Lsn{address}, Lsn{lsn}, epoch().number, checked_time_, record_, view});
}

Result<Bytes> LogReader::checked_block(std::uint64_t position) {
  VG_ASSIGN(const Bytes block, reader_.block(position));
  if (position == checked_ && reader_.loads() == checked_load_) return block;
  if (const char* fault = seal_.fault(block, position)) {
    hole_ = position;
    hole_fault_ = fault;
    return damaged(position, fault);
  }
  checked_ = position;
  checked_load_ = reader_.loads();
  checked_time_ = log_block_header(block).time.get();
  durable_seen_ = std::max(durable_seen_, log_block_header(block).durable.get());
  return block;
}

/// What the record in record_ may be where it stands.
Result<RecordView> LogReader::check_record(std::uint64_t address, std::uint64_t lsn) const {
  if (is_over(epoch()) && lsn > raw(epoch().end)) {
    return damaged(address, "the record crosses the end of its epoch at " + std::to_string(raw(epoch().end)));
  }
  Result<RecordView> parsed = RecordView::parse(record_);
  if (!parsed) return damaged(address, std::string(parsed.error().message()));
  const bool first = address == record_address(raw(epoch().first));
  if (first != (parsed->kind() == RecordKind::kEpoch)) {
    return damaged(address, first ? "the epoch's first record does not name it" : "an epoch begins inside another");
  }
  if (!first) return parsed;
  const EpochBody& body = parsed->epoch();
  if (body.number.get() != epoch().number) return damaged(address, "the epoch's first record names another epoch");
  if (start_ < raw(epoch().first)) {  // the epoch before was read, too
    const EpochSpan& before = epochs_[epoch_index_ - 1];
    if (body.previous_number.get() != before.number || body.previous_end.get() != raw(before.end) ||
        body.previous_salt.get() != before.salt) {
      return damaged(address, "the epoch's first record names another predecessor than the superblock");
    }
  }
  return parsed;
}

// --- the tail ---

Status LogReader::judge_hole() {
  if (VG_SEEDED_BUG(kLogHoleIsTheEnd)) return {};
  if (is_over(epoch())) {
    return damaged(hole_, std::string("the log block cannot be used: ") + hole_fault_ + ", but the epoch goes on to " +
                              std::to_string(raw(epoch().end)));
  }
  if (durable_seen_ <= hole_) VG_TRY(look_ahead());
  if (durable_seen_ <= hole_) return {};
  return damaged(hole_, std::string("the log block cannot be used: ") + hole_fault_ +
                            ", but the log was durable up to " + std::to_string(durable_seen_));
}

/// Any valid block of this epoch behind the hole that says that the hole was durable.
Status LogReader::look_ahead() {
  for (const std::uint64_t number : segments_) {
    const std::uint64_t segment_end = (number + 1) * segment_bytes_;
    for (std::uint64_t at = std::max(number * segment_bytes_, hole_ + kLogBlockBytes); at < segment_end;
         at += kLogBlockBytes) {
      VG_ASSIGN(const Bytes block, reader_.block(at));
      if (block.size() != kLogBlockBytes) break;  // the file ends
      if (seal_.fault(block, at) != nullptr) continue;
      durable_seen_ = std::max(durable_seen_, log_block_header(block).durable.get());
      if (durable_seen_ > hole_) return {};
    }
  }
  return {};
}

Status LogReader::rewrite_tail(Lsn from) {
  VG_CHECK(ended_, "the tail is rewritten when it is known");
  reader_.forget();
  for (const EpochSpan& span : epochs_) {
    const BlockSeal seal = seal_of(span);
    const std::uint64_t end = block_round_up(is_over(span) ? raw(span.end) : accepted_end_);
    std::uint64_t at = std::max(block_start(raw(from)), raw(span.first));
    while (at < end) {
      VG_ASSIGN(const std::unique_ptr<File> file, files_->open(reader_.path_of(at), OpenMode::kReadWrite));
      const std::uint64_t part_end = std::min(end, (at / segment_bytes_ + 1) * segment_bytes_);
      for (; at < part_end; at += kLogBlockBytes) {
        VG_ASSIGN(const Bytes block, reader_.block(at));
        if (const char* fault = seal.fault(block, at)) return damaged(at, fault);
        VG_TRY(file->write(at % segment_bytes_, block));
      }
      VG_TRY(file->sync());
    }
  }
  return files_->sync_directory(directory_);
}

// --- single records ---

Status LogReader::read_at(Lsn address, std::vector<std::byte>& record) {
  const auto after =
      std::find_if(epochs_.begin(), epochs_.end(), [&](const EpochSpan& s) { return s.first > address; });
  if (after == epochs_.begin() || (is_over(*(after - 1)) && address >= (after - 1)->end)) {
    return Error(ErrorCode::kCorruption,
                 directory_ + ": position " + std::to_string(raw(address)) + " belongs to no epoch of the log");
  }
  const BlockSeal seal = seal_of(*(after - 1));
  const auto block_at = [&](std::uint64_t position) -> Result<Bytes> {
    VG_ASSIGN(const Bytes block, reader_.block(position));
    if (const char* fault = seal.fault(block, position)) return damaged(position, fault);
    return block;
  };
  VG_TRY(gather_record(raw(address), block_at, record));
  auto parsed = RecordView::parse(record);
  if (!parsed) return damaged(raw(address), std::string(parsed.error().message()));
  return {};
}

}  // namespace vaultgres
