// Goal: memory that runs out, commits that are not durable yet, and pages that change while they are written lose
// nothing. An allocation that fails ends its call with an error and leaves either a sound database or a poisoned one
// that is sound when it is opened again.
//
// Method: the k-th allocation by operator new fails, for many k, in the calls of the library and in its threads; the
// test's own allocations are spared (allocation_support.h). What a call that failed may have done is known: nothing,
// unless the database is poisoned. Power is cut on the simulated disk; an observer of the disk holds a batch of page
// writes still while pages change.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "db/allocation_support.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

std::string plain_key(std::uint64_t number) {
  return "key " + std::to_string(number);
}

/// The first entry that differs, in a few words.
std::string difference(const Content& found, const Content& expected) {
  for (const auto& [key, value] : expected) {
    const auto there = found.find(key);
    if (there == found.end()) return key + " is missing";
    if (there->second != value) return key + " has another value";
  }
  for (const auto& [key, value] : found) {
    if (!expected.contains(key)) return key + " is there";
  }
  return "";
}

/// Which allocations shall fail: each of the first ones, then one out of each of as many parts up to `last`.
std::vector<std::uint64_t> choose_allocations(std::uint64_t last, std::uint64_t count, TestRandom& random) {
  std::vector<std::uint64_t> chosen;
  const std::uint64_t first = std::min(last, count / 4);
  for (std::uint64_t at = 1; at <= first; ++at) chosen.push_back(at);
  const std::uint64_t part = std::max<std::uint64_t>((last - first) / std::max<std::uint64_t>(count - first, 1), 1);
  for (std::uint64_t from = first + 1; from <= last; from += part) chosen.push_back(from + random.uniform(part));
  return chosen;
}

// --- Opening

/// A disk as a kill leaves it: commits in the log that are not in the pages yet, and an open transaction.
class OpenWithoutMemoryTest : public ::testing::Test {
 protected:
  OpenWithoutMemoryTest() {
    SimFileSystem disk;
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    TestRandom random;
    for (std::uint64_t i = 0; i < 300; ++i) {
      expected_[plain_key(i)] = random.bytes(random.one_in(20) ? 2 * kPageBytes : random.uniform(200));
      EXPECT_TRUE(map.put(plain_key(i), expected_[plain_key(i)]));
    }
    Transaction open = *db.begin();
    for (std::uint64_t i = 0; i < 50; ++i) EXPECT_TRUE(map.put(open, plain_key(i * 5), "never committed"));
    EXPECT_TRUE(map.put("the last", "one"));  // so that all before is in the file
    expected_["the last"] = "one";
    disk.settle();
    killed_ = disk.killed();
  }

  void expect_all_there(FileSystem& files, const std::string& when) {
    Result<Database> db = open_on(files);
    ASSERT_OK(db) << " " << when;
    Result<Map> map = db->open_map("m");
    ASSERT_OK(map) << " " << when;
    EXPECT_EQ(difference(content_of(*map), expected_), "") << when;
    expect_sound(*db);
  }

  /// An open of a copy of the disk, with a fault; whether the fault hit.
  bool open_with_fault(std::uint64_t at, bool sticky) {
    const AllocationsFail spared(false);
    const std::string when = "allocation " + std::to_string(at) + (sticky ? " and all later ones" : "");
    const auto disk = killed_->killed();
    bool hit = false;
    {
      const auto files = spare_allocations_of(*disk);
      AllocationFault fault(at, sticky);
      const Result<Database> db = open_exposed(*files);
      fault.stop();
      hit = fault.hit();
      if (!db) {
        EXPECT_EQ(db.error().code(), ErrorCode::kOutOfMemory) << when << ": " << db.error().message();
        ++failed_;
      }
    }
    expect_all_there(*disk, when);
    return hit;
  }

  /// As Database::open() does.
  static Result<Database> open_exposed(FileSystem& files) {
    try {
      const AllocationsFail exposed(true);
      return open_on(files);
    } catch (const std::bad_alloc&) {
      return Error(ErrorCode::kOutOfMemory, "no memory to open the database");
    }
  }

  std::unique_ptr<SimFileSystem> killed_;
  Content expected_;
  std::uint64_t failed_ = 0;
};

