#include "support/temp_directory.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"

namespace vaultgres {

TempDirectory::TempDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "vaultgres_test_XXXXXX").string();
  VG_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary directory can be made");
  path_ = pattern;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace vaultgres
