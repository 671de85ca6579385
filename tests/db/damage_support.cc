#include "db/damage_support.h"

#include <algorithm>

#include "space/bitmap.h"

namespace vaultgres {

namespace {

constexpr int kSmallKeys = 240;
constexpr int kLargeKeys = 8;
constexpr std::int64_t kPeople = 120;

std::string small_key(int i) {
  return "key " + std::to_string(1000 + i);
}
std::string small_value(int i, unsigned round) {
  return std::to_string(i) + "." + std::to_string(round) + std::string(static_cast<std::size_t>(60 + i % 90), 'v');
}
std::string large_value_of(int i, unsigned round) {
  return std::string(kPageBytes + static_cast<std::size_t>(i) * kPageBytes / 3, static_cast<char>('a' + i + round % 8));
}
Row damage_person(std::int64_t id, unsigned round) {
  Row row = person(id, id % 40 == 7 ? 2 * kPageBytes : 40 + static_cast<std::size_t>(id) % 50);
  row[1] = "name " + std::to_string(id) + "." + std::to_string(round);
  return row;
}

void put(Map& map, Content& content, const std::string& key, const std::string& value) {
  ASSERT_OK(map.put(key, value));
  content[key] = value;
}

/// Reads one thing after the other and notes what is not right.
class Reader {
 public:
  Reader(Database& db, const DamageSubject& subject, DamageReading& reading)
      : db_(db), subject_(subject), reading_(reading) {}

  void read_all() {
    read_lists();
    for (const auto& [name, content] : subject_.maps) read_map(name, content);
    read_table();
  }

 private:
  void wrong(const std::string& what) {
    if (reading_.wrong.empty()) reading_.wrong = what;
  }
  /// False: it is an error, and has been noted.
  template <class T>
  bool take(const Result<T>& result, const std::string& what) {
    ++reading_.answers;
    if (result) return true;
    error(result.error(), what);
    return false;
  }
  void error(const Error& error, const std::string& what) {
    const std::string text(error.message());
    reading_.errors.push_back(text);
    if (error.code() != ErrorCode::kCorruption && error.code() != ErrorCode::kPoisoned) {
      wrong(what + " fails with " + std::string(error_code_name(error.code())) + ": " + text);
    } else if (text.find("page ") == std::string::npos) {
      wrong(what + " fails and names no page: " + text);
    }
  }

  void read_lists() {
    if (const auto maps = db_.maps(); take(maps, "the list of maps")) {
      if (maps->size() != subject_.maps.size()) wrong("the list of maps has " + std::to_string(maps->size()));
    }
    if (const auto indexes = db_.indexes("people"); take(indexes, "the list of indexes")) {
      if (indexes->size() != 2) wrong("the list of indexes has " + std::to_string(indexes->size()));
    }
  }

  void read_map(const std::string& name, const Content& content) {
    const Result<Map> map = db_.open_map(name);
    if (!take(map, "opening map " + name)) return;
    for (const auto& [key, value] : content) {
      const auto got = map->get(key);
      if (take(got, "get of " + key) && (!*got || **got != value)) wrong("map " + name + ": get of " + key);
      const auto none = map->get(key + "!");
      if (take(none, "get of " + key + "!") && *none) wrong("map " + name + ": " + key + "! is there");
    }
    walk_map(*map, content, true);
    walk_map(*map, content, false);
  }

  void walk_map(const Map& map, const Content& content, bool forward) {
    const std::string what = "map " + map.name() + (forward ? ", forward" : ", backward");
    std::vector<const Content::value_type*> expected;
    for (const auto& entry : content) expected.push_back(&entry);
    if (!forward) std::reverse(expected.begin(), expected.end());
    Cursor cursor = map.cursor();
    walk(
        cursor, forward, what, expected.size(),
        [&](std::size_t i) { return cursor.key() == expected[i]->first && cursor.value() == expected[i]->second; },
        [&] { return std::string(cursor.key()); });
  }