TEST_F(OpenWithoutMemoryTest, AnOpenThatFailsLeavesTheLogAsItIs) {
  Watchdog watchdog("opens", std::chrono::seconds(120));
  TestRandom random;
  std::uint64_t last = 1;
  while (open_with_fault(last, false)) last *= 2;
  ASSERT_GT(last, 64u);
  CaseCount cases("R6");
  for (const bool sticky : {false, true}) {
    for (const std::uint64_t at : choose_allocations(last, scaled(25), random)) {
      watchdog.feed("an open with allocation " + std::to_string(at));
      if (open_with_fault(at, sticky)) ++cases;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(failed_, 5u);
}

// --- The cleaner

// Whoever needs room in the cache waits for the cleaner, which has no memory for its list of pages: not for ever.
TEST(CleanerWithoutMemoryTest, WhoWaitsForRoomInTheCacheIsTold) {
  Watchdog watchdog("puts", std::chrono::seconds(120));
  const AllocationsFail spared(false);  // and with it all that the calls of this thread need
  SimFileSystem disk;
  const auto files = spare_allocations_of(disk);
  Content expected;
  {
    Database db = *open_on(*files);
    Map map = *db.create_map("m");
    const auto put = [&](std::uint64_t i) {
      const std::string value(kPageBytes / 8, static_cast<char>('a' + i % 26));
      const Status done = map.put(plain_key(i), value);
      if (done) expected[plain_key(i)] = value;
      return done;
    };
    AllocationFault fault(1, true);
    std::uint64_t i = 0;
    Status done;
    while (done && i < 100 * small_options().cache_bytes / kPageBytes) done = put(i++);
    EXPECT_ERROR(kOutOfMemory, done);
    fault.stop();
    ASSERT_TRUE(comes_true([&] { return put(i).has_value(); }));
    for (int again = 0; again < 1000; ++again) ASSERT_OK(put(++i));  // and told no longer
    EXPECT_EQ(difference(content_of(map), expected), "");
  }
  Database db = *open_on(disk);
  EXPECT_EQ(difference(content_of(*db.open_map("m")), expected), "");
  expect_sound(db);
}

// However many wait. A machine that lets much more time go by than was meant is given another chance.
TEST(CleanerWithoutMemoryTest, NobodyIsToldForAMoment) {
  Watchdog watchdog("puts of many", std::chrono::seconds(120));
  const AllocationsFail spared(false);
  SimFileSystem disk;
  const auto files = spare_allocations_of(disk);
  Database db = *open_on(*files);
  Map map = *db.create_map("m");
  std::atomic<bool> stopped{false};
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const AllocationsFail spared_too(false);
      const std::string value(kPageBytes / 8, 'v');
      for (std::uint64_t i = thread; !stopped; i += 8) {
        if (!map.put(plain_key(i), value)) ++failed;
      }
    });
  }
  unsigned short_times = 0;
  for (int i = 0; i < 100 && short_times < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const unsigned failed_before = failed;
    const auto begin = std::chrono::steady_clock::now();
    AllocationFault fault(1, true);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    fault.stop();
    const bool was_short = std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(500);
    if (!was_short) continue;
    EXPECT_EQ(failed, failed_before);
    ++short_times;
  }
  stopped = true;
  for (std::thread& thread : threads) thread.join();
  expect_sound(db);
}

// --- Calls

/// Everything that a program does with a map, in an order of its own; knows what must be there afterwards.
class MapSession {
 public:
  MapSession(Database& db, Map& map, Content& content) : db_(db), map_(map), content_(content) {}

  /// Until the end, or until the database is poisoned.
  void run() {
    change_alone();
    change_in_transaction(true);
    change_in_transaction(false);
    read();
    change_maps();
    if (alive_) note(expose("checkpoint", [&] { return db_.checkpoint(); }), "checkpoint");
    if (alive_) note(expose("check", [&] { return db_.check(); }), "check");
    if (alive_) note(expose("stats", [&] { return db_.stats(); }), "stats");
  }

  bool poisoned() const { return !alive_; }
  /// What the map held after each change, the latest last; once poisoned also what the change that met it may have
  /// done although it failed.
  const std::vector<Content>& states() const { return states_; }
  std::uint64_t errors() const { return errors_; }

