// What encoder and decoder of keys share. The format is described in key_encoding.h.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string_view>

namespace vaultgres {

inline constexpr char kKeyNull = 0;
inline constexpr char kKeyNotNull = 1;

inline constexpr std::string_view kKeyEscapedZero{"\x00\xFF", 2};
inline constexpr std::string_view kKeyTextEnd{"\x00\x00", 2};

template <std::unsigned_integral T>
constexpr T flip_sign(T value) noexcept {
  return static_cast<T>(value ^ T{1} << (8 * sizeof(T) - 1));
}

inline constexpr std::uint64_t kQuietNanBits = 0x7FF8000000000000;

inline std::uint64_t key_bits_of_double(double number) noexcept {
  if (std::isnan(number)) return flip_sign(kQuietNanBits);
  if (number == 0) number = 0;  // -0
  const auto bits = std::bit_cast<std::uint64_t>(number);
  return bits >> 63 != 0 ? ~bits : flip_sign(bits);
}

inline double double_of_key_bits(std::uint64_t bits) noexcept {
  return std::bit_cast<double>(bits >> 63 != 0 ? flip_sign(bits) : ~bits);
}

}  // namespace vaultgres
