// The verbs get, range, insert, delete, stats and inspect on tables and indexes.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/inspect_report.h"
#include "cli/program_support.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/temp_directory.h"
#include "vaultgres/database.h"

namespace vaultgres {
namespace {

using nlohmann::json;

Lines lines_of(const std::string& text) {
  Lines lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}
Lines sorted(Lines lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}
Lines reversed(Lines lines) {
  std::reverse(lines.begin(), lines.end());
  return lines;
}

class RowsTest : public ::testing::Test {
 protected:
  /// Makes the database, or adds to it, in this process; the program runs when it is closed again.
  template <class Fill>
  void with_library(const Fill& fill) {
    auto opened = Database::open(database_);
    ASSERT_TRUE(opened) << opened.error().message();
    fill(*opened);
    const Status closed = opened->close();
    ASSERT_TRUE(closed) << closed.error().message();
  }
  void make_people(const std::vector<Row>& rows) {
    with_library([&](Database& database) {
      auto schema = Schema::create({{"id", ColumnType::kInt64},
                                    {"city", ColumnType::kText, true},
                                    {"age", ColumnType::kInt32, true},
                                    {"score", ColumnType::kDouble, true}});
      auto table = database.create_table("people", *schema);
      ASSERT_TRUE(table) << table.error().message();
      auto txn = database.begin();
      for (const Row& row : rows) {
        auto inserted = table->insert(*txn, row);
        ASSERT_TRUE(inserted) << inserted.error().message();
      }
      ASSERT_TRUE(txn->commit());
      ASSERT_TRUE(database.create_index("people_id", "people", {.columns = {{"id"}}, .unique = true}));
      ASSERT_TRUE(database.create_index("people_city_age", "people", {.columns = {{"city"}, {"age"}}}));
      ASSERT_TRUE(database.create_index("people_age", "people", {.columns = {{"age", true}}}));
      ASSERT_TRUE(database.create_map("sessions"));
    });
  }
  void make_five_people() {
    make_people({{1, "Rome", 30, 1.5},
                 {2, "Oslo", 30, -0.25},
                 {3, "Rome", Value(), std::numeric_limits<double>::quiet_NaN()},
                 {4, Value(), 41, Value()},
                 {5, "", 7, std::numeric_limits<double>::infinity()}});
  }