 private:
  /// True when the call succeeded.
  template <class T>
  bool note(const Result<T>& result, const char* what) {
    if (result) return true;
    ++errors_;
    const ErrorCode code = result.error().code();
    const Result<bool> still = map_.contains(plain_key(0));
    EXPECT_TRUE(code == ErrorCode::kOutOfMemory || code == ErrorCode::kPoisoned ||
                (code == ErrorCode::kConflict && in_transaction_))
        << what << ": " << error_code_name(code) << ": " << result.error().message();
    if (!still && still.error().code() == ErrorCode::kPoisoned) alive_ = false;
    return false;
  }

  void change_alone() {
    for (std::uint64_t i = 0; i < 12 && alive_; ++i) {
      const std::string key = plain_key(i % 4 == 3 ? i - 1 : 100 + i);
      Content after = content_;
      bool done = false;
      if (i % 4 == 3) {
        after.erase(key);
        done = note(expose("erase", [&] { return map_.erase(key); }), "erase");
      } else {
        const std::string value(i % 4 == 1 ? 2 * kPageBytes : 20 * i, 'a');
        after[key] = value;
        done = note(expose("put", [&] { return map_.put(key, value); }), "put");
      }
      settle(done, std::move(after), "a single change");
    }
  }

  void change_in_transaction(bool commit) {
    if (!alive_) return;
    Result<Transaction> txn = expose("begin", [&] { return db_.begin(); });
    if (!note(txn, "begin")) return;
    in_transaction_ = true;
    Content after = content_;
    bool whole = true;
    for (std::uint64_t i = 0; i < 8 && alive_ && whole; ++i) {
      const std::string key = plain_key(i * 3);
      const std::string value(i % 4 == 1 ? kPageBytes : 30 * i, commit ? 'c' : 'r');
      if (i % 4 == 3) {
        whole = note(expose("erase", [&] { return map_.erase(*txn, key); }), "erase in a transaction");
        after.erase(key);
      } else {
        whole = note(expose("put", [&] { return map_.put(*txn, key, value); }), "put in a transaction");
        after[key] = value;
      }
    }
    if (commit && whole) {
      const bool done = note(expose("commit", [&] { return txn->commit(); }), "commit");
      settle(done, std::move(after), "a commit");
    } else {
      note(expose("rollback", [&] { return txn->rollback(); }), "rollback");
      settle(false, content_, "a rollback");
    }
    in_transaction_ = false;
  }

  void read() {
    if (!alive_) return;
    for (const auto& [key, value] : content_) {
      const auto found = expose("get", [&, &name = key] { return map_.get(name); });
      if (note(found, "get")) {
        EXPECT_EQ(*found, std::optional(value));
      }
      if (key > plain_key(110)) break;
    }
    Cursor cursor = map_.cursor();  // spared: it has no way to answer with an error
    auto expected = content_.begin();
    for (;;) {
      const Result<bool> more = expose("next", [&] { return cursor.next(); });
      if (!note(more, "next")) break;
      if (!*more) {
        EXPECT_TRUE(expected == content_.end()) << "a scan ended early";
        break;
      }
      ASSERT_TRUE(expected != content_.end() && cursor.key() == expected->first && cursor.value() == expected->second)
          << "a scan came to " << cursor.key();
      ++expected;
    }
    // After an error a seek begins anew.
    const Result<bool> last = expose("last", [&] { return cursor.last(); });
    if (note(last, "last")) {
      EXPECT_TRUE(*last && cursor.key() == content_.rbegin()->first);
    }
  }

  void change_maps() {
    if (!alive_) return;
    // What failed has changed nothing: the map is not there yet, still has its name, still serves.
    if (!note(expose("create_map", [&] { return db_.create_map("second"); }), "create_map")) {
      if (alive_) {
        EXPECT_ERROR(kNotFound, db_.open_map("second"));
      }
      return;
    }
    const bool renamed = note(expose("rename_map", [&] { return db_.rename_map("second", "third"); }), "rename_map");
    if (!alive_) return;
    const std::string name = renamed ? "third" : "second";
    const bool dropped = note(expose("drop_map", [&] { return db_.drop_map(name); }), "drop_map");
    if (!alive_) return;
    Result<Map> map = db_.open_map(name);
    EXPECT_EQ(map.has_value(), !dropped) << name;
    if (map) {
      EXPECT_EQ(test_text(map->put("k", "v")), "");
    }
  }

