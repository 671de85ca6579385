#include "db/salvage_superblock.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "base/try.h"
#include "recovery/superblock_store.h"
#include "wal/log_reader.h"
#include "wal/record.h"
#include "wal/segment_files.h"

namespace vaultgres::internal {

namespace {

/// The segments that are there.
class Segments {
 public:
  Segments(const std::vector<std::string>& names, std::uint32_t segment_bytes) : bytes_(segment_bytes) {
    for (const std::string& name : names) {
      std::uint64_t number = 0;
      if (parse_segment_name(name, &number) && number < kLogPositionMax / bytes_) numbers_.insert(number);
    }
  }
  bool empty() const { return numbers_.empty(); }
  /// Where those begin that follow each other without a gap up to the last one.
  Lsn contiguous_from() const {
    std::uint64_t first = *numbers_.rbegin();
    while (first > 0 && numbers_.contains(first - 1)) --first;
    return Lsn{first * bytes_};
  }
  bool have(Lsn from, Lsn to) const {
    for (std::uint64_t number = raw(from) / bytes_; number * bytes_ < raw(to); ++number) {
      if (!numbers_.contains(number)) return false;
    }
    return true;
  }

 private:
  const std::uint64_t bytes_;
  std::set<std::uint64_t> numbers_;
};

/// What the record says, as a superblock. None: it needs log that is not there.
std::optional<SuperblockState> state_of(const RecordView& record, Lsn address, const Segments& segments,
                                        const SuperblockState& older) {
  const CheckpointBody& body = record.checkpoint();
  Lsn needed{body.redo_start.get()};
  for (const CheckpointTxn& open : record.open_txns()) needed = std::min(needed, Lsn{open.first.get()});
  SuperblockState state = older;
  std::erase_if(state.epochs, [&](const auto& epoch) { return epoch.end != kNoLsn && epoch.end <= needed; });
  if (needed < state.epochs.front().first) return std::nullopt;
  for (const SuperblockState::Epoch& epoch : state.epochs) {
    const Lsn end = epoch.end == kNoLsn ? address : epoch.end;
    if (!segments.have(std::max(needed, epoch.first), end)) return std::nullopt;
  }
  state.checkpoint = address;
  state.redo_start = Lsn{body.redo_start.get()};
  state.next_txn = TxnId{std::max(raw(older.next_txn), body.next_txn.get())};
  state.next_object = ObjectId{std::max(raw(older.next_object), body.next_object.get())};
  return state;
}

}  // namespace

Status restore_superblock(FileSystem& files, const std::string& log_directory, File& data) {
  Result<SuperblockStore> store = SuperblockStore::load(data);
  const Result<std::vector<std::string>> names = files.list(log_directory);
  if (!store || !names) return {};
  const SuperblockState older = store->current();
  const SuperblockState::Epoch& epoch = older.epochs.back();
  const Segments segments(*names, older.segment_bytes);
  if (segments.empty() || older.checkpoint == kNoLsn) return {};
  const Lsn from = std::max(segments.contiguous_from(), epoch.first);
  Result<LogReader> reader = LogReader::open(files, log_directory, older.database, older.segment_bytes,
                                             {{epoch.number, epoch.salt, epoch.first, epoch.end}}, from, older.durable);
  if (!reader) return {};
  std::optional<SuperblockState> newest;
  for (;;) {
    const Result<std::optional<LogRecord>> record = reader->next();
    if (!record) return {};
    if (!*record) break;
    const RecordView& view = (*record)->view;
    if (view.kind() != RecordKind::kCheckpoint || (*record)->address <= older.checkpoint) continue;
    if (auto state = state_of(view, (*record)->address, segments, older)) newest = std::move(state);
  }
  if (!newest) return {};
  newest->durable = std::max(older.durable, reader->durable_seen());
  return store->write(*std::move(newest));
}

}  // namespace vaultgres::internal