  Answer verb(std::vector<std::string> arguments, std::string_view input = "") {
    arguments.insert(arguments.begin() + 1, database_);
    return run_program(arguments, input);
  }
  Lines lines(std::vector<std::string> arguments) {
    const Answer answer = verb(std::move(arguments));
    EXPECT_EQ(answer.code, 0) << answer.err;
    return lines_of(answer.out);
  }
  /// The ids of rows, as one text.
  std::string ids(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--select", "id"});
    std::string found;
    for (const std::string& line : lines(std::move(arguments))) found += line + " ";
    return found;
  }
  /// What --explain says.
  json costs(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--explain", "--json"});
    const Answer answer = verb(std::move(arguments));
    const json costs = json::parse(answer.err.substr(0, answer.err.find('\n')), nullptr, false);
    EXPECT_FALSE(costs.is_discarded()) << answer.err;
    return costs;
  }
  void expect_error(std::vector<std::string> arguments, int code, const std::string& part) {
    const Answer answer = verb(std::move(arguments));
    EXPECT_EQ(answer.code, code) << answer.err;
    EXPECT_EQ(answer.out, "");
    EXPECT_NE(answer.err.find(part), std::string::npos) << answer.err;
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
  const std::string data_ = database_ + "/data.vg";
};

// Goal: an index finds the rows that a scan with the same condition finds, in the order of the index, both ways.
TEST_F(RowsTest, ThroughIndexAndByScan) {
  TestRandom random;
  const char* const cities[] = {"Rome", "Oslo", "Romeo", "", "Łódź", "a\tb"};
  std::vector<Row> rows;
  for (int id = 0; id < 400; ++id) {
    Row row{id, Value(), Value(), random.fraction()};
    if (!random.one_in(8)) row[1] = cities[random.uniform(std::size(cities))];
    if (!random.one_in(8)) row[2] = static_cast<int>(random.uniform(60));
    rows.push_back(row);
  }
  random.shuffle(rows);
  make_people(rows);
  struct Query {
    Lines through_index;
    Lines conditions;
  };
  const std::string age = std::to_string(random.uniform(60));
  const std::string later = std::to_string(random.uniform(60));
  const Query queries[] = {
      {{"people_id"}, {}},
      {{"people_age"}, {}},
      {{"people_id", "--from", "100", "--to", "200"}, {"id >= 100", "id < 200"}},
      {{"people_age", "--equal", age}, {"age = " + age}},
      {{"people_age", "--from", age}, {"age>=" + age}},
      {{"people_age", "--to", age, "--to-inclusive"}, {"age <= " + age, "age != NULL"}},
      {{"people_age", "--equal", "\\N"}, {"age = NULL"}},
      {{"people_city_age", "--equal", "Rome"}, {"city = Rome"}},
      {{"people_city_age", "--equal", ""}, {"city ="}},
      {{"people_city_age", "--equal", "\\N"}, {"city = \\N"}},
      {{"people_city_age", "--equal", "Rome", "--equal", age}, {"city = Rome", "age = " + age}},
      {{"people_city_age", "--equal", "Oslo", "--from", age, "--to", later, "--from-exclusive"},
       {"city = Oslo", "age > " + age, "age < " + later}},
      {{"people_city_age", "--prefix", "Rome"}, {"city >= Rome", "city < Romf"}},
      {{"people_city_age", "--prefix", "a\\t", "--escaped"}, {"city > a", "city < b"}},
  };
  for (const Query& query : queries) {
    SCOPED_TRACE(query.through_index.back());
    Lines through_index{"range"};
    through_index.insert(through_index.end(), query.through_index.begin(), query.through_index.end());
    Lines scan{"range", "people"};
    for (const std::string& condition : query.conditions) scan.insert(scan.end(), {"--where", condition});
    const Lines found = lines(through_index);
    EXPECT_EQ(sorted(found), sorted(lines(scan)));
    through_index.push_back("--reverse");
    EXPECT_EQ(lines(through_index), reversed(found));
    through_index.insert(through_index.end(), {"--limit", "3"});
    const Lines last = reversed(found);
    EXPECT_EQ(lines(through_index), Lines(last.begin(), last.begin() + std::min<std::ptrdiff_t>(3, std::ssize(last))));
    scan.push_back("--count");
    EXPECT_EQ(lines(scan), Lines{std::to_string(found.size())});
  }
  EXPECT_EQ(sorted(lines({"get", "people_city_age", "Rome"})),
            sorted(lines({"range", "people", "--where", "city=Rome"})));
  EXPECT_EQ(lines({"range", "people"}).size(), 400u);
}

// Goal: rows in the order of the index: NULL first, or last where the column is descending; rows of equal values in
// the order of their places.
TEST_F(RowsTest, Order) {
  make_five_people();
  EXPECT_EQ(ids({"range", "people"}), "1 2 3 4 5 ");
  EXPECT_EQ(ids({"range", "people_id"}), "1 2 3 4 5 ");
  EXPECT_EQ(ids({"range", "people_city_age"}), "4 5 2 3 1 ");
  EXPECT_EQ(ids({"range", "people_age"}), "4 1 2 5 3 ");
  EXPECT_EQ(ids({"range", "people_age", "--reverse"}), "3 5 2 1 4 ");
  EXPECT_EQ(ids({"range", "people_age", "--from", "30"}), "4 1 2 ");
  EXPECT_EQ(ids({"range", "people_age", "--to", "30"}), "5 ");
  EXPECT_EQ(ids({"range", "people_age", "--limit", "2"}), "4 1 ");
  EXPECT_EQ(ids({"range", "people_age", "--where", "city = Oslo", "--limit", "1"}), "2 ");
  EXPECT_EQ(ids({"get", "people_city_age", "Rome"}), "3 1 ");
  EXPECT_EQ(ids({"get", "people_city_age", "Rome", "\\N"}), "3 ");
  EXPECT_EQ(ids({"get", "people_city_age", "\\N"}), "4 ");
}

// Goal: every operator, and what it says about NULL, NaN and infinity.
TEST_F(RowsTest, Conditions) {
  make_five_people();
  const auto where = [&](const std::string& condition) { return ids({"range", "people", "--where", condition}); };
  EXPECT_EQ(where("age = 30"), "1 2 ");
  EXPECT_EQ(where("age != 30"), "4 5 ");
  EXPECT_EQ(where("age < 30"), "5 ");
  EXPECT_EQ(where("age <= 30"), "1 2 5 ");
  EXPECT_EQ(where("age > 30"), "4 ");
  EXPECT_EQ(where("age >= 30"), "1 2 4 ");
  EXPECT_EQ(where("age = NULL"), "3 ");
  EXPECT_EQ(where("age != NULL"), "1 2 4 5 ");
  EXPECT_EQ(where("id = NULL"), "");
  EXPECT_EQ(where("score = nan"), "3 ");
  EXPECT_EQ(where("score > 1"), "1 3 5 ");
  EXPECT_EQ(where("score <= inf"), "1 2 5 ");
  EXPECT_EQ(where("city ="), "5 ");
  EXPECT_EQ(where("city=   Rome"), "1 3 ");
  EXPECT_EQ(where("city != Rome "), "1 2 3 5 ");
  EXPECT_EQ(ids({"range", "people", "--where", "city = R\\x6fme", "--escaped", "--where", "age > 1"}), "1 ");
  EXPECT_EQ(ids({"range", "people", "--where", "city = \\x4eULL", "--escaped"}), "");
  EXPECT_EQ(lines({"range", "people", "--where", "age = 30", "--count"}), Lines{"2"});
  EXPECT_EQ(verb({"range", "people", "--count", "--json"}).out, "{\n  \"count\": 5\n}\n");
  EXPECT_EQ(lines({"range", "people", "--count", "--limit", "4"}), Lines{"4"});
}

// Goal: each format says the same of a row with a value of every type, and of one with NULLs only.
TEST_F(RowsTest, Formats) {
  with_library([&](Database& database) {
    auto schema = Schema::create({{"small", ColumnType::kInt16, true},
                                  {"large", ColumnType::kInt64, true},
                                  {"real", ColumnType::kDouble, true},
                                  {"yes", ColumnType::kBool, true},
                                  {"text", ColumnType::kText, true},
                                  {"raw", ColumnType::kBytes, true},
                                  {"day", ColumnType::kDate, true},
                                  {"time", ColumnType::kTimestamp, true}});
    auto table = database.create_table("all", *schema);
    ASSERT_TRUE(table) << table.error().message();
    ASSERT_TRUE(table->insert({-7, std::numeric_limits<std::int64_t>::min(), 0.1, true, "a\t\"b\",\\N",
                               Value::bytes(std::string_view("\0\xFF", 2)), Date{1}, Timestamp{-1}}));
    ASSERT_TRUE(table->insert(Row(8)));
    ASSERT_TRUE(table->insert(
        {0, 0, std::numeric_limits<double>::quiet_NaN(), false, "", Value::bytes(""), Date{0}, Timestamp{0}}));
  });
  EXPECT_EQ(verb({"range", "all"}).out,
            "-7\t-9223372036854775808\t0.1\ttrue\ta\\t\"b\",\\\\N\t\\\\x00ff\t1970-01-02\t1969-12-31T23:59:59.999999Z\n"
            "\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n"
            "0\t0\tnan\tfalse\t\t\\\\x\t1970-01-01\t1970-01-01T00:00:00Z\n");
  EXPECT_EQ(verb({"range", "all", "--csv"}).out,
            "small,large,real,yes,text,raw,day,time\n"
            "-7,-9223372036854775808,0.1,true,\"a\t\"\"b\"\",\\N\",\\x00ff,1970-01-02,1969-12-31T23:59:59.999999Z\n"
            ",,,,,,,\n"
            "0,0,nan,false,\"\",\\x,1970-01-01,1970-01-01T00:00:00Z\n");
  EXPECT_EQ(json::parse(verb({"range", "all", "--json"}).out), json::parse(R"([
      {"small": -7, "large": -9223372036854775808, "real": 0.1, "yes": true, "text": "a\t\"b\",\\N",
       "raw": {"hex": "00ff"}, "day": "1970-01-02", "time": "1969-12-31T23:59:59.999999Z"},
      {"small": null, "large": null, "real": null, "yes": null, "text": null, "raw": null, "day": null, "time": null},
      {"small": 0, "large": 0, "real": "nan", "yes": false, "text": "", "raw": {"hex": ""}, "day": "1970-01-01",
       "time": "1970-01-01T00:00:00Z"}])"));
  const std::string some = "real,small,text";
  EXPECT_EQ(run_program_on_terminal({"range", database_, "all", "--select", some}).out,
            "real  small  text\n 0.1     -7  a\\t\"b\",\\\\N\n  \\N     \\N  \\N\n nan      0  \n");
  EXPECT_EQ(verb({"range", "all", "--select", some, "--limit", "1"}).out, "0.1\t-7\ta\\t\"b\",\\\\N\n");
  EXPECT_EQ(verb({"range", "all", "--where", "small > 5", "--csv", "--select", "day"}).out, "day\n");
  EXPECT_EQ(verb({"range", "all", "--where", "small > 5", "--json"}).out, "[]\n");
  EXPECT_EQ(verb({"range", "all", "--where", "small > 5"}).out, "");
}

// Goal: a place leads back to its row; --place shows it in every format.
TEST_F(RowsTest, Places) {
  make_five_people();
  for (const std::string& line : lines({"range", "people_id", "--place"})) {
    const std::size_t tab = line.find('\t');
    EXPECT_EQ(lines({"get", "people", line.substr(0, tab)}), Lines{line.substr(tab + 1)});
  }
  const json row = json::parse(verb({"get", "people_id", "2", "--place", "--json"}).out);
  EXPECT_EQ(json::parse(verb({"get", "people", row[0]["place"], "--json"}).out),
            json::parse(R"([{"id": 2, "city": "Oslo", "age": 30, "score": -0.25}])"));
  EXPECT_EQ(verb({"get", "people", row[0]["place"], "--csv", "--select", "age,id"}).out, "age,id\n30,2\n");
}

// Goal: each mistake has its exit code, says what is wrong, and prints no answer.
TEST_F(RowsTest, Mistakes) {
  make_five_people();
  const std::string hint = "there is no map, table or index \"nobody\"; `vaultgres maps` and `vaultgres tables` list";
  expect_error({"get", "nobody", "1"}, 6, hint);
  expect_error({"range", "nobody"}, 6, hint);
  expect_error({"insert", "nobody", "1", "2"}, 6, hint);
  expect_error({"delete", "nobody", "1"}, 6, hint);
  expect_error({"stats", "nobody"}, 6, hint);

  expect_error({"get", "people_id", "x"}, 1, "column \"id\": \"x\" is not an integer");
  expect_error({"get", "people_id", "\\N"}, 1, "\"id\"");
  expect_error({"get", "people_id", "1", "2"}, 1, "has 1 column, but 2 values are given: id");
  expect_error({"get", "people_id", "77"}, 6, "the index \"people_id\" has no row with these values");
  expect_error({"get", "people_id", "77", "--json"}, 6, "no row");
  expect_error({"get", "people_id", "77", "--csv"}, 6, "no row");
  expect_error({"get", "people_age", "99999999999"}, 1, "out of range");
  expect_error({"get", "people_id"}, 1, "VALUE");
  expect_error({"get", "people_id", "1", "--raw"}, 1, "--raw");
  expect_error({"get", "people", "1:0", "2:0"}, 1, "one place");
  for (const char* place : {"", "1", "1:", ":1", "x:1", "1:65536", "4294967296:0", "-1:0", "1:0 "}) {
    expect_error({"get", "people", "--", place}, 1, "PAGE:SLOT");
    expect_error({"delete", "people", "--", place}, 1, "PAGE:SLOT");
  }
  expect_error({"get", "people", "4294967295:0"}, 6, "no row at 4294967295:0");
  expect_error({"get", "people", "3:0"}, 6, "no row at 3:0");  // a page of the catalog
  expect_error({"delete", "people", "3:0"}, 6, "no row at 3:0");

  expect_error({"range", "people", "--reverse"}, 1, "--where");
  expect_error({"range", "people", "--from", "1"}, 1, "--where");
  expect_error({"range", "people_id", "--equal", "1", "--from", "2"}, 1, "none is left");
  expect_error({"range", "people_id", "--equal", "1", "--equal", "2"}, 1, "2 values");
  expect_error({"range", "people_id", "--prefix", "1"}, 1, "--prefix is for text and bytes");
  expect_error({"range", "people_city_age", "--prefix", "\\N"}, 1, "NULL");
  expect_error({"range", "people_id", "--from", "x"}, 1, "not an integer");
  expect_error({"range", "people", "--where", "size = 1"}, 1, "the columns are id, city, age, score");
  expect_error({"range", "people", "--where", "age"}, 1, "COLUMN OP VALUE");
  expect_error({"range", "people", "--where", "age == 1"}, 1, "no operator ==");
  expect_error({"range", "people", "--where", "age <> 1"}, 1, "no operator <>");
  expect_error({"range", "people", "--where", "age = x"}, 1, "column \"age\": \"x\" is not an integer");
  expect_error({"range", "people", "--where", "age < NULL"}, 1, "NULL is neither less nor greater");
  expect_error({"range", "people", "--select", "id,size"}, 1, "no column \"size\"");
  expect_error({"range", "people", "--select", "id,id"}, 1, "twice");
  expect_error({"range", "people", "--select", ""}, 1, "no column \"\"");
  expect_error({"range", "people", "--select", "id,"}, 1, "no column \"\"");
  expect_error({"range", "people", "--json", "--csv"}, 1, "exclude each other");
  expect_error({"range", "sessions", "--where", "id = 1"}, 1, "the map \"sessions\" is neither");

  expect_error({"insert", "people", "6", "Rome", "30"}, 1, "has 4 columns, but 3 values are given");
  expect_error({"insert", "people", "x", "Rome", "30", "1"}, 1, "column \"id\": \"x\" is not an integer");
  expect_error({"insert", "people", "\\N", "Rome", "30", "1"}, 1, "\"id\"");
  expect_error({"insert", "people", "1", "Rome", "30", "1"}, 5, "people_id");
  expect_error({"insert", "people", "6", "Rome", "30", "1", "--replace"}, 1, "--replace");
  expect_error({"insert", "people_id", "6"}, 1, "over the table \"people\"");
  expect_error({"insert", "sessions", "k"}, 1, "a key and a value");
  expect_error({"insert", "sessions", "k", "v", "--null", ""}, 1, "--null");
  expect_error({"delete", "people_id", "77"}, 6, "no row with these values");
  expect_error({"delete", "people_id", "x"}, 1, "not an integer");
  EXPECT_EQ(lines({"range", "people", "--count"}), Lines{"5"});
}

// Goal: where a map is needed, a table's or index's name is refused, and nothing changes.
TEST_F(RowsTest, NamesOfOtherKinds) {
  make_five_people();
  expect_error({"create-map", "people"}, 5, "people");
  expect_error({"drop-map", "people"}, 6, "people");
  expect_error({"rename-map", "people", "folk"}, 6, "people");
  expect_error({"rename-map", "sessions", "people_id"}, 5, "people_id");
  expect_error({"batch", "people"}, 1, "the table \"people\" is none");
  expect_error({"insert", "people", "k", "v", "--create"}, 1, "--create");
  EXPECT_EQ(lines({"range", "people", "--count"}), Lines{"5"});
}

// Goal: what insert puts in, get shows, also NULL, odd texts and places; delete takes out exactly what matches.
TEST_F(RowsTest, InsertAndDelete) {
  make_five_people();
  const Lines place = lines({"insert", "people", "6", "\\N", "\\N", "2.50"});
  ASSERT_EQ(place.size(), 1u);
  EXPECT_EQ(lines({"get", "people", place[0]}), Lines{"6\t\\N\t\\N\t2.5"});
  EXPECT_EQ(lines({"get", "people_id", "6"}), Lines{"6\t\\N\t\\N\t2.5"});
  EXPECT_EQ(verb({"insert", "people", "--null", "", "7", "\\N", "", ""}).code, 0);
  EXPECT_EQ(lines({"get", "people_id", "7"}), Lines{"7\t\\\\N\t\\N\t\\N"});
  EXPECT_EQ(verb({"insert", "people", "--escaped", "8", "\\\\N\\t", "\\N", "1"}).code, 0);
  EXPECT_EQ(json::parse(verb({"get", "people_city_age", "\\\\N\\t", "--escaped", "--json"}).out)[0]["id"], 8);
  EXPECT_EQ(verb({"insert", "people", "--", "-9", "[a,b]", "-1", "-inf"}).code, 0);
  EXPECT_EQ(lines({"get", "people_id", "-9"}), Lines{"-9\t[a,b]\t-1\t-inf"});
  EXPECT_EQ(ids({"get", "people_city_age", "[a,b]", "-1"}), "-9 ");
  EXPECT_EQ(ids({"range", "people_city_age", "--equal", "[a,b]"}), "-9 ");

  EXPECT_EQ(verb({"delete", "people", place[0]}).out, "1 row deleted\n");
  EXPECT_EQ(verb({"get", "people_id", "6"}).code, 6);
  EXPECT_EQ(verb({"delete", "people", place[0]}).code, 6);
  EXPECT_EQ(verb({"delete", "people_city_age", "Rome"}).out, "2 rows deleted\n");
  EXPECT_EQ(ids({"range", "people_id"}), "-9 2 4 5 7 8 ");
  EXPECT_EQ(ids({"range", "people_age"}), "4 2 5 -9 7 8 ");
  EXPECT_EQ(verb({"delete", "people_age", "30"}).out, "1 row deleted\n");
  EXPECT_EQ(verb({"delete", "people_age", "\\N"}).out, "2 rows deleted\n");
  EXPECT_EQ(ids({"range", "people_city_age"}), "4 5 -9 ");
  const Answer check = verb({"check"});
  EXPECT_EQ(check.code, 0) << check.out << check.err;
}

// Goal: columns may be called anything, also what looks like an operator, a list or a condition.
TEST_F(RowsTest, OddColumnNames) {
  const std::vector<std::string> names = {"a", "a=b", "a,b", "=", "a b", "[x]", "ä<"};
  with_library([&](Database& database) {
    std::vector<Column> columns;
    for (const std::string& name : names) columns.push_back({name, ColumnType::kText});
    auto table = database.create_table("odd", *Schema::create(columns));
    ASSERT_TRUE(table) << table.error().message();
    ASSERT_TRUE(table->insert({"0", "1", "2", "3", "4", "5", "6"}));
  });
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string value = std::to_string(i);
    EXPECT_EQ(lines({"range", "odd", "--where", names[i] + "=" + value, "--select", names[i]}), Lines{value})
        << names[i];
    EXPECT_EQ(lines({"range", "odd", "--where", names[i] + " != " + value}), Lines{}) << names[i];
  }
  EXPECT_EQ(lines({"range", "odd", "--select", "a,a,b,a=b"}), Lines{"0\t2\t1"});
  EXPECT_EQ(json::parse(verb({"range", "odd", "--json"}).out)[0]["ä<"], "6");
}

// Goal: the costs of a small table, exactly: a lookup visits its tree from the root to a leaf and one heap page, a scan
// every heap page; long rows their overflow pages, too.
TEST_F(RowsTest, Explain) {
  make_five_people();
  const json lookup = costs({"get", "people_id", "3"});
  EXPECT_EQ(lookup["rows_returned"], 1);
  EXPECT_EQ(lookup["rows_looked_at"], 1);
  EXPECT_EQ(lookup["tree_pages"], 1);
  EXPECT_EQ(lookup["heap_pages"], 1);
  EXPECT_EQ(lookup["overflow_pages"], 0);
  EXPECT_GT(lookup["milliseconds"], 0.0);
  const std::string row = lines({"get", "people_id", "3", "--place"})[0];
  const json place = costs({"get", "people", row.substr(0, row.find('\t'))});
  EXPECT_EQ(place["tree_pages"], 0);
  EXPECT_EQ(place["heap_pages"], 1);
  const json missing = costs({"get", "people_id", "77"});
  EXPECT_EQ(missing["rows_returned"], 0);
  EXPECT_EQ(missing["tree_pages"], 1);
  EXPECT_EQ(missing["heap_pages"], 0);
  const json scan = costs({"range", "people", "--where", "id = 3"});
  EXPECT_EQ(scan["rows_returned"], 1);
  EXPECT_EQ(scan["rows_looked_at"], 5);
  EXPECT_EQ(scan["tree_pages"], 0);
  EXPECT_EQ(scan["heap_pages"], 1);
  const json counted = costs({"range", "people_age", "--where", "id > 3", "--count"});
  EXPECT_EQ(counted["rows_returned"], 2);
  EXPECT_EQ(counted["rows_looked_at"], 5);

  const Answer text = verb({"get", "people_id", "3", "--explain"});
  EXPECT_EQ(text.err.find("rows returned   1\nrows looked at  1\ntree pages      1\nheap pages      1\n"
                          "overflow pages  0\nmilliseconds    "),
            0u)
      << text.err;
}

// Goal: a lookup in a larger table visits as many pages as its tree is high, and one of the heap; finding the same row
// by a scan visits the whole heap.
TEST_F(RowsTest, ExplainLargerTable) {
  std::vector<Row> rows;
  for (int id = 0; id < 3000; ++id) rows.push_back({id, std::string(100, 'c'), id % 100, 0.5});
  make_people(rows);
  const json stats = json::parse(verb({"stats", "people", "--json"}).out);
  const std::uint64_t height = stats["indexes"][0]["height"];
  ASSERT_GE(height, 2u);
  const json lookup = costs({"get", "people_id", "1234"});
  EXPECT_EQ(lookup["tree_pages"], height);
  EXPECT_EQ(lookup["heap_pages"], 1);
  const json scan = costs({"range", "people", "--where", "id = 1234"});
  EXPECT_EQ(scan["rows_returned"], 1);
  EXPECT_EQ(scan["rows_looked_at"], 3000);
  EXPECT_EQ(scan["heap_pages"], stats["heap_pages"]);
}

// Goal: a table's numbers, and below them each index's; the same of one index; JSON, CSV and text.
TEST_F(RowsTest, Stats) {
  make_five_people();
  ASSERT_EQ(verb({"delete", "people_id", "4"}).code, 0);
  const json table = json::parse(verb({"stats", "people", "--json"}).out);
  EXPECT_EQ(table["name"], "people");
  EXPECT_EQ(table["rows"], 4);
  EXPECT_EQ(table["heap_pages"], 1);
  EXPECT_EQ(table["map_pages"], 1);
  EXPECT_EQ(table["overflow_pages"], 0);
  EXPECT_GT(table["heap_fill"], 0.0);
  ASSERT_EQ(table["indexes"].size(), 3u);
  for (const json& index : table["indexes"]) {
    EXPECT_EQ(index["height"], 1);
    EXPECT_EQ(index["entries"], 4);
    EXPECT_EQ(index["leaf_pages"], 1);
    EXPECT_EQ(index["table"], "people");
    EXPECT_EQ(json::parse(verb({"stats", index["name"], "--json"}).out), index);
  }
  const std::string text = verb({"stats", "people"}).out;
  EXPECT_NE(text.find("rows            4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nindex\n  name             people_age\n"), std::string::npos) << text;
  EXPECT_NE(text.find("columns          age desc\n"), std::string::npos) << text;
  EXPECT_EQ(verb({"stats", "people", "--csv"}).out.find("name,rows,ghosts,"), 0u);
  EXPECT_EQ(lines_of(verb({"stats", "people", "--csv"}).out).size(), 2u);
  EXPECT_EQ(verb({"stats", "people_id", "--csv"}).out.find("name,table,columns,unique,height,"), 0u);
}

// Goal: maps answer to the new options that mean something for them.
TEST_F(RowsTest, CountAndExplainOfMaps) {
  make_five_people();
  for (const char* key : {"a", "b", "c"}) ASSERT_EQ(verb({"insert", "sessions", key, "v"}).code, 0);
  EXPECT_EQ(lines({"range", "sessions", "--count", "--from", "b"}), Lines{"2"});
  EXPECT_EQ(costs({"range", "sessions"})["rows_returned"], 3);
  EXPECT_EQ(costs({"get", "sessions", "a"})["tree_pages"], 1);
  EXPECT_EQ(costs({"get", "sessions", "x"})["rows_returned"], 0);
  EXPECT_EQ(verb({"get", "sessions", "a", "--csv"}).out, "key,value\na,v\n");
}

class InspectRowsTest : public RowsTest {
 protected:
  json inspect(std::uint64_t page, Lines options = {}) {
    options.insert(options.begin(), {"inspect", std::to_string(page), "--json"});
    return report_of(verb(options));
  }
  std::uint64_t find(const std::string& type) {
    const std::uint64_t pages = std::filesystem::file_size(data_) / kProgramPageBytes;
    for (std::uint64_t page = 3; page < pages; ++page) {
      const json report = inspect(page);
      if (report["header"]["type"] == type) return page;
    }
    ADD_FAILURE() << "no page of type " << type;
    return 0;
  }
  /// A table with a row in its place, a deleted one, one that moved, one in overflow pages.
  void make_table() {
    with_library([&](Database& database) {
      auto schema = Schema::create({{"id", ColumnType::kInt32}, {"body", ColumnType::kText, true}});
      auto table = database.create_table("texts", *schema);
      ASSERT_TRUE(table) << table.error().message();
      ASSERT_TRUE(database.create_index("texts_id", "texts", {.columns = {{"id", true}}, .unique = true}));
      std::vector<RowId> ids;
      for (int id = 0; id < 60; ++id) {
        auto inserted = table->insert({id, id == 59 ? std::string(30'000, 'L') : "row " + std::string(100, 'r')});
        ASSERT_TRUE(inserted) << inserted.error().message();
        ids.push_back(*inserted);
      }
      ASSERT_TRUE(table->erase(ids[3]));
      ASSERT_TRUE(table->update(ids[5], {5, "moved " + std::string(1900, 'm')}));
    });
  }
};

// Goal: a heap page is drawn slot by slot; stub and body lead to each other.
TEST_F(InspectRowsTest, HeapPage) {
  make_table();
  const std::uint64_t page = find("heap");
  const json report = inspect(page, {"--all"});
  EXPECT_EQ(report["heap"]["number"], 0);
  EXPECT_EQ(report["verdict"]["structure"], "in order");
  EXPECT_EQ(report["verdict"]["checksum"], "right");
  ASSERT_EQ(report["slots"].size(), report["heap"]["count"]);
  const json& row = report["slots"][0];
  EXPECT_EQ(row["kind"], "row");
  EXPECT_EQ(row["flags"].dump().find("ghost"), std::string::npos);
  EXPECT_GE(row["capacity"], row["length"]);
  EXPECT_NE(row.dump().find("row rrr"), std::string::npos) << row;
  std::map<std::string, int> kinds;
  std::string stub_link;
  for (const json& slot : report["slots"]) {
    ++kinds[slot["kind"]];
    if (slot["kind"] == "stub") stub_link = slot["link"];
    if (slot["content"].contains("overflow_page")) {
      ++kinds["overflow"];
      EXPECT_EQ(slot["flags"][0], "overflow");
      EXPECT_EQ(inspect(slot["content"]["overflow_page"])["header"]["type"], "overflow");
    }
  }
  if (!stub_link.empty()) {
    const std::size_t colon = stub_link.find(':');
    const json body = inspect(std::stoul(stub_link), {"--all"})["slots"][std::stoul(stub_link.substr(colon + 1))];
    EXPECT_EQ(body["kind"], "body");
    EXPECT_EQ(body["link"], std::to_string(page) + ":5");
  }
  EXPECT_GT(kinds["row"], 50);
  const std::string drawing = verb({"inspect", std::to_string(page)}).out;
  EXPECT_NE(drawing.find("more, which --all shows"), std::string::npos) << drawing;
  EXPECT_NE(drawing.find("\nslots\n  slot  kind "), std::string::npos) << drawing;
}

// Goal: the costs of long rows count their overflow pages; of a moved row, the page of its body.
TEST_F(InspectRowsTest, ExplainOfLongRows) {
  make_table();
  const json long_row = costs({"get", "texts_id", "59"});
  EXPECT_EQ(long_row["heap_pages"], 1);
  EXPECT_EQ(long_row["overflow_pages"], 4);  // 30,000 bytes
  const json moved = costs({"get", "texts_id", "5"});
  EXPECT_EQ(moved["heap_pages"], 2);
  EXPECT_EQ(moved["overflow_pages"], 0);
}

// Goal: the map of a table's pages lists them with their room.
TEST_F(InspectRowsTest, MapPage) {
  make_table();
  const json report = inspect(find("free-space map"));
  EXPECT_EQ(report["map"]["level"], 0);
  EXPECT_EQ(report["map"]["first"], 0);
  EXPECT_EQ(report["map"]["count"], report["entries"].size());
  EXPECT_EQ(report["verdict"]["structure"], "in order");
  std::uint64_t number = 0;
  for (const json& entry : report["entries"]) {
    const json heap = inspect(entry["page"]);
    EXPECT_EQ(heap["header"]["type"], "heap");
    EXPECT_EQ(heap["heap"]["number"], number++);
  }
  EXPECT_EQ(json::parse(verb({"stats", "texts", "--json"}).out)["heap_pages"], number);
}

// Goal: the catalog's rows say what kind of object stands behind a name.
TEST_F(InspectRowsTest, Catalog) {
  make_table();
  ASSERT_EQ(verb({"create-map", "sessions"}).code, 0);
  std::map<std::string, json> entries;
  const json catalog = inspect(3, {"--all"});
  for (const json& entry : catalog["entries"]) entries[entry["key"]] = entry["value"];
  EXPECT_EQ(entries["sessions"]["kind"], "map");
  EXPECT_EQ(entries["texts"]["kind"], "table");
  EXPECT_EQ(inspect(entries["texts"]["root"])["header"]["type"], "free-space map");
  EXPECT_EQ(entries["texts"]["columns"], json::parse(R"([{"name": "id", "type": "int32", "nullable": false},
                                                         {"name": "body", "type": "text", "nullable": true}])"));
  EXPECT_EQ(entries["texts_id"]["kind"], "index");
  EXPECT_EQ(entries["texts_id"]["table"], entries["texts"]["object"]);
  EXPECT_EQ(entries["texts_id"]["unique"], true);
  EXPECT_EQ(entries["texts_id"]["columns"], json::parse(R"([{"column": 0, "descending": true}])"));
  EXPECT_NE(verb({"inspect", "3"}).out.find("kind table, object "), std::string::npos);
}

// Goal: damage on a heap page or map page, a single bit or anything anywhere: exit code 2, an answer, never a crash.
TEST_F(InspectRowsTest, Damage) {
  make_table();
  const std::string sound = read_file(data_);
  const std::uint64_t kinds[] = {find("heap"), find("free-space map")};
  for (const std::uint64_t page : kinds) {
    std::string bytes = sound;
    bytes[page * kProgramPageBytes + 24] =
        static_cast<char>(bytes[page * kProgramPageBytes + 24] ^ 0x40);  // slots; level
    write_file(data_, bytes);
    const json report = inspect(page);
    EXPECT_EQ(report["verdict"]["sound"], false);
    EXPECT_EQ(report["verdict"]["checksum"], "wrong");
    EXPECT_NE(report["verdict"]["structure"], "in order");
    EXPECT_NE(verb({"inspect", std::to_string(page)}).out.find("DAMAGED"), std::string::npos);
  }
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(60); ++round) {
    std::string bytes = sound;
    const std::uint64_t page = kinds[random.uniform(std::size(kinds))];
    const std::size_t reach = random.one_in(2) ? 130 : kProgramPageBytes;  // headers and slots, or anywhere
    for (std::uint64_t change = random.between(1, 40); change > 0; --change) {
      bytes[page * kProgramPageBytes + random.uniform(reach)] = static_cast<char>(random.next());
    }
    write_file(data_, bytes);
    inspect(page, {"--all"});
    const Answer drawing = verb({"inspect", std::to_string(page), "--all"});
    ASSERT_TRUE(drawing.code == 0 || drawing.code == 2) << drawing.code << drawing.err;
  }
}

}  // namespace
}  // namespace vaultgres
