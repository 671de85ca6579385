// Goal: a database with data many times its cache stays within the cache and 64 MiB of resident memory: while a table
// is loaded, an index is built, threads read and change it beside scans and two hundred cursors, and a transaction is
// larger than it may be.
//
// Method: the work is done by a child process of its own. What it begins with counts for nothing; its peak is read from
// /proc.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <thread>

#include "base/seeded_bug.h"
#include "btree/node.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/random.h"
#include "support/sanitizers.h"
#include "support/scale.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

constexpr std::size_t kCacheBytes = std::size_t{8} << 20;
/// Of one transaction: what it would remember of them is more than all the memory that is allowed.
constexpr unsigned kTooManyWrites = 120'000;
constexpr std::size_t kAllowedBytes = kCacheBytes + (std::size_t{64} << 20);

/// Of this process, now (VmRSS) or at its peak (VmHWM).
std::size_t resident_bytes(std::string_view which) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(which)) return std::strtoull(line.c_str() + which.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}

using Clock = std::chrono::steady_clock;

Options memory_options() {
  Options options;
  options.cache_bytes = kCacheBytes;
  options.durability = Durability::kRelaxed;
  return options;
}

Row random_row(std::int64_t id, std::mt19937_64& random) {
  return {id, std::string(100 + random() % 100, static_cast<char>('a' + id % 26)),
          static_cast<std::int64_t>(random() % 1000000)};
}

Status update_rows(Database& db, std::int64_t rows, std::uint64_t seed, Clock::time_point until) {
  std::mt19937_64 random(seed);
  auto table = db.open_table("t");
  if (!table) return table.error();
  auto index = db.open_index("by_id");
  if (!index) return index.error();
  while (Clock::now() < until) {
    const auto id = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rows));
    auto found = index->find({id});
    if (!found) return found.error();
    if (!*found) return Error(ErrorCode::kNotFound, "row " + std::to_string(id) + " is not there");
    auto updated = table->update((*found)->id, random_row(id, random));
    if (!updated && updated.error().code() != ErrorCode::kConflict) return updated;
  }
  return {};
}

/// All rows by their places, by an index, and by it backwards, again and again.
Status scan(Database& db, Clock::time_point until) {
  auto table = db.open_table("t");
  if (!table) return table.error();
  auto index = db.open_index("by_other");
  if (!index) return index.error();
  const auto walk = [&](auto&& step) -> Status {
    for (Result<bool> more = step();; more = step()) {
      if (!more) return more.error();
      if (!*more || Clock::now() >= until) return {};
    }
  };
  while (Clock::now() < until) {
    TableScan rows = table->scan();
    if (Status walked = walk([&] { return rows.next(); }); !walked) return walked;
    RowCursor cursor = index->range();
    if (Status walked = walk([&] { return cursor.next(); }); !walked) return walked;
    if (Status walked = walk([&] { return cursor.prev(); }); !walked) return walked;
  }
  return {};
}

/// Two hundred cursors that are open at the same time, each of which goes on when it is its turn.
Status step_cursors(Database& db, std::int64_t rows, Clock::time_point until) {
  std::mt19937_64 random(7);
  auto index = db.open_index("by_id");
  if (!index) return index.error();
  std::vector<RowCursor> cursors;
  for (int i = 0; i < 200; ++i) {
    const auto from = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rows));
    cursors.push_back(index->range({.from = ValueBound{from}}));
  }
  const auto step = [](RowCursor& cursor) -> Status {
    const Result<bool> more = cursor.next();
    if (!more) return more.error();
    return *more || cursor.first() ? Status() : Error(ErrorCode::kNotFound, "a cursor finds no row");
  };
  // The longer a cursor walks, the more it reads at once.
  for (RowCursor& cursor : cursors) {
    for (int i = 0; i < 1000; ++i) {
      if (Status stepped = step(cursor); !stepped) return stepped;
    }
  }
  while (Clock::now() < until) {
    for (RowCursor& cursor : cursors) {
      if (Status stepped = step(cursor); !stepped) return stepped;
    }
  }
  return {};
}

Status load(Database& db, std::int64_t rows) {
  auto schema =
      Schema::create({{"id", ColumnType::kInt64}, {"name", ColumnType::kText}, {"other", ColumnType::kInt64}});
  if (!schema) return schema.error();
  auto load = db.load_table("t", *schema);
  if (!load) return load.error();
  std::mt19937_64 random(1);
  for (std::int64_t id = 0; id < rows; ++id) {
    if (Status added = load->add(random_row(id, random)); !added) return added;
  }
  if (auto table = load->finish(); !table) return table.error();
  if (auto index = db.create_index("by_id", "t", {{{"id"}}, true}); !index) return index.error();
  auto index = db.create_index("by_other", "t", {{{"other"}}, false});
  return index ? Status() : Status(index.error());
}

