// Threads that each compare every answer with what they know, and threads that keep a tree moving beneath them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/types.h"
#include "support/random.h"
#include "support/scale.h"
#include "vaultgres/database.h"

namespace vaultgres {

/// VG_STRESS_OPS, or `by_default` at the scale of the tests.
inline std::uint64_t stress_operations(std::uint64_t by_default) {
  const char* given = std::getenv("VG_STRESS_OPS");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : scaled(by_default);
}

/// Runs `body(thread)` on so many threads.
inline void on_threads(unsigned count, const std::function<void(unsigned)>& body) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < count; ++t) threads.emplace_back(body, t);
  for (std::thread& thread : threads) thread.join();
}

/// Each worker in a thread of its own: one(), which says what is wrong, or nothing, again and again while
/// `go_on(times)`. All stop at the first wrong answer, which is given back.
template <class Worker, class GoOn>
std::string first_wrong_answer(std::vector<Worker>& workers, GoOn&& go_on) {
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::string first;
  on_threads(static_cast<unsigned>(workers.size()), [&](unsigned number) {
    for (std::uint64_t i = 0; go_on(i) && !failed.load(std::memory_order_relaxed); ++i) {
      const std::string wrong = workers[number].one();
      if (wrong.empty()) continue;
      const std::lock_guard lock(mutex);
      if (!failed.exchange(true)) {
        first = "thread " + std::to_string(number) + ", operation " + std::to_string(i) + ": " + wrong;
      }
    }
  });
  return first;
}

/// So many operations of each worker; a wrong answer is a failure of the test. Whether there was none.
template <class Worker>
bool run_workers(std::vector<Worker>& workers, std::uint64_t operations) {
  const std::string wrong = first_wrong_answer(workers, [&](std::uint64_t times) { return times < operations; });
  if (!wrong.empty()) ADD_FAILURE() << wrong;
  return wrong.empty();
}

/// So that pages come and go, and nobody gives up because others are slow.
inline Options tiny_cache(Durability durability) {
  Options options;
  options.cache_bytes = std::size_t{256} << 10;
  options.durability = durability;
  options.lock_timeout = std::chrono::milliseconds(60000);
  return options;
}

/// Eight digits: such keys are ordered as numbers are.
inline std::string number_key(std::uint64_t i) {
  std::string key = std::to_string(i);
  return std::string(8 - key.size(), '0') + key;
}

inline constexpr std::size_t kLongestStamped = std::size_t{16} << 10;
/// A value by which one knows the number of its write: its length and all its bytes follow from that and the key. Short
/// ones mostly; one in forty may take many pages.
inline std::string stamped_value(std::string_view key, std::uint64_t write) {
  std::uint64_t state = (std::hash<std::string_view>()(key) ^ write) * 0x9E3779B97F4A7C15u;
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 32;
  };
  const std::uint64_t kind = next() % 40;
  const std::size_t longest = kind == 0 ? kLongestStamped : kind == 1 ? kPageBytes / 5 : kind < 8 ? 200 : 60;
  std::string value(sizeof write + next() % longest, '\0');
  std::memcpy(value.data(), &write, sizeof write);
  for (std::size_t i = sizeof write; i < value.size(); i += sizeof state) {
    const std::uint64_t bytes = next();
    std::memcpy(value.data() + i, &bytes, std::min(sizeof bytes, value.size() - i));
  }
  return value;
}

/// The number of the write; none: nobody wrote these bytes to this key.
inline std::optional<std::uint64_t> stamp_of(std::string_view key, std::string_view value) {
  std::uint64_t write = 0;
  if (value.size() < sizeof write) return std::nullopt;
  std::memcpy(&write, value.data(), sizeof write);
  return value == stamped_value(key, write) ? std::optional(write) : std::nullopt;
}

/// Entries that come and go among those that a test looks at. Keys are number_key(0) to number_key(keys - 1), without
/// the multiples of `kept_every`; values are stamped.
struct Neighbours {
  unsigned threads = 3;
  std::uint64_t keys = 3000;
  std::uint64_t kept_every = 10;
  /// Every other stretch is about this key; null: there is no such place.
  const std::atomic<std::uint64_t>* focus = nullptr;
};

/// A new map of those that stay.
inline Result<Map> load_kept_keys(Database& db, const Neighbours& neighbours) {
  Result<MapLoad> load = db.load_map("kept");
  if (!load) return load.error();
  for (std::uint64_t i = 0; i < neighbours.keys; i += neighbours.kept_every) {
    const std::string key = number_key(i);
    if (const Status added = load->add(key, stamped_value(key, 0)); !added) return added.error();
  }
  return load->finish();
}

/// Runs `body()` while threads fill stretches of the tree with neighbours and empty them again: leaves are split, then
/// merged.
inline void while_neighbours_change(const Map& map, const Neighbours& neighbours, const std::function<void()>& body) {
  constexpr std::uint64_t kStretch = 200;
  std::atomic<bool> done{false};
  const auto change = [&](Map target, unsigned thread) {
    TestRandom random(50 + thread);
    for (std::uint64_t write = 1; !done.load(); ++write) {
      std::uint64_t from = random.uniform(neighbours.keys);
      if (neighbours.focus != nullptr && random.one_in(2)) {
        from = neighbours.focus->load();
        from -= std::min(from, random.uniform(kStretch));
      }
      for (const bool fills : {true, false}) {
        for (std::uint64_t i = from; i < std::min(neighbours.keys, from + kStretch) && !done.load(); ++i) {
          if (i % neighbours.kept_every == 0 || i % neighbours.threads != thread) continue;
          const std::string key = number_key(i);
          if (fills) {
            const Status put = target.put(key, stamped_value(key, write));
            ASSERT_TRUE(put) << put.error().message();
          } else {
            const Result<bool> erased = target.erase(key);
            ASSERT_TRUE(erased) << erased.error().message();
          }
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < neighbours.threads; ++t) threads.emplace_back(change, map, t);
  body();
  done.store(true);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace vaultgres
