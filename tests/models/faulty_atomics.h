// Faults that several models are given: what the protocols are written in, with one order less than they ask for.
#pragma once

#include "models/relacy_atomics.h"

namespace vaultgres {

struct NoReadFence : ModelAtomics {
  static void fence(rl::memory_order order) {
    if (order == rl::mo_release) ModelAtomics::fence(order);
  }
};
struct NoWriteFence : ModelAtomics {
  static void fence(rl::memory_order order) {
    if (order == rl::mo_acquire) ModelAtomics::fence(order);
  }
};
struct RelaxedRelease : ModelAtomics {
  static const rl::memory_order kRelease = rl::mo_relaxed;
};
/// What is sequentially consistent only acquires and releases: of two who each write and then look at what the other
/// writes, neither may see it.
struct NotSequential : ModelAtomics {
  template <class T>
  struct Atomic : ModelAtomic<T> {
    using ModelAtomic<T>::ModelAtomic;
    T load(rl::memory_order order) const {
      return ModelAtomic<T>::load(order == rl::mo_seq_cst ? rl::mo_acquire : order);
    }
    void store(T value, rl::memory_order order) {
      ModelAtomic<T>::store(value, order == rl::mo_seq_cst ? rl::mo_release : order);
    }
  };
};

}  // namespace vaultgres
