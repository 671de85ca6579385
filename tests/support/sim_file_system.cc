#include "support/sim_file_system.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace vaultgres {

/// A handle on an inode, which may have lost its name.
class SimFile final : public RawFile {
 public:
  SimFile(SimFileSystem& system, InodeId inode, bool writable) : system_(system), inode_(inode), writable_(writable) {}
  ~SimFile() override { system_.close(inode_, held_); }

  IoAttempt read(std::uint64_t offset, MutableBytes into) override { return system_.read(inode_, offset, into); }
  IoAttempt write(std::uint64_t offset, Bytes from) override {
    if (!writable_) return {.bytes = 0, .os_error = EBADF};
    return system_.write(inode_, offset, from);
  }
  int sync() override { return system_.sync(inode_); }
  int truncate(std::uint64_t size) override { return writable_ ? system_.truncate(inode_, size) : EBADF; }
  int allocate(std::uint64_t offset, std::uint64_t length) override {
    return writable_ ? system_.allocate(inode_, offset, length) : EBADF;
  }
  int size(std::uint64_t* bytes) override { return system_.size(inode_, bytes); }
  int lock(LockMode mode) override { return system_.lock(inode_, mode, &held_); }

 private:
  SimFileSystem& system_;
  const InodeId inode_;
  const bool writable_;
  std::optional<LockMode> held_;  // guarded by the file system's mutex
};

namespace {

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    std::string part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

std::uint64_t in_pages(std::uint64_t bytes) {
  return (bytes + kSimPageBytes - 1) / kSimPageBytes * kSimPageBytes;
}

}  // namespace

const char* io_call_name(IoCall call) noexcept {
  switch (call) {
    case IoCall::kOpen:
      return "open";
    case IoCall::kRead:
      return "read";
    case IoCall::kWrite:
      return "write";
    case IoCall::kSync:
      return "sync";
    case IoCall::kTruncate:
      return "truncate";
    case IoCall::kAllocate:
      return "allocate";
    case IoCall::kRename:
      return "rename";
    case IoCall::kRemove:
      return "remove";
    case IoCall::kDirectorySync:
      return "directory sync";
    case IoCall::kMakeDirectory:
      return "make directory";
    case IoCall::kList:
      return "list";
    case IoCall::kExists:
      return "exists";
    case IoCall::kSize:
      return "size";
    case IoCall::kLock:
      return "lock";
  }
  return "?";
}

SimFileSystem::SimFileSystem(SimImage image) : base_(image), live_(std::move(image)) {
  std::vector<std::pair<InodeId, std::string>> to_visit{{kWorkingDirectory, ""}, {kRootDirectory, "/"}};
  while (!to_visit.empty()) {
    const auto [inode, prefix] = to_visit.back();
    to_visit.pop_back();
    next_inode_ = std::max(next_inode_, inode + 1);
    if (!live_.is_directory(inode)) {
      nodes_[inode].path = prefix;
      continue;
    }
    const std::string begin = prefix.empty() || prefix == "/" ? prefix : prefix + "/";
    for (const auto& [name, child] : live_.directories[inode]) to_visit.emplace_back(child, begin + name);
  }
}

// --- names ---

int SimFileSystem::find(const std::string& path, Place* place) const {
  const std::vector<std::string> parts = split(path);
  const bool absolute = path.starts_with('/');
  *place = {.directory = kNoInode,
            .inode = absolute ? kRootDirectory : kWorkingDirectory,
            .name = "",
            .path = absolute ? "/" : ""};
  for (const std::string& part : parts) {
    if (place->inode == kNoInode) return ENOENT;
    if (!live_.is_directory(place->inode)) return ENOTDIR;
    place->directory = place->inode;
    place->inode = live_.find(place->directory, part);
    place->name = part;
    if (!place->path.empty() && place->path != "/") place->path += '/';
    place->path += part;
  }
  return 0;
}

