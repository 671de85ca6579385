#include "io/read_only_view.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <shared_mutex>
#include <unordered_map>

namespace vaultgres {

struct ReadOnlyView::Memory {
  explicit Memory(std::uint64_t max) : bytes_max(max) {}
  const std::uint64_t bytes_max;
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<bool> was_full{false};
};

namespace {

constexpr std::size_t kBlockBytes = kIoAlignment;
constexpr std::byte kZeros[kBlockBytes] = {};

/// The errno of a call on a file below.
template <class T>
int errno_of(const Result<T>& result) noexcept {
  if (result) return 0;
  return result.error().os_error() != 0 ? result.error().os_error() : EIO;
}

/// Names take memory: a call that finds none fails as a system call would.
template <class Call>
int without_throwing(Call&& call) noexcept {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

}  // namespace

/// Blocks that were written, over the first below_bytes_ of the file below; all else is zeros.
class ReadOnlyView::Content {
 public:
  /// `below`: null for a file that the view has made.
  Content(std::shared_ptr<Memory> memory, std::unique_ptr<File> below, std::uint64_t size)
      : memory_(std::move(memory)), below_(std::move(below)), below_bytes_(size), size_(size) {}
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;
  ~Content() { memory_->bytes.fetch_sub(blocks_.size() * kBlockBytes, std::memory_order_relaxed); }

  IoAttempt read(std::uint64_t offset, MutableBytes into);
  IoAttempt write(std::uint64_t offset, Bytes from);
  void resize(std::uint64_t size);
  void grow(std::uint64_t size);
  std::uint64_t size();
  int lock(LockMode mode);

 private:
  int read_below(std::uint64_t offset, MutableBytes into);
  int block_to_change(std::uint64_t number, bool whole, std::byte** block);

  const std::shared_ptr<Memory> memory_;
  const std::unique_ptr<File> below_;
  std::shared_mutex mutex_;  // everything down to blocks_
  std::uint64_t below_bytes_;
  std::uint64_t size_;
  std::unordered_map<std::uint64_t, std::unique_ptr<std::byte[]>> blocks_;  // by number
};

IoAttempt ReadOnlyView::Content::read(std::uint64_t offset, MutableBytes into) {
  const std::shared_lock lock(mutex_);
  if (offset >= size_) return {};
  into = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - offset)));
  const std::uint64_t end = offset + into.size();
  const auto part_of = [&](std::uint64_t from, std::uint64_t to) { return into.subspan(from - offset, to - from); };
  for (std::uint64_t at = offset; at < end;) {
    std::uint64_t next = std::min(end, (at / kBlockBytes + 1) * kBlockBytes);
    if (const auto block = blocks_.find(at / kBlockBytes); block != blocks_.end()) {
      std::memcpy(part_of(at, next).data(), block->second.get() + at % kBlockBytes, next - at);
    } else {
      // One read for all blocks up to the next that was written: a page is read as it would be without a view.
      while (next < end && !blocks_.contains(next / kBlockBytes)) next = std::min(end, next + kBlockBytes);
      if (const int os_error = read_below(at, part_of(at, next))) return {.bytes = 0, .os_error = os_error};
    }
    at = next;
  }
  return {.bytes = into.size(), .os_error = 0};
}

/// What the file below has there, zeros where it has nothing.
int ReadOnlyView::Content::read_below(std::uint64_t offset, MutableBytes into) {
  std::size_t there = 0;
  if (offset < below_bytes_) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), below_bytes_ - offset));
    const Result<std::size_t> read = below_->read_up_to(offset, into.first(wanted));
    if (!read) return errno_of(read);
    there = *read;
  }
  std::memset(into.data() + there, 0, into.size() - there);
  return 0;
}

