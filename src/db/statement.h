// Statements: single calls that change something, alone or within a transaction. Each is atomic.
#pragma once

#include <algorithm>

#include "base/try.h"
#include "db/core.h"
#include "db/transaction_state.h"

namespace vaultgres::internal {

inline bool is_no_space(const Error& error) {
  return error.code() == ErrorCode::kNoSpace;
}

/// Runs a change as a transaction of its own, with its object's gates passed: `change()`. One that finds no log space
/// has changed nothing, and is tried again when a checkpoint has freed some.
template <class Change>
auto statement_alone(Core& core, ObjectState& object, Change&& change) -> decltype(change()) {
  return run_call(core, [&]() -> decltype(change()) {
    VG_TRY(core.check_writable());
    const SharedGate::Pass pass = core.enter_writing();
    if (!pass) return closed_error();
    SharedGate::Pass table_pass;
    if (object.kind == ObjectKind::kTable) VG_TRY(core.enter_table(object, false, table_pass));
    if (object.dropped.load()) return object.dropped_error();
    auto answer = change();
    if (answer || !is_no_space(answer.error()) || !core.make_log_room()) return answer;
    return change();
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
    OpenTransaction& open = *state->open;
    if (open.txn == nullptr) return closed_error();
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
    const Lsn last = txn.last();
    const std::size_t written = txn.written().size();
    Answer answer = [&]() -> Answer {
      try {
        return change(txn);
      } catch (const std::bad_alloc&) {
        return Error(ErrorCode::kOutOfMemory, "no memory for this call; nothing was changed by it");
      }
    }();
    if (answer) return answer;
    if (txn.last() != last) VG_TRY(core.txns().rollback_to(txn, last, written));
    if (is_no_space(answer.error())) core.make_log_room();  // for the next try
    return answer;
  });
}

}  // namespace vaultgres::internal