  void read_table() {
    const Result<Table> table = db_.open_table("people");
    if (!take(table, "opening the table")) return;
    for (const auto& [id, row] : subject_.people) {
      const auto got = table->get(id);
      if (take(got, "row " + text_of(id)) && (!*got || **got != row)) wrong("get of row " + text_of(id));
    }
    scan_table(*table);
    for (const char* name : {"by_id", "by_city"}) {
      const Result<Index> index = db_.open_index(name);
      if (!take(index, std::string("opening index ") + name)) continue;
      read_index(*index);
    }
  }

  void scan_table(const Table& table) {
    TableScan scan = table.scan();
    Rows seen;
    for (;;) {
      const Result<bool> more = scan.next();
      if (!take(more, "the scan of the table")) {
        if (scan.next()) wrong("the scan goes on after an error");
        break;
      }
      if (!*more) {
        if (seen != subject_.people) wrong("the scan of the table has " + std::to_string(seen.size()) + " rows");
        return;
      }
      const auto row = subject_.people.find(scan.id());
      if (row == subject_.people.end() || row->second != scan.row()) wrong("the scan gives row " + text_of(scan.id()));
      if (!seen.emplace(scan.id(), scan.row()).second) wrong("the scan gives row " + text_of(scan.id()) + " twice");
    }
  }

  void read_index(const Index& index) {
    const IndexOrder order(index.schema(), index.spec());
    const RowEntries entries = order.sorted(subject_.people);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0 && order.compare_keys(entries[i - 1]->second, entries[i]->second) == 0) continue;
      const auto found = index.find(order.key_of(entries[i]->second));
      if (!take(found, "index " + index.name())) continue;
      if (!*found || (*found)->id != entries[i]->first || (*found)->values != entries[i]->second) {
        wrong("index " + index.name() + ": find of row " + text_of(entries[i]->first));
      }
    }
    for (const bool forward : {true, false}) walk_index(index, entries, forward);
  }

  void walk_index(const Index& index, const RowEntries& entries, bool forward) {
    const std::string what = "index " + index.name() + (forward ? ", forward" : ", backward");
    RowCursor cursor = index.range();
    walk(
        cursor, forward, what, entries.size(),
        [&](std::size_t i) {
          const RowEntry& entry = *entries[forward ? i : entries.size() - 1 - i];
          return cursor.id() == entry.first && cursor.row() == entry.second;
        },
        [&] { return text_of(cursor.id()); });
  }

  /// To the end, or to an error, behind which a cursor stays. `is_right(i)`: it is at what comes `i`-th; `place()`:
  /// what it is at.
  template <class AnyCursor, class IsRight, class Place>
  void walk(AnyCursor& cursor, bool forward, const std::string& what, std::size_t count, IsRight&& is_right,
            Place&& place) {
    const auto step = [&] { return forward ? cursor.next() : cursor.prev(); };
    Result<bool> more = forward ? cursor.first() : cursor.last();
    for (std::size_t i = 0;; ++i) {
      if (!take(more, what)) {
        if (step()) wrong(what + ": the cursor goes on after an error");
        return;
      }
      if (!*more && i < count) return wrong(what + ": it ends after " + std::to_string(i));
      if (!*more) return;
      if (i == count) return wrong(what + ": it does not end");
      if (!is_right(i)) return wrong(what + ": " + std::to_string(i) + " is " + place());
      more = step();
    }
  }

  Database& db_;
  const DamageSubject& subject_;
  DamageReading& reading_;
};

}  // namespace

