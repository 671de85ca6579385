// Checks of what callers pass in.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string_view>

#include "btree/node.h"
#include "vaultgres/options.h"

namespace vaultgres::internal {

/// Of a key or value. Before a call has begun: finds no memory for the text without throwing.
inline Error too_large(const char* what, std::size_t bytes, std::size_t bytes_max) noexcept {
  char text[100];
  std::snprintf(text, sizeof text, "the %s has %zu bytes; at most %zu are allowed", what, bytes, bytes_max);
  return Error(ErrorCode::kTooLarge, static_cast<const char*>(text));
}

inline Status check_key(std::string_view key) {
  if (key.size() <= kKeyBytesMax) [[likely]]
    return {};
  return too_large("key", key.size(), kKeyBytesMax);
}

inline Status check_value(std::string_view value) {
  if (value.size() <= kMaxValueBytes) [[likely]]
    return {};
  return too_large("value", value.size(), kMaxValueBytes);
}

}  // namespace vaultgres::internal