IoAttempt ReadOnlyView::Content::write(std::uint64_t offset, Bytes from) {
  const std::unique_lock lock(mutex_);
  for (std::size_t done = 0; done < from.size();) {
    const std::uint64_t at = offset + done;
    const std::size_t within = at % kBlockBytes;
    const std::size_t part = std::min(from.size() - done, kBlockBytes - within);
    // Log segments are made by writing zeros, which are there already.
    const bool nothing_new = at - within >= below_bytes_ && !blocks_.contains(at / kBlockBytes) &&
                             std::memcmp(from.data() + done, kZeros, part) == 0;
    if (!nothing_new) {
      std::byte* block = nullptr;
      if (const int os_error = block_to_change(at / kBlockBytes, part == kBlockBytes, &block)) {
        return {.bytes = 0, .os_error = os_error};
      }
      std::memcpy(block + within, from.data() + done, part);
    }
    done += part;
    size_ = std::max(size_, at + part);
  }
  return {.bytes = from.size(), .os_error = 0};
}

/// `whole`: all of it is about to be overwritten.
int ReadOnlyView::Content::block_to_change(std::uint64_t number, bool whole, std::byte** block) {
  if (const auto found = blocks_.find(number); found != blocks_.end()) {
    *block = found->second.get();
    return 0;
  }
  if (memory_->bytes.fetch_add(kBlockBytes, std::memory_order_relaxed) + kBlockBytes > memory_->bytes_max) {
    memory_->bytes.fetch_sub(kBlockBytes, std::memory_order_relaxed);
    memory_->was_full.store(true, std::memory_order_release);
    return ENOSPC;
  }
  int os_error = ENOMEM;
  if (std::unique_ptr<std::byte[]> fresh(new (std::nothrow) std::byte[kBlockBytes]); fresh != nullptr) {
    os_error = whole ? 0 : read_below(number * kBlockBytes, {fresh.get(), kBlockBytes});
    if (os_error == 0) {
      try {
        *block = blocks_.emplace(number, std::move(fresh)).first->second.get();
        return 0;
      } catch (const std::bad_alloc&) {
        os_error = ENOMEM;
      }
    }
  }
  memory_->bytes.fetch_sub(kBlockBytes, std::memory_order_relaxed);
  return os_error;
}

/// Whoever has held the lock until now may have changed the file since it was opened.
int ReadOnlyView::Content::lock(LockMode mode) {
  if (below_ == nullptr) return 0;
  if (const int os_error = errno_of(below_->lock(mode))) return os_error;
  const Result<std::uint64_t> size = below_->size();
  if (!size) return errno_of(size);
  const std::unique_lock lock(mutex_);
  if (blocks_.empty() && size_ == below_bytes_) size_ = below_bytes_ = *size;
  return 0;
}

void ReadOnlyView::Content::resize(std::uint64_t size) {
  const std::unique_lock lock(mutex_);
  if (size < size_) {
    below_bytes_ = std::min(below_bytes_, size);
    const std::uint64_t first_gone = (size + kBlockBytes - 1) / kBlockBytes;
    const std::size_t gone = std::erase_if(blocks_, [&](const auto& block) { return block.first >= first_gone; });
    memory_->bytes.fetch_sub(gone * kBlockBytes, std::memory_order_relaxed);
    if (const auto last = blocks_.find(size / kBlockBytes); last != blocks_.end()) {
      std::memset(last->second.get() + size % kBlockBytes, 0, kBlockBytes - size % kBlockBytes);
    }
  }
  size_ = size;
}

void ReadOnlyView::Content::grow(std::uint64_t size) {
  const std::unique_lock lock(mutex_);
  size_ = std::max(size_, size);
}

std::uint64_t ReadOnlyView::Content::size() {
  const std::shared_lock lock(mutex_);
  return size_;
}

namespace {

class ViewFile final : public RawFile {
 public:
  explicit ViewFile(std::shared_ptr<ReadOnlyView::Content> content) : content_(std::move(content)) {}
  IoAttempt read(std::uint64_t offset, MutableBytes into) override { return content_->read(offset, into); }
  IoAttempt write(std::uint64_t offset, Bytes from) override { return content_->write(offset, from); }
  int sync() override { return 0; }
  int truncate(std::uint64_t size) override {
    content_->resize(size);
    return 0;
  }
  int allocate(std::uint64_t offset, std::uint64_t length) override {
    content_->grow(offset + length);
    return 0;
  }
  int size(std::uint64_t* bytes) override {
    *bytes = content_->size();
    return 0;
  }
  int lock(LockMode mode) override { return content_->lock(mode); }

