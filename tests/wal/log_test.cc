// Goal: what is appended by any number of threads is what the reader finds, in LSN order, and Log::read too; commits
// batch by themselves; blocks are written once; nobody hangs, whatever fails.
#include "wal/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>

#include "support/hooked_file_system.h"
#include "support/scale.h"
#include "wal/block.h"
#include "wal/log_space.h"
#include "wal/wal_support.h"

namespace vaultgres {
namespace {

/// Polls for something that another thread brings about; false after a long time.
template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

void sort_by_address(std::vector<KeptRecord>& records) {
  std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
}

TEST(Log, ReadsBackWhatWasAppended) {
  const auto disk = test_disk();
  TestRandom random(1);
  TestLog test(*disk, kSmall);
  std::vector<KeptRecord> written{test.epoch_record};
  for (std::uint64_t i = 0; i < scaled(1500); ++i) {
    written.push_back(test.append(test_record(random, test_record_size(random), i)));
    EXPECT_GE(test.log->end(), written.back().lsn);  // the flusher may have closed the block
    if (random.one_in(20)) {
      const Lsn lsn = written[written.size() - 1 - random.uniform(std::min<std::size_t>(written.size(), 5))].lsn;
      ASSERT_TRUE(test.log->flush(lsn));
      EXPECT_GE(test.log->durable(), lsn);
    }
    EXPECT_GE(test.log->filled(), written.back().lsn);
    const Lsn durable = test.log->durable();  // first: both may grow meanwhile
    EXPECT_LE(durable, test.log->filled());
    if (random.one_in(10)) {  // from the buffer or from the files
      const KeptRecord& kept = written[random.uniform(written.size())];
      std::vector<std::byte> bytes;
      ASSERT_TRUE(test.log->read(kept.address, bytes));
      EXPECT_EQ(bytes, kept.bytes);
    }
  }
  ASSERT_TRUE(test.log->flush(test.log->end()));
  EXPECT_EQ(test.log->durable(), test.log->end());
  auto read = read_log(*disk, {test.span});
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->records.size(), written.size());
  EXPECT_TRUE(is_prefix(read->records, written));
  EXPECT_EQ(read->accepted_end, written.back().lsn);
  EXPECT_EQ(read->last_block_end, test.log->durable());
}

TEST(Log, ManyThreadsAppendAndFlush) {
  const auto disk = test_disk();
  TestLog test(*disk, {.segment_bytes = kTestSegment, .buffer_bytes = 1 << 20, .flush_interval_ms = 1});
  std::mutex mutex;
  std::vector<KeptRecord> written{test.epoch_record};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(100 + t);
      for (std::uint64_t i = 0; i < scaled(150); ++i) {
        std::vector<std::byte> bytes = test_record(random, test_record_size(random), t);
        Lsn seen_filled{0};
        const Log::Appended appended =
            test.log->append(bytes, [&](const Log::Appended&) { seen_filled = test.log->filled(); });
        EXPECT_LT(seen_filled, appended.lsn);
        if (random.one_in(3)) {
          EXPECT_TRUE(test.log->flush(appended.lsn));
          EXPECT_GE(test.log->durable(), appended.lsn);
        }
        if (random.one_in(8)) {
          std::vector<std::byte> read;
          EXPECT_TRUE(test.log->read(appended.address, read));
          EXPECT_EQ(read, bytes);
        }
        if (random.one_in(50)) test.log->request_flush();
        const std::lock_guard lock(mutex);
        written.push_back({appended.address, appended.lsn, std::move(bytes)});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // The flusher may be closing a block, which counts as filled a moment later.
  EXPECT_TRUE(eventually([&] { return test.log->filled() == test.log->end(); }));
  ASSERT_TRUE(test.log->flush(test.log->end()));
  sort_by_address(written);
  auto read = read_log(*disk, {test.span});
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->records.size(), written.size());
  EXPECT_TRUE(is_prefix(read->records, written));
}

TEST(Log, NothingCountsAsFilledPastARecordThatIsBeingCopied) {
  const auto disk = test_disk();
  TestRandom random(2);
  TestLog test(*disk, kSmall);
  KeptRecord later;
  const std::vector<std::byte> bytes = test_record(random, 100, 1);
  const Log::Appended earlier = test.log->append(bytes, [&](const Log::Appended& appended) {
    std::thread([&] { later = test.append(test_record(random, 9000, 2)); }).join();
    EXPECT_GT(later.address, appended.address);
    EXPECT_LT(test.log->filled(), appended.lsn);
  });
  EXPECT_LT(earlier.lsn, later.lsn);
  EXPECT_EQ(test.log->filled(), later.lsn);
  EXPECT_EQ(test.log->filled(), test.log->end());
}

TEST(Log, WhoFindsNoPlaceToWriteWaitsForOne) {
  const auto disk = test_disk();
  constexpr int kThreads = 80;  // as many as write at a time, and more
  constexpr int kAtATime = 64;
  TestLog test(*disk, kSmall);
  std::atomic<int> writing{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(400 + t);
      const std::vector<std::byte> bytes = test_record(random, 100, t);
      const Log::Appended appended = test.log->append(bytes, [&](const Log::Appended& place) {
        EXPECT_LT(test.log->filled(), place.lsn);
        EXPECT_LE(writing.fetch_add(1) + 1, kAtATime);
        go.wait(false);
        writing.fetch_sub(1);
      });
      std::vector<std::byte> read;
      EXPECT_TRUE(test.log->read(appended.address, read));
      EXPECT_EQ(read, bytes);
    });
  }
  EXPECT_TRUE(eventually([&] { return writing.load() == kAtATime; }));
  EXPECT_LT(test.log->filled(), test.log->end());
  go.store(true);
  go.notify_all();
  for (std::thread& thread : threads) thread.join();
  // The flusher may be closing a block, which counts as filled a moment later.
  EXPECT_TRUE(eventually([&] { return test.log->filled() == test.log->end(); }));
}

