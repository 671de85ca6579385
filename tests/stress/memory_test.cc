// Goal: a database with data many times its cache stays within the cache and 64 MiB of resident memory: while a table
// is loaded, an index is built, and threads read and change it.
//
// Method: the work is done by a child process of its own, whose peak is read from /proc.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/temp_directory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VG_MEMORY_IS_ANOTHERS 1
#else
#define VG_MEMORY_IS_ANOTHERS 0
#endif

namespace vaultgres {
namespace {

constexpr std::size_t kCacheBytes = std::size_t{8} << 20;
constexpr std::size_t kAllowedBytes = kCacheBytes + (std::size_t{64} << 20);

std::size_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

Row row_of(std::int64_t id, std::mt19937_64& random) {
  return {id, std::string(100 + random() % 100, static_cast<char>('a' + id % 26)),
          static_cast<std::int64_t>(random() % 1000000)};
}

Status change(Database& db, std::int64_t rows, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto table = db.open_table("t");
  if (!table) return table.error();
  auto index = db.open_index("by_id");
  if (!index) return index.error();
  for (int i = 0; i < 3000; ++i) {
    const auto id = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rows));
    auto found = index->find({id});
    if (!found) return found.error();
    if (!*found) return Error(ErrorCode::kNotFound, "row " + std::to_string(id) + " is not there");
    auto updated = table->update((*found)->id, row_of(id, random));
    if (!updated && updated.error().code() != ErrorCode::kConflict) return updated;
  }
  return {};
}

Status work(const std::string& directory, std::int64_t rows) {
  Options options;
  options.cache_bytes = kCacheBytes;
  options.durability = Durability::kRelaxed;
  auto db = Database::open(directory, options);
  if (!db) return db.error();
  auto schema =
      Schema::create({{"id", ColumnType::kInt64}, {"name", ColumnType::kText}, {"other", ColumnType::kInt64}});
  if (!schema) return schema.error();
  auto load = db->load_table("t", *schema);
  if (!load) return load.error();
  std::mt19937_64 random(1);
  for (std::int64_t id = 0; id < rows; ++id) {
    if (Status added = load->add(row_of(id, random)); !added) return added;
  }
  if (auto table = load->finish(); !table) return table.error();
  if (auto index = db->create_index("by_id", "t", {{{"id"}}, true}); !index) return index.error();
  if (auto index = db->create_index("by_other", "t", {{{"other"}}, false}); !index) return index.error();
  std::vector<std::thread> threads;
  std::vector<Status> results(4);
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = change(*db, rows, i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& result : results) {
    if (!result) return result;
  }
  auto table = db->open_table("t");
  if (!table) return table.error();
  auto count = table->count();
  if (!count) return count.error();
  if (*count != static_cast<std::uint64_t>(rows)) return Error(ErrorCode::kNotFound, "rows are missing");
  return db->close();
}

TEST(MemoryTest, StaysWithinCacheAnd64MiB) {
  if (VG_MEMORY_IS_ANOTHERS) GTEST_SKIP() << "a sanitizer's memory is not ours";
  // About 170 bytes each in the heap: 20 times the cache.
  const auto rows = static_cast<std::int64_t>(20 * kCacheBytes / 170);
  ::malloc_trim(0);  // what tests before this one left in the allocator would be the child's, too
  const TempDirectory directory;
  const std::string report = directory.file("report");
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    const Status done = work(directory.file("db"), rows);
    std::ofstream(report) << peak_bytes() << ' ' << (done ? "" : std::string(done.error().message()));
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  std::size_t peak = 0;
  std::string problem;
  std::ifstream answer(report);
  answer >> peak;
  std::getline(answer, problem);
  EXPECT_TRUE(problem.find_first_not_of(' ') == std::string::npos) << problem;
  std::printf("peak %zu MiB with a cache of %zu MiB and data 20 times that\n", peak >> 20, kCacheBytes >> 20);
  EXPECT_GT(peak, kCacheBytes);
  EXPECT_LE(peak, kAllowedBytes);
}

}  // namespace
}  // namespace vaultgres
