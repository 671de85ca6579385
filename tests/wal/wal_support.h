// What the log's tests share: records of any size that parse, a log on a simulated disk, and its reading.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/poison.h"
#include "format/log.h"
#include "support/random.h"
#include "support/sim_file_system.h"
#include "wal/log.h"
#include "wal/log_reader.h"
#include "wal/record.h"

namespace vaultgres {

inline constexpr std::size_t kTestSegment = 64 << 10;
inline const std::string kTestDirectory = "log";
/// Nothing is flushed that nobody asked for, however long a test takes.
inline constexpr LogOptions kSmall{
    .segment_bytes = kTestSegment, .buffer_bytes = 512 << 10, .flush_interval_ms = 3'600'000};

/// A system record of about `bytes` bytes with random payload; `tag` stands in its txn field.
std::vector<std::byte> test_record(TestRandom& random, std::size_t bytes, std::uint64_t tag);
/// 24 B to 300 KB, mostly small.
std::size_t test_record_size(TestRandom& random);

struct KeptRecord {
  Lsn address{0};
  Lsn lsn{0};
  std::vector<std::byte> bytes;
};

DatabaseId test_database();
EpochSpan test_epoch(std::uint64_t number, Lsn first);

/// A log whose first record is its epoch record, already durable.
struct TestLog {
  TestLog(FileSystem& disk, LogOptions options, EpochSpan epoch = test_epoch(1, Lsn{kTestSegment}),
          EpochSpan previous = {}, Lsn keep_from = kNoLsn);

  KeptRecord append(std::vector<std::byte> bytes);

  EpochSpan span;
  Poison poison;
  std::unique_ptr<Log> log;
  KeptRecord epoch_record;
};

/// A disk with an empty log directory, durable.
std::unique_ptr<SimFileSystem> test_disk();

struct ReadLog {
  std::vector<KeptRecord> records;
  Lsn accepted_end{0};
  Lsn last_block_end{0};
  Lsn durable_seen{0};
  Lsn next_epoch_first{0};
};
Result<ReadLog> read_log(FileSystem& disk, std::vector<EpochSpan> epochs, Lsn start = kNoLsn,
                         Lsn known_durable = kNoLsn);

/// The records that were read are the first of those that were written.
::testing::AssertionResult is_prefix(const std::vector<KeptRecord>& read, const std::vector<KeptRecord>& written);

/// Overwrites bytes at a log position.
void damage(FileSystem& disk, std::uint64_t position, Bytes bytes);
std::vector<std::byte> block_bytes(FileSystem& disk, std::uint64_t position);

}  // namespace vaultgres