DamageSubject build_damage_subject(Database& db) {
  DamageSubject subject;
  EXPECT_TRUE(db.create_map("small"));
  EXPECT_TRUE(db.create_map("large"));
  EXPECT_TRUE(db.create_table("people", people_schema()));
  EXPECT_TRUE(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
  EXPECT_TRUE(db.create_index("by_city", "people", {.columns = {{"city", true}}, .unique = false}));
  Map gone = *db.create_map("gone");
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(gone.put(small_key(i), std::string(kPageBytes / 8, 'g')));
  change_damage_subject(db, subject, 0);
  EXPECT_TRUE(db.drop_map("gone"));
  return subject;
}

void change_damage_subject(Database& db, DamageSubject& subject, unsigned round) {
  Map small = *db.open_map("small");
  Map large = *db.open_map("large");
  Table people = *db.open_table("people");
  for (int i = 0; i < kSmallKeys; ++i) put(small, subject.maps["small"], small_key(i), small_value(i, round));
  for (int i = 0; i < kLargeKeys; ++i) put(large, subject.maps["large"], small_key(i), large_value_of(i, round));
  if (round == 0) {
    for (std::int64_t id = 0; id < kPeople; ++id) {
      const Row row = damage_person(id, round);
      const Result<RowId> inserted = people.insert(row);
      ASSERT_OK(inserted);
      subject.people[*inserted] = row;
    }
  }
  for (auto& [id, row] : subject.people) {
    if (round == 0 && row[0].integer() % 5 != 0) continue;
    // Some grow beyond their page and leave a stub.
    row = damage_person(row[0].integer(), round + 1);
    if (row[0].integer() % 15 == 0) row[3] = Value::bytes(std::string(kPageBytes / 6, 'm'));
    ASSERT_OK(people.update(id, row));
  }
  for (int i = static_cast<int>(round); i < kSmallKeys; i += 9) {
    ASSERT_TRUE(*small.erase(small_key(i)));
    subject.maps["small"].erase(small_key(i));
  }
}

bool names_page(const std::string& text, std::uint32_t page) {
  const std::string name = "page " + std::to_string(page);
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if (end == text.size() || text[end] < '0' || text[end] > '9') return true;
  }
  return false;
}

bool DamageReading::names_page(std::uint32_t page) const {
  return std::any_of(errors.begin(), errors.end(),
                     [page](const std::string& error) { return vaultgres::names_page(error, page); });
}

void read_everything(Database& db, const DamageSubject& subject, DamageReading& reading) {
  Reader(db, subject, reading).read_all();
}

void read_check(Database& db, DamageReading& reading) {
  const Result<CheckReport> report = db.check();
  if (!report) {
    reading.errors.emplace_back(report.error().message());
    const ErrorCode code = report.error().code();
    if (code != ErrorCode::kCorruption && code != ErrorCode::kPoisoned && reading.wrong.empty()) {
      reading.wrong = "check fails: " + std::string(report.error().message());
    }
    return;
  }
  for (const CheckProblem& problem : report->problems) {
    if (problem.object.empty() && reading.wrong.empty()) reading.wrong = "check does not say what the page held";
    reading.errors.push_back("page " + std::to_string(problem.page) + " of " + problem.object + ": " + problem.what);
  }
}

DamageReading read_damaged(FileSystem& disk, const DamageSubject& subject, const Options& options) {
  DamageReading reading;
  Result<Database> db = open_on(disk, options);
  if (!db) {
    const std::string text(db.error().message());
    reading.errors.push_back(text);
    if (db.error().code() != ErrorCode::kCorruption) reading.wrong = "open fails: " + text;
    if (text.find("/db/") == std::string::npos) reading.wrong = "open fails and names no file: " + text;
    return reading;
  }
  read_everything(*db, subject, reading);
  read_check(*db, reading);
  return reading;
}

std::vector<std::byte> file_bytes(FileSystem& disk, const std::string& path) {
  const auto file = *disk.open(path, OpenMode::kReadOnly);
  std::vector<std::byte> bytes(*file->size());
  EXPECT_TRUE(file->read(0, bytes));
  return bytes;
}

void overwrite(FileSystem& disk, const std::string& path, std::uint64_t offset, Bytes bytes) {
  const auto file = *disk.open(path, OpenMode::kReadWrite);
  ASSERT_OK(file->write(offset, bytes));
}

std::set<std::uint32_t> allocated_pages(Bytes data) {
  std::set<std::uint32_t> pages;
  const Bytes bitmap = data.subspan(raw(kFirstBitmapPage) * kPageBytes, kPageBytes);
  for (std::uint32_t id = raw(kFirstBitmapPage) + 1; id < data.size() / kPageBytes; ++id) {
    if (bitmap_bit(bitmap, bitmap_bit_of(PageId{id}))) pages.insert(id);
  }
  return pages;
}

}  // namespace vaultgres
