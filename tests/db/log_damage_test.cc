// Goal: whatever becomes of the log, opening gives every state that was durable, or an error that names file and
// position. A torn tail is the end; damage below what is known to be durable is reported, never skipped.
//
// Method: two lives of a database, killed with a transaction open, on a simulated disk; a third timeline that began at
// the same place as the second and is dead; another database with the same steps. Each case damages a cheap copy:
// flipped bits, zeroed, torn, swapped and repeated blocks, blocks of the dead timeline, segments that are missing,
// renamed, repeated, foreign, shorter. What must come of it is computed from the damaged files by the rules of
// src/wal/README.md, without the engine's reader.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/seeded_bug.h"
#include "db/damage_support.h"
#include "format/doublewrite.h"
#include "recovery/superblock_store.h"
#include "support/cases.h"
#include "support/scale.h"
#include "wal/block.h"

namespace vaultgres {
namespace {

constexpr char kLog[] = "/db/log/";
constexpr char kDoublewrite[] = "/db/doublewrite.vg";

/// The state after a step, and how far the log was durable when it was acknowledged.
struct AckedState {
  std::uint64_t durable = 0;
  Content map;
  std::map<std::int64_t, std::int64_t> table;
};

Options log_options() {
  Options options = small_options();
  options.flush_interval_ms = 1000;  // few flushes but those of commits
  return options;
}

/// Steps of one thread: transactions over a map and a table, each with its number in both.
class Steps {
 public:
  Steps(Database& db, std::string mark) : db_(db), mark_(std::move(mark)) {}

  void create() {
    ASSERT_OK(db_.create_map("m"));
    ASSERT_OK(db_.create_table("t", *Schema::create({{"key", ColumnType::kInt64}, {"step", ColumnType::kInt64}})));
    ASSERT_OK(db_.create_index("t_key", "t", {.columns = {{"key"}}, .unique = true}));
  }
  /// Acknowledged ones are added to `states`, which holds the state before.
  void run(unsigned count, std::vector<AckedState>& states) {
    Map map = *db_.open_map("m");
    Table table = *db_.open_table("t");
    Index index = *db_.open_index("t_key");
    for (unsigned i = 0; i < count; ++i) {
      AckedState state = states.empty() ? AckedState() : states.back();
      const auto number = static_cast<std::int64_t>(states.size());
      Transaction txn = *db_.begin();
      const auto put = [&](const std::string& key, const std::string& value) {
        ASSERT_OK(map.put(txn, key, value));
        state.map[key] = value;
      };
      put("step", mark_ + std::to_string(number));
      put("key " + std::to_string(number % 23), std::string(static_cast<std::size_t>(number * 37 % 300), 'v'));
      if (number % 17 == 0) put("large", std::string(3 * kPageBytes, static_cast<char>('a' + number % 26)));
      if (number % 5 == 0) {
        ASSERT_TRUE(map.erase(txn, "key " + std::to_string(number % 11)));
        state.map.erase("key " + std::to_string(number % 11));
      }
      const std::int64_t key = number % 13;
      const auto row = index.find(txn, {key});
      ASSERT_OK(row);
      if (*row) {
        ASSERT_OK(table.update(txn, (*row)->id, {key, number}));
      } else {
        ASSERT_OK(table.insert(txn, {key, number}));
      }
      state.table[key] = number;
      ASSERT_OK(txn.commit());
      state.durable = db_.stats()->log_durable;
      states.push_back(std::move(state));
    }
  }

