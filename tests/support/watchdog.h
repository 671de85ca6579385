// Stops the test program, with a message, when something that must come to an end does not.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
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
      std::abort();
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
