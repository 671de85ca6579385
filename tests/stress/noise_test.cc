// Goal: whatever comes in between the steps of a protocol, each thread finds exactly what it wrote, nobody hangs, and
// in the end everything is sound.
//
// Method: a round has its own schedule noise (base/schedule_noise.h), all of it chosen by the round's seed: a few
// points of the engine where threads are delayed, how often, and how. Within it a few threads insert, erase, update,
// read and scan what is theirs, between what is the others', and compare every answer with what they know. They fill
// and empty all that they have together, so that trees grow and shrink. One test does so with a tree in a cache of a
// few frames, one with a map and a table of a database. VG_SEED and the number of the round give the seed.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include "base/schedule_noise.h"
#include "btree/tree.h"
#include "stress/stress_support.h"
#include "support/cases.h"
#include "support/page_space.h"
#include "support/random.h"
#include "support/table.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr unsigned kNoiseThreads = 4;

/// Above so many own entries a thread wants everybody to erase, below so few to insert.
struct Tide {
  std::atomic<bool> rising{true};

  bool turn(std::size_t entries, std::size_t most) {
    if (entries >= most) rising.store(false);
    if (entries <= most / 16) rising.store(true);
    return rising.load();
  }
};

/// Neighbours belong to different threads. Sixteen in a row differ in their last bytes only, so that separators are
/// long and inner nodes have few children.
std::string noise_key(std::uint64_t i) {
  std::string key(40, static_cast<char>('a' + i / 16 % 26));
  key += std::to_string(1000 + i);
  return key;
}

unsigned noise_owner(std::string_view key) {
  static_assert(1000 % kNoiseThreads == 0);
  return static_cast<unsigned>(std::stoull(std::string(key.substr(40))) % kNoiseThreads);
}

std::string noise_value(std::uint64_t i, std::uint64_t write, std::uint64_t bytes_max) {
  std::string value = std::to_string(i) + "." + std::to_string(write) + ".";
  const std::uint64_t bytes = (i * 7919 + write * 104729) % bytes_max;
  if (value.size() < bytes) value.resize(bytes, static_cast<char>('a' + write % 26));
  return value;
}

std::string text_of(const Error& error) {
  return std::string(error.message());
}

// --- A tree

class NoisyTree : public PageSpace {
 public:
  /// What frees pages and uses them again beside the tree.
  static constexpr ObjectId kOther{41};

  NoisyTree() : PageSpace(&register_node_ops, &verify, kFramesMin + 8 * kNoiseThreads) {}

  const TreeContext context{*pool, *log, *allocator};
  const Tree tree{context, ObjectId{40}, create_root(&Tree::add_new_root, ObjectId{40})};
  Tide tide;

 private:
  static Status verify(PageId, Bytes page) {
    const auto type = static_cast<PageType>(page_header(page).type.get());
    return type == PageType::kLeaf || type == PageType::kInternal ? verify_node(page) : Status();
  }
};

constexpr std::uint64_t kTreeValueMax = kPageBytes / 10;  // with a key still an inline entry

class TreeNoiseWorker {
 public:
  /// Among `keys` keys; at most 400 keep their order.
  TreeNoiseWorker(NoisyTree& space, std::uint64_t keys, unsigned number, std::uint64_t round)
      : space_(&space), keys_(keys), number_(number), random_(1000 * round + number) {}

  std::string one() {
    const Status done = step();
    return done ? std::string() : text_of(done.error());
  }
  const Content& own() const { return own_; }

 private:
  Status step() {
    const std::uint64_t choice = random_.uniform(200);
    if (choice < 100) return change();
    if (choice < 140) return read();
    if (choice < 170) return scan_up();
    if (choice < 197) return scan_down();
    if (choice < 199) return walk();
    return use_other_tree();
  }

  static Error wrong(const std::string& what) { return Error(ErrorCode::kCorruption, "wrong answer: " + what); }
  std::uint64_t own_number() { return random_.uniform(keys_ / kNoiseThreads) * kNoiseThreads + number_; }
  /// Also of bytes that are no key: a leaf is looked at before it is validated.
  bool is_own(const std::string& key) const {
    const bool plausible =
        key.size() > 40 && key.size() < 50 && key.find_first_not_of("0123456789", 40) == std::string::npos;
    return plausible && noise_owner(key) == number_;
  }

