// Stops the test program, with a message, when something that must come to an end does not. What its threads have done
// until then tells a hang (all sleep) from a loop and from a machine that had no time for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

namespace vaultgres {

/// Barks unless it goes, or is fed, in time.
class Watchdog {
 public:
  Watchdog(std::string what, std::chrono::seconds limit)
      : what_(std::move(what)), limit_(limit), thread_([this] { watch(); }) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  /// The time begins anew; `what` is going on now.
  void feed(std::string what) {
    const std::lock_guard lock(mutex_);
    what_ = std::move(what);
    ++fed_;
    wake_.notify_all();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!done_) {
      const std::uint64_t fed = fed_;
      if (wake_.wait_for(lock, limit_, [&] { return done_ || fed_ != fed; })) continue;
      std::fprintf(stderr, "watchdog: no end after %lld s: %s\n", static_cast<long long>(limit_.count()),
                   what_.c_str());
      print_threads();
      std::abort();
    }
  }

  static void print_threads() {
    std::error_code failed;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", failed)) {
      double ran_ns = 0;
      double waited_ns = 0;
      std::string where;
      std::ifstream(thread.path() / "schedstat") >> ran_ns >> waited_ns;
      std::ifstream(thread.path() / "wchan") >> where;
      std::fprintf(stderr, "thread %s: ran for %.1f s, waited %.1f s for a processor, is in %s\n",
                   thread.path().filename().c_str(), ran_ns / 1e9, waited_ns / 1e9, where.c_str());
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::string what_;
  const std::chrono::seconds limit_;
  std::uint64_t fed_ = 0;
  bool done_ = false;
  std::thread thread_;  // last: the others exist when it starts
};

}  // namespace vaultgres