 private:
  Database& db_;
  const std::string mark_;
};

Result<AckedState> read_state(Database& db) {
  AckedState state;
  const Result<Map> map = db.open_map("m");
  if (!map) return map.error();
  Cursor cursor = map->cursor();
  for (;;) {
    const Result<bool> more = cursor.next();
    if (!more) return more.error();
    if (!*more) break;
    state.map.emplace(cursor.key(), cursor.value());
  }
  const Result<Table> table = db.open_table("t");
  if (!table) return table.error();
  const Result<Rows> rows = read_rows(table->scan());
  if (!rows) return rows.error();
  for (const auto& [id, row] : *rows) state.table[row[0].integer()] = row[1].integer();
  const Result<Index> index = db.open_index("t_key");
  if (!index) return index.error();
  if (Status agrees = check_index(*index, *rows); !agrees) return agrees.error();
  return state;
}

enum class LogDamage : std::uint8_t {
  kBit,
  kZeroBlock,
  kTornBlock,
  kSwapBlocks,
  kRepeatBlock,
  kDeadBlocks,
  kMissing,
  kRenamed,
  kRepeated,
  kForeign,
  kDeadSegment,
  kShorter,
  kZeroSegment,
};
constexpr unsigned kLogDamages = 13;

class LogDamageTest : public ::testing::Test {
 protected:
  void build() {
    std::unique_ptr<SimFileSystem> first;
    {
      Result<Database> db = open_on(disk_, log_options());
      ASSERT_OK(db);
      Steps steps(*db, "first ");
      ASSERT_NO_FATAL_FAILURE(steps.create());
      ASSERT_NO_FATAL_FAILURE(steps.run(30, states_));
      first = disk_.killed();
    }
    first->settle();
    const auto third = first->killed();
    {
      Result<Database> db = open_on(*third, log_options());
      ASSERT_OK(db);
      std::vector<AckedState> states = states_;
      ASSERT_NO_FATAL_FAILURE(Steps(*db, "dead ").run(90, states));
      dead_ = third->killed();
    }
    {
      Result<Database> db = open_on(*first, log_options());
      ASSERT_OK(db);
      Steps steps(*db, "second ");
      ASSERT_NO_FATAL_FAILURE(steps.run(40, states_));
      ASSERT_OK(db->checkpoint());
      Map map = *db->open_map("m");
      Transaction open = *db->begin();
      for (int i = 0; i < 10; ++i) ASSERT_OK(map.put(open, "open " + std::to_string(i), "not committed"));
      ASSERT_NO_FATAL_FAILURE(steps.run(70, states_));
      base_ = first->killed();
    }
    {
      Result<Database> db = open_on(other_disk_, log_options());
      ASSERT_OK(db);
      std::vector<AckedState> states;
      Steps steps(*db, "first ");
      ASSERT_NO_FATAL_FAILURE(steps.create());
      ASSERT_NO_FATAL_FAILURE(steps.run(140, states));
      other_ = other_disk_.killed();
    }
    for (SimFileSystem* disk : {base_.get(), dead_.get(), other_.get()}) disk->settle();
    const auto data = *base_->open(kDataPath, OpenMode::kReadOnly);
    superblock_ = SuperblockStore::load(*data)->current();
    end_ = hole(*base_).value_or(0);
    ASSERT_GE(end_, states_.back().durable);
    ASSERT_GT(end_, raw(superblock_.redo_start) + 40 * kLogBlockBytes);
    ASSERT_GT(superblock_.epochs.size(), 0u);
  }

  std::uint64_t segment_bytes() const { return superblock_.segment_bytes; }
  std::string path_of(std::uint64_t position) const { return kLog + segment_name(position / segment_bytes()); }

  static std::vector<std::string> segments_of(SimFileSystem& disk) {
    const auto names = disk.list("/db/log");
    return names ? *names : std::vector<std::string>();
  }
  /// All blocks that exist, by position.
  std::map<std::uint64_t, std::vector<std::byte>> blocks_of(SimFileSystem& disk) const {
    std::map<std::uint64_t, std::vector<std::byte>> blocks;
    for (const std::string& name : segments_of(disk)) {
      std::uint64_t number = 0;
      if (!parse_segment_name(name, &number)) continue;
      const std::vector<std::byte> bytes = file_bytes(disk, kLog + name);
      for (std::size_t at = 0; at + kLogBlockBytes <= std::min<std::size_t>(bytes.size(), segment_bytes());
           at += kLogBlockBytes) {
        const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        blocks[number * segment_bytes() + at].assign(from, from + kLogBlockBytes);
      }
    }
    return blocks;
  }

