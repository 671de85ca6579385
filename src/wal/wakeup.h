// Wakes one thread that works by itself: at once when somebody requests it, and after a while when something has been
// left to it. While there is nothing to do it sleeps without a timeout, and who leaves something while it is *armed*
// only reads that.
//
//   who leaves something                           the thread
//     1. leaves it (the log's end moves)             1. disarms
//     2. armed? if not, arms and wakes               2. looks whether something is left; if so, arms again
//
// All four are sequentially consistent: either the thread sees what was left, or the other one sees it disarmed. Who
// wakes passes through the mutex between the wish and the notification: the thread may be between its look at the
// wishes and its sleep.
//
// A is what the protocol is written in (base/std_atomics.h); plain C++14 and no other header of the engine, for the
// models.
#pragma once

#include <mutex>

namespace vaultgres {

template <class A>
class Wakeup {
 public:
  Wakeup() noexcept {
    for (Wish* wish : {&stopped_, &requested_, &armed_}) wish->store(false, A::kRelaxed);
  }

  // --- By anybody, with anything in hand but what is held while the thread is waited for

  void stop() noexcept { wish(stopped_); }
  void request() noexcept { wish(requested_); }
  /// Something was left to it, by a store or an exchange that is sequentially consistent.
  void left_something() noexcept {
    if (!armed_.load(A::kSequential)) wish(armed_);
  }

  // --- By the thread

  /// Until there is something to do. False: it is to stop.
  bool sleep() noexcept {
    const Lock lock(mutex_);
    while (!is_set(stopped_) && !is_set(requested_) && !is_set(armed_)) wakes_.wait(mutex_);
    return !is_set(stopped_);
  }
  /// Until there is a request, or it is `time`. False: it is to stop.
  bool sleep_until(typename A::Time time) noexcept {
    const Lock lock(mutex_);
    while (!is_set(stopped_) && !is_set(requested_) && wakes_.wait_until(mutex_, time)) {
    }
    return !is_set(stopped_);
  }
  /// Before it is served: whoever comes too late to be served now wakes again.
  bool take_request() noexcept { return requested_.exchange(false, A::kSequential); }
  /// Whether `is_left()`, which reads sequentially consistently; then it stays armed.
  template <class IsLeft>
  bool rearm(const IsLeft& is_left) noexcept {
    armed_.store(false, A::kSequential);
    const bool left = is_left();
    if (left) armed_.store(true, A::kSequential);
    return left;
  }

 private:
  using Lock = std::lock_guard<typename A::Mutex>;
  using Wish = typename A::template Atomic<bool>;

  static bool is_set(const Wish& wish) noexcept { return wish.load(A::kSequential); }
  void wish(Wish& wish) noexcept {
    if (is_set(wish) || wish.exchange(true, A::kSequential)) return;
    { const Lock lock(mutex_); }
    wakes_.notify();
  }

  typename A::Mutex mutex_;
  typename A::CondVar wakes_;
  Wish stopped_;
  Wish requested_;                     // to do something at once
  alignas(A::kCacheLine) Wish armed_;  // something is left: look at it after a while; read by each who leaves something
};

}  // namespace vaultgres
