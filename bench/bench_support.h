// What benchmarks share: keys, clocks, and the end when something goes wrong.
#pragma once

#include <errno.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "vaultgres/result.h"

namespace bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

inline std::uint64_t mix(std::uint64_t x) {  // splitmix64: a bijection, so keys are distinct
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// Of 8 random bytes.
struct Key {
  char bytes[8];
  explicit Key(std::uint64_t number) {
    const std::uint64_t mixed = mix(number);
    std::memcpy(bytes, &mixed, 8);
  }
  std::string_view view() const { return {bytes, 8}; }
};

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what.c_str());
  std::exit(1);
}
template <class T>
T must(vaultgres::Result<T> result) {
  if (!result) die(std::string(result.error().message()));
  return *std::move(result);
}
inline void must(const vaultgres::Status& status) {
  if (!status) die(std::string(status.error().message()));
}

}  // namespace bench
