// How the program ends: exit codes, and the one line on standard error that says why.
#pragma once

#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres::cli {

enum class ExitCode : int {
  kOk = 0,
  kUsage = 1,          ///< the command line or its input
  kCorruption = 2,     ///< damage was found
  kIo = 3,             ///< the system refused something, or no space or memory
  kLocked = 4,         ///< another process has the database open
  kConflict = 5,       ///< a constraint, or another transaction
  kNotFound = 6,       ///< no such database, map, key or page
  kInterrupted = 130,  ///< by Ctrl-C, as shells say it
};

ExitCode exit_code_of(ErrorCode code) noexcept;

/// Prints "vaultgres: WHAT, WHERE; WHAT TO DO" to standard error.
void report_error(const Error& error);
void report_note(std::string_view text);

}  // namespace vaultgres::cli