int SimFileSystem::raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) {
  const std::lock_guard guard(mutex_);
  if (const int os_error = fault(IoCall::kOpen, path)) return os_error;
  Place place;
  if (const int os_error = find(path, &place)) return os_error;
  if (mode == OpenMode::kCreate) {
    if (place.inode != kNoInode) return EEXIST;
    if (observer_ != nullptr) observer_->on_create(place.path);
    place.inode = next_inode_++;
    record({.op = SimOp::kCreate,
            .inode = place.inode,
            .directory = place.directory,
            .name = place.name,
            .path = place.path});
    nodes_[place.inode].path = place.path;
  }
  if (place.inode == kNoInode) return ENOENT;
  if (live_.is_directory(place.inode)) return EISDIR;
  *file = std::make_unique<SimFile>(*this, place.inode, mode != OpenMode::kReadOnly);
  ++nodes_[place.inode].open_count;
  return 0;
}

int SimFileSystem::raw_rename(const std::string& from, const std::string& to) {
  const std::lock_guard guard(mutex_);
  Place source;
  Place target;
  if (const int os_error = find(from, &source)) return os_error;
  if (const int os_error = find(to, &target)) return os_error;
  SimTraceEntry entry{.op = SimOp::kRename,
                      .inode = source.inode,
                      .directory = source.directory,
                      .to_directory = target.directory,
                      .name = source.name,
                      .to_name = target.name,
                      .path = source.path,
                      .to_path = target.path};
  if (const int os_error = fault(IoCall::kRename, from)) return record_failure(std::move(entry), os_error);
  if (source.inode == kNoInode) return ENOENT;
  if (source.directory == kNoInode || target.directory == kNoInode) return EBUSY;
  if (source.inode == target.inode) return 0;
  if (live_.is_directory(target.inode)) {
    if (!live_.is_directory(source.inode)) return EISDIR;
    if (!live_.directories[target.inode].empty()) return ENOTEMPTY;
  } else if (target.inode != kNoInode && live_.is_directory(source.inode)) {
    return ENOTDIR;
  }
  if (observer_ != nullptr) observer_->on_rename(source.path, target.path);
  record(std::move(entry));
  unlink(target.inode);
  move_paths(source.path, target.path);
  return 0;
}

int SimFileSystem::raw_remove(const std::string& path) {
  const std::lock_guard guard(mutex_);
  Place place;
  if (const int os_error = find(path, &place)) return os_error;
  SimTraceEntry entry{
      .op = SimOp::kRemove, .inode = place.inode, .directory = place.directory, .name = place.name, .path = place.path};
  if (const int os_error = fault(IoCall::kRemove, path)) return record_failure(std::move(entry), os_error);
  if (place.inode == kNoInode) return ENOENT;
  if (place.directory == kNoInode) return EBUSY;
  if (live_.is_directory(place.inode) && !live_.directories[place.inode].empty()) return ENOTEMPTY;
  if (observer_ != nullptr) observer_->on_remove(place.path);
  record(std::move(entry));
  unlink(place.inode);
  return 0;
}

int SimFileSystem::raw_make_directory(const std::string& path) {
  const std::lock_guard guard(mutex_);
  if (const int os_error = fault(IoCall::kMakeDirectory, path)) return os_error;
  Place place;
  if (const int os_error = find(path, &place)) return os_error;
  if (place.inode != kNoInode) return EEXIST;
  if (observer_ != nullptr) observer_->on_make_directory(place.path);
  record({.op = SimOp::kMakeDirectory,
          .inode = next_inode_++,
          .directory = place.directory,
          .name = place.name,
          .path = place.path});
  return 0;
}

int SimFileSystem::raw_sync_directory(const std::string& path) {
  const std::lock_guard guard(mutex_);
  Place place;
  if (const int os_error = find(path, &place)) return os_error;
  SimTraceEntry entry{.op = SimOp::kSyncDirectory, .inode = place.inode, .path = place.path};
  if (const int os_error = fault(IoCall::kDirectorySync, path)) return record_failure(std::move(entry), os_error);
  if (place.inode == kNoInode) return ENOENT;
  if (!live_.is_directory(place.inode)) return ENOTDIR;
  entry.ignored = sync_is_ignored(IoCall::kDirectorySync, place.path);
  if (observer_ != nullptr && !entry.ignored) observer_->on_sync_directory(place.path);
  record(std::move(entry));
  return 0;
}

