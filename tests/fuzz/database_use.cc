#include "database_use.h"

#include <string>
#include <vector>

#include "targets.h"

namespace vaultgres::fuzz {
namespace {

/// No file that an input makes holds more entries.
constexpr std::uint64_t kStepsMax = 100'000;
/// Of what a walk gave, so much is looked up.
constexpr std::size_t kLookUps = 6;

/// Answers are looked at by nobody: an error is as good as a result.
template <class T>
bool ask(const Result<T>& result) {
  return result.has_value();
}

/// Steps `cursor` on until it ends or fails; `see()` at each entry.
template <class Cursor, class See>
void walk(Cursor& cursor, Result<bool> (Cursor::*step)(), See&& see) {
  for (std::uint64_t steps = 0;; ++steps) {
    VG_FUZZ_CHECK(steps < kStepsMax, "a walk that does not end");
    const Result<bool> more = (cursor.*step)();
    if (!more || !*more) return;
    see();
  }
}

// --- Reading

void read_map(const Map& map, InputReader& script) {
  std::vector<std::string> keys;
  std::string last;
  bool first = true;
  Cursor cursor = map.cursor();
  walk(cursor, &Cursor::next, [&] {
    VG_FUZZ_CHECK(first || cursor.key() > last, "a walk gives keys out of order");
    first = false;
    last = cursor.key();
    static_cast<void>(std::string(cursor.value()));
    if (keys.size() < kLookUps) keys.push_back(last);
  });
  first = true;
  Cursor back = map.cursor();
  walk(back, &Cursor::prev, [&] {
    VG_FUZZ_CHECK(first || back.key() < last, "a walk backwards gives keys out of order");
    first = false;
    last = back.key();
  });
  keys.push_back(script.text(40));
  for (const std::string& key : keys) {
    static_cast<void>(ask(map.get(key)));
    static_cast<void>(ask(cursor.seek(key)) && ask(cursor.prev()));
    static_cast<void>(ask(cursor.floor(key)) && ask(cursor.next()));
    static_cast<void>(ask(map.size_estimate({.from = key, .to = std::nullopt})));
  }
  static_cast<void>(ask(map.count(KeyRange::prefix(keys.front().substr(0, 2)))));
}

void read_index(const Index& index) {
  std::vector<Row> keys;
  RowCursor cursor = index.range();
  walk(cursor, &RowCursor::next, [&] {
    if (keys.size() >= kLookUps) return;
    Row key;
    for (const IndexSpec::Part& part : index.spec().columns) {
      key.push_back(cursor.row()[*index.schema().find(part.column)]);
    }
    keys.push_back(std::move(key));
  });
  RowCursor back = index.range();
  walk(back, &RowCursor::prev, [&] { static_cast<void>(Row(back.row())); });
  for (Row& key : keys) {
    static_cast<void>(ask(index.find(key)));
    const Value bound = key.front();
    RowCursor few = index.range({.from = ValueBound{bound}});
    static_cast<void>(ask(few.first()) && ask(few.next()) && ask(few.prev()));
  }
}

void read_table(const Table& table, InputReader& script) {
  std::vector<RowId> ids;
  RowId last{};
  TableScan scan = table.scan();
  walk(scan, &TableScan::next, [&] {
    VG_FUZZ_CHECK(scan.id() != last, "a scan gives a row twice");
    last = scan.id();
    static_cast<void>(Row(scan.row()));
    if (ids.size() < kLookUps) ids.push_back(last);
  });
  ids.push_back({script.byte(), script.byte()});
  for (const RowId id : ids) static_cast<void>(ask(table.get(id)));
}

template <class Info>
std::vector<std::string> names_of(const Result<std::vector<Info>>& list) {
  std::vector<std::string> names;
  if (!list) return names;
  for (const Info& info : *list) names.push_back(info.name);
  return names;
}

// --- Changing

/// A row of the table: small numbers, short texts, some NULLs, sometimes a text too long for a page.
Row some_row(const Schema& schema, InputReader& script) {
  Row row;
  for (const Column& column : schema.columns()) {
    const std::uint8_t what = script.byte();
    const std::string text(what > 250 ? 3 * kPageBytes : what / 4, static_cast<char>('a' + what % 26));
    if (column.nullable && what % 8 == 7) {
      row.emplace_back();
    } else if (column.type == ColumnType::kText) {
      row.emplace_back(text);
    } else if (column.type == ColumnType::kBytes) {
      row.push_back(Value::bytes(text));
    } else if (column.type == ColumnType::kDouble) {
      row.emplace_back(what / 8.0);
    } else if (column.type == ColumnType::kBool) {
      row.emplace_back((what & 1) != 0);
    } else if (column.type == ColumnType::kDate) {
      row.emplace_back(Date{what});
    } else if (column.type == ColumnType::kTimestamp) {
      row.emplace_back(Timestamp{what});
    } else {
      row.emplace_back(static_cast<std::int16_t>(what));
    }
  }
  return row;
}

std::string some_value(InputReader& script) {
  const unsigned what = script.byte();
  return std::string(what > 240 ? std::size_t{what} * 16 : what, 'v');
}

void change_map(Database& db, const Map& map_handle, InputReader& script) {
  Map map = map_handle;
  std::vector<std::string> keys;
  {
    Cursor cursor = map.cursor();
    while (keys.size() < 40) {
      const Result<bool> more = cursor.next();
      if (!more || !*more) break;
      keys.emplace_back(cursor.key());
    }
  }
  keys.push_back("new");
  const auto some_key = [&] { return keys[script.below(static_cast<unsigned>(keys.size()))]; };
  for (unsigned i = 0; i < 6; ++i) {
    static_cast<void>(ask(map.put(some_key(), some_value(script))));
    static_cast<void>(ask(map.put(some_key() + script.text(6), some_value(script))));
    static_cast<void>(ask(map.erase(some_key())));
  }
  Result<Transaction> txn = db.begin();
  if (!txn) return;
  static_cast<void>(ask(map.put(*txn, some_key(), some_value(script))));
  static_cast<void>(ask(map.erase(*txn, some_key())));
  static_cast<void>(ask(map.insert(*txn, some_key() + "+", some_value(script))));
  static_cast<void>(script.flag() ? ask(txn->commit()) : ask(txn->rollback()));
  // Enough for leaves to be merged.
  for (const std::string& key : keys) static_cast<void>(script.flag() && ask(map.erase(key)));
}

void change_table(Database& db, const Table& table_handle, InputReader& script) {
  Table table = table_handle;
  std::vector<RowId> ids;
  {
    TableScan scan = table.scan();
    while (ids.size() < 40) {
      const Result<bool> more = scan.next();
      if (!more || !*more) break;
      ids.push_back(scan.id());
    }
  }
  ids.push_back({script.byte(), script.byte()});
  const auto some_id = [&] { return ids[script.below(static_cast<unsigned>(ids.size()))]; };
  for (unsigned i = 0; i < 5; ++i) {
    static_cast<void>(ask(table.insert(some_row(table.schema(), script))));
    static_cast<void>(ask(table.update(some_id(), some_row(table.schema(), script))));
    static_cast<void>(ask(table.erase(some_id())));
  }
  Result<Transaction> txn = db.begin();
  if (!txn) return;
  static_cast<void>(ask(table.update(*txn, some_id(), some_row(table.schema(), script))));
  static_cast<void>(ask(table.erase(*txn, some_id())));
  static_cast<void>(ask(table.insert(*txn, some_row(table.schema(), script))));
  static_cast<void>(script.flag() ? ask(txn->commit()) : ask(txn->rollback()));
}

void change_catalog(Database& db, InputReader& script) {
  const std::vector<std::string> maps = names_of(db.maps());
  const std::vector<std::string> tables = names_of(db.tables());
  const std::vector<std::string> indexes = names_of(db.indexes());
  const auto some = [&](const std::vector<std::string>& names) {
    return names.empty() ? std::string("none") : names[script.below(static_cast<unsigned>(names.size()))];
  };
  switch (script.below(8)) {
    case 0:
      return static_cast<void>(ask(db.drop_map(some(maps))));
    case 1:
      return static_cast<void>(ask(db.drop_table(some(tables))));
    case 2:
      return static_cast<void>(ask(db.drop_index(some(indexes))));
    case 3:
      return static_cast<void>(ask(db.rename_table(some(tables), "another name")));
    case 4: {
      const std::string name = some(tables);
      const Result<Table> table = db.open_table(name);
      if (!table) return;
      const Schema& schema = table->schema();
      const std::string column = schema[script.below(static_cast<unsigned>(schema.size()))].name;
      return static_cast<void>(
          ask(db.create_index("new index", name, {.columns = {{column, script.flag()}}, .unique = script.flag()})));
    }
    case 5:
      return static_cast<void>(ask(db.create_table("new table", *Schema::create({{"c", ColumnType::kInt32}}))));
    case 6:
      return static_cast<void>(ask(db.set_pinned(some(maps), true)));
    default:
      return static_cast<void>(ask(db.create_map("new map")));
  }
}

}  // namespace

void read_everything(Database& db, InputReader& script) {
  for (const std::string& name : names_of(db.maps())) {
    if (const Result<Map> map = db.open_map(name)) read_map(*map, script);
    static_cast<void>(ask(db.map_stats(name)));
  }
  for (const std::string& name : names_of(db.tables())) {
    if (const Result<Table> table = db.open_table(name)) read_table(*table, script);
    static_cast<void>(ask(db.table_stats(name)));
  }
  for (const std::string& name : names_of(db.indexes())) {
    if (const Result<Index> index = db.open_index(name)) read_index(*index);
    static_cast<void>(ask(db.index_stats(name)));
  }
  static_cast<void>(ask(db.check()));
  static_cast<void>(ask(db.stats()));
}

void change_some(Database& db, InputReader& script) {
  for (const std::string& name : names_of(db.maps())) {
    if (const Result<Map> map = db.open_map(name)) change_map(db, *map, script);
  }
  for (const std::string& name : names_of(db.tables())) {
    if (const Result<Table> table = db.open_table(name)) change_table(db, *table, script);
  }
  for (unsigned i = 0; i < 3; ++i) change_catalog(db, script);
  static_cast<void>(ask(db.sync()));
  static_cast<void>(ask(db.checkpoint()));
  static_cast<void>(ask(db.check()));
}

}  // namespace vaultgres::fuzz
