// Goal: however often recovery is cut off, and wherever, the next one finds everything acknowledged, nothing besides,
// and a list of log epochs that has not grown.
//
// Method: a process is killed with a transaction open. Opens of its disk are cut off by a read or write that fails once
// the log holds, durable, what recovery logs at that step; each is a kill, too. Then the disk works.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "format/log.h"
#include "recovery/superblock_store.h"
#include "support/cases.h"
#include "support/forwarding_file_system.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

enum class Step { kRedo, kCheckpoint, kUndo };

bool ends_with(const std::string& path, std::string_view end) {
  return path.size() >= end.size() && path.compare(path.size() - end.size(), end.size(), end) == 0;
}

/// The disk of one opening, in the thread that makes it, which fails at a step for good.
class InterruptedDisk final : public ForwardingFileSystem, public SimObserver {
 public:
  InterruptedDisk(SimFileSystem& disk, Step step) : ForwardingFileSystem(disk), disk_(disk), step_(step) {
    disk_.set_observer(this);
  }
  ~InterruptedDisk() override { disk_.set_observer(nullptr); }

  bool has_failed() const { return failed_; }
  std::uint64_t log_bytes() const { return log_bytes_.load(); }

  void on_write(const std::string& path, std::uint64_t /*offset*/, Bytes bytes) override {
    if (path.find("/log/") == std::string::npos) return;
    log_bytes_.fetch_add(bytes.size());
    for (; bytes.size() >= kLogBlockBytes; bytes = bytes.subspan(kLogBlockBytes)) {
      const auto& header = *reinterpret_cast<const LogBlockHeader*>(bytes.data());
      if (header.epoch.get() == 0 || header.first_record.get() == 0) continue;
      const auto& record =
          *reinterpret_cast<const RecordHeader*>(bytes.data() + sizeof(LogBlockHeader) + header.first_record.get() - 1);
      const auto kind = static_cast<RecordKind>(record.kind.get());
      if (kind == RecordKind::kEpoch) epoch_written_.store(true);
      if (kind == RecordKind::kCompensation) undo_written_.store(true);
    }
  }
  void on_sync(const std::string& path) override {
    if (path.find("/log/") == std::string::npos) return;
    if (epoch_written_.load()) epoch_durable_.store(true);
    if (undo_written_.load()) undo_durable_.store(true);
  }

 private:
  int around(FileCall call, const std::string& path, FunctionRef<int()> forward) override {
    if (std::this_thread::get_id() != opener_) return forward();
    const bool data = ends_with(path, "/data.vg");
    // Once for how far the log was durable; for torn pages, when the log is open.
    if (call == FileCall::kRead && ends_with(path, "/doublewrite.vg")) log_is_open_ = ++doublewrite_reads_ > 1;
    if (log_is_open_ && call == FileCall::kSync && path.find("/log/") != std::string::npos) synced_log_ = true;
    if (step_ == Step::kRedo && log_is_open_ && data && call == FileCall::kRead) {
      EXPECT_TRUE(comes_true([&] { return epoch_durable_.load(); }));
      failed_ = true;
    }
    if (step_ == Step::kUndo && data && call == FileCall::kRead && undo_written_.load()) {
      EXPECT_TRUE(comes_true([&] { return undo_durable_.load(); }));
      failed_ = true;
    }
    if (step_ == Step::kCheckpoint && data && call == FileCall::kWrite && synced_log_) failed_ = true;
    return failed_ && data ? EIO : forward();
  }

  SimFileSystem& disk_;
  const Step step_;
  const std::thread::id opener_ = std::this_thread::get_id();
  unsigned doublewrite_reads_ = 0;
  bool log_is_open_ = false;
  bool synced_log_ = false;
  bool failed_ = false;
  std::atomic<std::uint64_t> log_bytes_{0};
  std::atomic<bool> epoch_written_{false};
  std::atomic<bool> epoch_durable_{false};
  std::atomic<bool> undo_written_{false};
  std::atomic<bool> undo_durable_{false};
};

class InterruptedRecoveryTest : public ::testing::Test {
 protected:
  static constexpr int kRows = 3000;

