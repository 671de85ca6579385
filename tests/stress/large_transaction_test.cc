// Goal: a transaction that writes ten times the cache commits or rolls back whole, one that writes more than can be
// remembered is told so early and loses nothing, and rows by the hundred thousand are deleted, while a reader beside it
// never waits for long.
//
// Method: a transaction of one kind and end at a time, against what is computed; a thread that reads all the while,
// and measures its longest wait.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "support/cases.h"
#include "support/database.h"
#include "support/hooked_file_system.h"
#include "support/sanitizers.h"
#include "support/scale.h"
#include "support/table.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSmallCacheBytes = std::size_t{2} << 20;
constexpr std::chrono::seconds kLongestWait(kSanitized ? 60 : 5);
constexpr std::uint64_t kWrittenBytes = (kSanitized ? 2 : 10) * kSmallCacheBytes;

Options options() {
  Options options;
  options.cache_bytes = kSmallCacheBytes;
  options.durability = Durability::kRelaxed;
  return options;
}

std::string key_of(std::uint64_t number) {
  std::string text = std::to_string(number);
  return std::string(9 - text.size(), '0') + text;
}

/// A thread that reads, again and again, until it is asked for its longest wait.
class ReaderBeside {
 public:
  explicit ReaderBeside(std::function<Status()> read) : read_(std::move(read)), thread_([this] { run(); }) {}
  ReaderBeside(const ReaderBeside&) = delete;
  ReaderBeside& operator=(const ReaderBeside&) = delete;
  ~ReaderBeside() { stop(); }

  void stop() {
    stopped_.store(true);
    if (thread_.joinable()) thread_.join();
  }
  /// Once stopped. Empty: no error, and no wait above the limit.
  std::string wrong(Clock::duration limit) const {
    if (!failure_.empty()) return "a reader beside it: " + failure_;
    if (longest_ <= limit) return "";
    return "a reader beside it waited for " +
           std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(longest_).count()) + " ms";
  }

 private:
  void run() {
    while (!stopped_.load() && failure_.empty()) {
      const Clock::time_point begin = Clock::now();
      if (const Status done = read_(); !done) failure_ = done.error().message();
      longest_ = std::max(longest_, Clock::now() - begin);
    }
  }

  const std::function<Status()> read_;
  std::atomic<bool> stopped_{false};
  Clock::duration longest_{0};
  std::string failure_;
  std::thread thread_;  // last: the others exist when it starts
};

/// The machine's own files, and how long the slowest call of them has taken.
class TimedFiles final : public ForwardingFileSystem {
 public:
  TimedFiles() : ForwardingFileSystem(posix_file_system()) {}
  Clock::duration slowest() const { return Clock::duration(slowest_.load()); }

 private:
  int around(FileCall, const std::string&, FunctionRef<int()> forward) override {
    const Clock::time_point begin = Clock::now();
    const int os_error = forward();
    const Clock::rep took = (Clock::now() - begin).count();
    Clock::rep most = slowest_.load();
    while (took > most && !slowest_.compare_exchange_weak(most, took)) {
    }
    return os_error;
  }

  std::atomic<Clock::rep> slowest_{0};
};

/// Entries that nobody changes, more than the cache holds, to be read meanwhile.
constexpr std::uint64_t kBeside = 2500;
Status fill_beside(Database& db) {
  auto map = db.create_map("beside");
  if (!map) return map.error();
  for (std::uint64_t i = 0; i < kBeside; ++i) {
    if (Status put = map->put(key_of(i), std::string(1000, 'b')); !put) return put;
  }
  return {};
}
std::function<Status()> read_beside(Database& db) {
  return [map = *db.open_map("beside"), number = std::uint64_t{0}]() mutable -> Status {
    number = (number + 977) % kBeside;
    const auto value = map.get(key_of(number));
    if (!value) return value.error();
    return *value && (*value)->size() == 1000 ? Status() : Status(wrong_answer(key_of(number) + " is not as it was"));
  };
}

enum class End { kCommit, kRollback, kForgotten };

/// What a transaction does to one entry.
struct Kind {
  const char* name;
  std::uint64_t writes;  ///< ten times the cache, or more than can be remembered
  std::size_t value_bytes;
  bool replaces;     ///< entries that are there
  bool is_too_many;  ///< a write must be refused
};
constexpr std::uint64_t kLargeBytes = 60'000;
constexpr Kind kKinds[] = {
    {"large values", kWrittenBytes / kLargeBytes, kLargeBytes, false, false},
    {"large values replaced", kWrittenBytes / kLargeBytes, kLargeBytes, true, false},
    {"new entries", kWrittenBytes / 500, 500, false, true},
    {"entries replaced", kWrittenBytes / 500, 500, true, true},
};

class LargeTransactionTest : public ::testing::Test {
 protected:
  std::string one(const Kind& kind, End end) {
    if (Status made = open(); !made) return std::string(made.error().message());
    Map map = *db_->create_map("m");
    Content expected;
    for (std::uint64_t i = 0; i < (kind.replaces ? kind.writes : 0); ++i) {
      expected[key_of(i)] = "before";
      if (Status put = map.put(key_of(i), "before"); !put) return std::string(put.error().message());
    }
    ReaderBeside reader(read_beside(*db_));
    Content written = expected;
    std::string wrong;
    {
      Transaction txn = *db_->begin();
      wrong = write(kind, map, txn, written);
      if (wrong.empty()) wrong = finish(txn, end);
    }
    reader.stop();
    if (wrong.empty()) wrong = reader.wrong(longest_wait());
    if (!wrong.empty()) return wrong;
    if (content_of(map) != (end == End::kCommit ? written : expected)) return "the content is not what was written";
    return reopened(end == End::kCommit ? written : expected);
  }
  Status open() {
    db_.emplace(*open_on(files_, options(), directory_.file("db" + std::to_string(++databases_))));
    return fill_beside(*db_);
  }
  /// Who waits for a frame waits for some calls of the disk.
  Clock::duration longest_wait() const { return kLongestWait + 20 * files_.slowest(); }

