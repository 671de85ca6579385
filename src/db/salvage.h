// Salvage between any two file systems, as tests need it. The steps: salvage_files.h (what can be read, the log
// applied), salvage_pages.h (whose pages those are), salvage_tree.h, salvage_table.h and salvage_chain.h (entries,
// rows, large values), salvage.cc (objects, indexes, report).
#pragma once

#include <string>

#include "io/file.h"
#include "vaultgres/salvage.h"

namespace vaultgres::internal {

Result<SalvageReport> salvage(FileSystem& from, const std::string& damaged, FileSystem& to, const std::string& fresh,
                              const SalvageOptions& options);

}  // namespace vaultgres::internal
