#include "txn/row_ops.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/payload_buffer.h"
#include "base/schedule_noise.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "txn/ghosts.h"
#include "txn/overflow.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Who changes an entry: a transaction, or a change that is its own (`txn` is null) and gets a status, and a
/// number, only when it needs an entry of the version table.
struct Writer {
  std::shared_ptr<TxnStatus> status;
  Txn* txn = nullptr;

  TxnId id() const noexcept { return status != nullptr ? status->id() : kNoTxn; }
};

struct Change {
  Bytes key;
  Bytes value{};
  std::uint8_t flags = 0;  ///< kSlotOverflow
  bool erase = false;
  PutMode mode = PutMode::kUpsert;
  Tree::WriteTrail* trail = nullptr;
};

enum class Outcome : std::uint8_t {
  kDone,
  kAbsent,            ///< erase or update: there is no such entry
  kDuplicate,         ///< insert: there is one
  kNeedsTransaction,  ///< a single change meets a large value, whose chain has to be retired with it
  kTableFull,         ///< no room for another entry of the version table
};

/// What a change did, for its caller to finish.
struct Changed {
  Outcome outcome = Outcome::kDone;
  Log::Appended record{};
  bool claimed = false;         ///< a version entry was made by it (first claim of this key by this writer)
  bool leaf_underfull = false;  ///< worth a merge
  std::optional<std::string> leaf_boundary{};  ///< others wait for the leaf: worth a split before this key
  std::uint8_t old_flags = 0;
  std::string old_ref{};  ///< the OverflowRef that was replaced
  std::uint64_t newest_commit = 0;
};

KeyState state_of(const NodeView& leaf, NodeView::Position position) {
  KeyState state;
  if (!position.exact) return state;
  const std::uint8_t flags = leaf.flags(position.slot);
  if ((flags & kSlotGhost) != 0) return state;
  state.present = true;
  state.flags = flags & kSlotOverflow;
  state.value.assign(as_text(leaf.value(position.slot)));
  return state;
}

/// The undo part: what the entry was.
void add_undo(MiniTxn& mini, const Tree& tree, Bytes key, const KeyState& before) {
  if (!before.present) {
    mini.set_undo(UndoOp::kEraseInserted, tree.object(), key, {});
    return;
  }
  std::string state(1, static_cast<char>(before.flags));
  state += before.value;
  mini.set_undo(UndoOp::kRestoreValue, tree.object(), key, as_bytes(state));
}

/// Withdraws a claim, under the leaf's latch, whose change finds no memory: its slot has no history bit, so that others
/// would change the entry without a look at what the claim says was there before.
class NewClaim {
 public:
  NewClaim(const Engine& engine, ObjectId object, Bytes key, const Writer& writer) noexcept
      : engine_(engine), object_(object), key_(key), writer_(writer) {}
  NewClaim(const NewClaim&) = delete;
  NewClaim& operator=(const NewClaim&) = delete;
  ~NewClaim() {
    if (!made_) return;
    engine_.versions.withdraw(object_, key_, writer_.id());
    if (writer_.txn != nullptr) {
      writer_.txn->written().pop_back();
    } else {
      writer_.status->finish();
    }
  }
  void made() noexcept { made_ = true; }
  void logged() noexcept { made_ = false; }

 private:
  const Engine& engine_;
  ObjectId object_;
  Bytes key_;
  const Writer& writer_;
  bool made_ = false;
};

