// Goal: an index gives exactly the rows of its table, in the order of its columns, by find and by range, both ways; a
// unique one lets no second row in, and a refused row leaves nothing anywhere.
//
// Method: the order is computed from the rows of a scan and the index's definition alone (support/table.h); ranges are
// compared with a filter of that.
#include <gtest/gtest.h>

#include "catalog/random_values_support.h"
#include "db/allocation_support.h"
#include "support/scale.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class IndexTest : public PeopleTest {};

TEST_F(IndexTest, TheComparisonItselfNoticesDifferences) {
  Index by_id = unique_id();
  fill(1, 20);
  ASSERT_OK(check_index(by_id, rows_));
  Rows fewer = rows_;
  fewer.erase(fewer.begin());
  EXPECT_ERROR(kCorruption, check_index(by_id, fewer));
  Rows more = rows_;
  more[{0xFFFFFF, 1}] = person(21);
  EXPECT_ERROR(kCorruption, check_index(by_id, more));
  Rows other = rows_;
  other.begin()->second[3] = Value();
  EXPECT_ERROR(kCorruption, check_index(by_id, other));
  std::swap(other.begin()->second[0], other.rbegin()->second[0]);
  EXPECT_ERROR(kCorruption, check_index(by_id, other));
}

TEST_F(IndexTest, AnEmptyTableHasNothingInAnyDirection) {
  Index by_id = unique_id();
  RowCursor cursor = by_id.range();
  EXPECT_FALSE(*cursor.next());
  EXPECT_FALSE(*cursor.prev());
  EXPECT_FALSE(*cursor.first());
  EXPECT_FALSE(*cursor.last());
  EXPECT_FALSE(cursor.valid());
  EXPECT_TRUE(cursor.row().empty());
  EXPECT_FALSE(by_id.find({1})->has_value());
  EXPECT_FALSE(by_id.find({})->has_value());
}

TEST_F(IndexTest, IndexesFollowEveryChangeOfTheRows) {
  Index by_id = unique_id();
  Index by_city = cities();
  fill(1, 300);
  expect_rows();
  EXPECT_EQ((*by_id.find({123}))->values, person(123));
  for (auto it = rows_.begin(); it != rows_.end();) {
    const std::int64_t id = it->second[0].integer();
    if (id % 3 == 0) {
      ASSERT_OK(people_.update(it->first, person(id + 1000)));
      it->second = person(id + 1000);
    } else if (id % 3 == 1) {
      ASSERT_TRUE(*people_.erase(it->first));
      it = rows_.erase(it);
      continue;
    }
    ++it;
  }
  expect_rows();
  EXPECT_FALSE(by_id.find({123})->has_value());
  EXPECT_EQ((*by_id.find({1123}))->values, person(1123));
  EXPECT_FALSE(by_city.find({99})->has_value());
}

// --- Unique indexes

TEST_F(IndexTest, ADuplicateIsRefusedAndNothingIsChanged) {
  cities();
  Index by_id = unique_id();
  fill(1, 100);
  for (int i = 0; i < 50; ++i) EXPECT_ERROR(kDuplicateKey, people_.insert(person(1 + i, i % 10 == 0 ? 20000 : 20)));
  const RowId id = rows_.begin()->first;
  Row row = person(50);
  row[2] = 1234;
  EXPECT_ERROR(kDuplicateKey, people_.update(id, row));
  EXPECT_EQ(**people_.get(id), rows_[id]);
  expect_rows();
  row[0] = rows_[id][0];  // its own key again
  ASSERT_OK(people_.update(id, row));
  rows_[id] = row;
  expect_rows();
  ASSERT_TRUE(*people_.erase(id));
  rows_.erase(id);
  const Result<RowId> again = people_.insert(row);
  ASSERT_OK(again) << "the key of an erased row is free";
  rows_[*again] = row;
  expect_rows();
  EXPECT_EQ(*by_id.find({row[0]}).value()->values.begin(), row[0]);
}

