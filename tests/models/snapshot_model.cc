// Goal: what a reader at its snapshot needs is thrown away by nobody until he is through, whatever the schedule and
// whatever the memory model lets a processor reorder.
//
// Method: txn/snapshot_slots.h compiled with Relacy's atomics, which tell of races. There is one thing for each
// snapshot that its readers need. Two commit, raise the floor and throw away what the answer says that nobody needs;
// two register and look at the thing of their snapshot, one of them twice. There is one slot, so that more are made
// meanwhile. MUTANT names a fault that is put into the atomics; then a failure is expected.
#include "models/faulty_atomics.h"
#include "models/model_main.h"
#include "models/relacy_atomics.h"
// Then the engine's, which the models can give a seeded bug.
#include "txn/snapshot_slots.h"

namespace vaultgres {
namespace {

template <class A>
struct Readers : rl::test_suite<Readers<A>, 4> {
  static constexpr unsigned kSnapshots = 3;
  SnapshotSlots<A> slots{1};
  typename A::template Atomic<std::uint64_t> newest;
  rl::var<bool> needed[kSnapshots];  // by readers at the snapshot
  typename A::Mutex collectors;

  void before() {
    for (rl::var<bool>& thing : needed) thing($) = true;
  }
  void thread(unsigned index) {
    if (index < 2) {
      newest.fetch_add(1, A::kAcquireRelease);
      collect();
    } else {
      for (unsigned times = 2; times <= index; ++times) read();
    }
  }
  void after() { RL_ASSERT(slots.held() == 0 && slots.raise_floor(2) == 2); }

  void read() {
    auto* const slot = slots.try_take(0);
    const std::uint64_t snapshot = slots.enter(*slot, [&] { return newest.load(A::kAcquire); });
    RL_ASSERT(needed[snapshot]($));
    slots.leave(*slot);
  }
  void collect() {
    const std::uint64_t oldest = slots.raise_floor(newest.load(A::kAcquire));
    collectors.lock();
    for (unsigned snapshot = 0; snapshot < oldest; ++snapshot) needed[snapshot]($) = false;
    collectors.unlock();
  }
};

// --- Faults

/// The floor is the only thing that is changed so.
struct FloorNotRaised : ModelAtomics {
  template <class T>
  struct Atomic : ModelAtomic<T> {
    using ModelAtomic<T>::ModelAtomic;
    bool compare_exchange_weak(T&, T, rl::memory_order, rl::memory_order) { return true; }
  };
};

template <class A>
bool holds(const ModelRun& run) {
  return run.simulate<Readers<A>>();
}

}  // namespace
}  // namespace vaultgres

int main(int count, char** words) {
  using namespace vaultgres;
  return model_main("snapshot", count, words,
                    {{"", holds<ModelAtomics>},
                     {"not_sequential", holds<NotSequential>},
                     {"floor_not_raised", holds<FloorNotRaised>},
                     {"relaxed_release", holds<RelaxedRelease>}});
}
