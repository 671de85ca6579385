#include "db/salvage_files.h"

#include <algorithm>

#include "base/try.h"
#include "db/salvage_seed.h"
#include "db/salvage_superblock.h"
#include "db/verify_page.h"
#include "format/doublewrite.h"
#include "format/superblock.h"

namespace vaultgres::internal {

namespace {

constexpr std::uint32_t kPagesReadAtOnce = static_cast<std::uint32_t>((std::size_t{1} << 20) / kPageBytes);

std::uint64_t offset_of(PageId id) {
  return std::uint64_t{raw(id)} * kPageBytes;
}

void set_why(std::string* why, std::string text) {
  if (why != nullptr) *why = std::move(text);
}

/// Errors that say nothing about damage: another way would not help, or would lose what need not be lost.
bool ends_salvage(const Error& error) {
  return error.code() == ErrorCode::kLocked || error.code() == ErrorCode::kNotFound ||
         error.code() == ErrorCode::kOutOfMemory;
}

}  // namespace

Result<std::unique_ptr<DamagedFiles>> DamagedFiles::open(FileSystem& files, const std::string& directory,
                                                         const SalvageOptions& options, SalvageReport& report) {
  std::unique_ptr<DamagedFiles> opened(new DamagedFiles(files, directory, options, report));
  VG_TRY(opened->start());
  return opened;
}

Status DamagedFiles::start() {
  VG_TRY(open_view());
  VG_TRY(find_seed());
  log_counts_ = superblock_good_[0] || superblock_good_[1];
  VG_TRY(heal(&report_.healed));
  if (!log_counts_) {
    report_.log = SalvageLog::kNotApplied;
    report_.log_problem = "neither of the two superblocks can be read, and only they say where the log begins";
    return {};
  }
  VG_TRY(mend_superblocks());
  const Result<RecoveredPages> recovered = recover(true);
  if (recovered) {
    report_recovery(*recovered, nullptr);
    return {};
  }
  VG_TRY(start_again(recovered.error()));
  VG_TRY(mend_superblocks());
  const Result<RecoveredPages> redone = recover(false);
  if (redone) {
    report_recovery(*redone, &recovered.error());
    return {};
  }
  log_counts_ = false;
  VG_TRY(start_again(redone.error()));
  report_.log = SalvageLog::kNotApplied;
  report_.log_problem = redone.error().message();
  return {};
}

/// `not_undone`: why open transactions are not rolled back.
void DamagedFiles::report_recovery(const RecoveredPages& recovered, const Error* not_undone) {
  if (recovered.lost_log_from) {
    report_.log = SalvageLog::kEndLost;
    report_.log_problem = "log is lost from position " + std::to_string(raw(*recovered.lost_log_from)) +
                          " on: the doublewrite file says that there was more";
  }
  if (not_undone == nullptr || recovered.open_transactions == 0) return;
  if (recovered.lost_log_from) {
    report_.log_problem += "; ";
  } else {
    report_.log = SalvageLog::kNotRolledBack;
  }
  report_.log_problem += std::to_string(recovered.open_transactions) +
                         " transactions were open and could not be rolled back: " + std::string(not_undone->message());
}

/// On a view without the traces of the last attempt.
Status DamagedFiles::start_again(const Error& why) {
  if (ends_salvage(why)) return why;
  if (view_->was_full()) {
    return Error(ErrorCode::kOutOfMemory, "what the log of " + directory_ + " changes takes more memory than the " +
                                              std::to_string(options_.cache_bytes) +
                                              " bytes allowed; give salvage a larger cache");
  }
  VG_TRY(open_view());
  return heal(nullptr);
}

Status DamagedFiles::open_view() {
  const std::string path = directory_ + "/data.vg";
  data_.reset();
  view_ = std::make_unique<ReadOnlyView>(files_, options_.cache_bytes);
  VG_ASSIGN(const bool there, view_->exists(path));
  if (!there) return Error(ErrorCode::kNotFound, "there is no database in " + directory_ + ": no file " + path);
  VG_ASSIGN(data_, view_->open(path, OpenMode::kReadWrite));
  VG_TRY(data_->lock(LockMode::kShared));
  VG_ASSIGN(const std::uint64_t bytes, data_->size());
  page_count_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes / kPageBytes, raw(kNoPage)));
  return {};
}

