// Database::load: the objects of a dump by the bulk loads, then their indexes.
#include <optional>
#include <set>

#include "base/try.h"
#include "db/core.h"
#include "db/dump_reader.h"

namespace vaultgres {

namespace {

using internal::DumpItem;

/// Turns the items of a dump into objects of a database.
class DumpLoader {
 public:
  DumpLoader(Database& database, internal::Core& core, const DumpNames& into)
      : database_(database), core_(core), into_(into) {
    for (const auto& [from, to] : into) unmet_.insert(from);
  }

  Status take(const DumpItem& item) {
    switch (item.kind) {
      case DumpItem::Kind::kName:
        return check_name(item.name);
      case DumpItem::Kind::kObject:
        VG_TRY(check_names_met());
        return begin(item);
      case DumpItem::Kind::kEntry:
        return map_->add(item.key, item.value);
      case DumpItem::Kind::kRow:
        return table_->add(item.row);
      case DumpItem::Kind::kObjectEnd:
        return finish();
      case DumpItem::Kind::kIndex:
        return make_index(item);
      default:
        return check_names_met();
    }
  }

 private:
  std::string_view name_of(std::string_view name) const {
    const auto found = into_.find(name);
    return found == into_.end() ? name : std::string_view(found->second);
  }

  /// Before anything is loaded.
  Status check_name(std::string_view name) {
    if (const auto met = unmet_.find(name); met != unmet_.end()) unmet_.erase(met);
    return internal::run_call(core_, [&] { return core_.check_name_free(name_of(name)); });
  }

  Status check_names_met() const {
    if (unmet_.empty()) return {};
    return Error(ErrorCode::kNotFound, "the dump has nothing of the name \"" + *unmet_.begin() + "\"");
  }

  Status begin(const DumpItem& item) {
    name_ = name_of(item.name);
    pinned_ = item.entry.pinned;
    schema_ = item.entry.schema;
    if (item.entry.kind == ObjectKind::kMap) {
      VG_ASSIGN(map_, database_.load_map(name_));
    } else {
      VG_ASSIGN(table_, database_.load_table(name_, *schema_));
    }
    return {};
  }

  Status finish() {
    if (map_) {
      VG_TRY(map_->finish());
    } else {
      VG_TRY(table_->finish());
    }
    map_.reset();
    table_.reset();
    return pinned_ ? database_.set_pinned(name_, true) : Status();
  }

  Status make_index(const DumpItem& item) {
    const std::string name(name_of(item.name));
    VG_TRY(database_.create_index(name, name_, internal::spec_of(*schema_, *item.entry.index)));
    return item.entry.pinned ? database_.set_pinned(name, true) : Status();
  }

  Database& database_;
  internal::Core& core_;
  const DumpNames& into_;
  std::set<std::string, std::less<>> unmet_;  ///< of into_: not in the dump's contents so far
  std::string name_;                          ///< here, of the object at hand
  std::optional<Schema> schema_;
  bool pinned_ = false;
  std::optional<MapLoad> map_;
  std::optional<TableLoad> table_;
};

}  // namespace

Result<DumpSummary> Database::load(const DumpSource& source, const DumpNames& into) {
  return internal::catch_bad_alloc([&]() -> Result<DumpSummary> {
    if (core_ == nullptr) return internal::closed_error();
    const auto read = [&](MutableBytes bytes) { return source(reinterpret_cast<char*>(bytes.data()), bytes.size()); };
    internal::DumpReader reader(read);
    DumpLoader loader(*this, *core_, into);
    for (DumpItem item; item.kind != DumpItem::Kind::kEnd;) {
      VG_TRY(reader.next(item));
      VG_TRY(loader.take(item));
    }
    return reader.summary();
  });
}

}  // namespace vaultgres
