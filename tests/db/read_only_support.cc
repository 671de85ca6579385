#include "db/read_only_support.h"

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

class ReadOnlyMount::MountFile final : public RawFile {
 public:
  MountFile(ReadOnlyMount& mount, std::unique_ptr<File> file) : mount_(mount), file_(std::move(file)) {
    mount_.files_open_.fetch_add(1);
  }
  ~MountFile() override { mount_.files_open_.fetch_sub(1); }
  IoAttempt read(std::uint64_t offset, MutableBytes into) override {
    const Result<std::size_t> bytes = file_->read_up_to(offset, into);
    return {.bytes = bytes.value_or(0u), .os_error = errno_of(bytes)};
  }
  IoAttempt write(std::uint64_t, Bytes) override { return {.bytes = 0, .os_error = mount_.refuse()}; }
  int sync() override { return mount_.refuse(); }
  int truncate(std::uint64_t) override { return mount_.refuse(); }
  int allocate(std::uint64_t, std::uint64_t) override { return mount_.refuse(); }
  int size(std::uint64_t* bytes) override {
    const Result<std::uint64_t> size = file_->size();
    if (size) *bytes = *size;
    return errno_of(size);
  }
  int lock(LockMode mode) override { return errno_of(file_->lock(mode)); }

 private:
  ReadOnlyMount& mount_;
  const std::unique_ptr<File> file_;
};

int ReadOnlyMount::refuse() {
  attempts_.fetch_add(1);
  return EROFS;
}

int ReadOnlyMount::raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) {
  if (mode != OpenMode::kReadOnly) return refuse();
  Result<std::unique_ptr<File>> opened = below_.open(path, mode);
  if (opened) *file = std::make_unique<MountFile>(*this, *std::move(opened));
  return errno_of(opened);
}

int ReadOnlyMount::raw_exists(const std::string& path, bool* exists) {
  const Result<bool> there = below_.exists(path);
  *exists = there.value_or(false);
  return errno_of(there);
}

int ReadOnlyMount::raw_list(const std::string& path, std::vector<std::string>* names) {
  Result<std::vector<std::string>> listed = below_.list(path);
  if (listed) *names = *std::move(listed);
  return errno_of(listed);
}

}  // namespace vaultgres
