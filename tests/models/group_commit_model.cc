// Goal: whoever is told that its record is durable has it on disk, also when a sync fails; nobody who waits for that is
// left asleep; the memory of what is durable can be used again; what nobody flushes the flusher does. Whatever the
// schedule and whatever the memory model lets a processor reorder.
//
// Method: wal/group_commit.h, wal/filled_prefix.h and wal/wakeup.h compiled with Relacy's atomics, put together as
// wal/log.cc does, over a disk that loses what a failed sync was to bring there, and says so once. Relacy says when
// memory is overwritten that is being read, and when a thread sleeps that nobody will wake. MUTANT names a fault that
// is put into the atomics or into a step; then a failure is expected.
#include "models/faulty_atomics.h"
#include "models/model_main.h"
#include "models/relacy_atomics.h"
#include "wal/filled_prefix.h"
#include "wal/group_commit.h"
#include "wal/wakeup.h"

namespace vaultgres {
namespace {

constexpr std::uint64_t kPositions = 16;
constexpr std::uint64_t kBlock = 2;
constexpr std::uint64_t kRing = 4;
constexpr unsigned kSleeper = 0;  // the thread that others wake

std::uint64_t round_up(std::uint64_t position) {
  return (position + kBlock - 1) / kBlock * kBlock;
}

unsigned this_thread() {
  return static_cast<unsigned>(rl::ctx().threadx_->index_);
}

/// Threads run one at a time, so that plain words are enough for what happens in reality behind system calls.
template <class A>
class Log {
 public:
  explicit Log(bool may_fail = false) : may_fail_(may_fail) { failed_.store(false, A::kRelaxed); }

  std::uint64_t end() const { return prefix_.end(); }
  std::uint64_t durable() const { return commit_.durable(); }
  bool is_synced(std::uint64_t position) const { return disk_[position] == kSynced; }

  /// One position long. Where it was put; kPositions: the log has failed.
  std::uint64_t append(unsigned thread) {
    typename FilledPrefix<A, 2>::Place place;
    for (;;) {
      const std::uint64_t limit = durable() + kRing;
      const auto end_of = [&](std::uint64_t begin) {
        return round_up(begin + 1) <= limit ? begin + 1 : FilledPrefix<A, 2>::kNoRoom;
      };
      if (prefix_.reserve(thread, end_of, &place)) break;
      if (!flush(end())) return kPositions;
    }
    ring_[place.begin % kRing]($) = static_cast<unsigned>(place.begin);
    prefix_.complete(place);
    flusher.left_something();
    return place.begin;
  }
  bool flush(std::uint64_t position) { return commit_.flush(position, *this); }

  // --- What group commit asks for

  bool failed() {
    if (A::kFailsLate && fails_late_[this_thread()]) failed_.store(true, A::kRelease);
    return failed_.load(A::kAcquire);
  }
  bool worth_another(std::uint64_t taken) const { return end() > taken; }
  void take(typename GroupCommit<A>::Flight& flight) {
    flight.end = prefix_.skip(round_up);
    flight.to = round_up(flight.end);
  }
  bool write(const typename GroupCommit<A>::Flight& flight) {
    prefix_.wait_until_filled(flight.to);
    for (std::uint64_t at = flight.from; at < flight.end; ++at) {
      RL_ASSERT(disk_[at] == kNothing && ring_[at % kRing]($) == at);
      disk_[at] = kWritten;
    }
    return !failed();
  }
  bool sync(std::uint64_t from, std::uint64_t to) {
    RL_ASSERT(!syncing_ && !failed_.load(A::kRelaxed));  // after a sync that failed there is no other
    syncing_ = true;
    const bool lost = may_fail_ && rl::rand(2) == 0;
    for (std::uint64_t at = 0; at < kPositions; ++at) {  // whatever the caller says: a file is synced as a whole
      if (disk_[at] == kWritten && (lost || (from <= at && at < to))) disk_[at] = lost ? kLost : kSynced;
    }
    A::pause();
    syncing_ = false;
    if (lost && A::kFailsLate) fails_late_[this_thread()] = true;
    if (lost && !A::kFailsLate) failed_.store(true, A::kRelease);
    return !lost;
  }
  void published(std::uint64_t before, std::uint64_t after) { RL_ASSERT(before < after); }

  Wakeup<A> flusher;

 private:
  enum OnDisk { kNothing, kWritten, kSynced, kLost };
  const bool may_fail_;
  FilledPrefix<A, 2> prefix_{0};
  GroupCommit<A> commit_{0};
  typename A::template Atomic<bool> failed_;
  rl::var<unsigned> ring_[kRing];
  OnDisk disk_[kPositions] = {};
  bool syncing_ = false;
  bool fails_late_[3] = {};
};

/// Three who commit twice each, so that the log's memory is used again.
template <class A>
struct Committers : rl::test_suite<Committers<A>, 3> {
  Log<A> log;

  void thread(unsigned index) {
    for (unsigned i = 0; i < 2; ++i) {
      const std::uint64_t at = log.append(index);
      RL_ASSERT(log.flush(at + 1) && log.durable() > at && log.is_synced(at));
    }
  }
};

/// Two who commit on a disk that fails.
template <class A>
struct FailingDisk : rl::test_suite<FailingDisk<A>, 2> {
  Log<A> log{true};

