// Names of maps, tables, indexes and columns.
#pragma once

#include <cstddef>
#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres {

/// 1 to `bytes_max` bytes of UTF-8 without control characters.
Status check_name_text(std::string_view name, std::size_t bytes_max);

/// The same for maps, tables and indexes: 1 to 255 bytes. Names are keys of the catalog: one namespace for all.
Status check_name(std::string_view name);

}  // namespace vaultgres
