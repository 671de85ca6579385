// The verbs on entries and maps: what they answer, in each format, and their exit codes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program_support.h"
#include "support/random.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using nlohmann::json;

class EntriesTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(run_program({"create-map", database_, "m"}).code, 0); }

  Answer verb(std::vector<std::string> arguments, std::string_view input = "") {
    arguments.insert(arguments.begin() + 1, database_);
    return run_program(arguments, input);
  }
  void insert(const std::string& key, const std::string& value) {
    const Answer answer = verb({"insert", "m", key, value});
    ASSERT_EQ(answer.code, 0) << answer.err;
    EXPECT_EQ(answer.out, "");
  }

  const TempDirectory directory_;
  const std::string database_ = directory_.file("shop.vg");
};

// Goal: what insert stored, get shows; a key that is there is kept unless --replace; delete takes it away.
TEST_F(EntriesTest, InsertGetDelete) {
  insert("alice", "42");
  EXPECT_EQ(verb({"get", "m", "alice"}).out, "42\n");
  EXPECT_EQ(verb({"get", "m", "alice", "--raw"}).out, "42");
  EXPECT_EQ(verb({"insert", "m", "alice", "43"}).code, 5);
  EXPECT_EQ(verb({"get", "m", "alice"}).out, "42\n");
  EXPECT_EQ(verb({"insert", "m", "alice", "43", "--replace"}).code, 0);
  EXPECT_EQ(verb({"get", "m", "alice"}).out, "43\n");
  EXPECT_EQ(verb({"delete", "m", "alice"}).code, 0);
  EXPECT_EQ(verb({"get", "m", "alice"}).code, 6);
  EXPECT_EQ(verb({"delete", "m", "alice"}).code, 6);
}

// Goal: every odd string that a shell can pass arrives as it is.
TEST_F(EntriesTest, OddArguments) {
  const std::vector<std::string> texts = {"",   "{}", "[]", "[a,b]", "%%", "a,b",     "\"quoted\"", "'",       "a b",
                                          "--", "-x", "=",  "\\t",   "\n", "--limit", "ä",          "\xFF\xFE"};
  std::string expected;
  for (const std::string& text : texts) {
    const Answer inserted = verb({"insert", "m", "--", text, text});
    ASSERT_EQ(inserted.code, 0) << text << ": " << inserted.err;
    expected += "value\t" + text + "\n";
  }
  EXPECT_EQ(verb({"get", "m", "--raw", "--", "--limit"}).out, "--limit");
  EXPECT_EQ(verb({"get", "m", "--raw", "{}"}).out, "{}");
  EXPECT_EQ(verb({"get", "m", "--raw", ""}).code, 0);
  std::string commands;
  for (const std::string& text : texts) commands += "get\t" + escape_least(text) + "\n";
  EXPECT_EQ(unescape_text(verb({"batch", "m"}, commands).out), expected);
  EXPECT_EQ(verb({"range", "m", "--from", "{}", "--limit", "1", "--csv"}).out, "key,value\n{},{}\n");
  EXPECT_EQ(verb({"range", "m", "--from", "", "--limit", "1"}).out, "\t\n");
}

// Goal: random bytes survive --escaped on the way in, and every format on the way out.
TEST_F(EntriesTest, RandomBytesRoundTrip) {
  TestRandom random;
  for (int round = 0; round < 4; ++round) {
    const std::string key = random.bytes(random.between(1, 300));
    const std::string value = random.bytes(random.uniform(3000));
    // A dash alone would mean standard input.
    const std::string written = value == "-" ? escape_all(value) : escape_least(value);
    ASSERT_EQ(verb({"insert", "m", "--escaped", "--", escape_all(key), written}).code, 0);
    const Answer raw = verb({"get", "m", "--raw", "--escaped", escape_all(key)});
    EXPECT_EQ(raw.code, 0) << raw.err;
    EXPECT_EQ(raw.out, value);
    const std::string line = verb({"get", "m", "--escaped", escape_all(key)}).out;
    ASSERT_TRUE(line.ends_with('\n'));
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_EQ(unescape_text(line.substr(0, line.size() - 1)), value);
  }
}

