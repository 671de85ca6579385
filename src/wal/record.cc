#include "wal/record.h"

#include <cstring>
#include <string>

#include "base/check.h"

namespace vaultgres {
namespace {

/// A T at the front of `rest`, which is shortened; null when it is too short.
template <class T>
const T* take(Bytes* rest) noexcept {
  static_assert(alignof(T) == 1);
  if (rest->size() < sizeof(T)) return nullptr;
  const T* taken = reinterpret_cast<const T*>(rest->data());
  *rest = rest->subspan(sizeof(T));
  return taken;
}

bool take_bytes(Bytes* rest, std::size_t count, Bytes* taken) noexcept {
  if (rest->size() < count) return false;
  *taken = rest->first(count);
  *rest = rest->subspan(count);
  return true;
}

enum class Owner : std::uint8_t { kNone, kMaybe, kOne };
struct KindRules {
  bool pages;
  bool undo;
  Owner txn;  // the transaction that it belongs to
};

std::optional<KindRules> rules_of(RecordKind kind) noexcept {
  switch (kind) {
    case RecordKind::kEpoch:
      return KindRules{.pages = false, .undo = false, .txn = Owner::kNone};
    case RecordKind::kSystem:
      return KindRules{.pages = true, .undo = false, .txn = Owner::kMaybe};
    case RecordKind::kUpdate:
      return KindRules{.pages = true, .undo = true, .txn = Owner::kOne};
    case RecordKind::kCompensation:
      return KindRules{.pages = true, .undo = false, .txn = Owner::kOne};
    case RecordKind::kCommit:
      return KindRules{.pages = false, .undo = false, .txn = Owner::kOne};
    case RecordKind::kRollbackEnd:
      return KindRules{.pages = false, .undo = false, .txn = Owner::kOne};
    case RecordKind::kCheckpoint:
      return KindRules{.pages = false, .undo = false, .txn = Owner::kNone};
    case RecordKind::kSingle:
      return KindRules{.pages = true, .undo = false, .txn = Owner::kMaybe};
  }
  return std::nullopt;
}

}  // namespace

Result<RecordView> RecordView::parse(Bytes record) {
  const char* fault = "its length is not what its header says";
  RecordView view(record);
  if (record.size() >= sizeof(RecordHeader) && record.size() == view.header().length.get()) fault = view.parse_parts();
  if (fault == nullptr) return view;
  return Error(ErrorCode::kCorruption, std::string("log record: ") + fault);
}

const char* RecordView::parse_parts() noexcept {
  const std::optional<KindRules> rules = rules_of(kind());
  if (!rules) return "its kind is unknown";
  if (page_count() != 0 && !rules->pages) return "its kind changes no pages, but it does";
  if (header().undo.get() > (rules->undo ? 1 : 0)) return "it has an undo part that its kind cannot have";
  if (rules->txn == Owner::kNone && (txn() != kNoTxn || prev() != kNoLsn)) {
    return "its kind belongs to no transaction, but it does";
  }
  if (rules->txn == Owner::kOne && txn() == kNoTxn) return "its kind belongs to a transaction, but it does not";

  Bytes rest = record_.subspan(sizeof(RecordHeader));
  if (kind() == RecordKind::kCompensation) {
    const auto* compensation = take<CompensationHeader>(&rest);
    if (compensation == nullptr) return "it ends inside its compensation header";
    undo_next_ = Lsn{compensation->undo_next.get()};
  }
  pages_ = rest.data();
  for (std::size_t i = 0; i < page_count(); ++i) {
    const auto* part = take<PagePart>(&rest);
    Bytes payload;
    if (part == nullptr || !take_bytes(&rest, part->bytes.get(), &payload)) return "it ends inside a page part";
    if (part->reserved.get() != 0) return "reserved bytes of a page part are not zero";
  }
  if (header().undo.get() == 1) {
    if (const char* fault = parse_undo(&rest)) return fault;
  }
  return parse_body(rest);
}

const char* RecordView::parse_undo(Bytes* rest) noexcept {
  const auto* part = take<UndoPart>(rest);
  RecordUndo undo{};
  if (part == nullptr || !take_bytes(rest, part->key_bytes.get(), &undo.key) ||
      !take_bytes(rest, part->value_bytes.get(), &undo.value)) {
    return "it ends inside its undo part";
  }
  undo.object = ObjectId{part->object.get()};
  undo.op = static_cast<UndoOp>(part->op.get());
  if (undo.op < UndoOp::kEraseInserted || undo.op > UndoOp::kRestoreRow) return "its undo operation is unknown";
  if (part->reserved.get() != 0) return "reserved bytes of its undo part are not zero";
  undo_ = undo;
  return nullptr;
}

const char* RecordView::parse_body(Bytes rest) noexcept {
  body_ = rest;
  switch (kind()) {
    case RecordKind::kEpoch:
      return rest.size() == sizeof(EpochBody) ? nullptr : "its body is no epoch";
    case RecordKind::kCheckpoint:
      if (take<CheckpointBody>(&rest) == nullptr) return "it ends inside its checkpoint";
      if (rest.size() != std::size_t{checkpoint().open_count.get()} * sizeof(CheckpointTxn)) {
        return "its transactions do not fill it";
      }
      return nullptr;
    default:
      return rest.empty() ? nullptr : "bytes are left over behind its last part";
  }
}

RecordPage RecordView::PageIterator::operator*() const noexcept {
  const auto& part = *reinterpret_cast<const PagePart*>(at_);
  return {.page = PageId{part.page.get()},
          .op = static_cast<PageOp>(part.op.get()),
          .payload = {at_ + sizeof(PagePart), part.bytes.get()}};
}

RecordView::PageIterator& RecordView::PageIterator::operator++() noexcept {
  at_ += sizeof(PagePart) + reinterpret_cast<const PagePart*>(at_)->bytes.get();
  --left_;
  return *this;
}

// --- building ---

namespace {

std::vector<std::byte> make_record(RecordKind kind, TxnId txn, Lsn prev, std::size_t body_bytes) {
  std::vector<std::byte> record(sizeof(RecordHeader) + body_bytes);
  auto& header = *reinterpret_cast<RecordHeader*>(record.data());
  header.length.set(static_cast<std::uint32_t>(record.size()));
  header.kind.set(static_cast<std::uint8_t>(kind));
  header.txn.set(raw(txn));
  header.prev.set(raw(prev));
  return record;
}

}  // namespace

std::vector<std::byte> RecordBuilder::commit(TxnId txn, Lsn prev) {
  return make_record(RecordKind::kCommit, txn, prev, 0);
}

std::vector<std::byte> RecordBuilder::rollback_end(TxnId txn, Lsn prev) {
  return make_record(RecordKind::kRollbackEnd, txn, prev, 0);
}

std::vector<std::byte> RecordBuilder::epoch(std::uint64_t number, std::uint64_t previous_number, Lsn previous_end,
                                            std::uint64_t previous_salt) {
  std::vector<std::byte> record = make_record(RecordKind::kEpoch, kNoTxn, kNoLsn, sizeof(EpochBody));
  auto& body = *reinterpret_cast<EpochBody*>(record.data() + sizeof(RecordHeader));
  body.number.set(number);
  body.previous_number.set(previous_number);
  body.previous_end.set(raw(previous_end));
  body.previous_salt.set(previous_salt);
  return record;
}

std::vector<std::byte> RecordBuilder::checkpoint(Lsn redo_start, std::uint64_t next_txn, std::uint32_t next_object,
                                                 std::span<const CheckpointTxn> open) {
  VG_CHECK(open.size() <= kCheckpointTxnsMax, "too many open transactions for one checkpoint record");
  std::vector<std::byte> record =
      make_record(RecordKind::kCheckpoint, kNoTxn, kNoLsn, sizeof(CheckpointBody) + open.size_bytes());
  auto& body = *reinterpret_cast<CheckpointBody*>(record.data() + sizeof(RecordHeader));
  body.redo_start.set(raw(redo_start));
  body.next_txn.set(next_txn);
  body.next_object.set(next_object);
  body.open_count.set(static_cast<std::uint32_t>(open.size()));
  if (!open.empty()) std::memcpy(&body + 1, open.data(), open.size_bytes());
  return record;
}

}  // namespace vaultgres
