// What the loads of maps and of tables have in common: an object that is being filled, and gets its name at the end.
//
// It stands in `retired` under the load's transaction until publish() commits that; so a crash, an error or the load's
// destruction leaves nothing of it.
#pragma once

#include <memory>
#include <string>

#include "db/core.h"
#include "db/statement.h"

namespace vaultgres::internal {

/// Of a load that has ended, or was moved from.
Error load_ended();

class ObjectLoad {
 public:
  explicit ObjectLoad(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~ObjectLoad();
  ObjectLoad(const ObjectLoad&) = delete;
  ObjectLoad& operator=(const ObjectLoad&) = delete;

  /// Makes the object, empty. `entry`: its kind and schema. Within a call.
  Status begin(std::string_view name, CatalogEntry entry);

  Core& core() const noexcept { return *core_; }
  const std::shared_ptr<Core>& shared_core() const noexcept { return core_; }
  const std::string& name() const noexcept { return name_; }
  const CatalogEntry& entry() const noexcept { return entry_; }
  Txn& txn() const noexcept { return *open_->txn; }

  /// Runs `step()`, a call that fills the object, with log room. Whatever it returns, it may be run again.
  template <class Step>
  Status run(Step&& step) {
    return run_call(*core_, [&]() -> Status {
      if (open_ == nullptr) return load_ended();
      const SharedGate::Pass pass = core_->enter_writing();
      if (!pass || open_->txn == nullptr) return closed_error();
      return with_log_room(*core_, step);
    });
  }
  /// Gives the object its name, durably. `state`: it, as others will see it. Within a call.
  Status publish(const std::shared_ptr<ObjectState>& state);

 private:
  std::shared_ptr<Core> core_;
  std::string name_;
  CatalogEntry entry_;
  NewObject made_;
  std::shared_ptr<OpenTransaction> open_;  ///< null before begin() and after publish()
};

}  // namespace vaultgres::internal
