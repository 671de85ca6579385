#include "db/sorter.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/little.h"
#include "base/try.h"

namespace vaultgres {
namespace {

constexpr std::size_t kBlockBytesMin = 8 * 1024;
constexpr std::size_t kBlockBytesMax = 1024 * 1024;
constexpr std::size_t kSlotsWanted = 64;
/// So many are sorted by whole keys: they are in the cache after the first comparisons.
constexpr std::size_t kFewItems = 32;

/// At the start of each block of the file. Only the process that wrote it reads it, yet a disk is a disk: the sum finds
/// damage, the offset a block that was written or read at the wrong place.
struct BlockHeader {
  LittleU32 crc;   // CRC32C of the rest of the block, unused bytes included
  LittleU32 used;  // bytes of header and records
  LittleU64 offset;
};
static_assert(sizeof(BlockHeader) == 16 && alignof(BlockHeader) == 1);

struct RunRecordHeader {
  LittleU16 key_bytes;
  LittleU16 value_bytes;
};
static_assert(sizeof(RunRecordHeader) == 4 && alignof(RunRecordHeader) == 1);
static_assert(Sorter::kEntryBytesMax <= std::numeric_limits<std::uint16_t>::max());
static_assert(sizeof(BlockHeader) + sizeof(RunRecordHeader) + Sorter::kEntryBytesMax <= kBlockBytesMin);

constexpr std::size_t round_down(std::size_t n, std::size_t unit) {
  return n / unit * unit;
}
constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
  return round_down(n + unit - 1, unit);
}

std::byte* copy_out(std::byte* to, Bytes from) noexcept {
  return std::copy(from.begin(), from.end(), to);
}

/// How many bytes both begin with.
std::size_t equal_prefix(Bytes a, Bytes b) noexcept {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// The first 8 bytes after the first `equal_bytes` as a number: keys that have those in common are ordered as their
/// heads are, unless the heads are equal.
std::uint64_t head_of(Bytes key, std::size_t equal_bytes) noexcept {
  key = key.subspan(equal_bytes);
  if (key.size() >= sizeof(std::uint64_t)) return load_big<std::uint64_t>(key.data());
  std::byte padded[sizeof(std::uint64_t)] = {};
  copy_out(padded, key);
  return load_big<std::uint64_t>(padded);
}

struct Record {
  Bytes key;
  Bytes value;
};

/// Of a record that we wrote in memory, or that load_entry() has checked.
Record record_at(const std::byte* at) noexcept {
  RunRecordHeader header;
  std::memcpy(&header, at, sizeof header);
  at += sizeof header;
  const std::size_t key_bytes = header.key_bytes.get();
  return {.key = {at, key_bytes}, .value = {at + key_bytes, header.value_bytes.get()}};
}

bool precedes(const Record& a, const Record& b, std::size_t equal_bytes) noexcept {
  const int order = as_text(a.key.subspan(equal_bytes)).compare(as_text(b.key.subspan(equal_bytes)));
  return order != 0 ? order < 0 : as_text(a.value) < as_text(b.value);
}

std::uint32_t block_crc(Bytes block) noexcept {
  return crc32c(0, block.subspan(sizeof(LittleU32)));
}

}  // namespace

struct Sorter::Item {
  std::uint64_t head;
  const std::byte* record;
};

/// Blocks of block_bytes_, the last one cut to a multiple of kIoAlignment.
struct Sorter::Run {
  std::uint64_t offset;
  std::uint64_t bytes;
};

struct Sorter::Source {
  Run unread;
  std::byte* block;
  const std::byte* at;       // the record after the current one
  const std::byte* end;      // of the records in the block
  const std::byte* current;  // null at the end of the run
  Record record;
  std::uint64_t head;  // the largest number at the end of the run
};

void Sorter::Free::operator()(std::byte* memory) const noexcept {
  ::operator delete (memory, std::align_val_t{kIoAlignment});
}

Sorter::Sorter(FileSystem& files, std::string path, std::size_t memory_bytes)
    : files_(files),
      path_(std::move(path)),
      memory_bytes_(round_down(std::max(memory_bytes, kMemoryBytesMin), kIoAlignment)),
      block_bytes_(std::clamp(round_down(memory_bytes_ / kSlotsWanted, kIoAlignment), kBlockBytesMin, kBlockBytesMax)) {
}

Sorter::~Sorter() = default;

// --- Entries in memory

Status Sorter::add(Bytes key, Bytes value) {
  VG_CHECK(!finished_, "an entry is added after the last");
  if (key.size() + value.size() > kEntryBytesMax) {
    return Error(ErrorCode::kTooLarge, "an index entry has " + std::to_string(key.size() + value.size()) +
                                           " bytes; at most " + std::to_string(kEntryBytesMax) + " can be sorted");
  }
  if (memory_ == nullptr) start(key);
  if (room() < sizeof(RunRecordHeader) + key.size() + value.size() + sizeof(Item)) VG_TRY(write_run());
  narrow_prefix(key);
  RunRecordHeader header;
  header.key_bytes.set(static_cast<std::uint16_t>(key.size()));
  header.value_bytes.set(static_cast<std::uint16_t>(value.size()));
  std::byte* const record = records_end_;
  std::memcpy(record, &header, sizeof header);
  records_end_ = copy_out(copy_out(record + sizeof header, key), value);
  // The head waits for sort_items(): what all keys begin with may become shorter.
  items_begin_ = ::new (items_begin_ - 1) Item{.head = 0, .record = record};
  ++entries_;
  return {};
}

/// Not cleared: pages that few entries do not reach are never touched.
void Sorter::start(Bytes key) {
  memory_.reset(static_cast<std::byte*>(::operator new (memory_bytes_, std::align_val_t{kIoAlignment})));
  first_key_.assign(key.begin(), key.end());
  prefix_bytes_ = key.size();
  records_end_ = slot(1);
  items_begin_ = items_end_ = reinterpret_cast<Item*>(memory_.get() + memory_bytes_);
}

void Sorter::narrow_prefix(Bytes key) {
  prefix_bytes_ = equal_prefix(Bytes(first_key_).first(prefix_bytes_), key);
}

std::size_t Sorter::room() const noexcept {
  return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(items_begin_) - records_end_);
}

