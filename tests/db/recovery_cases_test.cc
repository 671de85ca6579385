// Goal: what is known to go wrong in recoveries does not. One test for each.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "db/damage_support.h"
#include "format/doublewrite.h"
#include "recovery/superblock_store.h"
#include "support/crash_checker.h"
#include "support/hooked_file_system.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

constexpr char kArea[] = "/db/doublewrite.vg";

/// A transaction that erases and replaces, values large and small, and is open when the process is killed.
class OpenEraserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SimFileSystem disk;
    Database db = *open_on(disk, options());
    Map map = *db.create_map("m");
    Table people = *db.create_table("people", people_schema());
    ASSERT_OK(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
    for (int i = 0; i < 120; ++i) {
      const std::string key = "key " + std::to_string(i);
      expected_[key] = std::string(i % 10 == 0 ? 2 * kPageBytes : 50, static_cast<char>('a' + i % 26));
      ASSERT_OK(map.put(key, expected_[key]));
      const Row row = person(i, i % 20 == 0 ? 2 * kPageBytes : 30);
      rows_[*people.insert(row)] = row;
    }
    ASSERT_OK(db.checkpoint());
    Transaction open = *db.begin();
    for (int i = 0; i < 120; i += 2) ASSERT_TRUE(*map.erase(open, "key " + std::to_string(i)));
    for (int i = 1; i < 120; i += 10)
      ASSERT_OK(map.put(open, "key " + std::to_string(i), std::string(kPageBytes, 'n')));
    int i = 0;
    for (const auto& [id, row] : rows_) {
      if (++i % 3 != 0) continue;
      ASSERT_TRUE(*people.erase(open, id));
    }
    // Somebody else's commit makes all that durable.
    ASSERT_OK(map.put("other", "committed"));
    expected_["other"] = "committed";
    killed_ = disk.killed();
  }
  static Options options() {
    Options options = small_options();
    options.cache_bytes = std::size_t{512} << 10;
    return options;
  }
  void expect_all_there(SimFileSystem& disk, const std::string& where) {
    Result<Database> db = open_on(disk, options());
    ASSERT_OK(db);
    EXPECT_TRUE(content_of(*db->open_map("m")) == expected_) << where;
    EXPECT_TRUE(expect_agreement(*db, *db->open_table("people")) == rows_) << where;
    expect_sound(*db);
  }

  std::unique_ptr<SimFileSystem> killed_;
  Content expected_;
  Rows rows_;
};

// At whatever instant undo is cut off, and again, and with the collector at work behind the recovery: what the loser
// had erased is all there, large values included.
TEST_F(OpenEraserTest, GhostsOfLosersArePurgedOrTheirChainsFreedBeforeUndoIsComplete) {
  killed_->settle();
  {
    const auto disk = killed_->killed();
    expect_all_there(*disk, "no cut");
  }
  ASSERT_OK(open_on(*killed_, options()));
  TestRandom random;
  const std::size_t end = killed_->position();
  const std::uint64_t rounds = scaled(40);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    const std::size_t at = random.between(0, end);
    const auto after = killed_->power_cut(at, kPowerCuts[round % std::size(kPowerCuts)], random.next());
    const std::string where = "cut at " + std::to_string(at) + " of " + std::to_string(end);
    if (round % 3 == 0) {
      expect_all_there(*after, where);
      continue;
    }
    ASSERT_OK(open_on(*after, options()));
    const std::size_t again = random.between(0, after->position());
    const auto later = after->power_cut(again, PowerCut::kRandom, random.next());
    expect_all_there(*later, where + ", then at " + std::to_string(again));
  }
}

