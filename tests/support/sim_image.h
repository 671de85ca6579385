// What a simulated disk holds (Content, Image) and what was done to it (TraceEntry).
//
// File contents are pages of 4 KiB that images share and never change in place, so that copying an image
// costs a pointer per page. Directories are inodes of their own: renaming one takes its files along, and
// a directory whose creation a power cut undoes takes them away.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"

namespace vaultgres {

inline constexpr std::size_t kSimPageBytes = 4096;
inline constexpr std::size_t kSimSectorBytes = 512;

using InodeId = std::uint64_t;
inline constexpr InodeId kNoInode = 0;
inline constexpr InodeId kWorkingDirectory = 1;  ///< where relative paths begin
inline constexpr InodeId kRootDirectory = 2;     ///< where absolute paths begin

/// A part of a write that lies in one page; a whole page is shared with the contents it is applied to.
struct SimPiece {
  std::uint64_t offset = 0;
  std::size_t length = 0;
  std::shared_ptr<const std::byte[]> bytes;
};

std::vector<SimPiece> cut_into_pieces(std::uint64_t offset, Bytes from);

/// The bytes of one file.
class SimContent {
 public:
  std::uint64_t size() const noexcept { return size_; }
  /// Up to the end; the number of bytes read.
  std::size_t read(std::uint64_t offset, MutableBytes into) const;
  void apply(const SimPiece& piece);
  /// Only the sectors for which `persists` answers true, asked with the sector's offset in the file.
  void apply_sectors(const SimPiece& piece, const std::function<bool(std::uint64_t sector_offset)>& persists);
  void resize(std::uint64_t size);
  void grow_to(std::uint64_t size) {
    if (size > size_) resize(size);
  }

 private:
  void overwrite(std::uint64_t offset, const std::byte* from, std::size_t length);

  std::uint64_t size_ = 0;
  std::vector<std::shared_ptr<const std::byte[]>> pages_;  // null: zeros
};

enum class SimOp : std::uint8_t {
  kWrite,
  kSync,
  kTruncate,
  kAllocate,
  kCreate,
  kMakeDirectory,
  kRename,
  kRemove,
  kSyncDirectory,
  kMark,
};

/// One operation, in the order in which they happened. Immutable once it is in a trace.
struct SimTraceEntry {
  SimOp op = SimOp::kMark;
  int os_error = 0;                 ///< 0, or the injected failure: the operation did not happen
  bool ignored = false;             ///< a sync that ignore_syncs() swallowed
  std::uint64_t kept_seed = 0;      ///< of a failed sync: what it made durable all the same, 0: nothing
  InodeId inode = kNoInode;         ///< the file; for directory operations the file or directory named
  InodeId directory = kNoInode;     ///< where `name` is
  InodeId to_directory = kNoInode;  ///< rename only
  std::string name = {};
  std::string to_name = {};
  std::string path = {};  ///< for people, and the text of a mark
  std::string to_path = {};
  std::uint64_t offset = 0;  ///< or the size, of a truncate
  std::uint64_t length = 0;
  std::vector<SimPiece> pieces = {};

  bool changes_file() const noexcept {
    return os_error == 0 && (op == SimOp::kWrite || op == SimOp::kTruncate || op == SimOp::kAllocate);
  }
  bool changes_directory() const noexcept {
    return os_error == 0 &&
           (op == SimOp::kCreate || op == SimOp::kMakeDirectory || op == SimOp::kRename || op == SimOp::kRemove);
  }
  /// The directory whose sync makes a directory operation durable.
  InodeId durable_with() const noexcept { return op == SimOp::kRename ? to_directory : directory; }
};

/// "write db/data 8192 bytes at 16384"
std::string describe(const SimTraceEntry& entry);

using SimTrace = std::vector<std::shared_ptr<const SimTraceEntry>>;

/// Files and directories. Plain value.
struct SimImage {
  SimImage() : directories{{kWorkingDirectory, {}}, {kRootDirectory, {}}} {}

  std::map<InodeId, SimContent> files;
  std::map<InodeId, std::map<std::string, InodeId>> directories;

  bool is_directory(InodeId inode) const { return directories.contains(inode); }
  InodeId find(InodeId directory, const std::string& name) const;
  /// What the entry did to the bytes of its file; nothing for entries that do not change_file().
  void apply_to_file(const SimTraceEntry& entry);
  /// What the entry did to names; nothing for entries that do not change_directory().
  void apply_to_directory(const SimTraceEntry& entry);
  /// Drops what no path leads to, neither from the two beginnings nor from the other inodes named.
  void drop_unreachable(std::vector<InodeId> also_keep = {});
};

}  // namespace vaultgres
