// Goal: after any power cut the reader accepts a prefix that holds everything that was acknowledged; a hole below what
// is known to have been durable is damage, and says where; chains of epochs are followed exactly.
#include "wal/log_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "support/scale.h"
#include "wal/block.h"
#include "wal/wal_support.h"

namespace vaultgres {
namespace {

const std::vector<std::byte> kZeroBlock(kLogBlockBytes);

/// Records of about `bytes` bytes, each flushed on its own.
std::vector<KeptRecord> write_flushed(TestLog& test, TestRandom& random, std::uint64_t count, std::size_t bytes) {
  std::vector<KeptRecord> written;
  for (std::uint64_t i = 0; i < count; ++i) {
    written.push_back(test.append(test_record(random, bytes, i)));
    EXPECT_TRUE(test.log->flush(written.back().lsn));
  }
  return written;
}

bool is_damage(const Result<ReadLog>& read, std::uint64_t position) {
  if (read || read.error().code() != ErrorCode::kCorruption) return false;
  const std::string text(read.error().message());
  return text.find(segment_name(position / kTestSegment)) != std::string::npos &&
         text.find("position " + std::to_string(position)) != std::string::npos;
}

TEST(LogReader, EveryPowerCutLeavesAPrefixWithAllThatWasAcknowledged) {
  for (std::uint64_t round = 0; round < scaled(4); ++round) {
    TestRandom random(1000 + round);
    const auto disk = test_disk();
    TestLog test(*disk, kSmall);
    disk->mark(std::to_string(raw(test.epoch_record.lsn)));
    std::vector<KeptRecord> written{test.epoch_record};
    for (std::uint64_t i = 0; i < 60; ++i) {
      written.push_back(test.append(test_record(random, std::min<std::size_t>(test_record_size(random), 80000), i)));
      if (!random.one_in(3)) continue;
      ASSERT_TRUE(test.log->flush(written.back().lsn));
      disk->mark(std::to_string(raw(written.back().lsn)));
    }
    for (std::size_t position = 0; position <= disk->position(); ++position) {
      const std::vector<std::string> marks = disk->marks(position);
      if (marks.empty()) continue;
      const std::uint64_t acknowledged = std::stoull(marks.back());
      for (const PowerCut mode : kPowerCuts) {
        const auto after = disk->power_cut(position, mode, random.next());
        auto read = read_log(*after, {test.span}, kNoLsn, Lsn{acknowledged});
        ASSERT_TRUE(read) << read.error().message();
        ASSERT_TRUE(is_prefix(read->records, written));
        ASSERT_GE(raw(read->accepted_end), acknowledged) << "position " << position;
        ASSERT_GE(raw(read->next_epoch_first), raw(read->last_block_end));
      }
    }
  }
}

TEST(LogReader, PowerCutsBetweenOverlappingFlushesLeaveAPrefix) {
  const auto disk = test_disk();
  TestLog test(*disk, {.segment_bytes = kTestSegment, .buffer_bytes = 512 << 10, .flush_interval_ms = 1});
  disk->mark(std::to_string(raw(test.epoch_record.lsn)));
  std::mutex mutex;
  std::vector<KeptRecord> written{test.epoch_record};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(2000 + t);
      for (std::uint64_t i = 0; i < 25; ++i) {
        const KeptRecord kept = test.append(test_record(random, random.between(24, 30000), t));
        if (random.one_in(2)) {
          EXPECT_TRUE(test.log->flush(kept.lsn));
          disk->mark(std::to_string(raw(kept.lsn)));
        }
        const std::lock_guard lock(mutex);
        written.push_back(kept);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  test.log.reset();
  std::sort(written.begin(), written.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  TestRandom random(2100);
  for (std::size_t position = 0; position <= disk->position(); ++position) {
    std::uint64_t acknowledged = 0;
    for (const std::string& mark : disk->marks(position))
      acknowledged = std::max<std::uint64_t>(acknowledged, std::stoull(mark));
    if (acknowledged == 0) continue;
    for (const PowerCut mode : kPowerCuts) {
      auto read = read_log(*disk->power_cut(position, mode, random.next()), {test.span}, kNoLsn, Lsn{acknowledged});
      ASSERT_TRUE(read) << read.error().message();
      ASSERT_TRUE(is_prefix(read->records, written));
      ASSERT_GE(raw(read->accepted_end), acknowledged) << "position " << position;
    }
  }
}

TEST(LogReader, HoleBelowTheDurableLsnIsDamage) {
  TestRandom random(1);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  const std::vector<KeptRecord> written = write_flushed(test, random, 40, 3000);
  const std::uint64_t last_block = block_start(raw(written.back().address));
  for (std::uint64_t block = raw(test.span.first); block <= last_block; block += kLogBlockBytes) {
    const auto after = disk->killed();
    damage(*after, block, kZeroBlock);
    auto read = read_log(*after, {test.span});
    if (block < last_block) {
      EXPECT_TRUE(is_damage(read, block)) << block;  // a later block says that this one was durable
    } else {
      // No later block knows: only who remembers the durable LSN can tell.
      ASSERT_TRUE(read) << read.error().message();
      EXPECT_EQ(read->last_block_end, Lsn{block});
      EXPECT_TRUE(is_damage(read_log(*after, {test.span}, kNoLsn, Lsn{block + 1}), block));
      EXPECT_TRUE(read_log(*after, {test.span}, kNoLsn, Lsn{block}));
    }
  }
}

TEST(LogReader, DamageIsFoundAcrossAMissingSegment) {
  TestRandom random(2);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  write_flushed(test, random, 60, 3000);  // more than three segments
  const auto after = disk->killed();
  const std::uint64_t gone = raw(test.span.first) + kTestSegment;
  ASSERT_TRUE(after->remove(kTestDirectory + "/" + segment_name(gone / kTestSegment)));
  EXPECT_TRUE(is_damage(read_log(*after, {test.span}), gone));
}

TEST(LogReader, AnyFlippedBitIsFound) {
  TestRandom random(3);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  std::vector<KeptRecord> written{test.epoch_record};
  for (const KeptRecord& kept : write_flushed(test, random, 20, 5000)) written.push_back(kept);
  const std::uint64_t first = raw(test.span.first);
  const std::uint64_t end = raw(test.log->durable());
  const auto after = disk->killed();
  for (std::uint64_t i = 0; i < scaled(300); ++i) {
    const std::uint64_t block = block_start(first + random.uniform(end - first));
    const std::vector<std::byte> good = block_bytes(*after, block);
    std::vector<std::byte> bad = good;
    const std::size_t bit = random.uniform(bad.size() * 8);
    bad[bit / 8] ^= std::byte(1 << bit % 8);
    damage(*after, block, bad);
    EXPECT_TRUE(is_damage(read_log(*after, {test.span}, kNoLsn, test.log->durable()), block)) << block;
    damage(*after, block, good);
  }
  auto read = read_log(*after, {test.span}, kNoLsn, test.log->durable());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->records.size(), written.size());
}

TEST(LogReader, RecordThatIsLostBehindASegmentEndIsDropped) {
  TestRandom random(4);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  std::vector<KeptRecord> written{test.epoch_record};
  for (const KeptRecord& kept : write_flushed(test, random, 5, 3000)) written.push_back(kept);
  const KeptRecord crossing = test.append(test_record(random, 100000, 9));
  ASSERT_NE(raw(crossing.address) / kTestSegment, raw(crossing.lsn) / kTestSegment);
  ASSERT_TRUE(test.log->flush(crossing.lsn));
  for (std::uint64_t block = block_start(raw(crossing.address)); block < raw(crossing.lsn); block += kLogBlockBytes) {
    const auto after = disk->killed();
    damage(*after, block, kZeroBlock);
    auto read = read_log(*after, {test.span});
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->records.size(), written.size());
    EXPECT_TRUE(is_prefix(read->records, written));
    EXPECT_EQ(read->accepted_end, written.back().lsn);
    EXPECT_EQ(read->last_block_end, Lsn{block});
  }
}

TEST(LogReader, StartsAtTheFirstRecordAtOrAfterAnyPosition) {
  TestRandom random(5);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  std::vector<KeptRecord> written{test.epoch_record};
  for (std::uint64_t i = 0; i < 60; ++i) {
    written.push_back(test.append(test_record(random, random.one_in(10) ? 20000 : random.between(24, 2000), i)));
    if (random.one_in(4)) {
      ASSERT_TRUE(test.log->flush(written.back().lsn));
    }
  }
  ASSERT_TRUE(test.log->flush(test.log->end()));
  for (std::uint64_t i = 0; i < scaled(300); ++i) {
    std::uint64_t start = raw(test.span.first) + random.uniform(raw(test.log->end()) - raw(test.span.first));
    if (random.one_in(2)) start = raw(written[random.uniform(written.size())].address);
    if (random.one_in(4)) start = raw(written[random.uniform(written.size())].lsn);
    std::vector<KeptRecord> expected;
    for (const KeptRecord& kept : written) {
      if (raw(kept.address) >= start) expected.push_back(kept);
    }
    auto read = read_log(*disk, {test.span}, Lsn{start}, test.log->durable());
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->records.size(), expected.size()) << start;
    EXPECT_TRUE(is_prefix(read->records, expected));
  }
}

/// Three epochs, the first two cut off by a power cut, as recovery would chain them.
struct Chain {
  explicit Chain(TestRandom& random) : disk(test_disk()) {
    for (std::uint64_t number = 1; number <= 3; ++number) {
      Lsn first{kTestSegment};
      EpochSpan previous;
      if (!epochs.empty()) {
        auto read = read_log(*disk, epochs);
        EXPECT_TRUE(read);
        first = read->next_epoch_first;
        epochs.back().end = read->accepted_end;
        previous = epochs.back();
      }
      epochs.push_back(test_epoch(number, first));
      TestLog test(*disk, kSmall, epochs.back(), previous, Lsn{kTestSegment});
      written.push_back(test.epoch_record);
      for (const KeptRecord& kept : write_flushed(test, random, 30, 2500)) written.push_back(kept);
      test.append(test_record(random, 30000, 1));  // never flushed
      test.log.reset();
      disk = disk->power_cut(disk->position(), PowerCut::kNone, 0);
    }
  }

