#include "support/sim_image.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

namespace vaultgres {

std::vector<SimPiece> cut_into_pieces(std::uint64_t offset, Bytes from) {
  std::vector<SimPiece> pieces;
  while (!from.empty()) {
    const std::size_t length = std::min(from.size(), kSimPageBytes - offset % kSimPageBytes);
    auto bytes = std::make_shared<std::byte[]>(length);
    std::memcpy(bytes.get(), from.data(), length);
    pieces.push_back({.offset = offset, .length = length, .bytes = std::move(bytes)});
    offset += length;
    from = from.subspan(length);
  }
  return pieces;
}

std::size_t SimContent::read(std::uint64_t offset, MutableBytes into) const {
  if (offset >= size_) return 0;
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - offset));
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t within = (offset + done) % kSimPageBytes;
    const std::size_t length = std::min(bytes - done, kSimPageBytes - within);
    const std::byte* page = pages_[(offset + done) / kSimPageBytes].get();
    if (page != nullptr) {
      std::memcpy(into.data() + done, page + within, length);
    } else {
      std::memset(into.data() + done, 0, length);
    }
    done += length;
  }
  return bytes;
}

void SimContent::apply(const SimPiece& piece) {
  grow_to(piece.offset + piece.length);
  if (piece.length == kSimPageBytes) {
    pages_[piece.offset / kSimPageBytes] = piece.bytes;
  } else {
    overwrite(piece.offset, piece.bytes.get(), piece.length);
  }
}

void SimContent::apply_sectors(const SimPiece& piece, const std::function<bool(std::uint64_t)>& persists) {
  for (std::size_t done = 0; done < piece.length;) {
    const std::uint64_t at = piece.offset + done;
    const std::size_t length = std::min(piece.length - done, kSimSectorBytes - at % kSimSectorBytes);
    if (persists(at)) {
      grow_to(at + length);
      overwrite(at, piece.bytes.get() + done, length);
    }
    done += length;
  }
}

void SimContent::resize(std::uint64_t size) {
  if (size < size_ && size % kSimPageBytes != 0 && pages_[size / kSimPageBytes] != nullptr) {
    // What is cut off must read as zeros when the file grows again.
    const std::size_t kept = size % kSimPageBytes;
    const std::vector<std::byte> zeros(kSimPageBytes - kept);
    overwrite(size, zeros.data(), zeros.size());
  }
  size_ = size;
  pages_.resize((size + kSimPageBytes - 1) / kSimPageBytes);
}

/// Within one page. Other contents may share the page, hence the copy.
void SimContent::overwrite(std::uint64_t offset, const std::byte* from, std::size_t length) {
  auto& page = pages_[offset / kSimPageBytes];
  auto copy = std::make_shared<std::byte[]>(kSimPageBytes);
  if (page != nullptr) std::memcpy(copy.get(), page.get(), kSimPageBytes);
  std::memcpy(copy.get() + offset % kSimPageBytes, from, length);
  page = std::move(copy);
}

std::string describe(const SimTraceEntry& entry) {
  const auto range = [&] { return " " + std::to_string(entry.length) + " bytes at " + std::to_string(entry.offset); };
  std::string text;
  switch (entry.op) {
    case SimOp::kWrite:
      text = "write " + entry.path + range();
      break;
    case SimOp::kSync:
      text = "sync " + entry.path;
      break;
    case SimOp::kTruncate:
      text = "truncate " + entry.path + " to " + std::to_string(entry.offset);
      break;
    case SimOp::kAllocate:
      text = "allocate " + entry.path + range();
      break;
    case SimOp::kCreate:
      text = "create " + entry.path;
      break;
    case SimOp::kMakeDirectory:
      text = "make directory " + entry.path;
      break;
    case SimOp::kRename:
      text = "rename " + entry.path + " to " + entry.to_path;
      break;
    case SimOp::kRemove:
      text = "remove " + entry.path;
      break;
    case SimOp::kSyncDirectory:
      text = "sync directory " + entry.path;
      break;
    case SimOp::kMark:
      text = "mark " + entry.path;
      break;
  }
  if (entry.os_error != 0) text += " (failed: " + std::string(std::strerror(entry.os_error)) + ")";
  if (entry.ignored) text += " (ignored)";
  return text;
}

InodeId SimImage::find(InodeId directory, const std::string& name) const {
  const auto names = directories.find(directory);
  if (names == directories.end()) return kNoInode;
  const auto entry = names->second.find(name);
  return entry == names->second.end() ? kNoInode : entry->second;
}

void SimImage::apply_to_file(const SimTraceEntry& entry) {
  if (!entry.changes_file()) return;
  SimContent& content = files[entry.inode];
  switch (entry.op) {
    case SimOp::kWrite:
      for (const SimPiece& piece : entry.pieces) content.apply(piece);
      break;
    case SimOp::kTruncate:
      content.resize(entry.offset);
      break;
    default:
      content.grow_to(entry.offset + entry.length);
      break;
  }
}

void SimImage::apply_to_directory(const SimTraceEntry& entry) {
  if (!entry.changes_directory()) return;
  switch (entry.op) {
    case SimOp::kCreate:
      files.try_emplace(entry.inode);
      directories[entry.directory][entry.name] = entry.inode;
      break;
    case SimOp::kMakeDirectory:
      directories.try_emplace(entry.inode);
      directories[entry.directory][entry.name] = entry.inode;
      break;
    case SimOp::kRename:
      // The old name may stand for another file by now: operations of two directories become durable
      // independently.
      if (find(entry.directory, entry.name) == entry.inode) directories[entry.directory].erase(entry.name);
      directories[entry.to_directory][entry.to_name] = entry.inode;
      break;
    default:
      directories[entry.directory].erase(entry.name);
      break;
  }
}

void SimImage::drop_unreachable(std::vector<InodeId> also_keep) {
  std::set<InodeId> reached;
  std::vector<InodeId> to_visit = std::move(also_keep);
  to_visit.insert(to_visit.end(), {kWorkingDirectory, kRootDirectory});
  while (!to_visit.empty()) {
    const InodeId inode = to_visit.back();
    to_visit.pop_back();
    if (!reached.insert(inode).second || !is_directory(inode)) continue;
    for (const auto& [name, child] : directories[inode]) to_visit.push_back(child);
  }
  std::erase_if(files, [&](const auto& file) { return !reached.contains(file.first); });
  std::erase_if(directories, [&](const auto& directory) { return !reached.contains(directory.first); });
}

}  // namespace vaultgres