// Goal: standard input as a value, byte for byte, also a large one.
TEST_F(EntriesTest, ValueFromStandardInput) {
  TestRandom random;
  const std::string value = random.bytes(100'000);
  ASSERT_EQ(verb({"insert", "m", "blob", "-"}, value).code, 0);
  EXPECT_EQ(verb({"get", "m", "blob", "--raw"}).out, value);
}

// Goal: text that is UTF-8 stays readable; control characters, C1 ones too, do not reach the terminal.
TEST_F(EntriesTest, EscapesInAnswers) {
  insert("k", "grün\x1b[31m\xC2\x9B\x7F\xC3");
  EXPECT_EQ(verb({"get", "m", "k"}).out, "grün\\x1b[31m\\xc2\\x9b\\x7f\\xc3\n");
  const Answer bad = verb({"get", "m", "--escaped", "\\q"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_NE(bad.err.find("KEY: bad escape at byte 0"), std::string::npos) << bad.err;
}

// Goal: ends of a range, both directions, limits.
TEST_F(EntriesTest, Ranges) {
  for (const char* key : {"a", "b", "ba", "c", "d"}) insert(key, std::string("v") + key);
  const auto keys = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"range", "m"});
    const Answer answer = verb(options);
    EXPECT_EQ(answer.code, 0) << answer.err;
    std::string found;
    std::istringstream lines(answer.out);
    for (std::string line; std::getline(lines, line);) found += line.substr(0, line.find('\t')) + " ";
    return found;
  };
  EXPECT_EQ(verb({"range", "m"}).out, "a\tva\nb\tvb\nba\tvba\nc\tvc\nd\tvd\n");
  EXPECT_EQ(keys({"--from", "b", "--to", "d"}), "b ba c ");
  EXPECT_EQ(keys({"--from", "b", "--to", "d", "--from-exclusive", "--to-inclusive"}), "ba c d ");
  EXPECT_EQ(keys({"--prefix", "b"}), "b ba ");
  EXPECT_EQ(keys({"--reverse"}), "d c ba b a ");
  EXPECT_EQ(keys({"--reverse", "--to", "c", "--limit", "2"}), "ba b ");
  EXPECT_EQ(keys({"--limit", "0"}), "a b ba c d ");
  EXPECT_EQ(keys({"--from", "x"}), "");
  EXPECT_EQ(keys({"--from", "c", "--to", "a"}), "");
  EXPECT_EQ(verb({"range", "m", "--prefix", "b", "--from", "a"}).code, 1);
  for (const char* limit : {"-1", "", "x", "1x", "99999999999999999999"}) {
    EXPECT_EQ(verb({"range", "m", std::string("--limit=") + limit}).code, 1) << limit;
  }
}

// Goal: JSON that parses, with bytes that are no text as hexadecimal; CSV that quotes.
TEST_F(EntriesTest, JsonAndCsv) {
  EXPECT_EQ(json::parse(verb({"range", "m", "--json"}).out), json::array());
  ASSERT_EQ(verb({"insert", "m", "--escaped", "k\\n1", "say \"hi\", you"}).code, 0);
  ASSERT_EQ(verb({"insert", "m", "--escaped", "k2", "\\xff\\x00"}).code, 0);
  const json entries = json::parse(verb({"range", "m", "--json"}).out);
  EXPECT_EQ(entries, json::parse(R"([{"key": "k\n1", "value": "say \"hi\", you"},
                                     {"key": "k2", "value": {"hex": "ff00"}}])"));
  EXPECT_EQ(json::parse(verb({"get", "m", "k2", "--json"}).out), entries[1]);
  EXPECT_EQ(verb({"range", "m", "--csv"}).out,
            std::string("key,value\n\"k\n1\",\"say \"\"hi\"\", you\"\nk2,\xFF") + '\0' + "\n");
  EXPECT_EQ(verb({"range", "m", "--csv", "--json"}).code, 1);
}