  std::unique_ptr<SimFileSystem> disk;
  std::vector<EpochSpan> epochs;
  std::vector<KeptRecord> written;
};

TEST(LogReader, FollowsAChainOfEpochs) {
  TestRandom random(6);
  Chain chain(random);
  auto read = read_log(*chain.disk, chain.epochs);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->records.size(), chain.written.size());
  EXPECT_TRUE(is_prefix(read->records, chain.written));

  // From the padding behind an epoch's end, and from the middle.
  read = read_log(*chain.disk, chain.epochs, chain.epochs[0].end);
  ASSERT_TRUE(read);
  ASSERT_FALSE(read->records.empty());
  EXPECT_EQ(read->records[0].address, Lsn{record_address(raw(chain.epochs[1].first))});
  // All of them over, an empty one included.
  std::vector<EpochSpan> over = chain.epochs;
  over.back().end = chain.written.back().lsn;
  EpochSpan empty = test_epoch(4, Lsn{raw(over.back().end) / kTestSegment * kTestSegment + 9 * kTestSegment});
  empty.end = empty.first;
  over.push_back(empty);
  read = read_log(*chain.disk, over);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->records.size(), chain.written.size());

  auto reader =
      LogReader::open(*chain.disk, kTestDirectory, test_database(), kTestSegment, chain.epochs, kNoLsn, kNoLsn);
  ASSERT_TRUE(reader);
  for (std::size_t i = chain.written.size(); i-- > 0;) {
    std::vector<std::byte> bytes;
    ASSERT_TRUE(reader->read_at(chain.written[i].address, bytes));
    EXPECT_EQ(bytes, chain.written[i].bytes);
  }
  std::vector<std::byte> bytes;
  EXPECT_FALSE(reader->read_at(chain.epochs[0].end, bytes));
  EXPECT_FALSE(reader->read_at(Lsn{5}, bytes));
  EXPECT_FALSE(reader->read_at(Lsn{raw(chain.written[3].address) + 1}, bytes));
}