  Status change() {
    const bool rising = space_->tide.turn(own_.size(), keys_ / kNoiseThreads * 9 / 10);
    const std::uint64_t i = own_number();
    const std::string key = noise_key(i);
    if (random_.uniform(8) < (rising ? 7u : 1u)) {
      if (own_.contains(key)) return {};
      const std::string value = noise_value(i, ++writes_, kTreeValueMax);
      VG_TRY(insert(space_->tree, key, value));
      own_[key] = value;
      return {};
    }
    const auto found = own_.lower_bound(key);
    if (found == own_.end()) return {};
    VG_TRY(erase(found->first));
    own_.erase(found);
    return {};
  }

  Status insert(const Tree& tree, const std::string& key, const std::string& value) {
    for (;;) {
      {
        LogSpace log_space(*space_->log);
        VG_TRY(log_space.reserve(Tree::log_bytes_of_change(key.size(), value.size())));
        VG_ASSIGN(ExclusiveGuard leaf, tree.write_leaf(as_bytes(key)));
        const NodeView view(leaf.page());
        const NodeView::Position at = view.lower_bound(as_bytes(key));
        if (at.exact) return wrong("a key is there that nobody has inserted");
        if (view.has_room(key.size(), value.size())) {
          MiniTxn mini(*space_->pool, *space_->log, RecordKind::kSystem);
          PayloadBuffer payload;
          encode_node_insert(payload, at.slot, 0, as_bytes(key), as_bytes(value));
          mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
          mini.commit();
          return {};
        }
      }
      VG_TRY(tree.make_room(as_bytes(key), value.size()));
    }
  }

  Status erase(const std::string& key) {
    bool underfull = false;
    {
      LogSpace log_space(*space_->log);
      VG_TRY(log_space.reserve(Tree::log_bytes_of_change(key.size(), inline_value_max(key.size()))));
      VG_ASSIGN(ExclusiveGuard leaf, space_->tree.write_leaf(as_bytes(key)));
      const NodeView::Position at = NodeView(leaf.page()).lower_bound(as_bytes(key));
      if (!at.exact) return wrong("an own key is not there to be erased");
      MiniTxn mini(*space_->pool, *space_->log, RecordKind::kSystem);
      PayloadBuffer payload;
      encode_node_remove(payload, at.slot);
      mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
      mini.commit();
      underfull = NodeView(leaf.page()).is_underfull();
    }
    return underfull ? space_->tree.merge_at(as_bytes(key)) : Status();
  }

  Status read() {
    const std::string key = noise_key(own_number());
    std::optional<std::string> found;
    VG_TRY(space_->tree.read_leaf(as_bytes(key), [&](const NodeView& leaf) {
      const NodeView::Found entry = leaf.find(as_bytes(key));
      found.reset();
      if (entry.position.exact) found.emplace(as_text(entry.value));
    }));
    const auto own = own_.find(key);
    if (found.has_value() != (own != own_.end())) return wrong(key + (found ? " is there" : " is not there"));
    return !found || *found == own->second ? Status() : Status(wrong(key + " has another value"));
  }

  /// What a leaf holds of the own keys in [from, to); no `to`: up to its end.
  Status compare(const Content& found, const std::string& from, const std::optional<std::string>& to) const {
    const Content expected(own_.lower_bound(from), to ? own_.lower_bound(*to) : own_.end());
    if (found == expected) return {};
    return wrong("a leaf has " + std::to_string(found.size()) + " own entries from " + from + " to " +
                 to.value_or("the end") + ", not " + std::to_string(expected.size()) + ", or others");
  }