/// With one copy, recovery goes on. What the damaged one says, of another format version for example, must not stop it.
Status DamagedFiles::mend_superblocks() {
  VG_ASSIGN(AlignedBuffer zeros, AlignedBuffer::make(kPageBytes));
  if (superblock_good_[0] && superblock_good_[1]) return {};
  const PageId bad = kSuperblockPages[superblock_good_[0] ? 1 : 0];
  VG_TRY(data_->write(offset_of(bad), zeros.span().first(kPageBytes)));
  return restore_superblock(*view_, directory_ + "/log", *data_);
}

Result<RecoveredPages> DamagedFiles::recover(bool undo) {
  Options options;
  options.cache_bytes = options_.cache_bytes;
  options.on_log = [this](std::string_view line) { report_.notes.emplace_back(line); };
  Result<RecoveredPages> recovered = Core::recover_on(*view_, directory_, std::move(options), undo);
  if (!recovered) return recovered;
  VG_ASSIGN(const std::uint64_t bytes, data_->size());
  page_count_ = static_cast<std::uint32_t>(bytes / kPageBytes);
  return recovered;
}

// --- Whose pages these are

Status DamagedFiles::find_seed() {
  for (unsigned copy = 0; copy < 2; ++copy) VG_TRY(read_superblock(copy));
  if (superblock_good_[0] || superblock_good_[1]) return {};
  return vote_for_seed();
}

/// A good one tells the seed.
Status DamagedFiles::read_superblock(unsigned copy) {
  const PageId id = kSuperblockPages[copy];
  if (raw(id) >= page_count_) return {};
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPageBytes));
  const MutableBytes page = buffer.span().first(kPageBytes);
  if (!data_->read(offset_of(id), page)) return {};
  const auto& block = *reinterpret_cast<const Superblock*>(page.data());
  const std::uint32_t seed = page_checksum_seed(block.database);
  if (block.magic.get() != kSuperblockMagic ||
      page_header(Bytes(page)).checksum.get() != page_checksum(seed, id, page)) {
    return {};
  }
  if (block.format_version.get() != kFormatVersion || block.page_bytes.get() != kPageBytes) {
    return Error(ErrorCode::kUnsupported, data_->path() + " is of format version " +
                                              std::to_string(block.format_version.get()) + ", with pages of " +
                                              std::to_string(block.page_bytes.get()) +
                                              " bytes; this program reads version " + std::to_string(kFormatVersion) +
                                              " with pages of " + std::to_string(kPageBytes));
  }
  superblock_good_[copy] = true;
  seed_ = seed;
  return {};
}

Status DamagedFiles::vote_for_seed() {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPageBytes));
  const MutableBytes page = buffer.span().first(kPageBytes);
  SeedFinder finder;
  for (std::uint32_t i = raw(kFirstBitmapPage); i < page_count_ && !finder.sure(); ++i) {
    if (data_->read(offset_of(PageId{i}), page)) finder.add(PageId{i}, page);
  }
  if (const auto seed = finder.found()) {
    seed_ = *seed;
    return {};
  }
  return Error(ErrorCode::kCorruption, data_->path() +
                                           ": neither of its superblocks can be read, and no two of its pages agree on "
                                           "whose they are; this is no Vaultgres data file, or nothing of it is left");
}

// --- Healing