TEST_F(IndexTest, ATransactionGoesOnAfterADuplicate) {
  cities();
  unique_id();
  fill(1, 20);
  Transaction txn = *db_.begin();
  const Result<RowId> before = people_.insert(txn, person(100));
  ASSERT_OK(before);
  for (int i = 0; i < 10; ++i) {
    EXPECT_ERROR(kDuplicateKey, people_.insert(txn, person(1 + i, i == 0 ? 3 * kPageBytes : 10)));
    EXPECT_ERROR(kDuplicateKey, people_.insert(txn, person(100)));
    EXPECT_ERROR(kDuplicateKey, people_.update(txn, *before, person(5)));
  }
  EXPECT_EQ(**people_.get(txn, *before), person(100));
  const Result<RowId> after = people_.insert(txn, person(101));
  ASSERT_OK(after);
  EXPECT_EQ(rows_of(people_, txn).size(), 22u);
  ASSERT_OK(txn.commit());
  rows_[*before] = person(100);
  rows_[*after] = person(101);
  expect_rows();
}

TEST_F(IndexTest, KeysMoveBetweenRowsOfOneTransaction) {
  Index by_id = unique_id();
  fill(1, 2);
  const RowId one = by_id.find({1}).value()->id;
  const RowId two = by_id.find({2}).value()->id;
  Transaction txn = *db_.begin();
  ASSERT_OK(people_.update(txn, one, person(3)));
  ASSERT_OK(people_.update(txn, two, person(1)));
  ASSERT_OK(people_.update(txn, one, person(2)));
  EXPECT_EQ(by_id.find(txn, {1}).value()->id, two);
  EXPECT_EQ(by_id.find({1}).value()->id, one);
  ASSERT_OK(txn.commit());
  rows_ = {{one, person(2)}, {two, person(1)}};
  expect_rows();
}

TEST_F(IndexTest, NullsAreNoDuplicatesOfEachOther) {
  Index unique = *db_.create_index("u", "people", {.columns = {{"name"}, {"city", true}}, .unique = true});
  const std::vector<Row> rows = {{1, Value(), Value(), Value()},
                                 {2, Value(), Value(), Value()},
                                 {3, "a", Value(), Value()},
                                 {4, "a", Value(), Value()},
                                 {5, Value(), 7, Value()},
                                 {6, Value(), 7, Value()},
                                 {7, "a", 7, Value()}};
  for (const Row& row : rows) rows_[*people_.insert(row)] = row;
  EXPECT_ERROR(kDuplicateKey, people_.insert({8, "a", 7, Value()}));
  EXPECT_EQ(unique.find({Value(), Value()}).value()->values[0], Value(1));
  expect_rows();
  const RowId last = unique.find({"a", 7}).value()->id;
  ASSERT_OK(people_.update(last, {7, "a", Value(), Value()}));
  rows_[last] = {7, "a", Value(), Value()};
  const Row row{8, "a", 7, Value()};
  rows_[*people_.insert(row)] = row;
  EXPECT_ERROR(kDuplicateKey, people_.update(last, {7, "a", 7, Value()}));
  expect_rows();
}

TEST_F(IndexTest, AKeyThatIsTooLongIsRefusedAndNothingIsChanged) {
  unique_id();
  ASSERT_OK(db_.create_index("by_data", "people", {.columns = {{"data"}}, .unique = false}));
  fill(1, 5);
  EXPECT_ERROR(kTooLarge, people_.insert(person(6, kKeyBytesMax)));
  const RowId id = rows_.begin()->first;
  EXPECT_ERROR(kTooLarge, people_.update(id, person(7, kKeyBytesMax)));
  const std::size_t longest = kKeyBytesMax - 1 - 2 - 6;  // marker, end of text, place
  const Result<RowId> fits = people_.insert(person(6, longest));
  ASSERT_OK(fits);
  rows_[*fits] = person(6, longest);
  EXPECT_ERROR(kTooLarge, people_.insert(person(7, longest + 1)));
  expect_rows();
}

// --- Ranges

/// What IndexRange promises, by comparing values.
bool is_in(const IndexOrder& order, const Row& row, const IndexRange& range) {
  for (std::size_t i = 0; i < range.equal.size(); ++i) {
    if (row[order.column(i)] != range.equal[i]) return false;
  }
  if (!range.from && !range.to && !range.prefix) return true;
  const Value& value = row[order.column(range.equal.size())];
  if (range.prefix) {
    if (value.is_null()) return false;
    const std::string_view text = value.kind() == Value::Kind::kText ? value.text() : value.bytes();
    return text.starts_with(*range.prefix);
  }
  if (range.from && (value < range.from->value || (value == range.from->value && !range.from->inclusive))) return false;
  if (range.to && (value > range.to->value || (value == range.to->value && !range.to->inclusive))) return false;
  // An end that is left open leaves out NULLs, unless the other one is NULL itself.
  return !value.is_null() || range.from || range.to->value.is_null();
}

