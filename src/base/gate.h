// Gates that calls pass through: cheap to pass (one write to a line that a thread mostly has to itself),
// dear to close. CallGate ends an object's life; SharedGate lets somebody stop all passers for a while.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "base/held_latches.h"
#include "base/std_atomics.h"

namespace vaultgres {

/// Counts who is inside, on many cache lines.
class PassCounter {
 public:
  using Slot = std::atomic<std::int64_t>;
  Slot& slot() noexcept {
    static std::atomic<unsigned> next_thread{0};
    thread_local const unsigned thread = next_thread.fetch_add(1, std::memory_order_relaxed);
    return lines_[thread % kLines].inside;
  }
  bool empty() const noexcept {
    for (const Line& line : lines_) {
      if (line.inside.load(std::memory_order_seq_cst) != 0) return false;
    }
    return true;
  }

 private:
  static constexpr unsigned kLines = 64;
  struct alignas(64) Line {
    Slot inside{0};
  };
  Line lines_[kLines];
};

/// Passers are let in while the gate is open and nobody holds it exclusively; others wait (enter) or are
/// turned away (closed for good). The handshake: a passer counts itself, then looks at the flag; a closer
/// sets the flag, then looks at the counts; both sequentially consistent, so one of them sees the other.
class SharedGate {
 public:
  class Pass {
   public:
    Pass() = default;
    explicit Pass(PassCounter::Slot& slot) noexcept : slot_(&slot) {}
    Pass(Pass&& other) noexcept : slot_(other.slot_) { other.slot_ = nullptr; }
    Pass& operator=(Pass&& other) noexcept {
      if (this != &other) {
        leave();
        slot_ = other.slot_;
        other.slot_ = nullptr;
      }
      return *this;
    }
    ~Pass() { leave(); }
    explicit operator bool() const noexcept { return slot_ != nullptr; }
    void leave() noexcept {
      if (slot_ != nullptr) slot_->fetch_sub(1, std::memory_order_seq_cst);
      slot_ = nullptr;
    }

   private:
    PassCounter::Slot* slot_ = nullptr;
  };

  /// Empty when the gate is closed for good.
  Pass enter() {
    assert_may_wait("a gate");
    for (;;) {
      PassCounter::Slot& slot = counter_.slot();
      slot.fetch_add(1, std::memory_order_seq_cst);
      const State state = state_.load(std::memory_order_seq_cst);
      if (state == State::kOpen) [[likely]]
        return Pass(slot);
      slot.fetch_sub(1, std::memory_order_seq_cst);
      if (state == State::kClosed) return {};
      state_.wait(State::kHeld, std::memory_order_acquire);
    }
  }

  /// The same, but empty also when somebody holds the gate for longer than `timeout`.
  Pass enter_for(std::chrono::milliseconds timeout) {
    assert_may_wait("a gate");
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      PassCounter::Slot& slot = counter_.slot();
      slot.fetch_add(1, std::memory_order_seq_cst);
      if (state_.load(std::memory_order_seq_cst) == State::kOpen) return Pass(slot);
      slot.fetch_sub(1, std::memory_order_seq_cst);
      if (state_.load(std::memory_order_seq_cst) == State::kClosed || std::chrono::steady_clock::now() > deadline) {
        return {};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  /// For who has been inside before and has not finished: a holder lets it in, and waits for it by other means. Empty
  /// when the gate is closed for good.
  Pass enter_again() {
    PassCounter::Slot& slot = counter_.slot();
    slot.fetch_add(1, std::memory_order_seq_cst);
    if (state_.load(std::memory_order_seq_cst) != State::kClosed) return Pass(slot);
    slot.fetch_sub(1, std::memory_order_seq_cst);
    return {};
  }

  /// Keeps everybody out while it lives; empty when the gate is closed for good. One holder at a time.
  class Hold {
   public:
    Hold() = default;
    explicit Hold(SharedGate& gate) noexcept : gate_(&gate) {}
    Hold(Hold&& other) noexcept : gate_(other.gate_) { other.gate_ = nullptr; }
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (gate_ != nullptr) gate_->release();
    }
    explicit operator bool() const noexcept { return gate_ != nullptr; }

   private:
    SharedGate* gate_ = nullptr;
  };
  Hold hold() {
    assert_may_wait("those inside a gate");
    holder_.lock();
    if (state_.load(std::memory_order_seq_cst) == State::kClosed) {
      holder_.unlock();
      return {};
    }
    state_.store(State::kHeld, std::memory_order_seq_cst);
    wait_empty();
    return Hold(*this);
  }

  /// For good; returns when nobody is inside.
  void close() {
    assert_may_wait("those inside a gate");
    const std::lock_guard lock(holder_);
    state_.store(State::kClosed, std::memory_order_seq_cst);
    state_.notify_all();
    wait_empty();
  }

 private:
  enum class State : std::uint32_t { kOpen, kHeld, kClosed };
  void release() noexcept {
    state_.store(State::kOpen, std::memory_order_seq_cst);
    state_.notify_all();
    holder_.unlock();
  }
  void wait_empty() const {
    for (StdAtomics::Backoff backoff; !counter_.empty();) backoff.pause();
  }

  std::atomic<State> state_{State::kOpen};
  std::mutex holder_;
  PassCounter counter_;
};

}  // namespace vaultgres
