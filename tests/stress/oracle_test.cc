// Goal: eight threads that put, erase, read and scan the same leaves through a cache that holds a fraction of the
// data each find exactly what they wrote; in the end a scan is the union of all, and the database is sound.
//
// Method: a key belongs to the thread that its hash names, so neighbours in a leaf have different owners. Each
// thread keeps its own entries in a std::map and compares every answer. VG_STRESS_OPS sets the number of operations
// and with it that of the keys: 20,000,000 operations choose among 5,000,000 keys, in a cache of 16 MiB. Durable runs
// keep their files in memory, relaxed ones on the disk of TMPDIR.
#include <gtest/gtest.h>

#include <algorithm>

#include "stress/stress_support.h"
#include "support/cases.h"
#include "support/crash_workload.h"
#include "support/redo_recorder.h"
#include "support/temp_directory.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

std::uint64_t map_operations() {
  return stress_operations(500000);
}

std::uint64_t possible_keys() {
  return std::clamp<std::uint64_t>(map_operations() / 4, 60000, 5000000);
}

std::size_t cache_bytes() {
  return std::size_t{possible_keys() < 1000000 ? 2u : 16u} << 20;
}

/// The i-th key: 1 to 64 bytes; many share long beginnings.
std::string key_of_any_length(std::uint64_t i) {
  std::uint64_t mixed = (i + 1) * 0x9E3779B97F4A7C15u;
  mixed ^= mixed >> 29;
  std::string key(mixed % 4 == 0 ? 0 : mixed % 58, static_cast<char>('a' + mixed / 64 % 3));
  return key + std::to_string(i);
}

/// A value is known by the number of its write: its bytes follow from it and its key.
std::string value_of(std::string_view key, std::uint32_t write) {
  std::uint64_t state = (std::hash<std::string_view>()(key) ^ write) * 0x9E3779B97F4A7C15u;
  std::string value(state % 2001, '\0');
  for (char& c : value) c = static_cast<char>(state = state * 6364136223846793005u + 1442695040888963407u);
  std::memcpy(value.data(), &write, std::min(value.size(), sizeof write));
  return value;
}

/// Whoever wrote it, it is whole and belongs to the key.
bool is_value_of(std::string_view key, std::string_view value) {
  std::uint32_t write = 0;
  if (value.size() < sizeof write) return true;
  std::memcpy(&write, value.data(), sizeof write);
  return value == value_of(key, write);
}

class MapWorker {
 public:
  static constexpr unsigned kThreads = 8;

  MapWorker(Map map, unsigned number) : map_(std::move(map)), number_(number), random_(100 + number) {}

  /// Something; what was wrong with its answer, or nothing.
  std::string one() {
    const std::uint64_t choice = random_.uniform(100);
    if (choice < 45) return put();
    if (choice < 65) return erase();
    if (choice < 96) return get();
    return scan(choice % 2 == 0);
  }
  const std::map<std::string, std::uint32_t>& own() const { return own_; }

 private:
  std::string own_key() {
    for (;;) {
      std::string key = key_of_any_length(random_.uniform(keys_));
      if (owner_of(key, kThreads) == number_) return key;
    }
  }

  std::string put() {
    const std::string key = own_key();
    const Status put = map_.put(key, value_of(key, ++write_));
    if (!put) return "put: " + std::string(put.error().message());
    own_[key] = write_;
    return "";
  }

  std::string erase() {
    const std::string key = own_key();
    const Result<bool> erased = map_.erase(key);
    if (!erased) return "erase: " + std::string(erased.error().message());
    const bool was_there = own_.erase(key) == 1;
    return *erased == was_there ? "" : "erase(" + key + ") says " + (*erased ? "true" : "false");
  }

  std::string get() {
    const std::string key = random_.one_in(4) ? key_of_any_length(random_.uniform(keys_)) : own_key();
    const auto value = map_.get(key);
    if (!value) return "get: " + std::string(value.error().message());
    if (owner_of(key, kThreads) != number_) {
      return !*value || is_value_of(key, **value) ? "" : "get(" + key + ") of another's gives bytes nobody wrote";
    }
    const auto own = own_.find(key);
    if (value->has_value() != (own != own_.end())) return "get(" + key + ") finds " + (*value ? "an entry" : "nothing");
    return !*value || **value == value_of(key, own->second) ? "" : "get(" + key + ") gives another value";
  }

