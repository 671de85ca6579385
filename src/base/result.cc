#include "vaultgres/result.h"

#include <cstdio>
#include <cstdlib>

namespace vaultgres {

std::string_view error_code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAlreadyExists:
      return "already_exists";
    case ErrorCode::kDuplicateKey:
      return "duplicate_key";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kTooLarge:
      return "too_large";
    case ErrorCode::kNoSpace:
      return "no_space";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kCorruption:
      return "corruption";
    case ErrorCode::kLocked:
      return "locked";
    case ErrorCode::kClosed:
      return "closed";
    case ErrorCode::kReadOnly:
      return "read_only";
    case ErrorCode::kPoisoned:
      return "poisoned";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
  }
  return "unknown";
}

Error::Error(ErrorCode code, std::string message, int os_error) noexcept : os_error_(os_error), code_(code) {
  try {
    message_ = std::make_shared<const std::string>(std::move(message));
  } catch (...) {
    message_ = nullptr;  // message() then answers with the code's name
  }
}

Error::Error(ErrorCode code, const char* message, int os_error) noexcept : os_error_(os_error), code_(code) {
  try {
    message_ = std::make_shared<const std::string>(message);
  } catch (...) {
    message_ = nullptr;
  }
}

std::string_view Error::message() const noexcept {
  return message_ ? std::string_view(*message_) : error_code_name(code_);
}

Error Error::with_context(std::string_view context) const noexcept {
  try {
    return Error(code_, std::string(context) + ": " + std::string(message()), os_error_);
  } catch (...) {
    return *this;
  }
}

void internal::die_of_unchecked_error(const Error& error) noexcept {
  const std::string_view code = error_code_name(error.code());
  const std::string_view text = error.message();
  std::fprintf(stderr, "vaultgres: a Result was used without a check; it held the error %.*s: %.*s\n",
               static_cast<int>(code.size()), code.data(), static_cast<int>(text.size()), text.data());
  std::abort();
}

}  // namespace vaultgres
