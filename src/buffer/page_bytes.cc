// Copies between frames and private memory. Under ThreadSanitizer they are word-atomic: optimistic readers
// load with acquire, writers store with release, so that the latch word orders them without fences.
#include <cstring>

#include "buffer/pool_impl.h"

namespace vaultgres {

#ifdef VG_WORD_ATOMIC_PAGES

void load_page_bytes(const std::byte* frame, std::byte* into) noexcept {
  for (std::size_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = __atomic_load_n(reinterpret_cast<const std::uint64_t*>(frame + at), __ATOMIC_ACQUIRE);
    std::memcpy(into + at, &word, sizeof word);
  }
}

void store_page_bytes(std::byte* frame, const std::byte* from) noexcept {
  for (std::size_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, from + at, sizeof word);
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(frame + at), word, __ATOMIC_RELEASE);
  }
}

#else

void load_page_bytes(const std::byte* frame, std::byte* into) noexcept {
  std::memcpy(into, frame, kPageBytes);
}
void store_page_bytes(std::byte* frame, const std::byte* from) noexcept {
  std::memcpy(frame, from, kPageBytes);
}

#endif

}  // namespace vaultgres
