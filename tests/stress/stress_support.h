// Threads that each compare every answer with what they know.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "support/scale.h"

namespace vaultgres {

/// VG_STRESS_OPS, or `by_default` at the scale of the tests.
inline std::uint64_t stress_operations(std::uint64_t by_default) {
  const char* given = std::getenv("VG_STRESS_OPS");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : scaled(by_default);
}

/// Each worker in a thread of its own: so many times one(), which says what is wrong, or nothing. All stop at the first
/// wrong answer, which is then a failure of the test. Whether there was none.
template <class Worker>
bool run_workers(std::vector<Worker>& workers, std::uint64_t operations) {
  std::atomic<bool> failed{false};
  const auto run = [&](Worker& worker, std::size_t number) {
    for (std::uint64_t i = 0; i < operations && !failed.load(std::memory_order_relaxed); ++i) {
      const std::string wrong = worker.one();
      if (wrong.empty()) continue;
      failed.store(true);
      ADD_FAILURE() << "thread " << number << ", operation " << i << ": " << wrong;
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < workers.size(); ++t) threads.emplace_back([&, t] { run(workers[t], t); });
  for (std::thread& thread : threads) thread.join();
  return !failed.load();
}

}  // namespace vaultgres