Status work_together(Database& db, std::int64_t rows, std::chrono::seconds seconds) {
  const Clock::time_point until = Clock::now() + seconds;
  const std::function<Status()> jobs[] = {
      [&] { return update_rows(db, rows, 1, until); }, [&] { return update_rows(db, rows, 2, until); },
      [&] { return scan(db, until); }, [&] { return step_cursors(db, rows, until); }};
  std::vector<Status> results(std::size(jobs));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::size(jobs); ++i) {
    threads.emplace_back([&, i] { results[i] = jobs[i](); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& result : results) {
    if (!result) return result;
  }
  return {};
}

/// So many writes that what a transaction remembers of them would not fit: it is told so.
Status write_too_much(Map& map, Transaction& txn) {
  const std::string end(kKeyBytesMax * 3 / 4, 'k');
  for (unsigned i = 0; i < kTooManyWrites; ++i) {
    const Status put = map.put(txn, std::to_string(kTooManyWrites + i) + end, "");
    if (!put) return put.error().code() == ErrorCode::kTooLarge ? Status() : put;
  }
  return Error(ErrorCode::kInvalidArgument, "a transaction may be as large as it likes");
}

Status work(const std::string& directory, std::int64_t rows, std::chrono::seconds seconds) {
  auto db = Database::open(directory, memory_options());
  if (!db) return db.error();
  if (Status loaded = load(*db, rows); !loaded) return loaded;
  if (Status worked = work_together(*db, rows, seconds); !worked) return worked;
  auto map = db->create_map("m");
  if (!map) return map.error();
  {
    auto txn = db->begin();
    if (!txn) return txn.error();
    if (Status refused = write_too_much(*map, *txn); !refused) return refused;
    if (Status rolled_back = txn->rollback(); !rolled_back) return rolled_back;
  }
  auto table = db->open_table("t");
  if (!table) return table.error();
  auto count = table->count();
  if (!count) return count.error();
  if (*count != static_cast<std::uint64_t>(rows)) return Error(ErrorCode::kNotFound, "rows are missing");
  return db->close();
}

/// What work in a process of its own has come to.
struct Usage {
  std::size_t peak_bytes = 0;
  std::string problem;
};
Usage usage_of(const std::function<Status(const std::string& directory)>& work) {
  ::malloc_trim(0);  // what tests before this one left in the allocator would be the child's, too
  const TempDirectory directory;
  const std::string report = directory.file("report");
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const std::size_t before = resident_bytes("VmRSS");
    const Status done = work(directory.file("db"));
    std::ofstream(report) << resident_bytes("VmHWM") - before << ' '
                          << (done ? "" : std::string(done.error().message()));
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  Usage usage;
  std::ifstream answer(report);
  answer >> usage.peak_bytes >> std::ws;
  std::getline(answer, usage.problem);
  std::printf("peak %zu MiB with a cache of %zu MiB\n", usage.peak_bytes >> 20, kCacheBytes >> 20);
  return usage;
}

TEST(MemoryTest, StaysWithinCacheAnd64MiB) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is not ours";
  // About 170 bytes each in the heap: 20 times the cache.
  const auto rows = static_cast<std::int64_t>(20 * kCacheBytes / 170);
  const std::chrono::seconds seconds(scaled(10));
  const Usage usage = usage_of([&](const std::string& directory) { return work(directory, rows, seconds); });
  EXPECT_EQ(usage.problem, "");
  EXPECT_GT(usage.peak_bytes, kCacheBytes);
  EXPECT_LE(usage.peak_bytes, kAllowedBytes);
  record_cases("R19", static_cast<std::uint64_t>(seconds.count()), HasFailure() ? 1 : 0);
}

// The test of the test: without the limit of what transactions remember.
TEST(MemoryTest, ControlMemoryWithoutALimitIsNoticed) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is not ours";
  if (kPageBytes < 8192) GTEST_SKIP() << "keys are too short for so much memory";
  const SeededBugScope bug(SeededBug::kVersionsUnlimited);
  const Usage usage = usage_of([](const std::string& directory) {
    // Neither is ever destroyed: the rollback would take long, and the process ends.
    auto* const db = new Database(*Database::open(directory, memory_options()));
    auto* const txn = new Transaction(*db->begin());
    Map map = *db->create_map("m");
    return write_too_much(map, *txn);
  });
  EXPECT_NE(usage.problem, "");
  EXPECT_GT(usage.peak_bytes, kAllowedBytes);
}

}  // namespace
}  // namespace vaultgres
