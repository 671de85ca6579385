// Statements: single calls that change something, alone or within a transaction. Each is atomic.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/try.h"
#include "db/core.h"
#include "db/transaction_state.h"

namespace vaultgres::internal {

inline bool is_no_space(const Error& error) {
  return error.code() == ErrorCode::kNoSpace;
}

/// Runs `step()`, which has changed nothing when it finds no space; then it is tried again when `make_room(rooms,
/// attempt)` says so. A few times: others may be faster to take what was made.
template <class Step, class MakeRoom>
auto with_room_made(Core& core, Step&& step, MakeRoom&& make_room) -> decltype(step()) {
  constexpr unsigned kAttempts = 4;
  for (unsigned attempt = 1;; ++attempt) {
    const Core::Rooms rooms = core.rooms();
    auto answer = step();
    if (answer || !is_no_space(answer.error()) || attempt == kAttempts || !make_room(rooms, attempt)) return answer;
  }
}

/// Runs `step()` with room made for it: pages of what was dropped, log by a checkpoint. The caller has passed the
/// writers' gate, or keeps those who shut it out by the mutex of changes of the catalog.
template <class Step>
auto with_log_room(Core& core, Step&& step) -> decltype(step()) {
  return with_room_made(core, step,
                        [&](const Core::Rooms& rooms, unsigned attempt) { return core.make_room(rooms, attempt); });
}

/// The same for a step that passes the writers' gate itself, whose caller is not behind it. Who makes the room passes
/// it as well: while somebody keeps all writers out, no page changes hands.
template <class Step>
auto with_log_room_outside(Core& core, Step&& step) -> decltype(step()) {
  return with_room_made(core, step, [&](const Core::Rooms& rooms, unsigned attempt) {
    const SharedGate::Pass pass = core.enter_writing();
    return pass && core.make_room(rooms, attempt);
  });
}

/// Runs a change of the catalog, a transaction of its own, with log room.
template <class Change>
auto change_catalog(const std::shared_ptr<Core>& core, Change&& change) -> decltype(change()) {
  return run_call(core, [&] { return with_log_room_outside(*core, change); });
}

/// Runs `attempt(deadline)`, which passes gates, changes something and leaves them. When it gives up because another
/// transaction holds what it needs, it has changed nothing: then that one is waited for, outside the gates, and it is
/// run again. So who holds a gate never waits for the end of a transaction, which may itself stand before that gate.
template <class Attempt>
auto with_lock_waits(Core& core, Attempt&& attempt) -> decltype(attempt(std::declval<LockDeadline&>())) {
  LockDeadline deadline(core.engine().lock_timeout);
  for (;;) {
    std::shared_ptr<const TxnStatus> holder;
    auto answer = [&] {
      const DeferLockWaits defer(holder);
      return attempt(deadline);
    }();
    if (answer || holder == nullptr || answer.error().code() != ErrorCode::kConflict) return answer;
    VG_TRY(core.wait_for_end(*holder, deadline.at()));
  }
}

/// Runs a change as a transaction of its own, with its object's gates passed: `change()`, with log room.
template <class Change>
auto statement_alone(Core& core, ObjectState& object, Change&& change) -> decltype(change()) {
  using Answer = decltype(change());
  return run_call(core, [&]() -> Answer {
    VG_TRY(core.check_writable());
    return with_lock_waits(core, [&](LockDeadline& deadline) -> Answer {
      const SharedGate::Pass pass = core.enter_writing();
      if (!pass) return closed_error();
      SharedGate::Pass table_pass;
      if (object.kind == ObjectKind::kTable) VG_TRY(core.enter_table(object, false, deadline, table_pass));
      if (object.dropped.load()) return object.dropped_error();
      return with_log_room(core, change);
    });
  });
}

/// Counts a transaction among the object's open writers: while this lives, and until the transaction ends if that has
/// logged something meanwhile.
class WriterCount {
 public:
  WriterCount(OpenTransaction& open, const std::shared_ptr<ObjectState>& object)
      : open_(open), last_(open.txn->last()) {
    open_.written.push_back(object);
    object->open_writers.fetch_add(1);
  }
  WriterCount(const WriterCount&) = delete;
  WriterCount& operator=(const WriterCount&) = delete;
  ~WriterCount() {
    if (open_.txn->last() != last_) return;
    open_.written.back()->open_writers.fetch_sub(1);
    open_.written.pop_back();
  }

 private:
  OpenTransaction& open_;
  const Lsn last_;
};

/// One attempt of statement_within(), which leaves its transaction as it found it unless it succeeds.
template <class Change>
auto attempt_within(Core& core, const std::shared_ptr<ObjectState>& object, OpenTransaction& open,
                    LockDeadline& deadline, Change&& change) -> decltype(change(std::declval<Txn&>())) {
  using Answer = decltype(change(std::declval<Txn&>()));
  const SharedGate::Pass pass = core.enter_writing();
  if (!pass) return closed_error();
  const bool is_writer = std::find(open.written.begin(), open.written.end(), object) != open.written.end();
  SharedGate::Pass table_pass;
  if (object->kind == ObjectKind::kTable) VG_TRY(core.enter_table(*object, is_writer, deadline, table_pass));
  if (object->dropped.load()) return object->dropped_error();
  std::optional<WriterCount> writer;
  if (!is_writer) writer.emplace(open, object);
  Txn& txn = *open.txn;
  return with_log_room(core, [&]() -> Answer {
    const Lsn last = txn.last();
    const std::size_t written = txn.written().size();
    Answer answer = [&]() -> Answer {
      try {
        return change(txn);
      } catch (const std::bad_alloc&) {
        return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
      }
    }();
    if (!answer && txn.last() != last) VG_TRY(core.txns().rollback_to(txn, last, written));
    return answer;
  });
}

/// Runs a change within a transaction: `change(Txn&)`. A failed one is undone, and the transaction goes on.
template <class Change>
auto statement_within(Core& core, const std::shared_ptr<ObjectState>& object, Transaction::State* state,
                      Change&& change) -> decltype(change(std::declval<Txn&>())) {
  using Answer = decltype(change(std::declval<Txn&>()));
  if (state == nullptr || state->open == nullptr) return not_active();
  if (state->core.get() != &core) return other_database();
  return run_call(core, [&]() -> Answer {
    VG_TRY(core.check_writable());
    if (state->open->txn == nullptr) return closed_error();
    return with_lock_waits(
        core, [&](LockDeadline& deadline) { return attempt_within(core, object, *state->open, deadline, change); });
  });
}

}  // namespace vaultgres::internal