/// One try under the leaf's latch. Empty: something was missing and has been made room for or waited for.
Result<std::optional<Changed>> try_change(const Engine& engine, TxnManager& manager, Writer& writer, const Tree& tree,
                                          const Change& change, LogSpace& log_space, std::uint64_t log_bytes) {
  using MaybeChanged = std::optional<Changed>;
  VG_ASSIGN(ExclusiveGuard leaf, tree.write_leaf(change.key, change.trail));
  NewClaim new_claim(engine, tree.object(), change.key, writer);
  const NodeView view(leaf.page());
  const NodeView::Position position = view.lower_bound(change.key);
  const std::uint8_t flags = position.exact ? view.flags(position.slot) : std::uint8_t{0};
  const bool present = position.exact && (flags & kSlotGhost) == 0;
  Changed changed;

  // An entry of the version table exists only for a slot with its history bit set.
  bool has_entry = false;
  if ((flags & kSlotHistory) != 0) {
    const VersionTable::Peek peek = engine.versions.peek(tree.object(), change.key);
    has_entry = peek.exists;
    if (!has_entry) set_history(leaf.unlogged_bytes(), position.slot, false);
    if (peek.exists && peek.writer != nullptr && peek.writer->id() != writer.id()) {
      changed.newest_commit = peek.writer->commit_lsn();
      if (changed.newest_commit == 0) {
        leaf.release();
        VG_TRY(wait_for_holder(engine, peek.writer));
        return MaybeChanged{};
      }
      if (writer.txn != nullptr && Lsn{changed.newest_commit} > newest_snapshot(engine)) {
        // What the transaction reads from now on must include the commit that it builds on.
        leaf.release();
        VG_TRY(wait_until_visible(engine, changed.newest_commit));
        return MaybeChanged{};
      }
    }
  }

  // Judged on the newest state.
  if (change.erase || change.mode == PutMode::kUpdate) {
    if (!present) return MaybeChanged(Changed{.outcome = Outcome::kAbsent, .newest_commit = changed.newest_commit});
  } else if (change.mode == PutMode::kInsertUnique && present) {
    return MaybeChanged(Changed{.outcome = Outcome::kDuplicate, .newest_commit = changed.newest_commit});
  }
  if (present && (flags & kSlotOverflow) != 0) {
    if (writer.txn == nullptr) return MaybeChanged(Changed{.outcome = Outcome::kNeedsTransaction});
    changed.old_flags = kSlotOverflow;
    changed.old_ref.assign(as_text(view.value(position.slot)));
  }

  // What a transaction does may be undone.
  const bool keeps_room = writer.txn != nullptr && !VG_SEEDED_BUG(kRoomGivenUp);
  const OldRoom old_room = keeps_room ? OldRoom::kKept : OldRoom::kGivenUp;
  if (!change.erase) {
    const bool room = position.exact ? view.has_room_to_replace(position.slot, change.value.size(), old_room)
                                     : view.has_room(change.key.size(), change.value.size());
    if (!room) {
      if (purge_leaf(engine, tree, leaf) > 0) return MaybeChanged{};
      leaf.release();
      VG_TRY(tree.make_room(change.key, change.value.size()));
      return MaybeChanged{};
    }
  }

  // A change of its own in a database whose readers see the newest state needs no entry: under the latch it
  // is atomic, and nobody is shown what was before it.
  const bool needs_entry = writer.txn != nullptr || engine.mode == CommitMode::kDurable || has_entry;
  KeyState before;
  if (needs_entry) {
    if (writer.status == nullptr) writer.status = std::make_shared<TxnStatus>(manager.next_id());
    before = state_of(view, position);
    // The transaction's note is made before the claim, so that no claim is without one, whatever fails.
    Txn::Written note{tree.object(), std::string(as_text(change.key)), change.erase};
    if (writer.txn != nullptr) writer.txn->make_room_to_note();
    const VersionTable::ClaimResult claim = engine.versions.claim(tree.object(), change.key, writer.status, before);
    if (claim.claim == VersionTable::Claim::kNoMemory) return no_memory_for_version();
    if (claim.claim == VersionTable::Claim::kFull) return MaybeChanged(Changed{.outcome = Outcome::kTableFull});
    if (claim.claim == VersionTable::Claim::kHeld) {
      leaf.release();
      VG_TRY(wait_for_holder(engine, claim.holder));
      return MaybeChanged{};
    }
    changed.claimed = claim.first;
    if (writer.txn != nullptr && claim.first) writer.txn->written().push_back(std::move(note));
    if (claim.first) new_claim.made();
    VG_NOISE(kChangeClaimed);
  }

  MiniTxn mini(engine.pool, engine.log, writer.txn != nullptr ? RecordKind::kUpdate : RecordKind::kSingle, writer.id(),
               writer.txn != nullptr ? writer.txn->last() : kNoLsn);
  PayloadBuffer payload;
  const bool remove = change.erase && !needs_entry;
  if (remove) {
    encode_node_remove(payload, position.slot);
    mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
  } else if (change.erase) {
    encode_node_set_ghost(payload, position.slot, true);
    mini.add(leaf, PageOp::kNodeSetGhost, payload.bytes());
  } else if (position.exact) {
    encode_node_replace(payload, position.slot, change.flags, change.value, old_room);
    mini.add(leaf, PageOp::kNodeReplace, payload.bytes());
  } else {
    encode_node_insert(payload, position.slot, change.flags, change.key, change.value);
    mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
  }
  if (writer.txn != nullptr) {
    add_undo(mini, tree, change.key, before);
  }
  changed.record = mini.commit([&](const Log::Appended& appended) {
    if (writer.txn != nullptr) {
      writer.txn->logged(appended.address);
    } else if (writer.status != nullptr) {
      writer.status->set_committed(appended.lsn);
    }
  });
  new_claim.logged();
  VG_NOISE(kChangeBeforeHistory);
  if (needs_entry && !remove) set_history(leaf.unlogged_bytes(), position.slot, true);
  if (change.trail != nullptr) change.trail->note(leaf);
  if (writer.txn != nullptr) {
    // For the compensation: key and old value, a header, the blocks' headers.
    const std::uint64_t kept = change.key.size() + before.value.size() +
                               (change.key.size() + before.value.size()) / 64 + 160 + writer.txn->end_log_bytes();
    log_space.keep(std::min(kept, log_bytes));
    writer.txn->keep_log_space(std::min(kept, log_bytes));
  }
  changed.leaf_underfull = remove && NodeView(leaf.page()).is_underfull();
  // Not for inserts: they fill the leaf, and where keys ascend the halves would stay half empty. Nor for erases: they
  // empty it.
  if (present && !change.erase) changed.leaf_boundary = tree.fought_over(leaf, position.slot);
  return MaybeChanged(std::move(changed));
}

