#include "support/hooked_file_system.h"

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

class HookedFileSystem::HookedFile final : public RawFile {
 public:
  HookedFile(std::unique_ptr<File> file, const Hook& hook) : file_(std::move(file)), hook_(hook) {}

  IoAttempt read(std::uint64_t offset, MutableBytes into) override {
    hook_(FileCall::kRead, file_->path());
    const Result<std::size_t> bytes = file_->read_up_to(offset, into);
    return {.bytes = bytes.value_or(0), .os_error = errno_of(bytes)};
  }
  IoAttempt write(std::uint64_t offset, Bytes from) override {
    hook_(FileCall::kWrite, file_->path());
    const Status written = file_->write(offset, from);
    return {.bytes = written ? from.size() : 0, .os_error = errno_of(written)};
  }
  int sync() override {
    hook_(FileCall::kSync, file_->path());
    return errno_of(file_->sync());
  }
  int truncate(std::uint64_t size) override {
    hook_(FileCall::kTruncate, file_->path());
    return errno_of(file_->truncate(size));
  }
  int allocate(std::uint64_t offset, std::uint64_t length) override {
    hook_(FileCall::kAllocate, file_->path());
    return errno_of(file_->allocate(offset, length));
  }
  int size(std::uint64_t* bytes) override {
    hook_(FileCall::kSize, file_->path());
    const Result<std::uint64_t> size = file_->size();
    *bytes = size.value_or(0);
    return errno_of(size);
  }
  int lock(LockMode mode) override {
    hook_(FileCall::kLock, file_->path());
    return errno_of(file_->lock(mode));
  }

 private:
  const std::unique_ptr<File> file_;
  const Hook& hook_;
};

int HookedFileSystem::raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) {
  hook_(FileCall::kOpen, path);
  Result<std::unique_ptr<File>> opened = below_.open(path, mode);
  if (opened) *file = std::make_unique<HookedFile>(*std::move(opened), hook_);
  return errno_of(opened);
}
int HookedFileSystem::raw_rename(const std::string& from, const std::string& to) {
  hook_(FileCall::kRename, from);
  return errno_of(below_.rename(from, to));
}
int HookedFileSystem::raw_remove(const std::string& path) {
  hook_(FileCall::kRemove, path);
  return errno_of(below_.remove(path));
}
int HookedFileSystem::raw_make_directory(const std::string& path) {
  hook_(FileCall::kMakeDirectory, path);
  return errno_of(below_.make_directory(path));
}
int HookedFileSystem::raw_sync_directory(const std::string& path) {
  hook_(FileCall::kSyncDirectory, path);
  return errno_of(below_.sync_directory(path));
}
int HookedFileSystem::raw_exists(const std::string& path, bool* exists) {
  hook_(FileCall::kExists, path);
  const Result<bool> there = below_.exists(path);
  *exists = there.value_or(false);
  return errno_of(there);
}
int HookedFileSystem::raw_list(const std::string& path, std::vector<std::string>* names) {
  hook_(FileCall::kList, path);
  Result<std::vector<std::string>> listed = below_.list(path);
  if (listed) *names = *std::move(listed);
  return errno_of(listed);
}

}  // namespace vaultgres