std::span<Sorter::Item> Sorter::items() noexcept {
  return {items_begin_, items_end_};
}

void Sorter::sort_items() {
  sort_from(items(), prefix_bytes_);
}

/// Sorts items whose keys have the first `equal_bytes` in common: by their heads, next to each other in memory, first,
/// then those with equal heads by the bytes after. Comparing whole keys at once would fetch two far places of memory
/// for each comparison of equal heads, which keys of several columns have a lot of.
void Sorter::sort_from(std::span<Item> items, std::size_t equal_bytes) {
  for (Item& item : items) item.head = head_of(record_at(item.record).key, equal_bytes);
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.head < b.head; });
  for (std::size_t begin = 0, end; begin < items.size(); begin = end) {
    for (end = begin + 1; end < items.size() && items[end].head == items[begin].head;) ++end;
    if (end - begin > 1) sort_equal_heads(items.subspan(begin, end - begin), equal_bytes);
  }
}

void Sorter::sort_equal_heads(std::span<Item> items, std::size_t equal_bytes) {
  const std::size_t equal_now = common_bytes(items, equal_bytes + sizeof(Item::head));
  if (equal_now != 0 && items.size() > kFewItems) {
    sort_from(items, equal_now);
    return;
  }
  std::sort(items.begin(), items.end(), [equal_bytes](const Item& a, const Item& b) {
    return precedes(record_at(a.record), record_at(b.record), equal_bytes);
  });
}

/// How many first bytes all keys have in common, if each of them has more than `equal_bytes`, which are equal. 0 if
/// not.
std::size_t Sorter::common_bytes(std::span<const Item> items, std::size_t equal_bytes) noexcept {
  const Bytes first = record_at(items.front().record).key;
  std::size_t common = first.size();
  for (const Item& item : items) {
    const Bytes key = record_at(item.record).key;
    if (key.size() <= equal_bytes) return 0;
    common = equal_bytes + equal_prefix(first.first(common).subspan(equal_bytes), key.subspan(equal_bytes));
  }
  return common;
}