  /// What the doublewrite file says of the log.
  std::uint64_t durable_when_written(SimFileSystem& disk) const {
    const std::vector<std::byte> area = file_bytes(disk, kDoublewrite);
    const DoublewriteHeader* const header = doublewrite_header(page_checksum_seed(superblock_.database), area);
    return header == nullptr ? 0 : header->durable.get();
  }
  /// Where the log ends by the rules, from redo start on; nothing: it is damaged.
  std::optional<std::uint64_t> hole(SimFileSystem& disk) const {
    const auto blocks = blocks_of(disk);
    for (const SuperblockState::Epoch& epoch : superblock_.epochs) {
      const BlockSeal seal(superblock_.database, epoch.number, epoch.salt);
      const auto is_good = [&](std::uint64_t at) {
        const auto block = blocks.find(at);
        return block != blocks.end() && seal.fault(block->second, at) == nullptr;
      };
      std::uint64_t at = block_start(std::max(raw(epoch.first), raw(superblock_.redo_start)));
      if (epoch.end != Lsn{0}) {
        for (; at < raw(epoch.end); at += kLogBlockBytes) {
          if (!is_good(at)) return std::nullopt;
        }
        continue;
      }
      while (is_good(at)) at += kLogBlockBytes;
      std::uint64_t known = std::max(raw(superblock_.durable), durable_when_written(disk));
      for (const auto& [position, block] : blocks) {
        if (position >= raw(epoch.first) && is_good(position)) {
          known = std::max(known, log_block_header(block).durable.get());
        }
      }
      if (at < known) return std::nullopt;
      return at;
    }
    return std::nullopt;
  }

  std::uint64_t choose_block() {
    const std::uint64_t from = raw(superblock_.redo_start) / kLogBlockBytes;
    const std::uint64_t to = end_ / kLogBlockBytes;
    switch (random_.uniform(8)) {
      case 0:  // below redo start: perhaps nobody needs it
        return (raw(superblock_.epochs.front().first) / kLogBlockBytes +
                random_.uniform(from - raw(superblock_.epochs.front().first) / kLogBlockBytes + 1)) *
               kLogBlockBytes;
      case 1:
      case 2:  // around the tail
        return (to - 4 + random_.uniform(8)) * kLogBlockBytes;
      default:
        return (from + random_.uniform(to - from)) * kLogBlockBytes;
    }
  }
  std::vector<std::byte> block_of(SimFileSystem& disk, std::uint64_t position) const {
    std::vector<std::byte> block(kLogBlockBytes);
    const auto file = disk.open(path_of(position), OpenMode::kReadOnly);
    if (file) static_cast<void>((*file)->read_up_to(position % segment_bytes(), block).has_value());
    return block;
  }
  void write_block(SimFileSystem& disk, std::uint64_t position, Bytes bytes) {
    if (*disk.exists(path_of(position))) overwrite(disk, path_of(position), position % segment_bytes(), bytes);
  }
  void copy_segment(SimFileSystem& from, const std::string& name, SimFileSystem& to, const std::string& as) {
    const std::vector<std::byte> bytes = file_bytes(from, kLog + name);
    if (*to.exists(kLog + as)) {
      ASSERT_OK(to.remove(kLog + as));
    }
    const auto file = to.open(kLog + as, OpenMode::kCreate);
    ASSERT_OK(file);
    ASSERT_OK((*file)->write(0, bytes));
  }

