// The latch of a page: one word and, for who must wait, a place in a queue.
//
//   | version 56 | waiters 1 | holders 7 |    holders: 0 free, 1 to 125 shared, 126 exclusive
//
// A release of an exclusive latch raises the version, so whoever changed, loaded, evicted or re-used the page is
// noticed by every optimistic reader. Versions start at 0 with the process and never restart.
//
// Waiting. Who cannot have the latch spins a little; then he sleeps in a queue. Some latches share a queue, each queue
// has a mutex, and `waiters` is set, under it, while somebody sleeps for this latch.
//
//   * While it is set, nobody new joins those who hold the latch shared: their number falls to 0.
//   * The last holder, with the latch still in his hands, looks into the queue and wakes the first, or the first
//     ones when they want it shared. They try again, against whoever comes by: no latch lies idle until a sleeper has
//     got up. Until they have, nobody else is woken.
//   * Who is the first and has waited for longer than kPatience is handed the latch, awake or asleep: it is never free
//     in between. That costs two switches of threads, so a latch goes from hand to hand only once in kPatience; in
//     between it is taken by those who run. So each of n who wait has it after n times kPatience and the time that as
//     many owners take, from when they have it until they get a processor and are done.
//
// A thread takes a latch once: a second shared hold behind somebody who waits for it exclusive would wait for ever.
//
// A is what the protocol is written in (base/std_atomics.h); plain C++14, for the models.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/seeded_bug.h"

namespace vaultgres {

/// Those who sleep for the latches that share it, in the order in which they came.
template <class A>
class LatchQueue {
 public:
  enum class Answer { kSleep, kTryAgain, kYours };
  struct Waiter {
    const void* latch;
    bool exclusive;
    typename A::Time since;
    Answer answer;
    Waiter* next;
    typename A::CondVar sleep;
  };

  typename A::Mutex mutex;

  // All with the mutex.

  /// Behind those who have waited for longer.
  void enter(Waiter& waiter) noexcept {
    Waiter** place = &first_;
    while (*place != nullptr && !((*place)->since > waiter.since)) place = &(*place)->next;
    waiter.next = *place;
    *place = &waiter;
  }
  void leave(Waiter& waiter) noexcept {
    Waiter** place = &first_;
    while (*place != &waiter) place = &(*place)->next;
    *place = waiter.next;
  }
  bool is_one_asleep(const void* latch) const noexcept {
    return first_that(latch, [](const Waiter& waiter) { return waiter.answer == Answer::kSleep; }) != nullptr;
  }
  /// Somebody was woken who has not tried yet. Until he has, he keeps his place.
  bool is_one_on_his_way(const void* latch) const noexcept {
    return first_that(latch, [](const Waiter& waiter) { return waiter.answer == Answer::kTryAgain; }) != nullptr;
  }
  /// The first who has not got it yet.
  const Waiter* first_of(const void* latch) const noexcept {
    return first_that(latch, [](const Waiter& waiter) { return waiter.answer != Answer::kYours; });
  }
  /// Answers him, and if he wants it shared those behind him who do, too, up to `shared_max`. Returns how many.
  unsigned answer_first(const void* latch, Answer answer, unsigned shared_max) noexcept {
    unsigned answered = 0;
    for (Waiter* waiter = first_; waiter != nullptr && answered < shared_max; waiter = waiter->next) {
      if (waiter->latch != latch || waiter->answer == Answer::kYours) continue;
      if (waiter->exclusive && answered > 0) break;
      waiter->answer = answer;
      waiter->sleep.notify();  // he goes on when the mutex is free
      ++answered;
      if (waiter->exclusive) break;
    }
    return answered;
  }

  /// Whether the latch is to go to the first: he has waited for `patience`, and nobody was handed it for so long.
  bool is_hand_over_due(const void* latch, std::chrono::microseconds patience) const noexcept {
    if (!A::passed(first_of(latch)->since, patience)) return false;
    for (const HandOver& last : hand_overs_) {
      if (last.latch == latch) return A::passed(last.at, patience);
    }
    return true;
  }
  void note_hand_over(const void* latch) noexcept {
    HandOver* place = hand_overs_;
    while (place != hand_overs_ + kHandOvers && place->latch != latch) ++place;
    if (place == hand_overs_ + kHandOvers) place = &hand_overs_[next_hand_over_++ % kHandOvers];
    *place = {latch, A::now()};
  }