  /// One leaf. It goes on there the next time, whatever has become of it.
  Status scan_up() {
    if (!scan_from_ || random_.one_in(20)) {
      scan_from_ = noise_key(random_.uniform(keys_));
      trail_.clear();
    }
    Content found;
    std::optional<std::string> high;
    bool ascends = true;
    VG_TRY(space_->tree.read_leaf(
        {Tree::Target::Kind::kCovering, as_bytes(*scan_from_)},
        [&](const NodeView& leaf) {
          found.clear();
          high.reset();
          ascends = true;
          if (leaf.has_high_fence()) high.emplace(as_text(leaf.high_fence()));
          std::string last;
          leaf.visit_up(leaf.lower_bound(as_bytes(*scan_from_)).slot,
                        [&](unsigned, Bytes key, Bytes value, std::uint8_t) {
                          ascends = ascends && std::string_view(last) < as_text(key);
                          last = as_text(key);
                          if (is_own(last)) found[last] = as_text(value);
                          return true;
                        });
        },
        Hint::kScan, trail_));
    if (!ascends) return wrong("keys of a leaf do not ascend");
    VG_TRY(compare(found, *scan_from_, high));
    scan_from_ = high;
    return {};
  }
  Status scan_down() {
    const std::string to = noise_key(random_.uniform(keys_));
    Content found;
    std::string low;
    VG_TRY(space_->tree.read_leaf(
        {Tree::Target::Kind::kBelow, as_bytes(to)},
        [&](const NodeView& leaf) {
          found.clear();
          low = as_text(leaf.low_fence());
          leaf.visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t) {
            const std::string text(as_text(key));
            if (text < to && is_own(text)) found[text] = as_text(value);
            return true;
          });
        },
        Hint::kNormal));
    return compare(found, low, to);
  }

  /// Beside those who change the tree, all that it says of itself agrees.
  Status walk() {
    std::string problems;
    VG_TRY(space_->tree.walk([](const NodeView&, PageId) {},
                             [&](PageId id, const std::string& what) {
                               problems += "page " + std::to_string(raw(id)) + ": " + what + "; ";
                             }));
    return problems.empty() ? Status() : Status(wrong(problems));
  }

  /// A tree that comes and goes: its pages are those that this one has freed, and are freed for it.
  Status use_other_tree() {
    const Tree other(space_->context, NoisyTree::kOther, space_->create_root(&Tree::add_new_root, NoisyTree::kOther));
    for (std::uint64_t i = random_.uniform(60); i > 0; --i) {
      VG_TRY(insert(other, noise_key(i), noise_value(i, 0, kTreeValueMax)));
    }
    for (;;) {
      VG_ASSIGN(const bool only_root, other.free_some(4, [](Bytes) { return Status(); }));
      if (only_root) return {};
    }
  }

  NoisyTree* space_;
  const std::uint64_t keys_;
  const unsigned number_;
  TestRandom random_;
  Content own_;
  std::uint64_t writes_ = 0;
  std::optional<std::string> scan_from_;
  Tree::Trail trail_;
};

// --- A database

constexpr std::uint64_t kBallast =
    (std::uint64_t{5} << 20) / 2 / 500;  // entries of 500 bytes: more than the cache holds

std::string ballast_value(std::uint64_t i) {
  return std::string(500, static_cast<char>('a' + i % 26));
}

/// A map and a table, and a map that only makes the cache too small.
class NoisyDatabase {
 public:
  explicit NoisyDatabase(Durability durability) : db(*Database::open_in_memory(options(durability))) {
    MapLoad load = *db.load_map("ballast");
    for (std::uint64_t i = 0; i < kBallast; ++i) EXPECT_TRUE(load.add(std::to_string(100000 + i), ballast_value(i)));
    EXPECT_TRUE(load.finish());
    EXPECT_TRUE(db.create_map("m"));
    EXPECT_TRUE(db.create_table("t", *Schema::create({{"id", ColumnType::kInt64}, {"data", ColumnType::kBytes}})));
    EXPECT_TRUE(db.create_index("by_id", "t", {.columns = {{"id"}}, .unique = true}));
  }
  Database db;
  Tide tide;

 private:
  static Options options(Durability durability) {
    Options options = small_options();
    options.durability = durability;
    options.lock_timeout = std::chrono::milliseconds(60000);
    return options;
  }
};

class DatabaseNoiseWorker {
 public:
  static constexpr std::uint64_t kKeys = 320;
  struct Placed {
    RowId place;
    std::string data;
  };

  DatabaseNoiseWorker(NoisyDatabase& world, unsigned number, std::uint64_t round)
      : world_(&world),
        map_(*world.db.open_map("m")),
        ballast_(*world.db.open_map("ballast")),
        table_(*world.db.open_table("t")),
        by_id_(*world.db.open_index("by_id")),
        number_(number),
        random_(5000000 + 1000 * round + number) {}

  std::string one() {
    const Status done = step();
    return done ? std::string() : text_of(done.error());
  }
  const Content& own() const { return own_; }
  const std::map<std::int64_t, Placed>& rows() const { return rows_; }
  /// All that is its own goes.
  Status erase_all() {
    for (const auto& [key, value] : own_) VG_TRY(expect_erased(map_.erase(key)));
    for (const auto& [id, row] : rows_) VG_TRY(expect_erased(table_.erase(row.place)));
    return {};
  }

