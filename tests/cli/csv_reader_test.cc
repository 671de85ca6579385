// CSV text as records: the dialect, line numbers, errors, chunks.
#include "cli/csv_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "support/random.h"

namespace vaultgres::cli {
namespace {

struct Field {
  std::string text;
  bool quoted = false;
  friend bool operator==(const Field&, const Field&) = default;
};
struct Record {
  std::uint64_t line = 0;
  std::vector<Field> fields;
  friend bool operator==(const Record&, const Record&) = default;
};
void PrintTo(const Record& record, std::ostream* out) {
  *out << "line " << record.line << ":";
  for (const Field& field : record.fields) *out << " <" << field.text << ">" << (field.quoted ? "q" : "");
}

struct Reading {
  std::vector<Record> records;
  std::string error;
};

Reading read_all(std::string_view text, std::size_t chunk_bytes = 1 << 20, char delimiter = ',') {
  Reading reading;
  CsvReader reader("x.csv", delimiter);
  const auto take = [&](const CsvRecord& record) -> Result<bool> {
    reading.records.push_back({record.line, {}});
    for (const CsvField& field : record.fields) {
      reading.records.back().fields.push_back({std::string(field.text), field.quoted});
    }
    return true;
  };
  for (; !text.empty(); text.remove_prefix(std::min(chunk_bytes, text.size()))) {
    const std::string chunk(text.substr(0, chunk_bytes));  // its own memory: views into an earlier chunk would show
    if (const Result<bool> fed = reader.feed(chunk, take); !fed) {
      reading.error = fed.error().message();
      return reading;
    }
  }
  if (const Result<bool> done = reader.finish(take); !done) reading.error = done.error().message();
  return reading;
}

Field quoted(std::string text) {
  return {std::move(text), true};
}
Field plain(std::string text) {
  return {std::move(text), false};
}

// Goal: each rule of the dialect.
TEST(CsvReaderTest, Dialect) {
  using Records = std::vector<Record>;
  const auto records = [](std::string_view text) {
    const Reading reading = read_all(text);
    EXPECT_EQ(reading.error, "") << text;
    return reading.records;
  };
  EXPECT_EQ(records(""), Records());
  EXPECT_EQ(records("a,b\n"), (Records{{1, {plain("a"), plain("b")}}}));
  EXPECT_EQ(records("a,b"), (Records{{1, {plain("a"), plain("b")}}}));
  EXPECT_EQ(records("a,"), (Records{{1, {plain("a"), plain("")}}}));
  EXPECT_EQ(records(",\n"), (Records{{1, {plain(""), plain("")}}}));
  EXPECT_EQ(records(" a ,\tb\n"), (Records{{1, {plain(" a "), plain("\tb")}}}));
  EXPECT_EQ(records("\"\",\n"), (Records{{1, {quoted(""), plain("")}}}));
  EXPECT_EQ(records("\"a,b\",\"c\"\"d\"\n"), (Records{{1, {quoted("a,b"), quoted("c\"d")}}}));
  EXPECT_EQ(records("\"\"\"\"\n"), (Records{{1, {quoted("\"")}}}));
  EXPECT_EQ(records("\" a \""), (Records{{1, {quoted(" a ")}}}));
  EXPECT_EQ(records("\xEF\xBB\xBF\"a\"\n"), (Records{{1, {quoted("a")}}}));
  EXPECT_EQ(records("\xEF\xBB\xBF"), Records());
  EXPECT_EQ(records("a\xEF\xBB\xBF\n"), (Records{{1, {plain("a\xEF\xBB\xBF")}}}));
  EXPECT_EQ(records(std::string_view("a\0b\n", 4)), (Records{{1, {plain(std::string("a\0b", 3))}}}));
}

// Goal: the line of a record counts every kind of line end, those inside quotes and empty lines.
TEST(CsvReaderTest, LineNumbers) {
  const auto lines = [](std::string_view text) {
    std::vector<std::uint64_t> found;
    for (const Record& record : read_all(text).records) {
      if (record.fields[0] != plain("")) found.push_back(record.line);
    }
    return found;
  };
  using Lines = std::vector<std::uint64_t>;
  EXPECT_EQ(lines("a\nb\nc"), (Lines{1, 2, 3}));
  EXPECT_EQ(lines("a\r\nb\r\nc\r\n"), (Lines{1, 2, 3}));
  EXPECT_EQ(lines("a\rb\rc"), (Lines{1, 2, 3}));
  EXPECT_EQ(lines("\"a\nx\ny\"\nb\n"), (Lines{1, 4}));
  EXPECT_EQ(lines("\"a\r\nx\"\r\nb\r\n"), (Lines{1, 3}));
  EXPECT_EQ(lines("\n\na\n\r\n\r\nb"), (Lines{3, 6}));
  EXPECT_EQ(lines("a\r\r\nb"), (Lines{1, 3}));
}

// Goal: an empty line is one record with one empty field, and \r\n is one line end, not two.
TEST(CsvReaderTest, EmptyLines) {
  EXPECT_EQ(read_all("a\n\nb\n").records,
            (std::vector<Record>{{1, {plain("a")}}, {2, {plain("")}}, {3, {plain("b")}}}));
  EXPECT_EQ(read_all("a\r\nb\r\n").records, (std::vector<Record>{{1, {plain("a")}}, {2, {plain("b")}}}));
  EXPECT_EQ(read_all("\r\n").records, (std::vector<Record>{{1, {plain("")}}}));
}

// Goal: what is no CSV is an error that says in which record and field, after the records before it.
TEST(CsvReaderTest, Errors) {
  const auto error = [](std::string_view text, std::size_t records_before) {
    const Reading reading = read_all(text);
    EXPECT_EQ(reading.records.size(), records_before) << text;
    return reading.error;
  };
  EXPECT_EQ(error("a,b\nc,\"d\n\n", 1), "x.csv:2: the quote that opens field 2 is never closed");
  EXPECT_EQ(error("\"", 0), "x.csv:1: the quote that opens field 1 is never closed");
  EXPECT_TRUE(error("a\nb\"c\n", 1).starts_with("x.csv:2: field 1 has a quote but does not begin with one"));
  EXPECT_TRUE(error(" \"a\"\n", 0).starts_with("x.csv:1: field 1 has a quote but does not begin with one"));
  EXPECT_TRUE(error("a\n\"b\nb\",\"c\"d\n", 1).starts_with("x.csv:2: field 2 goes on behind its closing quote"));
  EXPECT_TRUE(error("\"a\" ,b\n", 0).starts_with("x.csv:1: field 1 goes on behind its closing quote"));
}

// Goal: chunks of every size give the same records, lines and quotes.
TEST(CsvReaderTest, ChunksDoNotMatter) {
  const std::string text =
      "\xEF\xBB\xBFid,\"na\"\"me\"\r\n1,\"a\r\nb\"\r\n\r\n\"\",\"\"\"\"\"\"\r2,\n,\n\"x\ny\n\",\"z\"\n\n3,last";
  const Reading whole = read_all(text);
  ASSERT_EQ(whole.error, "");
  ASSERT_EQ(whole.records.size(), 9U);
  for (std::size_t bytes = 3; bytes < text.size(); ++bytes) {
    EXPECT_EQ(read_all(text, bytes).records, whole.records) << bytes;
  }
  const std::string unmarked = text.substr(3);
  for (std::size_t bytes = 1; bytes < text.size(); ++bytes) {
    EXPECT_EQ(read_all(unmarked, bytes).records, whole.records) << bytes;
  }
}

// Goal: random fields, quoted where they must be and sometimes where not, come back as they were.
TEST(CsvReaderTest, RandomFieldsComeBack) {
  TestRandom random;
  constexpr char kDelimiters[] = {',', ';', '\t', '|', ' '};
  for (int round = 0; round < 300; ++round) {
    const char delimiter = kDelimiters[random.uniform(std::size(kDelimiters))];
    const std::string letters = std::string("ab\"\n\r ") + delimiter + '\0' + "\xFF";
    std::vector<std::vector<Field>> expected;
    std::string text;
    for (std::size_t records = random.between(1, 8); records > 0; --records) {
      std::vector<Field> fields;
      for (std::size_t count = random.between(1, 5); count > 0; --count) {
        std::string value;
        for (std::size_t length = random.uniform(6); length > 0; --length)
          value += letters[random.uniform(letters.size())];
        const bool must = value.find_first_of(std::string("\"\n\r") + delimiter) != std::string::npos;
        const bool in_quotes = must || random.uniform(3) == 0;
        std::string source;
        for (const char c : value) source.append(c == '"' ? 2 : 1, c);
        text += in_quotes ? '"' + source + '"' : source;
        text += count > 1 ? std::string(1, delimiter) : std::string("\r\n");
        fields.push_back({value, in_quotes});
      }
      expected.push_back(std::move(fields));
    }
    if (text.starts_with("\xEF\xBB\xBF")) continue;
    const Reading reading = read_all(text, random.between(1, 20), delimiter);
    ASSERT_EQ(reading.error, "") << text;
    ASSERT_EQ(reading.records.size(), expected.size()) << text;
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(reading.records[i].fields, expected[i]) << text;
  }
}

// Goal: the sink can end the reading, with or without an error, and is not called again.
TEST(CsvReaderTest, SinkEndsIt) {
  int calls = 0;
  CsvReader stopped("x.csv", ',');
  const Result<bool> more = stopped.feed("a\nb\nc\n", [&](const CsvRecord&) -> Result<bool> { return ++calls < 2; });
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
  EXPECT_EQ(calls, 2);
  CsvReader failed("x.csv", ',');
  const Result<bool> error = failed.feed("a\nb\nc\n", [](const CsvRecord& record) -> Result<bool> {
    if (record.line == 1) return true;
    return Error(ErrorCode::kDuplicateKey, "twice");
  });
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().message(), "x.csv:2: twice");
  EXPECT_EQ(error.error().code(), ErrorCode::kDuplicateKey);
}

// Goal: a quote that is never closed does not take memory without end.
TEST(CsvReaderTest, RecordsAreBounded) {
  CsvReader reader("x.csv", ',');
  const auto none = [](const CsvRecord&) -> Result<bool> { return Error(ErrorCode::kIo, "a record"); };
  ASSERT_TRUE(reader.feed("\"", none));
  const std::string chunk(1 << 20, 'x');
  Result<bool> fed = true;
  std::size_t chunks = 0;
  for (; fed && chunks < 100; ++chunks) fed = reader.feed(chunk, none);
  EXPECT_EQ(chunks, 65U);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(fed.error().message(), "x.csv:1: the record has more than 64 MiB; does a quote miss its end?");
}

}  // namespace
}  // namespace vaultgres::cli
