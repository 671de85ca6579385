// Statements: single calls that change something, alone or within a transaction. Each is atomic.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/try.h"
#include "db/core.h"
#include "db/transaction_state.h"

namespace vaultgres::internal {

inline bool is_no_space(const Error& error) {
  return error.code() == ErrorCode::kNoSpace;
}

/// Runs `step()`, which has changed nothing when it finds no space; then it is tried again when some has been made:
/// pages of what was dropped, log by a checkpoint. A few times: others may be faster to take it.
template <class Step>
auto with_log_room(Core& core, Step&& step) -> decltype(step()) {
  constexpr int kAttempts = 4;
  for (int attempt = 1;; ++attempt) {
    const std::uint64_t log_rooms = core.log_rooms();
    auto answer = step();
    if (answer || !is_no_space(answer.error()) || attempt == kAttempts || !core.make_room(log_rooms)) return answer;
  }
}

/// Runs a change of the catalog, a transaction of its own, with log room.
template <class Change>
auto change_catalog(const std::shared_ptr<Core>& core, Change&& change) -> decltype(change()) {
  return run_call(core, [&] { return with_log_room(*core, change); });
}

/// Runs `attempt()`, which passes gates, changes something and leaves them. When it gives up because another
/// transaction holds what it needs, it has changed nothing: then that one is waited for, outside the gates, and it is
/// run again. So who holds a gate never waits for the end of a transaction, which may itself stand before that gate.
template <class Attempt>
auto with_lock_waits(Core& core, Attempt&& attempt) -> decltype(attempt()) {
  const auto deadline = std::chrono::steady_clock::now() + core.engine().lock_timeout;
  for (;;) {
    std::shared_ptr<const TxnStatus> holder;
    auto answer = [&] {
      const DeferLockWaits defer(holder);
      return attempt();
    }();
    if (answer || holder == nullptr || answer.error().code() != ErrorCode::kConflict) return answer;
    VG_TRY(core.wait_for_end(*holder, deadline));
  }
}

/// Runs a change as a transaction of its own, with its object's gates passed: `change()`, with log room.
template <class Change>
auto statement_alone(Core& core, ObjectState& object, Change&& change) -> decltype(change()) {
  using Answer = decltype(change());
  return run_call(core, [&]() -> Answer {
    VG_TRY(core.check_writable());
    return with_lock_waits(core, [&]() -> Answer {
      const SharedGate::Pass pass = core.enter_writing();
      if (!pass) return closed_error();
      SharedGate::Pass table_pass;
      if (object.kind == ObjectKind::kTable) VG_TRY(core.enter_table(object, false, table_pass));
      if (object.dropped.load()) return object.dropped_error();
      return with_log_room(core, change);
    });
  });
}

/// One attempt of statement_within(), which leaves its transaction as it found it unless it succeeds.
template <class Change>
auto attempt_within(Core& core, const std::shared_ptr<ObjectState>& object, OpenTransaction& open, Change&& change)
    -> decltype(change(std::declval<Txn&>())) {
  using Answer = decltype(change(std::declval<Txn&>()));
  const SharedGate::Pass pass = core.enter_writing();
  if (!pass) return closed_error();
  const bool is_writer = std::find(open.written.begin(), open.written.end(), object) != open.written.end();
  SharedGate::Pass table_pass;
  if (object->kind == ObjectKind::kTable) VG_TRY(core.enter_table(*object, is_writer, table_pass));
  if (object->dropped.load()) return object->dropped_error();
  if (!is_writer) {
    open.written.push_back(object);
    object->open_writers.fetch_add(1);
  }
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
    return with_lock_waits(core, [&] { return attempt_within(core, object, *state->open, change); });
  });
}

}  // namespace vaultgres::internal