/// Holds up the first sync after it is armed until it is let go.
class HeldSync : public SimObserver {
 public:
  void arm() {
    const std::lock_guard lock(mutex_);
    armed_ = true;
  }
  void on_sync(const std::string&) override {
    std::unique_lock lock(mutex_);
    if (!armed_) return;
    armed_ = false;
    held_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
  }
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool armed_ = false;
  bool held_ = false;
};

TEST(Log, CommitsThatGatherBehindASyncShareTheNext) {
  const auto disk = test_disk();
  HeldSync held;
  TestLog test(*disk, kSmall);
  disk->set_observer(&held);
  const std::uint64_t syncs = disk->calls(IoCall::kSync);
  held.arm();
  TestRandom random(3);
  const KeptRecord first = test.append(test_record(random, 100, 0));
  std::thread leader([&] { EXPECT_TRUE(test.log->flush(first.lsn)); });
  held.wait_until_held();
  std::vector<KeptRecord> gathered;
  for (std::uint64_t i = 0; i < 7; ++i) gathered.push_back(test.append(test_record(random, 100, i)));
  std::vector<std::thread> joiners;
  for (const KeptRecord& kept : gathered) {
    joiners.emplace_back([&, lsn = kept.lsn] {
      EXPECT_TRUE(test.log->flush(lsn));
      EXPECT_GE(test.log->durable(), lsn);
    });
  }
  EXPECT_LT(test.log->durable(), first.lsn);
  held.let_go();
  leader.join();
  for (std::thread& joiner : joiners) joiner.join();
  EXPECT_EQ(disk->calls(IoCall::kSync), syncs + 2);
  disk->set_observer(nullptr);
}

TEST(Log, FlusherServesRequestsIntervalsAndFullBuffers) {
  const auto disk = test_disk();
  TestRandom random(4);
  {
    TestLog test(*disk, kSmall);
    const KeptRecord kept = test.append(test_record(random, 100, 0));
    test.log->request_flush();
    EXPECT_TRUE(eventually([&] { return test.log->durable() >= kept.lsn; }));
    const KeptRecord big = test.append(test_record(random, 300000, 0));  // more than half the buffer
    EXPECT_TRUE(eventually([&] { return test.log->durable() >= big.lsn; }));
    // More than the buffer holds: appending waits for room, nobody flushes explicitly.
    for (std::uint64_t i = 0; i < 50; ++i) test.append(test_record(random, 40000, i));
    EXPECT_GT(test.log->durable(), big.lsn);
  }
  LogOptions eager = kSmall;
  eager.flush_interval_ms = 1;
  TestLog test(*disk, eager, test_epoch(2, Lsn{1000 * kTestSegment}));
  for (int i = 0; i < 3; ++i) {
    const KeptRecord kept = test.append(test_record(random, 100, 0));
    EXPECT_TRUE(eventually([&] { return test.log->durable() >= kept.lsn; }));
  }
}

