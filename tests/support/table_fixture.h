// What most tests of tables begin with: a database in memory with a small cache, and a table of people.
#pragma once

#include <chrono>
#include <thread>

#include "support/random.h"
#include "support/table.h"

namespace vaultgres {

/// id int64, name text or NULL, city int32 or NULL, data bytes or NULL.
inline Schema people_schema() {
  return *Schema::create({{"id", ColumnType::kInt64},
                          {"name", ColumnType::kText, true},
                          {"city", ColumnType::kInt32, true},
                          {"data", ColumnType::kBytes, true}});
}
inline Row person(std::int64_t id, std::size_t data_bytes = 20) {
  return {id, "name " + std::to_string(id % 100), static_cast<std::int32_t>(id % 7),
          Value::bytes(std::string(data_bytes, static_cast<char>('a' + id % 26)))};
}

/// Waits until it is so, for a minute or more; whether it is.
template <class Condition>
bool comes_true(Condition condition) {
  for (int i = 0; i < 60000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

inline std::uint64_t pages_in_use(Database& db) {
  const Result<DatabaseStats> stats = db.stats();
  EXPECT_TRUE(stats) << (stats ? "" : stats.error().message());
  return stats ? stats->pages - stats->pages_free : 0;
}

class PeopleTest : public ::testing::Test {
 protected:
  explicit PeopleTest(Options options = small_options())
      : db_(*Database::open_in_memory(std::move(options))), people_(*db_.create_table("people", people_schema())) {}

  Index unique_id() { return *db_.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}); }
  Index cities() { return *db_.create_index("by_city", "people", {.columns = {{"city", true}}, .unique = false}); }
  /// People `first` to `last`, both included.
  void fill(std::int64_t first, std::int64_t last) {
    for (std::int64_t id = first; id <= last; ++id) {
      const Result<RowId> row = people_.insert(person(id));
      ASSERT_OK(row);
      rows_[*row] = person(id);
    }
  }
  /// A scan and all indexes give rows_, and all is sound.
  void expect_rows() {
    EXPECT_EQ(expect_agreement(db_, people_), rows_);
    expect_sound(db_);
  }

  Database db_;
  Table people_;
  Rows rows_;  ///< what should be there
};

}  // namespace vaultgres