int SimFileSystem::raw_exists(const std::string& path, bool* exists) {
  const std::lock_guard guard(mutex_);
  if (const int os_error = fault(IoCall::kExists, path)) return os_error;
  Place place;
  *exists = find(path, &place) == 0 && place.inode != kNoInode;
  return 0;
}

int SimFileSystem::raw_list(const std::string& path, std::vector<std::string>* names) {
  const std::lock_guard guard(mutex_);
  if (const int os_error = fault(IoCall::kList, path)) return os_error;
  Place place;
  if (const int os_error = find(path, &place)) return os_error;
  if (place.inode == kNoInode) return ENOENT;
  if (!live_.is_directory(place.inode)) return ENOTDIR;
  for (const auto& [name, inode] : live_.directories[place.inode]) names->push_back(name);
  return 0;
}

/// The name is gone from live_ already. An open file lives on without one.
void SimFileSystem::unlink(InodeId inode) {
  const auto node = nodes_.find(inode);
  if (node == nodes_.end()) return;
  node->second.linked = false;
  if (node->second.open_count > 0) return;
  nodes_.erase(node);
  live_.files.erase(inode);
}

void SimFileSystem::move_paths(const std::string& from, const std::string& to) {
  for (auto& [inode, node] : nodes_) {
    if (!node.linked) continue;
    if (node.path == from || node.path.starts_with(from + "/")) node.path = to + node.path.substr(from.size());
  }
}

// --- open files ---

void SimFileSystem::close(InodeId inode, std::optional<LockMode> held) {
  const std::lock_guard guard(mutex_);
  Node& node = nodes_.at(inode);
  if (held == LockMode::kExclusive) node.locked = false;
  if (held == LockMode::kShared) --node.sharers;
  if (--node.open_count == 0 && !node.linked) unlink(inode);
}

IoAttempt SimFileSystem::read(InodeId inode, std::uint64_t offset, MutableBytes into) {
  const std::lock_guard guard(mutex_);
  const FaultHit fault = hit(IoCall::kRead, nodes_.at(inode).path);
  if (fault.os_error != 0) return {0, fault.os_error};
  if ((offset | reinterpret_cast<std::uintptr_t>(into.data()) | into.size()) % alignment_ != 0) return {0, EINVAL};
  return {live_.files.at(inode).read(offset, into.first(std::min(into.size(), fault.transfer_at_most))), 0};
}

IoAttempt SimFileSystem::write(InodeId inode, std::uint64_t offset, Bytes from) {
  const std::lock_guard guard(mutex_);
  const std::string& path = nodes_.at(inode).path;
  SimTraceEntry entry{.op = SimOp::kWrite, .inode = inode, .path = path, .offset = offset, .length = from.size()};
  const FaultHit fault = hit(IoCall::kWrite, path);
  if (fault.os_error != 0) {
    record_failure(std::move(entry), fault.os_error);
    return fault.lies ? IoAttempt{from.size(), 0} : IoAttempt{0, fault.os_error};
  }
  if ((offset | reinterpret_cast<std::uintptr_t>(from.data()) | from.size()) % alignment_ != 0) return {0, EINVAL};
  from = from.first(std::min(from.size(), fault.transfer_at_most));
  if (from.empty()) return {0, 0};
  if (!has_room(inode, offset + from.size())) return {0, record_failure(std::move(entry), no_space_)};
  if (observer_ != nullptr) observer_->on_write(path, offset, from);
  entry.length = from.size();
  entry.pieces = cut_into_pieces(offset, from);
  record(std::move(entry));
  return {from.size(), 0};
}

int SimFileSystem::sync(InodeId inode) {
  const std::lock_guard guard(mutex_);
  const std::string& path = nodes_.at(inode).path;
  SimTraceEntry entry{.op = SimOp::kSync, .inode = inode, .path = path};
  const FaultHit fault = hit(IoCall::kSync, path);
  entry.kept_seed = fault.kept_seed;
  if (fault.os_error != 0) {
    record_failure(std::move(entry), fault.os_error);
    return fault.lies ? 0 : fault.os_error;
  }
  entry.ignored = sync_is_ignored(IoCall::kSync, path);
  if (observer_ != nullptr && !entry.ignored) observer_->on_sync(path);
  record(std::move(entry));
  return 0;
}

