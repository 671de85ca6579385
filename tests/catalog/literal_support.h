// Bytes of a format, written as a literal that may hold zeros.
#pragma once

#include <string_view>

namespace vaultgres {

inline std::string_view view(const char* bytes, std::size_t size) {
  return {bytes, size};
}

}  // namespace vaultgres