 private:
  Status step() {
    const std::uint64_t choice = random_.uniform(100);
    if (choice < 30) return change(nullptr, own_, rows_);
    if (choice < 50) return change_row(nullptr, rows_);
    if (choice < 58) return transaction();
    if (choice < 70) return read();
    if (choice < 80) return read_ballast();
    if (choice < 88) return scan();
    if (choice < 97) return find_row();
    if (choice < 98) return scan_rows();
    if (choice < 99) return random_.one_in(8) ? check() : Status();
    return random_.one_in(8) ? use_other_map() : Status();
  }

  static Error wrong(const std::string& what) { return Error(ErrorCode::kCorruption, "wrong answer: " + what); }
  static Status expect_erased(const Result<bool>& erased) {
    if (!erased) return erased.error();
    return *erased ? Status() : Status(wrong("an own entry is not there to be erased"));
  }
  std::uint64_t own_number() { return random_.uniform(kKeys / kNoiseThreads) * kNoiseThreads + number_; }

  Status change(Transaction* txn, Content& own, std::map<std::int64_t, Placed>& rows) {
    if (txn != nullptr && random_.one_in(2)) return change_row(txn, rows);
    const bool rising = world_->tide.turn(own.size(), kKeys / kNoiseThreads * 9 / 10);
    const std::uint64_t i = own_number();
    const std::string key = noise_key(i);
    if (random_.uniform(8) < (rising ? 7u : 1u)) {
      // One in a while is a large value.
      const std::string value = noise_value(i, ++writes_, random_.one_in(30) ? 3 * kPageBytes : kPageBytes / 8);
      VG_TRY(txn != nullptr ? map_.put(*txn, key, value) : map_.put(key, value));
      own[key] = value;
      return {};
    }
    const auto found = own.lower_bound(key);
    if (found == own.end()) return {};
    VG_TRY(expect_erased(txn != nullptr ? map_.erase(*txn, found->first) : map_.erase(found->first)));
    own.erase(found);
    return {};
  }

  Status change_row(Transaction* txn, std::map<std::int64_t, Placed>& rows) {
    const std::uint64_t i = own_number();
    const auto id = static_cast<std::int64_t>(i);
    const std::string data = noise_value(i, ++writes_, kPageBytes / 3);
    const Row row{id, Value::bytes(data)};
    const auto found = rows.find(id);
    if (found == rows.end()) {
      VG_ASSIGN(const RowId place, txn != nullptr ? table_.insert(*txn, row) : table_.insert(row));
      rows[id] = {place, data};
      return {};
    }
    if (random_.one_in(3)) {
      VG_TRY(
          expect_erased(txn != nullptr ? table_.erase(*txn, found->second.place) : table_.erase(found->second.place)));
      rows.erase(found);
      return {};
    }
    VG_TRY(txn != nullptr ? table_.update(*txn, found->second.place, row) : table_.update(found->second.place, row));
    found->second.data = data;
    return {};
  }

  Status transaction() {
    VG_ASSIGN(Transaction txn, world_->db.begin());
    Content own = own_;
    std::map<std::int64_t, Placed> rows = rows_;
    for (std::uint64_t i = 1 + random_.uniform(5); i > 0; --i) VG_TRY(change(&txn, own, rows));
    if (random_.one_in(2)) return txn.rollback();
    VG_TRY(txn.commit());
    own_ = std::move(own);
    rows_ = std::move(rows);
    return {};
  }

  Status read() {
    const std::string key = noise_key(own_number());
    VG_ASSIGN(const auto found, map_.get(key));
    const auto own = own_.find(key);
    if (found.has_value() != (own != own_.end())) return wrong(key + (found ? " is there" : " is not there"));
    return !found || *found == own->second ? Status() : Status(wrong(key + " has another value"));
  }

  Status read_ballast() {
    const std::uint64_t i = random_.uniform(kBallast);
    VG_ASSIGN(const auto found, ballast_.get(std::to_string(100000 + i)));
    return found == ballast_value(i) ? Status() : Status(wrong("the ballast is another one"));
  }