/// The doublewrite file has copies of the last batch of pages that was written: of each the newest that there was.
Status DamagedFiles::heal(std::vector<std::uint32_t>* healed) {
  const std::string path = directory_ + "/doublewrite.vg";
  const Result<std::unique_ptr<File>> file = view_->open(path, OpenMode::kReadOnly);
  if (!file) return {};  // nothing to heal with
  VG_ASSIGN(AlignedBuffer area, AlignedBuffer::make(kDoublewriteHeaderBytes + kDoublewritePagesMax * kPageBytes));
  const Result<std::size_t> bytes = (*file)->read_up_to(0, area.span());
  if (!bytes) return {};
  const DoublewriteHeader* const header = doublewrite_header(seed_, area.span().first(*bytes));
  if (header == nullptr) return {};
  for (std::uint32_t i = 0; i < header->count.get(); ++i) {
    const PageId id{header->pages[i].get()};
    const std::size_t at = kDoublewriteHeaderBytes + i * kPageBytes;
    if (at + kPageBytes > *bytes || raw(id) >= page_count_) continue;
    VG_ASSIGN(const bool done, heal_page(id, area.span().subspan(at, kPageBytes)));
    if (done && healed != nullptr) healed->push_back(raw(id));
  }
  return {};
}

Result<bool> DamagedFiles::heal_page(PageId id, Bytes copy) {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPageBytes));
  const MutableBytes page = buffer.span().first(kPageBytes);
  const bool there = data_->read(offset_of(id), page).has_value();
  if (there && page_header(Bytes(page)).checksum.get() == page_checksum(seed_, id, page)) return false;
  // A page that was never written in place is made by redo; the copy may be newer than what is left of the log.
  if (there && log_counts_ && page_is_zero(page)) return false;
  if (page_header(copy).checksum.get() != page_checksum(seed_, id, copy)) return false;
  VG_TRY(data_->write(offset_of(id), copy));
  return true;
}

// --- Reading

PageReading DamagedFiles::judge(PageId id, Bytes page, std::string* why) const {
  if (page_header(page).checksum.get() != page_checksum(seed_, id, page)) {
    const bool absent = page_is_zero(page);
    set_why(why, absent ? "is all zeros" : "has a wrong checksum");
    return absent ? PageReading::kAbsent : PageReading::kDamaged;
  }
  if (const Status sound = verify_page(id, page); !sound) {
    set_why(why, "has the right checksum, but " + std::string(sound.error().message()));
    return PageReading::kDamaged;
  }
  return PageReading::kGood;
}

PageReading DamagedFiles::read(PageId id, MutableBytes page, std::string* why) const {
  if (raw(id) >= page_count_) {
    set_why(why, "lies beyond the end of the data file");
    return PageReading::kDamaged;
  }
  if (const Status read = data_->read(offset_of(id), page); !read) {
    set_why(why, "cannot be read: " + std::string(read.error().message()));
    return PageReading::kDamaged;
  }
  return judge(id, page, why);
}

Status DamagedFiles::read_all(
    FunctionRef<Status(PageId id, PageReading reading, Bytes page, const std::string& why)> visit) const {
  VG_ASSIGN(AlignedBuffer buffer, AlignedBuffer::make(kPagesReadAtOnce * kPageBytes));
  std::string why;
  for (std::uint32_t first = 0; first < page_count_; first += kPagesReadAtOnce) {
    const std::uint32_t count = std::min(kPagesReadAtOnce, page_count_ - first);
    const bool whole = data_->read(offset_of(PageId{first}), buffer.span().first(count * kPageBytes)).has_value();
    for (std::uint32_t i = 0; i < count; ++i) {
      const PageId id{first + i};
      if (raw(id) < raw(kFirstBitmapPage)) continue;
      // What cannot be read at once may be readable but for one page.
      const MutableBytes page = buffer.span().subspan(whole ? i * kPageBytes : 0, kPageBytes);
      why.clear();
      const PageReading reading = whole ? judge(id, page, &why) : read(id, page, &why);
      VG_TRY(visit(id, reading, page, why));
    }
  }
  return {};
}

}  // namespace vaultgres::internal
