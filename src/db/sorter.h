// External merge sort for the creation of an index: entries in any order in, in key order out, in bounded memory.
//
//   Sorter sorter(files, directory + "/…", 64 << 20);
//   for (…) VG_TRY(sorter.add(key, value));
//   VG_TRY(sorter.finish());
//   while (true) {
//     Bytes key, value;
//     VG_ASSIGN(const bool found, sorter.next(key, value));
//     if (!found) break;
//     …
//   }
//
// Entries collect in memory. When it is full they are sorted and written to the file as one run; when there are more
// runs than memory has blocks to read them with, some are merged into longer runs first; the last merge is what next()
// reads. What fits in memory never makes a file. The file is appended to only: an entry takes room in it once, and once
// more for each earlier merge that it takes part in (none up to about 30 times the memory, from 512 KiB of it on).
//
// The memory is one allocation, of what was asked for, cut into blocks (slots) of which slot 0 is the writer's:
//
//   adding    | slot 0: block to write | records, growing up →        free        ← items, growing down |
//   merging   | slot 0: block to write | slot 1: block of a run | slot 2: block of a run | …            |
//
// A record is {key length u16, value length u16, key, value}, in memory and in the file alike.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "io/file.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// Sorts entries (key, value: bytes) by key, then value, in bounded memory. Equal entries all come out. One thread at
/// a time. After an error only the destructor may be called. Calls may throw std::bad_alloc.
class Sorter {
 public:
  static constexpr std::size_t kMemoryBytesMin = 64 * 1024;
  /// Key and value together; more is kTooLarge.
  static constexpr std::size_t kEntryBytesMax = 8000;

  /// `path`: of the temporary file, made when the first run is written and removed from its directory at once, so that
  /// its space is free again with the destructor or the end of the process. A crash between the two leaves an empty
  /// file, to be removed by whoever opens the database. `memory_bytes`: in all but 16 bytes a run and about 100 a slot;
  /// at least kMemoryBytesMin is used.
  Sorter(FileSystem& files, std::string path, std::size_t memory_bytes);
  ~Sorter();
  Sorter(const Sorter&) = delete;
  Sorter& operator=(const Sorter&) = delete;

  Status add(Bytes key, Bytes value);
  /// After the last add().
  Status finish();
  /// The next entry in order; false at the end. The views live until the next call.
  Result<bool> next(Bytes& key, Bytes& value);

  std::uint64_t entries() const noexcept { return entries_; }
  /// Sorted runs that add() and finish() wrote; 0: everything was sorted in memory.
  std::uint64_t runs() const noexcept { return run_count_; }
  /// Merges of some of the runs into a longer one, before the last.
  std::uint64_t merges() const noexcept { return merge_count_; }

 private:
  struct Item;    // an entry in memory
  struct Run;     // a sorted part of the file
  struct Source;  // a run while it is merged
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };

  // --- entries in memory
  void start(Bytes key);
  void narrow_prefix(Bytes key);
  std::size_t room() const noexcept;
  std::span<Item> items() noexcept;
  void sort_items();
  static void sort_from(std::span<Item> items, std::size_t equal_bytes);
  static void sort_equal_heads(std::span<Item> items, std::size_t equal_bytes);
  static std::size_t common_bytes(std::span<const Item> items, std::size_t equal_bytes) noexcept;

  // --- writing runs
  Status write_run();
  Status open_file();
  void begin_run();
  Status append(Bytes record);
  Status write_block(std::size_t bytes);
  Status end_run();

  // --- merging runs
  std::size_t fan_in() const noexcept { return memory_bytes_ / block_bytes_ - 1; }
  Status merge_some(std::size_t count);
  Status start_merge(std::size_t count);
  Status step();
  std::size_t play(std::size_t node);
  bool less(const Source& a, const Source& b) const noexcept;
  Status load_entry(Source& source);
  Status read_block(Source& source);
  Error damage(std::uint64_t offset, const char* reason) const;
  Error in_context(const Error& error) const;

  std::byte* slot(std::size_t index) const noexcept { return memory_.get() + index * block_bytes_; }

  FileSystem& files_;
  const std::string path_;
  const std::size_t memory_bytes_;
  const std::size_t block_bytes_;
  std::unique_ptr<std::byte, Free> memory_;  // made by the first add()
  std::uint64_t entries_ = 0;

  std::vector<std::byte> first_key_;
  std::size_t prefix_bytes_ = 0;  // every key begins with that many bytes of first_key_
  std::byte* records_end_ = nullptr;
  Item* items_begin_ = nullptr;
  Item* items_end_ = nullptr;
  Item* items_next_ = nullptr;  // what next() returns, when there are no runs

  std::unique_ptr<File> file_;
  std::uint64_t file_bytes_ = 0;
  std::size_t block_used_ = 0;  // of slot 0
  std::vector<Run> runs_;       // oldest first
  std::uint64_t run_count_ = 0;
  std::uint64_t merge_count_ = 0;

  std::vector<Source> sources_;
  std::vector<std::size_t> losers_;  // losers_[node]: the source that lost the match at this node of the tree
  std::size_t winner_ = 0;           // the source whose entry comes next
  bool winner_is_taken_ = false;     // next() returned that entry
  bool finished_ = false;
};

}  // namespace vaultgres
