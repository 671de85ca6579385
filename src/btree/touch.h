// Asking for cache lines early, so that a reader waits for several at once.
#pragma once

#include <cstddef>

namespace vaultgres::node {

/// Loads the cache line of this byte. Nothing depends on the load, so the processor goes on without waiting for it. Not
/// a prefetch instruction: for the leaves of a large tree that had no effect that could be measured, perhaps because
/// the processor drops it when it has no address translation for the page at hand; a load had.
inline void touch(const std::byte* at) noexcept {
  static_cast<void>(*static_cast<const volatile std::byte*>(at));
}

/// The same by a prefetch instruction, for who has more to do than the processor can look ahead: a load that waits
/// keeps everything behind it from being finished.
inline void prefetch(const std::byte* at) noexcept {
  __builtin_prefetch(at);
}

}  // namespace vaultgres::node
