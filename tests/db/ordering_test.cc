// Goal: the order of writes and syncs is the one that crash safety rests on, whatever the outcome of a crash: the
// rules of docs/ARCHITECTURE.md are asserted at every single write.
//
//   1. A page goes to the data file only when the log is durable up to the page's LSN.
//   2. It goes there only when a synced copy of the very same bytes stands in the doublewrite file.
//   3. A log block is written once; a recovery may write the same bytes again.
//   4. A log block goes only to a segment whose name and whose zeros are durable.
//   5. A superblock names only durable log, and one of the two is never touched while the other is not synced.
//   6. A log segment goes away only below the redo start of a synced superblock, or behind the end that one says the
//      epoch before had.
//   7. A durable commit returns only when the log is durable behind where it stood before the call.
//
// Durable is what the observer has seen synced, not what the engine says.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "base/crc32c.h"
#include "db/crash_support.h"
#include "format/log.h"
#include "format/superblock.h"
#include "support/scale.h"
#include "wal/block.h"

namespace vaultgres {
namespace {

bool all_zeros(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::uint32_t digest(Bytes bytes) {
  return crc32c(0, bytes);
}

/// Asserts rules 1 to 6. Attach before the database is created, or to a disk that nothing has written to since it
/// was rebuilt: then what was there before counts as durable.
class OrderingObserver final : public SimObserver {
 public:
  explicit OrderingObserver(bool fresh) : fresh_(fresh), recovering_(!fresh) {}

  void on_write(const std::string& path, std::uint64_t offset, Bytes bytes) override {
    const std::lock_guard lock(mutex_);
    if (path.ends_with("doublewrite.vg")) return on_copies(offset, bytes);
    if (path.ends_with("data.vg")) return on_pages(offset, bytes);
    if (is_segment(path)) return on_blocks(path, offset, bytes);
  }
  void on_sync(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (path.ends_with("doublewrite.vg")) {
      copies_.insert(copies_unsynced_.begin(), copies_unsynced_.end());
      copies_unsynced_.clear();
    } else if (path.ends_with("data.vg")) {
      superblock_unsynced_.reset();
      if (superblock_written_) superblock_ = superblock_written_;
    } else if (is_segment(path)) {
      Segment& segment = segments_[path];
      segment.zeros_synced = true;
      for (const std::uint64_t block : segment.unsynced) synced_.insert(block);
      segment.unsynced.clear();
      known_durable_ = std::max(known_durable_, std::exchange(segment.found_again, 0));
      advance();
    }
  }
  void on_create(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (is_segment(path)) segments_[path] = {};
  }
  void on_rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    if (!is_segment(from)) return;
    on_gone(from);
    segments_.erase(from);
    segments_[to].zeros_synced = true;
  }
  void on_remove(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (!is_segment(path)) return;
    on_gone(path);
    segments_.erase(path);
  }
  void on_sync_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (!path.ends_with("/log")) return;
    for (auto& [name, segment] : segments_) segment.name_durable = true;
  }

  /// End of the log's durable prefix.
  std::uint64_t durable() const {
    const std::lock_guard lock(mutex_);
    return durable_;
  }
  std::vector<std::string> violations() const {
    const std::lock_guard lock(mutex_);
    return violations_;
  }
  std::uint64_t pages() const { return pages_; }
  std::uint64_t blocks() const { return blocks_; }

 private:
  struct Segment {
    bool name_durable = false;
    bool zeros_synced = false;
    std::uint64_t found_again = 0;     ///< end of what a recovery wrote again
    std::set<std::uint64_t> unsynced;  ///< positions of blocks
  };

  static bool is_segment(const std::string& path) {
    std::uint64_t number = 0;
    return parse_segment_name(path.substr(path.find_last_of('/') + 1), &number);
  }
  static std::uint64_t number_of(const std::string& path) {
    std::uint64_t number = 0;
    parse_segment_name(path.substr(path.find_last_of('/') + 1), &number);
    return number;
  }
  void violation(const std::string& what) {
    if (violations_.size() < 20) violations_.push_back(what);
  }
  std::uint64_t segment_bytes() const { return superblock_written_ ? superblock_written_->segment_bytes.get() : 0; }

