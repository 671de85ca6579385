// Reads the log along its chain of epochs, for recovery: in order, up to the tail, or single records.
//
// README.md, "Epochs, tail and damage", states the rules. Nothing on disk is trusted; every record that
// is returned could be parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "format/page.h"
#include "io/file.h"
#include "wal/block.h"
#include "wal/record.h"
#include "wal/segment_reader.h"

namespace vaultgres {

/// One epoch as the superblock lists it.
struct EpochSpan {
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  Lsn first{0};
  Lsn end{0};  ///< of its last accepted record; kNoLsn: the current one, which ends at its tail
};

struct LogRecord {
  Lsn address{0};
  Lsn lsn{0};
  std::uint64_t epoch = 0;
  std::uint64_t time = 0;  ///< of the flush that wrote its end; microseconds since 1970
  Bytes bytes;             ///< the whole record; valid until the next call of next() or read_at()
  RecordView view;         ///< the same, parsed
};

/// One thread at a time.
class LogReader {
 public:
  /// `epochs`: oldest first; only the last may be without an end. Reading begins with the first record at or
  /// after `start`. A hole below `known_durable` (the superblock's claim, a backup's end) is damage.
  static Result<LogReader> open(FileSystem& files, std::string directory, const DatabaseId& database,
                                std::size_t segment_bytes, std::vector<EpochSpan> epochs, Lsn start, Lsn known_durable);

  /// The next record, or nothing: the end. kCorruption names file and position.
  Result<std::optional<LogRecord>> next();
  /// The record at an address, whatever next() is doing.
  Status read_at(Lsn address, std::vector<std::byte>& record);

  // Final when next() has returned nothing.

  /// LSN of the last complete record; where reading began when there was none.
  Lsn accepted_end() const noexcept { return Lsn{accepted_end_}; }
  /// Where the last block of the contiguous valid ones ends.
  Lsn last_block_end() const noexcept { return Lsn{last_block_end_}; }
  /// The greatest durable LSN that any block read so far names, or `known_durable`.
  Lsn durable_seen() const noexcept { return Lsn{durable_seen_}; }
  /// The highest number of a segment file that was there at open; nothing: there was none.
  std::optional<std::uint64_t> highest_segment() const noexcept;
  /// Where the next epoch may begin: a segment above all files, the tail, the start of every epoch, and `written`.
  Lsn next_epoch_first(Lsn written = Lsn{0}) const noexcept;
  /// For who knows more than the log does of how far it was durable.
  Error damaged_tail(const std::string& why) const { return damaged(last_block_end_, why); }

  /// Writes every accepted block at or above `from` again, the same bytes, and syncs files and directory.
  /// Only when next() has returned nothing.
  Status rewrite_tail(Lsn from);

 private:
  LogReader(FileSystem& files, std::string directory, const DatabaseId& database, std::size_t segment_bytes,
            std::vector<EpochSpan> epochs, std::vector<std::uint64_t> segments, Lsn start, Lsn known_durable,
            SegmentReader reader);

  const EpochSpan& epoch() const noexcept { return epochs_[epoch_index_]; }
  bool is_over(const EpochSpan& span) const noexcept { return span.end != kNoLsn; }
  BlockSeal seal_of(const EpochSpan& span) const noexcept { return {database_, span.number, span.salt}; }

  Result<std::optional<LogRecord>> next_of_epoch();
  Result<bool> seek();
  bool enter_next_epoch() noexcept;
  Result<Bytes> checked_block(std::uint64_t position);
  /// At the block that is not valid: the tail (nothing), or damage.
  Status judge_hole();
  Status look_ahead();
  Result<RecordView> check_record(std::uint64_t address, std::uint64_t lsn) const;
  Error damaged(std::uint64_t position, const std::string& why) const;

  FileSystem* files_;
  std::string directory_;
  DatabaseId database_;
  std::size_t segment_bytes_;
  std::vector<EpochSpan> epochs_;
  std::vector<std::uint64_t> segments_;  // files that exist, ascending
  std::uint64_t start_;
  SegmentReader reader_;

  std::size_t epoch_index_ = 0;
  BlockSeal seal_;              // of the epoch at epoch_index_
  std::uint64_t position_ = 0;  // where the record before ended
  bool sought_ = false;         // position_ has been set from start_
  bool ended_ = false;
  std::vector<std::byte> record_;

  static constexpr std::uint64_t kNone = UINT64_MAX;
  std::uint64_t checked_ = kNone;     // a block of this epoch that was found good …
  std::uint64_t checked_load_ = 0;    // … in this load of reader_
  std::uint64_t checked_time_ = 0;    // … and its time
  std::uint64_t hole_ = kNone;        // the block that was not
  const char* hole_fault_ = nullptr;  // and why

  std::uint64_t accepted_end_ = 0;
  std::uint64_t last_block_end_ = 0;
  std::uint64_t durable_seen_ = 0;
};

}  // namespace vaultgres