  /// The map must be as it was, or after the change, when that succeeded; either is right once poisoned.
  void settle(bool done, Content after, const char* what) {
    if (!alive_) {
      states_.push_back(std::move(after));
      return;
    }
    if (done) {
      content_ = std::move(after);
      states_.push_back(content_);
    }
    EXPECT_EQ(difference(content_of(map_), content_), "") << "after " << what << (done ? "" : " that failed");
  }

  Database& db_;
  Map& map_;
  Content& content_;
  std::vector<Content> states_{content_};
  bool alive_ = true;
  bool in_transaction_ = false;
  std::uint64_t errors_ = 0;
};

class CallsWithoutMemoryTest : public ::testing::TestWithParam<Durability> {
 protected:
  CallsWithoutMemoryTest() {
    options_.durability = GetParam();
    options_.lock_timeout = std::chrono::milliseconds(200);
    Database db = *open_on(*base_, options_);
    Map map = *db.create_map("m");
    for (std::uint64_t i = 0; i < 120; ++i) {
      content_[plain_key(i)] = std::string(i % 30 == 0 ? 2 * kPageBytes : 10 * i, 'b');
      EXPECT_TRUE(map.put(plain_key(i), content_[plain_key(i)]));
    }
    EXPECT_TRUE(db.close());
  }

  /// A session on a copy of the disk with a fault; whether the fault hit.
  bool session_with_fault(std::uint64_t at) {
    const AllocationsFail spared(false);
    SCOPED_TRACE("allocation " + std::to_string(at));
    const auto disk = base_->killed();
    Content content = content_;
    std::vector<Content> possible;
    bool poisoned = false;
    bool hit = false;
    {
      const auto files = spare_allocations_of(*disk);
      Database db = *open_on(*files, options_);
      Map map = *db.open_map("m");
      AllocationFault fault(at);
      MapSession session(db, map, content);
      session.run();
      possible = session.states();
      poisoned = session.poisoned();
      if (!poisoned) {
        fault.stop();
        EXPECT_EQ(difference(content_of(map), content), "");
        expect_sound(db);
      }
      hit = fault.hit();
      fault.stop();
      errors_ += session.errors();
      poisoned_ += poisoned;
      const Status closed = db.close();
      EXPECT_EQ(closed.has_value(), !poisoned) << (closed ? "" : closed.error().message());
    }
    Database db = *open_on(*disk, options_);
    Map map = *db.open_map("m");
    const Content found = content_of(map);
    // The newest relaxed commits go with the poison.
    if (!poisoned) possible = {content};
    if (poisoned && GetParam() == Durability::kDurable) possible = {content, possible.back()};
    EXPECT_TRUE(std::find(possible.begin(), possible.end(), found) != possible.end())
        << "after reopening: " << difference(found, content);
    expect_sound(db);
    return hit;
  }

