// Randomness for tests: the seed is printed once per process and can be given back in VG_SEED.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/types.h"

namespace vaultgres {

/// VG_SEED, or a random number; the same in the whole process. Printed at the first call.
inline std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("VG_SEED");
    std::random_device device;
    const std::uint64_t value =
        given != nullptr ? std::strtoull(given, nullptr, 0) : std::uint64_t{device()} << 32 | device();
    std::printf("VG_SEED=%llu\n", static_cast<unsigned long long>(value));
    std::fflush(stdout);
    return value;
  }();
  return seed;
}

/// One thread at a time. Equal seeds give equal sequences on every machine.
class TestRandom {
 public:
  TestRandom() : TestRandom(0) {}
  /// `stream` tells several generators of one test (threads, rounds) apart.
  explicit TestRandom(std::uint64_t stream) : engine_(test_seed() + stream * 0x9E3779B97F4A7C15u) {}
  /// A fixed seed that VG_SEED does not change.
  static TestRandom of_seed(std::uint64_t seed) {
    TestRandom random(NotSeeded{});
    random.engine_.seed(seed);
    return random;
  }

  std::uint64_t next() { return engine_(); }
  /// 0 to n - 1; n > 0.
  std::uint64_t uniform(std::uint64_t n) { return engine_() % n; }
  /// first to last, both included.
  std::uint64_t between(std::uint64_t first, std::uint64_t last) { return first + uniform(last - first + 1); }
  bool one_in(std::uint64_t n) { return uniform(n) == 0; }
  /// 0 to 1, without 1.
  double fraction() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  std::string bytes(std::size_t length) {
    std::string text(length, '\0');
    for (char& c : text) c = static_cast<char>(engine_());
    return text;
  }
  /// Lower-case letters.
  std::string word(std::size_t length) {
    std::string text(length, '\0');
    for (char& c : text) c = static_cast<char>('a' + uniform(26));
    return text;
  }
  /// 0 to n - 1, small numbers more often: P(k) falls about as 1 / (k + 1).
  std::uint64_t zipf(std::uint64_t n) {
    const double value = std::exp(fraction() * std::log(static_cast<double>(n) + 1.0)) - 1.0;
    const auto rank = static_cast<std::uint64_t>(value);
    return rank < n ? rank : n - 1;
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[uniform(i)]);
  }

 private:
  struct NotSeeded {};
  explicit TestRandom(NotSeeded) {}
  std::mt19937_64 engine_;
};

}  // namespace vaultgres