class RandomRanges {
 public:
  RandomRanges(TestRandom& random, Database& db, const std::string& name)
      : random_(random), table_(*db.create_table(name, random_schema(random, 1 + random.uniform(5)))) {
    for (int i = 0; i < 2; ++i) {
      IndexSpec spec{.columns = {}, .unique = false};
      std::vector<std::string> columns;
      for (const Column& column : table_.schema().columns()) columns.push_back(column.name);
      random.shuffle(columns);
      columns.resize(1 + random.uniform(columns.size()));
      for (const std::string& column : columns) spec.columns.push_back({column, random.one_in(2)});
      indexes_.push_back(*db.create_index(name + "_" + std::to_string(i), name, spec));
    }
  }

  void fill(int rows) {
    for (int i = 0; i < rows; ++i) {
      // Many equal values: a column of a former row now and then.
      Row row = random_row(random_, table_.schema());
      if (!rows_.empty()) {
        for (std::size_t c = 0; c < row.size(); ++c) {
          if (random_.one_in(2)) row[c] = some_row()[c];
        }
      }
      const Result<RowId> id = table_.insert(row);
      if (!id && id.error().code() == ErrorCode::kTooLarge) continue;
      ASSERT_OK(id);
      rows_[*id] = row;
    }
  }

  void compare(int ranges) {
    for (const Index& index : indexes_) {
      ASSERT_OK(check_index(index, rows_));
      const IndexOrder order(table_.schema(), index.spec());
      const RowEntries sorted = order.sorted(rows_);
      for (int i = 0; i < ranges && !::testing::Test::HasFailure(); ++i) {
        const IndexRange range = random_range(order);
        RowEntries expected;
        std::copy_if(sorted.begin(), sorted.end(), std::back_inserter(expected),
                     [&](const RowEntry* entry) { return is_in(order, entry->second, range); });
        compare_walks(index, range, expected);
        if (range.from || range.to || range.prefix) continue;
        const auto found = index.find(range.equal);
        ASSERT_OK(found);
        ASSERT_EQ(found->has_value(), !expected.empty());
        if (!expected.empty()) {
          ASSERT_EQ((*found)->id, expected.front()->first);
        }
      }
    }
  }
  std::size_t hits() const { return hits_; }

 private:
  const Row& some_row() {
    auto it = rows_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random_.uniform(rows_.size())));
    return it->second;
  }
  Value some_value(std::size_t column) {
    return random_.one_in(3) ? random_value(random_, table_.schema()[column]) : some_row()[column];
  }

  IndexRange random_range(const IndexOrder& order) {
    IndexRange range;
    const std::size_t equal = random_.uniform(order.size() + 1);
    range.equal = order.key_of(some_row(), equal);
    if (!range.equal.empty() && random_.one_in(4)) range.equal.back() = some_value(order.column(equal - 1));
    if (equal == order.size()) return range;
    const std::size_t next = order.column(equal);
    if (is_text_like(table_.schema()[next].type) && random_.one_in(3)) {
      const Value value = some_value(next);
      if (value.is_null()) return range;
      const std::string_view text = value.kind() == Value::Kind::kText ? value.text() : value.bytes();
      range.prefix = std::string(text.substr(0, random_.uniform(text.size() + 1)));
      return range;
    }
    if (random_.one_in(2)) range.from = ValueBound{some_value(next), random_.one_in(2)};
    if (random_.one_in(2)) range.to = ValueBound{some_value(next), random_.one_in(2)};
    return range;
  }

  void compare_walks(const Index& index, const IndexRange& range, const RowEntries& expected) {
    hits_ += expected.size();
    RowCursor cursor = index.range(range);
    ASSERT_OK(check_walk(cursor, expected, true));
    ASSERT_OK(check_walk(cursor, expected, false));
    // Back and forth from the middle.
    RowCursor steps = index.range(range);
    std::size_t at = 0;  // rows before it
    for (int i = 0; i < 12 && !expected.empty(); ++i) {
      const bool forward = at == 0 || (at < expected.size() && !random_.one_in(3));
      if (!forward && at == 1) continue;
      const Result<bool> moved = forward ? steps.next() : steps.prev();
      ASSERT_OK(moved);
      ASSERT_TRUE(*moved);
      at += forward ? 1 : std::size_t(-1);
      ASSERT_EQ(steps.id(), expected[at - 1]->first);
      ASSERT_EQ(steps.row(), expected[at - 1]->second);
    }
  }

  TestRandom& random_;
  Table table_;
  std::vector<Index> indexes_;
  Rows rows_;
  std::size_t hits_ = 0;
};

