// Where those sleep who wait for a page's latch.
#include "buffer/latch.h"

#include <array>

#include "buffer/translation.h"

namespace vaultgres {

Latch::Queue& latch_queue(const Latch& latch) noexcept {
  struct alignas(64) Place {
    Latch::Queue queue;
  };
  static std::array<Place, 64> places;
  return places[reinterpret_cast<std::uintptr_t>(&latch) / sizeof(Translation) % places.size()].queue;
}

}  // namespace vaultgres