  void on_copies(std::uint64_t offset, Bytes bytes) {
    const auto overwritten = [&](const auto& copy) {
      return copy.first < offset + bytes.size() && copy.first + kPageBytes > offset;
    };
    std::erase_if(copies_, overwritten);
    std::erase_if(copies_unsynced_, overwritten);
    // Wherever in the area the copies begin, it is at a sector.
    for (std::size_t at = 0; at + kPageBytes <= bytes.size(); at += kSimSectorBytes) {
      copies_unsynced_[offset + at] = digest(bytes.subspan(at, kPageBytes));
    }
  }

  void on_pages(std::uint64_t offset, Bytes bytes) {
    bool any_changed = false;
    for (std::size_t at = 0; at + kPageBytes <= bytes.size(); at += kPageBytes) {
      const Bytes page = bytes.subspan(at, kPageBytes);
      const auto id = static_cast<std::uint32_t>((offset + at) / kPageBytes);
      if (last_written_[id] == digest(page)) continue;  // a neighbour in the unit of a smaller page
      any_changed = true;
      last_written_[id] = digest(page);
      if (id < 2) {
        on_superblock(id, page);
      } else {
        on_page(id, page);
      }
    }
    // A recovery begins by writing the newest superblock again.
    if (offset < 2 * kPageBytes && !any_changed) recovering_ = true;
  }

  void on_page(std::uint32_t id, Bytes page) {
    ++pages_;
    const std::uint64_t lsn = page_header(page).lsn.get();
    if (lsn > durable_ && lsn > known_durable_) {
      violation("page " + std::to_string(id) + " with LSN " + std::to_string(lsn) +
                " is written while the log is durable up to " + std::to_string(durable_));
    }
    const std::uint32_t wanted = digest(page);
    const bool copied =
        std::any_of(copies_.begin(), copies_.end(), [&](const auto& copy) { return copy.second == wanted; });
    // A recovery restores pages from copies made before the observer came.
    if (!copied && (fresh_ || blocks_ > 0)) {
      violation("page " + std::to_string(id) + " is written without a synced copy in the doublewrite file");
    }
  }

  void on_superblock(std::uint32_t id, Bytes page) {
    if (all_zeros(page)) return;
    Superblock block;
    std::memcpy(&block, page.data(), sizeof block);
    if (superblock_unsynced_ && *superblock_unsynced_ != id) {
      violation("superblock " + std::to_string(id) + " is written while the other is not synced");
    }
    superblock_unsynced_ = id;
    for (const std::uint64_t position : {block.header.lsn.get(), block.checkpoint.get(), block.redo_start.get()}) {
      if (position <= std::max(durable_, known_durable_) || position <= block.epochs[0].first.get()) continue;
      if (!fresh_ && recovering_) continue;  // it was there before the observer
      violation("superblock " + std::to_string(id) + " names log position " + std::to_string(position) +
                " while the log is durable up to " + std::to_string(durable_));
    }
    const std::uint64_t epoch_first = block.epochs[block.epoch_count.get() - 1].first.get();
    if (superblock_written_ && epoch_first > epoch_first_) {
      // What lies below the new epoch was made durable before the superblock that begins it, or is given up.
      known_durable_ = std::max({known_durable_, durable_, block.header.lsn.get()});
      recovering_ = false;
    }
    if (epoch_first > epoch_first_) epoch_first_ = durable_ = epoch_first;
    superblock_written_ = block;
  }