  /// Of recoveries: less than what undo changes, so that it reads and the log is forced.
  static constexpr std::size_t kSmallCacheBytes = 256 << 10;
  static constexpr std::size_t kWriterCacheBytes = 16 << 20;

  static Options options(std::size_t cache_bytes = kSmallCacheBytes) {
    Options options = small_options();
    options.cache_bytes = cache_bytes;
    options.flush_interval_ms = 1;
    return options;
  }

  void SetUp() override {
    SimFileSystem disk;
    Database db = *open_on(disk, options(kWriterCacheBytes));
    Map map = *db.create_map("m");
    const auto put = [&](int from, int to) {
      Transaction txn = *db.begin();
      for (int i = from; i < to; ++i) {
        const std::string key = "key " + std::to_string(i);
        const std::string value(300, static_cast<char>('a' + i % 26));
        ASSERT_OK(map.put(txn, key, value));
        expected_[key] = value;
      }
      ASSERT_OK(txn.commit());
    };
    put(0, kRows);
    ASSERT_OK(db.checkpoint());
    Transaction open = *db.begin();
    for (int i = 0; i < kRows; i += 2) {
      ASSERT_OK(map.put(open, "key " + std::to_string(i), "not committed"));
      if (i % 20 == 0) {
        ASSERT_OK(map.put(open, "new " + std::to_string(i), "not committed"));
      }
    }
    put(kRows, kRows + 500);
    killed_ = disk.killed();
  }

  /// Sets through_ when recovery had come so far in the rounds before that there is nothing left to cut off.
  void interrupt(Step step) {
    {
      InterruptedDisk failing(*killed_, step);
      const Result<Database> opened = open_on(failing, options());
      through_ = opened && !failing.has_failed();
      if (through_) return;
      EXPECT_ERROR(kIo, opened);
      ASSERT_TRUE(failing.has_failed());
      // What it logs, in how many blocks the flusher may ever close, one that it had begun, and two ahead.
      segments_of_one_ = std::max(segments_of_one_, failing.log_bytes() / kSegmentBytes + 3);
    }
    killed_ = killed_->killed();
    const auto data = killed_->open("/db/data.vg", OpenMode::kReadOnly);
    ASSERT_OK(data);
    const auto superblocks = SuperblockStore::load(**data);
    ASSERT_OK(superblocks);
    EXPECT_LE(superblocks->current().epochs.size(), 3u);
    const std::size_t files = killed_->list("/db/log")->size();
    if (files_at_first_ == 0) files_at_first_ = files;
    EXPECT_LE(files, files_at_first_ + 3 * segments_of_one_) << "segments of recoveries that are over stay";
    ++cases_;
  }
  /// Undo may be through before what it logs is in the file, and so be cut off nowhere: then all begins anew.
  void interrupt_or_begin_anew(Step step, const SimFileSystem& first) {
    ASSERT_NO_FATAL_FAILURE(interrupt(step)) << cut_off_;
    if (through_ && cut_off_ == 0) {
      killed_ = first.killed();
      through_ = false;
    } else if (!through_) {
      ++cut_off_;
    }
  }
  void interrupt_again_and_again(Step step) {
    const auto first = killed_->killed();
    for (int i = 0; i < 20 && !through_; ++i) ASSERT_NO_FATAL_FAILURE(interrupt_or_begin_anew(step, *first));
    EXPECT_GT(cut_off_, 0) << "recoveries that were cut off";
    expect_all_there(*killed_);
  }

  /// Instead of one open transaction, as many as there can be; and one more is not let in.
  void open_many_transactions() {
    const auto disk = killed_->killed();
    Database db = *open_on(*disk, options(kWriterCacheBytes));
    Map map = *db.open_map("m");
    std::vector<Transaction> open;
    for (std::size_t i = 0; i < kChangingTxnsMax; ++i) {
      open.push_back(*db.begin());
      ASSERT_OK(map.put(open.back(), "key " + std::to_string(3 * i), "not committed"));
    }
    open.push_back(*db.begin());
    EXPECT_ERROR(kTooLarge, map.put(open.back(), "key 1", "not committed"));
    ASSERT_OK(db.checkpoint());
    ASSERT_OK(map.put("the last", "one"));
    expected_["the last"] = "one";
    killed_ = disk->killed();
  }

