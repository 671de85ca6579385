// Goal: whoever holds a latch exclusively is alone, whoever reads optimistically and validates has read the state of
// one instant, and whoever waits goes on, whatever the schedule and whatever the memory model lets a processor reorder.
//
// Method: buffer/latch.h compiled with Relacy's atomics. A writer changes two words under an exclusive latch; another
// does the same; a reader reads them under a shared latch, and one more optimistically; and others take it again and
// again. Relacy says when a thread sleeps that nobody will wake. MUTANT names a fault that is put into the atomics, or
// a seeded bug; then a failure is expected.
#include "models/faulty_atomics.h"
#include "models/model_main.h"
#include "models/relacy_atomics.h"
// Then the engine's, which the models can give a seeded bug.
#include "buffer/latch.h"

namespace vaultgres {
namespace {

template <class A>
struct Page {
  BasicLatch<A> latch;
  typename BasicLatch<A>::Queue queue;
  typename A::template Atomic<unsigned> first, second;  // read while they may be written

  Page() { latch.reset(), first.store(0, A::kRelaxed), second.store(0, A::kRelaxed); }
  void change() {
    first.store(first.load(A::kRelaxed) + 1, A::kRelaxed);
    second.store(second.load(A::kRelaxed) + 1, A::kRelaxed);
  }
};

/// Two who change the page, one who reads it under a shared latch, one who reads it without.
template <class A>
struct Readers : rl::test_suite<Readers<A>, 4> {
  Page<A> page;
  rl::var<unsigned> owned;  // Relacy knows about races on it

  void before() { owned($) = 0; }
  void thread(unsigned index) {
    if (index < 2) {
      page.latch.lock_exclusive(page.queue);
      owned($) = owned($) + 1;
      page.change();
      page.latch.unlock_exclusive(page.queue);
    } else if (index == 2) {
      page.latch.lock_shared(page.queue);
      RL_ASSERT(page.first.load(A::kRelaxed) == owned($) && page.second.load(A::kRelaxed) == owned($));
      page.latch.unlock_shared(page.queue);
    } else {
      const std::uint64_t word = page.latch.begin_read();
      if (page.latch.is_exclusive(word)) return;
      const unsigned first = page.first.load(A::kRelaxed);
      const unsigned second = page.second.load(A::kRelaxed);
      if (page.latch.validate(page.latch.version_of(word))) RL_ASSERT(first == second);
    }
  }
  void after() {
    RL_ASSERT(owned($) == 2 && page.first.load(A::kRelaxed) == 2 && page.latch.peek() == std::uint64_t{2} << 8);
  }
};

/// One who upgrades what he has read, one who changes it, two who share it.
template <class A>
struct Upgrade : rl::test_suite<Upgrade<A>, 4> {
  Page<A> page;
  rl::var<unsigned> owned;

  void before() { owned($) = 0; }
  void thread(unsigned index) {
    if (index == 0) {
      const std::uint64_t word = page.latch.begin_read();
      if (page.latch.is_exclusive(word)) return;
      const unsigned first = page.first.load(A::kRelaxed);
      if (!page.latch.try_exclusive_at(page.latch.version_of(word))) return;
      RL_ASSERT(page.first.load(A::kRelaxed) == first && owned($) == first);
      page.latch.unlock_exclusive_unchanged(page.queue);
    } else if (index == 1) {
      page.latch.lock_exclusive(page.queue);
      owned($) = owned($) + 1;
      page.change();
      page.latch.unlock_exclusive(page.queue);
    } else {
      page.latch.lock_shared(page.queue);
      RL_ASSERT(page.first.load(A::kRelaxed) == owned($));  // Relacy: before who writes it next
      page.latch.unlock_shared(page.queue);
    }
  }
  void after() { RL_ASSERT(page.latch.peek() == std::uint64_t{1} << 8); }
};

/// Two who want it exclusive and two who want it shared; one of each comes a second time, and may be faster than whom
/// he has woken.
template <class A>
struct Again : rl::test_suite<Again<A>, 4> {
  Page<A> page;
  rl::var<unsigned> owned;

  void before() { owned($) = 0; }
  void thread(unsigned index) {
    for (unsigned time = 0; time <= index % 2; ++time) {
      if (index < 2) {
        page.latch.lock_exclusive(page.queue);
        owned($) = owned($) + 1;
        page.latch.unlock_exclusive(page.queue);
      } else {
        page.latch.lock_shared(page.queue);
        RL_ASSERT(owned($) <= 3);
        page.latch.unlock_shared(page.queue);
      }
    }
  }
  void after() { RL_ASSERT(owned($) == 3 && page.latch.peek() == std::uint64_t{3} << 8); }
};

// --- Faults

/// The last of those who share it releases it alone: not what the others have read.
struct StoredRelease : ModelAtomics {
  static const rl::memory_order kAcquireRelease = rl::mo_release;
};
struct NobodyIsWoken : ModelAtomics {
  struct CondVar : ModelAtomics::CondVar {
    void notify() {}
  };
};

template <class A>
bool holds(const ModelRun& run) {
  return run.simulate<Readers<A>>() && run.simulate<Upgrade<A>>() && run.simulate<Again<A>>();
}

}  // namespace
}  // namespace vaultgres

int main(int count, char** words) {
  using namespace vaultgres;
  return model_main("latch", count, words,
                    {{"", holds<ModelAtomics>},
                     {"no_read_fence", holds<NoReadFence>},
                     {"no_write_fence", holds<NoWriteFence>},
                     {"relaxed_release", holds<RelaxedRelease>},
                     {"stored_release", holds<StoredRelease>},
                     {"nobody_is_woken", holds<NobodyIsWoken>},
                     {"kSleepersForgotten", holds<ModelAtomics>}});
}