int SimFileSystem::truncate(InodeId inode, std::uint64_t size) {
  const std::lock_guard guard(mutex_);
  const std::string& path = nodes_.at(inode).path;
  SimTraceEntry entry{.op = SimOp::kTruncate, .inode = inode, .path = path, .offset = size};
  if (const int os_error = fault(IoCall::kTruncate, path)) return record_failure(std::move(entry), os_error);
  if (!has_room(inode, size)) return record_failure(std::move(entry), no_space_);
  if (observer_ != nullptr) observer_->on_truncate(path, size);
  record(std::move(entry));
  return 0;
}

int SimFileSystem::allocate(InodeId inode, std::uint64_t offset, std::uint64_t length) {
  const std::lock_guard guard(mutex_);
  const std::string& path = nodes_.at(inode).path;
  SimTraceEntry entry{.op = SimOp::kAllocate, .inode = inode, .path = path, .offset = offset, .length = length};
  if (const int os_error = fault(IoCall::kAllocate, path)) return record_failure(std::move(entry), os_error);
  if (!has_room(inode, offset + length)) return record_failure(std::move(entry), no_space_);
  if (observer_ != nullptr) observer_->on_allocate(path, offset, length);
  record(std::move(entry));
  return 0;
}

int SimFileSystem::size(InodeId inode, std::uint64_t* bytes) {
  const std::lock_guard guard(mutex_);
  if (const int os_error = fault(IoCall::kSize, nodes_.at(inode).path)) return os_error;
  *bytes = live_.files.at(inode).size();
  return 0;
}

int SimFileSystem::lock(InodeId inode, LockMode mode, std::optional<LockMode>* held) {
  const std::lock_guard guard(mutex_);
  Node& node = nodes_.at(inode);
  if (const int os_error = fault(IoCall::kLock, node.path)) return os_error;
  if (*held) return **held == mode ? 0 : EINVAL;
  if (node.locked || (mode == LockMode::kExclusive && node.sharers > 0)) return EWOULDBLOCK;
  if (mode == LockMode::kShared) {
    ++node.sharers;
  } else {
    node.locked = true;
  }
  *held = mode;
  return 0;
}

// --- trace and crashes ---

void SimFileSystem::record(SimTraceEntry entry) {
  live_.apply_to_file(entry);
  live_.apply_to_directory(entry);
  trace_.push_back(std::make_shared<const SimTraceEntry>(std::move(entry)));
}

int SimFileSystem::record_failure(SimTraceEntry entry, int os_error) {
  entry.os_error = os_error;
  record(std::move(entry));
  return os_error;
}

std::size_t SimFileSystem::mark(std::string text) {
  const std::lock_guard guard(mutex_);
  record({.op = SimOp::kMark, .path = std::move(text)});
  return trace_.size();
}

std::size_t SimFileSystem::position() const {
  const std::lock_guard guard(mutex_);
  return trace_.size();
}

SimTrace SimFileSystem::trace() const {
  const std::lock_guard guard(mutex_);
  return trace_;
}

std::vector<std::string> SimFileSystem::marks(std::size_t position) const {
  const std::lock_guard guard(mutex_);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < std::min(position, trace_.size()); ++i) {
    if (trace_[i]->op == SimOp::kMark) texts.push_back(trace_[i]->path);
  }
  return texts;
}

void SimFileSystem::settle() {
  const std::lock_guard replay_guard(replay_mutex_);
  const std::lock_guard guard(mutex_);
  base_ = live_;
  trace_.clear();
  replay_.reset();
}

PowerCutReplay& SimFileSystem::replay_at(std::size_t position) {
  const std::lock_guard guard(mutex_);
  if (!replay_ || replay_->position() > position) replay_.emplace(base_);
  replay_->advance(trace_, position);
  return *replay_;
}

std::unique_ptr<SimFileSystem> SimFileSystem::power_cut(std::size_t position, PowerCut mode, std::uint64_t seed) {
  const std::lock_guard guard(replay_mutex_);
  return std::unique_ptr<SimFileSystem>(new SimFileSystem(replay_at(position).cut(mode, seed)));
}