// --- Writing runs

Status Sorter::write_run() {
  if (file_ == nullptr) VG_TRY(open_file());
  sort_items();
  begin_run();
  for (const Item& item : items()) {
    const Record record = record_at(item.record);
    VG_TRY(append({item.record, record.value.data() + record.value.size()}));
  }
  VG_TRY(end_run());
  ++run_count_;
  records_end_ = slot(1);
  items_begin_ = items_end_;
  return {};
}

Status Sorter::open_file() {
  Result<std::unique_ptr<File>> file = files_.open(path_, OpenMode::kCreate);
  if (!file && file.error().code() == ErrorCode::kAlreadyExists) {
    // Left by an earlier build that could not remove it.
    if (Status removed = files_.remove(path_); !removed) return in_context(removed.error());
    file = files_.open(path_, OpenMode::kCreate);
  }
  if (!file) return in_context(file.error());
  // Open files outlive their names.
  if (Status removed = files_.remove(path_); !removed) return in_context(removed.error());
  file_ = *std::move(file);
  return {};
}

void Sorter::begin_run() {
  runs_.push_back({.offset = file_bytes_, .bytes = 0});
  block_used_ = sizeof(BlockHeader);
}

Status Sorter::append(Bytes record) {
  if (record.size() > block_bytes_ - block_used_) VG_TRY(write_block(block_bytes_));
  copy_out(slot(0) + block_used_, record);
  block_used_ += record.size();
  return {};
}

Status Sorter::write_block(std::size_t bytes) {
  const MutableBytes block(slot(0), bytes);
  const MutableBytes unused = block.subspan(block_used_);
  std::fill(unused.begin(), unused.end(), std::byte{0});  // what was there before is nothing for a disk
  BlockHeader header;
  header.used.set(static_cast<std::uint32_t>(block_used_));
  header.offset.set(file_bytes_);
  std::memcpy(block.data(), &header, sizeof header);
  header.crc.set(block_crc(block));
  std::memcpy(block.data(), &header, sizeof header);
  if (Status written = file_->write(file_bytes_, block); !written) return in_context(written.error());
  file_bytes_ += bytes;
  runs_.back().bytes += bytes;
  block_used_ = sizeof(BlockHeader);
  return {};
}

/// A run has an entry at least, so that its last block has one, too.
Status Sorter::end_run() {
  return write_block(round_up(block_used_, kIoAlignment));
}

// --- Merging runs

Status Sorter::finish() {
  VG_CHECK(!finished_, "finished twice");
  finished_ = true;
  if (run_count_ == 0) {
    sort_items();
    items_next_ = items_begin_;
    return {};
  }
  if (!items().empty()) VG_TRY(write_run());
  // Each merge replaces fan_in() runs by one. The first one takes fewer, so that the last one takes as many as it can:
  // the fewest bytes are written.
  while (runs_.size() > fan_in()) {
    const std::size_t excess = (runs_.size() - 1) % (fan_in() - 1);
    VG_TRY(merge_some(excess == 0 ? fan_in() : excess + 1));
  }
  return start_merge(runs_.size());
}

Result<bool> Sorter::next(Bytes& key, Bytes& value) {
  VG_CHECK(finished_, "entries are asked for before the last was added");
  Record record;
  if (run_count_ == 0) {
    if (items_next_ == items_end_) return false;
    record = record_at(items_next_++->record);
  } else {
    if (winner_is_taken_) VG_TRY(step());
    winner_is_taken_ = sources_[winner_].current != nullptr;
    if (!winner_is_taken_) return false;
    record = sources_[winner_].record;
  }
  key = record.key;
  value = record.value;
  return true;
}

/// The oldest `count` runs, which are the shortest, become one.
Status Sorter::merge_some(std::size_t count) {
  VG_TRY(start_merge(count));
  begin_run();
  while (sources_[winner_].current != nullptr) {
    VG_TRY(append({sources_[winner_].current, sources_[winner_].at}));
    VG_TRY(step());
  }
  VG_TRY(end_run());
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(count));
  ++merge_count_;
  return {};
}

