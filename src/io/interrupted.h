// Calls that a signal has interrupted are made again, in one place.
#pragma once

#include <cerrno>

#include "io/file.h"

namespace vaultgres {

/// More often in a row no signal interrupts a call by chance: then it is an error like any other, and not a hang.
inline constexpr unsigned kInterruptionsMax = 10'000;

inline bool was_interrupted(int os_error) noexcept {
  return os_error == EINTR;
}
inline bool was_interrupted(const IoAttempt& attempt) noexcept {
  return attempt.os_error == EINTR;
}

/// The answer of `call()`, an errno or an attempt of a transfer: the first that is not EINTR, or the last.
template <class Call>
auto uninterrupted(Call&& call) -> decltype(call()) {
  auto answer = call();
  for (unsigned times = 1; was_interrupted(answer) && times < kInterruptionsMax; ++times) answer = call();
  return answer;
}

}  // namespace vaultgres
