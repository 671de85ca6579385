// The public handle MapLoad: filling a new map.
#include <optional>

#include "base/try.h"
#include "db/limits.h"
#include "db/object_load.h"
#include "txn/entry_load.h"
#include "vaultgres/map.h"

namespace vaultgres {

namespace internal {

/// A map that is being filled.
struct MapLoadState {
  explicit MapLoadState(const std::shared_ptr<Core>& core) : object(core) {}

  ObjectLoad object;
  std::optional<EntryLoad> load;
  bool complete = false;  ///< all that was added is in the tree
};

Result<MapLoad> begin_map_load(const std::shared_ptr<Core>& core, std::string_view name) {
  auto state = std::make_unique<MapLoadState>(core);
  CatalogEntry entry;
  entry.kind = ObjectKind::kMap;
  ObjectLoad& object = state->object;
  VG_TRY(object.begin(name, std::move(entry)));
  state->load.emplace(core->engine(), object.txn(),
                      Tree(core->engine().trees, object.entry().object, object.entry().root, Hint::kScan));
  return MapLoad(std::move(state));
}

Map make_map(MapHandle handle) {
  return Map(std::make_shared<MapHandle>(std::move(handle)));
}

}  // namespace internal

MapLoad::MapLoad(std::unique_ptr<internal::MapLoadState> state) : state_(std::move(state)) {}
MapLoad::MapLoad(MapLoad&&) noexcept = default;
MapLoad& MapLoad::operator=(MapLoad&&) noexcept = default;
MapLoad::~MapLoad() = default;

Status MapLoad::add(std::string_view key, std::string_view value) {
  VG_TRY(internal::check_key(key));
  VG_TRY(internal::check_value(value));
  if (state_ == nullptr) return internal::load_ended();
  internal::MapLoadState& state = *state_;
  return state.object.run([&]() -> Status {
    if (state.complete) {
      return Error(ErrorCode::kInvalidArgument, "nothing can be added to a load once finish() was called");
    }
    return state.load->add(as_bytes(key), as_bytes(value));
  });
}

std::uint64_t MapLoad::entries() const noexcept {
  return state_ != nullptr && state_->load ? state_->load->entries() : 0;
}

Result<Map> MapLoad::finish() {
  if (state_ == nullptr) return internal::load_ended();
  internal::MapLoadState& state = *state_;
  internal::ObjectLoad& object = state.object;
  VG_TRY(object.run([&] {
    state.complete = true;  // even if this fails: part of the end may be written
    return state.load->finish();
  }));
  return internal::run_call(object.core(), [&]() -> Result<Map> {
    // Made first: once the map is there, nothing may fail.
    auto map = std::make_shared<internal::MapState>(object.name(), object.entry());
    Map handle = internal::make_map({object.shared_core(), map, object.name()});
    VG_TRY(object.publish(map));
    return handle;
  });
}

}  // namespace vaultgres
