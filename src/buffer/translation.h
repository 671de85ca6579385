// The translation array: an entry for each page id.
#pragma once

#include "base/std_atomics.h"
#include "buffer/residency.h"

namespace vaultgres {

using Latch = BasicLatch<StdAtomics>;

/// Where those who wait for it sleep; some latches share one.
Latch::Queue& latch_queue(const Latch& latch) noexcept;

using Translation = BasicTranslation<StdAtomics>;
static_assert(sizeof(Translation) == 16);

}  // namespace vaultgres
