#include "txn/heap_ops.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/payload_buffer.h"
#include "base/schedule_noise.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "txn/heap_ghosts.h"
#include "txn/overflow.h"
#include "txn/row_ops.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

constexpr std::uint64_t kRowLogBytes =
    log_bytes_for(6 * kHeapContentBytesMax + 1024) + kHeapPurgeLogBytes + kEndRecordLogBytes;

/// A row under exclusive latches: its home and, if it was moved, its body's page.
struct LatchedRow {
  Tid tid;
  Tid body_tid;  ///< tid unless moved
  ExclusiveGuard home;
  ExclusiveGuard body;      ///< empty unless moved
  ExclusiveGuard new_body;  ///< a page with room for a new body, when that is needed
  unsigned new_slot = 0;    ///< unused, in new_body
  HeapSlot home_slot;
  HeapSlot row_slot;  ///< the one that has the row

  bool moved() const noexcept { return static_cast<bool>(body); }
  ExclusiveGuard& row_page() noexcept { return moved() ? body : home; }
  void release() noexcept {
    home.release();
    body.release();
    new_body.release();
  }
  /// Looks at the slots again under the latches; false: the row's body is elsewhere by now.
  bool look() {
    home_slot = HeapPageView(home.page()).slot(tid.slot);
    const bool stub = home_slot.state.kind == HeapKind::kStub && !home_slot.state.ghost;
    if (!moved()) {
      row_slot = home_slot;
      return !stub;
    }
    row_slot = HeapPageView(body.page()).slot(body_tid.slot);
    return stub && home_slot.link() == body_tid;
  }
  bool body_is_sound() const noexcept {
    return !moved() || (row_slot.state.kind == HeapKind::kBody && !row_slot.state.ghost && row_slot.link() == tid);
  }
};

Error damaged_row(const Heap& heap, Tid tid, const char* what) {
  return Error(ErrorCode::kCorruption, "row " + std::to_string(raw(tid.page)) + ":" + std::to_string(tid.slot) +
                                           " of table " + std::to_string(raw(heap.object())) + ": " + what +
                                           "; run `vaultgres check` on the database");
}

Result<LatchedRow> latch_row(const Heap& heap, Tid tid) {
  for (;;) {
    LatchedRow row{};
    row.tid = row.body_tid = tid;
    VG_ASSIGN(row.home, heap.latch(tid.page));
    if (row.look()) return row;
    row.body_tid = row.home_slot.link();
    if (row.body_tid.page == tid.page) return damaged_row(heap, tid, "its stub leads to the stub's own page");
    row.home.release();
    const std::array<PageId, 2> pages{tid.page, row.body_tid.page};
    std::array<ExclusiveGuard, 2> guards;
    VG_TRY(heap.latch_all(pages, guards));
    row.home = std::move(guards[0]);
    row.body = std::move(guards[1]);
    if (!row.look()) continue;
    if (!row.body_is_sound()) return damaged_row(heap, tid, "its stub leads to what is not its body");
    return row;
  }
}

KeyState state_of(const LatchedRow& row) {
  KeyState state;
  if (!row.home_slot.live()) return state;
  state.present = true;
  state.flags = row.row_slot.state.overflow ? kSlotOverflow : 0;
  state.value.assign(as_text(row.row_slot.row()));
  return state;
}

enum class Verdict : std::uint8_t { kGo, kAbsent, kAgain };

/// May `txn` change the row now? kAgain: somebody was waited for, without latches.
Result<Verdict> judge(const Engine& engine, const Txn& txn, const Heap& heap, LatchedRow& row, std::uint64_t& commit) {
  if (row.home_slot.history) {
    const TidBytes key = encode_tid(row.tid);
    const VersionTable::Peek peek = engine.versions.peek(heap.object(), key);
    if (!peek.exists) set_heap_history(row.home.unlogged_bytes(), row.tid.slot, false);
    if (peek.exists && peek.writer != nullptr && peek.writer->id() != txn.id()) {
      commit = peek.writer->commit_lsn();
      if (commit == 0) {
        row.release();
        VG_TRY(wait_for_holder(engine, peek.writer));
        return Verdict::kAgain;
      }
      if (Lsn{commit} > newest_snapshot(engine)) {
        // What the transaction reads from now on must include the commit that it builds on.
        row.release();
        VG_TRY(wait_until_visible(engine, commit));
        return Verdict::kAgain;
      }
    }
  }
  return row.home_slot.live() ? Verdict::kGo : Verdict::kAbsent;
}

