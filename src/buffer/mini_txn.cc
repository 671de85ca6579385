#include "buffer/mini_txn.h"

#include <algorithm>

#include "base/check.h"
#include "buffer/change_observer.h"
#include "buffer/pool_impl.h"

namespace vaultgres {

namespace {

template <class T>
void append_struct(std::vector<std::byte>& to, const T& what) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&what);
  to.insert(to.end(), bytes, bytes + sizeof what);
}

RecordHeader& header_of(std::vector<std::byte>& record) noexcept {
  return *reinterpret_cast<RecordHeader*>(record.data());
}

/// A thread builds record after record in the same memory.
std::vector<std::byte>& spare_record() noexcept {
  thread_local std::vector<std::byte> spare;
  return spare;
}

constexpr std::size_t kSpareBytesMax = 256 * 1024;

}  // namespace

MiniTxn::MiniTxn(BufferPool& pool, Log& log, RecordKind kind, TxnId txn, Lsn prev)
    : pool_(pool), log_(log), record_(std::move(spare_record())) {
  record_.clear();
  RecordHeader header{};
  header.kind.set(raw(kind));
  header.txn.set(raw(txn));
  header.prev.set(raw(prev));
  append_struct(record_, header);
}

MiniTxn::~MiniTxn() {
  if (record_.capacity() <= kSpareBytesMax) spare_record() = std::move(record_);
}

void MiniTxn::set_undo_next(Lsn address) {
  VG_CHECK(record_.size() == sizeof(RecordHeader), "undo_next comes before the changes");
  CompensationHeader header{};
  header.undo_next.set(raw(address));
  append_struct(record_, header);
}

void MiniTxn::add(ExclusiveGuard& guard, PageOp op, Bytes payload) {
  VG_CHECK(payload.size() <= UINT16_MAX, "the payload of a page operation is too long");
  VG_CHECK(changes_.size() < UINT8_MAX, "too many changes in one record");
  PagePart part{};
  part.page.set(raw(guard.id()));
  part.bytes.set(static_cast<std::uint16_t>(payload.size()));
  part.op.set(raw(op));
  append_struct(record_, part);
  changes_.push_back(
      {&guard, op, static_cast<std::uint32_t>(record_.size()), static_cast<std::uint16_t>(payload.size())});
  record_.insert(record_.end(), payload.begin(), payload.end());
}

void MiniTxn::set_undo(UndoOp op, ObjectId object, Bytes key, Bytes value) {
  VG_CHECK(undo_.empty(), "a record has one undo part");
  UndoPart part{};
  part.object.set(raw(object));
  part.op.set(raw(op));
  part.key_bytes.set(static_cast<std::uint16_t>(key.size()));
  part.value_bytes.set(static_cast<std::uint32_t>(value.size()));
  append_struct(undo_, part);
  undo_.insert(undo_.end(), key.begin(), key.end());
  undo_.insert(undo_.end(), value.begin(), value.end());
}

ExclusiveGuard& MiniTxn::own(ExclusiveGuard&& guard) {
  return owned_.emplace_back(std::move(guard));
}

Log::Appended MiniTxn::commit() {
  return commit([](const Log::Appended&) {});
}

Log::Appended MiniTxn::commit(FunctionRef<void(const Log::Appended&)> on_reserved) {
  record_.insert(record_.end(), undo_.begin(), undo_.end());
  RecordHeader& header = header_of(record_);
  header.length.set(static_cast<std::uint32_t>(record_.size()));
  header.parts.set(static_cast<std::uint8_t>(changes_.size()));
  header.undo.set(undo_.empty() ? 0 : 1);

  assert_latch_order();
  BufferPool::Impl& pool = *pool_.impl_;
  const auto rec_lsn = [this] { return raw(log_.end()); };
  for (const Change& change : changes_) pool.mark_dirty(pool_.frame_of(*change.guard), rec_lsn);
  VG_NOISE(kCommitDirty);
  for (const Change& change : changes_) {
    const RedoTable::Entry& entry = pool.redo_.find(raw(change.op));
    VG_CHECK(entry.apply != nullptr, "a page operation that nobody registered");
    const Status applied = entry.apply(change.guard->unlogged_bytes(),
                                       Bytes(record_).subspan(change.payload_offset, change.payload_bytes));
    VG_CHECK(applied.has_value(), "a page operation of our own does not apply");
  }
  VG_NOISE(kCommitApplied);
  const Log::Appended appended = log_.append(record_, [&](const Log::Appended& at) {
    for (const Change& change : changes_) {
      page_header(change.guard->unlogged_bytes()).lsn.set(raw(at.lsn));
    }
    on_reserved(at);
    VG_NOISE(kCommitReserved);
  });
  VG_NOISE(kCommitLogged);
#ifdef VG_TEST_HOOKS
  tell_observer(appended.lsn);
#endif
  owned_.clear();
  changes_.clear();
  return appended;
}

#ifdef VG_TEST_HOOKS
void MiniTxn::tell_observer(Lsn lsn) const {
  ChangeObserver* observer = change_observer.load(std::memory_order_acquire);
  if (observer == nullptr) return;
  std::vector<ChangeObserver::Operation> operations;
  for (auto first = changes_.begin(); first != changes_.end(); ++first) {
    const PageId id = first->guard->id();
    const auto is_of_page = [id](const Change& change) { return change.guard->id() == id; };
    if (std::find_if(changes_.begin(), first, is_of_page) != first) continue;  // told with the first of the page
    operations.clear();
    for (const Change& change : changes_) {
      if (is_of_page(change)) {
        operations.push_back({change.op, Bytes(record_).subspan(change.payload_offset, change.payload_bytes)});
      }
    }
    observer->on_change(id, lsn, operations, pool_.impl_->redo_, first->guard->page());
  }
}
#endif

}  // namespace vaultgres
