// Goal: undo fits where the entries are. Whatever others have filled meanwhile, a rollback, of a transaction, of a call
// in it or after a crash, splits no leaf and takes no page; and the room that this costs comes back.
//
// Method: transactions change the lengths of values in full leaves, others fill the leaves, the transactions end. An
// observer counts the pages that are allocated meanwhile.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <optional>

#include "base/payload_buffer.h"
#include "btree/node.h"
#include "buffer/change_observer.h"
#include "buffer/mini_txn.h"
#include "db/core.h"
#include "support/disk_fixture.h"
#include "support/random.h"
#include "support/scale.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

/// Counts pages as their allocation is logged.
class AllocationCounter final : public ChangeObserver {
 public:
  AllocationCounter() { change_observer.store(this, std::memory_order_release); }
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;
  ~AllocationCounter() override { change_observer.store(nullptr, std::memory_order_release); }

  std::uint64_t allocations() const { return allocations_.load(); }

  void on_change(PageId, Lsn, std::span<const Operation> operations, const RedoTable&, Bytes) override {
    for (const Operation& operation : operations) {
      if (operation.op == PageOp::kBitmapSet) ++allocations_;
    }
  }
  void on_redo(PageId, Lsn, Bytes) override {}

 private:
  std::atomic<std::uint64_t> allocations_{0};
};

std::string four_digit_key(std::uint64_t i) {
  return "key " + std::to_string(1000 + i);
}

const std::string kWide(kPageBytes / 10, 'w');
const std::string kLarge(3 * kPageBytes, 'l');

class UndoSpaceTest : public ::testing::Test {
 protected:
  UndoSpaceTest() { reopen(); }
  void reopen() {
    map_.reset();
    db_.reset();
    core_.reset();
    core_ = *internal::Core::open({&disk_, nullptr, "/db"}, options());
    db_.emplace(internal::make_database(core_));
    map_.emplace(*db_->open_or_create_map("m"));
  }
  static Options options() {
    Options options = small_options();
    options.cache_bytes = std::size_t{8} << 20;
    return options;
  }
  void put(const std::string& key, const std::string& value) {
    ASSERT_OK(map_->put(key, value));
    expected_[key] = value;
  }
  /// Full leaves of 200 entries.
  void fill(const std::string& value) {
    for (std::uint64_t i = 0; i < 200; ++i) put(four_digit_key(i), value);
  }
  /// Others put entries behind the key until its leaf has no room left for one.
  void fill_leaf(const std::string& key, const std::vector<std::size_t>& sizes) {
    for (const std::size_t size : sizes) {
      for (;; ++others_) {
        const std::string other = key + "." + std::to_string(100000 + others_);
        if (!has_room(other, size)) break;
        ASSERT_NO_FATAL_FAILURE(put(other, std::string(size, 'o')));
      }
    }
  }
  void fill_leaves() {
    for (std::uint64_t i = 0; i < 200; ++i) {
      ASSERT_NO_FATAL_FAILURE(fill_leaf(four_digit_key(i), {kWide.size(), kWide.size() / 4, 5, 0}));
    }
  }
  bool has_room(const std::string& key, std::size_t size) {
    const Tree tree = (*core_->find_map("m"))->tree(core_->engine());
    bool room = false;
    EXPECT_TRUE(tree.read_leaf(as_bytes(key), [&](const NodeView& leaf) { room = leaf.has_room(key.size(), size); }));
    return room;
  }
  void roll_back(Transaction& txn) {
    const std::uint64_t before = counter_.allocations();
    ASSERT_OK(txn.rollback());
    EXPECT_EQ(counter_.allocations(), before) << "pages were allocated by a rollback";
  }
  void expect_all() {
    EXPECT_TRUE(content_of(*map_) == expected_);
    expect_sound(*db_);
  }
  /// A transaction gives every other entry these values, one after the other; others fill the leaves; it ends.
  void change_fill_and_roll_back(const std::vector<std::string>& values) {
    Transaction txn = *db_->begin();
    for (const std::string& value : values) {
      for (std::uint64_t i = 0; i < 200; i += 2) ASSERT_OK(map_->put(txn, four_digit_key(i), value));
    }
    ASSERT_NO_FATAL_FAILURE(fill_leaves());
    ASSERT_NO_FATAL_FAILURE(roll_back(txn));
    expect_all();
  }
  std::uint64_t leaves() { return db_->map_stats("m")->leaf_pages; }

