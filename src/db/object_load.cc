#include "db/object_load.h"

#include "base/try.h"

namespace vaultgres::internal {

Error load_ended() {
  return Error(ErrorCode::kInvalidArgument, "the load has ended");
}

ObjectLoad::~ObjectLoad() {
  // Its pages go with the row of `retired`. An error has poisoned the database: the next call says so.
  // A close that is faster rolls it back itself.
  if (open_ != nullptr)
    static_cast<void>(run_call(*core_, [&] { return core_->end(*open_, std::nullopt); }).has_value());
}

Status ObjectLoad::begin(std::string_view name, CatalogEntry entry) {
  VG_TRY(core_->check_writable());
  VG_TRY(core_->check_name_free(name));
  name_ = name;
  entry_ = std::move(entry);
  VG_ASSIGN(entry_.object, with_log_room_outside(*core_, [&] { return core_->reserve_object_id(); }));
  open_ = core_->begin();
  const SharedGate::Pass pass = core_->enter_writing();
  if (!pass || open_->txn == nullptr) return closed_error();
  const RetiredKind kind = entry_.kind == ObjectKind::kTable ? RetiredKind::kTable : RetiredKind::kTree;
  VG_TRY(core_->txns().admit_change(txn()));  // not only when all is loaded
  VG_ASSIGN(made_, with_log_room(*core_, [&] { return create_object(core_->engine(), txn(), kind, entry_.object); }));
  entry_.root = made_.root;
  return {};
}

Status ObjectLoad::publish(const std::shared_ptr<ObjectState>& state) {
  if (open_ == nullptr) return load_ended();
  const Status published =
      with_log_room_outside(*core_, [&] { return core_->publish(*open_, name_, entry_, made_, state); });
  if (open_->txn == nullptr) open_ = nullptr;  // committed; or rolled back, because the commit failed
  return published;
}

}  // namespace vaultgres::internal
