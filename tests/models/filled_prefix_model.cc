// Goal: who sees that the log is filled up to some position sees all that was written below; and when everybody has
// finished, it is filled up to its end. Whatever the schedule and whatever the memory model lets a processor reorder.
//
// Method: wal/filled_prefix.h compiled with Relacy's atomics, with fewer slots than threads. Three write their places,
// one of them only if it finds room, and read what is filled then; one pads, as a flush does, waits, and reads. Relacy
// says when what is read is being written. MUTANT names a fault that is put into the atomics; then a failure is
// expected.
#include "models/faulty_atomics.h"
#include "models/model_main.h"
#include "models/relacy_atomics.h"
#include "wal/filled_prefix.h"

namespace vaultgres {
namespace {

constexpr unsigned kPositions = 8;

template <class A>
struct Writers : rl::test_suite<Writers<A>, 4> {
  using Prefix = FilledPrefix<A, 2>;
  Prefix prefix{0};
  rl::var<unsigned> contents[kPositions];

  void before() {
    for (auto& content : contents) content($) = 0;
  }
  void thread(unsigned index) {
    if (index < 3) {
      write(index, index == 1 ? 2 : 1, index == 2 ? 3 : kPositions);
      read(prefix.filled());
    } else {
      const std::uint64_t end = prefix.skip([](std::uint64_t from) { return (from + 1) / 2 * 2; });
      prefix.wait_until_filled(end);
      read(end);
      prefix.wait_until_filled((end + 1) / 2 * 2);
      RL_ASSERT(prefix.filled() >= (end + 1) / 2 * 2);
    }
  }
  void after() { RL_ASSERT(prefix.filled() == prefix.end()); }

  void write(unsigned home, unsigned length, unsigned room) {
    typename Prefix::Place place;
    const auto end_of = [&](std::uint64_t begin) { return begin + length <= room ? begin + length : Prefix::kNoRoom; };
    if (!prefix.reserve(home, end_of, &place)) return;
    for (std::uint64_t at = place.begin; at < place.end; ++at) contents[at]($) = 1;
    prefix.complete(place);
  }
  void read(std::uint64_t end) {
    unsigned empty = 0;
    for (std::uint64_t at = 0; at < end; ++at) empty += contents[at]($) == 0 ? 1 : 0;
    RL_ASSERT(empty <= 1);  // what was padded
  }
};

/// Two whose places are one behind the other, and who waits for both: nobody but them raises what is filled.
template <class A>
struct TwoAtOnce : rl::test_suite<TwoAtOnce<A>, 3> {
  using Prefix = FilledPrefix<A, 2>;
  Prefix prefix{0};
  rl::var<unsigned> contents[2];

  void thread(unsigned index) {
    if (index < 2) {
      typename Prefix::Place place;
      prefix.reserve(
          index, [](std::uint64_t begin) { return begin + 1; }, &place);
      contents[place.begin]($) = 1;
      prefix.complete(place);
    } else {
      while (prefix.filled() < 2) A::pause();
      RL_ASSERT(contents[0]($) + contents[1]($) == 2);
    }
  }
};

/// Each has a slot of its own, so that one may leave it to another, and he to the third, to raise what is filled.
template <class A>
struct ThreeAtOnce : rl::test_suite<ThreeAtOnce<A>, 3> {
  using Prefix = FilledPrefix<A, 3>;
  Prefix prefix{0};
  rl::var<unsigned> contents[6];

  void before() {
    for (auto& content : contents) content($) = 0;
  }
  void thread(unsigned index) {
    for (unsigned i = 0; i < 2; ++i) {
      typename Prefix::Place place;
      prefix.reserve(
          index, [](std::uint64_t begin) { return begin + 1; }, &place);
      contents[place.begin]($) = 1;
      prefix.complete(place);
    }
    const std::uint64_t filled = prefix.filled();
    for (std::uint64_t at = 0; at < filled; ++at) RL_ASSERT(contents[at]($) == 1);
  }
  void after() { RL_ASSERT(prefix.filled() == 6 && prefix.end() == 6); }
};

/// One slot for two; while the second claims it, somebody pads. Who looks may find in it what the second says.
template <class A>
struct SlotReused : rl::test_suite<SlotReused<A>, 3> {
  using Prefix = FilledPrefix<A, 1>;
  Prefix prefix{0};
  rl::var<unsigned> contents[4];

  void thread(unsigned index) {
    if (index < 2) {
      typename Prefix::Place place;
      const auto end_of = [&](std::uint64_t begin) {
        if (begin == 1) prefix.skip([](std::uint64_t) { return std::uint64_t{2}; });
        return begin + 1;
      };
      prefix.reserve(0, end_of, &place);
      contents[place.begin]($) = 1;
      prefix.complete(place);
    } else {
      prefix.wait_until_filled(1);
      RL_ASSERT(contents[0]($) == 1);
    }
  }
  void after() { RL_ASSERT(prefix.filled() == 3 && prefix.end() == 3); }
};

// --- Faults

/// A slot is freed before what was written is there.
struct EarlyFree : ModelAtomics {
  template <class T>
  struct Atomic : ModelAtomic<T> {
    void store(T value, rl::memory_order order) {
      ModelAtomic<T>::store(value, order == kSequential ? rl::mo_relaxed : order);
    }
  };
};
struct RelaxedRaise : ModelAtomics {
  static const rl::memory_order kAcquireRelease = rl::mo_acquire;
};
struct RelaxedRead : ModelAtomics {
  static const rl::memory_order kAcquire = rl::mo_relaxed;
};
template <class A>
bool holds(const ModelRun& run) {
  return run.simulate<Writers<A>>() && run.simulate<TwoAtOnce<A>>() && run.simulate<ThreeAtOnce<A>>() &&
         run.simulate<SlotReused<A>>();
}

}  // namespace
}  // namespace vaultgres

int main(int count, char** words) {
  using namespace vaultgres;
  return model_main("filled_prefix", count, words,
                    {{"", holds<ModelAtomics>},
                     {"not_sequential", holds<NotSequential>},
                     {"early_free", holds<EarlyFree>},
                     {"relaxed_raise", holds<RelaxedRaise>},
                     {"relaxed_read", holds<RelaxedRead>}});
}
