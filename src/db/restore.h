// restore() on any file system.
#pragma once

#include <string>

#include "io/file.h"
#include "vaultgres/backup.h"

namespace vaultgres::internal {

Result<RestoreReport> restore(FileSystem& files, const std::string& backup, const std::string& target,
                              const RestoreOptions& options);

}  // namespace vaultgres::internal
