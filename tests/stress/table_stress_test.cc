// Goal: threads that insert, update, erase, find and walk the rows of one table with two indexes, through a cache that
// holds a fraction of them, each find exactly what they wrote; whatever an index gives is whole and belongs where it
// was found; in the end table and indexes agree, and the database is sound.
//
// Method: a row belongs to the thread that its id names, so neighbours in pages and leaves have different owners. All
// of a row follows from its id and the number of its write, so that torn or mixed rows are seen, whoever wrote them.
// Each thread keeps its own rows in a std::map and compares every answer. VG_STRESS_OPS sets the number of operations.
#include <gtest/gtest.h>

#include <functional>

#include "stress/stress_support.h"
#include "support/cases.h"
#include "support/random.h"
#include "support/redo_recorder.h"
#include "support/table.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr std::int64_t kIds = 6000;
constexpr std::int32_t kGroups = 150;

std::uint64_t table_operations() {
  return stress_operations(40000);
}

Schema schema() {
  return *Schema::create({{"id", ColumnType::kInt64},
                          {"write", ColumnType::kInt32},
                          {"group", ColumnType::kInt32, true},
                          {"data", ColumnType::kBytes}});
}

/// Every other write keeps the group; some rows have none.
Value group_of(std::int64_t id, std::int32_t write) {
  const auto group = static_cast<std::int32_t>((id * 31 + write / 2 * 7) % (kGroups + 10));
  return group < kGroups ? Value(group) : Value();
}

Row row_of(std::int64_t id, std::int32_t write) {
  std::uint64_t state =
      (static_cast<std::uint64_t>(id) << 32 ^ static_cast<std::uint64_t>(write)) * 0x9E3779B97F4A7C15u;
  const auto next = [&] { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; };
  Row row{id, write, group_of(id, write), Value()};
  const std::uint64_t kind = next() % 40;
  const std::uint64_t longest = kind == 0 ? 2 * kPageBytes : kind < 10 ? kPageBytes / 5 : 100;
  std::string data(next() % longest, '\0');
  for (char& c : data) c = static_cast<char>(next());
  row[3] = Value::bytes(data);
  return row;
}

/// Whoever wrote it, it is whole.
bool is_whole(const Row& row) {
  return row.size() == 4 && row == row_of(row[0].integer(), static_cast<std::int32_t>(row[1].integer()));
}

struct Own {
  RowId place;
  std::int32_t write;
};

class TableWorker {
 public:
  static constexpr unsigned kThreads = 6;

  TableWorker(Database& db, unsigned number)
      : db_(&db),
        table_(*db.open_table("t")),
        by_id_(*db.open_index("by_id")),
        by_group_(*db.open_index("by_group")),
        number_(number),
        random_(200 + number) {}

  /// Something; what was wrong with its answer, or nothing.
  std::string one() {
    const std::uint64_t choice = random_.uniform(100);
    if (choice < 40) return change(nullptr, own_);
    if (choice < 45) return transaction();
    if (choice < 47) return duplicate();
    if (choice < 70) return find();
    if (choice < 80) return get();
    if (choice < 90) return walk_group(random_.one_in(2));
    if (choice < 99) return walk_ids(random_.one_in(2));
    return random_.one_in(20) ? scan() : walk_ids(true);
  }
  const std::map<std::int64_t, Own>& own() const { return own_; }

 private:
  std::int64_t own_id() { return static_cast<std::int64_t>(random_.uniform(kIds / kThreads) * kThreads + number_); }
  template <class T>
  static std::string error(const char* what, const Result<T>& result) {
    return std::string(what) + ": " + std::string(result.error().message());
  }

  /// One change of one row of `rows`, which are the own ones as `txn` sees them.
  std::string change(Transaction* txn, std::map<std::int64_t, Own>& rows) {
    const std::int64_t id = own_id();
    const auto found = rows.find(id);
    const Row row = row_of(id, ++write_);
    if (found == rows.end()) {
      const Result<RowId> place = txn != nullptr ? table_.insert(*txn, row) : table_.insert(row);
      if (!place) return error("insert", place);
      rows[id] = {*place, write_};
      return "";
    }
    if (random_.one_in(3)) {
      const Result<bool> erased =
          txn != nullptr ? table_.erase(*txn, found->second.place) : table_.erase(found->second.place);
      if (!erased) return error("erase", erased);
      rows.erase(found);
      return *erased ? "" : "erase of own row " + std::to_string(id) + " says false";
    }
    const Status updated =
        txn != nullptr ? table_.update(*txn, found->second.place, row) : table_.update(found->second.place, row);
    if (!updated) return error("update", updated);
    found->second.write = write_;
    return "";
  }

