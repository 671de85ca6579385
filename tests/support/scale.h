// How much work a looping test does: VG_TEST_SCALE (1 by default; 0.1 under sanitizers, 100 for a soak).
#pragma once

#include <cstdint>
#include <cstdlib>

namespace vaultgres {

inline double test_scale() {
  const char* given = std::getenv("VG_TEST_SCALE");
  const double scale = given != nullptr ? std::strtod(given, nullptr) : 1.0;
  return scale > 0 ? scale : 1.0;
}

/// n times the scale, at least 1.
inline std::uint64_t scaled(std::uint64_t n) {
  const double result = static_cast<double>(n) * test_scale();
  return result < 1.0 ? 1 : static_cast<std::uint64_t>(result);
}

}  // namespace vaultgres
