// How a failed system call becomes an Error: one place for codes and wording.
#pragma once

#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// "PATH: WHAT failed: <the system's text for os_error>". ENOSPC, EDQUOT and EFBIG become kNoSpace, ENOENT
/// kNotFound, EEXIST kAlreadyExists, everything else kIo. Without memory for the text it says less, with the same code:
/// whoever must act on a failed write or sync learns of it.
Error io_error(std::string_view path, FunctionRef<std::string()> what, int os_error) noexcept;
Error io_error(std::string_view path, std::string_view what, int os_error) noexcept;

}  // namespace vaultgres