/// The entry of the row in the version table, and the notes for the collector. False: there was no room, or somebody
/// had to be waited for; the latches are gone then.
Result<bool> claim(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, LatchedRow& row,
                   const KeyState& before, std::span<const Tid> leaves_behind, unsigned& full) {
  const TidBytes key = encode_tid(row.tid);
  // The notes are made before the claim, so that no claim is without one, whatever fails.
  std::vector<Txn::Written>& written = txn.written();
  const std::size_t noted = written.size();
  written.push_back({heap.object(), std::string(as_text(key)), false});
  for (const Tid tid : leaves_behind) {
    written.push_back({heap.object(), std::string(as_text(encode_tid(tid))), true});
  }
  const VersionTable::ClaimResult claimed = engine.versions.claim(heap.object(), key, txn.status(), before);
  VG_NOISE(kChangeClaimed);
  if (claimed.claim == VersionTable::Claim::kGranted) return true;
  written.resize(noted);
  row.release();
  if (claimed.claim == VersionTable::Claim::kHeld) {
    VG_TRY(wait_for_holder(engine, claimed.holder));
  } else if (claimed.claim == VersionTable::Claim::kNoMemory) {
    return no_memory_for_version();
  } else {
    VG_TRY(manager.make_version_room(full++));
  }
  return false;
}

/// Log space for the compensation stays reserved until the transaction ends.
void keep_for_undo(Txn& txn, LogSpace& log_space, std::size_t undo_bytes) {
  const std::uint64_t kept = undo_bytes + undo_bytes / 64 + 320 + txn.end_log_bytes();
  log_space.keep(kept);
  txn.keep_log_space(kept);
}

/// A row as its slot holds it.
struct Content {
  Bytes bytes;
  bool overflow = false;
  OverflowRef ref{};
};

/// A row that is too long becomes a chain, which belongs to what the transaction does next.
Status make_content(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Bytes row,
                    Content& content) {
  content.bytes = row;
  if (row.size() <= kInlineRowBytesMax) return {};
  VG_ASSIGN(const BuiltChain chain, build_chain(engine, txn, heap.object(), row));
  VG_ASSIGN(const bool erased, erase_entry(engine, manager, txn, engine.retired(), as_bytes(chain.retired_row)));
  if (!erased) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
  content.ref = chain.ref;
  content.bytes = std::as_bytes(std::span(&content.ref, 1));
  content.overflow = true;
  return {};
}

/// What a body's slot holds: the home's TID, then the row.
std::string body_content(Tid home, Bytes row) {
  std::string content(as_text(encode_tid(home)));
  content.append(as_text(row));
  return content;
}

}  // namespace

// --- Inserting

Result<Tid> insert_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Bytes row) {
  Content content;
  VG_TRY(manager.admit_change(txn));
  VG_TRY(make_content(engine, manager, txn, heap, row, content));
  for (unsigned full = 0;;) {
    VG_TRY(engine.poison.check());
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kRowLogBytes));
    VG_ASSIGN(HeapSlotGuard place, heap.latch_for_insert(content.bytes.size()));
    LatchedRow latched{};
    latched.tid = latched.body_tid = {place.page.id(), static_cast<std::uint16_t>(place.slot)};
    latched.home = std::move(place.page);
    VG_ASSIGN(const bool claimed, claim(engine, manager, txn, heap, latched, {}, {}, full));
    if (!claimed) continue;

    MiniTxn mini(engine.pool, engine.log, RecordKind::kUpdate, txn.id(), txn.last());
    PayloadBuffer payload;
    encode_heap_insert(payload, place.slot, {HeapKind::kRow, false, content.overflow}, content.bytes);
    mini.add(latched.home, PageOp::kHeapInsert, payload.bytes());
    mini.set_undo(UndoOp::kEraseInsertedRow, heap.object(), encode_tid(latched.tid), {});
    mini.commit([&](const Log::Appended& appended) { txn.logged(appended.address); });
    VG_NOISE(kChangeBeforeHistory);
    set_heap_history(latched.home.unlogged_bytes(), place.slot, true);
    keep_for_undo(txn, log_space, kTidBytes);
    return latched.tid;
  }
}