  /// Says what it did.
  std::string damage(SimFileSystem& disk, LogDamage kind) {
    const std::uint64_t at = choose_block();
    const std::string name = segment_name(at / segment_bytes());
    const std::string where = " at log position " + std::to_string(at);
    if (!*disk.exists(kLog + name)) return "nothing" + where;
    std::vector<std::byte> block = block_of(disk, at);
    switch (kind) {
      case LogDamage::kBit: {
        const std::uint64_t bit = random_.uniform(8 * kLogBlockBytes);
        block[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
        write_block(disk, at, block);
        return "bit " + std::to_string(bit) + where;
      }
      case LogDamage::kZeroBlock:
        write_block(disk, at, std::vector<std::byte>(kLogBlockBytes));
        return "zeros" + where;
      case LogDamage::kTornBlock: {
        const std::size_t kept = random_.uniform(8) * kSimSectorBytes;
        std::fill(block.begin() + static_cast<std::ptrdiff_t>(kept), block.end(), std::byte{0});
        write_block(disk, at, block);
        return "torn behind " + std::to_string(kept) + where;
      }
      case LogDamage::kSwapBlocks:
      case LogDamage::kRepeatBlock: {
        const std::uint64_t other = choose_block();
        write_block(disk, at, block_of(*base_, other));
        if (kind == LogDamage::kSwapBlocks) write_block(disk, other, block);
        return "the block of " + std::to_string(other) + where;
      }
      case LogDamage::kDeadBlocks: {
        const std::uint64_t count = 1 + random_.uniform(30);
        for (std::uint64_t i = 0; i < count; ++i) {
          write_block(disk, at + i * kLogBlockBytes, block_of(*dead_, at + i * kLogBlockBytes));
        }
        return std::to_string(count) + " blocks of the dead timeline" + where;
      }
      case LogDamage::kMissing:
        EXPECT_TRUE(disk.remove(kLog + name));
        return "no segment " + name;
      case LogDamage::kRenamed: {
        const std::string as = segment_name(at / segment_bytes() + 1 + random_.uniform(3));
        EXPECT_TRUE(disk.rename(kLog + name, kLog + as));
        return "segment " + name + " named " + as;
      }
      case LogDamage::kRepeated: {
        const std::string as = segment_name(at / segment_bytes() + 1 + random_.uniform(4));
        copy_segment(*base_, name, disk, as);
        return "segment " + name + " also as " + as;
      }
      case LogDamage::kForeign:
        if (!*other_->exists(kLog + name)) return "nothing";
        copy_segment(*other_, name, disk, name);
        return "segment " + name + " of another database";
      case LogDamage::kDeadSegment: {
        const std::vector<std::string> dead = segments_of(*dead_);
        const std::string& from = dead[random_.uniform(dead.size())];
        const std::string as = random_.one_in(2) ? from : segment_name(end_ / segment_bytes() + 1 + random_.uniform(2));
        copy_segment(*dead_, from, disk, as);
        return "segment " + from + " of the dead timeline as " + as;
      }
      case LogDamage::kShorter: {
        const auto file = *disk.open(kLog + name, OpenMode::kReadWrite);
        const std::uint64_t size = at % segment_bytes() + random_.uniform(2) * 1000;
        EXPECT_TRUE(file->truncate(size));
        return "segment " + name + " cut off at " + std::to_string(size);
      }
      case LogDamage::kZeroSegment:
        overwrite(disk, kLog + name, 0, std::vector<std::byte>(segment_bytes()));
        return "zeros in segment " + name;
    }
    return "";
  }

  /// Empty: what came of it is what must.
  std::string judge(SimFileSystem& disk, bool read_only) {
    const std::optional<std::uint64_t> end = hole(disk);
    Options options = log_options();
    options.read_only = read_only;
    const Result<Database> opened = open_on(disk, options);
    if (!opened) {
      const std::string text(opened.error().message());
      ++refused_;
      if (opened.error().code() != ErrorCode::kCorruption) return "it fails with another error: " + text;
      if (text.find("position") == std::string::npos) return "the error names no position: " + text;
      if (!end && text.find(kLog) == std::string::npos) return "the error names no file: " + text;
      if (end && *end == end_ && !below_redo_start_changed(disk)) return "nothing is damaged, but: " + text;
      return "";
    }
    if (!end) return "damage is skipped without a word";
    auto& db = const_cast<Database&>(*opened);
    const Result<AckedState> found = read_state(db);
    if (!found) {
      // A page that is newer than the log is damage of the log, too, and found when the page is read.
      ++refused_;
      const std::string text(found.error().message());
      return *end < end_ && found.error().code() == ErrorCode::kCorruption ? "" : "reading fails: " + text;
    }
    ++opened_;
    const auto lost =
        std::find_if(states_.begin(), states_.end(), [&](const AckedState& s) { return s.durable > *end; });
    const auto complete = static_cast<std::size_t>(lost - states_.begin());
    for (std::size_t k = complete; k <= complete + 1 && k <= states_.size(); ++k) {
      if (k > 0 && states_[k - 1].map == found->map && states_[k - 1].table == found->table) return check(db);
    }
    return "it holds " + (found->map.contains("step") ? found->map.at("step") : "no step") + ", and should hold " +
           std::to_string(complete - 1) + " or the next";
  }
  static std::string check(Database& db) {
    const Result<CheckReport> report = db.check();
    if (!report) return "check: " + std::string(report.error().message());
    return report->problems.empty() ? "" : "check: " + report->problems.front().what;
  }
  /// Undo may need what lies there.
  bool below_redo_start_changed(SimFileSystem& disk) const {
    const auto now = blocks_of(disk);
    for (const auto& [at, block] : blocks_of(*base_)) {
      if (at > raw(superblock_.redo_start)) break;
      const auto same = now.find(at);
      if (same == now.end() || same->second != block) return true;
    }
    return false;
  }

  SimFileSystem disk_;
  SimFileSystem other_disk_;
  std::unique_ptr<SimFileSystem> base_;
  std::unique_ptr<SimFileSystem> dead_;
  std::unique_ptr<SimFileSystem> other_;
  std::vector<AckedState> states_;
  SuperblockState superblock_;
  std::uint64_t end_ = 0;  ///< of the undamaged log
  TestRandom random_;
  std::uint64_t refused_ = 0;
  std::uint64_t opened_ = 0;
};

TEST_F(LogDamageTest, DamageBelowTheDurableEndIsSkippedSilently) {
  ASSERT_NO_FATAL_FAILURE(build());
  const auto undamaged = base_->killed();
  ASSERT_EQ(judge(*undamaged, false), "");
  const std::uint64_t count = scaled(1000);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto disk = base_->killed();
    const std::string what = damage(*disk, static_cast<LogDamage>(i % kLogDamages));
    ASSERT_EQ(judge(*disk, random_.one_in(3)), "") << what << "; the log ends at " << end_;
  }
  std::printf("%llu cases: %llu refused, %llu opened\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(refused_), static_cast<unsigned long long>(opened_));
  EXPECT_GT(refused_, count / 10);
  EXPECT_GT(opened_, count / 10);
  record_cases("R8", count);
}

TEST_F(LogDamageTest, ATornTailLosesWhatWasDurable) {
  ASSERT_NO_FATAL_FAILURE(build());
  std::uint64_t cases = 0;
  for (std::uint64_t at = end_ - 8 * kLogBlockBytes; at < end_ + 4 * kLogBlockBytes; at += kLogBlockBytes) {
    for (std::size_t sectors = 0; sectors < kLogBlockBytes / kSimSectorBytes; ++sectors) {
      const auto disk = base_->killed();
      // Behind it nothing has reached the disk.
      for (std::uint64_t later = at + kLogBlockBytes; later < end_; later += kLogBlockBytes) {
        write_block(*disk, later, std::vector<std::byte>(kLogBlockBytes));
      }
      std::vector<std::byte> block = block_of(*disk, at);
      std::fill(block.begin() + static_cast<std::ptrdiff_t>(sectors * kSimSectorBytes), block.end(), std::byte{0});
      write_block(*disk, at, block);
      ASSERT_EQ(judge(*disk, false), "") << "torn at " << at << " after " << sectors << " sectors; the end is " << end_;
      ++cases;
    }
  }
  record_cases("R8", cases);
}

TEST_F(LogDamageTest, TheLogOfAnotherDatabaseOrOfAnotherTimeIsTakenForThisOnes) {
  ASSERT_NO_FATAL_FAILURE(build());
  std::uint64_t cases = 0;
  const auto expect_refused = [&](SimFileSystem& data, SimFileSystem& log, const std::string& what) {
    for (const bool read_only : {false, true}) {
      const auto disk = data.killed();
      for (const std::string& name : segments_of(*disk)) ASSERT_OK(disk->remove(kLog + name));
      for (const std::string& name : segments_of(log)) copy_segment(log, name, *disk, name);
      Options options = log_options();
      options.read_only = read_only;
      const Result<Database> db = open_on(*disk, options);
      ASSERT_FALSE(db) << what << " is believed";
      EXPECT_EQ(db.error().code(), ErrorCode::kCorruption) << what << ": " << db.error().message();
      EXPECT_NE(db.error().message().find(kLog), std::string::npos) << what << ": " << db.error().message();
      ++cases;
    }
  };
  expect_refused(*base_, *other_, "the log of another database");
  expect_refused(*other_, *base_, "this log with the data of another database");
  expect_refused(*base_, *dead_, "the log of the dead timeline");
  expect_refused(*dead_, *base_, "the living log with the data of the dead timeline");
  const auto young = disk_.killed(disk_.position() / 2);
  expect_refused(*base_, *young, "an older log");
  SimFileSystem none;
  ASSERT_OK(none.make_directory("/db"));
  ASSERT_OK(none.make_directory("/db/log"));
  expect_refused(*base_, none, "no log");
  record_cases("R8", cases);
}

TEST_F(LogDamageTest, ADamagedSuperblockIsAWrongAnswer) {
  ASSERT_NO_FATAL_FAILURE(build());
  const std::uint64_t count = scaled(200);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto disk = base_->killed();
    const std::vector<std::byte> data = file_bytes(*disk, kDataPath);
    const bool both = i % 4 == 3;
    std::string what;
    for (std::uint32_t copy = 0; copy < 2; ++copy) {
      if (!both && copy != i % 2) continue;
      // Anywhere, where the fields are, and in what says which format it is.
      const std::uint64_t offset = i % 3 == 0   ? random_.uniform(kPageBytes)
                                   : i % 3 == 1 ? random_.uniform(320)
                                                : random_.between(24, 39);
      const std::byte flipped = data[copy * kPageBytes + offset] ^ std::byte{1} << static_cast<int>(random_.uniform(8));
      overwrite(*disk, kDataPath, copy * kPageBytes + offset, Bytes(&flipped, 1));
      what += " byte " + std::to_string(offset) + " of superblock " + std::to_string(copy);
    }
    Options options = log_options();
    options.read_only = random_.one_in(3);
    Result<Database> db = open_on(*disk, options);
    if (db) {
      ASSERT_FALSE(both) << what;
      const Result<AckedState> found = read_state(*db);
      ASSERT_TRUE(found) << what << ": " << found.error().message();
      EXPECT_EQ(found->map, states_.back().map) << what;
      EXPECT_EQ(found->table, states_.back().table) << what;
      ++opened_;
      continue;
    }
    const std::string text(db.error().message());
    const ErrorCode code = db.error().code();
    // A version or page size that is not ours could be another format's, where no copy says otherwise.
    EXPECT_TRUE(code == ErrorCode::kCorruption || (both && code == ErrorCode::kUnsupported)) << what << ": " << text;
    EXPECT_NE(text.find("/db/"), std::string::npos) << what << ": " << text;
  }
  EXPECT_GT(opened_, 0u) << "one copy that is good is enough";
  record_cases("R8", count);
}

// A page goes to the disk only when the log is durable up to its LSN. Where the log ends before a page's LSN, log is
// lost, though nothing in the log says so: the page may hold what was never committed.
class LostLogTest : public LogDamageTest {
 protected:
  /// A database whose page of "key" holds what only the log says is not committed; that log is lost.
  void SetUp() override {
    std::uint64_t end_before = 0;
    {
      const auto core = internal::Core::open({&disk_, nullptr, "/db"}, log_options());
      ASSERT_OK(core);
      Database db = internal::make_database(*core);
      Map map = *db.create_map("m");
      ASSERT_OK(map.put("key", "committed"));
      // The collector has no record to append behind the checkpoint: the log ends with a whole block.
      ASSERT_TRUE(comes_true([&] { return (*core)->engine().versions.entry_count() == 0; }));
      ASSERT_NO_FATAL_FAILURE(expect_sound(db));  // waits for the round in which they went
      ASSERT_OK(db.checkpoint());
      end_before = db.stats()->log_end;
      Transaction txn = *db.begin();
      ASSERT_OK(map.put(txn, "key", "not committed"));
      ASSERT_OK((*core)->engine().log.flush((*core)->engine().log.end()));
      ASSERT_OK((*core)->engine().pool.flush_all());
      base_ = disk_.killed();
    }
    ASSERT_EQ(end_before % kLogBlockBytes, 0u);
    base_->settle();
    const auto data = *base_->open(kDataPath, OpenMode::kReadOnly);
    superblock_ = SuperblockStore::load(*data)->current();
    for (std::uint64_t at = end_before; at % segment_bytes() != 0; at += kLogBlockBytes) {
      write_block(*base_, at, std::vector<std::byte>(kLogBlockBytes));
    }
    for (const std::string& name : segments_of(*base_)) {
      std::uint64_t number = 0;
      if (parse_segment_name(name, &number) && number > end_before / segment_bytes()) {
        ASSERT_OK(base_->remove(kLog + name));
      }
    }
  }
};

TEST_F(LostLogTest, PagesThatAreNewerThanTheLogAreForgottenOnceItHasGrownAgain) {
  auto disk = base_->killed();
  for (int life = 0; life < 3; ++life) {
    Result<Database> db = open_on(*disk, log_options());
    if (!db) {
      EXPECT_EQ(db.error().code(), ErrorCode::kCorruption);
      EXPECT_NE(db.error().message().find(kLog), std::string::npos) << db.error().message();
      EXPECT_NE(db.error().message().find("by doublewrite.vg, and by that alone"), std::string::npos)
          << db.error().message();
      continue;
    }
    ADD_FAILURE() << "it opens in life " << life;
    if (const auto value = db->open_map("m")->get("key")) {
      EXPECT_EQ(*value, "committed");
    }
    Map later = *db->create_map("later " + std::to_string(life));
    const std::uint64_t end = db->stats()->log_end + 2 * segment_bytes();
    for (int i = 0; db->stats()->log_end < end; ++i) ASSERT_OK(later.put(std::to_string(i), std::string(200, 'v')));
    disk = disk->killed();
  }
}

// Without the doublewrite file nothing says so but the page.
TEST_F(LostLogTest, APageThatIsNewerThanTheLogIsBelieved) {
  for (const bool read_only : {true, false}) {
    const auto disk = base_->killed();
    ASSERT_OK(disk->remove(kDoublewrite));
    Options options = log_options();
    options.read_only = read_only;
    Result<Database> db = open_on(*disk, options);
    if (!db) {
      EXPECT_EQ(db.error().code(), ErrorCode::kCorruption);
      continue;
    }
    const auto value = db->open_map("m")->get("key");
    EXPECT_FALSE(value) << "it gives " << value->value_or("nothing");
    EXPECT_ERROR(kCorruption, value);
    const auto report = db->check();
    ASSERT_OK(report);
    EXPECT_FALSE(report->problems.empty());
  }
}

// --- Negative controls

class LogDamageControlTest : public LogDamageTest {
 protected:
  void expect_noticed(SeededBug bug) {
    ASSERT_NO_FATAL_FAILURE(build());
    for (unsigned i = 0; i < 500; ++i) {
      const auto disk = base_->killed();
      const std::string what = damage(*disk, LogDamage::kZeroBlock);
      const std::optional<std::uint64_t> end = hole(*disk);
      if (end) continue;
      const SeededBugScope scope(bug);
      if (open_on(*disk, log_options())) return;
    }
    ADD_FAILURE() << "every damage is refused all the same";
  }
};

TEST_F(LogDamageControlTest, ALogThatEndsAtItsFirstBadBlockLosesCommits) {
  expect_noticed(SeededBug::kLogHoleIsTheEnd);
}

}  // namespace
}  // namespace vaultgres