  Status scan() {
    const std::uint64_t from = random_.uniform(kKeys);
    KeyRange range;
    range.from = noise_key(from);
    range.to = noise_key(std::min(from + 60, kKeys));
    Cursor cursor = map_.cursor(range);
    const bool forward = random_.one_in(2);
    Content found;
    std::string last;
    for (;;) {
      VG_ASSIGN(const bool more, forward ? cursor.next() : last.empty() ? cursor.last() : cursor.prev());
      if (!more) break;
      const std::string key(cursor.key());
      if (key < *range.from || key >= *range.to) return wrong("a scan leaves its range: " + key);
      if (!last.empty() && (forward ? key <= last : key >= last)) return wrong("a scan is out of order: " + key);
      last = key;
      if (noise_owner(key) == number_) found[key] = cursor.value();
    }
    const Content expected(own_.lower_bound(*range.from), own_.lower_bound(*range.to));
    return found == expected ? Status() : Status(wrong("a scan does not give the own entries"));
  }

  Status find_row() {
    const auto id = static_cast<std::int64_t>(own_number());
    VG_ASSIGN(const auto found, by_id_.find({id}));
    const auto own = rows_.find(id);
    if (found.has_value() != (own != rows_.end())) return wrong("row " + std::to_string(id) + " is or is not there");
    if (!found) return {};
    const bool same = found->id == own->second.place && found->values == Row{id, Value::bytes(own->second.data)};
    return same ? Status() : Status(wrong("row " + std::to_string(id) + " is another one"));
  }

  Status scan_rows() {
    TableScan scan = table_.scan();
    std::size_t own_rows = 0;
    for (;;) {
      VG_ASSIGN(const bool more, scan.next());
      if (!more) break;
      const std::int64_t id = scan.row()[0].integer();
      if (static_cast<unsigned>(id % kNoiseThreads) != number_) continue;
      ++own_rows;
      const auto own = rows_.find(id);
      if (own == rows_.end() || own->second.place != scan.id()) return wrong("a scan of the table gives another row");
    }
    return own_rows == rows_.size() ? Status() : Status(wrong("a scan of the table misses own rows"));
  }

  Status check() {
    VG_ASSIGN(const CheckReport report, world_->db.check());
    return report.problems.empty() ? Status() : Status(wrong("check: " + report.problems.front().what));
  }

  /// Its pages are freed in the background.
  Status use_other_map() {
    const std::string name = "other" + std::to_string(number_);
    VG_ASSIGN(Map other, world_->db.create_map(name));
    for (std::uint64_t i = 0; i < 30; ++i) VG_TRY(other.put(noise_key(i), noise_value(i, 0, 2 * kPageBytes)));
    return world_->db.drop_map(name);
  }

  NoisyDatabase* world_;
  Map map_;
  Map ballast_;
  Table table_;
  Index by_id_;
  const unsigned number_;
  TestRandom random_;
  Content own_;
  std::map<std::int64_t, Placed> rows_;
  std::uint64_t writes_ = 0;
};

// --- The rounds

NoisePlan round_noise(std::uint64_t round) {
  return NoisePlan::of_seed(TestRandom(700000 + round).next());
}

/// Points that no round has passed.
std::string points_not_passed() {
  std::string names;
  for (std::size_t i = 0; i < kNoisePoints; ++i) {
    if (noise_count(NoisePoint(i)).passed == 0) names += std::string(" ") + kNoiseNames[i];
  }
  return names;
}

/// Runs `round(number)` so many times, each with its own noise, until one fails.
template <class Round>
void run_noisy_rounds(std::uint64_t rounds, Round round) {
  CaseCount cases("R16");
  Watchdog watchdog("threads with schedule noise", std::chrono::seconds(120));
  for (std::uint64_t number = 0; number < rounds; ++number) {
    watchdog.feed("round " + std::to_string(number) + " of threads with schedule noise");
    round(number);
    if (testing::Test::HasFailure()) {
      std::printf("round %llu failed\n", static_cast<unsigned long long>(number));
      break;
    }
    ++cases;
  }
  std::printf("points that were not passed:%s\n", points_not_passed().c_str());
}

