#include "io/memory_file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>

namespace vaultgres {

namespace {

/// One file's bytes, in chunks so that growing never copies.
class MemoryFileData {
 public:
  static constexpr std::size_t kChunkBytes = 64 * 1024;

  IoAttempt read(std::uint64_t offset, MutableBytes into) {
    const std::shared_lock lock(mutex_);
    if (offset >= size_) return {};
    const std::size_t bytes = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - offset));
    for_chunks(offset, bytes,
               [&](std::byte* chunk, std::size_t at, std::size_t n) { std::memcpy(into.data() + at, chunk, n); });
    return {bytes, 0};
  }
  IoAttempt write(std::uint64_t offset, Bytes from) {
    const std::unique_lock lock(mutex_);
    if (const int error = grow(offset + from.size()); error != 0) return {0, error};
    for_chunks(offset, from.size(),
               [&](std::byte* chunk, std::size_t at, std::size_t n) { std::memcpy(chunk, from.data() + at, n); });
    return {from.size(), 0};
  }
  int resize(std::uint64_t size) {
    const std::unique_lock lock(mutex_);
    if (size >= size_) return grow(size);
    size_ = size;
    chunks_.resize((size + kChunkBytes - 1) / kChunkBytes);
    if (const std::size_t rest = size % kChunkBytes; rest != 0) {
      std::memset(chunks_.back().get() + rest, 0, kChunkBytes - rest);
    }
    return 0;
  }
  int ensure(std::uint64_t size) {
    const std::unique_lock lock(mutex_);
    return grow(size);
  }
  std::uint64_t size() {
    const std::shared_lock lock(mutex_);
    return size_;
  }

 private:
  int grow(std::uint64_t size) {
    if (size <= size_) return 0;
    try {
      while (chunks_.size() * kChunkBytes < size) {
        chunks_.push_back(std::make_unique<std::byte[]>(kChunkBytes));  // zeroed
      }
    } catch (const std::bad_alloc&) {
      return ENOSPC;
    }
    size_ = size;
    return 0;
  }
  template <class F>
  void for_chunks(std::uint64_t offset, std::size_t bytes, F&& f) {
    for (std::size_t done = 0; done < bytes;) {
      const std::size_t within = (offset + done) % kChunkBytes;
      const std::size_t n = std::min(bytes - done, kChunkBytes - within);
      f(chunks_[(offset + done) / kChunkBytes].get() + within, done, n);
      done += n;
    }
  }

  std::shared_mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::uint64_t size_ = 0;
};

class MemoryFile final : public RawFile {
 public:
  explicit MemoryFile(std::shared_ptr<MemoryFileData> data) : data_(std::move(data)) {}
  IoAttempt read(std::uint64_t offset, MutableBytes into) override { return data_->read(offset, into); }
  IoAttempt write(std::uint64_t offset, Bytes from) override { return data_->write(offset, from); }
  int sync() override { return 0; }
  int truncate(std::uint64_t size) override { return data_->resize(size); }
  int allocate(std::uint64_t offset, std::uint64_t length) override { return data_->ensure(offset + length); }
  int size(std::uint64_t* bytes) override {
    *bytes = data_->size();
    return 0;
  }
  int lock(LockMode) override { return 0; }

 private:
  std::shared_ptr<MemoryFileData> data_;
};

class MemoryFileSystem final : public FileSystem {
 private:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override {
    const std::lock_guard lock(mutex_);
    auto found = files_.find(path);
    if (mode == OpenMode::kCreate) {
      if (found != files_.end()) return EEXIST;
      found = files_.emplace(path, std::make_shared<MemoryFileData>()).first;
    } else if (found == files_.end()) {
      return ENOENT;
    }
    *file = std::make_unique<MemoryFile>(found->second);
    return 0;
  }
  int raw_rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    auto node = files_.extract(from);
    if (node.empty()) return ENOENT;
    node.key() = to;
    files_.erase(to);
    files_.insert(std::move(node));
    return 0;
  }
  int raw_remove(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    return files_.erase(path) > 0 ? 0 : ENOENT;
  }
  int raw_make_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    return directories_.insert(path).second ? 0 : EEXIST;
  }
  int raw_sync_directory(const std::string&) override { return 0; }
  int raw_exists(const std::string& path, bool* exists) override {
    const std::lock_guard lock(mutex_);
    *exists = files_.count(path) > 0 || directories_.count(path) > 0;
    return 0;
  }
  int raw_list(const std::string& path, std::vector<std::string>* names) override {
    const std::lock_guard lock(mutex_);
    const std::string prefix = path + "/";
    const auto add = [&](const std::string& entry) {
      if (entry.size() > prefix.size() && entry.compare(0, prefix.size(), prefix) == 0 &&
          entry.find('/', prefix.size()) == std::string::npos) {
        names->push_back(entry.substr(prefix.size()));
      }
    };
    for (const auto& [name, data] : files_) add(name);
    for (const std::string& name : directories_) add(name);
    return 0;
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<MemoryFileData>> files_;
  std::set<std::string> directories_;
};

}  // namespace

std::unique_ptr<FileSystem> make_memory_file_system() {
  return std::make_unique<MemoryFileSystem>();
}

}  // namespace vaultgres
