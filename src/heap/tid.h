// TIDs: where a row lives. The table is known from the context.
#pragma once

#include <array>
#include <compare>

#include "base/check.h"
#include "base/little.h"
#include "base/types.h"
#include "format/heap_page.h"

namespace vaultgres {

struct Tid {
  PageId page = kNoPage;
  std::uint16_t slot = 0;
  friend auto operator<=>(const Tid&, const Tid&) = default;
};

using TidBytes = std::array<std::byte, kTidBytes>;

inline TidBytes encode_tid(Tid tid) noexcept {
  TidBytes bytes{};
  store_big(bytes.data(), raw(tid.page));
  store_big(bytes.data() + sizeof(std::uint32_t), tid.slot);
  return bytes;
}
/// Precondition: kTidBytes bytes.
inline Tid decode_tid(Bytes bytes) noexcept {
  VG_DCHECK(bytes.size() == kTidBytes, "a TID has six bytes");
  return {PageId{load_big<std::uint32_t>(bytes.data())}, load_big<std::uint16_t>(bytes.data() + sizeof(std::uint32_t))};
}

}  // namespace vaultgres
