// Group commit: who waits for the log to be durable, who makes it so, for whom, and how nobody is left asleep.
//
// A *flight* is one flush under way, of everything that nobody had taken when it began. Its leader is who began it.
//
//   leader   under the mutex: takes all up to the log's end into a flight, the last in the list; without it: writes the
//            flight, syncs; under the mutex again: publishes, and wakes all
//   joiner   whose position somebody has taken, or who may not lead: sleeps until a flight has ended, and looks again
//
// Nobody is left asleep: who goes to sleep has seen, under the mutex, a flight in the list, and the leader of each
// wakes all, under the mutex, when it ends. Of those whose position is not taken then, the first leads.
//
// Writes overlap, syncs do not: of two at a time the kernel tells only one about a lost write, so the success of the
// other would prove nothing. Whoever syncs does it for all flights that are written, and leaves nothing to do for those
// leaders. But first he looks whether the sync before has failed: it may have lost his writes, and his own would not
// say so.
//
// `durable` is the end of those flights, from the front on, that are synced. It is released and acquired, so who sees
// it may take what lies below for written and read, and use its memory again. A flight that overtook others waits for
// them, in the list. After a failure it never grows again, and every flush ends with that.
//
// Locks: sync_mutex_ before mutex_.
//
// `Log` knows what a flight is made of:
//
//   bool failed()                    whether something has failed, for good
//   void take(Flight&)               sets `end`, `to` and what else is its own; under the mutex
//   bool worth_another(taken)        whether so much has gathered that a flight may begin beside another
//   bool write(const Flight&)        false: from before it returns on, failed()
//   bool sync(from, to)              the same
//   void published(before, after)    durable has grown; under the mutex
//
// A is what the protocol is written in (base/std_atomics.h); plain C++14 and no other header of the engine, for the
// models.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

namespace vaultgres {

template <class A>
class GroupCommit {
 public:
  static constexpr unsigned kFlightsMax = 4;
  struct Flight {
    std::uint64_t from = 0;
    std::uint64_t end = 0;   // of the last record
    std::uint64_t to = 0;    // of the last block
    std::uint64_t time = 0;  // `Log` keeps it here
    bool written = false;
    bool synced = false;
  };

  explicit GroupCommit(std::uint64_t first) noexcept : taken_(first) { durable_.store(first, A::kRelaxed); }

  /// Everything below is written and synced. Who sees it may use the memory below again.
  std::uint64_t durable() const noexcept { return durable_.load(A::kAcquire); }

  /// Waits until durable() >= position, which is at most the log's end; leads when nobody else does. False: failed.
  template <class Log>
  bool flush(std::uint64_t position, Log& log) {
    if (durable() >= position) return true;
    const Lock lock(mutex_);
    while (durable_.load(A::kRelaxed) < position) {
      if (log.failed()) return false;
      if (taken_ < position && may_lead(log)) {
        lead(log);
      } else {
        ended_.wait(mutex_);
      }
    }
    return true;
  }

  /// Whether everything below is durable, or belongs to a flight that has begun.
  bool is_taken(std::uint64_t position) {
    const Lock lock(mutex_);
    return taken_ >= position;
  }

  /// While `look` runs durable() does not change.
  template <class Look>
  bool while_nothing_ends(const Look& look) {
    const Lock lock(mutex_);
    return look();
  }

 private:
  using Lock = std::lock_guard<typename A::Mutex>;

  template <class Log>
  bool may_lead(Log& log) const {
    return count_ == 0 || (count_ < kFlightsMax && log.worth_another(taken_));
  }

  /// With the mutex, which it gives up meanwhile.
  template <class Log>
  void lead(Log& log) {
    Flight flight;
    flight.from = taken_;
    log.take(flight);
    taken_ = flight.to;
    flights_[count_++] = &flight;
    mutex_.unlock();
    const bool done = log.write(flight) && sync(flight, log);
    mutex_.lock();
    publish(log);
    ended_.notify_all();
    // One that overtook others waits for them; they end one way or the other.
    while (done && durable_.load(A::kRelaxed) < flight.to && !log.failed()) ended_.wait(mutex_);
    remove(&flight);
  }

  template <class Log>
  bool sync(Flight& flight, Log& log) {
    {
      const Lock lock(mutex_);
      flight.written = true;
    }
    const Lock one_at_a_time(sync_mutex_);
    if (log.failed()) return false;  // the sync before this one may have failed for both
    Flight* covered[kFlightsMax];
    unsigned count = 0;
    std::uint64_t from = flight.from;
    std::uint64_t to = flight.to;
    {
      const Lock lock(mutex_);
      if (flight.synced) return true;
      // The leader of each of these comes to sync_mutex_ next, so it stays where it is.
      for (unsigned i = 0; i < count_; ++i) {
        Flight* const other = flights_[i];
        if (!other->written || other->synced) continue;
        covered[count++] = other;
        from = std::min(from, other->from);
        to = std::max(to, other->to);
      }
    }
    if (!log.sync(from, to)) return false;
    const Lock lock(mutex_);
    for (unsigned i = 0; i < count; ++i) covered[i]->synced = true;
    return true;
  }

  /// With the mutex.
  template <class Log>
  void publish(Log& log) {
    if (log.failed()) return;
    const std::uint64_t before = durable_.load(A::kRelaxed);
    std::uint64_t after = before;
    while (count_ > 0 && flights_[0]->synced) {
      after = flights_[0]->to;
      durable_.store(after, A::kRelease);
      remove(flights_[0]);
    }
    if (after != before) log.published(before, after);
  }

  void remove(const Flight* flight) {
    count_ = static_cast<unsigned>(std::remove(flights_, flights_ + count_, flight) - flights_);
  }

  // Appenders read it all the time; what comes behind it changes with each flush.
  alignas(A::kCacheLine) typename A::template Atomic<std::uint64_t> durable_;  // changes under mutex_
  alignas(A::kCacheLine) typename A::Mutex mutex_;
  typename A::CondVar ended_;
  std::uint64_t taken_;           // below: durable, or in flight, or lost by a failure
  Flight* flights_[kFlightsMax];  // in the order of the log; each lives on its leader's stack
  unsigned count_ = 0;
  typename A::Mutex sync_mutex_;  // one sync at a time
};

}  // namespace vaultgres
