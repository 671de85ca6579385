// One piece of work in several threads, which end with it: for waiting at a disk that answers many at once as fast as
// one.
#pragma once

#include "base/function_ref.h"

namespace vaultgres {

inline constexpr unsigned kPartsMax = 16;

/// Calls part(0) to part(parts - 1), at most kPartsMax, each in a thread of its own but for part(0), which the caller's
/// does, and those for which there is no thread. Returns when all are done, or throws the first exception of one.
void in_parallel(unsigned parts, FunctionRef<void(unsigned part)> part);

}  // namespace vaultgres