  AllocationCounter counter_;  // outlives the database
  SimFileSystem disk_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::optional<Map> map_;
  Content expected_;
  std::uint64_t others_ = 0;
};

TEST_F(UndoSpaceTest, OthersFillTheRoomThatAnUpdateLeaves) {
  fill(kWide);
  change_fill_and_roll_back({"narrow"});
}

TEST_F(UndoSpaceTest, OthersFillTheRoomOfSeveralUpdatesAndOfAnErase) {
  fill(kWide);
  change_fill_and_roll_back({kWide.substr(1), "", kWide.substr(3), "narrow", kWide, "12"});
  Transaction txn = *db_->begin();
  for (std::uint64_t i = 0; i < 200; i += 2) {
    ASSERT_TRUE(*map_->erase(txn, four_digit_key(i)));
    if (i % 3 == 0) {
      ASSERT_OK(map_->put(txn, four_digit_key(i), "narrow"));
    }
  }
  ASSERT_NO_FATAL_FAILURE(fill_leaves());
  ASSERT_NO_FATAL_FAILURE(roll_back(txn));
  expect_all();
}

// The entry stays in its leaf as a reference to a chain.
TEST_F(UndoSpaceTest, OthersFillTheRoomOfAValueThatBecameLarge) {
  fill(kWide);
  change_fill_and_roll_back({kLarge});
}

TEST_F(UndoSpaceTest, OthersFillTheRoomOfTheReferenceToALargeValue) {
  fill(kLarge);
  change_fill_and_roll_back({"", kLarge, "1", ""});
}

// Entries of one length need less room in a leaf of fixed stride than in slots, which undo needs for a value that was
// made longer: the leaf may not take the fixed form before the transaction ends.
TEST_F(UndoSpaceTest, OthersFillALeafOfFixedStrideThatUndoNeedsAsSlots) {
  put("a.000000", "12345678");
  Transaction txn = *db_->begin();
  ASSERT_OK(map_->put(txn, "a.000000", "123456789"));
  ASSERT_NO_FATAL_FAILURE(fill_leaf("b", {9}));
  ASSERT_NO_FATAL_FAILURE(roll_back(txn));
  expect_all();
}

// The same where the leaf is made anew, with entries of one length, while the transaction is open.
TEST_F(UndoSpaceTest, OthersFillALeafThatTakesTheFixedFormMeanwhile) {
  put("a.000000", "12345678");
  put("b.000000", "12345678");
  Transaction txn = *db_->begin();
  ASSERT_OK(map_->put(txn, "a.000000", "123456789"));
  ASSERT_OK(map_->put(txn, "a.000000", "12345678"));
  ASSERT_TRUE(*map_->erase("b.000000"));
  expected_.erase("b.000000");
  EXPECT_TRUE(comes_true([&] { return db_->map_stats("m")->ghosts == 0; }));
  ASSERT_NO_FATAL_FAILURE(fill_leaf("c", {8}));
  ASSERT_NO_FATAL_FAILURE(roll_back(txn));
  expect_all();
}

// A call that is undone within its transaction gives up nothing that the calls before it need.
TEST_F(UndoSpaceTest, ACallThatFailsGivesUpTheRoomOfTheOneBefore) {
  fill(kWide);
  Transaction txn = *db_->begin();
  for (std::uint64_t i = 0; i < 200; i += 2) ASSERT_OK(map_->put(txn, four_digit_key(i), "narrow"));
  disk_.limit_space(disk_.used_bytes());
  const std::string huge(std::size_t{64} << 20, 'h');
  EXPECT_ERROR(kNoSpace, map_->put(txn, four_digit_key(0), huge));
  EXPECT_ERROR(kDuplicateKey, map_->insert(txn, four_digit_key(2), kLarge));
  disk_.limit_space(std::nullopt);
  ASSERT_NO_FATAL_FAILURE(fill_leaves());
  ASSERT_NO_FATAL_FAILURE(roll_back(txn));
  expect_all();
}

