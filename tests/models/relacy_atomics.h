// What the engine's protocols are written in (base/std_atomics.h), for Relacy, a model checker: it runs the threads of
// a model one step at a time, with every choice that a schedule and the memory model leave open.
#pragma once

#include <chrono>
#include <cstddef>
#include <new>
#include <relacy/relacy.hpp>
#include <relacy/stdlib/condition_variable.hpp>
#include <relacy/stdlib/mutex.hpp>

// Its names for the engine's headers, not for ours.
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

// Of new and delete it replaces some forms; these have to go with them.
inline void operator delete(void* memory, std::size_t) noexcept {
  ::operator delete(memory);
}
inline void operator delete[](void* memory, std::size_t) noexcept {
  ::operator delete[](memory);
}
inline void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return ::operator new[](bytes);
}

namespace vaultgres {

template <class T>
class ModelAtomic {
 public:
  ModelAtomic() : value_(T()) {}
  ModelAtomic(T value) : value_(value) {}
  T load(rl::memory_order order) const { return value_.load(order, $); }
  void store(T value, rl::memory_order order) { value_.store(value, order, $); }
  T exchange(T value, rl::memory_order order) { return value_.exchange(value, order, $); }
  T fetch_add(T value, rl::memory_order order) { return value_.fetch_add(value, order, $); }
  T fetch_sub(T value, rl::memory_order order) { return value_.fetch_sub(value, order, $); }
  bool compare_exchange_weak(T& expected, T desired, rl::memory_order order, rl::memory_order failure) {
    return value_.compare_exchange_weak(expected, desired, order, $, failure, $);
  }
  bool compare_exchange_strong(T& expected, T desired, rl::memory_order order, rl::memory_order failure) {
    return value_.compare_exchange_strong(expected, desired, order, $, failure, $);
  }

 private:
  rl::atomic<T> value_;
};

struct ModelAtomics {
  template <class T>
  using Atomic = ModelAtomic<T>;
  static const rl::memory_order kRelaxed = rl::mo_relaxed;
  static const rl::memory_order kAcquire = rl::mo_acquire;
  static const rl::memory_order kRelease = rl::mo_release;
  static const rl::memory_order kAcquireRelease = rl::mo_acq_rel;
  static const rl::memory_order kSequential = rl::mo_seq_cst;
  static const std::size_t kCacheLine = alignof(std::max_align_t);  // its heap gives no more
  static const bool kFences = true;
  static void fence(rl::memory_order order) {
    if (order == rl::mo_acquire) {
      rl::atomic_thread_fence(rl::mo_acquire, $);
    } else {
      rl::atomic_thread_fence(rl::mo_release, $);
    }
  }

  class Mutex {
   public:
    void lock() { mutex_.lock($); }
    void unlock() { mutex_.unlock($); }

   private:
    friend struct ModelAtomics;
    rl::mutex mutex_;
  };
  class CondVar {
   public:
    void wait(Mutex& held) { sleep_.wait(held.mutex_, $); }
    /// False: the time has come, whenever the scheduler says so.
    bool wait_until(Mutex& held, unsigned) { return sleep_.wait_for(held.mutex_, 0, $); }
    void notify() { sleep_.notify_one($); }
    void notify_all() { sleep_.notify_all($); }

   private:
    rl::condition_variable sleep_;
  };

  using Time = unsigned;
  static Time now() { return 0; }
  static bool passed(Time, std::chrono::microseconds) { return rl::rand(2) != 0; }
  static unsigned spins(unsigned) { return rl::rand(2); }
  static void pause() { rl::yield(1, $); }
  struct Backoff {
    void pause() { ModelAtomics::pause(); }
  };
};

}  // namespace vaultgres