TEST_F(IndexTest, RandomRangesEqualAFilterOfAllRows) {
  TestRandom random;
  std::size_t hits = 0;
  for (std::uint64_t round = 0; round < scaled(40) && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    RandomRanges ranges(random, db_, "t" + std::to_string(round));
    ranges.fill(round % 10 == 0 ? 1500 : 150);
    if (HasFatalFailure()) return;
    ranges.compare(60);
    hits += ranges.hits();
  }
  EXPECT_GT(hits, scaled(2000)) << "the ranges hold next to nothing";
  expect_sound(db_);
}

TEST_F(IndexTest, RangesThatMakeNoSenseAreRefused) {
  Index by_city = cities();
  Index by_name = *db_.create_index("by_name", "people", {.columns = {{"name"}, {"id"}}, .unique = false});
  fill(1, 10);
  const ValueBound one{1, true};
  EXPECT_ERROR(kInvalidArgument, by_city.range({.equal = {1, 2}, .from = {}, .to = {}, .prefix = {}}).next());
  EXPECT_ERROR(kInvalidArgument, by_city.range({.equal = {"x"}, .from = {}, .to = {}, .prefix = {}}).next());
  EXPECT_ERROR(kInvalidArgument, by_city.range({.equal = {1}, .from = one, .to = {}, .prefix = {}}).next());
  EXPECT_ERROR(kInvalidArgument, by_city.range({.equal = {}, .from = {}, .to = {}, .prefix = "a"}).first());
  EXPECT_ERROR(kInvalidArgument, by_name.range({.equal = {}, .from = one, .to = {}, .prefix = {}}).last());
  const ValueBound a{"a", true};
  EXPECT_ERROR(kInvalidArgument, by_name.range({.equal = {}, .from = a, .to = {}, .prefix = "a"}).prev());
  EXPECT_ERROR(kInvalidArgument, by_name.find({"a", 1, 2}));
  EXPECT_ERROR(kInvalidArgument, by_name.find({1}));
  RowCursor cursor = by_city.range({.equal = {"x"}, .from = {}, .to = {}, .prefix = {}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_ERROR(kInvalidArgument, cursor.next());
    EXPECT_FALSE(cursor.valid());
  }
  // An empty range is one.
  const ValueBound five{5, true};
  EXPECT_FALSE(*by_city.range({.equal = {}, .from = five, .to = one, .prefix = {}}).next());
}

TEST_F(IndexTest, ACursorSurvivesChangesOfWhatItStandsOn) {
  Index by_id = unique_id();
  fill(0, 1999);
  RowCursor cursor = by_id.range();
  std::int64_t last = -1;
  for (std::int64_t steps = 0;; ++steps) {
    const Result<bool> more = cursor.next();
    ASSERT_OK(more);
    if (!*more) break;
    const std::int64_t id = cursor.row()[0].integer();
    ASSERT_EQ(id, last + 1);
    last = id;
    // The row it stands on goes, one before it comes.
    if (steps % 3 != 0) continue;
    ASSERT_TRUE(*people_.erase(cursor.id()));
    ASSERT_OK(people_.insert(person(-1 - steps)));
  }
  EXPECT_EQ(last, 1999);
  Result<bool> back = cursor.prev();
  for (; back && *back; back = cursor.prev()) {
    ASSERT_LE(cursor.row()[0].integer(), last);
    last = cursor.row()[0].integer();
  }
  ASSERT_OK(back);
  expect_agreement(db_, people_);
  expect_sound(db_);
}

TEST_F(IndexTest, TwoHundredCursorsHoldLittleOfWhatTheyReadAhead) {
  Index by_id = unique_id();
  for (std::int64_t id = 0; id < 2000; ++id) ASSERT_OK(people_.insert(person(id, kPageBytes / 8)));
  const std::size_t before = allocated_bytes();
  std::vector<RowCursor> cursors;
  for (std::int64_t i = 0; i < 200; ++i) {
    cursors.push_back(by_id.range({.equal = {}, .from = ValueBound{i}, .to = {}, .prefix = {}}));
    // The longer a cursor walks, the more it reads at once.
    for (int step = 0; step < 600; ++step) ASSERT_TRUE(*cursors.back().next());
  }
  EXPECT_LT(allocated_bytes() - before, std::size_t{40} << 20);
}

}  // namespace
}  // namespace vaultgres