 private:
  const std::shared_ptr<ReadOnlyView::Content> content_;
};

}  // namespace

// --- names

ReadOnlyView::ReadOnlyView(FileSystem& below, std::uint64_t bytes_max)
    : below_(below), memory_(std::make_shared<Memory>(bytes_max)) {}
ReadOnlyView::~ReadOnlyView() = default;

bool ReadOnlyView::was_full() const noexcept {
  return memory_->was_full.load(std::memory_order_acquire);
}

/// A file that is there, here or below. Under the mutex.
int ReadOnlyView::find(const std::string& path, std::shared_ptr<Content>* content) {
  if (const auto found = opened_.find(path); found != opened_.end()) {
    *content = found->second;
    return 0;
  }
  if (gone_.contains(path)) return ENOENT;
  Result<std::unique_ptr<File>> file = below_.open(path, OpenMode::kReadOnly);
  if (!file) return errno_of(file);
  const Result<std::uint64_t> size = (*file)->size();
  if (!size) return errno_of(size);
  *content = std::make_shared<Content>(memory_, *std::move(file), *size);
  opened_.emplace(path, *content);
  return 0;
}

int ReadOnlyView::exists_below(const std::string& path, bool* exists) {
  *exists = false;
  if (gone_.contains(path)) return 0;
  const Result<bool> there = below_.exists(path);
  if (there) *exists = *there;
  return errno_of(there);
}

int ReadOnlyView::raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) {
  return without_throwing([&] {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Content> content;
    if (mode == OpenMode::kCreate) {
      bool taken = opened_.contains(path);
      if (!taken) {
        if (const int os_error = exists_below(path, &taken)) return os_error;
      }
      if (taken) return EEXIST;
      content = std::make_shared<Content>(memory_, nullptr, 0);
      opened_.emplace(path, content);
    } else if (const int os_error = find(path, &content)) {
      return os_error;
    }
    *file = std::make_unique<ViewFile>(std::move(content));
    return 0;
  });
}

int ReadOnlyView::raw_rename(const std::string& from, const std::string& to) {
  return without_throwing([&] {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Content> content;
    if (const int os_error = find(from, &content)) return os_error;
    opened_[to] = std::move(content);
    gone_.insert(from);
    opened_.erase(from);
    return 0;
  });
}

int ReadOnlyView::raw_remove(const std::string& path) {
  return without_throwing([&] {
    const std::lock_guard lock(mutex_);
    bool there = opened_.contains(path);
    if (!there) {
      if (const int os_error = exists_below(path, &there)) return os_error;
    }
    if (!there) return ENOENT;
    gone_.insert(path);
    opened_.erase(path);
    return 0;
  });
}

/// A database that is there has its directories.
int ReadOnlyView::raw_make_directory(const std::string&) {
  return EROFS;
}

int ReadOnlyView::raw_sync_directory(const std::string&) {
  return 0;
}

int ReadOnlyView::raw_exists(const std::string& path, bool* exists) {
  return without_throwing([&] {
    const std::lock_guard lock(mutex_);
    *exists = opened_.contains(path);
    return *exists ? 0 : exists_below(path, exists);
  });
}

int ReadOnlyView::raw_list(const std::string& path, std::vector<std::string>* names) {
  return without_throwing([&] {
    const std::lock_guard lock(mutex_);
    const Result<std::vector<std::string>> below = below_.list(path);
    if (!below) return errno_of(below);
    const std::string prefix = path + "/";
    std::set<std::string> all;
    for (const std::string& name : *below) {
      if (!gone_.contains(prefix + name)) all.insert(name);
    }
    for (const auto& [name, content] : opened_) {
      if (name.starts_with(prefix) && name.find('/', prefix.size()) == std::string::npos) {
        all.insert(name.substr(prefix.size()));
      }
    }
    names->assign(all.begin(), all.end());
    return 0;
  });
}

}  // namespace vaultgres