// Copies of an earlier batch stand in the area, at or above redo start; the pages in place were written later.
TEST(DoublewriteCasesTest, AnOldCopyIsRestoredOverANewerPage) {
  SimFileSystem disk;
  std::vector<std::byte> old_area;
  std::unique_ptr<SimFileSystem> killed;
  DamageSubject subject;
  {
    Options options = small_options();
    options.durability = Durability::kRelaxed;  // so little log that no checkpoint is due
    const auto core = internal::Core::open({&disk, nullptr, "/db"}, options);
    ASSERT_OK(core);
    Database db = internal::make_database(*core);
    const auto write_all = [&] {
      ASSERT_OK((*core)->engine().log.flush((*core)->engine().log.end()));
      ASSERT_OK((*core)->engine().pool.flush_all());
    };
    subject = build_damage_subject(db);
    ASSERT_OK(db.checkpoint());
    // The last batch has few pages now and then, what the collector has changed, say.
    ASSERT_TRUE(comes_true([&] {
      change_damage_subject(db, subject, 1);
      write_all();
      old_area = file_bytes(disk, kArea);
      return reinterpret_cast<const DoublewriteHeader*>(old_area.data())->count.get() > 3;
    }));
    change_damage_subject(db, subject, 2);
    write_all();
    killed = disk.killed();
  }
  killed->settle();
  ASSERT_NE(file_bytes(*killed, kArea), old_area);
  const auto& header = *reinterpret_cast<const DoublewriteHeader*>(old_area.data());
  const auto file = *killed->open("/db/data.vg", OpenMode::kReadOnly);
  const auto superblocks = SuperblockStore::load(*file);
  ASSERT_OK(superblocks);
  unsigned torn = 0;
  for (std::uint32_t i = 0; i <= header.count.get(); ++i) {
    const auto after = killed->killed();
    overwrite(*after, kArea, 0, old_area);
    if (i < header.count.get()) {  // and that page is torn in place: the copy is a beginning, redo does the rest
      const std::uint64_t at = std::uint64_t{header.pages[i].get()} * kPageBytes + kPageBytes / 2;
      overwrite(*after, "/db/data.vg", at, std::vector<std::byte>(kSimSectorBytes, std::byte{0xEE}));
    }
    const DamageReading reading = read_damaged(*after, subject, small_options());
    EXPECT_EQ(reading.wrong, "");
    // A copy from before redo start is not restored: redo could not bring it up to date.
    const std::size_t copy = kDoublewriteHeaderBytes + i * kPageBytes;
    const bool is_beginning =
        i == header.count.get() ||
        page_header(Bytes(old_area).subspan(copy, kPageBytes)).lsn.get() >= raw(superblocks->current().redo_start);
    if (!is_beginning) continue;
    torn += i < header.count.get() ? 1 : 0;
    EXPECT_TRUE(reading.errors.empty()) << "copy " << i << ": " << reading.errors.front();
  }
  EXPECT_GT(torn, 0u);
}

// Cleaner, checkpoints and evictions at once: a page is written by one thread at a time.
TEST(WritesInFlightTest, TwoWritesOfThePagesAreInFlightAtOnce) {
  SimFileSystem disk;
  std::atomic<int> in_flight{0};
  std::atomic<int> most{0};
  std::atomic<std::uint64_t> writes{0};
  class CountingDisk final : public ForwardingFileSystem {
   public:
    CountingDisk(FileSystem& below, std::atomic<int>& in_flight, std::atomic<int>& most,
                 std::atomic<std::uint64_t>& writes)
        : ForwardingFileSystem(below), in_flight_(in_flight), most_(most), writes_(writes) {}

   private:
    int around(FileCall call, const std::string& path, FunctionRef<int()> forward) override {
      const bool area = path.ends_with("doublewrite.vg");
      if (call != FileCall::kWrite || !area) return forward();
      // The area's write opens a batch; while it lasts no other batch may copy pages.
      writes_.fetch_add(1);
      const int now = in_flight_.fetch_add(1) + 1;
      most_.store(std::max(most_.load(), now));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      const int result = forward();
      in_flight_.fetch_sub(1);
      return result;
    }
    std::atomic<int>& in_flight_;
    std::atomic<int>& most_;
    std::atomic<std::uint64_t>& writes_;
  } counting(disk, in_flight, most, writes);
  Options options = small_options();
  options.cache_bytes = std::size_t{256} << 10;
  Result<Database> db = open_on(counting, options);
  ASSERT_OK(db);
  Map map = *db->create_map("m");
  std::vector<std::thread> threads;
  std::atomic<bool> done{false};
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 400 || writes.load() < 3; ++i) {  // until some batches have been written
        EXPECT_TRUE(
            map.put(std::to_string(i * 7919 % 1000) + "." + std::to_string(t), std::string(kPageBytes / 8, 'v')));
      }
    });
  }
  threads.emplace_back([&] {
    while (!done.load()) EXPECT_TRUE(db->checkpoint());
  });
  threads[0].join();
  threads[1].join();
  done.store(true);
  threads[2].join();
  EXPECT_EQ(most.load(), 1);
}

// The second recovery finds changes in the epoch of the first one, which undid, and losers in the one before.
TEST_F(OpenEraserTest, ASecondRecoveryDoesNotReadTheEpochBeforeTheFirst) {
  TestRandom random;
  std::size_t epochs = 0;
  for (int round = 0; round < 10; ++round) {
    auto disk = killed_->killed();
    for (int i = 0; i < 3; ++i) {
      const std::size_t from = disk->position();
      ASSERT_OK(open_on(*disk, options()));
      disk = disk->killed(random.between(from, disk->position()));
      const auto data = *disk->open("/db/data.vg", OpenMode::kReadOnly);
      const auto superblocks = SuperblockStore::load(*data);
      ASSERT_OK(superblocks);
      epochs = std::max(epochs, superblocks->current().epochs.size());
    }
    expect_all_there(*disk, "round " + std::to_string(round));
  }
  EXPECT_GE(epochs, 2u);
}

}  // namespace
}  // namespace vaultgres