TEST(Log, FlushesDoNotWaitForASegmentThatIsMadeAhead) {
  const auto disk = test_disk();
  TestRandom random;
  std::atomic<bool> armed{false};
  std::atomic<bool> held{false};
  std::binary_semaphore go{0};
  HookedFileSystem slow(*disk, [&](FileCall call, const std::string&) {
    if (call != FileCall::kAllocate || !armed.exchange(false)) return;
    held.store(true);
    go.acquire();
  });
  LogOptions eager = kSmall;
  eager.flush_interval_ms = 1;
  TestLog test(slow, eager);
  armed.store(true);
  // There is room for this in the segment, but not for half a segment besides.
  ASSERT_TRUE(test.log->reserve(20 << 10));
  EXPECT_TRUE(eventually([&] { return held.load(); }));
  for (int i = 0; i < 3; ++i) {
    const KeptRecord kept = test.append(test_record(random, 100, 0));
    EXPECT_TRUE(eventually([&] { return test.log->durable() >= kept.lsn; }));
  }
  go.release();
}

/// Every log block is written at most once under one segment number, not counting the zeros before.
class WrittenOnce : public SimObserver {
 public:
  void on_write(const std::string& path, std::uint64_t offset, Bytes bytes) override {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(offset % kLogBlockBytes, 0u);
    EXPECT_EQ(bytes.size() % kLogBlockBytes, 0u);
    for (std::size_t at = 0; at < bytes.size(); at += kLogBlockBytes) {
      if (log_block_header(bytes.subspan(at)).epoch.get() == 0) continue;
      EXPECT_TRUE(blocks_.emplace(path, offset + at).second) << path << " at " << offset + at;
    }
  }
  void on_rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    EXPECT_NE(from, to);
    ++renames_;
  }
  std::size_t blocks() const { return blocks_.size(); }
  int renames() const { return renames_; }

 private:
  std::mutex mutex_;
  std::set<std::pair<std::string, std::uint64_t>> blocks_;
  int renames_ = 0;
};

