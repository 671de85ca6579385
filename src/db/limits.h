// Checks of what callers pass in.
#pragma once

#include <string>
#include <string_view>

#include "btree/node.h"
#include "vaultgres/options.h"

namespace vaultgres::internal {

inline Status check_key(std::string_view key) {
  if (key.size() <= kKeyBytesMax) [[likely]]
    return {};
  return Error(ErrorCode::kTooLarge, "the key has " + std::to_string(key.size()) + " bytes; at most " +
                                         std::to_string(kKeyBytesMax) + " are allowed");
}

inline Status check_value(std::string_view value) {
  if (value.size() <= kMaxValueBytes) [[likely]]
    return {};
  return Error(ErrorCode::kTooLarge, "the value has " + std::to_string(value.size()) + " bytes; at most " +
                                         std::to_string(kMaxValueBytes) + " are allowed");
}

}  // namespace vaultgres::internal
