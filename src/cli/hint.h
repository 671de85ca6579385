// What to do about an error, behind its message.
#pragma once

#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres::cli {

/// "MESSAGE; HINT".
Error with_hint(const Error& error, std::string_view hint);
/// Only if the error has this code.
Error with_hint_if(ErrorCode code, const Error& error, std::string_view hint);

}  // namespace vaultgres::cli
