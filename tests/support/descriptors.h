// What descriptors this process has.
#pragma once

#include <sys/stat.h>

#include <string>

namespace vaultgres {

/// The lowest that leads to the file; -1: none does.
inline int descriptor_of(const std::string& path) {
  struct stat wanted {};
  if (::stat(path.c_str(), &wanted) != 0) return -1;
  for (int descriptor = 0; descriptor < 256; ++descriptor) {
    struct stat status {};
    if (::fstat(descriptor, &status) == 0 && status.st_dev == wanted.st_dev && status.st_ino == wanted.st_ino) {
      return descriptor;
    }
  }
  return -1;
}

}  // namespace vaultgres
