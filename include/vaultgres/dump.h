// Dumps: the content of a database as one stream of bytes (docs/DUMP_FORMAT.md), and back.
//
//   auto summary = db.dump([&](std::string_view bytes) { return write_all(file, bytes); });
//   auto loaded = other.load([&](char* into, std::size_t bytes) { return read_some(file, into, bytes); });
//
// Both stream: dump() takes memory for one entry or row and some 100 KiB, load() for one and 2 MiB, and 32 MiB while it
// makes an index, however long the dump is. The functions are called by the calling thread only; what they return as an
// error ends the call with it. They must not throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres {

/// Takes the next bytes of a dump, all of them. They live until it returns.
using DumpSink = std::function<Status(std::string_view bytes)>;

/// Gives the next bytes of a dump, 1 to `bytes`; how many. 0: there are no more.
using DumpSource = std::function<Result<std::size_t>(char* into, std::size_t bytes)>;

/// Names that objects get instead of those that they have in the dump.
using DumpNames = std::map<std::string, std::string, std::less<>>;

struct DumpSummary {
  std::uint64_t maps = 0;
  std::uint64_t tables = 0;
  std::uint64_t indexes = 0;
  std::uint64_t entries = 0;  ///< of all maps
  std::uint64_t rows = 0;     ///< of all tables
  std::uint64_t bytes = 0;    ///< of the dump
};

}  // namespace vaultgres
