// Takes an input of a fuzz target apart, from the front. Behind its end there are zeros, so that every input is one.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/little.h"
#include "support/test_page.h"

namespace vaultgres::fuzz {

class InputReader {
 public:
  explicit InputReader(Bytes input) noexcept : rest_(input) {}

  bool at_end() const noexcept { return rest_.empty(); }
  Bytes rest() const noexcept { return rest_; }

  template <std::unsigned_integral T>
  T integer() noexcept {
    std::byte bytes[sizeof(T)] = {};
    const Bytes taken = take(sizeof bytes);
    if (!taken.empty()) std::memcpy(bytes, taken.data(), taken.size());
    return load_little<T>(bytes);
  }
  std::uint8_t byte() noexcept { return integer<std::uint8_t>(); }
  /// 0 to n - 1; n > 0.
  unsigned below(unsigned n) noexcept { return integer<std::uint16_t>() % n; }
  bool one_in(unsigned n) noexcept { return byte() % n == 0; }
  bool flag() noexcept { return (byte() & 1) != 0; }
  /// So many bytes, or as many as are left.
  Bytes take(std::size_t bytes) noexcept {
    const Bytes taken = rest_.first(std::min(bytes, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  /// Up to `bytes_max` bytes behind their length.
  std::string text(unsigned bytes_max) { return std::string(as_text(take(below(bytes_max + 1)))); }
  /// A page: what is missing is zeros.
  TestPage page() {
    TestPage page;
    const Bytes taken = take(kPageBytes);
    if (!taken.empty()) std::memcpy(page.bytes().data(), taken.data(), taken.size());
    return page;
  }

 private:
  Bytes rest_;
};

/// The same bytes in an allocation of their own: the address sanitizer sees a look beyond.
inline std::vector<std::byte> exact_copy(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}

inline bool lies_within(Bytes part, Bytes whole) noexcept {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace vaultgres::fuzz