// Goal: on a terminal, columns that line up under no header; in a pipe, tabs.
TEST_F(EntriesTest, TablesOnTerminal) {
  insert("a", "1");
  insert("längste", "2");
  EXPECT_EQ(run_program_on_terminal({"range", database_, "m"}).out, "a        1\nlängste  2\n");
  ASSERT_EQ(verb({"create-map", "another"}).code, 0);
  const std::string table = run_program_on_terminal({"maps", database_}).out;
  EXPECT_EQ(table.find("name     object id\nanother  "), 0u) << table;
}

// Goal: maps are made, listed, renamed and dropped; each mistake has its exit code and changes nothing.
TEST_F(EntriesTest, Maps) {
  EXPECT_EQ(verb({"create-map", "m"}).code, 5);
  EXPECT_EQ(verb({"create-map", "n"}).code, 0);
  insert("k", "v");
  EXPECT_EQ(verb({"rename-map", "m", "n"}).code, 5);
  EXPECT_EQ(verb({"rename-map", "nothing", "x"}).code, 6);
  EXPECT_EQ(verb({"rename-map", "m", "renamed"}).code, 0);
  EXPECT_EQ(verb({"get", "renamed", "k"}).out, "v\n");
  EXPECT_EQ(verb({"get", "m", "k"}).code, 6);
  EXPECT_EQ(verb({"drop-map", "n"}).code, 0);
  EXPECT_EQ(verb({"drop-map", "n"}).code, 6);
  const json maps = json::parse(verb({"maps", "--json"}).out);
  ASSERT_EQ(maps.size(), 1u);
  EXPECT_EQ(maps[0]["name"], "renamed");
  EXPECT_TRUE(maps[0]["object_id"].is_number_unsigned());
  EXPECT_EQ(verb({"maps", "--csv"}).out.substr(0, 15), "name,object_id\n");
}

// Goal: insert makes a missing map only when asked to.
TEST_F(EntriesTest, InsertCreatesOnRequestOnly) {
  const Answer refused = verb({"insert", "other", "k", "v"});
  EXPECT_EQ(refused.code, 6);
  EXPECT_NE(refused.err.find("vaultgres maps"), std::string::npos) << refused.err;
  EXPECT_EQ(verb({"insert", "other", "k", "v", "--create"}).code, 0);
  EXPECT_EQ(verb({"get", "other", "k"}).out, "v\n");
}

// Goal: limits of keys are bad input, with the limit in the message.
TEST_F(EntriesTest, KeyTooLong) {
  const Answer answer = verb({"insert", "m", std::string(1025, 'k'), "v"});
  EXPECT_EQ(answer.code, 1);
  EXPECT_NE(answer.err.find("1024"), std::string::npos) << answer.err;
  EXPECT_EQ(verb({"insert", "m", std::string(1024, 'k'), "v"}).code, 0);
}

// Goal: a sound database checks as such; stats of database and map in each format.
TEST_F(EntriesTest, CheckAndStats) {
  for (int i = 0; i < 5; ++i) insert("key" + std::to_string(i), "value");
  const Answer check = verb({"check"});
  EXPECT_EQ(check.code, 0) << check.out << check.err;
  EXPECT_EQ(check.out.find("no problems: "), 0u) << check.out;
  const json report = json::parse(verb({"check", "--json"}).out);
  EXPECT_EQ(report["sound"], true);
  EXPECT_EQ(report["entries"], 5);
  EXPECT_EQ(report["problems"], json::array());
  const json map = json::parse(verb({"stats", "m", "--json"}).out);
  EXPECT_EQ(map["entries"], 5);
  EXPECT_EQ(map["height"], 1);
  EXPECT_GT(json::parse(verb({"stats", "--json"}).out)["pages"], 0);
  EXPECT_NE(verb({"stats", "m"}).out.find("entries          5\n"), std::string::npos);
  EXPECT_EQ(verb({"stats", "m", "--csv"}).out.find("name,height,entries,"), 0u);
  EXPECT_EQ(verb({"stats", "nothing"}).code, 6);
}

}  // namespace
}  // namespace vaultgres