TEST_F(UndoSpaceTest, ARollbackOnAFullDiskFindsNoPage) {
  for (const bool large : {false, true}) {
    fill(large ? kLarge : kWide);
    ASSERT_OK(db_->checkpoint());
    Transaction txn = *db_->begin();
    for (std::uint64_t i = 0; i < 200; i += 2) ASSERT_OK(map_->put(txn, four_digit_key(i), large ? "" : "narrow"));
    ASSERT_NO_FATAL_FAILURE(fill_leaves());
    disk_.limit_space(disk_.used_bytes());
    for (unsigned i = 0; i < 100000; ++i) {  // until no page is left
      const std::string key = "more " + std::to_string(i);
      if (!map_->put(key, kWide)) break;
      expected_[key] = kWide;
    }
    ASSERT_NO_FATAL_FAILURE(roll_back(txn));
    EXPECT_TRUE(content_of(*map_) == expected_);
    disk_.limit_space(std::nullopt);
    reopen();
    expect_all();
  }
}

TEST_F(UndoSpaceTest, UndoAfterACrashNeedsPages) {
  for (const bool large : {false, true}) {
    fill(large ? kLarge : kWide);
    Transaction txn = *db_->begin();
    for (std::uint64_t i = 0; i < 200; i += 2) ASSERT_OK(map_->put(txn, four_digit_key(i), large ? "" : "narrow"));
    ASSERT_NO_FATAL_FAILURE(fill_leaves());
    ASSERT_OK(db_->sync());
    const auto killed = disk_.killed();
    const std::uint64_t before = counter_.allocations();
    Database db = *open_on(*killed, options());
    EXPECT_EQ(counter_.allocations(), before) << "pages were allocated by undo";
    EXPECT_TRUE(content_of(*db.open_map("m")) == expected_);
    expect_sound(db);
  }
}

// Only a damaged page, or a hostile one, has no room for what undo puts back.
TEST_F(UndoSpaceTest, UndoSaysWhichPageLacksTheRoomThatWasKept) {
  fill(kWide);
  Transaction txn = *db_->begin();
  ASSERT_OK(map_->put(txn, four_digit_key(0), "narrow"));
  {
    const Engine& engine = core_->engine();
    LogSpace log_space(engine.log);
    ASSERT_OK(log_space.reserve(log_bytes_for(64)));
    ExclusiveGuard leaf = *(*core_->find_map("m"))->tree(engine).write_leaf(as_bytes(four_digit_key(0)));
    const NodeView view(leaf.page());
    const auto slot = static_cast<std::uint16_t>(view.lower_bound(as_bytes(four_digit_key(0))).slot);
    ASSERT_TRUE(view.keeps_room(slot));
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    PayloadBuffer payload;
    const auto room_only = static_cast<std::uint16_t>(slot | kPurgeRoomOnly);
    encode_node_purge(payload, std::span(&room_only, 1));
    mini.add(leaf, PageOp::kNodePurge, payload.bytes());
    mini.commit();
  }
  ASSERT_NO_FATAL_FAILURE(fill_leaf(four_digit_key(0), {kWide.size(), kWide.size() / 4, 5, 0}));
  const auto killed = disk_.killed();
  const auto expect_damage = [](const auto& result, ErrorCode code) {
    ASSERT_FALSE(result);
    const std::string message(result.error().message());
    EXPECT_EQ(result.error().code(), code) << message;
    EXPECT_NE(message.find("page "), std::string::npos) << message;
    EXPECT_NE(message.find("no room for what was there before"), std::string::npos) << message;
  };
  expect_damage(txn.rollback(), ErrorCode::kCorruption);
  expect_damage(map_->put("k", "v"), ErrorCode::kPoisoned);
  expect_damage(open_on(*killed, options()), ErrorCode::kCorruption);
}