 private:
  template <class Predicate>
  const Waiter* first_that(const void* latch, Predicate predicate) const noexcept {
    const Waiter* waiter = first_;
    while (waiter != nullptr && !(waiter->latch == latch && predicate(*waiter))) waiter = waiter->next;
    return waiter;
  }

  Waiter* first_ = nullptr;
  /// The last one of some latches: when more than those share a queue and are fought over, they are handed over more
  /// often.
  struct HandOver {
    const void* latch = nullptr;
    typename A::Time at{};
    HandOver() = default;
    HandOver(const void* whose, typename A::Time when) : latch(whose), at(when) {}
  };
  static constexpr unsigned kHandOvers = 4;
  HandOver hand_overs_[kHandOvers];
  unsigned next_hand_over_ = 0;
};

template <class A>
class BasicLatch {
 public:
  using Queue = LatchQueue<A>;
  static constexpr std::uint64_t kHolders = 0x7F;
  static constexpr std::uint64_t kSharedMax = 125;
  static constexpr std::uint64_t kExclusive = 126;
  static constexpr std::uint64_t kWaiters = 0x80;
  static constexpr unsigned kVersionShift = 8;
  /// Some 1,000 pauses, 15 to 50 microseconds: as long as a structure change takes, and less than a sleep costs.
  static constexpr unsigned kSpins = 21;
  static constexpr unsigned kPausesMax = 64;
  static constexpr std::chrono::microseconds kPatience{500};

  static std::uint64_t version_of(std::uint64_t word) noexcept { return word >> kVersionShift; }
  static std::uint64_t holders_of(std::uint64_t word) noexcept { return word & kHolders; }
  static bool is_exclusive(std::uint64_t word) noexcept { return holders_of(word) == kExclusive; }

  // --- Optimistic reading: begin, read, and believe it if validate() says so.

  /// The word from before anything was read. Nobody may read while it is exclusive.
  std::uint64_t begin_read() const noexcept { return word_.load(A::kAcquire); }
  /// Whether nobody has changed anything since: what was read is the state of one instant. A shared holder does not
  /// disturb.
  bool validate(std::uint64_t version) const noexcept {
    if (A::kFences) A::fence(A::kAcquire);  // what was read was read before the word is
    const std::uint64_t word = word_.load(A::kAcquire);
    return version_of(word) == version && !is_exclusive(word);
  }
  /// Free, version 0: for memory that does not begin as zeros.
  void reset() noexcept { word_.store(0, A::kRelaxed); }
  std::uint64_t peek() const noexcept { return word_.load(A::kRelaxed); }

  // --- Without waiting

  bool try_shared() noexcept {
    std::uint64_t word = word_.load(A::kRelaxed);
    while (may_share(word)) {
      if (word_.compare_exchange_weak(word, word + 1, A::kAcquire, A::kRelaxed)) return true;
    }
    return false;
  }
  bool try_exclusive() noexcept {
    const std::uint64_t word = word_.load(A::kRelaxed);
    return holders_of(word) == 0 && take(word);
  }
  /// Only if nobody changed the page since `version` and nobody holds it.
  bool try_exclusive_at(std::uint64_t version) noexcept {
    const std::uint64_t word = word_.load(A::kRelaxed);
    return version_of(word) == version && holders_of(word) == 0 && take(word);
  }

  // --- With waiting. `queue` is the latch's: always the same.

  void lock_shared(Queue& queue) noexcept { lock(queue, false); }
  void lock_exclusive(Queue& queue) noexcept { lock(queue, true); }
  void unlock_shared(Queue& queue) noexcept {
    std::uint64_t word = word_.load(A::kRelaxed);
    for (;;) {
      if (holders_of(word) == 1 && (word & kWaiters) != 0) return release(queue, (word - 1) & ~kWaiters);
      if (word_.compare_exchange_weak(word, word - 1, A::kRelease, A::kRelaxed)) return;
    }
  }
  /// The next version; whoever sees it sees what was written under the latch.
  void unlock_exclusive(Queue& queue) noexcept { unlock_exclusive_at(queue, version_of(word_.load(A::kRelaxed)) + 1); }
  /// When nothing was written: optimistic readers go on.
  void unlock_exclusive_unchanged(Queue& queue) noexcept {
    unlock_exclusive_at(queue, version_of(word_.load(A::kRelaxed)));
  }
  void unlock_exclusive_at(Queue& queue, std::uint64_t version) noexcept {
    std::uint64_t word = word_.load(A::kRelaxed);
    const std::uint64_t free = version << kVersionShift;
    if ((word & kWaiters) == 0 && word_.compare_exchange_strong(word, free, A::kRelease, A::kRelaxed)) return;
    release(queue, free);
  }

