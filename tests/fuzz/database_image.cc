#include "database_image.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/little.h"
#include "format/doublewrite.h"
#include "format/superblock.h"
#include "io/memory_file_system.h"
#include "wal/block.h"

namespace vaultgres::fuzz {
namespace {

constexpr std::size_t kChunkHeaderBytes = 7;
constexpr unsigned kUnsealed = 0x80;
/// Inputs are small, and so are the files made of them.
constexpr std::uint32_t kPagesMax = 4096;
constexpr std::uint64_t kSegmentBytesMax = std::uint64_t{4} << 20;
constexpr std::uint64_t kDefaultSegmentBytes = std::uint64_t{256} << 10;

std::size_t bytes_max(ChunkKind kind) noexcept {
  switch (kind) {
    case ChunkKind::kPage:
    case ChunkKind::kDoublewritePage:
      return kPageBytes;
    case ChunkKind::kLogBlock:
    case ChunkKind::kDoublewriteHeader:
      return kLogBlockBytes;
    case ChunkKind::kScript:
      return 1024;
    case ChunkKind::kPageCount:
      break;
  }
  return 0;
}

std::vector<std::byte> padded(const Chunk& chunk) {
  std::vector<std::byte> bytes = chunk.bytes;
  bytes.resize(bytes_max(chunk.kind));
  return bytes;
}
void trim(std::vector<std::byte>& bytes) {
  while (!bytes.empty() && bytes.back() == std::byte{0}) bytes.pop_back();
}

/// A copy of the superblock in this page; null: it is none.
const Superblock* superblock_of(const Chunk* chunk, std::vector<std::byte>& bytes) {
  if (chunk == nullptr) return nullptr;
  bytes = padded(*chunk);
  const auto* block = reinterpret_cast<const Superblock*>(bytes.data());
  return block->magic.get() == kSuperblockMagic ? block : nullptr;
}

/// The newer one of both.
class NewestSuperblock {
 public:
  explicit NewestSuperblock(DatabaseImage& image) {
    const Superblock* first = superblock_of(image.find(ChunkKind::kPage, 0), bytes_[0]);
    const Superblock* second = superblock_of(image.find(ChunkKind::kPage, 1), bytes_[1]);
    newest_ = first;
    if (second != nullptr && (first == nullptr || second->sequence.get() > first->sequence.get())) newest_ = second;
  }
  const Superblock* get() const noexcept { return newest_; }
  DatabaseId database() const noexcept { return newest_ == nullptr ? DatabaseId{} : newest_->database; }
  /// The epoch that a log position belongs to.
  EpochEntry epoch_at(std::uint64_t position) const noexcept {
    EpochEntry epoch{};
    if (newest_ == nullptr) return epoch;
    const std::size_t count = std::min<std::size_t>(newest_->epoch_count.get(), kEpochsMax);
    for (std::size_t i = 0; i < count; ++i) {
      if (newest_->epochs[i].first.get() <= position) epoch = newest_->epochs[i];
    }
    return epoch;
  }
  std::uint64_t segment_bytes() const noexcept {
    const std::uint64_t bytes = newest_ == nullptr ? 0 : newest_->segment_bytes.get();
    return bytes != 0 && bytes % kLogBlockBytes == 0 ? bytes : kDefaultSegmentBytes;
  }

