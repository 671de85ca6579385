// How a failed system call becomes an Error: one place for codes and wording.
#pragma once

#include <string>
#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres {

/// "PATH: WHAT failed: <the system's text for os_error>". ENOSPC, EDQUOT and EFBIG become kNoSpace, ENOENT
/// kNotFound, EEXIST kAlreadyExists, everything else kIo.
Error io_error(std::string_view path, std::string_view what, int os_error);

}  // namespace vaultgres
