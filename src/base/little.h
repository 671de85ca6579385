// Little-endian integers of alignment 1: the only field types of persisted structures.
//
// get() loads the bytes once, by memcpy, and launders the value, so that the compiler cannot load the
// same field a second time. Optimistic readers depend on it: a length that was checked against a bound
// is the length that is used, even when a writer changes the page in between.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vaultgres {

template <std::unsigned_integral T>
constexpr T byte_swap_if_big(T value) noexcept {
  if constexpr (std::endian::native == std::endian::little || sizeof(T) == 1) {
    return value;
  } else if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    return __builtin_bswap64(value);
  }
}

/// Loads a little-endian T from any address, exactly once.
template <std::unsigned_integral T>
inline T load_little(const void* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  asm("" : "+r"(value));  // the value is now the compiler's only copy: it cannot reload it
  return byte_swap_if_big(value);
}

template <std::unsigned_integral T>
inline void store_little(void* to, T value) noexcept {
  value = byte_swap_if_big(value);
  std::memcpy(to, &value, sizeof value);
}

/// Loads a big-endian T (the byte order of keys) from any address, exactly once.
template <std::unsigned_integral T>
inline T load_big(const void* from) noexcept {
  T value = load_little<T>(from);
  if constexpr (sizeof(T) == 1)
    return value;
  else if constexpr (sizeof(T) == 2)
    return __builtin_bswap16(value);
  else if constexpr (sizeof(T) == 4)
    return __builtin_bswap32(value);
  else
    return __builtin_bswap64(value);
}

template <std::unsigned_integral T>
inline void store_big(void* to, T value) noexcept {
  if constexpr (sizeof(T) == 2)
    value = __builtin_bswap16(value);
  else if constexpr (sizeof(T) == 4)
    value = __builtin_bswap32(value);
  else if constexpr (sizeof(T) == 8)
    value = __builtin_bswap64(value);
  store_little(to, value);
}

template <std::unsigned_integral T>
class Little {
 public:
  Little() = default;
  T get() const noexcept { return load_little<T>(bytes_); }
  void set(T value) noexcept { store_little(bytes_, value); }

 private:
  std::byte bytes_[sizeof(T)];
};

using LittleU8 = Little<std::uint8_t>;
using LittleU16 = Little<std::uint16_t>;
using LittleU32 = Little<std::uint32_t>;
using LittleU64 = Little<std::uint64_t>;
static_assert(sizeof(LittleU64) == 8 && alignof(LittleU64) == 1);

}  // namespace vaultgres
