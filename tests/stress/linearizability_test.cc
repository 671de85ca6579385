// Goal: single operations on a key are linearizable: each takes effect at one instant between its call and its return,
// whatever becomes of the leaf around it.
//
// Method: eight threads get, put, insert and erase a handful of keys, somewhere else in the tree in each round, while
// others fill and empty what lies between and beside them, so that leaves are split and merged, through a cache that
// holds a fraction of the tree. Each value says which write it is of; some are longer than a page. What each thread saw
// is recorded with the times of one counter, and of each key a search decides whether it can have been so.
#include <gtest/gtest.h>

#include <array>

#include "stress/stress_support.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/key_history.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr unsigned kHotThreads = 8;
constexpr unsigned kNeighbourThreads = 2;
constexpr std::uint64_t kHotOperations = 2000;  ///< of each thread in a round; fewer in a tenth of the work
constexpr std::size_t kHotKeys = 16;
constexpr std::uint64_t kColdKeys = 20000;  ///< names of neighbours
constexpr std::uint64_t kKeptEvery = 4;     ///< one in so many is always there

/// What a control does wrong.
enum class HotFault : std::uint8_t {
  kNone,
  kForgetsPuts,        ///< some puts are not done
  kReadsFromMemory,    ///< some gets give what the thread saw before
  kInsertsInTwoSteps,  ///< a look, then a put
  kErasesInTwoSteps,   ///< a look, which is the answer, then an erase
};

std::string fault_name(HotFault fault) {
  const char* const names[] = {"None", "ForgetsPuts", "ReadsFromMemory", "InsertsInTwoSteps", "ErasesInTwoSteps"};
  return names[static_cast<std::size_t>(fault)];
}