// --- Changing

namespace {

/// Where an update puts the row.
enum class Target : std::uint8_t { kHome, kBody, kNewBody };

struct RowChange {
  Tid tid;
  bool erase = false;
  Content content{};
};

struct RowChanged {
  bool absent = false;
  std::uint64_t newest_commit = 0;
  KeyState before{};
};

Target choose_target(const LatchedRow& row, const RowChange& change) {
  const std::size_t bytes = change.content.bytes.size();
  // Rows that are references stand in their homes.
  if (change.content.overflow) return Target::kHome;
  if (row.moved() && HeapPageView(row.body.page()).has_room_to_update(row.body_tid.slot, kTidBytes + bytes)) {
    return Target::kBody;
  }
  return HeapPageView(row.home.page()).has_room_to_update(row.tid.slot, bytes) ? Target::kHome : Target::kNewBody;
}

/// The row's latches, and with them those of a page with room for a new body. False: the row has moved meanwhile.
Result<bool> latch_new_body(const Heap& heap, std::size_t content_bytes, LatchedRow& row) {
  const std::array<PageId, 2> pages{row.tid.page, row.body_tid.page};
  const std::size_t count = row.moved() ? 2 : 1;
  row.release();
  VG_ASSIGN(HeapSlotGuard place, heap.latch_for_insert(kTidBytes + content_bytes, std::span(pages).first(count)));
  row.new_body = std::move(place.page);
  row.new_slot = place.slot;
  row.home = std::move(place.others[0]);
  if (count == 2) row.body = std::move(place.others[1]);
  return row.look() && row.body_is_sound();
}

void add_row_undo(MiniTxn& mini, const Heap& heap, const LatchedRow& row, const KeyState& before) {
  RowUndo undo{};
  undo.flags.set(static_cast<std::uint8_t>((row.moved() ? kRowUndoMoved : 0) |
                                           ((before.flags & kSlotOverflow) != 0 ? kRowUndoOverflow : 0)));
  if (row.moved()) undo.body = encode_tid(row.body_tid);
  std::string value(as_text(std::as_bytes(std::span(&undo, 1))));
  value += before.value;
  mini.set_undo(UndoOp::kRestoreRow, heap.object(), encode_tid(row.tid), as_bytes(value));
}

void add_update(MiniTxn& mini, LatchedRow& row, const RowChange& change, Target target) {
  PayloadBuffer payload;
  const auto add = [&](ExclusiveGuard& page, PageOp op) {
    mini.add(page, op, payload.bytes());
    payload.clear();
  };
  if (target == Target::kBody) {
    const std::string content = body_content(row.tid, change.content.bytes);
    encode_heap_update(payload, row.body_tid.slot, {HeapKind::kBody, false, false}, as_bytes(content));
    add(row.body, PageOp::kHeapUpdate);
    // Changes nothing but that home is dirty: its history flag, which is about to be set, must not go with a page that
    // is evicted as clean.
    encode_heap_set_ghost(payload, row.tid.slot, false);
    return add(row.home, PageOp::kHeapSetGhost);
  }
  if (target == Target::kHome) {
    encode_heap_update(payload, row.tid.slot, {HeapKind::kRow, false, change.content.overflow}, change.content.bytes);
  } else {
    const std::string content = body_content(row.tid, change.content.bytes);
    encode_heap_insert(payload, row.new_slot, {HeapKind::kBody, false, false}, as_bytes(content));
    add(row.new_body, PageOp::kHeapInsert);
    const TidBytes link = encode_tid({row.new_body.id(), static_cast<std::uint16_t>(row.new_slot)});
    encode_heap_update(payload, row.tid.slot, {HeapKind::kStub, false, false}, link);
  }
  add(row.home, PageOp::kHeapUpdate);
  if (row.moved()) {
    encode_heap_set_ghost(payload, row.body_tid.slot, true);
    add(row.body, PageOp::kHeapSetGhost);
  }
}

/// Whose slots or room are worth a look when nobody needs the row's former state.
unsigned leaves_behind(const LatchedRow& row, const RowChange& change, Target target, std::array<Tid, 2>& tids) {
  unsigned count = 0;
  const bool shrinks = change.content.bytes.size() < row.row_slot.row().size();
  if (change.erase || target == Target::kNewBody || (target == Target::kHome && shrinks)) tids[count++] = row.tid;
  if (row.moved() && !change.erase && (target != Target::kBody || shrinks)) tids[count++] = row.body_tid;
  return count;
}

/// One try under the latches. Empty: something was missing and has been made room for or waited for.
Result<std::optional<RowChanged>> try_change_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap,
                                                 const RowChange& change, LogSpace& log_space, unsigned& full) {
  using MaybeChanged = std::optional<RowChanged>;
  RowChanged changed;
  VG_ASSIGN(LatchedRow row, latch_row(heap, change.tid));
  VG_ASSIGN(Verdict verdict, judge(engine, txn, heap, row, changed.newest_commit));
  Target target = Target::kHome;
  if (verdict == Verdict::kGo && !change.erase) {
    target = choose_target(row, change);
    if (target == Target::kNewBody) {
      if (purge_heap_page(engine, heap, row.row_page()) > 0) return MaybeChanged{};
      VG_ASSIGN(const bool same, latch_new_body(heap, change.content.bytes.size(), row));
      if (!same) return MaybeChanged{};
      VG_ASSIGN(verdict, judge(engine, txn, heap, row, changed.newest_commit));
    }
  }
  if (verdict == Verdict::kAgain) return MaybeChanged{};
  changed.absent = verdict == Verdict::kAbsent;
  if (changed.absent) return MaybeChanged(std::move(changed));

  changed.before = state_of(row);
  std::array<Tid, 2> left{};
  const unsigned left_count = leaves_behind(row, change, target, left);
  const auto left_span = std::span<const Tid>(left).first(left_count);
  VG_ASSIGN(const bool claimed, claim(engine, manager, txn, heap, row, changed.before, left_span, full));
  if (!claimed) return MaybeChanged{};

  MiniTxn mini(engine.pool, engine.log, RecordKind::kUpdate, txn.id(), txn.last());
  if (change.erase) {
    PayloadBuffer payload;
    encode_heap_set_ghost(payload, row.tid.slot, true);
    mini.add(row.home, PageOp::kHeapSetGhost, payload.bytes());
    mini.set_undo(UndoOp::kReviveRow, heap.object(), encode_tid(row.tid), {});
  } else {
    add_update(mini, row, change, target);
    add_row_undo(mini, heap, row, changed.before);
  }
  mini.commit([&](const Log::Appended& appended) { txn.logged(appended.address); });
  VG_NOISE(kChangeBeforeHistory);
  set_heap_history(row.home.unlogged_bytes(), row.tid.slot, true);
  keep_for_undo(txn, log_space, change.erase ? kTidBytes : changed.before.value.size());
  return MaybeChanged(std::move(changed));
}

