// A small file system of the kernel's own, mounted for one test: one that can be full, read-only, or without direct
// I/O.
#pragma once

#include <string>

#include "support/temp_directory.h"

namespace vaultgres {

/// Mounted inside a temporary directory, in a mount namespace of this process: nobody else sees it, and it goes with
/// the object, at the latest with the process. Takes root's rights: where they are missing, `why_not()` says so, and
/// the test is skipped (VG_SKIP_UNLESS_MOUNTED).
class Mount {
 public:
  /// As mount(8) takes them: "tmpfs", "size=24m"; "ramfs", "".
  Mount(const std::string& type, const std::string& options);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  const std::string& path() const noexcept { return directory_.path(); }
  std::string file(std::string_view name) const { return directory_.file(name); }
  /// Empty when it is mounted.
  const std::string& why_not() const noexcept { return why_not_; }

  /// With other options, or read-only, while files on it are open. An empty text, or why not.
  std::string remount(const std::string& options, bool read_only = false);
  /// Bytes that files may still take.
  std::uint64_t bytes_free() const;

 private:
  const TempDirectory directory_;
  const std::string type_;
  std::string why_not_;
};

#define VG_SKIP_UNLESS_MOUNTED(mount) \
  if (!(mount).why_not().empty()) GTEST_SKIP() << (mount).why_not()

}  // namespace vaultgres