Result<Changed> change_entry(const Engine& engine, TxnManager& manager, Writer& writer, const Tree& tree,
                             const Change& change) {
  if (writer.txn != nullptr) VG_TRY(manager.admit_change(*writer.txn));
  for (unsigned full = 0;;) {
    VG_TRY(engine.poison.check());
    // The compensation's share stays reserved until the transaction ends.
    const std::uint64_t log_bytes =
        Tree::log_bytes_of_change(change.key.size(), change.value.size() + inline_value_max(change.key.size())) +
        kPurgeLogBytes + (writer.txn != nullptr ? writer.txn->end_log_bytes() : 0);
    LogSpace log_space(engine.log);
    VG_TRY(writer.txn != nullptr ? log_space.reserve(log_bytes) : log_space.reserve_briefly(log_bytes));
    VG_ASSIGN(std::optional<Changed> changed, try_change(engine, manager, writer, tree, change, log_space, log_bytes));
    if (!changed) continue;
    if (changed->outcome == Outcome::kTableFull) {
      VG_TRY(manager.make_version_room(full++));
      continue;
    }
    return *std::move(changed);
  }
}

/// Merges or splits the leaf of a change, if that is worth it. The change is done whatever becomes of these: one that
/// lacks something is left to a later change.
void tend_leaf(const Tree& tree, Bytes key, const Changed& changed) {
  try {
    if (changed.leaf_underfull) static_cast<void>(tree.merge_at(key).has_value());
    if (changed.leaf_boundary) static_cast<void>(tree.split_at(as_bytes(*changed.leaf_boundary)).has_value());
  } catch (const std::bad_alloc&) {
    // Memory is among what it may lack.
  }
}

Error duplicate() {
  return Error(ErrorCode::kDuplicateKey, "the key is there already");
}
Error absent() {
  return Error(ErrorCode::kNotFound, "there is no entry with this key");
}

/// Marks the key of a transaction's earlier claim as a ghost, or not, for the collector.
void note_ghost(Txn& txn, const Tree& tree, Bytes key, bool ghost) {
  if (!ghost) return;
  for (auto it = txn.written().rbegin(); it != txn.written().rend(); ++it) {
    if (it->object == tree.object() && it->key == as_text(key)) {
      it->ghost = true;
      return;
    }
  }
}

}  // namespace