/// A thread of one round.
class HotWorker {
 public:
  HotWorker(Map map, const std::vector<std::string>& keys, std::atomic<std::uint64_t>& clock, unsigned number,
            std::uint64_t round, HotFault fault)
      : map_(std::move(map)),
        keys_(&keys),
        clock_(&clock),
        number_(number),
        write_(number * std::uint64_t{1'000'000'000} + round * kHotOperations),
        fault_(fault),
        random_(1000 + round * kHotThreads + number),
        histories_(keys.size()) {}

  std::string one() {
    if (random_.one_in(50)) std::this_thread::yield();
    const std::uint64_t choice = random_.uniform(100);
    if (choice < 10) return read_a_kept_neighbour();
    const std::size_t key = random_.uniform(keys_->size());
    if (choice < 45) return get(key);
    if (choice < 70) return put(key);
    return choice < 85 ? insert(key) : erase(key);
  }

  std::string get(std::size_t key) {
    KeyOperation operation = begin(KeyCall::kGet);
    Result<std::optional<std::string>> found = find((*keys_)[key]);
    if (!found) return error("get", found);
    if (*found) {
      const std::optional<std::uint64_t> write = stamp_of((*keys_)[key], **found);
      if (!write) return "get(" + (*keys_)[key] + ") gives bytes that nobody wrote";
      operation.value = *write;
    }
    if (fault_ == HotFault::kReadsFromMemory && random_.one_in(50)) operation.value = seen_[key];
    seen_[key] = operation.value;
    return end(key, operation);
  }

  std::string erase(std::size_t key) {
    KeyOperation operation = begin(KeyCall::kErase);
    Result<bool> looked = false;
    if (fault_ == HotFault::kErasesInTwoSteps) {
      looked = map_.contains((*keys_)[key]);
      std::this_thread::yield();
    }
    const Result<bool> erased = map_.erase((*keys_)[key]);
    if (!looked || !erased) return error("erase", erased);
    operation.changed = fault_ == HotFault::kErasesInTwoSteps ? *looked : *erased;
    return end(key, operation);
  }

  const KeyHistory& history(std::size_t key) const { return histories_[key]; }

 private:
  template <class T>
  static std::string error(const char* what, const Result<T>& result) {
    return std::string(what) + ": " + (result ? "a look failed" : std::string(result.error().message()));
  }

  /// The counter's order is one in which the threads know of each other: what returned at an earlier time than another
  /// was called happened before it for the memory model, too. Operations that overlap stay unordered.
  std::uint64_t now() { return clock_->fetch_add(1, std::memory_order_acq_rel); }
  KeyOperation begin(KeyCall call) {
    KeyOperation operation;
    operation.call = call;
    operation.thread = number_;
    if (call == KeyCall::kPut || call == KeyCall::kInsert) operation.value = ++write_;
    operation.called = now();
    return operation;
  }
  std::string end(std::size_t key, KeyOperation& operation) {
    operation.returned = now();
    histories_[key].push_back(operation);
    return "";
  }

  /// In one of several ways.
  Result<std::optional<std::string>> find(const std::string& key) {
    const std::uint64_t way = random_.uniform(8);
    if (way > 2) return map_.get(key);
    if (way == 2) {
      const Result<bool> found = map_.get(key, buffer_);
      if (!found) return found.error();
      return *found ? std::optional(buffer_) : std::nullopt;
    }
    Cursor cursor = map_.cursor();
    const Result<bool> found = way == 0 ? cursor.seek(key) : cursor.floor(key);
    if (!found) return found.error();
    if (!*found || cursor.key() != key) return std::optional<std::string>();
    return std::optional(std::string(cursor.value()));
  }

  std::string put(std::size_t key) {
    KeyOperation operation = begin(KeyCall::kPut);
    const std::string value = stamped_value((*keys_)[key], operation.value);
    if (fault_ == HotFault::kForgetsPuts && random_.one_in(50)) return end(key, operation);
    const Status put = map_.put((*keys_)[key], value);
    if (!put) return error("put", put);
    return end(key, operation);
  }

  std::string insert(std::size_t key) {
    KeyOperation operation = begin(KeyCall::kInsert);
    const std::string value = stamped_value((*keys_)[key], operation.value);
    const Status inserted = fault_ == HotFault::kInsertsInTwoSteps ? insert_in_two_steps((*keys_)[key], value)
                                                                   : map_.insert((*keys_)[key], value);
    if (!inserted && inserted.error().code() != ErrorCode::kDuplicateKey) return error("insert", inserted);
    operation.changed = inserted.has_value();
    return end(key, operation);
  }

  Status insert_in_two_steps(const std::string& key, const std::string& value) {
    const Result<bool> there = map_.contains(key);
    if (!there) return there.error();
    if (*there) return Error(ErrorCode::kDuplicateKey, "the key is there already");
    std::this_thread::yield();
    return map_.put(key, value);
  }

  /// Brings in other pages, and is itself a read under splits and merges.
  std::string read_a_kept_neighbour() {
    const std::string key = number_key(random_.uniform(kColdKeys / kKeptEvery) * kKeptEvery);
    const auto found = map_.get(key);
    if (!found) return error("get", found);
    if (!*found) return "get(" + key + ") finds nothing, and it is always there";
    return stamp_of(key, **found) ? "" : "get(" + key + ") gives bytes that nobody wrote";
  }

  Map map_;
  const std::vector<std::string>* keys_;
  std::atomic<std::uint64_t>* clock_;
  const unsigned number_;
  std::uint64_t write_;
  const HotFault fault_;
  TestRandom random_;
  std::string buffer_;
  std::array<ValueNumber, kHotKeys> seen_{};
  std::vector<KeyHistory> histories_;
};

/// Keys for one round: close together, a leaf apart, or far from each other.
std::vector<std::string> hot_keys(std::uint64_t first, TestRandom& random) {
  const std::uint64_t steps[] = {1, 5, 60};
  const std::uint64_t step = steps[random.uniform(3)];
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < kHotKeys; ++i) keys.push_back(number_key(first + i * step) + "h");
  return keys;
}

/// One round, which begins and ends without the hot keys. What is wrong, or nothing.
std::string run_round(const Map& map, std::atomic<std::uint64_t>& focus, std::uint64_t round, HotFault fault) {
  TestRandom random(round);
  focus.store(random.uniform(kColdKeys));
  const std::vector<std::string> keys = hot_keys(focus.load(), random);
  std::atomic<std::uint64_t> clock{1};
  std::vector<HotWorker> workers;
  for (unsigned t = 0; t < kHotThreads; ++t) workers.emplace_back(map, keys, clock, t, round, fault);
  const std::uint64_t operations = std::min(kHotOperations, scaled(2 * kHotOperations));
  std::string wrong = first_wrong_answer(workers, [&](std::uint64_t times) { return times < operations; });
  if (!wrong.empty()) return wrong;
  HotWorker last(map, keys, clock, kHotThreads, round, HotFault::kNone);
  for (std::size_t key = 0; key < keys.size(); ++key) {
    wrong = last.get(key);
    if (wrong.empty()) wrong = last.erase(key);
    if (!wrong.empty()) return wrong;
    KeyHistory history = last.history(key);
    for (const HotWorker& worker : workers) {
      history.insert(history.end(), worker.history(key).begin(), worker.history(key).end());
    }
    wrong = what_is_not_linearizable(history);
    if (!wrong.empty()) return "key " + keys[key] + ", round " + std::to_string(round) + ": " + wrong;
  }
  return "";
}

/// So many rounds, or until something is wrong, which is given back.
std::string run_hot_rounds(Durability durability, std::uint64_t rounds, CaseCount& cases, HotFault fault) {
  const Watchdog watchdog("eight threads on a handful of keys", std::chrono::seconds(300 + 10 * rounds));
  Result<Database> db = Database::open_in_memory(tiny_cache(durability));
  if (!db) return std::string(db.error().message());
  std::atomic<std::uint64_t> focus{0};
  const Neighbours neighbours{kNeighbourThreads, kColdKeys, kKeptEvery, &focus};
  const Result<Map> map = load_kept_keys(*db, neighbours);
  if (!map) return std::string(map.error().message());
  std::string wrong;
  while_neighbours_change(*map, neighbours, [&] {
    for (std::uint64_t round = 0; round < rounds && wrong.empty(); ++round) {
      wrong = run_round(*map, focus, round, fault);
      ++cases;
    }
  });
  if (fault != HotFault::kNone) return wrong;
  expect_sound(*db);
  const DatabaseStats stats = *db->stats();
  std::printf("%llu rounds, %llu pages, %llu evictions, %llu loads\n", static_cast<unsigned long long>(cases.cases()),
              static_cast<unsigned long long>(stats.pages), static_cast<unsigned long long>(stats.page_evictions),
              static_cast<unsigned long long>(stats.page_loads));
  EXPECT_GT(stats.page_evictions, 0u);
  return wrong;
}

class LinearizabilityTest : public ::testing::TestWithParam<Durability> {};
INSTANTIATE_TEST_SUITE_P(Modes, LinearizabilityTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(LinearizabilityTest, OfOperationsOnKeysWhoseLeavesSplitAndMerge) {
  CaseCount cases("R11");
  const std::string wrong = run_hot_rounds(GetParam(), scaled(25), cases, HotFault::kNone);
  EXPECT_TRUE(wrong.empty()) << wrong;
}

// The test of the test: keys that are not atomic.
class LinearizabilityControlTest : public ::testing::TestWithParam<HotFault> {};
INSTANTIATE_TEST_SUITE_P(Faults, LinearizabilityControlTest,
                         ::testing::Values(HotFault::kForgetsPuts, HotFault::kReadsFromMemory,
                                           HotFault::kInsertsInTwoSteps, HotFault::kErasesInTwoSteps),
                         [](const auto& fault) { return fault_name(fault.param); });

TEST_P(LinearizabilityControlTest, WhatIsNotAtomicIsNoticed) {
  CaseCount cases(nullptr);
  const std::string wrong = run_hot_rounds(Durability::kRelaxed, 10, cases, GetParam());
  EXPECT_NE(wrong.find("not linearizable"), std::string::npos) << wrong;
  std::printf("noticed in round %llu\n%s\n", static_cast<unsigned long long>(cases.cases()), wrong.c_str());
}

}  // namespace
}  // namespace vaultgres
