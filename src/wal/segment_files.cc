#include "wal/segment_files.h"

#include <algorithm>

#include "base/check.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "wal/block.h"

namespace vaultgres {
namespace {

constexpr std::size_t kFreeMax = 3;
constexpr std::size_t kZerosBytes = std::size_t{256} << 10;

}  // namespace

std::string SegmentFiles::path(std::uint64_t number) const {
  return directory_ + "/" + segment_name(number);
}

Status SegmentFiles::poisoning(Status status) {
  if (!status && status.error().code() != ErrorCode::kNoSpace) poison_.set(status.error());
  return status;
}

Status SegmentFiles::open(std::uint64_t first, std::uint64_t keep_from, std::uint64_t keep_to) {
  VG_ASSIGN(const std::vector<std::string> names, files_.list(directory_));
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    if (!parse_segment_name(name, &number)) continue;
    // A file from before may be half made: it is never reused, so it goes when it is not needed. On a full disk the
    // new segment takes the room of one.
    const bool needed =
        number >= keep_from / segment_bytes_ && number < (keep_to + segment_bytes_ - 1) / segment_bytes_;
    if (needed) {
      segments_.emplace(number, nullptr);
    } else {
      VG_TRY(files_.remove(path(number)));
    }
  }
  first_ = first / segment_bytes_;
  prepared_end_.store(first, std::memory_order_seq_cst);
  free_.reserve(kFreeMax + 1);
  return prepare_up_to(first + segment_bytes_);
}

Status SegmentFiles::prepare_up_to(std::uint64_t position) {
  const auto enough = [&] { return prepared_end() >= position; };
  return prepare(enough, enough);
}

Status SegmentFiles::prepare(FunctionRef<bool()> enough, FunctionRef<bool()> enough_without) {
  const std::lock_guard lock(prepare_mutex_);
  const std::uint64_t before = prepared_end();
  const std::size_t waiting = free_.size();
  while (!enough()) {
    VG_TRY(poison_.check());
    Status prepared = prepare_next();
    if (prepared) continue;
    while (prepared_end() > before && give_back_last(enough_without, waiting)) {
    }
    return prepared;
  }
  return {};
}

Status SegmentFiles::prepare_spare() {
  if (has_spare_.load(std::memory_order_relaxed)) return {};
  const std::lock_guard lock(prepare_mutex_);
  const auto made = [&] {
    const std::lock_guard map_lock(map_mutex_);
    return free_.size() + static_cast<std::size_t>(std::distance(segments_.lower_bound(first_), segments_.end()));
  };
  if (made() < 2) VG_TRY(prepare_next());
  has_spare_.store(true, std::memory_order_relaxed);
  return {};
}

Status SegmentFiles::prepare_next() {
  const std::uint64_t number = prepared_end() / segment_bytes_;
  VG_ASSIGN(FilePointer file, free_.empty() ? create(number) : reuse(number));
  // Crash before this: no block is written under the name. After: the name is durable.
  if (Status synced = files_.sync_directory(directory_); !synced) {
    poison_.set(synced.error());
    return synced;
  }
  {
    const std::lock_guard lock(map_mutex_);
    segments_.emplace(number, std::move(file));
  }
  prepared_end_.store((number + 1) * segment_bytes_, std::memory_order_seq_cst);
  return {};
}

/// Its bytes were written and synced in its former life; its old blocks fail the check at their new position.
Result<SegmentFiles::FilePointer> SegmentFiles::reuse(std::uint64_t number) {
  // One that was given back has the name already: another that took it would replace that file.
  auto file = std::find(free_.begin(), free_.end(), number);
  if (file == free_.end()) {
    file = std::prev(free_.end());
    VG_TRY(poisoning(files_.rename(path(*file), path(number))));
    *file = number;
  }
  VG_ASSIGN(std::unique_ptr<File> opened, files_.open(path(number), OpenMode::kReadWrite));
  free_.erase(file);
  return FilePointer(std::move(opened));
}

Result<SegmentFiles::FilePointer> SegmentFiles::create(std::uint64_t number) {
  VG_ASSIGN(const AlignedBuffer zeros, AlignedBuffer::make(std::min(kZerosBytes, segment_bytes_)));
  auto created = files_.open(path(number), OpenMode::kCreate);
  if (!created && created.error().code() == ErrorCode::kAlreadyExists) {
    VG_TRY(files_.remove(path(number)));  // left by an attempt that failed; no block of this log is in it
    created = files_.open(path(number), OpenMode::kCreate);
  }
  if (!created) return created.error();
  FilePointer file = *std::move(created);
  if (Status filled = poisoning(fill(*file, zeros.span())); !filled) {
    file.reset();
    static_cast<void>(files_.remove(path(number)));  // the first error is the one to tell; see above for what stays
    return filled.error();
  }
  if (Status synced = file->sync(); !synced) {
    poison_.set(synced.error());
    return synced.error();
  }
  return file;
}