 private:
  std::vector<std::byte> bytes_[2];
  const Superblock* newest_ = nullptr;
};

void seal_page(Chunk& chunk, const DatabaseId& database, PageId id) {
  std::vector<std::byte> page = padded(chunk);
  if (page_is_zero(page)) return;
  page_header(MutableBytes(page)).checksum.set(page_checksum(database, id, page));
  trim(page);
  chunk.bytes = std::move(page);
}

void seal_block(Chunk& chunk, const NewestSuperblock& superblock) {
  const std::uint64_t position = std::uint64_t{chunk.number} * kLogBlockBytes;
  const EpochEntry epoch = superblock.epoch_at(position);
  const BlockSeal sealer(superblock.database(), epoch.number.get(), epoch.salt.get());
  std::vector<std::byte> block = padded(chunk);
  const LogBlockHeader& header = log_block_header(block);
  sealer.seal(block, position, header.used.get(), header.durable.get());
  trim(block);
  chunk.bytes = std::move(block);
}

void seal_doublewrite(Chunk& chunk, const DatabaseId& database) {
  std::vector<std::byte> block = padded(chunk);
  auto& header = *reinterpret_cast<DoublewriteHeader*>(block.data());
  header.checksum.set(0);
  header.checksum.set(crc32c(crc32c(0xFFFFFFFFu, database.bytes), Bytes(block).first(sizeof header)));
  trim(block);
  chunk.bytes = std::move(block);
}

/// The page whose copy stands at this place of the doublewrite area.
PageId copied_page(DatabaseImage& image, std::uint32_t place) {
  const Chunk* header = image.find(ChunkKind::kDoublewriteHeader, 0);
  if (header == nullptr || place >= kDoublewritePagesMax) return PageId{0};
  const std::vector<std::byte> block = padded(*header);
  return PageId{reinterpret_cast<const DoublewriteHeader*>(block.data())->pages[place].get()};
}

std::unique_ptr<File> open_or_create(FileSystem& files, const std::string& path) {
  const Result<bool> there = files.exists(path);
  Result<std::unique_ptr<File>> file = files.open(path, there && *there ? OpenMode::kReadWrite : OpenMode::kCreate);
  VG_CHECK(file, "files in memory can be opened");
  return *std::move(file);
}
void write(File& file, std::uint64_t offset, Bytes bytes) {
  VG_CHECK(file.write(offset, bytes), "files in memory can be written");
}

std::vector<std::byte> read_file(FileSystem& files, const std::string& path) {
  const std::unique_ptr<File> file = *files.open(path, OpenMode::kReadOnly);
  std::vector<std::byte> bytes(*file->size());
  VG_CHECK(file->read(0, bytes), "files in memory can be read");
  return bytes;
}

/// The pieces that are not zeros.
void add_chunks(DatabaseImage& image, ChunkKind kind, std::uint32_t first, Bytes bytes) {
  const std::size_t step = bytes_max(kind);
  for (std::size_t at = 0; at + step <= bytes.size(); at += step) {
    Chunk chunk{kind, first + static_cast<std::uint32_t>(at / step), {}, true};
    chunk.bytes.assign(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       bytes.begin() + static_cast<std::ptrdiff_t>(at + step));
    trim(chunk.bytes);
    if (!chunk.bytes.empty()) image.chunks.push_back(std::move(chunk));
  }
}

}  // namespace

Chunk* DatabaseImage::find(ChunkKind kind, std::uint32_t number) {
  for (Chunk& chunk : chunks) {
    if (chunk.kind == kind && chunk.number == number) return &chunk;
  }
  return nullptr;
}

Bytes DatabaseImage::script() const {
  Bytes script;
  for (const Chunk& chunk : chunks) {
    if (chunk.kind == ChunkKind::kScript) script = chunk.bytes;
  }
  return script;
}

DatabaseImage decode_image(Bytes input) {
  DatabaseImage image;
  while (input.size() >= kChunkHeaderBytes) {
    const auto tag = std::to_integer<unsigned>(input[0]);
    Chunk chunk;
    chunk.kind = static_cast<ChunkKind>((tag & ~kUnsealed) % kChunkKinds);
    chunk.sealed = (tag & kUnsealed) == 0;
    chunk.number = load_little<std::uint32_t>(input.data() + 1);
    const std::size_t wanted = load_little<std::uint16_t>(input.data() + 5);
    input = input.subspan(kChunkHeaderBytes);
    const Bytes bytes = input.first(std::min(wanted, input.size()));
    input = input.subspan(bytes.size());
    chunk.bytes.assign(bytes.begin(), bytes.end());
    chunk.bytes.resize(std::min(chunk.bytes.size(), bytes_max(chunk.kind)));
    image.chunks.push_back(std::move(chunk));
  }
  return image;
}

std::string encode_image(const DatabaseImage& image) {
  std::string out;
  for (const Chunk& chunk : image.chunks) {
    char header[kChunkHeaderBytes];
    header[0] = static_cast<char>(static_cast<unsigned>(chunk.kind) | (chunk.sealed ? 0 : kUnsealed));
    store_little(header + 1, chunk.number);
    store_little(header + 5, static_cast<std::uint16_t>(chunk.bytes.size()));
    out.append(header, sizeof header).append(as_text(chunk.bytes));
  }
  return out;
}

void seal_superblocks(DatabaseImage& image) {
  for (Chunk& chunk : image.chunks) {
    if (chunk.kind != ChunkKind::kPage || chunk.number > 1 || !chunk.sealed) continue;
    std::vector<std::byte> bytes;
    const Superblock* block = superblock_of(&chunk, bytes);
    if (block != nullptr) seal_page(chunk, block->database, PageId{chunk.number});
  }
}

void seal(DatabaseImage& image) {
  seal_superblocks(image);
  const NewestSuperblock superblock(image);
  const DatabaseId database = superblock.database();
  for (Chunk& chunk : image.chunks) {
    if (!chunk.sealed) continue;
    switch (chunk.kind) {
      case ChunkKind::kPage:
        if (chunk.number > 1) seal_page(chunk, database, PageId{chunk.number});
        break;
      case ChunkKind::kLogBlock:
        seal_block(chunk, superblock);
        break;
      case ChunkKind::kDoublewriteHeader:
        seal_doublewrite(chunk, database);
        break;
      case ChunkKind::kDoublewritePage:
        seal_page(chunk, database, copied_page(image, chunk.number));
        break;
      case ChunkKind::kPageCount:
      case ChunkKind::kScript:
        break;
    }
  }
}

std::unique_ptr<FileSystem> make_files(const DatabaseImage& image) {
  std::unique_ptr<FileSystem> files = make_memory_file_system();
  const std::string directory = kImageDirectory;
  VG_CHECK(files->make_directory(directory) && files->make_directory(directory + "/log"), "directories in memory");
  DatabaseImage copy = image;
  const std::uint64_t segment_bytes = NewestSuperblock(copy).segment_bytes();
  const std::unique_ptr<File> data = open_or_create(*files, directory + "/data.vg");
  for (const Chunk& chunk : image.chunks) {
    const std::vector<std::byte> bytes = padded(chunk);
    if (chunk.kind == ChunkKind::kPageCount) {
      VG_CHECK(data->allocate(0, std::uint64_t{chunk.number % kPagesMax} * kPageBytes), "files in memory can grow");
    } else if (chunk.kind == ChunkKind::kPage) {
      write(*data, std::uint64_t{chunk.number % kPagesMax} * kPageBytes, bytes);
    } else if (chunk.kind == ChunkKind::kLogBlock) {
      const std::uint64_t position = std::uint64_t{chunk.number} * kLogBlockBytes;
      if (position % segment_bytes >= kSegmentBytesMax) continue;
      const std::string name = segment_name(position / segment_bytes);
      write(*open_or_create(*files, directory + "/log/" + name), position % segment_bytes, bytes);
    } else if (chunk.kind == ChunkKind::kDoublewriteHeader) {
      write(*open_or_create(*files, directory + "/doublewrite.vg"), 0, bytes);
    } else if (chunk.kind == ChunkKind::kDoublewritePage) {
      const std::uint64_t place = chunk.number % kDoublewritePagesMax;
      write(*open_or_create(*files, directory + "/doublewrite.vg"), kDoublewriteHeaderBytes + place * kPageBytes,
            bytes);
    }
  }
  return files;
}

DatabaseImage read_image(FileSystem& files, std::uint64_t log_from) {
  DatabaseImage image;
  const std::string directory = kImageDirectory;
  const std::vector<std::byte> data = read_file(files, directory + "/data.vg");
  image.chunks.push_back({ChunkKind::kPageCount, static_cast<std::uint32_t>(data.size() / kPageBytes), {}, true});
  add_chunks(image, ChunkKind::kPage, 0, data);
  const std::uint64_t segment_bytes = NewestSuperblock(image).segment_bytes();
  const std::vector<std::string> names = *files.list(directory + "/log");
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    if (!parse_segment_name(name, &number)) continue;
    const std::vector<std::byte> bytes = read_file(files, directory + "/log/" + name);
    const std::uint64_t begin = number * segment_bytes;
    const std::uint64_t skip = std::min<std::uint64_t>(bytes.size(), log_from > begin ? log_from - begin : 0);
    add_chunks(image, ChunkKind::kLogBlock, static_cast<std::uint32_t>((begin + skip) / kLogBlockBytes),
               Bytes(bytes).subspan(skip));
  }
  const std::vector<std::byte> area = read_file(files, directory + "/doublewrite.vg");
  if (area.size() < kDoublewriteHeaderBytes) return image;
  add_chunks(image, ChunkKind::kDoublewriteHeader, 0, Bytes(area).first(kDoublewriteHeaderBytes));
  add_chunks(image, ChunkKind::kDoublewritePage, 0, Bytes(area).subspan(kDoublewriteHeaderBytes));
  return image;
}

}  // namespace vaultgres::fuzz
