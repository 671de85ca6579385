// A file system that hands every call on to another one: tests derive theirs from it that watch or refuse some of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/function_ref.h"
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
  kClose,  ///< an open file goes, and its path with it; cannot fail
  kRename,
  kRemove,
  kMakeDirectory,
  kSyncDirectory,
  kExists,
  kList,
};

/// Outlives the files opened on it.
class ForwardingFileSystem : public FileSystem {
 public:
  explicit ForwardingFileSystem(FileSystem& below) : below_(below) {}

 protected:
  /// Every call comes through here, those of open files as well: `forward` makes it on the file system below and gives
  /// its errno; what this returns is what the caller sees. The path of a rename is the old one.
  virtual int around(FileCall call, const std::string& path, FunctionRef<int()> forward) = 0;

  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override;
  int raw_rename(const std::string& from, const std::string& to) final;
  int raw_remove(const std::string& path) final;
  int raw_make_directory(const std::string& path) final;
  int raw_sync_directory(const std::string& path) final;
  int raw_exists(const std::string& path, bool* exists) final;
  int raw_list(const std::string& path, std::vector<std::string>* names) final;

 private:
  class ForwardingFile;
  FileSystem& below_;
};

}  // namespace vaultgres