TEST(LogReader, RefusesAChainThatIsNotWhole) {
  TestRandom random(7);
  Chain chain(random);
  const auto refused = [&](std::vector<EpochSpan> epochs) {
    auto read = read_log(*chain.disk, std::move(epochs));
    return !read && read.error().code() == ErrorCode::kCorruption;
  };
  std::vector<EpochSpan> wrong = chain.epochs;
  wrong[0].end = Lsn{raw(wrong[0].end) + 8};  // claims more than there is
  EXPECT_TRUE(refused(wrong));
  wrong = chain.epochs;
  wrong[0].end = chain.written[5].lsn;  // a true record end, but not what the next epoch names
  EXPECT_TRUE(refused(wrong));
  wrong = chain.epochs;
  wrong[1].number = 9;
  EXPECT_TRUE(refused(wrong));
  wrong = chain.epochs;
  wrong.erase(wrong.begin() + 1);
  EXPECT_TRUE(refused(wrong));
  wrong = chain.epochs;
  std::swap(wrong[0], wrong[1]);
  EXPECT_TRUE(refused(wrong));

  const std::uint64_t block = block_start(raw(chain.written[10].address));
  damage(*chain.disk, block, kZeroBlock);
  EXPECT_TRUE(is_damage(read_log(*chain.disk, chain.epochs), block));
}

/// Writes must not change what is there.
class SameBytes : public SimObserver {
 public:
  explicit SameBytes(std::map<std::string, std::vector<std::byte>> files) : files_(std::move(files)) {}
  void on_write(const std::string& path, std::uint64_t offset, Bytes bytes) override {
    const std::vector<std::byte>& file = files_.at(path.substr(path.rfind('/') + 1));
    ASSERT_LE(offset + bytes.size(), file.size());
    EXPECT_EQ(std::memcmp(file.data() + offset, bytes.data(), bytes.size()), 0);
    written_ += bytes.size();
  }
  std::uint64_t written() const { return written_; }