  /// A stretch of entries, either way: in order, and of the own ones exactly those that are there.
  std::string scan(bool forward) {
    const std::string start = key_of_any_length(random_.uniform(keys_));
    Cursor cursor = map_.cursor();
    std::string last = start;
    std::map<std::string, std::string> seen;
    Result<bool> more = forward ? cursor.seek(start) : cursor.floor(start);
    for (unsigned i = 0; more && *more && i < 60; ++i) {
      const std::string key(cursor.key());
      const bool in_order = i == 0 ? (forward ? key >= last : key <= last) : (forward ? key > last : key < last);
      if (!in_order) return "a scan gives " + key + " after " + last;
      if (!is_value_of(key, cursor.value())) return "a scan gives bytes nobody wrote at " + key;
      if (owner_of(key, kThreads) == number_) seen.emplace(key, cursor.value());
      last = key;
      more = forward ? cursor.next() : cursor.prev();
    }
    if (!more) return "scan: " + std::string(more.error().message());
    auto from = forward ? own_.lower_bound(start) : own_.begin();
    auto to = forward ? own_.end() : own_.upper_bound(start);
    if (*more) (forward ? to : from) = forward ? own_.upper_bound(last) : own_.lower_bound(last);
    auto found = seen.begin();
    for (auto own = from; own != to; ++own, ++found) {
      if (found == seen.end() || found->first != own->first) return "a scan misses " + own->first;
      if (found->second != value_of(own->first, own->second)) return "a scan gives another value of " + own->first;
    }
    return found == seen.end() ? "" : "a scan gives " + found->first + ", which is erased";
  }

  Map map_;
  const unsigned number_;
  const std::uint64_t keys_ = possible_keys();
  TestRandom random_;
  std::map<std::string, std::uint32_t> own_;
  std::uint32_t write_ = 0;
};

class OracleTest : public ::testing::TestWithParam<Durability> {};
INSTANTIATE_TEST_SUITE_P(Modes, OracleTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

void run_on_map(Durability durability, std::uint64_t total) {
  Options options;
  options.cache_bytes = cache_bytes();
  options.durability = durability;
  options.lock_timeout = std::chrono::milliseconds(20000);
  const TempDirectory directory;
  Result<Database> db = durability == Durability::kDurable ? Database::open_in_memory(options)
                                                           : Database::open(directory.file("db"), options);
  ASSERT_OK(db);
  Result<Map> map = db->create_map("m");
  ASSERT_OK(map);
  std::vector<MapWorker> workers;
  for (unsigned t = 0; t < MapWorker::kThreads; ++t) workers.emplace_back(*map, t);
  {
    const Watchdog watchdog("eight threads at work", std::chrono::seconds(600 + total / 2000));
    ASSERT_TRUE(run_workers(workers, total / MapWorker::kThreads));
  }
  std::map<std::string, std::uint32_t> all;
  for (const MapWorker& worker : workers) all.insert(worker.own().begin(), worker.own().end());
  Cursor cursor = map->cursor();
  std::uint64_t live_bytes = 0;
  for (const auto& [key, write] : all) {
    const Result<bool> more = cursor.next();
    ASSERT_OK(more);
    ASSERT_TRUE(*more) << "the scan ends before " << key;
    ASSERT_EQ(cursor.key(), key);
    ASSERT_EQ(cursor.value(), value_of(key, write)) << key;
    live_bytes += cursor.key().size() + cursor.value().size();
  }
  ASSERT_FALSE(*cursor.next()) << "the scan goes on with " << cursor.key();
  expect_sound(*db);
  const DatabaseStats stats = *db->stats();
  std::printf("%llu operations on %llu possible keys; at the end %zu entries of %llu MiB, cache %zu MiB\n",
              static_cast<unsigned long long>(total), static_cast<unsigned long long>(possible_keys()), all.size(),
              static_cast<unsigned long long>(live_bytes >> 20), options.cache_bytes >> 20);
  std::printf("%llu pages (%llu free), %llu evictions, %llu loads, %llu checkpoints\n",
              static_cast<unsigned long long>(stats.pages), static_cast<unsigned long long>(stats.pages_free),
              static_cast<unsigned long long>(stats.page_evictions), static_cast<unsigned long long>(stats.page_loads),
              static_cast<unsigned long long>(stats.checkpoints));
  if (total >= 50000) {
    EXPECT_GT(stats.page_evictions, 0u);
  }
}

TEST_P(OracleTest, EightThreadsFindExactlyWhatTheyWrote) {
  run_on_map(GetParam(), map_operations());
}

TEST_P(OracleTest, NoPageChangesWithoutARecord) {
  RedoRecorder recorder;
  run_on_map(GetParam(), map_operations() / 10);
  EXPECT_EQ(recorder.first_difference(), "");
  EXPECT_GT(recorder.changes_compared(), map_operations() / 40);
  record_cases("R24", recorder.changes_compared());
}

}  // namespace
}  // namespace vaultgres