  Options options_ = small_options();
  const std::unique_ptr<SimFileSystem> base_ = std::make_unique<SimFileSystem>();
  Content content_;
  std::uint64_t errors_ = 0;
  std::uint64_t poisoned_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Modes, CallsWithoutMemoryTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(CallsWithoutMemoryTest, TheKthAllocationFails) {
  Watchdog watchdog("sessions", std::chrono::seconds(120));
  TestRandom random;
  std::uint64_t last = 1;
  while (session_with_fault(last)) last *= 2;
  ASSERT_GT(last, 256u);
  CaseCount cases("R6");
  for (const std::uint64_t at : choose_allocations(last, scaled(50), random)) {
    watchdog.feed("a session with allocation " + std::to_string(at));
    if (session_with_fault(at)) ++cases;
    if (HasFailure()) return;
  }
  std::printf("%llu errors, %llu poisoned\n", static_cast<unsigned long long>(errors_),
              static_cast<unsigned long long>(poisoned_));
  EXPECT_GT(errors_, 2u);
}

TEST_P(CallsWithoutMemoryTest, ACloseThatFailsLosesNothing) {
  const AllocationsFail spared(false);
  CaseCount cases("R6");
  bool hit = true;
  TestRandom random;
  for (std::uint64_t at = 1; hit; at += random.between(1, 8), ++cases) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    ASSERT_LT(at, 1000u);
    const auto disk = base_->killed();
    Content content = content_;
    {
      const auto files = spare_allocations_of(*disk);
      Database db = *open_on(*files, options_);
      Map map = *db.open_map("m");
      for (std::uint64_t i = 0; i < 20; ++i) {
        content[plain_key(i)] = "changed";
        ASSERT_OK(map.put(plain_key(i), "changed"));
      }
      Transaction open = *db.begin();
      for (std::uint64_t i = 20; i < 40; ++i) ASSERT_OK(map.put(open, plain_key(i), "never committed"));
      ASSERT_OK(db.sync());
      AllocationFault fault(at);
      const Status closed = expose("close", [&] { return db.close(); });
      hit = fault.hit();
      if (!closed) {
        EXPECT_TRUE(closed.error().code() == ErrorCode::kOutOfMemory || closed.error().code() == ErrorCode::kPoisoned)
            << closed.error().message();
      }
    }
    Database db = *open_on(*disk, options_);
    EXPECT_EQ(difference(content_of(*db.open_map("m")), content), "");
    expect_sound(db);
    if (HasFailure()) return;
  }
}

// --- Relaxed commits

Options relaxed_options() {
  Options options = small_options();
  options.durability = Durability::kRelaxed;
  options.flush_interval_ms = 10000;  // nothing becomes durable of itself
  return options;
}

TEST(RelaxedCommits, AreDurableAfterASync) {
  SimFileSystem disk;
  Database db = *open_on(disk, relaxed_options());
  Map map = *db.create_map("m");
  ASSERT_OK(db.sync());
  Content expected;
  for (int round = 0; round < 20; ++round) {
    const std::string name = std::to_string(round);
    expected["single " + name] = std::string(10 * round, 's');
    ASSERT_OK(map.put("single " + name, expected["single " + name]));
    Transaction txn = *db.begin();
    expected["large " + name] = std::string(2 * kPageBytes, 'l');
    ASSERT_OK(map.put(txn, "large " + name, expected["large " + name]));
    ASSERT_OK(txn.commit());
    {
      // Were it durable already, this test could not fail.
      const auto before = disk.power_cut(disk.position(), PowerCut::kNone, 0);
      Database after = *open_on(*before, relaxed_options());
      EXPECT_NE(difference(content_of(*after.open_map("m")), expected), "");
    }
    ASSERT_OK(db.sync());
    const auto cut = disk.power_cut(disk.position(), PowerCut::kNone, 0);
    Database after = *open_on(*cut, relaxed_options());
    ASSERT_EQ(difference(content_of(*after.open_map("m")), expected), "") << "round " << round;
    expect_sound(after);
  }
}

