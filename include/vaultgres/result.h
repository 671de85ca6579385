// Result<T> and Error: how every fallible call of the library answers.
//
// The names are those of std::expected, so that code can move to it later. A Result must not be
// ignored. value(), * and -> on a Result that holds an error stop the program with the error's text:
// they never return rubbish and never throw.
//
// Thread safety: an Error is immutable and may be shared between threads; a Result is a plain value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace vaultgres {

/// What went wrong, as a program may act on it. The text of the Error says what, where and what to do.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  ///< the caller passed something that no state could accept
  kNotFound,         ///< no such map, table, index, key or file
  kAlreadyExists,    ///< the name is taken
  kDuplicateKey,     ///< the key is there already, in a map or a unique index
  kConflict,         ///< others hold what the call needs, or its caller ended it; try again
  kTooLarge,         ///< a key, row, value or transaction exceeds a documented limit
  kNoSpace,          ///< disk full or quota reached; nothing changed, retry when there is room
  kIo,               ///< the operating system refused a read, write or sync
  kCorruption,       ///< bytes on disk are not what was written
  kLocked,           ///< another process or handle has the database open
  kClosed,           ///< the database behind this handle was closed, or is the parent process's
  kReadOnly,         ///< the database is open read-only
  kPoisoned,         ///< an earlier write or sync failed; reopen the database
  kUnsupported,      ///< a newer file format, or a system that lacks something
  kOutOfMemory,      ///< memory for the call could not be had; nothing changed
};

/// The code's stable name, as programs read it: "not_found", "no_space", …
std::string_view error_code_name(ErrorCode code) noexcept;

class [[nodiscard]] Error {
 public:
  /// `os_error` is the errno behind it, or 0.
  Error(ErrorCode code, std::string message, int os_error = 0) noexcept;
  /// The same; finds no memory for the text without throwing.
  Error(ErrorCode code, const char* message, int os_error = 0) noexcept;

  ErrorCode code() const noexcept { return code_; }
  int os_error() const noexcept { return os_error_; }
  std::string_view message() const noexcept;

  /// The same error with `context` and ": " in front of its message.
  Error with_context(std::string_view context) const noexcept;

 private:
  std::shared_ptr<const std::string> message_;  // null when memory for the text could not be had
  int os_error_;
  ErrorCode code_;
};

namespace internal {
[[noreturn]] void die_of_unchecked_error(const Error& error) noexcept;
}

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & { return check(), *std::get_if<0>(&state_); }
  const T& value() const& { return check(), *std::get_if<0>(&state_); }
  T&& value() && { return check(), std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  template <class U>
  T value_or(U&& other) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(other));
  }

  /// Only when !has_value().
  const Error& error() const noexcept { return *std::get_if<1>(&state_); }

 private:
  void check() const noexcept {
    if (!has_value()) internal::die_of_unchecked_error(error());
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const noexcept {
    if (error_) internal::die_of_unchecked_error(*error_);
  }
  void operator*() const noexcept { value(); }
  /// Only when !has_value().
  const Error& error() const noexcept { return *error_; }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace vaultgres
