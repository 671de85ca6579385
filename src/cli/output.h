// Standard output, with the first failure kept: an answer that did not arrive is not a success.
#pragma once

#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres::cli {

void print(std::string_view text);
/// False once a write has failed: whoever streams may stop.
bool flush_output();
bool output_failed() noexcept;
bool output_is_terminal() noexcept;

/// Flushes. The first failure; a reader that closed its pipe is one, too (os_error EPIPE).
Status output_status();

}  // namespace vaultgres::cli
