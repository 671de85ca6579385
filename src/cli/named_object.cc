#include "cli/named_object.h"

#include <fmt/format.h>

#include <optional>

#include "base/try.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/row_text.h"

namespace vaultgres::cli {

namespace {

/// None when the name is another kind's, or nobody's.
template <class Object>
Result<std::optional<Object>> if_of_kind(Result<Object> opened) {
  if (opened) return std::optional<Object>(*std::move(opened));
  if (opened.error().code() == ErrorCode::kNotFound) return std::optional<Object>();
  return opened.error();
}

}  // namespace

Result<NamedObject> open_named(Database& database, const std::string& name) {
  VG_ASSIGN(std::optional<Map> map, if_of_kind(database.open_map(name)));
  if (map) return NamedObject(*std::move(map));
  VG_ASSIGN(std::optional<Table> table, if_of_kind(database.open_table(name)));
  if (table) return NamedObject(*std::move(table));
  VG_ASSIGN(std::optional<Index> index, if_of_kind(database.open_index(name)));
  if (index) return NamedObject(*std::move(index));
  return Error(ErrorCode::kNotFound, fmt::format("there is no map, table or index \"{}\"; `vaultgres maps` and "
                                                 "`vaultgres tables` list what there is",
                                                 escape(name)));
}

Result<NamedObject> open_or_create(Database& database, const std::string& name) {
  Result<NamedObject> opened = open_named(database, name);
  if (opened || opened.error().code() != ErrorCode::kNotFound) return opened;
  VG_ASSIGN(Map map, database.create_map(name));
  return NamedObject(std::move(map));
}

Result<ExitCode> with_named(const std::string& directory, const std::string& name,
                            const std::function<Result<ExitCode>(Database&, NamedObject&)>& use) {
  return with_database(directory, Missing::kIsError, Durability::kDurable, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(NamedObject object, open_named(database, name));
    return use(database, object);
  });
}

Result<ExitCode> with_named_to_read(const std::string& directory, const std::string& name,
                                    const std::function<Result<ExitCode>(Database&, NamedObject&)>& use) {
  return with_database_to_read(directory, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(NamedObject object, open_named(database, name));
    return use(database, object);
  });
}

std::string named(const NamedObject& object) {
  constexpr const char* kKinds[] = {"map", "table", "index"};
  return fmt::format("the {} \"{}\"", kKinds[object.index()],
                     escape(std::visit([](const auto& opened) { return opened.name(); }, object)));
}

Result<std::string> only_key(const Map& map, const std::vector<std::string>& values, bool escaped) {
  if (values.size() != 1) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("{} has one key per entry, but {} are given", named(map), values.size()));
  }
  return field_of(values[0], escaped, "KEY");
}

Result<RowId> only_place(const Table& table, const std::vector<std::string>& values, const char* takes,
                         const char* purpose) {
  if (values.size() != 1) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("of {}, {} the row at one place, but {} are given; to {} rows by values, name an index "
                             "of it",
                             named(table), takes, values.size(), purpose));
  }
  return parse_place(values[0]);
}

}  // namespace vaultgres::cli