  std::string transaction() {
    Result<Transaction> txn = db_->begin();
    if (!txn) return error("begin", txn);
    std::map<std::int64_t, Own> rows = own_;
    for (std::uint64_t i = random_.uniform(8); i > 0; --i) {
      if (std::string wrong = change(&*txn, rows); !wrong.empty()) return "within a transaction, " + wrong;
    }
    const std::int64_t id = own_id();
    const auto seen = by_id_.find(*txn, {id});
    if (!seen) return error("find within a transaction", seen);
    if (std::string wrong = compare(id, *seen, rows); !wrong.empty()) return "within a transaction, " + wrong;
    if (random_.one_in(3)) {
      const Status done = txn->rollback();
      return done ? "" : error("rollback", done);
    }
    const Status done = txn->commit();
    if (!done) return error("commit", done);
    own_ = std::move(rows);
    return "";
  }

  /// A second row of an id that is taken.
  std::string duplicate() {
    if (own_.empty()) return "";
    auto taken = own_.lower_bound(own_id());
    if (taken == own_.end()) taken = own_.begin();
    const Result<RowId> place = table_.insert(row_of(taken->first, ++write_));
    if (place) return "a second row of " + std::to_string(taken->first) + " is taken";
    return place.error().code() == ErrorCode::kDuplicateKey ? "" : error("insert of a duplicate", place);
  }

  /// What was found by an id, against the own rows.
  std::string compare(std::int64_t id, const std::optional<TableRow>& found, const std::map<std::int64_t, Own>& rows) {
    const std::string what = "find(" + std::to_string(id) + ") ";
    if (found && (!is_whole(found->values) || found->values[0] != Value(id))) return what + "gives what nobody wrote";
    if (static_cast<unsigned>(id % kThreads) != number_) return "";
    const auto own = rows.find(id);
    if (found.has_value() != (own != rows.end())) return what + "gives " + (found ? "a row" : "nothing");
    if (!found) return "";
    if (found->id != own->second.place) return what + "gives another place";
    return found->values[1] == Value(own->second.write) ? "" : what + "gives another write";
  }

  std::string find() {
    const std::int64_t id = random_.one_in(3) ? static_cast<std::int64_t>(random_.uniform(kIds)) : own_id();
    const auto found = by_id_.find({id});
    return found ? compare(id, *found, own_) : error("find", found);
  }

  /// By place: a place where an own row is, or one where any row may have been.
  std::string get() {
    if (own_.empty()) return "";
    auto own = own_.lower_bound(own_id());
    if (own == own_.end()) own = own_.begin();
    RowId place = own->second.place;
    const bool neighbour = random_.one_in(3);
    if (neighbour) place.slot = static_cast<std::uint16_t>(random_.uniform(20));
    const auto row = table_.get(place);
    if (!row) return error("get", row);
    if (*row && !is_whole(**row)) return "get " + text_of(place) + " gives what nobody wrote";
    if (neighbour) return "";
    if (!*row) return "get " + text_of(place) + " of an own row gives nothing";
    return **row == row_of(own->first, own->second.write) ? "" : "get " + text_of(place) + " gives another row";
  }

  /// Walks a range: rows are whole, in order, `is_inside`; of the own rows exactly those that are inside.
  std::string walk(const Index& index, IndexRange range, bool forward,
                   const std::function<bool(std::int64_t id, const Value& group)>& is_inside) {
    const IndexOrder order(index.schema(), index.spec());
    RowCursor cursor = index.range(std::move(range));
    std::map<std::int64_t, Own> seen;
    std::optional<RowEntry> last;
    const std::string what = "index " + index.name() + ": ";
    for (;;) {
      const Result<bool> more = forward ? cursor.next() : last ? cursor.prev() : cursor.last();
      if (!more) return what + std::string(more.error().message());
      if (!*more) break;
      const RowEntry entry(cursor.id(), cursor.row());
      const auto number = [&](std::size_t column) {
        return entry.second[column].is_null() ? "none" : std::to_string(entry.second[column].integer());
      };
      const std::string where =
          what + text_of(entry.first) + ", id " + number(0) + ", write " + number(1) + ", group " + number(2) + ", ";
      if (!is_whole(entry.second)) return where + "is what nobody wrote";
      if (!is_inside(entry.second[0].integer(), entry.second[2])) return where + "is outside of the range";
      if (last && !(forward ? order(&*last, &entry) : order(&entry, &*last))) return where + "is out of order";
      const std::int64_t id = entry.second[0].integer();
      if (static_cast<unsigned>(id % kThreads) == number_) {
        seen[id] = {entry.first, static_cast<std::int32_t>(entry.second[1].integer())};
      }
      last.emplace(entry);
    }
    auto found = seen.begin();
    for (const auto& [id, own] : own_) {
      if (!is_inside(id, group_of(id, own.write))) continue;
      const std::string which = what + "own row " + std::to_string(id);
      if (found == seen.end() || found->first != id) return which + " is missing, or another one is there";
      if (found->second.place != own.place || found->second.write != own.write) return which + " is another one";
      ++found;
    }
    return found == seen.end() ? "" : what + "own row " + std::to_string(found->first) + " is there, erased";
  }

