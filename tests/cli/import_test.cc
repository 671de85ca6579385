// vaultgres import: what becomes of CSV files, and that what fails leaves nothing behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "catalog/text_format.h"
#include "cli/program_support.h"
#include "support/random.h"
#include "support/temp_directory.h"
#include "vaultgres/database.h"

namespace vaultgres {
namespace {

using nlohmann::json;

class ImportTest : public ::testing::Test {
 protected:
  /// import DIR TABLE FILE …, the file having this text.
  Answer import_text(std::string_view text, std::vector<std::string> options = {}, const std::string& table = "t") {
    write_file(csv_, text);
    options.insert(options.begin(), {"import", database_, table, csv_});
    return run_program(options);
  }
  Answer append_text(std::string_view text, std::vector<std::string> options = {}) {
    options.push_back("--append");
    return import_text(text, options);
  }
  void make(std::string_view text, const std::vector<std::string>& options = {}, const std::string& table = "t") {
    const Answer answer = import_text(text, options, table);
    ASSERT_EQ(answer.code, 0) << answer.err;
  }

  Database open() const { return *Database::open(database_); }
  bool has_table(const std::string& table = "t") const { return open().open_table(table).has_value(); }
  std::string columns(const std::string& table = "t") const {
    const Answer answer = run_program({"tables", database_, table, "--json"});
    EXPECT_EQ(answer.code, 0) << answer.err;
    return answer.code == 0 ? json::parse(answer.out)["schema"].get<std::string>() : "";
  }
  /// The table's rows in order of their places, values as text between bars.
  Lines rows(const std::string& table = "t") const {
    Database database = open();
    const Result<Table> opened = database.open_table(table);
    if (!opened) return {"no table"};
    Lines found;
    TableScan scan = opened->scan();
    for (;;) {
      const Result<bool> more = scan.next();
      EXPECT_TRUE(more) << more.error().message();
      if (!more || !*more) return found;
      std::string line;
      for (const Value& value : scan.row()) {
        if (&value != &scan.row().front()) line += '|';
        if (value.is_null()) line += "NULL";
        append_value_text(value, line);
      }
      found.push_back(line);
    }
  }
  void expect_clean() const {
    const Answer answer = run_program({"check", database_});
    EXPECT_EQ(answer.code, 0) << answer.out << answer.err;
  }
  static void expect_error(const Answer& answer, int code, const std::string& message) {
    EXPECT_EQ(answer.code, code) << answer.err;
    EXPECT_EQ(answer.out, "");
    EXPECT_NE(answer.err.find(message), std::string::npos) << answer.err;
    EXPECT_EQ(std::count(answer.err.begin(), answer.err.end(), '\n'), 1) << answer.err;
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
  const std::string csv_ = directory_.file("t.csv");
};

// Goal: header and first rows make the columns; the answer says what was done.
TEST_F(ImportTest, GuessedColumns) {
  const Answer answer = import_text(
      "id,name,born,seen,score,ok,zip\n"
      "1,Ada,1815-12-10,2021-04-30T12:00:00Z,1.5,true,02134\n"
      "2,\"Hopper, Grace\",1906-12-09,,2,false,10001\n");
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_TRUE(answer.out.starts_with("2 rows into t in ")) << answer.out;
  EXPECT_EQ(answer.err, "");
  EXPECT_EQ(columns(),
            "id int64, name text null, born date, seen timestamp null, score double, ok bool, zip text null");
  EXPECT_EQ(rows(), (Lines{"1|Ada|1815-12-10|2021-04-30T12:00:00Z|1.5|true|02134",
                           "2|Hopper, Grace|1906-12-09|NULL|2|false|10001"}));
  expect_clean();
}

// Goal: --columns decides; the header may have another order, or there may be none.
TEST_F(ImportTest, GivenColumns) {
  make("name,id\nAda,7\n", {"--columns", "id int16, name text"});
  EXPECT_EQ(columns(), "id int16, name text");
  EXPECT_EQ(rows(), (Lines{"7|Ada"}));
  make("name,id\n", {"--columns", "name text, id text", "--header", "no"}, "u");
  EXPECT_EQ(rows("u"), (Lines{"name|id"}));
  make("a b,\"c,d\"\n1,\\x00ff\n", {"--columns", "\"a b\" int64, \"c,d\" bytes"}, "v");
  EXPECT_EQ(columns("v"), "\"a b\" int64, \"c,d\" bytes");
  EXPECT_EQ(rows("v"), (Lines{"1|\\x00ff"}));
}

// Goal: what the dialect promises reaches the table.
TEST_F(ImportTest, Dialect) {
  const std::vector<std::string> two = {"--columns", "id int64, name text"};
  make("\xEF\xBB\xBFid,name\r\n1,\"a\r\nb\"\r\n\r\n2,\"say \"\"x\"\"\"\r3, y ", two);
  EXPECT_EQ(rows(), (Lines{"1|a\r\nb", "2|say \"x\"", "3| y "}));
  make("id;name\n1;a,b\n", {"--delimiter", ";"}, "u");
  EXPECT_EQ(rows("u"), (Lines{"1|a,b"}));
  make("id\tname\n1\ta b\n", {"--delimiter", "\\t"}, "v");
  EXPECT_EQ(rows("v"), (Lines{"1|a b"}));
  make("id\tname\n1\ta b\n", {"--delimiter", "\t"}, "w");
  EXPECT_EQ(rows("w"), (Lines{"1|a b"}));
}

// Goal: each rule about NULL; one column with empty lines.
TEST_F(ImportTest, Nulls) {
  make("a,b,c\n,,1\n\"\",\"\",2\n", {"--columns", "a text null, b text, c int64"});
  EXPECT_EQ(rows(), (Lines{"NULL||1", "||2"}));
  make("a,b\nNA,\n\"NA\",3\n", {"--columns", "a text null, b text null", "--null", "NA"}, "u");
  EXPECT_EQ(rows("u"), (Lines{"NULL|", "NA|3"}));
  make("a,b\n\\N,1\n2,\\N\n", {"--null", "\\N"}, "v");
  EXPECT_EQ(columns("v"), "a int64 null, b int64 null");
  EXPECT_EQ(rows("v"), (Lines{"NULL|1", "2|NULL"}));
  make("a\n1\n\n3\n", {}, "w");
  EXPECT_EQ(columns("w"), "a int64 null");
  EXPECT_EQ(rows("w"), (Lines{"1", "NULL", "3"}));
}

// Goal: every kind of bad file is an error that says line and column, and leaves no table.
TEST_F(ImportTest, BadFiles) {
  const std::string of_two = "id int32, name text";
  struct Case {
    std::string text;
    std::vector<std::string> options;
    std::string message;
  };
  const std::string nul("\0\xFF\x1F\x8B", 4);
  const std::vector<Case> cases = {
      {"id,name\n1,a\nabc,b\n", {"--columns", of_two}, ":3: column \"id\": \"abc\" is not an integer"},
      {"id,name\n3000000000,a\n", {"--columns", of_two}, ":2: column \"id\": \"3000000000\" is out of range"},
      {"name,id\na,1\nb,\n",
       {"--columns", of_two},
       ":3: column \"id\": an empty field, and the column must not be NULL"},
      {"id,name\n1,\"a\nb\"\n2\n", {"--columns", of_two}, ":4: 1 field for 2 columns"},
      {"id,name\n1,a,b\n", {"--columns", of_two}, ":2: 3 fields for 2 columns"},
      {"id,name\n1,a\n2,\"b\n3,c\n", {"--columns", of_two}, ":3: the quote that opens field 2 is never closed"},
      {"id,name\n1,a\"b\n", {"--columns", of_two}, ":2: field 2 has a quote"},
      {"id,name\n1,\"a\"b\n", {"--columns", of_two}, ":2: field 2 goes on behind its closing quote"},
      {"id,nom\n1,a\n", {"--columns", of_two}, ":1: the header names a column that the table does not have: \"nom\""},
      {"id\n1\n", {"--columns", of_two}, ":1: the header does not name the column \"name\""},
      {"id,id\n1,a\n", {"--columns", of_two}, ":1: the header names a column twice: \"id\""},
      {"", {"--columns", of_two}, "t.csv is empty: a header line is missing"},
      {"", {}, "t.csv is empty: a header line is missing"},
      {"\n\n", {}, "t.csv is empty: a header line is missing"},
      {"id,name\n", {}, "t.csv has a header but no row to guess types from"},
      {"id,id\n1,a\n", {}, ":1: the header line: two columns have the name \"id\""},
      {"id,\n1,a\n", {}, ":1: the header line: column 2: a name has 1 to 255 bytes"},
      {"id,name\n1,a\n2\n", {}, ":3: 1 field for 2 columns"},
      {nul + "x\n" + nul, {}, ":1: the header line: column 1: a name must"},
      {nul + "x\n" + nul, {"--columns", of_two, "--header", "no"}, ":1: 1 field for 2 columns"},
      {nul + "\x02,\n", {"--columns", of_two, "--header", "no"}, ":1: column \"id\": \"\\x00"},
  };
  for (const Case& tried : cases) {
    expect_error(import_text(tried.text, tried.options), 1, tried.message);
    EXPECT_FALSE(has_table()) << tried.message;
  }
  expect_clean();
}

// Goal: wrong options and columns are told before a database is made.
TEST_F(ImportTest, WrongOptions) {
  const std::string text = "id\n1\n";
  expect_error(import_text(text, {"--header", "maybe"}), 1, "--header is yes or no");
  for (const char* delimiter : {"", "ab", "\"", "\n", "\\r", "ä", "\xFF"}) {
    expect_error(import_text(text, {"--delimiter", delimiter}), 1, "--delimiter is one ASCII character");
  }
  expect_error(import_text(text, {"--columns", "id integer"}), 1, "--columns: column 1: \"integer\" is no type");
  expect_error(import_text(text, {"--header", "no"}), 1, "the columns have no names; give --columns");
  expect_error(import_text(text, {"--commit-every", "5"}), 1, "--commit-every goes with --append");
  expect_error(append_text(text, {"--columns", "id int64"}), 1, "leave out --columns");
  EXPECT_FALSE(std::filesystem::exists(database_));
}

// Goal: files that are none, names that are taken or unknown.
TEST_F(ImportTest, MissingAndTaken) {
  expect_error(run_program({"import", database_, "t", csv_}), 6, "t.csv: open failed: No such file");
  expect_error(run_program({"import", database_, "t", directory_.path()}), 1, "is a directory, not a file");
  expect_error(import_text("id\n1\n", {"--append"}), 6, "there is no database");
  make("id\n1\n");
  expect_error(import_text("id\n2\n"), 5, "there is a table \"t\" already; --append adds rows to a table");
  EXPECT_EQ(rows(), (Lines{"1"}));
  ASSERT_EQ(run_program({"create-map", database_, "m"}).code, 0);
  expect_error(import_text("id\n2\n", {}, "m"), 5, "there is a map \"m\" already");
  expect_error(import_text("id\n2\n", {"--append"}, "u"), 6,
               "there is no table \"u\"; without --append import makes it");
  expect_clean();
}

// Goal: a row behind the sample that contradicts the guess is an error whose advice works.
TEST_F(ImportTest, GuessIsContradicted) {
  std::string text = "id,name\n";
  for (int i = 0; i < 10'001; ++i) text += std::to_string(i) + ",x\n";
  const Answer answer = import_text(text + ",x\n");
  expect_error(answer, 1, "t.csv:10003: column \"id\": an empty field, and the column must not be NULL");
  expect_error(import_text(text + "1.5,x\n"), 1,
               "types were guessed from the first 10000 rows, give --columns 'id double, ");
  EXPECT_FALSE(has_table());
  const std::size_t advice = answer.err.find('\'') + 1;
  const std::string columns_text = answer.err.substr(advice, answer.err.rfind('\'') - advice);
  EXPECT_EQ(columns_text, "id int64 null, name text null");
  make(text + ",x\n", {"--columns", columns_text});
  EXPECT_EQ(rows().size(), 10'002U);
}

// Goal: --append is all or nothing; its error says at which line which constraint fails.
TEST_F(ImportTest, AppendIsAtomic) {
  make("id,name\n1,a\n2,b\n", {"--columns", "id int64, name text null"});
  ASSERT_EQ(run_program({"create-index", database_, "t", "t_id", "id", "--unique"}).code, 0);
  const Lines before = rows();
  expect_error(append_text("id,name\n3,c\n4,d\n2,e\n"), 5, "t.csv:4: ");
  EXPECT_EQ(rows(), before);
  expect_error(append_text("id,name\n3,c\n4\n"), 1, "t.csv:3: 1 field for 2 columns");
  EXPECT_EQ(rows(), before);
  expect_error(append_text("id,name\n3,c\nx,d\n"), 1, "t.csv:3: column \"id\": \"x\" is not an integer");
  EXPECT_EQ(rows(), before);
  expect_clean();
  const Answer answer = append_text("name,id\nc,3\n,4\n");
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_TRUE(answer.out.starts_with("2 rows into t in ")) << answer.out;
  EXPECT_EQ(rows(), (Lines{"1|a", "2|b", "3|c", "4|NULL"}));
  EXPECT_EQ(append_text("5,e\n", {"--header", "no"}).code, 0);
  EXPECT_EQ(rows().size(), 5U);
  expect_clean();
}

// Goal: with --commit-every an error keeps what was committed, and says how much.
TEST_F(ImportTest, CommitEvery) {
  make("id\n100\n");
  ASSERT_EQ(run_program({"create-index", database_, "t", "t_id", "id", "--unique"}).code, 0);
  expect_error(append_text("id\n1\n2\n3\n4\n5\n6\n7\n100\n9\n", {"--commit-every", "3"}), 5,
               "; the first 6 rows are in the table");
  EXPECT_EQ(rows(), (Lines{"100", "1", "2", "3", "4", "5", "6"}));
  expect_error(append_text("id\n7\nx\n", {"--commit-every", "3"}), 1, "; the first 0 rows are in the table");
  EXPECT_EQ(append_text("id\n7\n8\n9\n10\n", {"--commit-every", "3"}).code, 0);
  EXPECT_EQ(rows().size(), 11U);
  expect_clean();
}

// Goal: standard input is read, with types guessed if it is a file and told why not if it is a pipe.
TEST_F(ImportTest, StandardInput) {
  EXPECT_EQ(run_program({"import", database_, "t", "-"}, "id\n1\n").code, 0);
  EXPECT_EQ(rows(), (Lines{"1"}));
  EXPECT_EQ(run_program({"import", database_, "t", "--append"}, "id\n2\n").code, 0);
  EXPECT_EQ(rows(), (Lines{"1", "2"}));
  expect_error(run_program({"import", database_, "u", "-"}, "id,x\n1\n"), 1, "standard input:2: 1 field for 2 columns");
  const std::string piped = "printf 'id\\n3\\n' | " VG_PROGRAM " import " + database_;
  const std::string quiet = " >/dev/null 2>&1";
  EXPECT_EQ(WEXITSTATUS(std::system((piped + " u -" + quiet).c_str())), 1);
  EXPECT_FALSE(has_table("u"));
  EXPECT_EQ(WEXITSTATUS(std::system((piped + " u - --columns 'id int16'" + quiet).c_str())), 0);
  EXPECT_EQ(rows("u"), (Lines{"3"}));
}

// Goal: the answer for programs.
TEST_F(ImportTest, Json) {
  const Answer answer = import_text("id\n1\n2\n3\n", {"--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  const json said = json::parse(answer.out);
  EXPECT_EQ(said["table"], "t");
  EXPECT_EQ(said["rows"], 3);
  EXPECT_GE(said["seconds"], 0.0);
  EXPECT_GE(said["rows_per_second"], 0.0);
}

// Goal: progress is drawn on a terminal, at most ten times a second, and taken away; nowhere else.
TEST_F(ImportTest, Progress) {
  std::string text = "id\n";
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i) + "\n";
  write_file(csv_, text);
  const auto start = std::chrono::steady_clock::now();
  const Answer shown = run_program_with_error_terminal({"import", database_, "t", csv_});
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_TRUE(shown.err.starts_with("\r[....................]  0 %  0 rows")) << shown.err;
  EXPECT_TRUE(shown.err.ends_with("\r\x1b[K")) << shown.err;
  EXPECT_LE(static_cast<double>(std::count(shown.err.begin(), shown.err.end(), '\r')), 3 + 10 * taken.count());
  EXPECT_TRUE(shown.out.starts_with("50,000 rows into t in ")) << shown.out;
  EXPECT_EQ(run_program_with_error_terminal({"import", database_, "u", csv_, "--quiet"}).err, "");
  EXPECT_EQ(run_program({"import", database_, "v", csv_}).err, "");
}

// Goal: Ctrl-C and sudden death in the middle leave no table and a sound database.
TEST_F(ImportTest, EndsInTheMiddle) {
  make("id\n1\n", {}, "other");
  const std::vector<std::string> arguments = {"import", database_, "t", "-", "--columns", "id int64, name text"};
  std::string text = "id,name\n";
  for (int i = 0; i < 100'000; ++i) text += std::to_string(i) + ",some text\n";
  Conversation interrupted(arguments);
  interrupted.send(text);
  interrupted.interrupt();
  EXPECT_EQ(interrupted.finish(), 130);
  EXPECT_FALSE(has_table());
  expect_clean();
  Conversation killed(arguments);
  killed.send(text);
  killed.kill();
  expect_clean();
  EXPECT_FALSE(has_table());
  EXPECT_EQ(rows("other"), (Lines{"1"}));
}

/// A random value of the type, as parse_value() would make it.
Value random_value(TestRandom& random, ColumnType type) {
  const auto integer = static_cast<std::int64_t>(random.next() >> random.uniform(64));
  switch (type) {
    case ColumnType::kInt16:
      return static_cast<std::int16_t>(integer);
    case ColumnType::kInt32:
      return static_cast<std::int32_t>(integer);
    case ColumnType::kInt64:
      return integer;
    case ColumnType::kDouble:
      return static_cast<double>(integer) / 1024;
    case ColumnType::kBool:
      return random.one_in(2);
    case ColumnType::kText:
      return random.one_in(4) ? Value(" \"x\",\n\r\n;ä ") : Value(random.word(random.uniform(40)));
    case ColumnType::kBytes:
      return Value::bytes(random.bytes(random.uniform(random.one_in(20) ? 20'000 : 20)));
    case ColumnType::kDate:
      return Date{static_cast<std::int32_t>(integer)};
    case ColumnType::kTimestamp:
      return Timestamp{integer};
  }
  return {};
}

std::string csv_of(const Value& value) {
  std::string text;
  append_value_text(value, text);
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return value.is_null() ? "" : quoted + "\"";
}

// Goal: random rows of every type, NULLs and long values included, arrive as they were, in a new table and appended.
TEST_F(ImportTest, RandomRowsOfEveryType) {
  TestRandom random;
  std::string columns_text;
  std::vector<Column> all;
  for (unsigned type = 1; type <= 9; ++type) {
    const std::string name = std::string(column_type_name(static_cast<ColumnType>(type)));
    all.push_back({name + "_a", static_cast<ColumnType>(type), false});
    all.push_back({name + "_b", static_cast<ColumnType>(type), true});
    columns_text += (type > 1 ? "," : "") + name + "_a " + name + "," + name + "_b " + name + " null";
  }
  std::vector<Row> expected;
  const auto make_text = [&](std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
      Row row;
      for (const Column& column : all) {
        row.push_back(column.nullable && random.one_in(3) ? Value() : random_value(random, column.type));
        text += (row.size() > 1 ? "," : "") + csv_of(row.back());
      }
      text += random.one_in(2) ? "\n" : "\r\n";
      expected.push_back(std::move(row));
    }
    return text;
  };
  make(make_text(2000), {"--columns", columns_text, "--header", "no"});
  const Answer appended = append_text(make_text(1000), {"--header", "no"});
  ASSERT_EQ(appended.code, 0) << appended.err;
  expect_clean();
  Database database = open();
  TableScan scan = database.open_table("t")->scan();
  std::vector<Row> found;
  for (Result<bool> more = scan.next(); more && *more; more = scan.next()) found.push_back(scan.row());
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_TRUE(found == expected);
}

}  // namespace
}  // namespace vaultgres