 private:
  std::map<std::string, std::vector<std::byte>> files_;
  std::uint64_t written_ = 0;
};

TEST(LogReader, RewrittenTailIsDurable) {
  TestRandom random(8);
  const auto disk = test_disk();
  std::vector<KeptRecord> written;
  EpochSpan span;
  {
    TestLog test(*disk, kSmall);
    span = test.span;
    written.push_back(test.epoch_record);
    for (const KeptRecord& kept : write_flushed(test, random, 10, 3000)) written.push_back(kept);
    disk->ignore_syncs(IoCall::kSync, ".log");  // the rest only seems to be on disk
    for (const KeptRecord& kept : write_flushed(test, random, 30, 3000)) written.push_back(kept);
  }
  const auto machine = disk->killed();
  EXPECT_LT(read_log(*machine->power_cut(machine->position(), PowerCut::kNone, 0), {span})->records.size(),
            written.size());
  std::map<std::string, std::vector<std::byte>> files;
  const std::vector<std::string> names = *machine->list(kTestDirectory);
  for (const std::string& name : names) {
    auto file = machine->open(kTestDirectory + "/" + name, OpenMode::kReadOnly);
    std::vector<std::byte>& bytes = files[name];
    bytes.resize(*(*file)->size());
    ASSERT_TRUE((*file)->read(0, bytes));
  }
  SameBytes same(std::move(files));
  machine->set_observer(&same);
  auto reader = LogReader::open(*machine, kTestDirectory, test_database(), kTestSegment, {span}, kNoLsn, kNoLsn);
  ASSERT_TRUE(reader);
  while (true) {
    auto record = reader->next();
    ASSERT_TRUE(record);
    if (!*record) break;
  }
  ASSERT_TRUE(reader->rewrite_tail(written[10].lsn));
  EXPECT_GT(same.written(), 0u);
  machine->set_observer(nullptr);
  auto read = read_log(*machine->power_cut(machine->position(), PowerCut::kNone, 0), {span});
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->records.size(), written.size());
}

TEST(LogReader, ReadErrorsAreNeitherTailNorDamage) {
  TestRandom random(9);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  write_flushed(test, random, 40, 3000);
  for (std::uint64_t at = 1; at <= 3; ++at) {
    disk->inject({.call = IoCall::kRead, .at = at, .os_error = EIO, .path_contains = ".log"});
    auto read = read_log(*disk, {test.span});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), ErrorCode::kIo);
    disk->clear_faults();
  }
}

TEST(LogReader, HostileBlocksWithGoodChecksumsNeverLeadAstray) {
  TestRandom random(10);
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  std::vector<KeptRecord> written{test.epoch_record};
  for (const KeptRecord& kept : write_flushed(test, random, 20, 3000)) written.push_back(kept);
  const BlockSeal seal(test_database(), test.span.number, test.span.salt);
  const std::uint64_t first = raw(test.span.first);
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < scaled(1000); ++i) {
    const std::uint64_t block = block_start(first + random.uniform(raw(test.log->durable()) - first));
    const std::vector<std::byte> good = block_bytes(*disk, block);
    std::vector<std::byte> bad = good;
    auto& header = *reinterpret_cast<LogBlockHeader*>(bad.data());
    std::size_t used = header.used.get();
    if (random.one_in(3)) used = random.between(1, kLogBlockPayload);
    if (random.one_in(3)) header.first_record.set(static_cast<std::uint16_t>(random.uniform(used + 1)));
    for (std::uint64_t n = random.uniform(3); n > 0; --n) {
      bad[sizeof(LogBlockHeader) + random.zipf(kLogBlockPayload)] = std::byte(random.next());
    }
    seal.seal(bad, block, used, random.one_in(10) ? random.next() : header.durable.get());
    damage(*disk, block, bad);
    const Lsn start{random.one_in(2) ? 0 : block + random.uniform(kLogBlockBytes)};
    auto read = read_log(*disk, {test.span}, start);
    if (read) {
      for (const KeptRecord& kept : read->records) EXPECT_TRUE(RecordView::parse(kept.bytes));
    } else {
      ++refused;
      EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
    }
    damage(*disk, block, good);
  }
  EXPECT_GT(refused, 0u);
  for (const std::uint64_t far : {UINT64_MAX - 65535, kLogPositionMax}) {
    EXPECT_FALSE(read_log(*disk, {test.span}, Lsn{far}));
    EXPECT_FALSE(read_log(*disk, {test_epoch(1, Lsn{far})}));
  }
}

}  // namespace
}  // namespace vaultgres
