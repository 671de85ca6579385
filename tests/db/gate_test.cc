// Goal: who keeps all writers out for a while (check, drop) waits for no transaction that is open: neither for one that
// does nothing, nor for a call that waits for a key of it. Otherwise all would wait for each other as soon as the key's
// owner writes again. A call that waits ends when the database is closed, and when it has waited for the lock timeout
// in all.
//
// Method: an owner holds a key; a writer waits for it, which the test sees by who holds the owner's status; then check
// and drop run to their end, the owner writes again and commits, and the writer's call answers as if nothing had been.
// Or the database is closed. Or there is another owner of another key of the writer's row.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <semaphore>
#include <thread>

#include "db/statement.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

constexpr std::chrono::seconds kLockTimeout{10};

std::string large_value() {
  return std::string(3 * kPageBytes, 'l');
}

struct Contention {
  const char* name;
  Status (*own)(Database& db, Transaction& owner);  ///< takes the key
  Status (*wait)(Database& db);                     ///< needs it
  std::optional<ErrorCode> answer;                  ///< of wait() when the owner has committed
};

/// Of the transaction that has written to this key of the map "m", and is open.
std::shared_ptr<TxnStatus> writer_of(const internal::Core& core, std::string_view key) {
  return core.engine().versions.peek((*core.find_map("m"))->object, as_bytes(key)).writer;
}

Status put_k(Database& db, Transaction& owner) {
  return db.open_map("m")->put(owner, "k", "owner's");
}
Status insert_500(Database& db, Transaction& owner) {
  return status_of(db.open_table("people")->insert(owner, person(500)));
}
Status update_1(Database& db, Transaction& owner) {
  const auto row = *db.open_index("by_id")->find({std::int64_t{1}});
  return db.open_table("people")->update(owner, row->id, person(1, 30));
}

const Contention kContentions[] = {
    {"map_put", put_k, [](Database& db) { return db.open_map("m")->put("k", "writer's"); }, std::nullopt},
    {"map_put_large", put_k, [](Database& db) { return db.open_map("m")->put("k", large_value()); }, std::nullopt},
    {"map_erase", put_k, [](Database& db) { return status_of(db.open_map("m")->erase("k")); }, std::nullopt},
    {"map_insert", put_k, [](Database& db) { return db.open_map("m")->insert("k", "writer's"); },
     ErrorCode::kDuplicateKey},
    {"map_put_in_a_transaction", put_k,
     [](Database& db) {
       Transaction txn = *db.begin();
       Map map = *db.open_map("m");
       if (Status put = map.put(txn, "other", "writer's"); !put) return put;
       if (Status put = map.put(txn, "k", large_value()); !put) return put;
       return txn.commit();
     },
     std::nullopt},
    // The row is in the table, and in one index, when the unique index finds the key held.
    {"table_insert", insert_500,
     [](Database& db) { return status_of(db.open_table("people")->insert(person(500, 2 * kPageBytes))); },
     ErrorCode::kDuplicateKey},
    {"table_insert_in_a_transaction", insert_500,
     [](Database& db) {
       Transaction txn = *db.begin();
       Table people = *db.open_table("people");
       if (auto row = people.insert(txn, person(499)); !row) return status_of(row);
       const auto row = people.insert(txn, person(500));
       if (Status done = txn.commit(); !done) return done;  // the one that was refused is not in it
       return status_of(row);
     },
     ErrorCode::kDuplicateKey},
    {"table_update", update_1,
     [](Database& db) {
       const auto row = *db.open_index("by_id")->find({std::int64_t{1}});
       return db.open_table("people")->update(row->id, person(1, 2 * kPageBytes));
     },
     std::nullopt},
    {"table_erase", update_1,
     [](Database& db) {
       const auto row = *db.open_index("by_id")->find({std::int64_t{1}});
       return status_of(db.open_table("people")->erase(row->id));
     },
     std::nullopt},
};