// Nobody has a note of it.
TEST_F(UndoSpaceTest, RoomThatACrashLeavesIsLost) {
  fill("narrow");
  Transaction txn = *db_->begin();
  for (std::uint64_t i = 0; i < 200; ++i) ASSERT_OK(map_->put(txn, four_digit_key(i), kWide));
  ASSERT_OK(db_->sync());
  const auto killed = disk_.killed();
  Database db = *open_on(*killed, options());
  Map map = *db.open_map("m");
  EXPECT_TRUE(content_of(map) == expected_);
  const std::uint64_t before = db.map_stats("m")->leaf_pages;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::string key = four_digit_key(i) + "b";
    expected_[key] = kWide.substr(30);
    ASSERT_OK(map.put(key, expected_[key]));
  }
  EXPECT_LE(db.map_stats("m")->leaf_pages, before);
  EXPECT_TRUE(content_of(map) == expected_);
  expect_sound(db);
}

TEST_F(UndoSpaceTest, RoomOfEndedTransactionsIsLost) {
  fill(kWide);
  Cursor reader = map_->cursor();  // its snapshot keeps the older values in the version table
  ASSERT_TRUE(*reader.next());
  for (const bool commits : {true, false}) {
    // The first one makes values shorter for good, the second one longer for nothing.
    Transaction txn = *db_->begin();
    for (std::uint64_t i = 0; i < 200; i += 2) ASSERT_OK(map_->put(txn, four_digit_key(i), commits ? "narrow" : kWide));
    if (commits) {
      for (std::uint64_t i = 0; i < 200; i += 2) expected_[four_digit_key(i)] = "narrow";
      ASSERT_OK(txn.commit());
    } else {
      ASSERT_NO_FATAL_FAILURE(roll_back(txn));
    }
    const std::uint64_t before = leaves();
    for (std::uint64_t i = commits ? 0 : 2; i < 200; i += 4) put(four_digit_key(i) + "b", kWide.substr(30));
    EXPECT_LE(leaves(), before);
    expect_all();
  }
}

/// Transactions over the same leaves, one step of one of them at a time, and a map that says what is committed.
class UndoModel {
 public:
  UndoModel(Database& db, const AllocationCounter& counter, Content& committed, TestRandom& random)
      : db_(db), map_(*db.open_map("m")), counter_(counter), committed_(committed), random_(random) {
    const std::size_t longest = inline_value_max(four_digit_key(0).size());
    const std::size_t sizes[][4] = {
        {8, 9, 16, 8}, {0, 16, longest, 17}, {1, 40, 2 * kPageBytes, 400}, {longest, longest / 2, 3, kPageBytes}};
    const auto& chosen = sizes[random_.uniform(std::size(sizes))];
    std::copy(std::begin(chosen), std::end(chosen), sizes_.begin());
  }

  void step() {
    const std::uint64_t dice = random_.uniform(100);
    if (open_.empty() || (dice < 6 && open_.size() < 8)) {
      open_.push_back({*db_.begin(), {}});
    } else if (dice < 66) {
      change(open_[random_.uniform(open_.size())]);
    } else if (dice < 86) {
      change_alone();
    } else if (dice < 91) {
      end(random_.uniform(open_.size()), true);
    } else if (dice < 97) {
      end(random_.uniform(open_.size()), false);
    }
  }
  void end_all() {
    while (!open_.empty() && !::testing::Test::HasFailure()) end(open_.size() - 1, random_.one_in(4));
  }
  std::uint64_t rolled_back() const { return rolled_back_; }

 private:
  using Changes = std::map<std::string, std::optional<std::string>>;
  struct Open {
    Transaction txn;
    Changes changes;
  };