TEST(Log, BlocksAreWrittenOnceAndSegmentsAreReused) {
  const auto disk = test_disk();
  WrittenOnce once;
  disk->set_observer(&once);
  disk->require_alignment(kIoAlignment);
  {
    TestLog test(*disk, kSmall);
    std::mutex mutex;
    std::vector<KeptRecord> written;
    std::atomic<std::uint64_t> keep{raw(test.epoch_record.address)};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        TestRandom random(200 + t);
        for (std::uint64_t i = 0; i < scaled(250); ++i) {
          LogSpace space(*test.log);
          EXPECT_TRUE(space.reserve(10000));
          std::vector<std::byte> bytes = test_record(random, random.between(24, 8000), t);
          const Log::Appended appended = test.log->append(bytes);
          if (!random.one_in(4)) {
            EXPECT_TRUE(test.log->flush(appended.lsn));
          }
          const std::lock_guard lock(mutex);
          written.push_back({appended.address, appended.lsn, std::move(bytes)});
          if (i % 5 == 4) {
            keep = std::max(keep.load(), raw(written[written.size() / 2].address));  // they are not quite in order
            EXPECT_TRUE(test.log->recycle(Lsn{keep.load()}));
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(test.log->flush(test.log->end()));
    EXPECT_EQ(once.blocks(), (raw(test.log->durable()) - raw(test.span.first)) / kLogBlockBytes);
    sort_by_address(written);
    std::erase_if(written, [&](const KeptRecord& kept) { return raw(kept.address) < keep; });
    auto read = read_log(*disk, {test.span}, Lsn{keep.load()}, test.log->durable());
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->records.size(), written.size());
    EXPECT_TRUE(is_prefix(read->records, written));
    // What is kept, at most three for reuse, and what is prepared ahead.
    const std::size_t kept_segments = (raw(test.log->end()) - keep) / kTestSegment + 2;
    EXPECT_LE(disk->list(kTestDirectory)->size(), kept_segments + 3 + 3);
  }
  EXPECT_GT(once.renames(), 0);
  disk->set_observer(nullptr);
}

TEST(Log, OldBlocksOfAReusedSegmentAreNeverAccepted) {
  const auto disk = test_disk();
  WrittenOnce once;
  disk->set_observer(&once);
  TestRandom random(6);
  TestLog test(*disk, kSmall);
  std::vector<KeptRecord> written{test.epoch_record};
  Lsn start = test.epoch_record.address;
  for (std::uint64_t i = 0; i < 400; ++i) {
    written.push_back(test.append(test_record(random, random.between(24, 6000), i)));
    if (random.one_in(3)) {
      ASSERT_TRUE(test.log->flush(written.back().lsn));
    }
    if (i % 20 == 19) {
      // Never back: what lies below an earlier one is gone.
      start = std::max(start, written[written.size() - 1 - random.uniform(10)].address);
      ASSERT_TRUE(test.log->recycle(start));
    }
    if (!random.one_in(10)) continue;
    const auto after = disk->killed();
    // From the record before the last flush on, which is always there.
    auto read = read_log(*after, {test.span}, start);
    if (test.log->durable() <= start) continue;
    ASSERT_TRUE(read) << read.error().message();
    std::vector<KeptRecord> expected;
    for (const KeptRecord& kept : written) {
      if (kept.address >= start) expected.push_back(kept);
    }
    EXPECT_TRUE(is_prefix(read->records, expected));
    EXPECT_EQ(read->last_block_end, test.log->durable());
  }
  EXPECT_GT(once.renames(), 0);
}

TEST(Log, ReserveFindsTheDiskFullAndRoomAgain) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random(7);
  ASSERT_TRUE(test.log->reserve(10 * kTestSegment));
  disk->limit_space(disk->used_bytes() + 5 * kTestSegment / 2);
  const std::uint64_t used = disk->used_bytes();
  const std::size_t files = disk->list(kTestDirectory)->size();
  for (int i = 0; i < 3; ++i) {
    Status reserved = test.log->reserve(20 * kTestSegment);
    ASSERT_FALSE(reserved);
    EXPECT_EQ(reserved.error().code(), ErrorCode::kNoSpace);
  }
  // At most the one segment that the flusher prepares ahead has come.
  EXPECT_LE(disk->used_bytes(), used + kTestSegment);
  EXPECT_LE(disk->list(kTestDirectory)->size(), files + 1);
  // What was reserved can be used, whatever flushes pad.
  std::vector<KeptRecord> written{test.epoch_record};
  for (std::uint64_t bytes = 0; bytes < 9 * kTestSegment; bytes += 30000) {
    written.push_back(test.append(test_record(random, 30000, bytes)));
    ASSERT_TRUE(test.log->flush(written.back().lsn));
  }
  test.log->unreserve(10 * kTestSegment);
  EXPECT_FALSE(test.poison.is_set());
  disk->limit_space(std::nullopt);
  ASSERT_TRUE(test.log->reserve(20 * kTestSegment));
  auto read = read_log(*disk, {test.span});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->records.size(), written.size());
}

TEST(Log, RecycledSegmentsServeAFullDisk) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random(8);
  ASSERT_TRUE(test.log->reserve(2 * kTestSegment));
  KeptRecord last;
  for (int i = 0; i < 12; ++i) last = test.append(test_record(random, 20000, 1));
  ASSERT_TRUE(test.log->flush(last.lsn));
  disk->limit_space(disk->used_bytes());
  ASSERT_FALSE(test.log->reserve(20 * kTestSegment));
  test.log->unreserve(2 * kTestSegment);
  ASSERT_TRUE(test.log->recycle(test.log->durable()));
  ASSERT_TRUE(test.log->reserve(2 * kTestSegment));
  EXPECT_FALSE(test.poison.is_set());
}

/// Records of `bytes` bytes, each synced, until there is no log space for one: how many.
int fill_log(TestLog& test, TestRandom& random, std::size_t bytes) {
  for (int count = 0;; ++count) {
    LogSpace space(*test.log);
    if (Status reserved = space.reserve(bytes + bytes / 64 + 512); !reserved) {
      EXPECT_EQ(reserved.error().code(), ErrorCode::kNoSpace) << reserved.error().message();
      return count;
    }
    const KeptRecord kept = test.append(test_record(random, bytes, 1));
    if (Status flushed = test.log->flush(kept.lsn); !flushed) {
      ADD_FAILURE() << flushed.error().message();
      return count;
    }
  }
}