std::size_t SimFileSystem::unsynced(std::size_t position) {
  const std::lock_guard guard(replay_mutex_);
  return replay_at(position).pending().size();
}

std::unique_ptr<SimFileSystem> SimFileSystem::killed(std::size_t position) const {
  const std::lock_guard guard(mutex_);
  VG_CHECK(position <= trace_.size(), "position behind the end of the trace");
  SimImage image = base_;
  for (std::size_t i = 0; i < position; ++i) {
    image.apply_to_file(*trace_[i]);
    image.apply_to_directory(*trace_[i]);
  }
  image.drop_unreachable();
  std::unique_ptr<SimFileSystem> after(new SimFileSystem(std::move(image)));
  // The trace goes on from the same durable state, so that a power cut can still undo what was not synced.
  after->base_ = base_;
  after->trace_.assign(trace_.begin(), trace_.begin() + static_cast<std::ptrdiff_t>(position));
  after->next_inode_ = next_inode_;
  return after;
}

// --- trouble ---

void SimFileSystem::inject(IoFault fault) {
  const std::lock_guard guard(mutex_);
  faults_.push_back({.fault = std::move(fault)});
}

void SimFileSystem::clear_faults() {
  const std::lock_guard guard(mutex_);
  faults_.clear();
}

std::uint64_t SimFileSystem::faults_hit() const {
  const std::lock_guard guard(mutex_);
  return faults_hit_;
}

std::uint64_t SimFileSystem::calls(IoCall call) const {
  const std::lock_guard guard(mutex_);
  return calls_[static_cast<std::size_t>(call)];
}

SimFileSystem::FaultHit SimFileSystem::hit(IoCall call, const std::string& path) {
  FaultHit hit;
  ++calls_[static_cast<std::size_t>(call)];
  for (ArmedFault& armed : faults_) {
    const IoFault& fault = armed.fault;
    if (fault.call != call || path.find(fault.path_contains) == std::string::npos) continue;
    ++armed.seen;
    if (armed.seen < fault.at || (armed.seen > fault.at && !fault.sticky)) continue;
    ++faults_hit_;
    hit.os_error = fault.os_error;
    hit.kept_seed = fault.kept_seed;
    hit.lies = fault.lies;
    hit.transfer_at_most = std::min(hit.transfer_at_most, fault.transfer_at_most);
    if (hit.os_error != 0) break;
  }
  return hit;
}

void SimFileSystem::limit_space(std::optional<std::uint64_t> bytes, int os_error) {
  const std::lock_guard guard(mutex_);
  no_space_ = os_error;
  space_limit_ = bytes;
}

std::uint64_t SimFileSystem::used_bytes() const {
  const std::lock_guard guard(mutex_);
  return used_bytes_locked();
}

std::uint64_t SimFileSystem::used_bytes_locked() const {
  std::uint64_t used = 0;
  for (const auto& [inode, content] : live_.files) used += in_pages(content.size());
  return used;
}

bool SimFileSystem::has_room(InodeId inode, std::uint64_t new_size) const {
  const std::uint64_t old_size = live_.files.at(inode).size();
  if (!space_limit_ || in_pages(new_size) <= in_pages(old_size)) return true;
  return used_bytes_locked() - in_pages(old_size) + in_pages(new_size) <= *space_limit_;
}

void SimFileSystem::ignore_syncs(IoCall kind, std::string path_contains) {
  VG_CHECK(kind == IoCall::kSync || kind == IoCall::kDirectorySync, "only syncs can be ignored");
  const std::lock_guard guard(mutex_);
  ignored_syncs_.emplace_back(kind, std::move(path_contains));
}

bool SimFileSystem::sync_is_ignored(IoCall kind, const std::string& path) const {
  return std::any_of(ignored_syncs_.begin(), ignored_syncs_.end(), [&](const auto& ignored) {
    return ignored.first == kind && path.find(ignored.second) != std::string::npos;
  });
}

void SimFileSystem::require_alignment(std::size_t bytes) {
  const std::lock_guard guard(mutex_);
  alignment_ = bytes;
}

void SimFileSystem::set_observer(SimObserver* observer) {
  const std::lock_guard guard(mutex_);
  observer_ = observer;
}

}  // namespace vaultgres
