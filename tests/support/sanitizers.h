// Which sanitizer watches the test program: GCC says so by macros, clang by features.
#pragma once

namespace vaultgres {

#if defined(__clang__)
inline constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
#ifdef __SANITIZE_THREAD__
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#endif

/// Memory, descriptors and times are not those of the product.
inline constexpr bool kSanitized = kThreadSanitizer || kAddressSanitizer;

}  // namespace vaultgres