// While others append: what a thread has committed before its sync is there, whatever is half-filled behind it.
TEST(RelaxedCommits, OfManyThreadsAreDurableAfterTheirSyncs) {
  constexpr unsigned kThreads = 4;
  Watchdog watchdog("relaxed threads", std::chrono::seconds(60));
  SimFileSystem disk;
  Database db = *open_on(disk, relaxed_options());
  Map map = *db.create_map("m");
  ASSERT_OK(db.sync());
  const std::size_t begin = disk.position();
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 1; i <= scaled(60); ++i) {
        for (int part = 0; part < 5; ++part) {
          EXPECT_TRUE(map.put(std::to_string(t) + "/" + std::to_string(part), std::to_string(i)));
        }
        EXPECT_TRUE(db.sync());
        disk.mark(std::to_string(t) + " " + std::to_string(i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  TestRandom random;
  std::vector<std::size_t> cuts{disk.position()};
  for (std::uint64_t i = 0; i < scaled(30); ++i) cuts.push_back(random.between(begin, disk.position()));
  std::sort(cuts.begin(), cuts.end());
  for (const std::size_t at : cuts) {
    watchdog.feed("a cut at " + std::to_string(at));
    std::vector<std::uint64_t> acked(kThreads);
    for (const std::string& mark : disk.marks(at)) acked[mark[0] - '0'] = std::stoul(mark.substr(2));
    const auto cut = disk.power_cut(at, PowerCut::kNone, 0);
    Database after = *open_on(*cut, relaxed_options());
    Map found = *after.open_map("m");
    for (unsigned t = 0; t < kThreads; ++t) {
      for (int part = 0; part < 5 && acked[t] > 0; ++part) {
        const auto value = *found.get(std::to_string(t) + "/" + std::to_string(part));
        ASSERT_TRUE(value.has_value()) << "thread " << t;
        EXPECT_GE(std::stoul(*value), acked[t]) << "thread " << t << ", cut at " << at;
      }
    }
    expect_sound(after);
  }
}

// --- Pages that change while they are written

/// Holds the disk still at each write and sync of one file until somebody lets it go on.
class Holder final : public SimObserver {
 public:
  explicit Holder(std::string path_contains) : path_contains_(std::move(path_contains)) {}

  void on_write(const std::string& path, std::uint64_t, Bytes) override { stop(path); }
  void on_sync(const std::string& path) override { stop(path); }

  /// False when nothing is held any more.
  bool wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_ || finished_; });
    return held_;
  }
  void go_on() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    ++stops_;
    changed_.notify_all();
  }
  void finish() {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
  }
  unsigned stops() {
    const std::lock_guard lock(mutex_);
    return stops_;
  }

 private:
  void stop(const std::string& path) {
    if (path.find(path_contains_) == std::string::npos) return;
    std::unique_lock lock(mutex_);
    if (finished_) return;
    held_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_ || finished_; });
  }

  const std::string path_contains_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool finished_ = false;
  unsigned stops_ = 0;
};

class PageInFlightTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, PageInFlightTest, ::testing::Values("doublewrite.vg", "data.vg"),
                         [](const auto& one) { return std::string(one.param).substr(0, 4); });

TEST_P(PageInFlightTest, ChangesDuringItsWriteAreNotLost) {
  Watchdog watchdog("a page in flight", std::chrono::seconds(60));
  SimFileSystem disk;
  Content expected;
  const auto change = [&](Map& map, const std::string& key, const std::string& value) {
    expected[key] = value;
    ASSERT_OK(map.put(key, value));
  };
  {
    Database db = *open_on(disk, relaxed_options());
    Map map = *db.create_map("m");
    for (std::uint64_t i = 0; i < 40; ++i) change(map, plain_key(i), "before");
    Holder holder(GetParam());
    disk.set_observer(&holder);
    for (int round = 0; round < 3; ++round) {
      // The batch of a checkpoint is held at each of its steps: the same pages change at each, twice.
      std::thread checkpoint([&] {
        EXPECT_TRUE(db.checkpoint());
        holder.finish();
      });
      for (unsigned step = 0; round == 0 && holder.wait_until_held(); ++step) {
        change(map, plain_key(step % 40), "during " + std::to_string(step));
        change(map, plain_key(step % 40), "again " + std::to_string(step));
        holder.go_on();
      }
      checkpoint.join();
    }
    disk.set_observer(nullptr);
    EXPECT_GE(holder.stops(), 2u);
    // Clean pages leave the cache without a write: what was called clean by mistake is lost now.
    const std::size_t many = 2 * relaxed_options().cache_bytes / 1000;
    for (std::size_t i = 0; i < many; ++i) change(map, "other " + std::to_string(i), std::string(900, 'o'));
    EXPECT_EQ(difference(content_of(map), expected), "");
    ASSERT_OK(db.checkpoint());
    const auto cut = disk.power_cut(disk.position(), PowerCut::kNone, 0);
    Database after = *open_on(*cut, relaxed_options());
    EXPECT_EQ(difference(content_of(*after.open_map("m")), expected), "");
    expect_sound(after);
  }
  Database reopened = *open_on(disk, relaxed_options());
  EXPECT_EQ(difference(content_of(*reopened.open_map("m")), expected), "");
  expect_sound(reopened);
}

}  // namespace
}  // namespace vaultgres