Status put_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key, Bytes value,
                 PutMode mode, Tree::WriteTrail* trail) {
  Writer writer{txn.status(), &txn};
  Change change{.key = key, .value = value, .mode = mode, .trail = trail};
  OverflowRef ref{};
  if (value.size() > inline_value_max(key.size())) {
    VG_TRY(manager.admit_change(txn));  // before the chain is built
    VG_TRY(wait_while_held(engine, txn, tree.object(), key));
    VG_ASSIGN(const BuiltChain chain, build_chain(engine, txn, tree.object(), value));
    // From here on the transaction's end decides about the chain: committed it belongs to the entry, rolled
    // back its row is there again.
    VG_ASSIGN(const bool erased, erase_entry(engine, manager, txn, engine.retired(), as_bytes(chain.retired_row)));
    if (!erased) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
    ref = chain.ref;
    change.value = std::as_bytes(std::span(&ref, 1));
    change.flags = kSlotOverflow;
  }
  VG_ASSIGN(const Changed changed, change_entry(engine, manager, writer, tree, change));
  tend_leaf(tree, key, changed);
  if (changed.outcome != Outcome::kDone) {
    if (change.flags != 0) VG_TRY(retire_chain(engine, manager, txn, tree.object(), change.value));
    VG_TRY(wait_until_visible(engine, changed.newest_commit));
    return changed.outcome == Outcome::kDuplicate ? duplicate() : absent();
  }
  if (changed.old_flags != 0) return retire_chain(engine, manager, txn, tree.object(), as_bytes(changed.old_ref));
  return {};
}

Result<bool> erase_entry(const Engine& engine, TxnManager& manager, Txn& txn, const Tree& tree, Bytes key) {
  Writer writer{txn.status(), &txn};
  VG_ASSIGN(const Changed changed, change_entry(engine, manager, writer, tree, Change{.key = key, .erase = true}));
  if (changed.outcome == Outcome::kAbsent) {
    VG_TRY(wait_until_visible(engine, changed.newest_commit));
    return false;
  }
  note_ghost(txn, tree, key, !changed.claimed);
  if (changed.old_flags != 0) VG_TRY(retire_chain(engine, manager, txn, tree.object(), as_bytes(changed.old_ref)));
  return true;
}

namespace {

/// Makes a single change durable if it has to be, and leaves what it left behind to be dropped.
Status finish_single(const Engine& engine, TxnManager& manager, const Tree& tree, const Change& change,
                     const Writer& writer, const Changed& changed, CommitMode mode) {
  if (changed.outcome != Outcome::kDone) return wait_until_visible(engine, changed.newest_commit);
  if (writer.status != nullptr) writer.status->finish();
  Status durable;
  if (mode == CommitMode::kDurable) {
    durable = engine.log.flush(changed.record.lsn);
  } else if (writer.status != nullptr) {
    durable = wait_until_filled(engine, changed.record.lsn);
  }
  if (changed.claimed) {
    try {
      manager.retire_version(changed.record.lsn, {tree.object(), std::string(as_text(change.key)), change.erase});
    } catch (const std::bad_alloc&) {
      // The change is committed, whatever becomes of its entry: that stays until the database is closed.
    }
  }
  tend_leaf(tree, change.key, changed);
  return durable;
}

}  // namespace

Status put_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, Bytes value, PutMode put_mode,
                  CommitMode commit) {
  const auto as_transaction = [&] {
    return in_transaction(manager, commit,
                          [&](Txn& txn) { return put_entry(engine, manager, txn, tree, key, value, put_mode); });
  };
  if (value.size() > inline_value_max(key.size())) return as_transaction();
  Writer writer;
  const Change change{.key = key, .value = value, .mode = put_mode};
  VG_ASSIGN(const Changed changed, change_entry(engine, manager, writer, tree, change));
  if (changed.outcome == Outcome::kNeedsTransaction) return as_transaction();
  VG_TRY(finish_single(engine, manager, tree, change, writer, changed, commit));
  if (changed.outcome == Outcome::kDuplicate) return duplicate();
  if (changed.outcome == Outcome::kAbsent) return absent();
  return {};
}

Result<bool> erase_single(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key, CommitMode commit) {
  Writer writer;
  const Change change{.key = key, .erase = true};
  VG_ASSIGN(const Changed changed, change_entry(engine, manager, writer, tree, change));
  if (changed.outcome == Outcome::kNeedsTransaction) {
    return in_transaction(manager, commit, [&](Txn& txn) { return erase_entry(engine, manager, txn, tree, key); });
  }
  VG_TRY(finish_single(engine, manager, tree, change, writer, changed, commit));
  return changed.outcome == Outcome::kDone;
}

// --- Reading

