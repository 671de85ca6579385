// The public handle TableLoad: filling a new table.
#include "base/try.h"
#include "db/core.h"
#include "db/table_state.h"

namespace vaultgres {

namespace internal {

Result<TableLoad> begin_load(const std::shared_ptr<Core>& core, std::string_view name, Schema schema) {
  auto state = std::make_unique<TableLoadState>(core);
  state->codec.emplace(schema);
  CatalogEntry entry;
  entry.kind = ObjectKind::kTable;
  entry.schema = std::move(schema);
  ObjectLoad& object = state->object;
  VG_TRY(object.begin(name, std::move(entry)));
  state->load.emplace(core->engine(), object.txn(),
                      Heap(core->engine().heaps, object.entry().object, object.entry().root, Hint::kScan));
  return TableLoad(std::move(state));
}

}  // namespace internal

TableLoad::TableLoad(std::unique_ptr<internal::TableLoadState> state) : state_(std::move(state)) {}
TableLoad::TableLoad(TableLoad&&) noexcept = default;
TableLoad& TableLoad::operator=(TableLoad&&) noexcept = default;
TableLoad::~TableLoad() = default;

Status TableLoad::add(const Row& row) {
  if (state_ == nullptr) return internal::load_ended();
  internal::TableLoadState& state = *state_;
  VG_TRY(state.object.run([&] {
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
  if (state_ == nullptr) return internal::load_ended();
  internal::TableLoadState& state = *state_;
  internal::ObjectLoad& object = state.object;
  VG_TRY(object.run([&] { return state.load->finish(); }));
  return internal::run_call(object.core(), [&]() -> Result<Table> {
    // Made first: once the table is there, nothing may fail.
    auto table = std::make_shared<internal::TableState>(object.name(), object.entry());
    Table handle = internal::make_table(
        std::make_shared<internal::TableHandle>(internal::TableHandle{object.shared_core(), table, object.name()}));
    VG_TRY(object.publish(table));
    return handle;
  });
}

namespace internal {
Table make_table(std::shared_ptr<TableHandle> handle) {
  return Table(std::move(handle));
}
}  // namespace internal

}  // namespace vaultgres