Status Sorter::start_merge(std::size_t count) {
  sources_.clear();
  sources_.reserve(fan_in());
  for (std::size_t i = 0; i < count; ++i) {
    sources_.push_back({.unread = runs_[i],
                        .block = slot(i + 1),
                        .at = nullptr,
                        .end = nullptr,
                        .current = nullptr,
                        .record = {},
                        .head = 0});
    VG_TRY(load_entry(sources_.back()));
  }
  losers_.resize(fan_in());
  winner_ = play(1);
  return {};
}

/// Goes to the entry after the winner's: its source's next one plays against the losers on its way up.
Status Sorter::step() {
  VG_TRY(load_entry(sources_[winner_]));
  for (std::size_t node = (sources_.size() + winner_) / 2; node > 0; node /= 2) {
    if (less(sources_[losers_[node]], sources_[winner_])) std::swap(losers_[node], winner_);
  }
  return {};
}

/// Fills the tree of losers below a node, whose children are 2 * node and 2 * node + 1; sources are its leaves, from
/// sources_.size() on. The winner.
std::size_t Sorter::play(std::size_t node) {
  if (node >= sources_.size()) return node - sources_.size();
  const std::size_t left = play(2 * node);
  const std::size_t right = play(2 * node + 1);
  const bool right_wins = less(sources_[right], sources_[left]);
  losers_[node] = right_wins ? left : right;
  return right_wins ? right : left;
}

bool Sorter::less(const Source& a, const Source& b) const noexcept {
  if (a.head != b.head) return a.head < b.head;
  if (a.current == nullptr || b.current == nullptr) return b.current == nullptr && a.current != nullptr;
  return precedes(a.record, b.record, prefix_bytes_);
}

Status Sorter::load_entry(Source& source) {
  if (source.at == source.end) {
    if (source.unread.bytes == 0) {
      source.current = nullptr;
      source.head = std::numeric_limits<std::uint64_t>::max();
      return {};
    }
    VG_TRY(read_block(source));
  }
  const auto left = static_cast<std::size_t>(source.end - source.at);
  RunRecordHeader header;
  if (left < sizeof header) return damage(source.unread.offset, "a record is cut off in the block that ends here");
  std::memcpy(&header, source.at, sizeof header);
  const std::size_t bytes = sizeof header + header.key_bytes.get() + header.value_bytes.get();
  if (left < bytes) return damage(source.unread.offset, "a record is longer than the block that ends here");
  source.current = source.at;
  source.record = record_at(source.at);
  source.at += bytes;
  if (source.record.key.size() < prefix_bytes_) {
    return damage(source.unread.offset, "a key is too short in the block that ends here");
  }
  source.head = head_of(source.record.key, prefix_bytes_);
  return {};
}

/// The next block of the run. What it holds is what was written there.
Status Sorter::read_block(Source& source) {
  const std::uint64_t offset = source.unread.offset;
  const MutableBytes block(source.block,
                           static_cast<std::size_t>(std::min<std::uint64_t>(block_bytes_, source.unread.bytes)));
  if (Status read = file_->read(offset, block); !read) return in_context(read.error());
  BlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  if (header.crc.get() != block_crc(block)) return damage(offset, "the block's checksum is wrong");
  if (header.offset.get() != offset) return damage(offset, "another block is here");
  const std::size_t used = header.used.get();
  if (used <= sizeof header || used > block.size()) return damage(offset, "the block's length is wrong");
  source.unread = {.offset = offset + block.size(), .bytes = source.unread.bytes - block.size()};
  source.at = block.data() + sizeof header;
  source.end = block.data() + used;
  return {};
}

Error Sorter::damage(std::uint64_t offset, const char* reason) const {
  return in_context(
      Error(ErrorCode::kCorruption, path_ + ": damaged at offset " + std::to_string(offset) + ": " + reason));
}

Error Sorter::in_context(const Error& error) const {
  return error.with_context("the temporary file of the index build, " + std::to_string(file_bytes_) + " bytes long");
}

}  // namespace vaultgres