/// Written, not only allocated: a write into blocks that were never written changes the file's metadata, and every sync
/// of the log would have to write those, too.
Status SegmentFiles::fill(File& file, Bytes zeros) {
  VG_TRY(file.allocate(0, segment_bytes_));
  for (std::size_t offset = 0; offset < segment_bytes_; offset += zeros.size()) {
    VG_TRY(file.write(offset, zeros.first(std::min(zeros.size(), segment_bytes_ - offset))));
  }
  return {};
}

/// False, and nothing changed: somebody came to rely on it. As many files as were `waiting` for reuse wait again.
bool SegmentFiles::give_back_last(FunctionRef<bool()> enough_without, std::size_t waiting) {
  const std::uint64_t end = prepared_end();
  const std::uint64_t number = end / segment_bytes_ - 1;
  // Down first, then the question; a reservation is made first and looks at prepared_end() then. One of the two sees
  // the other.
  prepared_end_.store(number * segment_bytes_, std::memory_order_seq_cst);
  if (!enough_without()) {
    prepared_end_.store(end, std::memory_order_seq_cst);
    return false;
  }
  {
    const std::lock_guard lock(map_mutex_);
    segments_.erase(number);
  }
  if (free_.size() == waiting) return files_.remove(path(number)).has_value();
  free_.push_back(number);
  return true;
}

SegmentFiles::FilePointer SegmentFiles::find(std::uint64_t number) {
  const std::lock_guard lock(map_mutex_);
  const auto found = segments_.find(number);
  return found == segments_.end() ? nullptr : found->second;
}

Status SegmentFiles::write(std::uint64_t position, Bytes bytes) {
  while (!bytes.empty()) {
    const FilePointer file = find(position / segment_bytes_);
    VG_CHECK(file != nullptr, "a log block is written into a segment that is not prepared");
    const std::size_t offset = position % segment_bytes_;
    const std::size_t part = std::min(bytes.size(), segment_bytes_ - offset);
    VG_TRY(file->write(offset, bytes.first(part)));
    bytes = bytes.subspan(part);
    position += part;
  }
  return {};
}

Status SegmentFiles::sync(std::uint64_t from, std::uint64_t to) {
  if (VG_SEEDED_BUG(kSkipLogSync)) return {};
  for (std::uint64_t number = from / segment_bytes_; number * segment_bytes_ < to; ++number) {
    const FilePointer file = find(number);
    VG_CHECK(file != nullptr, "a segment is synced that is not prepared");
    VG_TRY(file->sync());
  }
  return {};
}

Status SegmentFiles::read(std::uint64_t position, MutableBytes block) {
  const std::uint64_t number = position / segment_bytes_;
  FilePointer file = find(number);
  if (file == nullptr) {
    VG_ASSIGN(std::unique_ptr<File> opened, files_.open(path(number), OpenMode::kReadOnly));
    file = std::move(opened);
  }
  return file->read(position % segment_bytes_, block);
}

void SegmentFiles::finish(std::uint64_t position) noexcept {
  const std::lock_guard lock(map_mutex_);
  for (auto at = segments_.lower_bound(position / segment_bytes_); at != segments_.begin();) {
    --at;
    if (at->second == nullptr) return;
    at->second.reset();
  }
}

Status SegmentFiles::recycle(std::uint64_t below) {
  const std::lock_guard lock(prepare_mutex_);
  Status result;
  while (result) {
    std::uint64_t number = 0;
    {
      const std::lock_guard map_lock(map_mutex_);
      const auto lowest = segments_.begin();
      if (lowest == segments_.end() || (lowest->first + 1) * segment_bytes_ > below) break;
      number = lowest->first;
      segments_.erase(lowest);
    }
    if (number >= first_ && free_.size() < kFreeMax) {
      free_.push_back(number);
    } else {
      result = files_.remove(path(number));
    }
  }
  return result;
}

bool SegmentFiles::can_recycle(std::uint64_t below) {
  const std::lock_guard lock(map_mutex_);
  return !segments_.empty() && (segments_.begin()->first + 1) * segment_bytes_ <= below;
}

}  // namespace vaultgres