/// The change, then what it means for chains. False: there is no such row.
Result<bool> change_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, const RowChange& change,
                        std::string& before) {
  VG_TRY(manager.admit_change(txn));
  std::optional<RowChanged> changed;
  for (unsigned full = 0; !changed;) {
    VG_TRY(engine.poison.check());
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kRowLogBytes));
    VG_ASSIGN(changed, try_change_row(engine, manager, txn, heap, change, log_space, full));
  }
  if (changed->absent) {
    if (change.content.overflow) VG_TRY(retire_chain(engine, manager, txn, heap.object(), change.content.bytes));
    VG_TRY(wait_until_visible(engine, changed->newest_commit));
    return false;
  }
  before = std::move(changed->before.value);
  if ((changed->before.flags & kSlotOverflow) == 0) return true;
  const std::string ref = std::move(before);
  VG_TRY(read_chain(engine, heap.object(), as_bytes(ref), before));
  VG_TRY(retire_chain(engine, manager, txn, heap.object(), as_bytes(ref)));
  return true;
}

}  // namespace

Result<bool> update_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Tid tid, Bytes row,
                        std::string& before) {
  RowChange change{.tid = tid};
  VG_TRY(manager.admit_change(txn));
  if (row.size() > kInlineRowBytesMax) VG_TRY(wait_while_held(engine, txn, heap.object(), encode_tid(tid)));
  VG_TRY(make_content(engine, manager, txn, heap, row, change.content));
  return change_row(engine, manager, txn, heap, change, before);
}