TEST(Log, ASpareSegmentIsEnoughToGoOnForEverOnAFullDisk) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random;
  ASSERT_TRUE(test.log->prepare_spare());
  ASSERT_TRUE(test.log->prepare_spare());
  EXPECT_EQ(disk->list(kTestDirectory)->size(), 2u);
  disk->limit_space(disk->used_bytes());
  for (int round = 0; round < 30; ++round) {
    const std::size_t bytes = random.between(100, 3 * kTestSegment / 8);
    const int appended = fill_log(test, random, bytes);
    EXPECT_GE((static_cast<std::size_t>(appended) + 1) * (bytes + bytes / 64 + 512 + kLogBlockBytes), kTestSegment / 2)
        << "round " << round;
    EXPECT_TRUE(test.log->can_recycle(test.log->durable())) << "round " << round;
    ASSERT_TRUE(test.log->recycle(test.log->durable()));
    EXPECT_FALSE(test.log->can_recycle(test.log->durable()));
    EXPECT_EQ(disk->list(kTestDirectory)->size(), 2u);
    disk->limit_space(disk->used_bytes());  // whatever is given back, somebody else takes
  }
  EXPECT_FALSE(test.poison.is_set());
}

// A long rollback appends what was reserved for it, and every flush beside it pads a block.
TEST(Log, PaddingThatNobodyHasReservedLeavesRoomForWhatIsReserved) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random;
  constexpr std::size_t kRecord = 150;
  LogSpace kept(*test.log);
  while (kept.reserve(kRecord + 20)) disk->limit_space(disk->used_bytes());
  Status flushed;
  int records = 0;
  for (; flushed; ++records) {
    ASSERT_LT(records, 10000) << "padding is for nothing";
    test.append(test_record(random, kRecord, 1));
    test.log->unreserve(kRecord + 20);
    kept.keep(kRecord + 20);
    flushed = test.log->flush_all();
  }
  EXPECT_EQ(flushed.error().code(), ErrorCode::kNoSpace) << flushed.error().message();
  EXPECT_GE(records, 2) << "a few have room in any case";
  // Others, who have reserved a block, and what is left.
  KeptRecord last{};
  while (test.log->end() < Lsn{(raw(test.log->epoch().first) / kTestSegment + 1) * kTestSegment - kTestSegment / 8}) {
    last = test.append(test_record(random, kRecord, 1));
  }
  ASSERT_TRUE(test.log->flush(last.lsn));
  EXPECT_FALSE(test.poison.is_set());
  // With nothing to flush there is nothing to pad.
  EXPECT_TRUE(test.log->flush_all());
}

TEST(Log, WhatWaitsForReuseStaysWhenAReservationFails) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random;
  ASSERT_TRUE(test.log->reserve(2 * kTestSegment));
  KeptRecord last;
  for (int i = 0; i < 12; ++i) last = test.append(test_record(random, 20000, 1));
  ASSERT_TRUE(test.log->flush(last.lsn));
  test.log->unreserve(2 * kTestSegment);
  ASSERT_TRUE(test.log->recycle(test.log->durable()));
  for (int i = 0; i < 3; ++i) {
    disk->limit_space(disk->used_bytes());
    ASSERT_FALSE(test.log->reserve(20 * kTestSegment));
  }
  disk->limit_space(disk->used_bytes());
  ASSERT_TRUE(test.log->reserve(2 * kTestSegment));
  EXPECT_FALSE(test.poison.is_set());
}

TEST(Log, ASegmentThatWasGivenBackIsNotReplacedByAnother) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random;
  std::vector<KeptRecord> written;
  const auto write_up_to = [&](std::uint64_t position) {
    while (raw(test.log->end()) < position) {
      LogSpace space(*test.log);
      ASSERT_TRUE(space.reserve(8000));
      written.push_back(test.append(test_record(random, 5000, 1)));
      ASSERT_TRUE(test.log->flush(written.back().lsn));
    }
  };
  const std::uint64_t first = raw(test.log->end()) / kTestSegment;
  ASSERT_NO_FATAL_FAILURE(write_up_to((first + 3) * kTestSegment + 1));
  ASSERT_TRUE(test.log->recycle(Lsn{(first + 2) * kTestSegment}));  // two wait for reuse, and one is about to
  disk->limit_space(disk->used_bytes());
  ASSERT_FALSE(
      test.log->reserve(4 * kTestSegment));  // both are taken and given back: they have their new names already
  ASSERT_TRUE(test.log->recycle(test.log->durable()));
  written.clear();
  ASSERT_NO_FATAL_FAILURE(write_up_to((first + 5) * kTestSegment + 30000));
  for (const KeptRecord& kept : written) {
    std::vector<std::byte> bytes;
    ASSERT_TRUE(test.log->read(kept.address, bytes));
    ASSERT_EQ(bytes, kept.bytes);
  }
}

