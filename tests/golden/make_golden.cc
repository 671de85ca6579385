// make_golden FOLDER: the golden databases of this format version, made anew, and what is in them: FOLDER/clean, closed
// in order; FOLDER/killed, whose process died with transactions open; FOLDER/clean.txt and killed.txt. README.md says
// when to run it.
//
// The content is the same each time. The bytes are not: database ids and salts are random.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "base/check.h"
#include "base/little.h"
#include "base/types.h"
#include "btree/node.h"
#include "listing_support.h"

namespace vaultgres {
namespace {

namespace fs = std::filesystem;

template <class T>
T expect(Result<T> result) {
  if (!result) std::fprintf(stderr, "%s\n", std::string(result.error().message()).c_str());
  VG_CHECK(result, "a golden database cannot be made");
  return *std::move(result);
}
void expect(Status status) {
  if (!status) std::fprintf(stderr, "%s\n", std::string(status.error().message()).c_str());
  VG_CHECK(status, "a golden database cannot be made");
}

std::string big_endian(std::uint64_t number) {
  std::string bytes(8, '\0');
  store_big(bytes.data(), number);
  return bytes;
}
/// Bytes that differ from place to place, so that a part that is out of place shows.
std::string pattern(std::size_t bytes, unsigned start) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('!' + (i / 16 + i * start) % 90);
  return text;
}
std::string digits(unsigned number, int width) {
  char text[16];
  std::snprintf(text, sizeof text, "%0*u", width, number);
  return text;
}

// --- Maps

void make_key_shapes(Database& db) {
  Map map = expect(db.create_map("key shapes"));
  using namespace std::string_literals;
  const std::string keys[] = {""s,
                              "\0"s,
                              "\0\0"s,
                              "\0\xFF"s,
                              "a"s,
                              "a\0"s,
                              "a\0b"s,
                              "ab"s,
                              "abc"s,
                              "abcd"s,
                              "abcd\0"s,
                              "abcde"s,
                              "abcdefghijkl"s,
                              "\x7F"s,
                              "\x80"s,
                              "\xFF"s,
                              "\xFF\xFF\xFF\xFF\xFF"s,
                              "\xE2\x82\xAC"s,
                              pattern(kMaxKeyBytes, 3),
                              pattern(kMaxKeyBytes - 1, 3)};
  for (const std::string& key : keys) expect(map.put(key, std::to_string(key.size())));
}
void make_numbers(Database& db) {
  // One length of keys, one of values: fixed stride, on two levels.
  Map map = expect(db.create_map("numbers"));
  for (std::uint64_t i = 0; i < 900; ++i) expect(map.put(big_endian(i * 257), big_endian(i)));
  // A common prefix; no values.
  Map names = expect(db.create_map("prefixes"));
  for (unsigned i = 0; i < 700; ++i) expect(names.put("/usr/share/some/folder/file" + digits(i * 3, 5), ""));
}
void make_words(Database& db) {
  // All lengths: slotted, on two levels.
  Map map = expect(db.create_map("words"));
  for (unsigned i = 0; i < 300; ++i) {
    const unsigned mixed = i * 7919 % 1009;
    expect(map.put("word " + std::to_string(mixed * mixed), pattern(mixed % 90, 1)));
  }
  // Long keys with long common beginnings: inner nodes of long separators, on three levels.
  Map long_keys = expect(db.create_map("long keys"));
  for (unsigned i = 0; i < 60; ++i) {
    expect(long_keys.put(pattern(900, i % 2) + digits(i, 3) + pattern(i, 2), digits(i, 2)));
  }
}
void make_values(Database& db) {
  Map map = expect(db.create_map("values"));
  const std::size_t longest = inline_value_max(4);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, longest - 1, longest, longest + 1, std::size_t{8160},
                                  std::size_t{8161}, std::size_t{100000}}) {
    expect(map.put(digits(static_cast<unsigned>(bytes), 4).substr(0, 4), pattern(bytes, 5)));
  }
  expect(map.put("replaced", pattern(20000, 2)));
  expect(map.put("replaced", pattern(30000, 7)));
  expect(map.put("gone", pattern(20000, 2)));
  static_cast<void>(expect(map.erase("gone")));
}
/// Cells that keep room behind their values: none, one byte, more; with another value of the same length, without.
void make_kept_room(Database& db) {
  Map map = expect(db.create_map("kept room"));
  for (unsigned i = 0; i < 10; ++i) expect(map.put(digits(i, 2), pattern(40, i)));
  Transaction txn = expect(db.begin());
  const std::size_t lengths[] = {40, 39, 38, 37, 0, 41, 300, 20000, 1};
  for (unsigned i = 0; i < std::size(lengths); ++i) expect(map.put(txn, digits(i, 2), pattern(lengths[i], i + 1)));
  expect(map.put(txn, digits(8, 2), pattern(40, 3)));
  expect(txn.commit());
}
void make_erased(Database& db) {
  Map map = expect(db.create_map("erased"));
  for (unsigned i = 0; i < 600; ++i) expect(map.put(digits(i, 6), pattern(40, i)));
  for (unsigned i = 0; i < 600; ++i) {
    if (i % 50 != 0) static_cast<void>(expect(map.erase(digits(i, 6))));
  }
  static_cast<void>(expect(db.create_map("empty")));
  static_cast<void>(expect(db.create_map("dropped")));
  expect(db.drop_map("dropped"));
  expect(db.set_pinned("numbers", true));
}

