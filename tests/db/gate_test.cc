// Goal: who keeps all writers out for a while (check, drop) waits for no transaction that is open: neither for one that
// does nothing, nor for a call that waits for a key of it. Otherwise all would wait for each other as soon as the key's
// owner writes again.
//
// Method: an owner holds a key; a writer waits for it, which the test sees by who holds the owner's status; then check
// and drop run to their end, the owner writes again and commits, and the writer's call answers as if nothing had been.
#include <gtest/gtest.h>

#include <thread>

#include "db/statement.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

std::string large_value() {
  return std::string(3 * kPageBytes, 'l');
}

struct Contention {
  const char* name;
  Status (*own)(Database& db, Transaction& owner);  ///< takes the key
  Status (*wait)(Database& db);                     ///< needs it
  std::optional<ErrorCode> answer;                  ///< of wait() when the owner has committed
};

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status() : Status(result.error());
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
    options.lock_timeout = std::chrono::seconds(10);
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

  SimFileSystem disk_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
};

INSTANTIATE_TEST_SUITE_P(Calls, GateTest, ::testing::ValuesIn(kContentions),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(GateTest, WhoKeepsWritersOutWaitsForNoKey) {
  Transaction owner = *db_->begin();
  ASSERT_OK(db_->open_map("m")->put(owner, "a key of the owner", ""));
  ASSERT_OK(GetParam().own(*db_, owner));
  const std::shared_ptr<TxnStatus> status =
      core_->engine().versions.peek((*core_->find_map("m"))->object, as_bytes("a key of the owner")).writer;
  ASSERT_NE(status, nullptr);
  const long holders = status.use_count();
  std::atomic<bool> over = false;
  Status waited;
  std::thread writer([&] {
    waited = GetParam().wait(*db_);
    over.store(true);
  });
  EXPECT_TRUE(comes_true([&] { return status.use_count() > holders || over.load(); }));

  const auto begin = std::chrono::steady_clock::now();
  expect_sound(*db_);
  EXPECT_EQ(test_text(db_->drop_map("dropped")), "");
  EXPECT_EQ(test_text(db_->drop_table("dropped table")), "");
  EXPECT_EQ(test_text(db_->rename_map("renamed", "named")), "");
  EXPECT_FALSE(over.load()) << "the writer did not wait until then: " << test_text(waited);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));

  EXPECT_EQ(test_text(db_->open_map("m")->put(owner, "more", "of the owner")), "");
  EXPECT_EQ(test_text(owner.commit()), "");
  writer.join();
  EXPECT_EQ(test_code(waited), GetParam().answer) << test_text(waited);
  expect_agreement(*db_, *db_->open_table("people"));
  expect_sound(*db_);
}

}  // namespace
}  // namespace vaultgres