  std::string walk_group(bool forward) {
    Value group;
    if (!random_.one_in(30)) group = static_cast<std::int32_t>(random_.uniform(kGroups));
    IndexRange range;
    range.equal = {group};
    return walk(by_group_, std::move(range), forward, [&](std::int64_t, const Value& found) { return found == group; });
  }

  std::string walk_ids(bool forward) {
    const auto first = static_cast<std::int64_t>(random_.uniform(kIds));
    const auto last = first + static_cast<std::int64_t>(random_.uniform(100));
    IndexRange range;
    range.from = ValueBound{first, true};
    range.to = ValueBound{last, false};
    return walk(by_id_, std::move(range), forward,
                [&](std::int64_t id, const Value&) { return id >= first && id < last; });
  }

  std::string scan() {
    TableScan scan = table_.scan();
    std::size_t own_rows = 0;
    for (;;) {
      const Result<bool> more = scan.next();
      if (!more) return error("scan", more);
      if (!*more) break;
      if (!is_whole(scan.row())) return "the scan gives what nobody wrote at " + text_of(scan.id());
      const std::int64_t id = scan.row()[0].integer();
      if (static_cast<unsigned>(id % kThreads) != number_) continue;
      ++own_rows;
      const auto own = own_.find(id);
      if (own == own_.end() || own->second.place != scan.id() || scan.row()[1] != Value(own->second.write)) {
        return "the scan gives another row of " + std::to_string(id);
      }
    }
    return own_rows == own_.size() ? "" : "the scan misses own rows";
  }

  Database* db_;
  Table table_;
  Index by_id_;
  Index by_group_;
  const unsigned number_;
  TestRandom random_;
  std::map<std::int64_t, Own> own_;  // by id
  std::int32_t write_ = 0;
};

class TableStressTest : public ::testing::TestWithParam<Durability> {};
INSTANTIATE_TEST_SUITE_P(Modes, TableStressTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

void run_on_table(Durability durability, std::uint64_t total) {
  Options options = small_options();
  options.cache_bytes = std::max<std::size_t>(256 * kPageBytes, std::size_t{512} << 10);
  options.durability = durability;
  options.lock_timeout = std::chrono::milliseconds(20000);
  Result<Database> db = Database::open_in_memory(options);
  ASSERT_OK(db);
  ASSERT_OK(db->create_table("t", schema()));
  ASSERT_OK(db->create_index("by_id", "t", {.columns = {{"id"}}, .unique = true}));
  ASSERT_OK(db->create_index("by_group", "t", {.columns = {{"group", true}}, .unique = false}));
  std::vector<TableWorker> workers;
  for (unsigned t = 0; t < TableWorker::kThreads; ++t) workers.emplace_back(*db, t);
  {
    const Watchdog watchdog("threads at work on a table", std::chrono::seconds(60 + total / 500));
    ASSERT_TRUE(run_workers(workers, total / TableWorker::kThreads));
  }
  Rows expected;
  for (const TableWorker& worker : workers) {
    for (const auto& [id, own] : worker.own()) {
      ASSERT_TRUE(expected.emplace(own.place, row_of(id, own.write)).second) << "two rows have one place";
    }
  }
  Table table = *db->open_table("t");
  EXPECT_EQ(expect_agreement(*db, table), expected);
  EXPECT_EQ(*table.count(), expected.size());
  EXPECT_EQ(db->table_stats("t")->rows, expected.size());
  expect_sound(*db);
  const DatabaseStats stats = *db->stats();
  const TableStats rows = *db->table_stats("t");
  std::printf(
      "%llu operations, %zu rows (%llu moved), %llu heap pages (%.0f %% full), %llu pages (%llu free), "
      "%llu evictions, %llu checkpoints\n",
      static_cast<unsigned long long>(total), expected.size(), static_cast<unsigned long long>(rows.moved_rows),
      static_cast<unsigned long long>(rows.heap_pages), 100 * rows.heap_fill,
      static_cast<unsigned long long>(stats.pages), static_cast<unsigned long long>(stats.pages_free),
      static_cast<unsigned long long>(stats.page_evictions), static_cast<unsigned long long>(stats.checkpoints));
  if (total >= 20000) {
    EXPECT_GT(stats.page_evictions, 0u);
    EXPECT_GT(rows.moved_rows, 0u);
  }
}

TEST_P(TableStressTest, ThreadsFindExactlyTheRowsTheyWrote) {
  run_on_table(GetParam(), table_operations());
}

TEST_P(TableStressTest, NoPageChangesWithoutARecord) {
  RedoRecorder recorder;
  run_on_table(GetParam(), table_operations() / 10);
  EXPECT_EQ(recorder.first_difference(), "");
  EXPECT_GT(recorder.changes_compared(), table_operations() / 40);
  record_cases("R24", recorder.changes_compared());
}

}  // namespace
}  // namespace vaultgres