TEST(Log, ASegmentThatCannotBeOpenedAgainIsNotLost) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  TestRandom random;
  ASSERT_TRUE(test.log->reserve(2 * kTestSegment));
  KeptRecord last;
  for (int i = 0; i < 12; ++i) last = test.append(test_record(random, 20000, 1));
  ASSERT_TRUE(test.log->flush(last.lsn));
  test.log->unreserve(2 * kTestSegment);
  ASSERT_TRUE(test.log->recycle(test.log->durable()));
  disk->limit_space(disk->used_bytes());
  const std::size_t files = disk->list(kTestDirectory)->size();
  disk->inject({.call = IoCall::kOpen, .os_error = EMFILE, .sticky = true, .path_contains = ".log"});
  for (int i = 0; i < 3; ++i) {
    const Status refused = test.log->reserve(2 * kTestSegment);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().os_error(), EMFILE) << refused.error().message();
  }
  disk->clear_faults();
  EXPECT_EQ(disk->list(kTestDirectory)->size(), files);
  EXPECT_TRUE(test.log->reserve(2 * kTestSegment)) << "the disk is full, and those that wait are not found";
  EXPECT_FALSE(test.poison.is_set());
}

TEST(Log, FilesFromBeforeAreNeverReused) {
  const auto disk = test_disk();
  {  // of a process that was killed: two segments with records, and one that it was making
    TestLog before(*disk, kSmall);
    ASSERT_TRUE(before.log->reserve(kTestSegment));
    auto half_made = disk->open(kTestDirectory + "/" + segment_name(3), OpenMode::kCreate);
    ASSERT_TRUE(half_made);
    ASSERT_TRUE((*half_made)->write(0, std::vector<std::byte>(kLogBlockBytes)));
  }
  disk->settle();
  TestLog test(*disk, kSmall, test_epoch(2, Lsn{4 * kTestSegment}), test_epoch(1, Lsn{kTestSegment}),
               Lsn{kTestSegment});
  ASSERT_TRUE(test.log->recycle(Lsn{4 * kTestSegment}));
  ASSERT_TRUE(test.log->reserve(6 * kTestSegment));
  const std::vector<std::string> names = *disk->list(kTestDirectory);
  for (const std::string& name : names) {
    EXPECT_GE(name, segment_name(4));
    auto file = disk->open(kTestDirectory + "/" + name, OpenMode::kReadOnly);
    ASSERT_TRUE(file);
    EXPECT_EQ(*(*file)->size(), kTestSegment) << name;
  }
}