Lsn newest_snapshot(const Engine& engine) noexcept {
  return engine.mode == CommitMode::kDurable ? engine.log.durable() : engine.log.filled();
}

Status wait_until_visible(const Engine& engine, std::uint64_t commit) {
  if (commit == 0 || Lsn{commit} <= newest_snapshot(engine)) return {};
  if (engine.mode == CommitMode::kDurable) return engine.log.flush(Lsn{commit});
  return wait_until_filled(engine, Lsn{commit});
}

namespace {

/// What a key's leaf and the version table say about it.
struct Seen {
  bool present = false;
  bool too_old = false;  ///< the version that the snapshot needs was dropped
  std::uint8_t flags = 0;

  bool in_chain() const noexcept { return present && (flags & kSlotOverflow) != 0; }
};

/// Judges what was found in a key's leaf, whose bytes may change meanwhile. `value`: of a key that is present.
Seen look_at(const Engine& engine, const Tree& tree, const NodeView::Found& found, Bytes key, Lsn snapshot, TxnId self,
             std::string& value) {
  Seen seen;
  if (!found.position.exact) return seen;
  seen.flags = found.flags;
  seen.present = (found.flags & kSlotGhost) == 0;
  if (seen.present) value.assign(as_text(found.value));
  if ((found.flags & kSlotHistory) == 0) return seen;
  VG_NOISE(kReadBeforeVersions);
  // The look comes after the slot was copied and before the leaf is validated.
  VersionTable::LookupResult older = engine.versions.find(tree.object(), key, snapshot, self);
  if (older.found == VersionTable::Found::kPage) return seen;
  value = std::move(older.state.value);
  return {older.state.present, older.found == VersionTable::Found::kTooOld, older.state.flags};
}

/// In the place of a reference the value. The snapshot that showed it is registered.
Status follow(const Engine& engine, const Tree& tree, std::string& value) {
  const std::string ref = value;
  return read_chain(engine, tree.object(), as_bytes(ref), value);
}

}  // namespace

Result<bool> get_entry(const Engine& engine, const Tree& tree, Bytes key, TxnId self, std::string& value) {
  SnapshotRegistry::Registration registration;
  bool registered = false;
  for (unsigned attempt = 0;; ++attempt) {
    const Lsn snapshot = registered ? registration.snapshot() : newest_snapshot(engine);
    Seen seen;
    VG_TRY(tree.read_leaf(
        key, [&](const NodeView& leaf) { seen = look_at(engine, tree, leaf.find(key), key, snapshot, self, value); }));
    if (seen.too_old || (seen.in_chain() && !registered)) {
      // Whatever follows a reference out of a leaf registers first, and so does who was overtaken twice.
      if (!seen.too_old || attempt > 0) {
        registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
        registered = true;
      }
      continue;
    }
    if (seen.in_chain()) VG_TRY(follow(engine, tree, value));
    return seen.present;
  }
}

Status get_entries(const Engine& engine, const Tree& tree, std::span<const std::string_view> keys, TxnId self,
                   std::vector<std::optional<std::string>>& values) {
  constexpr std::size_t kGroup = 64;
  // Registered for all of them: what one key's writer has replaced since another key was read is still there.
  const auto registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
  values.resize(keys.size());
  for (std::size_t first = 0; first < keys.size(); first += kGroup) {
    const std::size_t count = std::min(keys.size() - first, kGroup);
    std::array<Bytes, kGroup> group;
    std::array<Seen, kGroup> seen;
    for (std::size_t i = 0; i < count; ++i) {
      group[i] = as_bytes(keys[first + i]);
      if (!values[first + i]) values[first + i].emplace();
    }
    VG_TRY(tree.read_leaves(
        std::span(group).first(count), [&](std::size_t i, const NodeView&, const NodeView::Found& found) {
          seen[i] = look_at(engine, tree, found, group[i], registration.snapshot(), self, *values[first + i]);
        }));
    for (std::size_t i = 0; i < count; ++i) {
      std::optional<std::string>& value = values[first + i];
      if (seen[i].too_old) return Error(ErrorCode::kConflict, "the snapshot of this read is too old; start it again");
      if (seen[i].in_chain()) VG_TRY(follow(engine, tree, *value));
      if (!seen[i].present) value.reset();
    }
  }
  return {};
}

}  // namespace vaultgres
