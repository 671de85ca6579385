#include "support/forwarding_file_system.h"

#include <cerrno>
#include <utility>

namespace vaultgres {

namespace {

template <class T>
int errno_of(const Result<T>& result) {
  if (result) return 0;
  return result.error().os_error() != 0 ? result.error().os_error() : EIO;
}

}  // namespace

class ForwardingFileSystem::ForwardingFile final : public RawFile {
 public:
  ForwardingFile(ForwardingFileSystem& system, std::unique_ptr<File> file) : system_(system), file_(std::move(file)) {}
  ~ForwardingFile() override {
    around(FileCall::kClose, [&] {
      file_.reset();
      return 0;
    });
  }

  IoAttempt read(std::uint64_t offset, MutableBytes into) override {
    std::size_t read = 0;
    const int os_error = around(FileCall::kRead, [&] {
      const Result<std::size_t> bytes = file_->read_up_to(offset, into);
      read = bytes.value_or(0);
      return errno_of(bytes);
    });
    return {.bytes = read, .os_error = os_error};
  }
  IoAttempt write(std::uint64_t offset, Bytes from) override {
    const int os_error = around(FileCall::kWrite, [&] { return errno_of(file_->write(offset, from)); });
    return {.bytes = os_error == 0 ? from.size() : 0, .os_error = os_error};
  }
  int sync() override {
    return around(FileCall::kSync, [&] { return errno_of(file_->sync()); });
  }
  int truncate(std::uint64_t size) override {
    return around(FileCall::kTruncate, [&] { return errno_of(file_->truncate(size)); });
  }
  int allocate(std::uint64_t offset, std::uint64_t length) override {
    return around(FileCall::kAllocate, [&] { return errno_of(file_->allocate(offset, length)); });
  }
  int size(std::uint64_t* bytes) override {
    return around(FileCall::kSize, [&] {
      const Result<std::uint64_t> size = file_->size();
      *bytes = size.value_or(0);
      return errno_of(size);
    });
  }
  int lock(LockMode mode) override {
    return around(FileCall::kLock, [&] { return errno_of(file_->lock(mode)); });
  }

 private:
  int around(FileCall call, FunctionRef<int()> forward) { return system_.around(call, file_->path(), forward); }

  ForwardingFileSystem& system_;
  std::unique_ptr<File> file_;
};

int ForwardingFileSystem::raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) {
  return around(FileCall::kOpen, path, [&] {
    Result<std::unique_ptr<File>> opened = below_.open(path, mode);
    if (opened) *file = std::make_unique<ForwardingFile>(*this, *std::move(opened));
    return errno_of(opened);
  });
}
int ForwardingFileSystem::raw_rename(const std::string& from, const std::string& to) {
  return around(FileCall::kRename, from, [&] { return errno_of(below_.rename(from, to)); });
}
int ForwardingFileSystem::raw_remove(const std::string& path) {
  return around(FileCall::kRemove, path, [&] { return errno_of(below_.remove(path)); });
}
int ForwardingFileSystem::raw_make_directory(const std::string& path) {
  return around(FileCall::kMakeDirectory, path, [&] { return errno_of(below_.make_directory(path)); });
}
int ForwardingFileSystem::raw_sync_directory(const std::string& path) {
  return around(FileCall::kSyncDirectory, path, [&] { return errno_of(below_.sync_directory(path)); });
}
int ForwardingFileSystem::raw_exists(const std::string& path, bool* exists) {
  return around(FileCall::kExists, path, [&] {
    const Result<bool> there = below_.exists(path);
    *exists = there.value_or(false);
    return errno_of(there);
  });
}
int ForwardingFileSystem::raw_list(const std::string& path, std::vector<std::string>* names) {
  return around(FileCall::kList, path, [&] {
    Result<std::vector<std::string>> listed = below_.list(path);
    if (listed) *names = *std::move(listed);
    return errno_of(listed);
  });
}

}  // namespace vaultgres