// --- Tables

Schema all_types() {
  return expect(Schema::create({{"id", ColumnType::kInt64},
                                {"small", ColumnType::kInt16, true},
                                {"middle", ColumnType::kInt32, true},
                                {"number", ColumnType::kDouble, true},
                                {"flag", ColumnType::kBool, true},
                                {"text", ColumnType::kText, true},
                                {"bytes", ColumnType::kBytes, true},
                                {"day", ColumnType::kDate, true},
                                {"time", ColumnType::kTimestamp, true},
                                {"name", ColumnType::kText},
                                {"amount", ColumnType::kInt64, true}}));
}
template <class T>
Value edge(unsigned i) {
  using Limits = std::numeric_limits<T>;
  const T edges[] = {Limits::min(), -1, 0, 1, Limits::max()};
  return i < std::size(edges) ? edges[i] : static_cast<T>(static_cast<int>(i * 37) - 900);
}
Value some_double(unsigned i) {
  using Limits = std::numeric_limits<double>;
  const double edges[] = {0.0,
                          -0.0,
                          1.5,
                          -1.5,
                          Limits::infinity(),
                          -Limits::infinity(),
                          Limits::quiet_NaN(),
                          Limits::denorm_min(),
                          Limits::max(),
                          Limits::lowest()};
  return i < std::size(edges) ? edges[i] : std::ldexp(static_cast<double>(i), static_cast<int>(i % 7) - 3);
}
Value some_text(unsigned i) {
  using namespace std::string_literals;
  const std::string edges[] = {"", "\0"s, "\0\xFF"s, "a", "a\0"s, "a\0b"s, "b", "\xFF", "\xE2\x82\xAC"};
  return i < std::size(edges) ? edges[i] : pattern(i % 23, i);
}
/// A third of the nullable columns is NULL, each time others.
Row row_of(unsigned i) {
  const auto null = [&](unsigned column, Value value) { return (i + column) % 3 == 0 ? Value() : std::move(value); };
  const std::int32_t day = static_cast<std::int32_t>(i * 400) - 9000;
  return {static_cast<std::int64_t>(i),
          null(1, edge<std::int16_t>(i / 2)),
          null(2, edge<std::int32_t>(i / 2)),
          null(3, some_double(i / 2)),
          null(4, i % 2 == 0),
          null(5, some_text(i / 2)),
          null(6, Value::bytes(pattern(i % 31, i))),
          null(7, Date{day}),
          null(8, Timestamp{std::int64_t{day} * 86'400'000'000 + i}),
          "name " + std::to_string(i % 13),
          null(10, edge<std::int64_t>(i % 9))};
}
/// A text that makes the row as long as it should be: longer than a page leaves room for, or than any page.
Row long_row(unsigned i, std::size_t bytes) {
  Row row = row_of(i);
  row[5] = Value(pattern(bytes, i));
  return row;
}

void make_tables(Database& db) {
  Table table = expect(db.create_table("all types", all_types()));
  expect(db.create_index("by id", "all types", {.columns = {{"id"}}, .unique = true}));
  expect(db.create_index("by amount", "all types", {.columns = {{"amount"}, {"id"}}, .unique = true}));
  std::vector<RowId> ids;
  for (unsigned i = 0; i < 160; ++i) ids.push_back(expect(table.insert(row_of(i))));
  for (unsigned i = 0; i < 160; i += 20) expect(table.update(ids[i], long_row(i, 1000)));            // moved
  for (unsigned i = 5; i < 160; i += 40) expect(table.update(ids[i], long_row(i, 9000 + 100 * i)));  // in a chain
  static_cast<void>(expect(table.insert(long_row(500, 70000))));                                     // wide ends
  for (unsigned i = 3; i < 160; i += 10) static_cast<void>(expect(table.erase(ids[i])));
  expect(table.update(ids[20], row_of(20)));  // and back home
  const auto index = [&](const char* name, std::vector<IndexSpec::Part> columns) {
    expect(db.create_index(name, "all types", {.columns = std::move(columns), .unique = false}));
  };
  index("by name", {{"name"}, {"small", true}});
  index("by text", {{"bytes", true}, {"flag"}});
  index("by number", {{"number"}});
  index("by number, descending", {{"number", true}});
  index("by time", {{"day"}, {"time", true}, {"flag", true}});
  index("by middle", {{"middle", true}, {"small"}});

  Table plain =
      expect(db.create_table("plain", expect(Schema::create({{"a", ColumnType::kInt32}, {"b", ColumnType::kBool}}))));
  for (int i = 0; i < 900; ++i) static_cast<void>(expect(plain.insert({i * i % 1000 - 500, i % 3 == 0})));
  expect(db.create_index("plain by a", "plain", {.columns = {{"a", true}}, .unique = false}));
  static_cast<void>(expect(db.create_table("no rows", all_types())));
  expect(db.create_index("of no rows", "no rows", {.columns = {{"text"}}, .unique = true}));
}

void fill(Database& db) {
  make_key_shapes(db);
  make_numbers(db);
  make_words(db);
  make_values(db);
  make_kept_room(db);
  make_erased(db);
  make_tables(db);
}

// --- What a killed process leaves: commits in the log that no page has, and transactions that are to be undone

void change_committed(Database& db) {
  Map words = expect(db.open_map("words"));
  Table table = expect(db.open_table("all types"));
  Transaction txn = expect(db.begin());
  for (unsigned i = 0; i < 50; ++i) expect(words.put(txn, "committed " + digits(i, 2), pattern(i * 4, i)));
  expect(words.put(txn, "committed, large", pattern(15000, 4)));
  for (unsigned i = 200; i < 220; ++i) static_cast<void>(expect(table.insert(txn, row_of(i))));
  expect(txn.commit());
  static_cast<void>(expect(words.erase("committed 07")));
}
/// Never ended: the process dies first.
void change_uncommitted(Database& db, Transaction& txn) {
  Map words = expect(db.open_map("words"));
  Map values = expect(db.open_map("values"));
  Table table = expect(db.open_table("all types"));
  for (unsigned i = 10; i < 20; ++i) expect(words.put(txn, "committed " + digits(i, 2), "not committed"));
  for (unsigned i = 20; i < 30; ++i) static_cast<void>(expect(words.erase(txn, "committed " + digits(i, 2))));
  for (unsigned i = 0; i < 60; ++i) expect(words.put(txn, "never there " + digits(i, 2), pattern(200, i)));
  expect(values.put(txn, "replaced", pattern(25000, 9)));
  std::vector<RowId> ids;
  TableScan scan = table.scan();
  for (unsigned i = 0; i < 60 && expect(scan.next()); ++i) ids.push_back(scan.id());
  for (unsigned i = 0; i < 60; i += 3) expect(table.update(txn, ids[i], long_row(1000 + i, i % 2 == 0 ? 600 : 5000)));
  for (unsigned i = 1; i < 60; i += 6) static_cast<void>(expect(table.erase(txn, ids[i])));
  static_cast<void>(expect(table.insert(txn, row_of(2000))));
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  VG_CHECK(file.good(), "a listing cannot be written");
}

void make_clean(const fs::path& folder) {
  Database db = expect(Database::open(folder / "clean"));
  fill(db);
  write_text(folder / "clean.txt", expect(list_database(db)));
  expect(db.close());
}
[[noreturn]] void make_killed(const fs::path& folder) {
  Database db = expect(Database::open(folder / "killed"));
  fill(db);
  expect(db.checkpoint());
  change_committed(db);
  Transaction first = expect(db.begin());
  change_uncommitted(db, first);
  Transaction second = expect(db.begin());
  expect(expect(db.open_map("empty")).put(second, "never", "there"));
  expect(expect(db.open_map("numbers")).put("the last commit", "takes the others' records to the disk"));
  write_text(folder / "killed.txt", expect(list_database(db)));
  std::_Exit(0);
}

}  // namespace
}  // namespace vaultgres

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 1;
  }
  const std::filesystem::path folder(argv[1]);
  std::filesystem::create_directories(folder);
  vaultgres::make_clean(folder);
  const pid_t child = ::fork();
  if (child == 0) vaultgres::make_killed(folder);
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
