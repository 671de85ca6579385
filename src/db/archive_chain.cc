#include "db/archive_chain.h"

#include <algorithm>

#include "base/aligned_buffer.h"
#include "base/try.h"

namespace vaultgres::internal {

namespace {

constexpr std::uint64_t kNoEnd = UINT64_MAX;

}  // namespace

Result<ArchiveChain> ArchiveChain::find(FileSystem& files, const std::vector<std::string>& directories,
                                        const SuperblockState& backup, Lsn backup_end, std::optional<Lsn> until) {
  ArchiveChain chain(files, backup);
  for (const SuperblockState::Epoch& epoch : backup.epochs) {
    chain.epochs_.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
    chain.highest_epoch_ = epoch.number;
  }
  for (const std::string& directory : directories) VG_TRY(chain.read_directory(directory));
  if (!directories.empty() && chain.archived_.empty()) {
    return Error(ErrorCode::kInvalidArgument, chain.directories_ +
                                                  ": there is no archived log; check the name, or leave the archive "
                                                  "out to restore the backup alone");
  }
  bool any_sound = chain.archived_.empty();
  for (auto& [key, epoch] : chain.archived_) {
    VG_TRY(chain.look_at(key, epoch));
    any_sound |= epoch.sound;
    if (epoch.sound) chain.highest_epoch_ = std::max(chain.highest_epoch_, key.first);
  }
  if (!any_sound) {
    return Error(ErrorCode::kInvalidArgument,
                 chain.directories_ + ": nothing there is log of the backup's database; give its own archive");
  }
  VG_TRY(chain.follow(raw(backup_end), until ? raw(*until) : kNoEnd));
  return chain;
}

// --- What is there

Status ArchiveChain::read_directory(const std::string& directory) {
  directories_ += (directories_.empty() ? "" : ", ") + directory;
  VG_ASSIGN(const std::vector<std::string> names, disk_.list(directory));
  for (const std::string& name : names) {
    const std::optional<ArchivedSegment> segment = parse_archive_name(name);
    if (!segment) continue;
    if (segment->segment >= kLogPositionMax / backup_.segment_bytes || segment->epoch > kEpochNumberMax) continue;
    archived_[{segment->epoch, segment->salt}].paths.emplace(segment->segment, directory + "/" + name);
  }
  return {};
}

/// The lowest segment of an epoch is the one that begins it, unless the archive was begun later.
Status ArchiveChain::look_at(const EpochKey& key, Epoch& epoch) {
  const auto& [segment, path] = *epoch.paths.begin();
  VG_ASSIGN(AlignedBuffer block, AlignedBuffer::make(kLogBlockBytes));
  VG_ASSIGN(const std::unique_ptr<vaultgres::File> file, disk_.open(path, OpenMode::kReadOnly));
  VG_ASSIGN(const std::size_t bytes, file->read_up_to(0, block.span()));
  const BlockSeal seal(backup_.database, key.first, key.second);
  epoch.sound = seal.fault(block.span().first(bytes), segment * backup_.segment_bytes) == nullptr;
  if (!epoch.sound) return {};
  epoch.time_us = log_block_header(block.span()).time.get();
  const EpochBody* const begun = epoch_begun_by(block.span());
  if (begun == nullptr) return {};
  if (begun->number.get() != key.first || begun->previous_number.get() >= key.first) {
    return Error(ErrorCode::kCorruption, path + ": the first record of the epoch contradicts its name or itself");
  }
  epoch.begins = true;
  epoch.previous = {begun->previous_number.get(), begun->previous_salt.get()};
  epoch.previous_end = begun->previous_end.get();
  return {};
}

// --- Following

Error ArchiveChain::missing(const EpochKey& key, std::uint64_t segment) const {
  return Error(ErrorCode::kNotFound, directories_ + ": the archive lacks " +
                                         archive_name({key.first, key.second, segment}) +
                                         ", and more of the log follows it");
}

/// The epoch that continues another one. Null: none does. One that parted before `at_least` is of a timeline that the
/// backup is not on; what parts at or above `until` is not needed.
Result<const ArchiveChain::EpochKey*> ArchiveChain::next_of(const EpochKey& key, std::uint64_t at_least,
                                                            std::uint64_t until) const {
  const EpochKey* next = nullptr;
  for (const auto& [candidate, epoch] : archived_) {
    if (!epoch.begins || epoch.previous != key || epoch.previous_end < at_least || epoch.previous_end >= until)
      continue;
    if (next != nullptr) {
      return Error(ErrorCode::kInvalidArgument,
                   directories_ + ": two timelines continue epoch " + std::to_string(key.first) + ", with " +
                       archived_.at(*next).paths.begin()->second + " and with " + epoch.paths.begin()->second +
                       "; give only the files of the one to follow");
    }
    next = &candidate;
  }
  return next;
}

Status ArchiveChain::follow(std::uint64_t backup_end, std::uint64_t until) {
  EpochKey key{epochs_.back().number, epochs_.back().salt};
  // The block before the backup's end is the last one that it needs of this epoch.
  std::uint64_t from = (backup_end - 1) / backup_.segment_bytes;
  std::uint64_t at_least = block_start(backup_end - 1);
  for (;;) {
    VG_ASSIGN(const EpochKey* const next, next_of(key, at_least, until));
    const std::uint64_t end = next != nullptr ? archived_.at(*next).previous_end : kNoEnd;
    VG_TRY(take_segments(key, from, end, until));
    if (gap_ || next == nullptr) break;
    epochs_.back().end = Lsn{end};
    const std::uint64_t first = archived_.at(*next).paths.begin()->first;
    if (first * backup_.segment_bytes < end) {
      return Error(ErrorCode::kCorruption, archived_.at(*next).paths.begin()->second +
                                               ": the epoch begins before the one that it continues ends");
    }
    key = *next;
    from = first;
    at_least = first * backup_.segment_bytes;
    epochs_.push_back({key.first, key.second, Lsn{first * backup_.segment_bytes}, kNoLsn});
    begins_.push_back({epochs_.back().first, archived_.at(key).time_us});
  }
  if (!gap_) look_for_gap();
  return {};
}

/// The files of one epoch from a segment on, as far as they follow one another: up to its end, if that is known, and
/// not above what is needed.
Status ArchiveChain::take_segments(const EpochKey& key, std::uint64_t from, std::uint64_t end, std::uint64_t until) {
  const auto archived = archived_.find(key);
  static const std::map<std::uint64_t, std::string> kNone;
  const std::map<std::uint64_t, std::string>& paths = archived == archived_.end() ? kNone : archived->second.paths;
  const std::uint64_t segment_bytes = backup_.segment_bytes;
  for (std::uint64_t segment = from; segment * segment_bytes < std::min(end, until); ++segment) {
    const auto path = paths.find(segment);
    const bool last = paths.upper_bound(segment) == paths.end();
    if (path == paths.end()) {
      if (!last || end != kNoEnd) gap_ = missing(key, segment);
      return {};
    }
    VG_ASSIGN(const std::unique_ptr<vaultgres::File> file, disk_.open(path->second, OpenMode::kReadOnly));
    VG_ASSIGN(const std::uint64_t bytes, file->size());
    const std::uint64_t begin = segment * segment_bytes;
    const bool short_of_end = end != kNoEnd && bytes < std::min(block_round_up(end) - begin, segment_bytes);
    if (bytes > segment_bytes || bytes % kLogBlockBytes != 0 || short_of_end || (!last && bytes < segment_bytes)) {
      return Error(ErrorCode::kCorruption,
                   path->second + " has " + std::to_string(bytes) + " bytes, which is not what was archived");
    }
    files_.push_back({path->second, {begin, begin + bytes, segment_bytes}, epochs_.size() - 1});
  }
  return {};
}

/// Later epochs that the chain does not reach. Their first records lead back to one that is not there: if that may
/// stand between, it is missed. What leads back behind the backup is another timeline.
void ArchiveChain::look_for_gap() {
  const EpochKey last{epochs_.back().number, epochs_.back().salt};
  for (const auto& [key, epoch] : archived_) {
    if (key.first <= last.first) continue;
    if (!epoch.sound) {
      gap_ = Error(ErrorCode::kCorruption, epoch.paths.begin()->second + " is damaged, or of another database");
      return;
    }
    EpochKey at = key;
    auto found = archived_.find(at);
    while (found != archived_.end() && found->second.begins) {
      at = found->second.previous;
      const auto before = archived_.find(at);
      if (before == found) break;
      found = before;
    }
    const bool on_chain = std::any_of(epochs_.begin(), epochs_.end(), [&](const EpochSpan& span) {
      return EpochKey{span.number, span.salt} == at;
    });
    if (on_chain || at.first <= backup_.epochs.back().number) continue;
    gap_ = Error(ErrorCode::kNotFound,
                 directories_ + ": the archive lacks the beginning of epoch " + std::to_string(at.first) + ", " +
                     archive_name({at.first, at.second, 0}).substr(0, 33) + "-*.log, which leads to " +
                     epoch.paths.begin()->second + "; leave out the files of other timelines");
    return;
  }
}

}  // namespace vaultgres::internal
