// A file system that stops at every call: a test's hook runs before the call is made, in the thread that makes it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/file.h"

namespace vaultgres {

enum class FileCall : std::uint8_t {
  kOpen,
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kAllocate,
  kSize,
  kLock,
  kRename,
  kRemove,
  kMakeDirectory,
  kSyncDirectory,
  kExists,
  kList,
};

/// Calls of `below`. The hook may do anything but destroy what makes the call; no lock of `below` is held.
class HookedFileSystem final : public FileSystem {
 public:
  using Hook = std::function<void(FileCall call, const std::string& path)>;
  HookedFileSystem(FileSystem& below, Hook hook) : below_(below), hook_(std::move(hook)) {}

 protected:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override;
  int raw_rename(const std::string& from, const std::string& to) override;
  int raw_remove(const std::string& path) override;
  int raw_make_directory(const std::string& path) override;
  int raw_sync_directory(const std::string& path) override;
  int raw_exists(const std::string& path, bool* exists) override;
  int raw_list(const std::string& path, std::vector<std::string>* names) override;

 private:
  class HookedFile;
  FileSystem& below_;
  const Hook hook_;
};

}  // namespace vaultgres
