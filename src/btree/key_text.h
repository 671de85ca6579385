// Keys in messages.
#pragma once

#include <algorithm>
#include <string>

#include "base/types.h"

namespace vaultgres {

/// The first bytes of a key, readable: "as text" when all of them are plain characters, else x'in hexadecimal'.
inline std::string key_text(Bytes key) {
  static constexpr std::size_t kBytesMax = 32;
  static constexpr char kHex[] = "0123456789abcdef";
  const Bytes shown = key.first(std::min(key.size(), kBytesMax));
  const bool plain = std::all_of(shown.begin(), shown.end(), [](std::byte b) {
    const auto c = std::to_integer<unsigned char>(b);
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
  std::string text = plain ? "\"" : "x'";
  for (const std::byte b : shown) {
    const auto c = std::to_integer<unsigned char>(b);
    if (plain) {
      text += static_cast<char>(c);
    } else {
      text += kHex[c >> 4];
      text += kHex[c & 15];
    }
  }
  if (key.size() > kBytesMax) text += "…";
  return text + (plain ? '"' : '\'');
}

}  // namespace vaultgres
