#include "wal/wal_support.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "wal/block.h"

namespace vaultgres {

std::vector<std::byte> test_record(TestRandom& random, std::size_t bytes, std::uint64_t tag) {
  constexpr std::size_t kPartMax = 60000;
  std::vector<std::byte> record(sizeof(RecordHeader));
  std::uint8_t parts = 0;
  while (record.size() + sizeof(PagePart) <= bytes) {
    const std::size_t payload = std::min(kPartMax, bytes - record.size() - sizeof(PagePart));
    const std::size_t at = record.size();
    record.resize(at + sizeof(PagePart) + payload);
    auto& part = *reinterpret_cast<PagePart*>(record.data() + at);
    part.page.set(static_cast<std::uint32_t>(random.next()));
    part.bytes.set(static_cast<std::uint16_t>(payload));
    part.op.set(static_cast<std::uint8_t>(PageOp::kImage));
    for (std::size_t i = at + sizeof(PagePart); i < record.size(); ++i) record[i] = std::byte(random.next());
    ++parts;
  }
  auto& header = *reinterpret_cast<RecordHeader*>(record.data());
  header.length.set(static_cast<std::uint32_t>(record.size()));
  header.kind.set(static_cast<std::uint8_t>(RecordKind::kSystem));
  header.parts.set(parts);
  header.txn.set(tag);
  return record;
}

std::size_t test_record_size(TestRandom& random) {
  if (random.one_in(60)) return random.between(4000, 300000);
  if (random.one_in(5)) return random.between(1000, 9000);
  return random.between(24, 200);
}

DatabaseId test_database() {
  DatabaseId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = std::byte(i * 7 + 1);
  return id;
}

EpochSpan test_epoch(std::uint64_t number, Lsn first) {
  return {.number = number, .salt = number * 0x9E3779B97F4A7C15u, .first = first, .end = kNoLsn};
}

TestLog::TestLog(FileSystem& disk, LogOptions options, EpochSpan epoch, EpochSpan previous, Lsn keep_from)
    : span(epoch) {
  auto opened = Log::open(disk, kTestDirectory, test_database(), {epoch.number, epoch.salt, epoch.first},
                          keep_from == kNoLsn ? epoch.first : keep_from, options, poison);
  if (!opened) {
    ADD_FAILURE() << opened.error().message();
    std::abort();
  }
  log = *std::move(opened);
  epoch_record = append(RecordBuilder::epoch(epoch.number, previous.number, previous.end, previous.salt));
  EXPECT_TRUE(log->flush(epoch_record.lsn));
}

KeptRecord TestLog::append(std::vector<std::byte> bytes) {
  const Log::Appended appended = log->append(bytes);
  return {appended.address, appended.lsn, std::move(bytes)};
}

std::unique_ptr<SimFileSystem> test_disk() {
  auto disk = std::make_unique<SimFileSystem>();
  EXPECT_TRUE(disk->make_directory(kTestDirectory));
  disk->settle();
  return disk;
}

Result<ReadLog> read_log(FileSystem& disk, std::vector<EpochSpan> epochs, Lsn start, Lsn known_durable) {
  VG_ASSIGN(LogReader reader, LogReader::open(disk, kTestDirectory, test_database(), kTestSegment, std::move(epochs),
                                              start, known_durable));
  ReadLog read;
  for (;;) {
    VG_ASSIGN(const std::optional<LogRecord> record, reader.next());
    if (!record) break;
    read.records.push_back({record->address, record->lsn, {record->bytes.begin(), record->bytes.end()}});
  }
  read.accepted_end = reader.accepted_end();
  read.last_block_end = reader.last_block_end();
  read.durable_seen = reader.durable_seen();
  read.next_epoch_first = reader.next_epoch_first();
  return read;
}

::testing::AssertionResult is_prefix(const std::vector<KeptRecord>& read, const std::vector<KeptRecord>& written) {
  if (read.size() > written.size()) {
    return ::testing::AssertionFailure() << read.size() << " records read, " << written.size() << " written";
  }
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (read[i].address != written[i].address || read[i].lsn != written[i].lsn || read[i].bytes != written[i].bytes) {
      return ::testing::AssertionFailure()
             << "record " << i << " at " << raw(read[i].address) << " is not the one at " << raw(written[i].address);
    }
  }
  return ::testing::AssertionSuccess();
}

namespace {

std::string path_of(std::uint64_t position) {
  return kTestDirectory + "/" + segment_name(position / kTestSegment);
}

}  // namespace

void damage(FileSystem& disk, std::uint64_t position, Bytes bytes) {
  auto file = disk.open(path_of(position), OpenMode::kReadWrite);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write(position % kTestSegment, bytes));
}

std::vector<std::byte> block_bytes(FileSystem& disk, std::uint64_t position) {
  std::vector<std::byte> block(kLogBlockBytes);
  auto file = disk.open(path_of(position), OpenMode::kReadOnly);
  EXPECT_TRUE(file);
  if (!file) return block;
  EXPECT_TRUE((*file)->read(position % kTestSegment, block));
  return block;
}

}  // namespace vaultgres