class GateTest : public ::testing::TestWithParam<Contention> {
 protected:
  GateTest() {
    Options options = small_options();
    options.lock_timeout = kLockTimeout;
    core_ = *internal::Core::open({&disk_, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
    EXPECT_TRUE(db_->create_map("m"));
    EXPECT_TRUE(db_->create_map("dropped"));
    EXPECT_TRUE(db_->create_map("renamed"));
    EXPECT_TRUE(db_->create_table("dropped table", people_schema()));
    Table people = *db_->create_table("people", people_schema());
    EXPECT_TRUE(db_->create_index("by_city", "people", {.columns = {{"city"}}, .unique = false}));
    EXPECT_TRUE(db_->create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
    for (std::int64_t id = 0; id < 20; ++id) EXPECT_TRUE(people.insert(person(id)));
  }

  ~GateTest() override {
    if (writer_.joinable()) writer_.join();
  }

  /// The owner has the key, and the writer waits for it.
  void let_writer_wait() {
    owner_.emplace(*db_->begin());
    ASSERT_OK(db_->open_map("m")->put(*owner_, "a key of the owner", ""));
    ASSERT_OK(GetParam().own(*db_, *owner_));
    const std::shared_ptr<TxnStatus> status = writer_of(*core_, "a key of the owner");
    const long holders = status.use_count();
    writer_ = std::thread([this] {
      waited_ = GetParam().wait(*db_);
      over_.store(true);
    });
    EXPECT_TRUE(comes_true([&] { return status.use_count() > holders || over_.load(); }));
    ASSERT_FALSE(over_.load()) << "the writer did not wait: " << test_text(waited_);
  }

  SimFileSystem disk_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::optional<Transaction> owner_;
  Status waited_;  ///< of the writer's call, once it is over
  std::atomic<bool> over_ = false;
  std::thread writer_;
};

INSTANTIATE_TEST_SUITE_P(Calls, GateTest, ::testing::ValuesIn(kContentions),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(GateTest, WhoKeepsWritersOutWaitsForNoKey) {
  ASSERT_NO_FATAL_FAILURE(let_writer_wait());
  const auto begin = std::chrono::steady_clock::now();
  expect_sound(*db_);
  EXPECT_EQ(test_text(db_->drop_map("dropped")), "");
  EXPECT_EQ(test_text(db_->drop_table("dropped table")), "");
  EXPECT_EQ(test_text(db_->rename_map("renamed", "named")), "");
  EXPECT_FALSE(over_.load()) << "the writer did not wait until then: " << test_text(waited_);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));

  EXPECT_EQ(test_text(db_->open_map("m")->put(*owner_, "more", "of the owner")), "");
  EXPECT_EQ(test_text(owner_->commit()), "");
  writer_.join();
  EXPECT_EQ(test_code(waited_), GetParam().answer) << test_text(waited_);
  expect_agreement(*db_, *db_->open_table("people"));
  expect_sound(*db_);
}

TEST_P(GateTest, ClosingEndsTheCallThatWaits) {
  ASSERT_NO_FATAL_FAILURE(let_writer_wait());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(test_text(db_->close()), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kLockTimeout / 2);
  writer_.join();
  EXPECT_EQ(test_code(waited_), ErrorCode::kClosed) << test_text(waited_);
}

// The same where the call waits for whoever has written to a table, whose gate it holds.
TEST(ClosingTest, EndsTheDropOfAnIndexThatWaits) {
  SimFileSystem disk;
  Options options = small_options();
  options.lock_timeout = kLockTimeout;
  const std::shared_ptr<internal::Core> core = *internal::Core::open({&disk, nullptr, "/db"}, std::move(options));
  Database db = internal::make_database(core);
  Table people = *db.create_table("people", people_schema());
  ASSERT_OK(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
  Transaction owner = *db.begin();
  ASSERT_OK(people.insert(owner, person(1)));
  SharedGate& gate = (*core->find_table("people"))->gate;
  Status waited;
  std::thread dropper([&] { waited = db.drop_index("by_id"); });
  EXPECT_TRUE(comes_true([&] { return !gate.enter_for(std::chrono::milliseconds(0)); })) << "it does not wait";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(test_text(db.close()), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kLockTimeout / 2);
  dropper.join();
  EXPECT_EQ(test_code(waited), ErrorCode::kClosed) << test_text(waited);
}

// --- The lock timeout

struct Owner {
  Transaction txn;
  std::shared_ptr<TxnStatus> status;
  long holders;
};

constexpr std::array kColumns{"a", "b", "c", "d"};

/// One for each column of the table: has 0 there, and in the other columns what nobody else has.
std::vector<Owner> owners_of_zeros(Database& db, const internal::Core& core, Table& table) {
  std::vector<Owner> owners;
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    Transaction txn = *db.begin();
    const std::string key = "owner " + std::to_string(i);
    EXPECT_EQ(test_text(db.open_map("m")->put(txn, key, "")), "");
    Row row(kColumns.size(), static_cast<std::int64_t>(i + 1));
    row[i] = std::int64_t{0};
    EXPECT_EQ(test_text(table.insert(txn, row)), "");
    owners.push_back({std::move(txn), writer_of(core, key), 0});
  }
  for (Owner& owner : owners) owner.holders = owner.status.use_count();
  return owners;
}

class LockTimeoutTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Transactions, LockTimeoutTest, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "InATransaction" : "SingleCall"; });

// Goal: the waits of one call together are not longer than the lock timeout, however many others are in its way one
// after the other. Method: each of the columns of a row is a key that somebody else has, who gives it up when the call
// has waited for it for more than half of the timeout. With a timeout for each wait the call would succeed.
TEST_P(LockTimeoutTest, AllWaitsOfACallHaveOneDeadline) {
  constexpr std::chrono::milliseconds kTimeout{300};
  SimFileSystem disk;
  Options options = small_options();
  options.lock_timeout = kTimeout;
  const std::shared_ptr<internal::Core> core = *internal::Core::open({&disk, nullptr, "/db"}, std::move(options));
  Database db = internal::make_database(core);
  ASSERT_OK(db.create_map("m"));
  std::vector<Column> columns;
  for (const char* const column : kColumns) columns.push_back({column, ColumnType::kInt64});
  Table table = *db.create_table("t", *Schema::create(std::move(columns)));
  for (const char* const column : kColumns) {
    ASSERT_OK(db.create_index(column, "t", {.columns = {{column}}, .unique = true}));
  }
  std::vector<Owner> owners = owners_of_zeros(db, *core, table);

  std::binary_semaphore over(0);
  std::atomic<bool> is_over = false;
  std::optional<ErrorCode> answer;
  std::thread writer([&] {
    const Row zeros(kColumns.size(), std::int64_t{0});
    Transaction txn = *db.begin();
    answer = test_code(GetParam() ? table.insert(txn, zeros) : table.insert(zeros));
    is_over.store(true);
    over.release();
  });
  const auto is_awaited = [](const Owner& owner) {
    return owner.txn.active() && owner.status.use_count() > owner.holders;
  };
  for (auto awaited = owners.end(); !is_over.load();) {
    EXPECT_TRUE(comes_true([&] {
      awaited = std::find_if(owners.begin(), owners.end(), is_awaited);
      return awaited != owners.end() || is_over.load();
    }));
    if (awaited == owners.end() || over.try_acquire_for(kTimeout * 3 / 5)) break;
    EXPECT_EQ(test_text(awaited->txn.rollback()), "");
  }
  writer.join();
  EXPECT_EQ(answer, ErrorCode::kConflict);
}

}  // namespace
}  // namespace vaultgres