Result<bool> erase_row(const Engine& engine, TxnManager& manager, Txn& txn, const Heap& heap, Tid tid,
                       std::string& before) {
  return change_row(engine, manager, txn, heap, RowChange{.tid = tid, .erase = true}, before);
}

// --- Reading

namespace {

Error too_old() {
  return Error(ErrorCode::kConflict, "the snapshot that this call reads at is too old; start again");
}

}  // namespace

Result<bool> get_row(const Engine& engine, const Heap& heap, Tid tid, TxnId self, Lsn snapshot, std::string& row) {
  bool present = false;
  bool overflow = false;
  bool lost = false;
  const TidBytes key = encode_tid(tid);
  VG_TRY(heap.read_row(tid, [&](const HeapSlot& home, const HeapSlot& body) {
    present = home.live();
    overflow = body.state.overflow;
    lost = false;
    if (present) row.assign(as_text(body.row()));
    if (!home.history) return;
    VG_NOISE(kReadBeforeVersions);
    // The look comes after the slot was copied and before the page is validated.
    VersionTable::LookupResult older = engine.versions.find(heap.object(), key, snapshot, self);
    if (older.found == VersionTable::Found::kPage) return;
    lost = older.found == VersionTable::Found::kTooOld;
    present = older.state.present;
    overflow = (older.state.flags & kSlotOverflow) != 0;
    row = std::move(older.state.value);
  }));
  if (lost) return too_old();
  if (!present) return false;
  if (overflow) {
    const std::string ref = row;
    VG_TRY(read_chain(engine, heap.object(), as_bytes(ref), row));
  }
  return true;
}

namespace {

/// A row of a page as a scan has copied it, or one that has to be read by its TID: it was moved, or is long.
struct Copied {
  RowBatch::Entry entry;
  bool by_tid;
};

class PageScan {
 public:
  PageScan(const Engine& engine, const Heap& heap, PageId page, TxnId self, Lsn snapshot)
      : engine_(engine), heap_(heap), page_(page), self_(self), snapshot_(snapshot) {}

  void copy(const HeapPageView& view, std::uint16_t from_slot, std::size_t bytes_max, RowBatch& batch) {
    batch.clear();
    copied_.clear();
    too_old = false;
    ghost_.reset();
    const unsigned slots = view.slots();
    for (unsigned i = from_slot; i < slots; ++i) {
      if (batch.bytes.size() > bytes_max) {
        batch.next_slot = static_cast<std::uint16_t>(i);
        return;
      }
      copy_slot(view.slot(i), static_cast<std::uint16_t>(i), batch);
    }
  }

  /// Hands the page to the collector, if nobody else has: a ghost with an entry has one who will, and he looks at the
  /// whole page.
  void note_ghost() const {
    if (!ghost_ || engine_.versions.has_entry(heap_.object(), encode_tid(*ghost_))) return;
    engine_.found_ghost(heap_.object(), encode_tid({page_, kWholePage}));
  }

  Status finish(std::size_t bytes_max, RowBatch& batch) {
    std::string row;
    for (const Copied& copied : copied_) {
      if (!copied.by_tid) {
        batch.entries.push_back(copied.entry);
        continue;
      }
      if (batch.bytes.size() > bytes_max && !batch.entries.empty()) {
        batch.next_slot = copied.entry.tid.slot;
        return {};
      }
      VG_ASSIGN(const bool there, get_row(engine_, heap_, copied.entry.tid, self_, snapshot_, row));
      if (there) batch.entries.push_back(append(copied.entry.tid, as_bytes(row), batch));
    }
    return {};
  }

  bool too_old = false;

 private:
  static RowBatch::Entry append(Tid tid, Bytes row, RowBatch& batch) {
    const RowBatch::Entry entry{tid, batch.bytes.size(), row.size()};
    batch.bytes.append(as_text(row));
    return entry;
  }

