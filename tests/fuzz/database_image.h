// A database's files as one compact input: pages and log blocks without the zeros at their ends. Their checksums are
// made right when files are made of it, so that mutations get behind them.
//
// Encoded as a row of chunks: kind (1 byte; 0x80: its checksum stays what it is), number (4), bytes (2), the bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "io/file.h"

namespace vaultgres::fuzz {

inline constexpr char kImageDirectory[] = "/db";

enum class ChunkKind : std::uint8_t {
  kPage = 0,               ///< of data.vg
  kLogBlock = 1,           ///< number: position / 4096
  kDoublewriteHeader = 2,  ///< number: nothing
  kDoublewritePage = 3,    ///< number: its place in the area
  kPageCount = 4,          ///< number: pages of data.vg; no bytes
  kScript = 5,             ///< bytes: what is done with the database
};
inline constexpr unsigned kChunkKinds = 6;

struct Chunk {
  ChunkKind kind = ChunkKind::kPage;
  std::uint32_t number = 0;
  std::vector<std::byte> bytes;
  bool sealed = true;  ///< its checksum is made right
};

struct DatabaseImage {
  std::vector<Chunk> chunks;

  Chunk* find(ChunkKind kind, std::uint32_t number);
  /// What the last script says.
  Bytes script() const;
};

/// Any bytes are an image: what does not fit is cut.
DatabaseImage decode_image(Bytes input);
std::string encode_image(const DatabaseImage& image);

/// Sets the checksums of pages 0 and 1 right.
void seal_superblocks(DatabaseImage& image);
/// Of all chunks that say so, for the database and the epochs that the newer superblock names.
void seal(DatabaseImage& image);

/// The files, in memory, under kImageDirectory.
std::unique_ptr<FileSystem> make_files(const DatabaseImage& image);

/// The image of a database. Log blocks below `log_from` are left out.
DatabaseImage read_image(FileSystem& files, std::uint64_t log_from);

}  // namespace vaultgres::fuzz