  void on_blocks(const std::string& path, std::uint64_t offset, Bytes bytes) {
    Segment& segment = segments_[path];
    for (std::size_t at = 0; at < bytes.size(); at += kLogBlockBytes) {
      const Bytes block = bytes.subspan(at, std::min(kLogBlockBytes, bytes.size() - at));
      if (all_zeros(block)) {
        segment.zeros_synced = false;
        continue;
      }
      const std::uint64_t position = number_of(path) * segment_bytes() + offset + at;
      const auto [before, is_new] = written_.emplace(position, digest(block));
      if (recovering_) {  // it makes sure of what it found
        if (!is_new && before->second != digest(block)) {
          violation("a recovery writes the log block at " + std::to_string(position) + " with other bytes");
        }
        segment.found_again = std::max(segment.found_again, position + kLogBlockBytes);
        continue;
      }
      ++blocks_;
      if (!is_new) violation("the log block at " + std::to_string(position) + " is written twice");
      if (!segment.name_durable) violation("a log block is written to " + path + ", whose name is not durable");
      if (!segment.zeros_synced) violation("a log block is written to " + path + ", whose zeros are not durable");
      segment.unsynced.insert(position);
    }
  }

  void on_gone(const std::string& path) {
    if (!superblock_) return;
    const std::uint64_t end = (number_of(path) + 1) * segment_bytes();
    const std::uint32_t epochs = superblock_->epoch_count.get();
    const std::uint64_t ended = epochs > 1 ? superblock_->epochs[epochs - 2].end.get() : 0;
    if (end - segment_bytes() >= ended && end <= epoch_first_ && ended != 0) return;
    if (end > superblock_->redo_start.get() && end <= epoch_first_ && superblock_->checkpoint.get() != 0) {
      violation(path + " goes away although redo starts at " + std::to_string(superblock_->redo_start.get()));
    }
    if (end > epoch_first_ && end <= durable_ && end > superblock_->redo_start.get()) {
      violation(path + " goes away although redo starts at " + std::to_string(superblock_->redo_start.get()));
    }
  }

  void advance() {
    while (!synced_.empty() && *synced_.begin() <= durable_) {
      if (*synced_.begin() == durable_) durable_ += kLogBlockBytes;
      synced_.erase(synced_.begin());
    }
  }