/// Threads that commit until the log is poisoned; nobody may hang, nothing that was acknowledged may be missing.
void fail_while_committing(IoCall call, int os_error, std::uint64_t at) {
  const auto disk = test_disk();
  TestLog test(*disk, {.segment_bytes = kTestSegment, .buffer_bytes = 256 << 10, .flush_interval_ms = 1});
  disk->inject({.call = call, .at = at, .os_error = os_error, .path_contains = ".log"});
  std::mutex mutex;
  std::vector<KeptRecord> written{test.epoch_record};
  std::atomic<std::uint64_t> acknowledged{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(300 + t);
      int failures = 0;
      for (std::uint64_t i = 0; i < 3000 && failures < 20; ++i) {
        std::vector<std::byte> bytes = test_record(random, random.between(24, 5000), t);
        const Log::Appended appended = test.log->append(bytes);
        const Status done = t == 5 && i % 7 != 0 ? Status() : test.log->flush(appended.lsn);
        const std::lock_guard lock(mutex);
        written.push_back({appended.address, appended.lsn, std::move(bytes)});
        if (!done) {
          ++failures;
          EXPECT_EQ(done.error().code(), ErrorCode::kPoisoned);
          EXPECT_EQ(done.error().os_error(), os_error);
        } else if (t != 5) {
          acknowledged = std::max(acknowledged.load(), raw(appended.lsn));
        }
      }
      EXPECT_GT(failures, 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Lsn durable = test.log->durable();
  EXPECT_GE(raw(durable), acknowledged);
  for (int i = 0; i < 100; ++i) test.append(RecordBuilder::commit(TxnId{1}, kNoLsn));  // into nothing, no hang
  EXPECT_FALSE(test.log->flush(test.log->end()));
  EXPECT_FALSE(test.log->reserve(1));
  EXPECT_FALSE(test.log->recycle(durable));
  EXPECT_EQ(test.log->durable(), durable);

  sort_by_address(written);
  const auto after = disk->power_cut(disk->position(), PowerCut::kNone, 0);
  auto read = read_log(*after, {test.span}, kNoLsn, durable);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(is_prefix(read->records, written));
  EXPECT_GE(raw(read->accepted_end), acknowledged);
}

TEST(Log, FailedWritePoisonsAndNobodyHangs) {
  for (const std::uint64_t at : {1, 9, 40}) fail_while_committing(IoCall::kWrite, EIO, at);
}
TEST(Log, FailedSyncPoisonsAndNobodyHangs) {
  for (const std::uint64_t at : {1, 9, 40}) fail_while_committing(IoCall::kSync, EIO, at);
  fail_while_committing(IoCall::kSync, ENOSPC, 5);
}
TEST(Log, NoSpaceWithoutReservationPoisons) {
  fail_while_committing(IoCall::kAllocate, ENOSPC, 1);
}

TEST(Log, ShortAndInterruptedTransfersAreContinued) {
  const auto disk = test_disk();
  TestRandom random(9);
  TestLog test(*disk, kSmall);
  for (std::uint64_t at = 1; at < 20; ++at) {
    disk->inject({.call = IoCall::kWrite, .at = at, .transfer_at_most = 1000, .path_contains = ".log"});
    disk->inject({.call = IoCall::kWrite, .at = at + 1, .os_error = EINTR, .path_contains = ".log"});
    disk->inject({.call = IoCall::kSync, .at = at, .os_error = EINTR, .path_contains = ".log"});
  }
  std::vector<KeptRecord> written{test.epoch_record};
  for (std::uint64_t i = 0; i < 40; ++i) {
    written.push_back(test.append(test_record(random, 3000, i)));
    ASSERT_TRUE(test.log->flush(written.back().lsn));
  }
  auto read = read_log(*disk->power_cut(disk->position(), PowerCut::kNone, 0), {test.span});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->records.size(), written.size());
}

TEST(Log, ReadingWhatIsDurableSyncsNothingElse) {
  const auto disk = test_disk();
  TestRandom random(11);
  TestLog test(*disk, kSmall);
  const KeptRecord durable = test.append(test_record(random, 3000, 1));
  ASSERT_TRUE(test.log->flush(durable.lsn));
  test.append(test_record(random, 3000, 2));  // a flush would take it along
  const std::uint64_t syncs = disk->calls(IoCall::kSync);
  std::vector<std::byte> bytes;
  ASSERT_TRUE(test.log->read(durable.address, bytes));
  EXPECT_EQ(bytes, durable.bytes);
  EXPECT_EQ(disk->calls(IoCall::kSync), syncs);
}

TEST(Log, ReadTakesTheBufferWithoutASync) {
  const auto disk = test_disk();
  TestRandom random(10);
  TestLog test(*disk, kSmall);
  const KeptRecord kept = test.append(test_record(random, 10000, 1));
  const std::uint64_t syncs = disk->calls(IoCall::kSync);
  std::vector<std::byte> bytes;
  ASSERT_TRUE(test.log->read(kept.address, bytes));
  EXPECT_EQ(bytes, kept.bytes);
  EXPECT_EQ(disk->calls(IoCall::kSync), syncs);

  ASSERT_TRUE(test.log->flush(kept.lsn));
  ASSERT_TRUE(test.log->read(kept.address, bytes));
  EXPECT_EQ(bytes, kept.bytes);

  const std::uint64_t block = block_start(raw(kept.address)) + kLogBlockBytes;
  const std::byte wrong = ~block_bytes(*disk, block)[500];
  damage(*disk, block + 500, {&wrong, 1});
  Status read = test.log->read(kept.address, bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
  EXPECT_NE(read.error().message().find(".log"), std::string_view::npos);
  for (const std::uint64_t address : {std::uint64_t{0}, raw(test.span.first), raw(test.log->end()), UINT64_MAX}) {
    EXPECT_FALSE(test.log->read(Lsn{address}, bytes)) << address;
  }
}

// What calls reserve briefly is not added up: it must be there all the same, whatever is flushed beside it.
TEST(Log, SpaceReservedBrieflyIsThereOnAFullDisk) {
  constexpr std::size_t kSegment = std::size_t{1} << 20;
  const auto disk = test_disk();
  TestLog test(*disk, {.segment_bytes = kSegment, .buffer_bytes = 512 << 10, .flush_interval_ms = 1},
               test_epoch(1, Lsn{kSegment}));
  disk->limit_space(disk->used_bytes());
  std::array<std::vector<Lsn>, 4> written;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < written.size(); ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(60 + t);
      for (;;) {
        LogSpace space(*test.log);
        const Status reserved = space.reserve_briefly(1000);
        if (!reserved) {
          EXPECT_EQ(reserved.error().code(), ErrorCode::kNoSpace);
          return;
        }
        const Log::Appended appended = test.log->append(test_record(random, 900, t));
        written[t].push_back(appended.address);
        const bool flushes = random.one_in(8);
        ASSERT_TRUE(!flushes || test.log->flush(appended.lsn));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(test.log->flush(test.log->end())) << "what was reserved had no room";
  EXPECT_EQ(test.log->reserved(), 0u);
  std::vector<std::byte> record;
  for (const std::vector<Lsn>& of_one : written) {
    for (const Lsn address : of_one) ASSERT_TRUE(test.log->read(address, record));
  }
}

TEST(Log, SpaceReservedBrieflyIsOfAFewBytes) {
  constexpr std::size_t kSegment = std::size_t{1} << 20;
  const auto disk = test_disk();
  TestLog test(*disk, {.segment_bytes = kSegment, .buffer_bytes = 512 << 10, .flush_interval_ms = 3'600'000},
               test_epoch(1, Lsn{kSegment}));
  const std::uint64_t each = BriefSpace(kSegment / 16).each();
  EXPECT_EQ(test.log->try_reserve_briefly(each + 1), nullptr);
  BriefSpace::Counter* const counter = test.log->try_reserve_briefly(1000);
  ASSERT_NE(counter, nullptr);
  EXPECT_EQ(test.log->reserved(), 1000u);
  EXPECT_EQ(test.log->try_reserve_briefly(each - 999), nullptr);
  BriefSpace::subtract(*counter, 1000);
  BriefSpace::Counter* const again = test.log->try_reserve_briefly(each);
  ASSERT_EQ(again, counter);
  BriefSpace::subtract(*again, each);
  EXPECT_EQ(test.log->reserved(), 0u);
  test.log->refuse_changes();
  EXPECT_EQ(test.log->try_reserve_briefly(1), nullptr);
}

// No change can be logged any more; what was logged before is flushed and read as ever.
TEST(Log, RefusesSpaceForChanges) {
  const auto disk = test_disk();
  TestRandom random(9);
  TestLog test(*disk, kSmall);
  const KeptRecord kept = test.append(test_record(random, 1000, 1));
  ASSERT_TRUE(test.log->reserve(1000));
  test.log->refuse_changes();
  const Status refused = test.log->reserve(1000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kReadOnly);
  test.log->unreserve(1000);
  EXPECT_TRUE(test.log->flush(test.log->end()));
  std::vector<std::byte> bytes;
  ASSERT_TRUE(test.log->read(kept.address, bytes));
  EXPECT_EQ(bytes, kept.bytes);
}

TEST(Log, FlushBeyondTheEndIsAnError) {
  const auto disk = test_disk();
  TestLog test(*disk, kSmall);
  Status flushed = test.log->flush(Lsn{raw(test.log->end()) + 1});
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code(), ErrorCode::kCorruption);
  EXPECT_TRUE(test.log->flush(kNoLsn));
  EXPECT_FALSE(test.poison.is_set());
}

}  // namespace
}  // namespace vaultgres
