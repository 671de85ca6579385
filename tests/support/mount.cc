#include "support/mount.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>

namespace vaultgres {
namespace {

/// Once for the process, before its first mount. Threads and processes that this thread starts are in it as well.
int enter_namespace() {
  if (::unshare(CLONE_NEWNS) != 0) return errno;
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? 0 : errno;
}

}  // namespace

Mount::Mount(const std::string& type, const std::string& options) : type_(type) {
  static const int refused = enter_namespace();
  int os_error = refused;
  if (os_error == 0 && ::mount("none", path().c_str(), type.c_str(), 0, options.c_str()) != 0) os_error = errno;
  if (os_error != 0) {
    why_not_ = "a file system of type " + type + " cannot be mounted here: " + std::strerror(os_error) +
               " (it takes root's rights, or CAP_SYS_ADMIN)";
  }
}

Mount::~Mount() {
  if (why_not_.empty()) ::umount2(path().c_str(), MNT_DETACH);
}

std::string Mount::remount(const std::string& options, bool read_only) {
  unsigned long flags = MS_REMOUNT;
  if (read_only) flags |= MS_RDONLY;
  return ::mount("none", path().c_str(), type_.c_str(), flags, options.c_str()) == 0 ? "" : std::strerror(errno);
}

std::uint64_t Mount::bytes_free() const {
  struct statvfs status {};
  if (::statvfs(path().c_str(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace vaultgres
