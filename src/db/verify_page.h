// What can be checked of a page by itself once its checksum is right, whatever its type.
#pragma once

#include "base/types.h"
#include "vaultgres/result.h"

namespace vaultgres::internal {

/// kCorruption says what is wrong, or that no such page is met behind the superblocks.
Status verify_page(PageId id, Bytes page);

}  // namespace vaultgres::internal
