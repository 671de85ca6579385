// A directory on the machine's own file system that goes with the object.
#pragma once

#include <string>
#include <string_view>

namespace vaultgres {

/// Inside TMPDIR, or /tmp. Stops the test program when there is no place for it.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace vaultgres