  void thread(unsigned index) {
    const std::uint64_t at = log.append(index);
    if (log.flush(at + 1)) {
      RL_ASSERT(log.durable() > at && log.is_synced(at));
    } else {
      RL_ASSERT(log.failed());
    }
  }
};

/// Two who append and leave the rest to the flusher, and that one.
template <class A>
struct LeftToTheFlusher : rl::test_suite<LeftToTheFlusher<A>, 3> {
  static constexpr unsigned kRecords = 3;
  Log<A> log;
  unsigned synced = 0;

  void thread(unsigned index) {
    if (index == kSleeper) return run_flusher();
    log.append(index);
    if (index == 1) log.append(index);
  }
  void run_flusher() {
    bool armed = false;
    while (count_synced() < kRecords) {
      const bool goes_on = armed ? log.flusher.sleep_until(0) : log.flusher.sleep();
      RL_ASSERT(goes_on);
      if (log.flusher.take_request() || armed) log.flush(log.end());
      armed = log.flusher.rearm([&] { return log.durable() < log.end(); });
    }
  }
  unsigned count_synced() const {
    unsigned count = 0;
    for (std::uint64_t at = 0; at < kPositions; ++at) count += log.is_synced(at) ? 1 : 0;
    return count;
  }
};

/// One to whom something is left twice, and who has to find it.
template <class A>
struct LeftTwice : rl::test_suite<LeftTwice<A>, 2> {
  Wakeup<A> wakeup;
  typename A::template Atomic<unsigned> left;

  LeftTwice() { left.store(0, A::kRelaxed); }
  void thread(unsigned index) {
    if (index != kSleeper) {
      for (unsigned i = 0; i < 2; ++i) {
        left.fetch_add(1, A::kSequential);
        wakeup.left_something();
      }
      return;
    }
    unsigned found = 0;
    for (bool armed = false; found < 2;) {
      RL_ASSERT(armed ? wakeup.sleep_until(0) : wakeup.sleep());
      found = left.load(A::kAcquire);
      armed = wakeup.rearm([&] { return found < left.load(A::kSequential); });
    }
  }
};

/// One that is asked for something twice, and stopped by the last who asked.
template <class A>
struct Requests : rl::test_suite<Requests<A>, 3> {
  Wakeup<A> wakeup;
  typename A::template Atomic<unsigned> asked;
  rl::var<unsigned> served;

  Requests() { asked.store(0, A::kRelaxed); }
  void before() { served($) = 0; }
  void thread(unsigned index) {
    if (index != kSleeper) {
      const bool is_last = asked.fetch_add(1, A::kAcquireRelease) == 1;
      wakeup.request();
      if (is_last) wakeup.stop();
      return;
    }
    while (wakeup.sleep()) {
      if (wakeup.take_request()) served($) = asked.load(A::kRelaxed);
    }
    RL_ASSERT(!wakeup.sleep_until(0));
  }
};

// --- Faults

struct EngineSteps : ModelAtomics {
  static const bool kFailsLate = false;
};
struct NobodyIsWoken : EngineSteps {
  struct CondVar : ModelAtomics::CondVar {
    void notify_all() {}
  };
};
/// Who sees what is durable has not seen that it was written: its memory is not free yet.
struct RelaxedDurable : EngineSteps {
  static const rl::memory_order kRelease = rl::mo_relaxed;
};
/// The next sync may begin before the failure of the last one is known.
struct LateFailure : EngineSteps {
  static const bool kFailsLate = true;
};
/// Who leaves something and who disarms do not see what the other has done.
struct LostOrder : NotSequential {
  static const bool kFailsLate = false;
};
/// Who wakes does not pass through the mutex, and the sleeper may be about to sleep.
struct WakesPastTheMutex : EngineSteps {
  class Mutex : public ModelAtomics::Mutex {
   public:
    void lock() {
      if (this_thread() == kSleeper) ModelAtomics::Mutex::lock();
    }
    void unlock() {
      if (this_thread() == kSleeper) ModelAtomics::Mutex::unlock();
    }
  };
};

template <class A>
bool commits(const ModelRun& run) {
  return run.simulate<Committers<A>>() && run.simulate<FailingDisk<A>>();
}
template <class A>
bool wakes(const ModelRun& run) {
  return run.simulate<LeftTwice<A>>() && run.simulate<Requests<A>>();
}
template <class A>
bool holds(const ModelRun& run) {
  return commits<A>(run) && run.simulate<LeftToTheFlusher<A>>() && wakes<A>(run);
}

}  // namespace
}  // namespace vaultgres

int main(int count, char** words) {
  using namespace vaultgres;
  return model_main("group_commit", count, words,
                    {{"", holds<EngineSteps>},
                     {"nobody_is_woken", commits<NobodyIsWoken>},
                     {"relaxed_durable", commits<RelaxedDurable>},
                     {"late_failure", commits<LateFailure>},
                     {"not_sequential", wakes<LostOrder>},
                     {"wakes_past_the_mutex", wakes<WakesPastTheMutex>}});
}