 private:
  static bool may_share(std::uint64_t word) noexcept {
    return holders_of(word) == 0 || (holders_of(word) < kSharedMax && (word & kWaiters) == 0);
  }
  bool take(std::uint64_t word) noexcept {
    const std::uint64_t exclusive = (word & ~kHolders) | kExclusive;
    if (!word_.compare_exchange_strong(word, exclusive, A::kAcquire, A::kRelaxed)) return false;
    before_writing();
    return true;
  }
  /// Pairs with the fence in validate(): a reader that saw a byte written after this sees the exclusive state, too.
  static void before_writing() noexcept {
    if (A::kFences) A::fence(A::kRelease);
  }

  void lock(Queue& queue, bool exclusive) noexcept {
    unsigned pauses = 1;
    for (unsigned spin = 0; spin < A::spins(kSpins); ++spin) {
      if (exclusive ? try_exclusive() : try_shared()) return;
      for (unsigned i = 0; i < pauses; ++i) A::pause();
      pauses = std::min(2 * pauses, unsigned{kPausesMax});
    }
    wait(queue, exclusive);
  }

  void wait(Queue& queue, bool exclusive) noexcept {
    typename Queue::Waiter self{this, exclusive, A::now(), Queue::Answer::kSleep, nullptr, {}};
    queue.mutex.lock();
    if (!try_or_announce(exclusive)) {
      queue.enter(self);
      do {
        self.answer = Queue::Answer::kSleep;
        while (self.answer == Queue::Answer::kSleep) self.sleep.wait(queue.mutex);
      } while (self.answer != Queue::Answer::kYours && !try_or_announce(exclusive));
      if (self.answer == Queue::Answer::kYours && exclusive) before_writing();
      queue.leave(self);
    }
    queue.mutex.unlock();
  }

  /// Takes the latch, or says in its word that somebody waits: the holder who is the last will look for him.
  bool try_or_announce(bool exclusive) noexcept {
    std::uint64_t word = word_.load(A::kRelaxed);
    for (;;) {
      if (exclusive ? holders_of(word) == 0 : may_share(word)) {
        const std::uint64_t taken = exclusive ? (word & ~kHolders) | kExclusive : word + 1;
        if (word_.compare_exchange_weak(word, taken, A::kAcquire, A::kRelaxed)) {
          if (exclusive) before_writing();
          return true;
        }
      } else if (word_.compare_exchange_weak(word, word | kWaiters, A::kRelaxed, A::kRelaxed)) {
        return false;
      }
    }
  }

  /// By the last holder, when somebody sleeps. Until the word is stored nobody else can change it: it is held, new
  /// shared holders do not join, and who wants to announce himself has to wait for the mutex.
  void release(Queue& queue, std::uint64_t free) noexcept {
    queue.mutex.lock();
    std::uint64_t word = free;
    if (queue.is_hand_over_due(this, kPatience)) {
      const bool exclusive = queue.first_of(this)->exclusive;
      const unsigned answered = queue.answer_first(this, Queue::Answer::kYours, unsigned{kSharedMax});
      word |= exclusive ? kExclusive : answered;
      queue.note_hand_over(this);
    } else if (!queue.is_one_on_his_way(this)) {
      queue.answer_first(this, Queue::Answer::kTryAgain, unsigned{kSharedMax});
    }
    if (queue.is_one_asleep(this) && !VG_SEEDED_BUG(kSleepersForgotten)) word |= kWaiters;
    // Not a store: what other shared holders have read before they left comes before what the next one writes.
    word_.exchange(word, A::kAcquireRelease);
    queue.mutex.unlock();
  }

  typename A::template Atomic<std::uint64_t> word_;
};

template <class A>
constexpr std::chrono::microseconds BasicLatch<A>::kPatience;

}  // namespace vaultgres