/// All threads together make so many operations, those that are not delayed more of them.
void run_on_tree(std::uint64_t round, std::uint64_t keys, const NoisePlan& plan, std::int64_t operations) {
  NoisyTree space;
  std::vector<TreeNoiseWorker> workers;
  for (unsigned t = 0; t < kNoiseThreads; ++t) workers.emplace_back(space, keys, t, round);
  {
    const NoiseScope noise(plan);
    std::atomic<std::int64_t> left{operations};
    const std::string wrong = first_wrong_answer(workers, [&](std::uint64_t) { return left.fetch_sub(1) > 0; });
    ASSERT_EQ(wrong, "");
  }
  Content expected;
  for (const TreeNoiseWorker& worker : workers) expected.insert(worker.own().begin(), worker.own().end());
  Content found;
  const Status walked = space.tree.walk(
      [&](const NodeView& node, PageId) {
        if (node.level() > 0) return;
        node.visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t) {
          EXPECT_TRUE(found.emplace(as_text(key), as_text(value)).second) << "a key twice";
          return true;
        });
      },
      [](PageId id, const std::string& what) { ADD_FAILURE() << "page " << raw(id) << ": " << what; });
  ASSERT_TRUE(walked) << walked.error().message();
  EXPECT_EQ(found, expected);
  BufferPool::Held held = space.pool->held();
  for (unsigned wait = 0; held.latches + held.pins > 0 && wait < 2000; ++wait) {  // the cleaner may be copying a page
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    held = space.pool->held();
  }
  EXPECT_EQ(held.latches + held.pins, 0u);
}

void run_on_database(NoisyDatabase& world, std::uint64_t round) {
  std::vector<DatabaseNoiseWorker> workers;
  for (unsigned t = 0; t < kNoiseThreads; ++t) workers.emplace_back(world, t, round);
  {
    const NoiseScope noise(round_noise(round));
    if (!run_workers(workers, 150)) return;
  }
  Content expected;
  Rows expected_rows;
  for (const DatabaseNoiseWorker& worker : workers) {
    expected.insert(worker.own().begin(), worker.own().end());
    for (const auto& [id, row] : worker.rows()) expected_rows[row.place] = {id, Value::bytes(row.data)};
  }
  EXPECT_EQ(content_of(*world.db.open_map("m")), expected);
  EXPECT_EQ(rows_of(*world.db.open_table("t")), expected_rows);
  expect_sound(world.db);
  for (DatabaseNoiseWorker& worker : workers) {
    const Status erased = worker.erase_all();
    ASSERT_TRUE(erased) << erased.error().message();
  }
}

TEST(NoiseTest, ATreeInATinyCacheLosesNothing) {
  run_noisy_rounds(scaled(24), [](std::uint64_t round) { run_on_tree(round, 400, round_noise(round), 2800); });
}

/// A few leaves, one, a few again. Two of the threads are overtaken again and again when they are about to latch what
/// they have read, until they latch from the root down, and meanwhile the root becomes another one.
TEST(NoiseTest, ARootGrowsUnderThoseWhoLatchItsTree) {
  NoisePlan plan = NoisePlan::of_seed(0);
  plan.points[0] = static_cast<std::uint8_t>(NoisePoint::kPathBeforeLatch);
  plan.points[1] = static_cast<std::uint8_t>(NoisePoint::kUpgradeBefore);
  plan.points[2] = static_cast<std::uint8_t>(NoisePoint::kExclusiveCheckedResident);
  plan.odds_shift = 1;
  plan.delay = NoisePlan::Delay::kSleep;
  plan.amount_shift = 8;
  plan.threads = 1;
  run_noisy_rounds(scaled(40), [&](std::uint64_t round) { run_on_tree(round, 24, plan, 20000); });
}

TEST(NoiseTest, ADatabaseLosesNothing) {
  std::optional<NoisyDatabase> durable(std::in_place, Durability::kDurable);
  std::optional<NoisyDatabase> relaxed(std::in_place, Durability::kRelaxed);
  run_noisy_rounds(scaled(16),
                   [&](std::uint64_t round) { run_on_database(round % 2 == 0 ? *durable : *relaxed, round); });
}

/// A point that is never passed tests nothing. The latched descents, which only whoever has lost many races makes, take
/// some hundred rounds.
TEST(NoiseTest, ControlEveryPointIsPassedInALongRun) {
  const bool is_long = test_scale() >= 10 && kPageBytes == 1024;  // with larger pages no inner node gets full
  NoisyDatabase durable(Durability::kDurable);
  for (std::uint64_t round = 0; round < (is_long ? 300u : 2u) && !HasFailure(); ++round) {
    run_on_tree(round, 400, round_noise(round), 2800);
    if (round % 10 == 0) run_on_database(durable, round);
    if (points_not_passed().empty()) break;
  }
  std::printf("points that were not passed:%s\n", points_not_passed().c_str());
  if (is_long) {
    EXPECT_EQ(points_not_passed(), "");
  }
}

}  // namespace
}  // namespace vaultgres
