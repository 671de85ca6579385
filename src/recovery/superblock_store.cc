#include "recovery/superblock_store.h"

#include <cstring>
#include <string>

#include "base/try.h"
#include "format/log.h"
#include "wal/block.h"

namespace vaultgres {

namespace {

/// Those of real logs have 16 MiB, of tests at least 64 KiB. Not more than this is believed: a segment is written whole
/// before the log uses it.
constexpr std::uint32_t kSegmentBytesMin = 4 * kLogBlockBytes;
constexpr std::uint32_t kSegmentBytesMax = 64u << 20;

/// The copy that a sequence number goes to: they alternate.
PageId page_of(std::uint64_t sequence) {
  return kSuperblockPages[sequence % 2];
}

void encode(const SuperblockState& state, MutableBytes page) {
  std::memset(page.data(), 0, page.size());
  auto& block = *reinterpret_cast<Superblock*>(page.data());
  block.header.lsn.set(raw(state.durable));
  block.header.type.set(static_cast<std::uint8_t>(PageType::kSuperblock));
  block.magic.set(kSuperblockMagic);
  block.format_version.set(kFormatVersion);
  block.page_bytes.set(kPageBytes);
  block.database = state.database;
  block.sequence.set(state.sequence);
  block.checkpoint.set(raw(state.checkpoint));
  block.redo_start.set(raw(state.redo_start));
  block.next_txn.set(raw(state.next_txn));
  block.next_object.set(raw(state.next_object));
  block.segment_bytes.set(state.segment_bytes);
  block.epoch_count.set(static_cast<std::uint32_t>(state.epochs.size()));
  for (std::size_t i = 0; i < state.epochs.size(); ++i) {
    block.epochs[i].number.set(state.epochs[i].number);
    block.epochs[i].salt.set(state.epochs[i].salt);
    block.epochs[i].first.set(raw(state.epochs[i].first));
    block.epochs[i].end.set(raw(state.epochs[i].end));
  }
  block.header.checksum.set(page_checksum(state.database, page_of(state.sequence), page));
}

bool has_good_checksum(PageId id, Bytes page) {
  const auto& block = *reinterpret_cast<const Superblock*>(page.data());
  return block.header.checksum.get() == page_checksum(block.database, id, page);
}

Error bad(const File& data, PageId id, const std::string& what) {
  return Error(ErrorCode::kCorruption, data.path() + ": superblock in page " + std::to_string(raw(id)) + ": " + what);
}

Result<SuperblockState> decode(const File& data, PageId id, Bytes page) {
  const auto& block = *reinterpret_cast<const Superblock*>(page.data());
  if (block.magic.get() != kSuperblockMagic) return bad(data, id, "this is not a Vaultgres data file");
  if (block.format_version.get() != kFormatVersion) {
    return Error(ErrorCode::kUnsupported, data.path() + " has format version " +
                                              std::to_string(block.format_version.get()) +
                                              "; this program reads version " + std::to_string(kFormatVersion));
  }
  if (block.page_bytes.get() != kPageBytes) {
    return Error(ErrorCode::kUnsupported, data.path() + " has pages of " + std::to_string(block.page_bytes.get()) +
                                              " bytes; this program reads pages of " + std::to_string(kPageBytes));
  }
  if (!has_good_checksum(id, page)) return bad(data, id, "its checksum is wrong");
  SuperblockState state;
  state.database = block.database;
  state.sequence = block.sequence.get();
  state.durable = Lsn{block.header.lsn.get()};
  state.checkpoint = Lsn{block.checkpoint.get()};
  state.redo_start = Lsn{block.redo_start.get()};
  state.next_txn = TxnId{block.next_txn.get()};
  state.next_object = ObjectId{block.next_object.get()};
  state.segment_bytes = block.segment_bytes.get();
  const std::uint32_t count = block.epoch_count.get();
  // What was promised stands behind a checkpoint: without one, the database would be made anew.
  const bool is_new = raw(state.durable) == 0 && raw(state.redo_start) == 0 && raw(state.next_txn) == 1 && count == 1;
  if (state.checkpoint == kNoLsn && !is_new)
    return bad(data, id, "it names no checkpoint, but is not of a new database");
  if (count == 0 || count > kEpochsMax) return bad(data, id, "it lists an impossible number of log epochs");
  if (state.segment_bytes < kSegmentBytesMin || state.segment_bytes > kSegmentBytesMax ||
      state.segment_bytes % kLogBlockBytes != 0) {
    return bad(data, id, "its log segment size is impossible");
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const EpochEntry& entry = block.epochs[i];
    state.epochs.push_back({entry.number.get(), entry.salt.get(), Lsn{entry.first.get()}, Lsn{entry.end.get()}});
    const auto& epoch = state.epochs.back();
    if (epoch.number > kEpochNumberMax) return bad(data, id, "the number of a log epoch is impossible");
    if (raw(epoch.first) % state.segment_bytes != 0) return bad(data, id, "a log epoch does not begin a segment");
    if (i > 0 && (epoch.number <= state.epochs[i - 1].number || epoch.first < state.epochs[i - 1].end)) {
      return bad(data, id, "its log epochs are out of order");
    }
    if ((i + 1 < count) != (raw(epoch.end) != 0)) return bad(data, id, "a log epoch that is over has no end");
  }
  return state;
}

}  // namespace

Result<SuperblockStore> SuperblockStore::load(File& data) {
  VG_ASSIGN(AlignedBuffer page, AlignedBuffer::make(2 * kPageBytes));
  SuperblockStore store(data, std::move(page));
  VG_ASSIGN(const std::size_t bytes, data.read_up_to(0, store.page_.span().first((2 * kPageBytes + kIoAlignment - 1) /
                                                                                 kIoAlignment * kIoAlignment)));
  if (bytes < 2 * kPageBytes) {
    return Error(ErrorCode::kCorruption,
                 data.path() + " is too short to be a Vaultgres data file (" + std::to_string(bytes) + " bytes)");
  }
  Result<SuperblockState> copies[2] = {
      decode(data, kSuperblockPages[0], store.page_.span().first(kPageBytes)),
      decode(data, kSuperblockPages[1], store.page_.span().subspan(kPageBytes, kPageBytes))};
  // Another format, unless it is damage of one copy of ours.
  for (std::size_t i = 0; i < 2; ++i) {
    const bool unsupported = !copies[i] && copies[i].error().code() == ErrorCode::kUnsupported;
    const Bytes copy = Bytes(store.page_.span()).subspan(i * kPageBytes, kPageBytes);
    if (unsupported && (!copies[1 - i] || has_good_checksum(kSuperblockPages[i], copy))) return copies[i].error();
  }
  if (!copies[0] && !copies[1]) return copies[0].error();
  if (copies[0] && copies[1] && copies[0]->database != copies[1]->database) {
    return Error(ErrorCode::kCorruption, data.path() + ": its two superblocks belong to different databases");
  }
  const bool second = !copies[0] || (copies[1] && copies[1]->sequence > copies[0]->sequence);
  store.state_ = *std::move(copies[second ? 1 : 0]);
  if (page_of(store.state_.sequence) != kSuperblockPages[second ? 1 : 0]) {
    return bad(data, kSuperblockPages[second ? 1 : 0], "its sequence number belongs to the other copy");
  }
  return store;
}

Result<SuperblockStore> SuperblockStore::create(File& data, const SuperblockState& first) {
  VG_ASSIGN(AlignedBuffer page, AlignedBuffer::make(2 * kPageBytes));
  SuperblockStore store(data, std::move(page));
  store.state_ = first;
  // Both copies, so that a load never meets a page of zeros where a superblock should be.
  for (int copy = 0; copy < 2; ++copy) {
    ++store.state_.sequence;
    VG_TRY(store.write_page(store.state_));
  }
  return store;
}

Status SuperblockStore::rewrite() {
  return write_page(state_);
}

Status SuperblockStore::write(SuperblockState next) {
  next.sequence = state_.sequence + 1;
  VG_TRY(write_page(next));
  state_ = std::move(next);
  return {};
}

/// Only its own page: what lies beside it in the same unit of direct I/O may be written by the buffer pool just now.
/// (Pages smaller than a unit, which only tests have, go through buffered I/O.)
Status SuperblockStore::write_page(const SuperblockState& state) {
  const MutableBytes buffer = page_.span().first(kPageBytes);
  encode(state, buffer);
  VG_TRY(data_->write(std::uint64_t{raw(page_of(state.sequence))} * kPageBytes, buffer));
  return data_->sync();
}

}  // namespace vaultgres
