// A file system as a read-only mount shows it, and a count of what was tried on it all the same.
#pragma once

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>

#include "support/forwarding_file_system.h"

namespace vaultgres {

/// Refuses everything but opening for reading, reading and locking, and counts what it refused.
class ReadOnlyMount final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  /// Attempts to change something.
  unsigned attempts() const noexcept { return attempts_.load(); }
  unsigned files_open() const noexcept { return files_open_.load(); }

 private:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override {
    if (mode != OpenMode::kReadOnly) return refuse();
    const int os_error = ForwardingFileSystem::raw_open(path, mode, file);
    if (os_error == 0) files_open_.fetch_add(1);
    return os_error;
  }
  int around(FileCall call, const std::string& /*path*/, FunctionRef<int()> forward) override {
    switch (call) {
      case FileCall::kOpen:
      case FileCall::kRead:
      case FileCall::kSize:
      case FileCall::kLock:
      case FileCall::kExists:
      case FileCall::kList:
        return forward();
      case FileCall::kClose:
        files_open_.fetch_sub(1);
        return forward();
      case FileCall::kWrite:
      case FileCall::kSync:
      case FileCall::kTruncate:
      case FileCall::kAllocate:
      case FileCall::kRename:
      case FileCall::kRemove:
      case FileCall::kMakeDirectory:
      case FileCall::kSyncDirectory:
        break;
    }
    return refuse();
  }
  int refuse() {
    attempts_.fetch_add(1);
    return EROFS;
  }

  std::atomic<unsigned> attempts_{0};
  std::atomic<unsigned> files_open_{0};
};

}  // namespace vaultgres
