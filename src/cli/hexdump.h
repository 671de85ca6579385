// Bytes for the eye: sixteen a line, with offsets and characters; lines that repeat are one "*".
#pragma once

#include <string>

#include "base/types.h"

namespace vaultgres::cli {

std::string hexdump(Bytes bytes);

}  // namespace vaultgres::cli
