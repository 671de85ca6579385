// The verbs on tables and indexes as objects: list, make, drop, rename.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"
#include "support/temp_directory.h"
#include "vaultgres/database.h"

namespace vaultgres {
namespace {

using nlohmann::json;

class TablesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string csv = directory_.file("ratings.csv");
    write_file(csv, "id,period,elo\n1,201901,1500\n1,201902,1520\n2,201901,\n3,201901,1500\n");
    const Answer made = run_program({"import", database_, "ratings", csv});
    ASSERT_EQ(made.code, 0) << made.err;
  }
  Answer verb(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin() + 1, database_);
    return run_program(arguments);
  }
  void expect_error(std::vector<std::string> arguments, int code, const std::string& message) {
    const Answer answer = verb(std::move(arguments));
    EXPECT_EQ(answer.code, code) << answer.err;
    EXPECT_NE(answer.err.find(message), std::string::npos) << answer.err;
    EXPECT_EQ(answer.out, "");
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
};

// Goal: an index is made over the columns that are named, in their directions, and says what it is.
TEST_F(TablesTest, CreateIndex) {
  const Answer answer = verb({"create-index", "ratings", "key", "id", "period:desc", "--unique", "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  json said = json::parse(answer.out);
  EXPECT_GE(said["seconds"], 0.0);
  said.erase("seconds");
  EXPECT_EQ(said, (json{{"index", "key"},
                        {"table", "ratings"},
                        {"columns", "id, period desc"},
                        {"unique", true},
                        {"rows", 4},
                        {"height", 1},
                        {"pages", 1}}));
  const Answer text = verb({"create-index", "ratings", "by_elo", "elo:asc"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_TRUE(text.out.starts_with("index    by_elo\ntable    ratings\ncolumns  elo\nunique   no\nrows     4\n"))
      << text.out;
  Database database = *Database::open(database_);
  const Result<Index> key = database.open_index("key");
  ASSERT_TRUE(key) << key.error().message();
  EXPECT_EQ(key->spec(), (IndexSpec{.columns = {{"id"}, {"period", true}}, .unique = true}));
  EXPECT_TRUE(*key->find({1, 201902}));
}

// Goal: what cannot be indexed is an error with its own code, and no index stays.
TEST_F(TablesTest, CreateIndexErrors) {
  expect_error({"create-index", "ratings", "i", "id", "--unique"}, 5, "");
  expect_error({"create-index", "nothing", "i", "id"}, 6, "there is no table \"nothing\"; `vaultgres tables` lists");
  expect_error({"create-index", "ratings", "ratings", "id"}, 5, "there is a table \"ratings\" already");
  expect_error({"create-index", "ratings", "i", "idd"}, 1, "\"idd\"");
  expect_error({"create-index", "ratings", "i", "id", "id:desc"}, 1, "\"id\"");
  expect_error({"create-index", "ratings", "i"}, 1, "COLUMN is required");
  EXPECT_EQ(json::parse(verb({"tables", "ratings", "--json"}).out)["indexes"], json::array());
  EXPECT_EQ(verb({"check"}).code, 0);
}

// Goal: the list in every format, and one table as a drawing.
TEST_F(TablesTest, Lists) {
  ASSERT_EQ(verb({"create-index", "ratings", "key", "id", "period:desc", "--unique"}).code, 0);
  ASSERT_EQ(verb({"create-index", "ratings", "by elo", "elo"}).code, 0);
  const json list = json::parse(verb({"tables", "--json"}).out);
  ASSERT_EQ(list.size(), 1U);
  const json expected_columns = {{{"name", "id"}, {"type", "int64"}, {"nullable", false}},
                                 {{"name", "period"}, {"type", "int64"}, {"nullable", false}},
                                 {{"name", "elo"}, {"type", "int64"}, {"nullable", true}}};
  EXPECT_EQ(list[0]["name"], "ratings");
  EXPECT_EQ(list[0]["schema"], "id int64, period int64, elo int64 null");
  EXPECT_EQ(list[0]["columns"], expected_columns);
  ASSERT_EQ(list[0]["indexes"].size(), 2U);
  const json key_parts = {{{"name", "id"}, {"descending", false}}, {{"name", "period"}, {"descending", true}}};
  for (const json& index : list[0]["indexes"]) {
    if (index["name"] == "key") {
      EXPECT_EQ(index["columns"], key_parts);
    }
    EXPECT_EQ(index["unique"], index["name"] == "key");
  }
  EXPECT_EQ(json::parse(verb({"tables", "ratings", "--json"}).out), list[0]);
  const std::string object = std::to_string(list[0]["object_id"].get<int>());
  EXPECT_EQ(verb({"tables"}).out, "ratings\t" + object +
                                      "\tid int64, period int64, elo int64 null\tby elo (elo), key (id, period desc) "
                                      "unique\n");
  EXPECT_EQ(verb({"tables", "--csv"}).out,
            "name,object_id,columns,indexes\nratings," + object +
                ",\"id int64, period int64, elo int64 null\",\"by elo (elo), key (id, period desc) unique\"\n");
  EXPECT_EQ(verb({"tables", "ratings"}).out, "ratings, object " + object +
                                                 "\n\n"
                                                 "columns\n"
                                                 "  id      int64\n"
                                                 "  period  int64\n"
                                                 "  elo     int64  null\n"
                                                 "\n"
                                                 "indexes\n"
                                                 "  by elo  elo\n"
                                                 "  key     id, period desc  unique\n");
  expect_error({"tables", "nothing"}, 6, "there is no table \"nothing\"");
}

// Goal: a database without tables has an empty list.
TEST_F(TablesTest, EmptyList) {
  ASSERT_EQ(verb({"drop-table", "ratings"}).code, 0);
  EXPECT_EQ(verb({"tables"}).out, "");
  EXPECT_EQ(json::parse(verb({"tables", "--json"}).out), json::array());
}

// Goal: tables and indexes go, a table with its indexes, and only under the right kind of name.
TEST_F(TablesTest, Drop) {
  ASSERT_EQ(verb({"create-index", "ratings", "a", "id"}).code, 0);
  ASSERT_EQ(verb({"create-index", "ratings", "b", "elo"}).code, 0);
  expect_error({"drop-table", "a"}, 6, "`vaultgres tables` lists the tables");
  expect_error({"drop-index", "ratings"}, 6, "`vaultgres tables` lists the indexes, too");
  expect_error({"drop-map", "ratings"}, 6, "`vaultgres maps` lists the maps");
  EXPECT_EQ(verb({"drop-index", "a"}).code, 0);
  expect_error({"drop-index", "a"}, 6, "there is no index \"a\"");
  EXPECT_EQ(verb({"drop-table", "ratings"}).code, 0);
  expect_error({"drop-index", "b"}, 6, "there is no index \"b\"");
  EXPECT_EQ(verb({"check"}).code, 0);
}

// Goal: names change; taken, unknown and foreign names do not.
TEST_F(TablesTest, Rename) {
  ASSERT_EQ(verb({"create-index", "ratings", "a", "id"}).code, 0);
  expect_error({"rename-table", "ratings", "a"}, 5, "there is an index \"a\" already");
  expect_error({"rename-table", "nothing", "x"}, 6, "`vaultgres tables` lists the tables");
  expect_error({"rename-index", "ratings", "x"}, 6, "`vaultgres tables` lists the indexes, too");
  EXPECT_EQ(verb({"rename-table", "ratings", "r"}).code, 0);
  EXPECT_EQ(verb({"rename-index", "a", "ratings"}).code, 0);
  const json table = json::parse(verb({"tables", "r", "--json"}).out);
  ASSERT_EQ(table["indexes"].size(), 1U);
  EXPECT_EQ(table["indexes"][0]["name"], "ratings");
  EXPECT_EQ(verb({"check"}).code, 0);
}

}  // namespace
}  // namespace vaultgres