  const bool fresh_;
  bool recovering_;
  mutable std::mutex mutex_;
  std::map<std::string, Segment> segments_;
  std::map<std::uint64_t, std::uint32_t> written_;  // digests of log blocks
  std::set<std::uint64_t> synced_;                  // blocks above durable_
  std::uint64_t durable_ = 0;
  std::uint64_t known_durable_ = 0;
  std::uint64_t epoch_first_ = 0;
  std::map<std::uint64_t, std::uint32_t> copies_;  // digests by offset in the doublewrite file
  std::map<std::uint64_t, std::uint32_t> copies_unsynced_;
  std::map<std::uint32_t, std::uint32_t> last_written_;
  std::optional<std::uint32_t> superblock_unsynced_;
  std::optional<Superblock> superblock_written_;
  std::optional<Superblock> superblock_;  // synced
  std::uint64_t pages_ = 0;
  std::uint64_t blocks_ = 0;
  std::vector<std::string> violations_;
};

void expect_no_violation(const OrderingObserver& observer, const std::string& when) {
  for (const std::string& violation : observer.violations()) ADD_FAILURE() << when << ": " << violation;
}

struct OrderingCase {
  const char* name;
  unsigned threads;
  unsigned keys;
  unsigned checkpoint_one_in;
  Durability durability;
  bool tables = false;
};

class OrderingTest : public ::testing::TestWithParam<OrderingCase> {
 protected:
  OrderingTest() {
    workload_.seed = test_seed();
    workload_.threads = GetParam().threads;
    workload_.keys = GetParam().keys;
    workload_.checkpoint_one_in = GetParam().checkpoint_one_in;
    workload_.durability = GetParam().durability;
    workload_.tables = GetParam().tables;
    workload_.steps = static_cast<unsigned>(scaled(300));
  }
  Workload workload_;
};

INSTANTIATE_TEST_SUITE_P(Workloads, OrderingTest,
                         ::testing::Values(OrderingCase{"OneThread", 1, 400, 40, Durability::kDurable},
                                           OrderingCase{"FourThreads", 4, 400, 40, Durability::kDurable},
                                           OrderingCase{"MoreDataThanCache", 2, 3000, 40, Durability::kDurable},
                                           OrderingCase{"ManyCheckpoints", 2, 400, 3, Durability::kDurable},
                                           OrderingCase{"Relaxed", 4, 3000, 20, Durability::kRelaxed},
                                           OrderingCase{"Tables", 2, 1000, 20, Durability::kDurable, true}),
                         [](const auto& one) { return one.param.name; });

TEST_P(OrderingTest, FromCreationToCloseAndReopening) {
  OrderingObserver observer(true);
  SimFileSystem disk;
  disk.set_observer(&observer);
  std::vector<unsigned> acked(workload_.threads);
  {
    Result<Database> db = open_on(disk, crash_options(workload_));
    ASSERT_OK(db);
    const auto progress = run_workload(*db, workload_, [](unsigned, unsigned) {});
    for (unsigned t = 0; t < workload_.threads; ++t) {
      ASSERT_FALSE(progress[t].error) << progress[t].error->message();
      acked[t] = progress[t].acked;
    }
    expect_no_violation(observer, "at work");
    ASSERT_OK(db->close());
    expect_no_violation(observer, "closing");
  }
  CrashChecker checker(workload_);
  EXPECT_EQ(checker.check(disk, acked), "");
  expect_no_violation(observer, "reopening");
  EXPECT_GT(observer.pages(), 5u);
  EXPECT_GT(observer.blocks(), 20u);
  std::printf("%llu page writes, %llu log blocks\n", static_cast<unsigned long long>(observer.pages()),
              static_cast<unsigned long long>(observer.blocks()));
  disk.set_observer(nullptr);
}

TEST_P(OrderingTest, RecoveriesKeepTheOrderToo) {
  SimFileSystem disk;
  workload_.steps = 60;
  {
    Result<Database> db = open_on(disk, crash_options(workload_));
    ASSERT_OK(db);
    for (const auto& thread : run_workload(*db, workload_, mark_on(disk))) ASSERT_FALSE(thread.error);
  }
  TestRandom random(1);
  CrashChecker checker(workload_);
  AckedSteps acked(disk.trace(), workload_.threads);
  for (const Cut& cut : choose_cuts(disk.trace(), 0, scaled(15), random)) {
    const auto after = disk.power_cut(cut.position, cut.mode, cut.seed);
    OrderingObserver observer(false);
    after->set_observer(&observer);
    ASSERT_EQ(checker.check(*after, acked.at(cut.position)), "") << describe(cut);
    expect_no_violation(observer, describe(cut));
    after->set_observer(nullptr);
  }
}

TEST(OrderingOfAcknowledgements, NoDurableCallReturnsBeforeTheSyncThatCoversIt) {
  OrderingObserver observer(true);
  SimFileSystem disk;
  disk.set_observer(&observer);
  Result<Database> db = open_on(disk);
  ASSERT_OK(db);
  Result<Map> map = db->create_map("m");
  ASSERT_OK(map);
  TestRandom random;
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t before = db->stats()->log_end;
    const std::string key = std::to_string(random.uniform(50));
    const std::uint64_t choice = random.uniform(4);
    bool changed = true;
    if (choice == 0) {
      const Result<bool> erased = map->erase(key);
      ASSERT_OK(erased);
      changed = *erased;
    } else if (choice == 1) {
      Transaction txn = *db->begin();
      ASSERT_OK(map->put(txn, key, random.bytes(random.uniform(100))));
      ASSERT_OK(txn.commit());
    } else {
      ASSERT_OK(map->put(key, random.bytes(random.one_in(10) ? 3 * kPageBytes : 10)));
    }
    if (changed) {
      ASSERT_GT(observer.durable(), before) << "call " << i;
    }
    ASSERT_LE(db->stats()->log_durable, observer.durable()) << "the log believes more durable than was synced";
  }
  ASSERT_OK(db->close());
  expect_no_violation(observer, "at work");
  disk.set_observer(nullptr);
}

}  // namespace
}  // namespace vaultgres