  TimedFiles files_;  // outlives the database
  std::optional<Database> db_;

 private:
  static std::string write(const Kind& kind, Map& map, Transaction& txn, Content& written) {
    for (std::uint64_t i = 0; i < kind.writes; ++i) {
      const std::string value(kind.value_bytes, static_cast<char>('a' + i % 26));
      const Status put = map.put(txn, key_of(i), value);
      if (put) {
        written[key_of(i)] = value;
        continue;
      }
      if (put.error().code() != ErrorCode::kTooLarge) return "a write: " + std::string(put.error().message());
      return kind.is_too_many ? "" : "the transaction is said to be too large";
    }
    return kind.is_too_many ? "the transaction remembers more than it may" : "";
  }
  static std::string finish(Transaction& txn, End end) {
    if (end == End::kForgotten) return "";
    const Status done = end == End::kCommit ? txn.commit() : txn.rollback();
    return done ? "" : "its end: " + std::string(done.error().message());
  }
  std::string reopened(const Content& expected) {
    if (Status closed = db_->close(); !closed) return "close: " + std::string(closed.error().message());
    db_.emplace(*open_on(files_, options(), directory_.file("db" + std::to_string(databases_))));
    if (content_of(*db_->open_map("m")) != expected) return "the content changed when it was opened again";
    const auto report = db_->check();
    if (!report || !report->problems.empty()) return "check finds problems";
    return "";
  }

  TempDirectory directory_;
  int databases_ = 0;
};

TEST_F(LargeTransactionTest, CommitsOrRollsBackOrIsToldEarlyThatItIsTooLarge) {
  CaseCount cases("R20");
  unsigned number = 0;
  for (const Kind& kind : kKinds) {
    for (const End end : {End::kCommit, End::kRollback, End::kForgotten}) {
      if (test_scale() < 1 && number++ % 5 != 0) continue;  // three of them, with three kinds and all ends
      EXPECT_EQ(one(kind, end), "") << kind.name << ", end " << static_cast<int>(end);
      ++cases;
    }
  }
}

/// A table of so many rows with an index, loaded.
Table make_table(Database& db, std::uint64_t rows) {
  auto schema = *Schema::create({{"id", ColumnType::kInt64}, {"name", ColumnType::kText}});
  TableLoad load = *db.load_table("t", std::move(schema));
  for (std::uint64_t i = 0; i < rows; ++i) {
    const Status added = load.add({static_cast<std::int64_t>(i), "a name for each row"});
    EXPECT_TRUE(added);
    if (!added) break;
  }
  Table table = *load.finish();
  EXPECT_TRUE(db.create_index("by_id", "t", {.columns = {{"id"}}, .unique = true}));
  return table;
}

// In one transaction as far as that goes, and back; then all of them, some at a time.
TEST_F(LargeTransactionTest, ManyRowsAreDeleted) {
  CaseCount cases("R20");
  ASSERT_OK(open());
  const std::uint64_t rows = scaled(100'000);
  Table table = make_table(*db_, rows);
  ReaderBeside reader(read_beside(*db_));
  {
    Transaction txn = *db_->begin();
    TableScan scan = table.scan();
    Result<bool> erased(true);
    while (erased && *scan.next()) erased = table.erase(txn, scan.id());
    EXPECT_TRUE(erased || erased.error().code() == ErrorCode::kTooLarge) << test_text(erased);
    ASSERT_OK(txn.rollback());
  }
  ASSERT_EQ(*table.count(), rows);
  std::uint64_t deleted = 0;
  TableScan scan = table.scan();
  for (bool more = true; more;) {
    Transaction txn = *db_->begin();
    for (int i = 0; i < 200 && (more = *scan.next()); ++i) {
      const Result<bool> erased = table.erase(txn, scan.id());
      ASSERT_OK(erased);
      deleted += *erased;
    }
    ASSERT_OK(txn.commit());
  }
  reader.stop();
  EXPECT_EQ(reader.wrong(longest_wait()), "");
  EXPECT_EQ(deleted, rows);
  EXPECT_EQ(*table.count(), 0u);
  EXPECT_FALSE(*db_->open_index("by_id")->range().next());
  ASSERT_NO_FATAL_FAILURE(expect_sound(*db_));
  ASSERT_OK(db_->close());
  ++cases;
}

thread_local bool reads_beside = false;

// The test of the test: a disk that does not answer the reader for a while.
TEST(LargeTransactionControlTest, AStallIsNoticed) {
  const TempDirectory directory;
  std::atomic<bool> stalls{false};
  std::atomic<bool> stalled{false};
  HookedFileSystem files(posix_file_system(), [&](FileCall call, const std::string&) {
    if (call != FileCall::kRead || !reads_beside || !stalls.load() || stalled.exchange(true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  });
  Database db = *open_on(files, options(), directory.file("db"));
  ASSERT_OK(fill_beside(db));
  ReaderBeside reader([read = read_beside(db)] {
    reads_beside = true;
    return read();
  });
  stalls.store(true);
  while (!stalled.load()) std::this_thread::yield();
  reader.stop();
  EXPECT_NE(reader.wrong(std::chrono::milliseconds(299)), "");
}

}  // namespace
}  // namespace vaultgres
