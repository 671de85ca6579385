// A dump taken apart into its chunks, and put together again with checksums that fit: so inputs of the fuzz target are
// looked at beyond the first checksum.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "db/dump_writer.h"
#include "format/dump.h"

namespace vaultgres::fuzz {

struct DumpPart {
  DumpChunkKind kind;
  std::string payload;
  bool operator==(const DumpPart&) const = default;
};

/// Of a stream whose lengths hold.
inline std::vector<DumpPart> parts_of(std::string_view stream) {
  std::vector<DumpPart> parts;
  stream.remove_prefix(sizeof(DumpHeader));
  while (!stream.empty()) {
    DumpChunk chunk;
    std::memcpy(&chunk, stream.data(), sizeof chunk);
    stream.remove_prefix(sizeof chunk);
    parts.push_back({static_cast<DumpChunkKind>(chunk.kind.get()), std::string(stream.substr(0, chunk.bytes.get()))});
    stream.remove_prefix(chunk.bytes.get());
  }
  return parts;
}

/// Header, checksums, and the chain in ends.
inline std::string sealed_stream(std::vector<DumpPart> parts) {
  std::string stream;
  const auto append = [&](const auto& structure) {
    stream.append(reinterpret_cast<const char*>(&structure), sizeof structure);
  };
  DumpHeader header{};
  header.magic.set(kDumpMagic);
  header.version.set(kDumpVersion);
  append(header);
  std::uint32_t chain = 0xFFFFFFFFu;
  for (DumpPart& part : parts) {
    if (part.kind == DumpChunkKind::kEnd && part.payload.size() == sizeof(DumpEnd)) {
      LittleU32 stored;
      stored.set(chain);
      std::memcpy(part.payload.data() + offsetof(DumpEnd, chain), &stored, sizeof stored);
    }
    DumpChunk chunk{};
    chunk.bytes.set(static_cast<std::uint32_t>(part.payload.size()));
    chunk.kind.set(static_cast<std::uint8_t>(part.kind));
    chunk.checksum.set(internal::dump_checksum(stream.size(), chunk, as_bytes(part.payload)));
    chain = internal::extend_dump_chain(chain, chunk.checksum.get());
    append(chunk);
    stream += part.payload;
  }
  return stream;
}

}  // namespace vaultgres::fuzz
