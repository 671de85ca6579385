// The public handle TableLoad: filling a new table.
#include "base/try.h"
#include "db/core.h"
#include "db/statement.h"
#include "db/table_state.h"

namespace vaultgres {

namespace internal {

TableLoadState::~TableLoadState() {
  // Its pages go with the row of `retired`. An error has poisoned the database: the next call says so.
  // A close that is faster rolls it back itself.
  if (open != nullptr) static_cast<void>(run_call(*core, [&] { return core->end(*open, std::nullopt); }).has_value());
}

Result<TableLoad> begin_load(const std::shared_ptr<Core>& core, std::string_view name, Schema schema) {
  VG_TRY(core->check_writable());
  VG_TRY(core->check_name_free(name));
  auto state = std::make_unique<TableLoadState>();
  state->core = core;
  state->name = name;
  state->codec.emplace(schema);
  state->entry.kind = ObjectKind::kTable;
  state->entry.schema = std::move(schema);
  VG_ASSIGN(state->entry.object, core->reserve_object_id());
  state->open = core->begin();
  const SharedGate::Pass pass = core->enter_writing();
  if (!pass || state->open->txn == nullptr) return closed_error();
  Txn& txn = *state->open->txn;
  VG_ASSIGN(state->made, create_object(core->engine(), txn, RetiredKind::kTable, state->entry.object));
  state->entry.root = state->made.root;
  state->load.emplace(core->engine(), txn,
                      Heap(core->engine().heaps, state->entry.object, state->made.root, Hint::kScan));
  return TableLoad(std::move(state));
}

namespace {

/// Runs a step of the load; one that finds no log space is tried again when a checkpoint has freed some.
template <class Step>
Status run_step(TableLoadState& state, Step&& step) {
  return run_call(*state.core, [&]() -> Status {
    if (state.open == nullptr) return Error(ErrorCode::kInvalidArgument, "the load has ended");
    Core& core = *state.core;
    const SharedGate::Pass pass = core.enter_writing();
    if (!pass || state.open->txn == nullptr) return closed_error();
    Status done = step();
    if (done || !is_no_space(done.error()) || !core.make_log_room()) return done;
    return step();
  });
}

}  // namespace

}  // namespace internal

TableLoad::TableLoad(std::unique_ptr<internal::TableLoadState> state) : state_(std::move(state)) {}
TableLoad::TableLoad(TableLoad&&) noexcept = default;
TableLoad& TableLoad::operator=(TableLoad&&) noexcept = default;
TableLoad::~TableLoad() = default;

Status TableLoad::add(const Row& row) {
  internal::TableLoadState& state = *state_;
  VG_TRY(internal::run_step(state, [&] {
    const Status encoded = state.codec->encode(row, state.bytes);
    return encoded ? state.load->add(as_bytes(state.bytes)) : encoded;
  }));
  ++state.rows;
  return {};
}

std::uint64_t TableLoad::rows() const noexcept {
  return state_ != nullptr ? state_->rows : 0;
}

Result<Table> TableLoad::finish() {
  internal::TableLoadState& state = *state_;
  VG_TRY(internal::run_step(state, [&] { return state.load->finish(); }));
  return internal::run_call(*state.core, [&]() -> Result<Table> {
    VG_ASSIGN(auto table, state.core->publish_table(*state.open, state.name, state.entry, state.made));
    state.open = nullptr;
    return internal::make_table({state.core, std::move(table), state.name});
  });
}

namespace internal {
Table make_table(TableHandle handle) {
  return Table(std::make_shared<TableHandle>(std::move(handle)));
}
}  // namespace internal

}  // namespace vaultgres