  /// Another open transaction, whose undo takes many segments.
  void open_large_transaction() {
    const auto disk = killed_->killed();
    Database db = *open_on(*disk, options(4 * kWriterCacheBytes));
    Map map = *db.open_map("m");
    ASSERT_OK(db.checkpoint());
    Transaction open = *db.begin();
    for (int i = 0; i < 3 * kRows; ++i) {
      ASSERT_OK(map.put(open, "key " + std::to_string(i % kRows), std::string(300, static_cast<char>('A' + i % 3))));
    }
    ASSERT_OK(map.put("the last", "one"));
    expected_["the last"] = "one";
    killed_ = disk->killed();
  }

  void expect_all_there(SimFileSystem& disk) {
    Result<Database> db = open_on(disk, options());
    ASSERT_OK(db);
    EXPECT_EQ(content_of(*db->open_map("m")), expected_);
    expect_sound(*db);
  }

  std::unique_ptr<SimFileSystem> killed_;
  Content expected_;
  std::size_t files_at_first_ = 0;
  std::size_t segments_of_one_ = 0;  // of the recovery that logged most
  bool through_ = false;
  int cut_off_ = 0;
  CaseCount cases_{"R2"};
};

TEST_F(InterruptedRecoveryTest, InRedo) {
  interrupt_again_and_again(Step::kRedo);
}

TEST_F(InterruptedRecoveryTest, InACheckpoint) {
  interrupt_again_and_again(Step::kCheckpoint);
}

TEST_F(InterruptedRecoveryTest, InUndo) {
  interrupt_again_and_again(Step::kUndo);
}

TEST_F(InterruptedRecoveryTest, InUndoOfAsManyTransactionsAsThereCanBe) {
  ASSERT_NO_FATAL_FAILURE(open_many_transactions());
  interrupt_again_and_again(Step::kUndo);
}

// The dead process had log files for its undo, whose room somebody else has taken; each time there is a bit more.
TEST_F(InterruptedRecoveryTest, InUndoByADiskThatIsFull) {
  ASSERT_NO_FATAL_FAILURE(open_large_transaction());
  const std::uint64_t used = killed_->used_bytes();
  bool in_undo = false;
  bool through = false;
  for (int i = 0; i < 20 && !through; ++i) {
    killed_->limit_space(used - static_cast<std::uint64_t>(20 - i) * kSegmentBytes);
    {
      const Result<Database> opened = open_on(*killed_, options());
      through = opened.has_value();
      if (!through) {
        EXPECT_EQ(opened.error().code(), ErrorCode::kNoSpace) << opened.error().message();
        ++cases_;
      }
    }
    killed_ = killed_->killed();
    const SuperblockState state = SuperblockStore::load(**killed_->open(kDataPath, OpenMode::kReadOnly))->current();
    EXPECT_LE(state.epochs.size(), 3u);
    in_undo |= !through && state.checkpoint > state.epochs.back().first;
  }
  EXPECT_TRUE(in_undo) << "no open came so far and no further";
  killed_->limit_space(std::nullopt);
  expect_all_there(*killed_);
}

TEST_F(InterruptedRecoveryTest, AnywhereAndThenThePowerGoes) {
  TestRandom random;
  constexpr Step kSteps[] = {Step::kRedo, Step::kCheckpoint, Step::kUndo};
  const auto first = killed_->killed();
  for (int round = 0; round < 40 && !HasFailure() && !through_; ++round) {
    const Step step = kSteps[random.uniform(std::size(kSteps))];
    ASSERT_NO_FATAL_FAILURE(interrupt_or_begin_anew(step, *first));
    if (through_ || round % 4 != 0) continue;
    const PowerCut mode = kPowerCuts[random.uniform(std::size(kPowerCuts))];
    const std::unique_ptr<SimFileSystem> after = killed_->power_cut(killed_->position(), mode, random.next());
    ASSERT_NO_FATAL_FAILURE(expect_all_there(*after)) << round;
  }
  EXPECT_GT(cut_off_, 0) << "recoveries that were cut off";
  expect_all_there(*killed_);
}

}  // namespace
}  // namespace vaultgres
