#include "format/page.h"

#include <algorithm>

#include "base/crc32c.h"

namespace vaultgres {

std::uint64_t page_checksum(const DatabaseId& database, PageId id, Bytes page) noexcept {
  std::byte number[4];
  store_little(number, raw(id));
  std::uint32_t crc = crc32c(0xFFFFFFFFu, database.bytes);
  crc = crc32c(crc, number);
  crc = crc32c(crc, page.first(offsetof(PageHeader, checksum)));
  return crc32c(crc, page.subspan(offsetof(PageHeader, object)));
}

bool page_is_zero(Bytes page) noexcept {
  return std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace vaultgres