  void copy_slot(const HeapSlot& slot, std::uint16_t number, RowBatch& batch) {
    const Tid tid{page_, number};
    if (slot.state.ghost && !ghost_) ghost_ = slot.state.kind == HeapKind::kBody ? slot.link() : tid;
    if (slot.state.kind != HeapKind::kRow && slot.state.kind != HeapKind::kStub) return;
    if (slot.history) {
      VG_NOISE(kScanBeforeVersions);
      const VersionTable::LookupResult older = engine_.versions.find(heap_.object(), encode_tid(tid), snapshot_, self_);
      if (older.found == VersionTable::Found::kTooOld) {
        too_old = true;
        return;
      }
      if (older.found == VersionTable::Found::kOlder) {
        if (!older.state.present) return;
        if ((older.state.flags & kSlotOverflow) != 0) return copied_.push_back({{tid, 0, 0}, true});
        return copied_.push_back({append(tid, as_bytes(older.state.value), batch), false});
      }
    }
    if (!slot.live()) return;
    if (slot.state.kind == HeapKind::kStub || slot.state.overflow) return copied_.push_back({{tid, 0, 0}, true});
    copied_.push_back({append(tid, slot.row(), batch), false});
  }

  const Engine& engine_;
  const Heap& heap_;
  PageId page_;
  TxnId self_;
  Lsn snapshot_;
  std::vector<Copied> copied_;
  std::optional<Tid> ghost_;  ///< the first one: the home of its row
};

}  // namespace

Status scan_heap_page(const Engine& engine, const Heap& heap, PageId page, std::uint16_t from_slot, TxnId self,
                      Lsn snapshot, std::size_t bytes_max, RowBatch& batch) {
  PageScan scan(engine, heap, page, self, snapshot);
  VG_TRY(heap.read(
      page, [&](const HeapPageView& view) { scan.copy(view, from_slot, bytes_max, batch); }, Hint::kScan));
  scan.note_ghost();
  if (scan.too_old) return too_old();
  return scan.finish(bytes_max, batch);
}

// --- Undo

namespace {

/// One page change of a compensation that touches only the home.
Status set_home_ghost(const Engine& engine, Txn& txn, const Heap& heap, const RecordView& record, Tid tid, bool ghost) {
  VG_ASSIGN(ExclusiveGuard home, heap.latch(tid.page));
  if (!HeapPageView(home.page()).slot(tid.slot).used()) {
    return damaged_row(heap, tid, "a transaction that is undone has changed it, but it is not there");
  }
  MiniTxn mini(engine.pool, engine.log, RecordKind::kCompensation, txn.id(), txn.last());
  mini.set_undo_next(record.prev());
  PayloadBuffer payload;
  encode_heap_set_ghost(payload, tid.slot, ghost);
  mini.add(home, PageOp::kHeapSetGhost, payload.bytes());
  mini.commit([&](const Log::Appended& appended) { txn.compensated(appended); });
  return {};
}

/// The pages that a row's undo changes, latched in ascending order.
class UndoPages {
 public:
  void add(PageId page) {
    if (find(page) == nullptr) pages_[count_++] = page;
  }
  Status latch(const Heap& heap) {
    return heap.latch_all(std::span(pages_).first(count_), std::span(guards_).first(count_));
  }
  ExclusiveGuard* find(PageId page) {
    for (unsigned i = 0; i < count_; ++i) {
      if (pages_[i] == page) return &guards_[i];
    }
    return nullptr;
  }