  std::string some_key() { return four_digit_key(random_.uniform(120)); }
  std::string some_value() {
    const std::size_t size = sizes_[random_.uniform(sizes_.size())];
    return std::string(random_.one_in(4) ? random_.uniform(size + 1) : size,
                       static_cast<char>('a' + random_.uniform(26)));
  }
  bool is_held(const std::string& key, const Open* but) const {
    return std::any_of(open_.begin(), open_.end(),
                       [&](const Open& open) { return &open != but && open.changes.count(key) != 0; });
  }
  /// Done, or refused for want of space.
  template <class Done>
  static bool done(const Done& result) {
    if (result) return true;
    EXPECT_EQ(result.error().code(), ErrorCode::kNoSpace) << result.error().message();
    return false;
  }
  void change(Open& open) {
    const std::string key = some_key();
    if (is_held(key, &open)) return;
    // Held from now on, also if the call fails.
    const auto now = committed_.find(key);
    std::optional<std::string>& state =
        open.changes.try_emplace(key, now == committed_.end() ? std::nullopt : std::optional(now->second))
            .first->second;
    if (state && random_.one_in(8)) {
      const Result<bool> erased = map_.erase(open.txn, key);
      EXPECT_TRUE(!erased || *erased);
      if (done(erased)) state.reset();
    } else if (state && random_.one_in(8)) {
      EXPECT_FALSE(map_.insert(open.txn, key, some_value()));  // it is there, or there is no space
    } else {
      const std::string value = some_value();
      if (done(map_.put(open.txn, key, value))) state = value;
    }
  }
  void change_alone() {
    const std::string key = some_key();
    if (is_held(key, nullptr)) return;
    if (random_.one_in(4)) {
      if (done(map_.erase(key))) committed_.erase(key);
    } else {
      const std::string value = some_value();
      if (done(map_.put(key, value))) committed_[key] = value;
    }
  }
  void end(std::size_t which, bool commits) {
    Open open = std::move(open_[which]);
    open_.erase(open_.begin() + static_cast<long>(which));
    if (!commits) {
      const std::uint64_t before = counter_.allocations();
      ASSERT_OK(open.txn.rollback());
      EXPECT_EQ(counter_.allocations(), before) << "pages were allocated by a rollback";
      ++rolled_back_;
      return;
    }
    ASSERT_OK(open.txn.commit());
    for (auto& [key, value] : open.changes) {
      if (value) {
        committed_[key] = *std::move(value);
      } else {
        committed_.erase(key);
      }
    }
  }

  Database& db_;
  Map map_;
  const AllocationCounter& counter_;
  Content& committed_;
  TestRandom& random_;
  std::array<std::size_t, 4> sizes_{};
  std::vector<Open> open_;
  std::uint64_t rolled_back_ = 0;
};

TEST_F(UndoSpaceTest, ManyTransactionsEndInAnyOrder) {
  std::uint64_t rolled_back = 0;
  const std::uint64_t rounds = scaled(24);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    TestRandom random(round);
    Options mine = options();
    mine.durability = round % 2 == 0 ? Durability::kDurable : Durability::kRelaxed;
    SimFileSystem disk;
    std::unique_ptr<SimFileSystem> killed;
    Content committed;
    {
      Database db = *open_on(disk, mine);
      ASSERT_OK(db.create_map("m"));
      UndoModel model(db, counter_, committed, random);
      for (unsigned step = 0; step < 500 && !HasFailure(); ++step) {
        model.step();
        if (round % 4 >= 2 && step == 250) disk.limit_space(disk.used_bytes());
        if (step % 100 != 99) continue;
        EXPECT_TRUE(content_of(*db.open_map("m")) == committed) << "step " << step;
      }
      if (round % 3 == 0) {
        ASSERT_OK(db.sync());
        killed = disk.killed();
      }
      const Content at_kill = committed;
      model.end_all();
      rolled_back += model.rolled_back();
      if (killed == nullptr) {
        EXPECT_TRUE(content_of(*db.open_map("m")) == committed);
        expect_sound(db);
        continue;
      }
      committed = at_kill;
    }
    const std::uint64_t before = counter_.allocations();
    Database db = *open_on(*killed, mine);
    EXPECT_EQ(counter_.allocations(), before) << "pages were allocated by undo";
    EXPECT_TRUE(content_of(*db.open_map("m")) == committed);
    expect_sound(db);
  }
  EXPECT_GE(rolled_back, rounds);
}

}  // namespace
}  // namespace vaultgres
