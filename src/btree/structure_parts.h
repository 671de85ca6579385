// Parts that the records of several structure changes have in common. Within btree/*.cc only.
#pragma once

#include <array>

#include "base/little.h"
#include "base/payload_buffer.h"
#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "format/node.h"

namespace vaultgres {

using PageBuffer = std::array<std::byte, kPageBytes>;

/// The page as it will be, whole. `payload` is scratch room.
inline void add_image(MiniTxn& mini, ExclusiveGuard& page, Bytes image, PayloadBuffer& payload) {
  payload.clear();
  encode_page_image(payload, image);
  mini.add(page, PageOp::kImage, payload.bytes());
}

/// What an internal node holds of a child.
inline std::array<std::byte, kChildBytes> child_value(PageId id) {
  std::array<std::byte, kChildBytes> value{};
  store_little(value.data(), raw(id));
  return value;
}

}  // namespace vaultgres
