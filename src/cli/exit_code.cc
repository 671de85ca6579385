#include "cli/exit_code.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

/// What the user can do about it; empty where the message says it.
std::string_view advice(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kConflict:
      return "run the command again";
    case ErrorCode::kNoSpace:
      return "make room and run the command again";
    case ErrorCode::kCorruption:
      return "`vaultgres salvage` copies what can be read of a damaged database into a new one";
    case ErrorCode::kLocked:
      return "close the program that has it open, or wait for it";
    case ErrorCode::kPoisoned:
      return "run the command again: opening the database recovers it";
    case ErrorCode::kUnsupported:
      return "use the version of vaultgres that wrote it";
    default:
      return "";
  }
}

}  // namespace

ExitCode exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kTooLarge:
    case ErrorCode::kClosed:
    case ErrorCode::kReadOnly:
    case ErrorCode::kUnsupported:
      return ExitCode::kUsage;
    case ErrorCode::kCorruption:
      return ExitCode::kCorruption;
    case ErrorCode::kNoSpace:
    case ErrorCode::kIo:
    case ErrorCode::kPoisoned:
    case ErrorCode::kOutOfMemory:
      return ExitCode::kIo;
    case ErrorCode::kLocked:
      return ExitCode::kLocked;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kDuplicateKey:
    case ErrorCode::kConflict:
      return ExitCode::kConflict;
    case ErrorCode::kNotFound:
      return ExitCode::kNotFound;
  }
  return ExitCode::kUsage;
}

void report_error(const Error& error) {
  const std::string_view what_to_do = advice(error.code());
  const std::string text = escape_for_display(error.message());
  fmt::print(stderr, "vaultgres: {}{}{}\n", text, what_to_do.empty() ? "" : "; ", what_to_do);
}

void report_note(std::string_view text) {
  fmt::print(stderr, "vaultgres: {}\n", escape_for_display(text));
}

}  // namespace vaultgres::cli
