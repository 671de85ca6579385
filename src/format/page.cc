#include "format/page.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/seeded_bug.h"

namespace vaultgres {

std::uint32_t page_checksum_seed(const DatabaseId& database) noexcept {
  return crc32c(0xFFFFFFFFu, database.bytes);
}

std::uint64_t page_checksum(std::uint32_t seed, PageId id, Bytes page) noexcept {
  std::byte number[4];
  store_little(number, raw(id));
  std::uint32_t crc = VG_SEEDED_BUG(kChecksumUnseeded) ? 0xFFFFFFFFu : crc32c(seed, number);
  crc = crc32c(crc, page.first(offsetof(PageHeader, checksum)));
  return crc32c(crc, page.subspan(offsetof(PageHeader, object)));
}

bool page_is_zero(Bytes page) noexcept {
  return std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace vaultgres
