// A lost superblock, from the log.
//
// Of the two copies the newer one may be the one that cannot be read; then the log that the older one begins with may
// be gone. What a superblock says stands in a checkpoint record of the log, too, which is written first: the newest one
// that the log has is as good as a superblock.
#pragma once

#include <string>

#include "io/file.h"

namespace vaultgres::internal {

/// Writes, over the lost copy in `data`, the superblock of the newest checkpoint in the log, if that is newer than the
/// copy that is left. A log that cannot be read leaves things as they are.
Status restore_superblock(FileSystem& files, const std::string& log_directory, File& data);

}  // namespace vaultgres::internal
