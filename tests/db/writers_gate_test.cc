// Goal: who keeps all writers out sees no page change hands; a call waits at a table's gate no longer than it may wait
// in all; the creation of an index does not keep close() waiting; and a transaction whose calls on an object have
// changed nothing stands in nobody's way.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <semaphore>
#include <thread>
#include <utility>

#include "db/statement.h"
#include "db/table_state.h"
#include "support/hooked_file_system.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

/// A database whose file calls a test can stop.
class WritersGateTest : public ::testing::Test {
 protected:
  void open(Options options = small_options()) {
    core_.reset();
    core_ = *internal::Core::open({&files_, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
  }
  void close() {
    ASSERT_OK(db_->close());
    db_.reset();
    core_.reset();
  }
  void fill_map(const std::string& name, int pages) {
    Map map = *db_->create_map(name);
    for (int i = 0; i < 8 * pages; ++i) ASSERT_OK(map.put(numbered_key(i), std::string(kPageBytes / 10, 'v')));
  }

  SimFileSystem disk_;
  std::function<void(FileCall)> on_data_call_;  ///< of data.vg, set and cleared while nobody is at work
  HookedFileSystem files_{disk_, [this](FileCall call, const std::string& path) {
                            if (on_data_call_ && path.starts_with("/db/data.vg")) on_data_call_(call);
                          }};
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
};

// Method: a check has seen whose the pages of a dropped map are, and stands at the first page that it has to load. Then
// a change of the catalog finds no space.
TEST_F(WritersGateTest, RoomForAChangeOfTheCatalogIsMadeWhenTheCheckIsOver) {
  Watchdog watchdog("a check beside a change", std::chrono::seconds(60));
  open();
  ASSERT_NO_FATAL_FAILURE(fill_map("dropped", 10));
  ASSERT_NO_FATAL_FAILURE(fill_map("other", 10));
  ASSERT_NO_FATAL_FAILURE(close());

  static thread_local bool checks = false;
  std::binary_semaphore check_stands(0);
  std::binary_semaphore room_made(0);
  std::atomic<bool> stopped = false;
  on_data_call_ = [&](FileCall call) {
    if (call != FileCall::kRead || !checks || stopped.exchange(true)) return;
    check_stands.release();
    // Nothing tells that somebody waits at the gate; where nobody does, room is made in much less time.
    static_cast<void>(room_made.try_acquire_for(std::chrono::milliseconds(300)));
  };
  open();
  EXPECT_EQ(content_of(*db_->open_map("dropped")).size(), 80u);  // it is in the cache
  auto hold = core_->engine().snapshots.enter([&] { return newest_snapshot(core_->engine()); });
  ASSERT_OK(db_->drop_map("dropped"));
  std::thread checker;
  int attempts = 0;
  const Status changed = internal::change_catalog(core_, [&]() -> Status {
    if (++attempts > 1) {
      room_made.release();
      return {};
    }
    checker = std::thread([&] {
      checks = true;
      expect_sound(*db_);
    });
    check_stands.acquire();
    hold.release();
    return Error(ErrorCode::kNoSpace, "no space");
  });
  checker.join();
  // After the check the collector may be faster: then there is nothing left to be freed.
  EXPECT_EQ(changed.has_value(), attempts == 2);
  expect_sound(*db_);
  ASSERT_NO_FATAL_FAILURE(close());
}

// Method: a row's owner keeps it for more than half of the timeout; when the call comes back for it, the gate of the
// table is held.
TEST_F(WritersGateTest, AWaitAtTheGateOfATableIsPartOfTheCallsDeadline) {
  constexpr std::chrono::milliseconds kTimeout{3000};
  Options options = small_options();
  options.lock_timeout = kTimeout;
  open(std::move(options));
  Map map = *db_->create_map("m");
  Table people = *db_->create_table("people", people_schema());
  const RowId row = *people.insert(person(1));
  Transaction owner = *db_->begin();
  ASSERT_OK(map.put(owner, "k", ""));
  ASSERT_OK(people.update(owner, row, person(1, 10)));
  const auto status = core_->engine().versions.peek((*core_->find_map("m"))->object, as_bytes(std::string("k"))).writer;
  const long holders = status.use_count();
  std::binary_semaphore over(0);
  std::optional<ErrorCode> answer;
  std::thread writer([&] {
    answer = test_code(people.update(row, person(1, 30)));
    over.release();
  });
  EXPECT_TRUE(comes_true([&] { return status.use_count() > holders; }));
  EXPECT_FALSE(over.try_acquire_for(kTimeout * 3 / 5));
  {
    const SharedGate::Hold hold = (*core_->find_table("people"))->gate.hold();
    EXPECT_EQ(test_text(owner.rollback()), "");
    EXPECT_TRUE(over.try_acquire_for(kTimeout * 4 / 5)) << "it began to wait anew";
  }
  writer.join();
  EXPECT_EQ(answer, ErrorCode::kConflict);
}

// --- Closing while an index is created

class IndexClosingTest : public WritersGateTest, public ::testing::WithParamInterface<FileCall> {};
INSTANTIATE_TEST_SUITE_P(WhileThe, IndexClosingTest, ::testing::Values(FileCall::kRead, FileCall::kAllocate),
                         [](const auto& one) { return one.param == FileCall::kRead ? "TableIsRead" : "TreeIsLoaded"; });

TEST_P(IndexClosingTest, EndsTheCreationOfAnIndex) {
  Watchdog watchdog("a close", std::chrono::seconds(60));
  open();
  TableLoad load = *db_->load_table("people", people_schema());
  for (int i = 0; i < 12'000; ++i) ASSERT_OK(load.add(person(i, 10)));
  ASSERT_OK(load.finish());
  ASSERT_NO_FATAL_FAILURE(close());

  static thread_local bool creates = false;
  std::thread closer;
  Status closed;
  on_data_call_ = [&](FileCall call) {
    if (call != GetParam() || !creates || closer.joinable()) return;
    closer = std::thread([&] { closed = db_->close(); });
    while (!core_->is_closed()) std::this_thread::yield();
  };
  open();
  creates = true;
  EXPECT_ERROR(kClosed, db_->create_index("by_data", "people", {.columns = {{"data"}, {"name"}}, .unique = false}));
  creates = false;
  ASSERT_TRUE(closer.joinable()) << "it was not stopped";
  closer.join();
  ASSERT_OK(closed);
  on_data_call_ = nullptr;
  open();
  EXPECT_TRUE(db_->indexes()->empty());
  EXPECT_EQ(*db_->open_table("people")->count(), 12'000u);
  expect_sound(*db_);
}

// --- Transactions that have changed nothing

TEST_F(WritersGateTest, AnObjectThatATransactionFailedToChangeCanBeDropped) {
  Options options = small_options();
  options.lock_timeout = std::chrono::milliseconds(20);
  open(std::move(options));
  Map held = *db_->create_map("held");
  Transaction other = *db_->begin();
  ASSERT_OK(held.put(other, "k", ""));
  const std::pair<const char*, std::function<void(Map&, Transaction&)>> calls[] = {
      {"duplicate", [](Map& map, Transaction& txn) { EXPECT_ERROR(kDuplicateKey, map.insert(txn, "there", "")); }},
      {"absent", [](Map& map, Transaction& txn) { EXPECT_FALSE(*map.erase(txn, "not there")); }},
      {"no space",
       [&](Map& map, Transaction& txn) {
         disk_.limit_space(disk_.used_bytes());
         EXPECT_ERROR(kNoSpace, map.put(txn, "large", std::string(std::size_t{32} << 20, 'l')));
         disk_.limit_space(std::nullopt);
       }},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    Map map = *db_->create_map("m");
    ASSERT_OK(map.put("there", ""));
    Transaction txn = *db_->begin();
    call(map, txn);
    call(map, txn);
    ASSERT_OK(db_->drop_map("m"));
    EXPECT_ERROR(kNotFound, map.put(txn, "k", ""));
    ASSERT_OK(held.put(txn, name, ""));
    ASSERT_OK(txn.commit());
    EXPECT_TRUE(*held.contains(name));
  }
  {
    SCOPED_TRACE("conflict");
    Transaction txn = *db_->begin();
    EXPECT_ERROR(kConflict, held.put(txn, "k", ""));
    ASSERT_OK(other.rollback());
    ASSERT_OK(db_->drop_map("held"));
    ASSERT_OK(txn.rollback());
  }
  expect_sound(*db_);
}

TEST_F(WritersGateTest, AnObjectThatATransactionHasChangedCannotBeDroppedBeforeItsEnd) {
  open();
  Map map = *db_->create_map("m");
  ASSERT_OK(map.put("there", ""));
  Transaction txn = *db_->begin();
  EXPECT_ERROR(kDuplicateKey, map.insert(txn, "there", ""));
  ASSERT_OK(map.put(txn, "k", ""));
  EXPECT_ERROR(kDuplicateKey, map.insert(txn, "there", ""));
  EXPECT_ERROR(kConflict, db_->drop_map("m"));
  ASSERT_OK(txn.commit());
  ASSERT_OK(db_->drop_map("m"));
  expect_sound(*db_);
}

}  // namespace
}  // namespace vaultgres
