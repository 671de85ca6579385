// VG_CHECK and VG_DCHECK: we are wrong, not the world. Never on disk bytes or system calls.
#pragma once

namespace vaultgres {
/// Prints file, line, condition and message to standard error, then aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message) noexcept;
}  // namespace vaultgres

/// Always on: going on could damage data.
#define VG_CHECK(condition, message)                   \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::vaultgres::check_failed(__FILE__, __LINE__, #condition, message))

/// On in debug, sanitizer and test builds (VG_DEBUG_CHECKS).
#ifdef VG_DEBUG_CHECKS
#define VG_DCHECK(condition, message) VG_CHECK(condition, message)
#else
#define VG_DCHECK(condition, message) static_cast<void>(sizeof(static_cast<bool>(condition)))
#endif