 private:
  std::array<PageId, 3> pages_{};
  std::array<ExclusiveGuard, 3> guards_;
  unsigned count_ = 0;
};

/// Home and body as they were before an update. The transaction holds the row, so nobody else moves it meanwhile.
Status restore_row(const Engine& engine, Txn& txn, const Heap& heap, const RecordView& record, Tid tid) {
  RowUndo undo;
  std::memcpy(&undo, record.undo()->value.data(), sizeof undo);
  const Bytes row = record.undo()->value.subspan(sizeof undo);
  const bool was_moved = (undo.flags.get() & kRowUndoMoved) != 0;
  const bool overflow = (undo.flags.get() & kRowUndoOverflow) != 0;
  const Tid old_body = decode_tid(undo.body);
  HeapSlotState home_state;
  Tid body;
  VG_TRY(heap.read(tid.page, [&](const HeapPageView& view) {
    home_state = view.slot(tid.slot).state;
    body = view.slot(tid.slot).link();
  }));
  const bool is_moved = home_state.kind == HeapKind::kStub;
  UndoPages pages;
  pages.add(tid.page);
  if (is_moved) pages.add(body.page);
  if (was_moved) pages.add(old_body.page);
  VG_TRY(pages.latch(heap));
  // Never on the page of its home: there, both changes below would count on the same room.
  const auto is_body = [&](Tid at, bool ghost_too) {
    const HeapSlot slot = HeapPageView(pages.find(at.page)->page()).slot(at.slot);
    return at.page != tid.page && slot.state.kind == HeapKind::kBody && slot.link() == tid &&
           (ghost_too || !slot.state.ghost);
  };
  if ((is_moved && !is_body(body, false)) || (was_moved && !is_body(old_body, true))) {
    return damaged_row(heap, tid, "a transaction that is undone has moved it, but its bodies are not there");
  }

  MiniTxn mini(engine.pool, engine.log, RecordKind::kCompensation, txn.id(), txn.last());
  mini.set_undo_next(record.prev());
  PayloadBuffer payload;
  const auto add_update = [&](Tid at, HeapSlotState state, Bytes content) {
    ExclusiveGuard& page = *pages.find(at.page);
    if (!HeapPageView(page.page()).has_room_to_update(at.slot, content.size())) return false;
    payload.clear();
    encode_heap_update(payload, at.slot, state, content);
    mini.add(page, PageOp::kHeapUpdate, payload.bytes());
    return true;
  };
  bool fits = home_state.kind == HeapKind::kRow || is_moved;
  if (was_moved) {
    const std::string content = body_content(tid, row);
    fits = fits && add_update(old_body, {HeapKind::kBody, false, false}, as_bytes(content)) &&
           add_update(tid, {HeapKind::kStub, home_state.ghost, false}, undo.body);
  } else {
    fits = fits && add_update(tid, {HeapKind::kRow, home_state.ghost, overflow}, row);
  }
  if (!fits) return damaged_row(heap, tid, "a transaction that is undone has left no room for what was there before");
  if (is_moved && !(was_moved && body == old_body)) {
    const std::uint16_t slot = body.slot;
    payload.clear();
    encode_heap_remove(payload, std::span(&slot, 1));
    mini.add(*pages.find(body.page), PageOp::kHeapRemove, payload.bytes());
  }
  mini.commit([&](const Log::Appended& appended) { txn.compensated(appended); });
  return {};
}

/// The notes that a transaction made for the collector died with its process: one for each page in a row will do.
void note_ghost_page(Txn& txn, const Heap& heap, Tid tid) {
  std::vector<Txn::Written>& written = txn.written();
  const auto is_noted = [&](const Txn::Written& note) {
    return note.object == heap.object() && decode_tid(as_bytes(note.key)).page == tid.page;
  };
  if (written.empty() || !is_noted(written.back())) {
    written.push_back({heap.object(), std::string(as_text(encode_tid(tid))), true});
  }
}

}  // namespace

Status undo_row(const Engine& engine, Txn& txn, const Heap& heap, const RecordView& record) {
  const RecordUndo& undo = *record.undo();
  const auto impossible = [&] {
    return Error(ErrorCode::kCorruption, "a log record of transaction " + std::to_string(raw(record.txn())) +
                                             " says something impossible about how to undo it");
  };
  if (undo.key.size() != kTidBytes) return impossible();
  const Tid tid = decode_tid(undo.key);
  LogSpace log_space(engine.log);
  const bool is_loser = !txn.keeps_log_space();  // of a crash
  if (is_loser) VG_TRY(log_space.reserve(kRowLogBytes));
  if (undo.op != UndoOp::kRestoreRow) {
    const bool inserted = undo.op == UndoOp::kEraseInsertedRow;
    if (inserted && is_loser) note_ghost_page(txn, heap, tid);
    return set_home_ghost(engine, txn, heap, record, tid, inserted);
  }
  if (undo.value.size() < sizeof(RowUndo) || undo.value.size() > sizeof(RowUndo) + kInlineRowBytesMax) {
    return impossible();
  }
  const bool overflow = (std::to_integer<std::uint8_t>(undo.value[0]) & kRowUndoOverflow) != 0;
  if (overflow && undo.value.size() != sizeof(RowUndo) + sizeof(OverflowRef)) return impossible();
  return restore_row(engine, txn, heap, record, tid);
}

}  // namespace vaultgres
